/* manifests_test.c - data/manifests agrees with what the program knows of data sets and encoders. */
#include "host/inputs/published.h"
#include "host/prepare/manifest.h"
#include "io/datasets/datasets.h"
#include "tests/support/check.h"

static bool is_hex(const char *text, size_t digits) {
    return !text || (strlen(text) == digits && strspn(text, "0123456789abcdef") == digits);
}

Test(manifests, every_data_set_has_a_manifest_that_agrees_with_its_facts, .timeout = 60) {
    static const char *const sets[] = {
        "food101",  "cifar10",     "cifar100", "cifar10020",   "birdsnap", "sun397",     "cars",
        "aircraft", "dtd",         "pets",     "caltech101",   "flowers",  "mnist",      "fer2013",
        "stl10",    "eurosat",     "resisc45", "gtsrb",        "kitti",    "country211", "pcam",
        "ucf101",   "kinetics700", "clevr",    "hatefulmemes", "sst",      "imagenet",   "digits"};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        Manifest m;
        Error err = {""};
        const DatasetFacts *facts = dataset_find(sets[i]);
        ASSERT_OK(manifest_find(&m, sets[i], &err), err);
        cr_assert(facts != NULL, "%s", sets[i]);
        cr_expect(m.train == facts->train && m.val == facts->val && m.classes == facts->classes,
                  "%s: counts differ", sets[i]);
        cr_expect(m.title && m.home && m.how, "%s lacks a fact", sets[i]);
        for (int a = 0; a < m.archives; a++) {
            const ManifestArchive *f = &m.archive[a];
            cr_expect(is_hex(f->md5, 32) && is_hex(f->sha256, 64), "%s: a digest is none", f->name);
            cr_expect(f->into[0] != '/' && !strstr(f->into, ".."), "%s: %s", f->name, f->into);
            for (int u = 0; u < f->urls; u++)
                cr_expect(strncmp(f->url[u], "http", 4) == 0, "%s", f->url[u]);
            cr_expect(f->urls > 0 || m.steps > 0 || f->way, "%s: there is no way to get %s",
                      sets[i], f->name);
        }
        manifest_free(&m);
    }
}

Test(manifests, the_table_of_encoders_agrees_with_the_published_ones, .timeout = 60) {
    PhiTable t;
    Error err;
    ASSERT_OK(phi_table_open(&t, &err), err);
    for (const PublishedModel *m = model_first(); m; m = model_next(m)) {
        char hex[65];
        const PhiRow *row = phi_row(&t, m->phi);
        cr_assert(row != NULL, "%s", m->phi);
        cr_expect(strcmp(row->place, m->file) == 0 && strcmp(row->url, m->url) == 0, "%s", m->phi);
        const char *digest = model_digest(hex, m);
        cr_expect(digest ? row->sha256 && strcmp(row->sha256, digest) == 0 : !row->sha256,
                  "%s: the digest differs", m->phi);
    }
    for (int i = 0; i < t.count; i++)
        cr_expect(is_hex(t.row[i].sha256, 64) && t.row[i].pixels > 0 && t.row[i].url, "%s",
                  t.row[i].phi);
    phi_table_close(&t);
}
