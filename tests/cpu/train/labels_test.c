/* labels_test.c - labels as people save them, numbered through one table, and their scores as
 * scikit-learn and SciPy have them. */
#include <float.h>

#include "host/inputs/label_file.h"
#include "host/inputs/label_names.h"
#include "host/score/hungarian.h"
#include "host/score/matching.h"
#include "host/score/metrics.h"
#include "io/arrays/npy_text.h"
#include "tests/support/check.h"
#include "tests/support/golden.h"

#define U 0x1p-53 /* half an ulp of 1 */

/* --- scores ----------------------------------------------------------------------------------- */

enum { MATCHED_SHARE, MEAN_CLASS, NMI, ARI, SCORES };

/* Tolerances are derived in metrics_test.c, D being the larger number of ids. */
static void expect_scores(const Metrics *m, const double *recorded, bool unique, const char *name) {
    const double D = (double)(m->clusters > m->classes ? m->clusters : m->classes);
    const double nmi = (2 * D + 160 * log((double)m->samples)) * U;
    cr_expect(m->cluster_acc == recorded[MATCHED_SHARE], "%s: accuracy %.17g, recorded %.17g", name,
              m->cluster_acc, recorded[MATCHED_SHARE]);
    cr_expect(!unique || fabs(m->mean_class_acc - recorded[MEAN_CLASS]) <= (2 * D + 8) * U,
              "%s: mean class accuracy %.17g, recorded %.17g", name, m->mean_class_acc,
              recorded[MEAN_CLASS]);
    cr_expect(fabs(m->nmi - recorded[NMI]) <= nmi, "%s: NMI %.17g, recorded %.17g", name, m->nmi,
              recorded[NMI]);
    cr_expect(fabs(m->ari - recorded[ARI]) <= 12 * U, "%s: ARI %.17g, recorded %.17g", name, m->ari,
              recorded[ARI]);
}

Test(labels, scores_are_those_of_scikit_learn_and_scipy, .timeout = 60) {
    enum { CASES = 21, ALL = 16449, LAST = 50000, FIELDS = 4 };
    const int64_t *cases = golden("scores/cases.npy", DTYPE_I64, CASES * FIELDS);
    const double *scores = golden("scores/scores.npy", DTYPE_F64, CASES * SCORES);
    const int16_t *clusters = golden("scores/clusters.npy", DTYPE_I16, ALL);
    const int16_t *classes = golden("scores/classes.npy", DTYPE_I16, ALL);
    int64_t *x = malloc(LAST * sizeof *x), *y = malloc(LAST * sizeof *y), first = 0;
    cr_assert(x && y);
    for (int c = 0; c < CASES; c++) {
        const int64_t *k = cases + c * FIELDS, n = k[0];
        Metrics m;
        Error err;
        char name[32];
        snprintf(name, sizeof name, "case %d", c);
        for (int64_t i = 0; i < n; i++) {
            x[i] = c == CASES - 1 ? (i * i + 3 * i) % 101 : clusters[first + i];
            y[i] = c == CASES - 1 ? i : classes[first + i];
        }
        ASSERT_OK(metrics_compute(&m, x, y, n, &err), err);
        cr_expect(m.samples == n - k[1] && m.unlabelled == k[1] && m.matched == k[2],
                  "%s: %d samples, %d matched", name, (int)m.samples, (int)m.matched);
        expect_scores(&m, scores + c * SCORES, k[3], name);
        metrics_free(&m);
        if (c < CASES - 1) first += n;
    }
    cr_expect(first == ALL);
    free(x);
    free(y);
}

Test(labels, no_known_class_is_no_score) {
    static const int64_t x[] = {0, 1, 7}, y[] = {-1, -1, INT64_MIN};
    Metrics m;
    cr_assert(metrics_compute(&m, x, y, 3, NULL) == OK);
    cr_expect(m.samples == 0 && m.unlabelled == 3 && isnan(m.cluster_acc) && isnan(m.nmi) &&
              isnan(m.ari) && isnan(m.mean_class_acc));
    metrics_free(&m);
}

