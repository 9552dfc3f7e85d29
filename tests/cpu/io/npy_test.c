/* npy_test.c - .npy files written by numpy, damaged ones, and ones written here. */
#include <fcntl.h>

#include "tests/support/check.h"
#include "tests/support/golden.h"

static Npy open_golden(const char *name) {
    Npy npy;
    Error err;
    char path[128], full[256];
    snprintf(path, sizeof path, "npy/%s.npy", name);
    ASSERT_OK(npy_open(&npy, golden_path(full, sizeof full, path), &err), err);
    return npy;
}

Test(npy, floats_of_every_size_and_byte_order) {
    static const char *const names[] = {"le_f2", "le_f4",    "le_f8",    "be_f2",   "be_f4",
                                        "be_f8", "version1", "version2", "version3"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        Npy npy = open_golden(names[i]);
        Error err;
        float x[12];
        cr_assert(npy.axes == 2 && npy.shape[0] == 3 && npy.shape[1] == 4 && npy.count == 12);
        ASSERT_OK(npy_read_f32(&npy, 0, 12, x, &err), err);
        for (int e = 0; e < 12; e++)
            cr_expect(x[e] == 0.5f * (float)(e - 3), "%s[%d]", names[i], e);
        ASSERT_OK(npy_read_f32(&npy, 5, 2, x, &err), err);
        cr_expect(x[0] == 1.0f && x[1] == 1.5f, "%s from 5", names[i]);
        int64_t whole[1];
        cr_expect(npy_read_i64(&npy, 0, 1, whole, &err) == ERR_ARG);
        npy_close(&npy);
    }
}

Test(npy, integers_of_every_size_sign_and_byte_order) {
    static const char *const names[] = {"le_i1", "le_i2", "le_i4", "le_i8", "be_i2",
                                        "be_i4", "be_i8", "le_u1", "le_u2", "le_u4",
                                        "le_u8", "be_u2", "be_u4", "be_u8"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        Npy npy = open_golden(names[i]);
        Error err;
        int64_t x[12];
        ASSERT_OK(npy_read_i64(&npy, 0, 12, x, &err), err);
        for (int e = 0; e < 12; e++)
            cr_expect(x[e] == (names[i][3] == 'u' ? e : e - 3), "%s[%d]", names[i], e);
        float f[1];
        cr_expect(npy_read_f32(&npy, 0, 1, f, &err) == ERR_ARG);
        npy_close(&npy);
    }
    Npy npy = open_golden("bool");
    Error err;
    int64_t x[12];
    ASSERT_OK(npy_read_i64(&npy, 0, 12, x, &err), err);
    for (int e = 0; e < 12; e++) cr_expect(x[e] == (e % 3 == 0));
    npy_close(&npy);
    npy = open_golden("big_u8");
    cr_expect(npy_read_i64(&npy, 0, 1, x, &err) == OK && x[0] == 1);
    cr_expect(npy_read_i64(&npy, 0, 2, x, &err) == ERR_FORMAT);
    npy_close(&npy);
}

/* Every float16 converts as in numpy, bit for bit but for the payloads of NaN. */
Test(npy, every_half_is_converted_exactly) {
    const float *expected = golden("npy/half_all_f32.npy", DTYPE_F32, 65536);
    Npy npy = open_golden("half_all");
    Error err;
    static float x[65536];
    int bad = 0;
    ASSERT_OK(npy_read_f32(&npy, 0, 65536, x, &err), err);
    for (int i = 0; i < 65536; i++)
        bad += isnan(expected[i]) ? !isnan(x[i]) : memcmp(&x[i], &expected[i], 4) != 0;
    cr_expect(bad == 0, "%d differ", bad);
    npy_close(&npy);
}

Test(npy, shapes_of_no_one_and_two_axes) {
    Npy scalar = open_golden("scalar"), vector = open_golden("vector"),
        empty = open_golden("empty");
    Npy column = open_golden("fortran_column");
    Error err;
    float x[4];
    cr_expect(scalar.axes == 0 && scalar.count == 1);
    cr_expect(npy_read_f32(&scalar, 0, 1, x, &err) == OK && x[0] == 2.5f);
    cr_expect(vector.axes == 1 && vector.shape[0] == 5);
    cr_expect(empty.axes == 2 && empty.count == 0 && npy_read_f32(&empty, 0, 0, x, &err) == OK);
    cr_expect(npy_read_f32(&empty, 0, 1, x, &err) == ERR_ARG);
    cr_expect(npy_read_f32(&column, 0, 4, x, &err) == OK && x[3] == 3.0f);
    npy_close(&scalar), npy_close(&vector), npy_close(&empty), npy_close(&column);
}

Test(npy, arrays_that_are_not_read_are_named) {
    static const struct {
        const char *name, *says;
    } refused[] = {{"complex", "<c8"}, {"structured", "structured"}, {"text", "<U2"},
                   {"object", "|O"},   {"missing", "No such file"},  {"", "folder"}};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        char path[128];
        Npy npy;
        Error err = {""};
        snprintf(path, sizeof path,
                 *refused[i].name ? "tests/goldens/npy/%s.npy" : "tests/goldens/npy%s",
                 refused[i].name);
        cr_expect(npy_open(&npy, path, &err) != OK, "%s", path);
        cr_expect(strstr(err.text, refused[i].says) && strstr(err.text, "tests/goldens/npy"), "%s",
                  err.text);
        cr_expect(npy.data == NULL && npy.map.data == NULL);
    }
}

/* A file that is cut anywhere is refused, and so is one whose header no longer parses after a
 * changed byte. Nothing may crash: under the sanitizers this is the test of the parser's bounds. */
