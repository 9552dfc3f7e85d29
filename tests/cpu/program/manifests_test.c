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

static const char *const published_names[] = {"clipRN50",
                                              "clipRN101",
                                              "clipRN50x4",
                                              "clipRN50x16",
                                              "clipRN50x64",
                                              "clipvitB32",
                                              "clipvitB16",
                                              "clipvitL14",
                                              "dinov2",
                                              "dinov2vits14",
                                              "dinov2vitb14",
                                              "dinov2vitl14",
                                              "dinov2vitg14",
                                              "dinov2vits14reg",
                                              "dinov2vitb14reg",
                                              "dinov2vitl14reg",
                                              "dinov2vitg14reg",
                                              "dinov3vits16",
                                              "dinov3vits16plus",
                                              "dinov3vitb16",
                                              "dinov3vitl16",
                                              "dinov3vith16plus",
                                              "dinov3vit7b16",
                                              "siglipB16_224",
                                              "siglipB16_256",
                                              "siglipL16_256",
                                              "siglipL16_384",
                                              "siglipso400m14_384",
                                              "siglip2B16_224",
                                              "siglip2B16_256",
                                              "siglip2L16_256",
                                              "siglip2L16_384",
                                              "siglip2so400m14_384",
                                              "siglip2so400m16_384",
                                              "siglip2giantopt16_256",
                                              "siglip2giantopt16_384",
                                              "openclipvitB32_laion2b",
                                              "openclipvitB16_datacomp",
                                              "openclipvitL14_datacomp",
                                              "openclipvitL14_dfn2b",
                                              "openclipvitH14_laion2b",
                                              "openclipvitH14_dfn5b",
                                              "openclipvitg14_laion2b",
                                              "openclipvitbigG14_laion2b"};

Test(manifests, every_published_encoder_has_a_whole_row, .timeout = 60) {
    static const char *const places[] = {"clip/", "dinov2/checkpoints/", "dinov3/", "siglip/",
                                         "openclip/"};
    int rows = 0;
    for (const PublishedModel *m = model_first(); m; m = model_next(m)) {
        bool placed = false;
        for (size_t i = 0; i < sizeof places / sizeof *places; i++)
            placed |= strncmp(m->file, places[i], strlen(places[i])) == 0;
        cr_expect(placed && !strstr(m->file, ".."), "%s: %s", m->phi, m->file);
        cr_expect(!strchr(m->phi, '/') && model_find(m->phi) == m, "%s", m->phi);
        cr_expect(is_hex(m->sha256, 64) && m->pixels > 0 && m->licence, "%s", m->phi);
        cr_expect(!m->url || strncmp(m->url, "https://", 8) == 0, "%s", m->phi);
        cr_expect(m->url || m->hub, "%s: there is no way to get it", m->phi);
        cr_expect(!m->gated || (m->home && !m->url), "%s: gated files have no address", m->phi);
        cr_expect(m->width > 0 && m->depth > 0 && m->patch > 0 && m->features > 0, "%s", m->phi);
        cr_expect(m->parameters > 0 && m->bytes_each > 1 && m->pixels % m->patch < m->patch, "%s",
                  m->phi);
        rows++;
    }
    const int names = sizeof published_names / sizeof *published_names;
    for (int i = 0; i < names; i++)
        cr_expect(model_find(published_names[i]), "%s lacks", published_names[i]);
    cr_expect(rows == names, "%d rows, %d names", rows, names);
    cr_expect(!model_find("") && !model_find("clip") && !model_find("dinov2vits14 "));
}

/* The digest in OpenAI's addresses is that of the file. */
Test(manifests, digests_of_clip_are_those_of_its_addresses, .timeout = 60) {
    for (const PublishedModel *m = model_first(); m; m = model_next(m))
        if (strncmp(m->file, "clip/", 5) == 0)
            cr_expect(m->sha256 && m->url && strstr(m->url, m->sha256), "%s", m->phi);
}

/* --- places ----------------------------------------------------------------------------------- */

static void put(const char *root, const char *name, const char *content) {
    char *path = format_text("%s/%s", root, name), *slash = strrchr(path, '/');
    Error err;
    *slash = '\0';
    ASSERT_OK(folder_make(path, &err), err);
    *slash = '/';
    write_bytes(path, content, strlen(content));
    free(path);
}

static void expect_located(const char *root, const char *phi, const char *name) {
    char *path, *expected = format_text("%s/checkpoints/%s", root, name ? name : "");
    Error err;
    ASSERT_OK(model_locate(&path, root, model_find(phi), &err), err);
    cr_expect(name ? path && strcmp(path, expected) == 0 : !path, "%s: %s", phi,
              path ? path : "none");
    free(path);
    free(expected);
}

