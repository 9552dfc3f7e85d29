/* matlab_test.c - variables of MAT-files in either byte order, small and compressed; damaged
 * files. */
#include "io/arrays/matlab.h"
#include "tests/cpu/datasets/archives.h"
#include "tests/support/check.h"

static FileMap map_of(const Bytes *b) {
    return (FileMap){.data = b->data, .bytes = (int64_t)b->size};
}

/* A file as flowers and cars have it. */
static Bytes published(void) {
    static const int64_t ids[] = {1, 300, 70000, 102};
    static const MatField fields[] = {{"fname", "00001.jpg", 0}, {"class", NULL, 14},
                                      {"fname", "00002.jpg", 0}, {"class", NULL, 196},
                                      {"fname", "", 0},          {"class", NULL, 3000}};
    static const char *const names[] = {"AM General Hummer SUV 2000", "Acura RL", ""};
    Bytes b = mat_header();
    mat_row(&b, "setid", ids, 4);
    mat_structs(&b, "annotations", fields, 2, 3);
    mat_cells(&b, "class_names", names, 3);
    return b;
}

/* Reads everything that there is in a variable, whatever it is. */
static Status read_all(MatFile *f, const char *name, Error *err) {
    MatArray a, *out = malloc(MAT_MOST_FIELDS * sizeof *out);
    Status st = mat_find(f, name, &a, err);
    bool more = st == OK;
    MatWalk w = mat_walk(&a);
    while (st == OK && more) {
        char text[64];
        double x;
        st = mat_walk_element(f, &w, out, &more, err);
        for (int i = 0; st == OK && more && i < (a.kind == MAT_STRUCT ? a.fields : 1); i++) {
            (void)mat_text(&out[i], text, sizeof text, err);
            if (out[i].kind == MAT_NUMBERS && out[i].count)
                (void)mat_f64(&out[i], out[i].count - 1, 1, &x, err);
        }
    }
    free(out);
    return st;
}

Test(matlab, published_files_are_read) {
    Bytes b = published();
    const FileMap map = map_of(&b);
    MatFile *f;
    MatArray a, e[MAT_MOST_FIELDS];
    Error err = {""};
    int64_t ids[4];
    double real[4];
    char text[64];
    bool more;
    ASSERT_OK(mat_open(&f, &map, "x.mat", &err), err);
    ASSERT_OK(mat_find(f, "setid", &a, &err), err);
    cr_expect(a.kind == MAT_NUMBERS && a.axes == 2 && a.dim[0] == 1 && a.dim[1] == 4 &&
              a.count == 4);
    ASSERT_OK(mat_i64(&a, 0, 4, ids, &err), err);
    ASSERT_OK(mat_f64(&a, 0, 4, real, &err), err);
    cr_expect(ids[0] == 1 && ids[1] == 300 && ids[2] == 70000 && ids[3] == 102 && real[2] == 70000);
    cr_expect(mat_i64(&a, 1, 4, ids, &err) == ERR_FORMAT &&
              mat_text(&a, text, 64, &err) == ERR_FORMAT);

    static const char *const names[] = {"00001.jpg", "00002.jpg", ""};
    static const int64_t classes[] = {14, 196, 3000};
    ASSERT_OK(mat_find(f, "annotations", &a, &err), err);
    const int fname = mat_field(&a, "fname"), class = mat_field(&a, "class");
    cr_assert(a.kind == MAT_STRUCT && a.count == 3 && a.fields == 2 && fname == 0 && class == 1);
    cr_expect(mat_field(&a, "clas") == -1);
    MatWalk w = mat_walk(&a);
    for (int i = 0; i < 3; i++) {
        ASSERT_OK(mat_walk_element(f, &w, e, &more, &err), err);
        cr_assert(more);
        ASSERT_OK(mat_text(&e[fname], text, sizeof text, &err), err);
        ASSERT_OK(mat_i64(&e[class], 0, 1, ids, &err), err);
        cr_expect(strcmp(text, names[i]) == 0 && ids[0] == classes[i], "%d: %s %d", i, text,
                  (int)ids[0]);
        cr_expect(!*names[i] || mat_text(&e[fname], text, 9, &err) == ERR_FORMAT,
                  "nine bytes and a zero need ten");
    }
    ASSERT_OK(mat_walk_element(f, &w, e, &more, &err), err);
    cr_expect(!more);

    ASSERT_OK(mat_find(f, "class_names", &a, &err), err);
    cr_assert(a.kind == MAT_CELL && a.count == 3);
    w = mat_walk(&a);
    ASSERT_OK(mat_walk_element(f, &w, e, &more, &err), err);
    ASSERT_OK(mat_text(e, text, sizeof text, &err), err);
    cr_expect_str_eq(text, "AM General Hummer SUV 2000");
    cr_expect(mat_find(f, "labels", &a, &err) == ERR_FORMAT &&
                  strstr(err.text, "there are: setid, annotations, class_names"),
              "%s", err.text);
    mat_close(f);
    bytes_free(&b);
}

