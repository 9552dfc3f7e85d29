/* hdf5_test.c - arrays of bytes in HDF5 files: contiguous, in chunks below B-trees of any depth;
 * hostile files. */
#include "io/arrays/hdf5.h"
#include "tests/cpu/datasets/archives.h"
#include "tests/support/check.h"

enum { SIDE = 4, ROW = SIDE * SIDE * 3 };

static uint8_t *pixels(int64_t n) {
    uint8_t *data = malloc((size_t)(n * ROW));
    for (int64_t i = 0; i < n * ROW; i++) data[i] = (uint8_t)(i * 7 + i / 251);
    return data;
}

static FileMap map_of(const Bytes *b) {
    return (FileMap){.data = b->data, .bytes = (int64_t)b->size};
}

/* The test's writer lays files out as h5py does; depths come from a small number of children. */
Test(hdf5, chunks_are_found_below_trees_of_any_depth) {
    static const struct {
        int64_t n, rows;
        int fan;
    } cases[] = {{1, 32, 64}, {32, 32, 64}, {33, 32, 64}, {100, 3, 64},
                 {100, 3, 5}, {64, 1, 2},   {97, 2, 3}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const int64_t shape[4] = {cases[c].n, SIDE, SIDE, 3};
        uint8_t *data = pixels(cases[c].n);
        Bytes b = h5_chunked("x", shape, cases[c].rows, cases[c].fan, data);
        const FileMap map = map_of(&b);
        Hdf5Array a;
        Error err = {""};
        cr_assert(hdf5_is(&map));
        ASSERT_OK(hdf5_find(&a, &map, "x.h5", "x", &err), err);
        cr_assert(a.axes == 4 && a.dim[0] == cases[c].n && a.dim[1] == SIDE && a.dim[3] == 3 &&
                  a.row_bytes == ROW);
        cr_expect(a.chunk_rows == cases[c].rows &&
                  a.chunks == (cases[c].n + cases[c].rows - 1) / cases[c].rows);
        for (int64_t i = 0; i < cases[c].n; i++)
            cr_expect(memcmp(map.data + hdf5_row(&a, i), data + i * ROW, ROW) == 0,
                      "case %zu, row %d", c, (int)i);
        hdf5_close(&a), hdf5_close(&a);
        cr_expect(hdf5_find(&a, &map, "x.h5", "y", &err) == ERR_FORMAT &&
                      strstr(err.text, "there are: x"),
                  "%s", err.text);
        bytes_free(&b);
        free(data);
    }
}

Test(hdf5, contiguous_arrays_are_found) {
    const int64_t shape[4] = {300, 1, 1, 1};
    uint8_t *data = pixels(300);
    Bytes b = h5_contiguous("y", 4, shape, data);
    const FileMap map = map_of(&b);
    Hdf5Array a;
    Error err = {""};
    ASSERT_OK(hdf5_find(&a, &map, "y.h5", "y", &err), err);
    cr_expect(a.dim[0] == 300 && a.row_bytes == 1 && a.chunks == 1 && hdf5_row(&a, 0) == 2048);
    cr_expect(memcmp(map.data + hdf5_row(&a, 0), data, 300) == 0);
    hdf5_close(&a);
    bytes_free(&b);
    free(data);
}

/* Files that h5py itself wrote; tests/goldens/archives/MANIFEST says what they hold. */
Test(hdf5, files_of_h5py_are_read) {
    FileMap map;
    Hdf5Array a;
    Error err = {""};
    ASSERT_OK(file_map(&map, "tests/goldens/archives/chunks.h5", &err), err);
    ASSERT_OK(hdf5_find(&a, &map, "chunks.h5", "x", &err), err);
    cr_assert(a.axes == 4 && a.dim[0] == 100 && a.row_bytes == 12 && a.chunks == 100);
    for (int64_t i = 0; i < 1200; i++)
        cr_expect(map.data[hdf5_row(&a, i / 12) + i % 12] == i % 251, "element %d", (int)i);
    hdf5_close(&a);
    file_unmap(&map);
    ASSERT_OK(file_map(&map, "tests/goldens/archives/whole.h5", &err), err);
    ASSERT_OK(hdf5_find(&a, &map, "whole.h5", "y", &err), err);
    cr_assert(a.dim[0] == 64 && a.row_bytes == 1);
    for (int64_t i = 0; i < 64; i++) cr_expect(map.data[hdf5_row(&a, i)] == i % 2);
    hdf5_close(&a);
    file_unmap(&map);
}

/* Finds x, touches every row that was found, and returns the status. */
static Status touch(const uint8_t *data, size_t n, Error *err) {
    const FileMap map = {.data = data, .bytes = (int64_t)n};
    Hdf5Array a;
    volatile uint8_t last;
    const Status st = hdf5_find(&a, &map, "x.h5", "x", err);
    for (int64_t i = 0; st == OK && i < a.dim[0] && i < 1000; i++)
        last = data[hdf5_row(&a, i) + a.row_bytes - 1];
    (void)last;
    hdf5_close(&a);
    return st;
}

Test(hdf5, damaged_files_do_no_harm, .timeout = 60) {
    const int64_t shape[4] = {9, SIDE, SIDE, 3};
    uint8_t *data = pixels(9);
    Bytes b = h5_chunked("x", shape, 2, 2, data);
    const size_t tree = 1400 + 5 * 3656 < b.size ? 1400 + 5 * 3656 : b.size;
    Error err = {""};
    for (size_t n = 0; n < b.size; n += n < 2000 ? 1 : 61) {
        uint8_t *copy = malloc(n + 1);
        memcpy(copy, b.data, n);
        cr_expect(touch(copy, n, &err) != OK, "cut to %zu", n);
        free(copy);
    }
    for (size_t i = 0; i < tree; i++) {
        static const uint8_t changes[] = {0x01, 0x80, 0xff};
        if (!b.data[i] && i > 1400 && i % 5) continue; /* the rest of a node that is not full */
        for (int k = 0; k < 3; k++) {
            b.data[i] ^= changes[k];
            (void)touch(b.data, b.size, &err);
            b.data[i] ^= changes[k];
        }
    }
    bytes_free(&b);
    free(data);
}

/* A node above the leaves that is its own child, at whatever level it claims, is refused in
 * time. */
Test(hdf5, circles_are_refused, .timeout = 20) {
    const int64_t shape[4] = {64, SIDE, SIDE, 3};
    uint8_t *data = pixels(64);
    Bytes b = h5_chunked("x", shape, 1, 2, data);
    Error err = {""};
    for (size_t at = 1400; at + 3656 <= b.size; at += 3656) {
        if (memcmp(b.data + at, "TREE", 4) != 0 || b.data[at + 5] == 0) continue;
        for (int child = 0; child < b.data[at + 6];
             child++) { /* a key of 48 bytes stands before each */
            const size_t to = at + 24 + (size_t)child * 56 + 48;
            uint8_t kept[8];
            memcpy(kept, b.data + to, 8);
            bytes_set(&b, to, at, 8);
            cr_expect(touch(b.data, b.size, &err) == ERR_FORMAT && strstr(err.text, "fall by one"),
                      "%s", err.text);
            memcpy(b.data + to, kept, 8);
        }
    }
    cr_expect(touch(b.data, b.size, &err) == OK, "%s", err.text);
    bytes_free(&b);
    free(data);
}