/* Each place that is filled comes before those filled earlier. */
Test(manifests, weights_are_found_where_downloads_leave_them, .timeout = 60) {
    static const char *const places[] = {
        "openclip/openclipvitB32_laion2b.pt",
        "openclipvitB32_laion2b.bin",
        "openclipvitB32_laion2b.pth",
        "hub/models--laion--CLIP-ViT-B-32-laion2B-s34B-b79K/snapshots/00ab/model.safetensors",
        "models--laion--CLIP-ViT-B-32-laion2B-s34B-b79K/snapshots/0a1b/pytorch_model.bin",
        "CLIP-ViT-B-32-laion2B-s34B-b79K/open_clip_model.safetensors",
        "openclip/models--laion--CLIP-ViT-B-32-laion2B-s34B-b79K/snapshots/1a0f/"
        "open_clip_pytorch_model.bin",
        "openclip/laion/CLIP-ViT-B-32-laion2B-s34B-b79K/model.safetensors",
        "openclip/CLIP-ViT-B-32-laion2B-s34B-b79K/open_clip_model.safetensors",
        "openclip/CLIP-ViT-B-32-laion2B-s34B-b79K/open_clip_pytorch_model.bin"};
    char *root = temporary_folder();
    expect_located(root, "openclipvitB32_laion2b", NULL);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char *path = format_text("checkpoints/%s", places[i]);
        put(root, path, "x");
        expect_located(root, "openclipvitB32_laion2b", places[i]);
        free(path);
    }
    expect_located(root, "openclipvitB16_datacomp", NULL);
    remove_folder(root);
}

Test(manifests, of_several_snapshots_the_main_one_is_taken, .timeout = 60) {
#define CACHE "checkpoints/dinov3/models--facebook--dinov3-vits16-pretrain-lvd1689m/"
    char *root = temporary_folder(), *path;
    Error err = {""};
    put(root, CACHE "snapshots/0123abc/model.safetensors", "x");
    put(root, CACHE "snapshots/4567def/README.md", "x");
    expect_located(root, "dinov3vits16", CACHE "snapshots/0123abc/model.safetensors" + 12);
    put(root, CACHE "snapshots/4567def/model.safetensors", "x");
    const Status st = model_locate(&path, root, model_find("dinov3vits16"), &err);
    cr_expect(st == ERR_ARG && !path && strstr(err.text, "refs/main"), "%s", err.text);
    put(root, CACHE "refs/main", "4567def");
    expect_located(root, "dinov3vits16", CACHE "snapshots/4567def/model.safetensors" + 12);
    put(root, CACHE "refs/main", "../../../../etc");
    const Status outside = model_locate(&path, root, model_find("dinov3vits16"), &err);
    cr_expect(outside == ERR_ARG && !path);
    remove_folder(root);
}

Test(manifests, who_asks_for_a_gated_file_is_told_what_to_do, .timeout = 60) {
    char *root = temporary_folder();
    Ran ran;
    run_turtle(&ran, "prepare --root_dir %s --phis dinov3vits16", root);
    cr_expect(ran.status == 1 && strstr(ran.err, "gated") && strstr(ran.err, "ai.meta.com") &&
                  strstr(ran.err, "dinov3/dinov3_vits16_pretrain_lvd1689m-08c60483.pth") &&
                  strstr(ran.err, "hf download facebook/dinov3-vits16-pretrain-lvd1689m"),
              "%s", ran.err);
    run_turtle(&ran, "prepare --root_dir %s --phis siglip2giantopt16_256", root);
    cr_expect(ran.status == 1 && strstr(ran.err, "hf download google/siglip2-giant-opt"), "%s",
              ran.err);
    run_turtle(&ran, "prepare --root_dir %s --list", root);
    cr_expect(ran.status == 0 && strstr(ran.out, "gated") && strstr(ran.out, "siglip2B16_256"),
              "%s", ran.out);
    put(root, "new/CLIP-ViT-B-32-laion2B-s34B-b79K/open_clip_pytorch_model.bin", "weights");
    run_turtle(&ran, "prepare --root_dir %s --phis openclipvitB32_laion2b --from %s/new", root,
               root);
    cr_expect(ran.status == 0 && strstr(ran.out, "(7 B)"), "%s%s", ran.out, ran.err);
    expect_located(root, "openclipvitB32_laion2b",
                   "openclip/CLIP-ViT-B-32-laion2B-s34B-b79K/open_clip_pytorch_model.bin");
    remove_folder(root);
}