static uint32_t draw(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* The sparse solver is held against the dense one, which has its own recorded goldens. */
Test(labels, sparse_matching_is_as_good_as_the_dense_one, .timeout = 60) {
    uint32_t state = 7;
    for (int round = 0; round < 300; round++) {
        const int64_t rows = 1 + draw(&state) % 24, cols = 1 + draw(&state) % 24;
        const uint32_t share = 1 + draw(&state) % 9, most = 1 + draw(&state) % 40;
        int64_t dense[24 * 24], begin[25] = {0}, col[24 * 24], weight[24 * 24], col_of[24], of[24];
        int64_t entries = 0, best, sum = 0;
        bool used[24] = {false};
        Error err;
        for (int64_t r = 0; r < rows; r++) {
            for (int64_t c = 0; c < cols; c++) {
                const int64_t w = draw(&state) % 10 < share ? 1 + draw(&state) % most : 0;
                dense[r * cols + c] = w;
                if (w) col[entries] = c, weight[entries++] = w;
            }
            begin[r + 1] = entries;
        }
        const SparseTable t = {rows, cols, begin, col, weight};
        ASSERT_OK(matching_greatest(&t, col_of, &err), err);
        ASSERT_OK(hungarian_i64(dense, rows, cols, true, of, &best, &err), err);
        for (int64_t r = 0; r < rows; r++) {
            if (col_of[r] < 0) continue;
            cr_assert(col_of[r] < cols && !used[col_of[r]]);
            used[col_of[r]] = true;
            sum += dense[r * cols + col_of[r]];
        }
        cr_assert(sum == best, "round %d: %d, best %d", round, (int)sum, (int)best);
    }
}

/* --- files ------------------------------------------------------------------------------------ */

typedef struct {
    LabelTable table;
    LabelFacts facts;
    int64_t y[64];
    Status status;
    Error err;
} Read;

static void read_labels(Read *r, int64_t N, const char *path) {
    *r = (Read){.err = {""}};
    r->status = label_file_read(r->y, N, path, "x.npy", &r->table, &r->facts, &r->err);
}

Test(labels, one_labelling_however_it_was_saved) {
    enum { N = 24, FIELDS = 6 };
    static const struct {
        const char *file;
        int row, classes; /* of scores.npy; distinct labels */
    } files[] = {{"unicode.npy", 0, 4},      {"unicode_big_endian.npy", 0, 4},
                 {"bytes.npy", 0, 4},        {"int64.npy", 0, 4},
                 {"int64_row.npy", 0, 4},    {"int64_column_fortran.npy", 0, 4},
                 {"float16.npy", 0, 4},      {"float32_big_endian.npy", 0, 4},
                 {"float64.npy", 0, 4},      {"savetxt.txt", 0, 4},
                 {"savetxt_int.txt", 0, 4},  {"pandas.csv", 0, 4},
                 {"pandas_float.csv", 0, 4}, {"pandas_quoted.csv", 0, 4},
                 {"crlf.txt", 0, 4},         {"uint64.npy", 1, 4},
                 {"fractions.npy", 1, 4},    {"bool.npy", 2, 2}};
    const double *scores = golden("scores/files/scores.npy", DTYPE_F64, 3 * FIELDS);
    const int64_t *clusters = golden("scores/files/clusters.npy", DTYPE_I64, N);
    for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
        const double *recorded = scores + files[f].row * FIELDS;
        char *path = format_text("tests/goldens/scores/files/%s", files[f].file);
        Metrics m;
        Read r;
        read_labels(&r, N, path);
        cr_assert(r.status == OK, "%s: %s", path, r.err.text);
        cr_expect(r.table.count == files[f].classes, "%s: %d classes", path, (int)r.table.count);
        ASSERT_OK(metrics_compute(&m, clusters, r.y, N, &r.err), r.err);
        cr_expect(m.samples == (int64_t)recorded[0] && m.matched == (int64_t)recorded[1] &&
                      r.facts.unknown == N - m.samples,
                  "%s: %d samples, %d matched", path, (int)m.samples, (int)m.matched);
        expect_scores(&m, recorded + 2, true, path);
        cr_expect((r.facts.fraction >= 0) == (strcmp(files[f].file, "fractions.npy") == 0), "%s",
                  path);
        metrics_free(&m);
        label_table_free(&r.table);
        free(path);
    }
}

