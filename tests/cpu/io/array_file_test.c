/* array_file_test.c - arrays from every kind of file that people keep them in; other files are
 * named. */
#include "io/arrays/array_file.h"

#include "io/files/inflate.h"
#include "io/files/zip.h"
#include "io/images/stb.h"
#include "tests/support/check.h"

#define GOLDENS "tests/goldens/arrays/"

/* Expects the golden array x in a file of any kind. */
static void expect_x(const char *spec) {
    ArrayFile a;
    Error err = {""};
    double x[15];
    ASSERT_OK(array_open(&a, spec, &err), err);
    cr_assert(a.axes == 2 && a.shape[0] == 5 && a.shape[1] == 3, "%s", spec);
    ASSERT_OK(array_read_f64(&a, 0, 15, x, &err), err);
    for (int i = 0; i < 15; i++) cr_expect(x[i] == (i - 7) / 2.0, "%s[%d] is %g", spec, i, x[i]);
    cr_expect(array_read_f64(&a, 10, 6, x, &err) == ERR_ARG);
    array_close(&a);
    array_close(&a);
}

Test(array_file, one_array_needs_no_name) {
    static const char *const specs[] = {GOLDENS "one.npz",
                                        GOLDENS "one.npz:feat",
                                        GOLDENS "one.npz:feat.npy",
                                        GOLDENS "two.npz:feat",
                                        GOLDENS "packed.npz:feat",
                                        GOLDENS "fortran.npz",
                                        GOLDENS "fortran.npz:arr_0",
                                        GOLDENS "streamed.npz",
                                        GOLDENS "one.safetensors",
                                        GOLDENS "one.safetensors:feat",
                                        GOLDENS "two.safetensors:feat"};
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) expect_x(specs[i]);
}

/* A path that exists as it is wins over one that is cut at a ':'. */
Test(array_file, colons_in_paths) {
    char *folder = temporary_folder(), *inside = format_text("%s/a:b", folder);
    char *whole = format_text("%s/one.npz:feat", inside), *cut = format_text("%s/one.npz", inside);
    char *named = format_text("%s:y", cut);
    FileMap one, two;
    Error err;
    ArrayFile a;
    ASSERT_OK(folder_make(inside, &err), err);
    ASSERT_OK(file_map(&one, GOLDENS "one.npz", &err), err);
    ASSERT_OK(file_map(&two, GOLDENS "two.npz", &err), err);
    write_bytes(cut, two.data, (size_t)two.bytes);
    expect_x(whole); /* two.npz holds an array of that name */
    write_bytes(whole, one.data, (size_t)one.bytes);
    expect_x(whole);
    ASSERT_OK(array_open(&a, named, &err), err);
    cr_expect(a.axes == 1 && a.count == 5 && strcmp(a.name, "y") == 0);
    array_close(&a);
    file_unmap(&one), file_unmap(&two);
    free(inside), free(whole), free(cut), free(named);
    remove_folder(folder);
}

Test(array_file, tensors_of_torch) {
    ArrayFile a;
    Error err;
    float x[6];
    static const char *const specs[] = {
        "tests/goldens/torch/types.pt:bfloat16", "tests/goldens/torch/legacy_types.pt:half",
        "tests/goldens/torch/types.pt:double", "tests/goldens/torch/legacy_types.pt:float"};
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        ASSERT_OK(array_open(&a, specs[i], &err), err);
        ASSERT_OK(array_read_f32(&a, 0, 6, x, &err), err);
        cr_expect(a.count == 6 && x[0] == -2.0f && x[5] == 3.0f, "%s", specs[i]);
        array_close(&a);
    }
    ASSERT_OK(array_open(&a, "tests/goldens/torch/nested.pt:phi1/weight", &err), err);
    cr_expect(a.axes == 2 && a.shape[0] == 3 && a.shape[1] == 4);
    array_close(&a);
}

Test(array_file, fortran_order_of_any_axes) {
    static const char *const files[] = {GOLDENS "fortran3.npy", "tests/goldens/npy/fortran.npy"};
    for (int f = 0; f < 2; f++) {
        ArrayFile a;
        Error err;
        double x[24];
        ASSERT_OK(array_open(&a, files[f], &err), err);
        cr_assert(a.reordered && a.count == (f ? 12 : 24));
        ASSERT_OK(array_read_f64(&a, 0, a.count, x, &err), err);
        for (int i = 0; i < a.count; i++) cr_expect(x[i] == (f ? i - 3 : i), "%d: %g", i, x[i]);
        array_close(&a);
    }
}

/* --- what is refused -------------------------------------------------------------------------- */

