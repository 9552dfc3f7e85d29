/* table_of_sets_test.c - the table of data sets in host/README.md is what the program knows: sizes of io/datasets/datasets.c,
 * the way that data/manifests says, and the test that reads an archive of the set. */
#include "host/prepare/manifest.h"
#include "io/datasets/datasets.h"
#include "tests/support/check.h"

static const char *way_of(const Manifest *m) {
    if (strstr(m->how, "rar") && strstr(m->how, "video")) return "download, `unrar`, `ffmpeg`";
    if (strstr(m->how, "rar")) return "by hand, `unrar`";
    if (strstr(m->how, "video")) return "by hand, `ffmpeg`";
    return strcmp(m->how, "direct") == 0 ? "download" : "by hand";
}

/* Prints the row as it has to stand; a failure shows what to write. */
Test(table_of_sets, rows_are_those_of_the_readme) {
    FileMap readme;
    Error err;
    int rows = 0;
    ASSERT_OK(file_map(&readme, "host/README.md", &err), err);
    char *text = strndup((const char *)readme.data, (size_t)readme.bytes);
    for (; dataset_row(rows); rows++) {
        const DatasetFacts *f = dataset_row(rows);
        const char *test = strcmp(f->name, "digits") == 0 ? "prepare" : f->name;
        Manifest m;
        ASSERT_OK(manifest_find(&m, f->name, &err), err);
        char *row =
            format_text("| `%s` | %lld | %lld | %lld | `%s` | %s | `%s%s` |\n", f->name,
                        (long long)f->train, (long long)f->val, (long long)f->classes, f->place[0],
                        way_of(&m), strcmp(test, f->name) ? "" : "datasets/", test);
        cr_expect(strstr(text, row) != NULL, "host/README.md lacks the row\n%s", row);
        cr_expect(strcmp(f->name, "cifar10020") == 0 || m.train < 0 || m.train == f->train, "%s",
                  f->name);
        cr_expect(m.val < 0 || m.val == f->val, "%s", f->name);
        manifest_free(&m);
        free(row);
    }
    cr_expect(rows == 28, "%d sets: 26, cifar10020 and digits are known", rows);
    free(text);
    file_unmap(&readme);
}