/* Returns the labels of a text, as "name name ?"; the error if it is refused. */
static const char *read_text_labels(char *text, size_t bytes, const char *name, const char *content,
                                    size_t n, int64_t N) {
    char *folder = temporary_folder(), *path = format_text("%s/%s", folder, name);
    size_t used = 0;
    Read r;
    write_bytes(path, content, n);
    read_labels(&r, N, path);
    text[0] = '\0';
    if (r.status != OK) snprintf(text, bytes, "%s", r.err.text);
    for (int64_t i = 0; r.status == OK && i < N && used < bytes; i++)
        used += (size_t)snprintf(text + used, bytes - used, "%s%s", i ? " " : "",
                                 r.y[i] < 0 ? "?" : label_table_text(&r.table, r.y[i]));
    label_table_free(&r.table);
    remove_folder(folder);
    free(path);
    return text;
}

Test(labels, texts_are_read_as_they_are_meant) {
    static const struct {
        const char *name, *content;
        int64_t N;
        const char *labels; /* or words of the refusal */
    } cases[] = {
        {"y.txt", "1\n2\n3\n", 3, "1 2 3"},
        {"y.txt", "1\n2\n3", 3, "1 2 3"},
        {"y.txt", "1\r2\r3\r", 3, "1 2 3"},
        {"y.txt", "1.0\n2e0\n+3\n", 3, "1 2 3"},
        {"y.txt", "007\n-0\n1000000000000\n", 3, "7 0 1000000000000"},
        {"y.txt", "99999999999999999999\n-5\n-1\n", 3, "99999999999999999999 -5 ?"},
        {"y.txt", "0.5\n1e400\n2\n", 3, "0.5 1e400 2"},
        {"y.txt", "cat\n1\n01\n", 3, "cat 1 01"},
        {"y.txt", "0x1\n1e1\n-1\n", 3, "0x1 1e1 ?"},
        {"y.txt", "\n1\n\n", 3, "? 1 ?"},
        {"y.txt", "1\n2\n\n\n\n", 2, "1 2"},
        {"y.txt", "cat\ndog\n\n", 2, "cat dog"},
        {"y.txt", "nan\nNaN\n-\n-1\n4\n", 5, "? ? ? ? 4"},
        {"y.txt", "None\ninf\n", 2, "None inf"},
        {"y.txt", " 1 \n\t2\n", 2, "1 2"},
        {"y.csv", "label\n1\n2\n", 2, "1 2"},
        {"y.csv", "label\n1\n\n", 2, "1 ?"},
        {"y.txt", "# label\n1\n1\n", 2, "1 1"},
        {"y.csv", "0\ncat\ndog\n", 2, "cat dog"},
        {"y.csv", "species\ncat\ncat\n", 2, "cat cat"},
        {"y.csv", "\"cat\"\n\"a, \"\"b\"\"\"\n", 2, "cat a, \"b\""},
        {"y.txt", "crane, bird\nant\n", 2, "crane, bird ant"},
        {"y.txt", "class\ncat\n", 2, "class cat"},
        {"y.txt", "1\n", 1, "1"},
        {"y.txt", "1\n2\n", 3, "expected 3 labels, one per sample of x.npy, got 2"},
        {"y.txt", "1\n2\n", 1,
         "got 2: if features left images out, labels --phi PHI leaves out the same"},
        {"y.txt", "1\n2\n3\n", 2, "got 3"},
        {"y.txt", "label\n1\n2\n", 3, "got 2 below the header 'label'"},
        {"y.txt", "", 3, "got 0"},
        {"y.csv", "a,1\nb,2\n", 2, "has 2 columns"},
        {"y.csv", ",label\n0,1\n1,1\n", 2, "to_csv(index=False)"},
        {"y.txt", "a,1\nb,2\n", 2, "has 2 columns"},
        {"y.tsv", "a\t1\nb\t2\n", 2, "line 1 has several columns"},
        {"y.npz", "PK\3\4....", 2, "damaged or truncated"},
        {"y.pkl", "\x80\x04\x95", 2, "is a Python pickle"},
        {"y.h5", "\x89HDF\r\n", 2, "is an HDF5 file"},
        {"y.gz", "\x1f\x8b", 2, "gunzip it"},
        {"y.npy", "\x93NUMPY", 2, "truncated"},
    };
    char text[1024];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        read_text_labels(text, sizeof text, cases[i].name, cases[i].content,
                         strlen(cases[i].content), cases[i].N);
        cr_expect(strstr(text, cases[i].labels) &&
                      (strstr(text, "labels: ") || strstr(text, "npy: ") || strstr(text, "zip: ") ||
                       strcmp(text, cases[i].labels) == 0),
                  "case %d: expected '%s', got '%s'", (int)i, cases[i].labels, text);
    }
    cr_expect(strstr(read_text_labels(text, sizeof text, "y.txt", "1\0\n2\n", 5, 2), "zero"));
    cr_expect(strstr(read_text_labels(text, sizeof text, "y.txt",
                                      "\xff\xfe"
                                      "1\0",
                                      4, 2),
                     "UTF-8"));
}

