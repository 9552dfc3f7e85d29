/* cluster_names_test.c - names that people give to clusters, and files that are none. */
#include "io/text/cluster_names.h"
#include "tests/support/check.h"

static Status read_names(ClusterNames *out, const char *text, size_t n, int64_t classes,
                         Error *err) {
    char *folder = temporary_folder(), *path = format_text("%s/names.tsv", folder);
    write_bytes(path, text, n);
    const Status st = cluster_names_read(path, classes, out, err);
    free(path);
    remove_folder(folder);
    return st;
}

/* Expects names and groups of four clusters: "cat/0|/-|2/1|cat/0". */
static void expect_names(const char *text, const char *expected) {
    ClusterNames n;
    Error err;
    char shown[512] = "";
    ASSERT_OK(read_names(&n, text, strlen(text), 4, &err), err);
    int64_t out = 0;
    for (int64_t c = 0; c < 4; c++) {
        const size_t used = strlen(shown);
        char group[24] = "-";
        if (n.group[c] >= 0) snprintf(group, sizeof group, "%d", (int)n.group[c]);
        out += n.group[c] < 0;
        snprintf(shown + used, sizeof shown - used, "%s%s/%s", c ? "|" : "", n.name[c], group);
    }
    cr_expect_str_eq(shown, expected);
    cr_expect(n.left_out == out);
    for (int64_t g = 0; g < n.groups; g++) {
        int64_t least = 0;
        while (n.group[least] != g) least++;
        cr_expect(n.first[g] == least, "group %d begins at %d", (int)g, (int)least);
        cr_expect(g == 0 || n.first[g] > n.first[g - 1]);
    }
    cluster_names_free(&n);
    cluster_names_free(&n);
}

Test(cluster_names, equal_names_merge_and_empty_ones_leave_out) {
    expect_names("", "0/0|1/1|2/2|3/3");
    expect_names("0\tcat\n1\tdog\n2\tcow\n3\teel\n", "cat/0|dog/1|cow/2|eel/3");
    expect_names("3\tcat\n0\tcat\n1\t\n", "cat/0|/-|2/1|cat/0");
    expect_names("2\t7\n", "0/0|1/1|7/2|3/3");
    expect_names("2\t0\n", "0/0|1/1|0/0|3/2"); /* a number may be a name */
    expect_names("0\t\n1\t \n2\t\n3\t", "/-|/-|/-|/-");
    expect_names("0\tCat\n1\tcat\n", "Cat/0|cat/1|2/2|3/3");
}

Test(cluster_names, files_of_every_editor) {
    expect_names("\xef\xbb\xbf"
                 "0\tcat\r\n\r\n 1 \t sea lion \r\n",
                 "cat/0|sea lion/1|2/2|3/3");
    expect_names("0\tcat\r1\tdog\r", "cat/0|dog/1|2/2|3/3");
    expect_names("0\t\xc3\xa9t\xc3\xa9\n1\t\xe7\x8c\xab\n2\ta,\"b\"\n003\t# no comment",
                 "\xc3\xa9t\xc3\xa9/0|\xe7\x8c\xab/1|a,\"b\"/2|# no comment/3");
}

Test(cluster_names, other_lines_are_refused_with_their_number) {
    static const struct {
        const char *text, *says;
        size_t n;
    } cases[] = {
#define TEXT(text, says) {text, says, sizeof(text) - 1}
        TEXT("0\tcat\ndog\n", "line 2: 'dog' has no tab: expected cluster<TAB>name"),
        TEXT("0 cat\n", "line 1: '0 cat' has no tab"),
        TEXT("# names\n", "line 1: '# names' has no tab"),
        TEXT("0\tcat\ttom\n", "line 1: two tabs"),
        TEXT("0\tcat\n\n4\tdog\n", "line 3: '4' is no cluster: expected 0 to 3"),
        TEXT("-1\tcat\n", "line 1: '-1' is no cluster"),
        TEXT("+1\tcat\n", "line 1: '+1' is no cluster"),
        TEXT("1.0\tcat\n", "line 1: '1.0' is no cluster"),
        TEXT("0x1\tcat\n", "line 1: '0x1' is no cluster"),
        TEXT("\tcat\n", "line 1: '' is no cluster"),
        TEXT("cluster\tname\n", "line 1: 'cluster' is no cluster"),
        TEXT("18446744073709551617\tcat\n", "is no cluster"),
        TEXT("99999999999999999999999999999999999999999999999999999999999999999999\tcat\n",
             "is no cluster"),
        TEXT("1\tcat\n0\tdog\n1\tcat\n", "line 3: cluster 1 has a name already, in line 1"),
        TEXT("1\t\n01\tcat\n", "line 2: cluster 1 has a name already, in line 1"),
        TEXT("0\tc\xfft\n", "line 1: byte 4 (\\xff) is not UTF-8"),
        TEXT("0\t\x1b[31mcat\n", "line 1: byte 3 is a control character (\\x1b)"),
        TEXT("0\tcat\0\n", "line 1: a zero byte"),
        TEXT("0\tc\rat\n", "a carriage return in the midst of the line"),
        TEXT("\xff\xfe"
             "0\0\t\0",
             "UTF-16LE"),
#undef TEXT
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ClusterNames n;
        Error err = {0};
        const Status st = read_names(&n, cases[i].text, cases[i].n, 4, &err);
        cr_expect(st == ERR_FORMAT && strstr(err.text, cases[i].says) && !n.name && !n.classes,
                  "case %d: status %d: %s", (int)i, st, err.text);
    }
}

Test(cluster_names, the_number_of_clusters_is_checked) {
    ClusterNames n;
    Error err = {0};
    cr_expect(read_names(&n, "", 0, 0, &err) == ERR_ARG && !n.name);
    cr_expect(cluster_names_numbers(-1, &n, &err) == ERR_ARG && !n.name);
    cr_expect(cluster_names_numbers(INT64_MAX / 2, &n, &err) == ERR_ARG && !n.name);
    cr_expect(cluster_names_read("/nowhere/names.tsv", 4, &n, &err) == ERR_IO && !n.name);
    ASSERT_OK(cluster_names_numbers(1000, &n, &err), err);
    cr_expect(n.groups == 1000 && n.group[999] == 999 && n.left_out == 0 && !n.listed[0]);
    cr_expect_str_eq(n.name[999], "999");
    cluster_names_free(&n);
}