/* Files that SciPy wrote; tests/goldens/archives/MANIFEST says what they hold. */
Test(matlab, files_of_scipy_are_read) {
    static const char *const paths[] = {"tests/goldens/archives/plain.mat",
                                        "tests/goldens/archives/packed.mat"};
    static const char *const names[] = {"AM General Hummer SUV 2000", "\xc3\xa9 \xe2\x98\x83", ""};
    for (int p = 0; p < 2; p++) {
        FileMap map;
        MatFile *f;
        MatArray a, e[MAT_MOST_FIELDS];
        Error err = {""};
        int64_t whole[30];
        char text[64];
        bool more;
        ASSERT_OK(file_map(&map, paths[p], &err), err);
        ASSERT_OK(mat_open(&f, &map, paths[p], &err), err);
        ASSERT_OK(mat_find(f, "labels", &a, &err), err);
        ASSERT_OK(mat_i64(&a, 0, 30, whole, &err), err);
        for (int i = 0; i < 30; i++) cr_expect(whole[i] == i + 1);
        ASSERT_OK(mat_find(f, "class_names", &a, &err), err);
        MatWalk w = mat_walk(&a);
        for (int i = 0; i < 3; i++) {
            ASSERT_OK(mat_walk_element(f, &w, e, &more, &err), err);
            ASSERT_OK(mat_text(e, text, sizeof text, &err), err);
            cr_expect_str_eq(text, names[i]);
        }
        ASSERT_OK(mat_find(f, "annotations", &a, &err), err);
        cr_assert(a.count == 3 && a.fields == 3);
        w = mat_walk(&a);
        for (int i = 0; i < 3; i++) {
            char expected[16];
            ASSERT_OK(mat_walk_element(f, &w, e, &more, &err), err);
            ASSERT_OK(mat_i64(&e[mat_field(&a, "class")], 0, 1, whole, &err), err);
            ASSERT_OK(mat_text(&e[mat_field(&a, "fname")], text, sizeof text, &err), err);
            snprintf(expected, sizeof expected, "%05d.jpg", i);
            cr_expect(whole[0] == i + 1 && strcmp(text, expected) == 0, "%d: %s", i, text);
        }
        mat_close(f);
        file_unmap(&map);
    }
}

/* --- files written out here ------------------------------------------------------------------- */

static void put(Bytes *b, bool big, uint64_t value, int bytes) {
    if (big) bytes_big(b, value, bytes);
    else bytes_little(b, value, bytes);
}

static Bytes header(bool big) {
    Bytes b = {0};
    for (int i = 0; i < 124; i++) bytes_string(&b, " ");
    put(&b, big, 0x0100, 2);
    bytes_string(&b, big ? "MI" : "IM");
    return b;
}