Test(labels, arrays_of_another_shape_are_refused) {
    char *folder = temporary_folder(), *path = format_text("%s/y.npy", folder);
    float x[12] = {0};
    Error err;
    Read r;
    ASSERT_OK(npy_write(path, DTYPE_F32, 2, (const int64_t[]){4, 3}, x, &err), err);
    read_labels(&r, 4, path);
    cr_expect(r.status == ERR_FORMAT && strstr(r.err.text, "x.argmax(1)"), "%s", r.err.text);
    label_table_free(&r.table);
    read_labels(&r, 12, path); /* the number of elements does not make it a column */
    cr_expect(r.status == ERR_FORMAT && strstr(r.err.text, "(4, 3)"), "%s", r.err.text);
    label_table_free(&r.table);
    ASSERT_OK(npy_write(path, DTYPE_F32, 0, NULL, x, &err), err);
    read_labels(&r, 1, path);
    cr_expect(r.status == OK && r.y[0] == 0);
    label_table_free(&r.table);
    remove_folder(folder);
    free(path);
}

/* Every beginning of a file of texts is refused, as are headers that lie about sizes. */
Test(labels, damaged_arrays_of_texts_are_refused) {
    static const char *const headers[] = {
        "{'descr': '<U99999999999999999999', 'fortran_order': False, 'shape': (3,), }",
        "{'descr': '<U4', 'fortran_order': False, 'shape': (9223372036854775807, "
        "9223372036854775807), }",
        "{'descr': '<U1000000', 'fortran_order': False, 'shape': (400000000000000,), }",
        "{'descr': '<U0', 'fortran_order': False, 'shape': (1000000000000,), }",
        "{'descr': '<U', 'fortran_order': False, 'shape': (3,), }",
        "{'descr': '<U4', 'fortran_order': False, 'shape': (-3,), }",
        "{'descr': '<U4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1,1), }",
        "{'descr': '<U4', 'fortran_order': False, }",
        "{'descr': '|S4"};
    FileMap map;
    NpyText npy;
    Error err;
    bool is;
    ASSERT_OK(file_map(&map, "tests/goldens/scores/files/unicode.npy", &err), err);
    uint8_t *copy = malloc((size_t)map.bytes);
    for (int64_t n = 0; n < map.bytes; n++) {
        memcpy(copy, map.data, (size_t)n);
        const Status st = npy_text_open(&npy, &is, copy, n, "y.npy", &err);
        cr_expect(st == ERR_FORMAT || !is, "%d bytes", (int)n);
    }
    /* what is no character: a surrogate, one beyond Unicode, one behind the end of a text */
    static const uint32_t bad[] = {0xd800, 0x110000, 0xffffffff};
    for (int i = 0; i < 3; i++) {
        char text[64];
        memcpy(copy, map.data, (size_t)map.bytes);
        memcpy(copy + 128, &bad[i], sizeof bad[i]);
        cr_assert(npy_text_open(&npy, &is, copy, map.bytes, "y.npy", &err) == OK && is);
        cr_assert(npy_text_bytes(&npy) <= (int64_t)sizeof text);
        cr_expect(npy_text_get(&npy, 0, text) == -1);
    }
    free(copy);
    file_unmap(&map);
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        uint8_t file[512] = "\x93NUMPY\1\0";
        const size_t n = strlen(headers[i]);
        file[8] = (uint8_t)n;
        memcpy(file + 10, headers[i], n);
        const Status st = npy_text_open(&npy, &is, file, (int64_t)n + 10 + 64, "y.npy", &err);
        cr_expect(st == ERR_FORMAT && is, "%s", headers[i]);
    }
}

/* --- one table -------------------------------------------------------------------------------- */