Test(npy, truncated_and_damaged_files_are_refused, .timeout = 60) {
    char *folder = temporary_folder(), *path = format_text("%s/x.npy", folder);
    FileMap map;
    Npy npy;
    Error err;
    ASSERT_OK(file_map(&map, "tests/goldens/npy/le_f4.npy", &err), err);
    for (int64_t n = 0; n < map.bytes; n++) {
        write_bytes(path, map.data, (size_t)n);
        cr_expect(npy_open(&npy, path, &err) == ERR_FORMAT, "%d bytes", (int)n);
        npy_close(&npy);
    }
    uint8_t bytes[256]; /* the file is 176 bytes long */
    cr_assert(map.bytes <= (int64_t)sizeof bytes);
    for (int64_t i = 0; i < map.bytes; i++)
        for (int flip = 1; flip < 256; flip *= 4) {
            memcpy(bytes, map.data, (size_t)map.bytes);
            bytes[i] ^= (uint8_t)flip;
            write_bytes(path, bytes, (size_t)map.bytes);
            const Status st = npy_open(&npy, path, &err);
            cr_expect(st == OK || st == ERR_FORMAT, "byte %d", (int)i);
            if (st == OK) cr_expect(npy.count * dtype_bytes(npy.type) <= map.bytes);
            npy_close(&npy);
        }
    static const char *const shapes[] = {"(99999999999999999999,)",
                                         "(3037000500,3037000500)",
                                         "(4611686018427387904,)",
                                         "(-1,)",
                                         "(3,4",
                                         "(3;4)",
                                         "(1,1,1,1,1,1,1,1,1)"};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        char text[256] = "\x93NUMPY\x01";
        const int n =
            snprintf(text + 10, sizeof text - 10,
                     "{'descr': '<f4', 'fortran_order': False, 'shape': %s, }\n", shapes[i]);
        text[7] = 0, text[8] = (char)n, text[9] = 0;
        write_bytes(path, text, 10 + (size_t)n + 64);
        cr_expect(npy_open(&npy, path, &err) == ERR_FORMAT, "%s", shapes[i]);
    }
    file_unmap(&map);
    free(path);
    remove_folder(folder);
}

/* The file holds more than 4 GiB of float32, of which only two pages exist. */
Test(npy, files_beyond_4_gib_are_read) {
    enum { HEADER = 128 };
    const int64_t N = 1200000000;
    char *folder = temporary_folder(), *path = format_text("%s/large.npy", folder);
    char header[HEADER + 1] = "\x93NUMPY\x01";
    header[7] = 0, header[8] = HEADER - 10, header[9] = 0;
    snprintf(header + 10, HEADER - 10, "%-117s",
             "{'descr': '<f4', 'fortran_order': False, 'shape': (1200000000,), }");
    header[HEADER - 1] = '\n';
    write_bytes(path, header, HEADER);
    const float marks[2] = {1.25f, -7.5f};
    const int fd = open(path, O_WRONLY);
    cr_assert(fd >= 0);
    if (pwrite(fd, marks, sizeof marks, HEADER + 4 * (N - 2)) != sizeof marks) {
        close(fd);
        remove_folder(folder);
        free(path);
        cr_skip_test("no sparse files of 5 GB here");
    }
    close(fd);
    Npy npy;
    Error err;
    float x[3];
    ASSERT_OK(npy_open(&npy, path, &err), err);
    ASSERT_OK(npy_read_f32(&npy, N - 3, 3, x, &err), err);
    cr_expect(x[0] == 0.0f && x[1] == 1.25f && x[2] == -7.5f);
    cr_expect(npy_read_f32(&npy, N - 2, 3, x, &err) == ERR_ARG);
    npy_close(&npy);
    free(path);
    remove_folder(folder);
}

/* Written files are, byte for byte, those that numpy writes. */
Test(npy, written_files_are_numpys) {
    char *folder = temporary_folder(), *path = format_text("%s/sub/x.npy", folder);
    Error err;
    float f4[12];
    int64_t i8[12];
    uint8_t u1[12];
    for (int i = 0; i < 12; i++) f4[i] = 0.5f * (float)(i - 3), i8[i] = i - 3, u1[i] = (uint8_t)i;
    ASSERT_OK(npy_write(path, DTYPE_F32, 2, (const int64_t[]){3, 4}, f4, &err), err);
    cr_expect(same_files(path, "tests/goldens/npy/le_f4.npy"));
    ASSERT_OK(npy_write(path, DTYPE_I64, 2, (const int64_t[]){3, 4}, i8, &err), err);
    cr_expect(same_files(path, "tests/goldens/npy/le_i8.npy"));
    ASSERT_OK(npy_write(path, DTYPE_U8, 2, (const int64_t[]){3, 4}, u1, &err), err);
    cr_expect(same_files(path, "tests/goldens/npy/le_u1.npy"));
    const float scalar = 2.5f, vector[] = {0, 1, 2, 3, 4};
    ASSERT_OK(npy_write(path, DTYPE_F32, 0, NULL, &scalar, &err), err);
    cr_expect(same_files(path, "tests/goldens/npy/scalar.npy"));
    ASSERT_OK(npy_write(path, DTYPE_F32, 1, (const int64_t[]){5}, vector, &err), err);
    cr_expect(same_files(path, "tests/goldens/npy/vector.npy"));
    cr_expect(npy_write(path, DTYPE_BF16, 1, (const int64_t[]){5}, vector, &err) == ERR_ARG);
    free(path);
    remove_folder(folder);
}