/* Adds a row (1,n) named x of class `class`, stored as `type` with `each` bytes an element. */
static void row(Bytes *b, bool big, int class, int type, int each, const uint64_t *value, int n) {
    const int data = n * each, padded = (data + 7) / 8 * 8;
    put(b, big, 14, 4), put(b, big, (uint64_t)(16 + 16 + 8 + 8 + padded), 4);
    put(b, big, 6, 4), put(b, big, 8, 4), put(b, big, (uint64_t) class, 4), put(b, big, 0, 4);
    put(b, big, 5, 4), put(b, big, 8, 4), put(b, big, 1, 4), put(b, big, (uint64_t)n, 4);
    put(b, big, 1 | 1 << 16, 4), bytes_add(b, "x\0\0\0", 4); /* a small element */
    put(b, big, (uint64_t)type, 4), put(b, big, (uint64_t)data, 4);
    for (int i = 0; i < n; i++) put(b, big, value[i], each);
    bytes_zeros(b, (size_t)(padded - data));
}

Test(matlab, numbers_of_every_type_and_byte_order) {
    static const struct {
        int type, each;
        uint64_t value[3];
        double real[3];
    } cases[] = {{1, 1, {1, 0xff, 0x80}, {1, -1, -128}},
                 {2, 1, {1, 0xff, 0x80}, {1, 255, 128}},
                 {3, 2, {1, 0xffff, 0x8000}, {1, -1, -32768}},
                 {4, 2, {1, 0xffff, 0x8000}, {1, 65535, 32768}},
                 {5, 4, {1, 0xffffffff, 0x80000000}, {1, -1, -2147483648.0}},
                 {6, 4, {1, 0xffffffff, 0x80000000}, {1, 4294967295.0, 2147483648.0}},
                 {7, 4, {0x3f800000, 0xc0000000, 0}, {1, -2, 0}},
                 {9, 8, {0x3ff0000000000000, 0xc000000000000000, 0}, {1, -2, 0}},
                 {12, 8, {1, UINT64_MAX, 1ull << 40}, {1, -1, 1099511627776.0}},
                 {13, 8, {1, 1ull << 40, 2}, {1, 1099511627776.0, 2}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int big = 0; big < 2; big++) {
            Bytes b = header(big);
            row(&b, big, 6, cases[i].type, cases[i].each, cases[i].value, 3);
            const FileMap map = map_of(&b);
            MatFile *f;
            MatArray a;
            Error err = {""};
            double real[3];
            int64_t whole[3];
            ASSERT_OK(mat_open(&f, &map, "x.mat", &err), err);
            ASSERT_OK(mat_find(f, "x", &a, &err), err);
            ASSERT_OK(mat_f64(&a, 0, 3, real, &err), err);
            ASSERT_OK(mat_i64(&a, 0, 3, whole, &err), err);
            for (int k = 0; k < 3; k++)
                cr_expect(real[k] == cases[i].real[k] && (double)whole[k] == cases[i].real[k],
                          "type %d, element %d", cases[i].type, k);
            mat_close(f);
            bytes_free(&b);
        }
}

/* Opens and finds x; the refusal's message holds `word`. */
static void expect_refused(Bytes *b, const char *word) {
    const FileMap map = map_of(b);
    MatFile *f;
    MatArray a;
    Error err = {""};
    int64_t whole;
    Status st = mat_open(&f, &map, "x.mat", &err);
    if (st == OK) st = mat_find(f, "x", &a, &err);
    if (st == OK) st = mat_i64(&a, 0, 1, &whole, &err);
    cr_expect(st == ERR_FORMAT && strstr(err.text, word), "expected %s: %s", word, err.text);
    mat_close(f);
    bytes_free(b);
}

Test(matlab, what_is_not_read_is_named) {
    static const uint64_t half[] = {0x3fe0000000000000}, nan[] = {0x7ff8000000000000},
                          far[] = {UINT64_MAX};
    Bytes b = header(false);
    row(&b, false, 6, 9, 8, half, 1);
    expect_refused(&b, "whole number");
    b = header(true);
    row(&b, true, 6, 9, 8, nan, 1);
    expect_refused(&b, "whole number");
    b = header(false);
    row(&b, false, 15, 13, 8, far, 1);
    expect_refused(&b, "beyond int64");
    b = header(false);
    row(&b, false, 5, 9, 8, half, 1);
    expect_refused(&b, "class 5");
    b = header(false);
    row(&b, false, 6 | 0x800, 9, 8, half, 1);
    expect_refused(&b, "complex");
    b = header(false);
    row(&b, false, 6, 14, 8, half, 1);
    expect_refused(&b, "unknown type");
    b = header(false);
    row(&b, false, 6, 9, 8, half, 1);
    bytes_set(&b, 128 + 8 + 16 + 8 + 4, 2, 4); /* two columns */
    expect_refused(&b, "number of elements");
    bytes_string(&b, "MATLAB 7.3 MAT-file");
    bytes_zeros(&b, 200);
    expect_refused(&b, "-v7");
    bytes_zeros(&b, 200);
    expect_refused(&b, "level 5");
}

/* A kilobyte inflates to 64 MiB: it is refused at 32. */
Test(matlab, a_bomb_is_refused) {
    enum { BYTES = 65 << 20 };
    uint8_t *zeros = calloc(1, BYTES);
    Bytes b = header(false), z = zlib_of(zeros, BYTES);
    bytes_little(&b, 15, 4), bytes_little(&b, z.size, 4);
    bytes_add(&b, z.data, z.size);
    expect_refused(&b, "inflates to more");
    bytes_free(&z);
    free(zeros);
}

/* A struct array of two thousand million elements takes 100 bytes where it has no fields (found by fuzzing). */
Test(matlab, structs_without_fields_end_at_once) {
    Bytes b = mat_header();
    mat_structs(&b, "x", NULL, 0, 2000000000);
    const FileMap map = map_of(&b);
    MatFile *f;
    MatArray a, e[MAT_MOST_FIELDS];
    Error err = {""};
    bool more = true;
    ASSERT_OK(mat_open(&f, &map, "x.mat", &err), err);
    ASSERT_OK(mat_find(f, "x", &a, &err), err);
    cr_assert(a.kind == MAT_STRUCT && a.fields == 0 && a.count == 2000000000);
    MatWalk w = mat_walk(&a);
    ASSERT_OK(mat_walk_element(f, &w, e, &more, &err), err);
    cr_expect(!more);
    mat_close(f);
    bytes_free(&b);
}

/* Files cut at any byte and files with any byte changed come back, with a result or with an
 * error. */
Test(matlab, damaged_files_do_no_harm, .timeout = 60) {
    static const uint64_t value[] = {1, 2, 3};
    static const char *const names[] = {"setid", "annotations", "class_names", "x"};
    for (int kind = 0; kind < 2; kind++) {
        Bytes b = kind ? header(true) : published();
        if (kind) row(&b, true, 6, 2, 1, value, 3);
        for (size_t i = 0; i < 2 * b.size; i++) {
            const bool cut = i >= b.size;
            const size_t n = cut ? i - b.size : b.size;
            uint8_t *copy = malloc(n + 1); /* its own memory: a sanitizer sees a byte too far */
            memcpy(copy, b.data, n);
            if (!cut) copy[i] ^= (uint8_t)(1 << i % 8);
            const FileMap map = {.data = copy, .bytes = (int64_t)n};
            MatFile *f;
            Error err = {""};
            Status all = mat_open(&f, &map, "x.mat", &err);
            for (int k = 0; all == OK && k < 4 && (k == 3) == kind; k++)
                all = read_all(f, names[k], &err);
            if (kind) all = f ? read_all(f, "x", &err) : all;
            if (cut && n < b.size - 8) cr_expect(all != OK, "cut to %zu", n);
            mat_close(f);
            free(copy);
        }
        bytes_free(&b);
    }
}