Test(labels, one_table_keeps_indices_and_orders_the_rest) {
    static const char *const labels[] = {"10", "dog", "2", "cat", "-3", "10", "0"};
    static const int64_t expected[] = {3, 5, 2, 4, 0, 3, 1};
    LabelTable t = {0};
    int64_t number[7], now[7];
    Error err;
    for (int i = 0; i < 7; i++)
        ASSERT_OK(label_table_number(&t, labels[i], (int64_t)strlen(labels[i]), &number[i], &err),
                  err);
    cr_assert(t.count == 6);
    ASSERT_OK(label_table_sort(&t, now, &err), err);
    for (int i = 0; i < 7; i++) {
        int64_t again;
        cr_expect(now[number[i]] == expected[i], "%s", labels[i]);
        cr_expect(strcmp(label_table_text(&t, expected[i]), labels[i]) == 0, "%s", labels[i]);
        ASSERT_OK(label_table_number(&t, labels[i], (int64_t)strlen(labels[i]), &again, &err), err);
        cr_expect(again == expected[i]);
    }
    label_table_free(&t);
    label_table_free(&t);
    label_table_free(NULL);
}

Test(labels, a_hundred_thousand_distinct_labels, .timeout = 60) {
    enum { N = 100000 };
    LabelTable t = {0};
    int64_t number, *now = malloc(N * sizeof *now);
    char text[32];
    Error err;
    for (int round = 0; round < 2; round++)
        for (int64_t i = 0; i < N; i++) {
            const int n = snprintf(text, sizeof text, "%lld", (long long)(N - i) * 1000000007);
            ASSERT_OK(label_table_number(&t, text, n, &number, &err), err);
            cr_assert(number == i);
        }
    ASSERT_OK(label_table_sort(&t, now, &err), err);
    for (int64_t i = 0; i < N; i++) cr_assert(now[i] == N - 1 - i);
    label_table_free(&t);
    free(now);
}

/* --- where labels index names ----------------------------------------------------------------- */

/* Returns the indices of a text's labels under the names cat, dog and sea lion, or the refusal. */
static const char *apply_names(char *text, size_t bytes, const char *labels, int64_t N) {
    char *folder = temporary_folder(), *y = format_text("%s/y.txt", folder),
         *n = format_text("%s/names.txt", folder);
    Prompts names = {0};
    Split split = {.N = N, .labels_path = y, .y_true = malloc((size_t)N * sizeof *split.y_true)};
    LabelTable table = {0};
    Error err;
    size_t used = 0;
    write_bytes(y, labels, strlen(labels));
    write_bytes(n, "cat\tkitten\ndog\nsea lion\n", 24);
    ASSERT_OK(prompts_read_names(&names, n, &err), err);
    Status st = label_file_read(split.y_true, N, y, "x.npy", &table, &split.labels, &err);
    if (st == OK) st = label_names_apply(&split, &table, &names, &(TurtleHooks){0}, &err);
    if (st != OK) snprintf(text, bytes, "%s", err.text);
    for (int64_t i = 0; st == OK && i < N; i++)
        used += (size_t)snprintf(text + used, bytes - used, "%d", (int)split.y_true[i]);
    prompts_free(&names);
    label_table_free(&table);
    free(split.y_true);
    remove_folder(folder);
    free(y);
    free(n);
    return text;
}

Test(labels, ids_of_names_are_never_renumbered) {
    static const struct {
        const char *labels;
        int64_t N;
        const char *result;
    } cases[] = {{"2\n0\n1\n", 3, "201"},
                 {"2\n2\n2\n", 3, "222"},
                 {"2.0\n-1\n1\n", 3, "2-11"},
                 {"dog\ncat\nsea lion\n", 3, "102"},
                 {"Dog\nkitten\nsea_lion\n", 3, "102"},
                 {"dog\n\ncat\n", 3, "1-10"},
                 {"1\n2\n3\n", 3, "1-based"},
                 {"3\n3\n2\n", 3, "1-based"},
                 {"0\n1\n3\n", 3, "label 3 of sample 2 is not in the list of 3 class names"},
                 {"0\n-2\n1\n", 3, "label -2 of sample 1 is not in the list"},
                 {"0\n10\n20\n", 3, "label 10 of sample 1 is not in the list"},
                 {"0\n0.5\n1\n", 3, "label 0.5 of sample 1"},
                 {"0\n1000000000000\n1\n", 3, "label 1000000000000 of sample 1"},
                 {"cat\nwolf\ndog\n", 3, "label 'wolf' of sample 1 is none of the 3 class names"}};
    char text[1024];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        apply_names(text, sizeof text, cases[i].labels, cases[i].N);
        cr_expect(strstr(text, cases[i].result) != NULL, "case %d: %s", (int)i, text);
        cr_expect(!strstr(text, "--classes"), "%s", text);
    }
}