Test(array_file, a_choice_is_asked_for_by_name) {
    static const struct {
        const char *spec, *says;
    } refused[] = {
        {GOLDENS "two.npz", "feat, y"},
        {GOLDENS "two.npz:z", "no array 'z'; it holds feat, y"},
        {GOLDENS "packed.npz:", "No such file"},
        {GOLDENS "two.safetensors", "2 arrays"},
        {GOLDENS "bzip2.npz", "method 12"},
        {GOLDENS "sparse.npz", "toarray()"},
        {GOLDENS "fortran3.npy:x", "without a name"},
        {GOLDENS "none.npz:x", "No such file"},
        {"tests/goldens/torch/types.pt", "10 arrays: half, bfloat16"},
        {"tests/goldens/npy/object.npy", "Python objects"},
        {"tests/goldens/npy/text.npy", "text"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        ArrayFile a;
        Error err = {""};
        cr_expect(array_open(&a, refused[i].spec, &err) != OK, "%s", refused[i].spec);
        cr_expect(strstr(err.text, refused[i].says), "%s: %s", refused[i].says, err.text);
        cr_expect(a.path == NULL && a.data == NULL && a.map.data == NULL);
    }
}

/* The bytes of a file tell its kind, whatever its name; the message holds the line to run. */
Test(array_file, other_files_are_named_and_converted) {
    static const struct {
        const char *bytes, *is, *line;
    } files[] = {
        {"1,2,3\n4,5,6\n", "CSV", "loadtxt('FILE', delimiter=',')"},
        {"1;2.5;3\n4;5;6\n", "CSV", "delimiter=';'"},
        {"1\t2\t-3e5\n", "TSV", "delimiter='\\t'"},
        {"1 2 3\n4 5 6\n", "between blanks", "loadtxt('FILE')"},
        {"# made by hand\n1.5 2\n", "between blanks", "loadtxt('FILE')"},
        {"a,b,c\n1,2,3\n", "header line", "skiprows=1"},
        {"\xef\xbb\xbf"
         "a,b\n1,2\n",
         "header line", "skiprows=1"},
        {"name,a,b\nx.png,1,2\n", "header line", "usecols=range(1, 3)"},
        {"x.png,1,2\ny.png,3,4\n", "CSV", "delimiter=',', usecols=range(1, 3)"},
        {"x,cat,2\ny,dog,4\n", "not all numbers", "save the numbers"},
        {"[[1, 2], [3, 4]]", "JSON", "json.load(open('FILE'))"},
        {"{\"a\": [1, 2]}\n", "JSON", "json"},
        {"PAR1............PAR1", "Parquet", "read_parquet"},
        {"ARROW1..........", "Arrow", "read_feather"},
        {"FEA1............", "Feather", "read_feather"},
        {"\x89HDF\r\n\x1a\n........", "HDF5", "h5py.File('FILE')"},
        {"MATLAB 5.0 MAT-file, Platform: GLNXA64", "MATLAB", "scipy.io.loadmat"},
        {"\x80\x04\x95.....cbuiltins\neval\n.", "pickle", "pickle.load(open('FILE', 'rb'))"},
        {"\x1f\x8b\x08.......", "gzip", "gunzip"},
        {"(\xb5/\xfd......", "zstd", "unzstd"},
        {"version https://git-lfs.github.com/spec/v1\n", "Git LFS", "git lfs pull"},
        {"<!DOCTYPE html><html>", "web page", "fetch it again"},
        {"\x89PNG\r\n\x1a\n....", "PNG image", "turtle features"},
        {"\x01\x02\x03\x04\xff\xfe\x80\x81", "no kind that is known", "fromfile"},
        {"\xff\xfe"
         "1...",
         "UTF-16", "UTF-8"},
        {"", "empty", "expected .npy"},
    };
    char *folder = temporary_folder(), *path = format_text("%s/with 'quotes'.npy", folder);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        ArrayFile a;
        Error err = {""};
        write_bytes(path, files[i].bytes, strlen(files[i].bytes));
        cr_expect(array_open(&a, path, &err) == ERR_FORMAT, "%s", files[i].is);
        cr_expect(strstr(err.text, files[i].is) && strstr(err.text, files[i].line), "%s, %s: %s",
                  files[i].is, files[i].line, err.text);
        cr_expect(strstr(err.text, path) && !strchr(err.text, '\n'), "%s", err.text);
    }
    free(path);
    remove_folder(folder);
}

/* The line names the files where a shell takes the names as they are. */
Test(array_file, the_line_can_be_copied) {
    ArrayFile a;
    Error err;
    write_bytes("/tmp/turtle-line.csv", "1,2\n", 4);
    cr_expect(array_open(&a, "/tmp/turtle-line.csv", &err) == ERR_FORMAT);
    cr_expect(strstr(err.text, "python3 -c \"import numpy; numpy.save('/tmp/turtle-line.npy', "
                               "numpy.loadtxt('/tmp/turtle-line.csv', delimiter=','))\""),
              "%s", err.text);
    remove("/tmp/turtle-line.csv");
}

/* --- hostile bytes ---------------------------------------------------------------------------- */

/* An archive that is cut anywhere, or has any bit turned, is refused or still holds its array.
 * Nothing may crash, or take more memory than the bytes can stand for. */
Test(array_file, damaged_archives, .timeout = 60) {
    static const char *const files[] = {GOLDENS "two.npz", GOLDENS "packed.npz",
                                        GOLDENS "fortran.npz"};
    char *folder = temporary_folder(), *path = format_text("%s/x.npz", folder);
    char *spec = format_text("%s:feat", path);
    int refused = 0, taken = 0;
    for (int f = 0; f < 3; f++) {
        FileMap map;
        Error err;
        uint8_t bytes[1024];
        ASSERT_OK(file_map(&map, files[f], &err), err);
        cr_assert(map.bytes <= (int64_t)sizeof bytes);
        for (int64_t i = 0; i < map.bytes; i++) {
            ArrayFile a;
            write_bytes(path, map.data, (size_t)i);
            cr_expect(array_open(&a, spec, &err) != OK, "%s cut to %d", files[f], (int)i);
            for (int bit = 0; bit < 8; bit += 3) {
                memcpy(bytes, map.data, (size_t)map.bytes);
                bytes[i] ^= (uint8_t)(1 << bit);
                write_bytes(path, bytes, (size_t)map.bytes);
                const Status st = array_open(&a, f == 2 ? path : spec, &err);
                cr_expect(st == OK || st == ERR_FORMAT || st == ERR_IO, "%s", err.text);
                st == OK ? taken++ : refused++;
                if (st == OK) cr_expect(a.count * dtype_bytes(a.type) < 1 << 20);
                array_close(&a);
            }
        }
        file_unmap(&map);
    }
    cr_expect(refused > 1000 && taken > 100, "%d refused, %d taken", refused, taken);
    free(path), free(spec);
    remove_folder(folder);
}

/* --- deflate ---------------------------------------------------------------------------------- */

Test(inflate, every_kind_of_block_zlib_writes) {
    static const char *const names[] = {"stored", "fast", "best", "huffman", "rle", "fixed"};
    enum { BYTES = 6000 };
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        char path[64];
        uint8_t out[BYTES + 1], expected[BYTES];
        FileMap map;
        Error err;
        snprintf(path, sizeof path, GOLDENS "%s.deflate", names[n]);
        ASSERT_OK(file_map(&map, path, &err), err);
        for (int i = 0; i < BYTES; i++)
            expected[i] = (uint8_t)(i % 700 < 300 ? (i * i * 7 + i / 13) % 251 : i / 50 % 256);
        cr_expect(inflate_whole(out, BYTES, map.data, map.bytes), "%s", path);
        cr_expect(memcmp(out, expected, BYTES) == 0, "%s: other bytes", path);
        cr_expect(!inflate_whole(out, BYTES - 1, map.data, map.bytes), "%s: too long", path);
        cr_expect(!inflate_whole(out, BYTES + 1, map.data, map.bytes), "%s: too short", path);
        for (int64_t cut = 0; cut < map.bytes - 1; cut += 7)
            cr_expect(!inflate_whole(out, BYTES, map.data, cut), "%s cut to %d", path, (int)cut);
        file_unmap(&map);
    }
}

/* The vocabulary, half a megabyte, is inflated as stb_image inflates it. */
Test(inflate, a_large_stream_as_stb_inflates_it) {
    const char *path = "data/vocab/bpe_merges.txt.gz";
    FileMap map;
    Error err;
    ASSERT_OK(file_map(&map, path, &err), err);
    int64_t at = 10; /* the member's header, and its name if it has one */
    if (map.data[3] & 8) at += (int64_t)strlen((const char *)map.data + at) + 1;
    enum { BYTES = 1 << 20 };
    uint8_t *expected = malloc(BYTES), *found = malloc(BYTES);
    cr_assert(found && expected);
    const int bytes = stbi_zlib_decode_noheader_buffer(
        (char *)expected, BYTES, (const char *)map.data + at, (int)(map.bytes - 8 - at));
    cr_assert(bytes > 500000);
    cr_expect(inflate_whole(found, bytes, map.data + at, map.bytes - 8 - at));
    cr_expect(memcmp(found, expected, (size_t)bytes) == 0);
    free(found), free(expected);
    file_unmap(&map);
}
