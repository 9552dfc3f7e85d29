/* sources_test.c - folders, lists and record files as lists of images. */
#include "io/datasets/sources.h"
#include "tests/support/check.h"

static void make_file(const char *folder, const char *path, const void *bytes, size_t n) {
    char *whole = format_text("%s/%s", folder, path), *slash = strrchr(whole, '/');
    Error err;
    *slash = '\0';
    ASSERT_OK(folder_make(whole, &err), err);
    *slash = '/';
    write_bytes(whole, bytes, n);
    free(whole);
}

/* Writes a picture of one grey pixel. */
static void make_image(const char *folder, const char *path, uint8_t value) {
    char bytes[16];
    memcpy(bytes, "P5 1 1 255 ", 11);
    bytes[11] = (char)value;
    make_file(folder, path, bytes, 12);
}

/* Expects a list to hold these sources: "name label, name label". */
static void expect_list(const SourceList *list, const char *expected) {
    char text[1024] = "";
    for (int64_t i = 0; i < list->count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s %lld", i ? ", " : "",
                 list->source[i].name, (long long)list->source[i].label);
    cr_expect(strcmp(text, expected) == 0, "expected %s\n     got %s", expected, text);
}

static void expect_refused(Status st, const Error *err, Status expected, const char *words) {
    cr_expect(st == expected, "status %d for '%s': %s", st, words, st == OK ? "" : err->text);
    cr_expect(st == OK || strstr(err->text, words), "expected '%s' in: %s", words, err->text);
}

/* --- folders ---------------------------------------------------------------------------------- */

Test(sources, class_folders_are_sorted_by_code_point) {
    char *folder = temporary_folder();
    SourceSplits s;
    Error err;
    make_image(folder, "b/2.PNG", 1);
    make_image(folder, "b/10.png", 2);
    make_image(folder, "b/sub/a.jpg", 3);
    make_image(folder, "b/notes.txt", 3);
    make_image(folder, "b/.hidden.jpg", 3);
    make_image(folder, "Zebra/x y.ppm", 4);
    make_image(folder, "\xc3\xa9t\xc3\xa9/1.gif", 5); /* sorts behind ASCII */
    ASSERT_OK(sources_folder(&s, folder, NULL, &err), err);
    expect_list(&s.train, "Zebra/x y.ppm 0, b/10.png 1, b/2.PNG 1, b/sub/a.jpg 1, "
                          "\xc3\xa9t\xc3\xa9/1.gif 2");
    cr_expect(s.val.count == 0 && s.train.classes == 3);
    cr_expect(strcmp(s.train.class_name[0], "Zebra") == 0);
    Image image;
    ASSERT_OK(source_image(&s.train, 1, &image, &err), err);
    cr_expect(image.width == 1 && image.height == 1 && image.rgb[0] == 2 && image.rgb[2] == 2);
    image_free(&image);
    sources_close(&s);
    remove_folder(folder);
}

Test(sources, flat_and_split_folders) {
    char *folder = temporary_folder();
    SourceSplits s;
    Error err;
    make_image(folder, "flat/b.png", 1);
    make_image(folder, "flat/a.jpeg", 1);
    char *flat = format_text("%s/flat", folder);
    ASSERT_OK(sources_folder(&s, flat, NULL, &err), err);
    expect_list(&s.train, "a.jpeg -1, b.png -1");
    cr_expect(s.train.classes == 0);
    sources_close(&s);

    make_image(folder, "split/train/cat/1.png", 1);
    make_image(folder, "split/train/dog/1.png", 1);
    make_image(folder, "split/test/dog/9.png", 1);
    char *split = format_text("%s/split", folder);
    ASSERT_OK(sources_folder(&s, split, NULL, &err), err);
    expect_list(&s.train, "cat/1.png 0, dog/1.png 1");
    expect_list(&s.val, "dog/9.png 1"); /* the class of the training split */
    cr_expect(s.val.classes == 2);
    sources_close(&s);

    free(flat);
    free(split);
    remove_folder(folder);
}

Test(sources, folders_without_images_are_refused) {
    char *folder = temporary_folder();
    SourceSplits s;
    Error err;
    expect_refused(sources_folder(&s, folder, NULL, &err), &err, ERR_FORMAT, "no images");
    make_file(folder, "a/readme.txt", "x", 1);
    expect_refused(sources_folder(&s, folder, NULL, &err), &err, ERR_FORMAT, "no images");
    expect_refused(sources_folder(&s, "/nowhere/at/all", NULL, &err), &err, ERR_IO,
                   "/nowhere/at/all");
    remove_folder(folder);
}

/* --- lists ------------------------------------------------------------------------------------ */

static Status read_bytes(SourceSplits *s, const char *folder, const char *text, size_t bytes,
                         Error *err) {
    char *path = format_text("%s/list.tsv", folder);
    write_bytes(path, text, bytes);
    const Status st = sources_list(s, path, err);
    free(path);
    return st;
}

static Status read_list(SourceSplits *s, const char *folder, const char *text, Error *err) {
    return read_bytes(s, folder, text, strlen(text), err);
}

Test(sources, lists_are_read_line_by_line) {
    char *folder = temporary_folder();
    SourceSplits s;
    Error err;
    make_image(folder, "a b.pgm", 7);
    ASSERT_OK(read_list(&s, folder,
                        "# split\tlabel\tpath\n\ntrain\t3\ta b.pgm\r\nval\t-\tx/y.png\n"
                        "val\t0\t/abs.png\nval \t 12.0 \tlast\t.png",
                        &err),
              err);
    expect_list(&s.train, "a b.pgm 3");
    expect_list(&s.val, "x/y.png -1, /abs.png 0, last\t.png 12");
    cr_expect(s.notes == NULL && s.left.count == 0);
    cr_expect(s.val.classes == 13);
    Image image;
    ASSERT_OK(source_image(&s.train, 0, &image, &err), err);
    cr_expect(image.rgb[0] == 7);
    image_free(&image);
    cr_expect(source_image(&s.val, 1, &image, &err) == ERR_IO && strstr(err.text, "/abs.png"));
    sources_close(&s);
    remove_folder(folder);
}

Test(sources, bad_lines_are_named_by_number) {
    char *folder = temporary_folder();
    SourceSplits s;
    Error err;
    static const char *const bad[][2] = {
        {"train\t1\ta\nval 1 b\n", "line 2: too few columns in 'val 1 b'"},
        {"train\t1\t\n", "line 1: too few columns"},
        {"fold1\t1\ta\n", "line 1: unknown split 'fold1': expected train, val"},
        {"\nTrain\t1\ta\n", "line 2: unknown split 'Train': expected train, written so"},
        {"training\t1\ta\n", "unknown split 'training': expected train"},
        {"Validation\t1\ta\n", "expected val, written so"},
        {"Test\t1\ta\n", "expected test, written so"},
        {"train\t1\ta\nval\t1\tb\ndev\t1\tc\n", "line 3: 'dev', but line 2 has 'val'"},
        {"valid\t1\ta\n\nvalidation\t1\tc\n", "line 3: 'validation', but line 1 has 'valid'"},
        {"\ntrain\t-1\ta\n", "line 2: bad label '-1'"},
        {"train\t3\ta\ntrain\tcat\tb\n", "line 2: bad label 'cat': line 1 has '3'"},
        {"train\tcat\ta\n\nval\t3\tb\n", "line 3: bad label '3': line 1 has 'cat'"},
        {"train\t\ta\n", "line 1: bad label ''"},
        {"train\t1.5\ta\n", "line 1: bad label '1.5'"},
        {"train\t1\ta\nval\t1\tb\rtrain\t1\tc\n", "line 2: a carriage return"},
        {"train\t99999999999999999999\ta\n", "bad label"},
        {"# nothing\n", "no image in it"},
        {"", "no image in it"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_refused(read_list(&s, folder, bad[i][0], &err), &err, ERR_FORMAT, bad[i][1]);
    remove_folder(folder);
}

/* Expects a listing to have these notes: "note|note". */
static void expect_notes(const SourceSplits *s, const char *expected) {
    char text[1024];
    snprintf(text, sizeof text, "%s", s->notes ? s->notes : "");
    for (char *c = text; *c; c++)
        if (*c == '\n') *c = c[1] ? '|' : '\0';
    cr_expect_str_eq(text, expected);
}

Test(sources, lists_of_any_editor_hold_the_same_images) {
    static const char *const lists[] = {
        "train\t0\ta.png\nval\t1\tb.png\n", "\xef\xbb\xbftrain\t0\ta.png\nval\t1\tb.png",
        "train\t0\ta.png\r\nval\t1\tb.png\r\n\r\n", "train\t0\ta.png\rval\t1\tb.png\r",
        "\n \t\ntrain\t0\ta.png\n\n# no image\nval\t1\tb.png\n"};
    char *folder = temporary_folder();
    SourceSplits s;
    Error err;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        ASSERT_OK(read_list(&s, folder, lists[i], &err), err);
        expect_list(&s.train, "a.png 0");
        expect_list(&s.val, "b.png 1");
        cr_expect_str_eq(s.val_word, "val");
        expect_notes(&s, "");
        sources_close(&s);
    }
    expect_refused(read_bytes(&s, folder, "train\t0\ta.png\ntrain\t0\tb\0\n", 25, &err), &err,
                   ERR_FORMAT, "line 2: a zero byte");
    expect_refused(read_bytes(&s, folder, "\xff\xfet\0", 4, &err), &err, ERR_FORMAT, "UTF-16LE");
    remove_folder(folder);
}

Test(sources, lists_say_how_they_were_understood) {
    char *folder = temporary_folder();
    SourceSplits s;
    Error err;
    ASSERT_OK(read_list(&s, folder,
                        "split\tlabel\tpath\ntrain\tsea lion\ta\ntrain\tCat\tb\nval\t-\tc\n"
                        "val\tsea lion\td\n",
                        &err),
              err);
    expect_list(&s.train, "a 1, b 0");
    expect_list(&s.val, "c -1, d 1");
    cr_expect(s.val.classes == 2 && strcmp(s.val.class_name[1], "sea lion") == 0);
    expect_notes(&s, "the first line is read as a header|"
                     "labels are names: numbered 0 to 1 in their sorted order");
    sources_close(&s);

    ASSERT_OK(read_list(&s, folder, "train\t0\ta\ntest\t1\tb\n", &err), err);
    expect_list(&s.val, "b 1");
    expect_notes(&s, "test is the split that is scored: there are no val lines");
    sources_close(&s);

    ASSERT_OK(read_list(&s, folder, "test\t1\tb\ntrain\t0\ta\ndev\t1\tc\ntest\t1\td\n", &err), err);
    expect_list(&s.val, "c 1");
    cr_expect(s.left.files == 2 && strcmp(s.left.entry[1].path, "d") == 0);
    char line[512];
    cr_expect_str_eq(left_out_line(line, sizeof line, &s.left, 0, "list.tsv"),
                     "left out 2 files: of the test split, for dev is scored (first b)");
    sources_close(&s);

    ASSERT_OK(read_list(&s, folder, "train\t0\ta\ntrain\t0\tb\ntrain\t0\ta\nval\t1\tb\nval\t1\tc\n",
                        &err),
              err);
    expect_list(&s.train, "a 0, b 0, a 0");
    expect_notes(&s, "2 lines repeat an earlier line's image (line 3 that of line 1, a), some in "
                     "another split, some with another label");
    sources_close(&s);

    ASSERT_OK(read_list(&s, folder, "val\t0\ta\n", &err), err);
    cr_expect(s.train.count == 0 && s.val.count == 1);
    expect_notes(&s, "there are no train lines");
    sources_close(&s);
    make_image(folder, "below/list.png", 1);
    remove_folder(folder);
}

/* The paths were written in the folder where the program runs, not where the list lies. */
Test(sources, lists_written_elsewhere_are_named) {
    char *folder = temporary_folder();
    SourceSplits s;
    Error err;
    expect_refused(read_list(&s, folder, "# x\ntrain\t0\ttests/cpu/io/sources_test.c\n", &err),
                   &err, ERR_FORMAT, "line 2: 'tests/cpu/io/sources_test.c' is not below /");
    remove_folder(folder);
}

/* --- record files ----------------------------------------------------------------------------- */

/* Makes an idx file of `really` images of 2 x 3 pixels, or of labels; its header says `magic` and
 * `n`. */
static size_t idx(uint8_t *to, uint8_t magic, int n, int really) {
    const uint8_t header[] = {0, 0, 8, magic, 0, 0, 0, (uint8_t)n, 0, 0, 0, 2, 0, 0, 0, 3};
    const size_t bytes = magic == 3 ? 16 : 8, each = magic == 3 ? 6 : 1;
    memcpy(to, header, bytes);
    for (size_t i = 0; i < (size_t)really * each; i++) to[bytes + i] = (uint8_t)(i % 10);
    return bytes + (size_t)really * each;
}

static void make_mnist(const char *folder, const char *place) {
    static const char *const parts[] = {"train", "t10k"};
    uint8_t bytes[256];
    for (int i = 0; i < 2; i++) {
        char name[128];
        snprintf(name, sizeof name, "%s%s-images-idx3-ubyte", place, parts[i]);
        make_file(folder, name, bytes, idx(bytes, 3, 5 - i, 5 - i));
        snprintf(name, sizeof name, "%s%s-labels-idx1-ubyte", place, parts[i]);
        make_file(folder, name, bytes, idx(bytes, 1, 5 - i, 5 - i));
    }
}

Test(sources, mnist_is_found_and_read) {
    static const char *const places[] = {"", "mnist/", "MNIST/raw/"};
    for (int i = 0; i < 3; i++) {
        char *folder = temporary_folder();
        SourceSplits s;
        Error err;
        make_mnist(folder, places[i]);
        ASSERT_OK(sources_dataset(&s, "mnist", folder, NULL, &err), err);
        expect_list(&s.val, "t10k-images-idx3-ubyte#0 0, t10k-images-idx3-ubyte#1 1, "
                            "t10k-images-idx3-ubyte#2 2, t10k-images-idx3-ubyte#3 3");
        cr_expect(s.train.count == 5);
        Image image;
        ASSERT_OK(source_image(&s.train, 2, &image, &err), err);
        cr_expect(image.width == 3 && image.height == 2);
        for (int p = 0; p < 6; p++) cr_expect(image.rgb[3 * p + 1] == (12 + p) % 10);
        image_free(&image);
        sources_close(&s);
        remove_folder(folder);
    }
}

Test(sources, damaged_idx_files_are_refused) {
    char *folder = temporary_folder();
    SourceSplits s;
    Error err;
    uint8_t bytes[256];
    expect_refused(sources_dataset(&s, "mnist", folder, NULL, &err), &err, ERR_IO,
                   "ossci-datasets");
    make_mnist(folder, "");
    make_file(folder, "train-images-idx3-ubyte", bytes, idx(bytes, 3, 5, 4));
    expect_refused(sources_dataset(&s, "mnist", folder, NULL, &err), &err, ERR_FORMAT,
                   "do not hold");
    make_file(folder, "train-images-idx3-ubyte", bytes, idx(bytes, 1, 5, 5));
    expect_refused(sources_dataset(&s, "mnist", folder, NULL, &err), &err, ERR_FORMAT,
                   "with 3 axes");
    make_file(folder, "train-images-idx3-ubyte", bytes, idx(bytes, 3, 4, 4));
    expect_refused(sources_dataset(&s, "mnist", folder, NULL, &err), &err, ERR_FORMAT,
                   "4 images and 5 labels");
    make_file(folder, "train-images-idx3-ubyte", bytes, idx(bytes, 3, 5, 5));
    idx(bytes, 1, 5, 5);
    bytes[10] = 10;
    make_file(folder, "train-labels-idx1-ubyte", bytes, 13);
    expect_refused(sources_dataset(&s, "mnist", folder, NULL, &err), &err, ERR_FORMAT,
                   "#2: label 10");
    make_file(folder, "train-labels-idx1-ubyte", "", 0);
    expect_refused(sources_dataset(&s, "mnist", folder, NULL, &err), &err, ERR_FORMAT,
                   "with 1 axes");
    make_file(folder, "train-labels-idx1-ubyte", "\x1f\x8b\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
              20);
    expect_refused(sources_dataset(&s, "mnist", folder, NULL, &err), &err, ERR_FORMAT, "damaged");
    remove_folder(folder);
}

/* MNIST's own test file, gzipped as published, holds 10 000 digits; the first is a 7. */
Test(sources, the_bundled_digits_are_mnists_test_file) {
    static const int64_t first_labels[] = {7, 2, 1, 0, 4, 1, 4, 9, 5, 9};
    SourceSplits s;
    Error err;
    Image image;
    int64_t sum = 0;
    ASSERT_OK(sources_dataset(&s, "digits", "data/demo/datasets", NULL, &err), err);
    cr_assert(s.train.count == 8000 && s.val.count == 2000 && s.train.classes == 10);
    for (int i = 0; i < 10; i++) cr_expect(s.train.source[i].label == first_labels[i]);
    ASSERT_OK(source_image(&s.train, 0, &image, &err), err);
    cr_assert(image.width == 28 && image.height == 28);
    for (int i = 0; i < 28 * 28; i++) sum += image.rgb[3 * i];
    cr_expect(sum == 18454, "the bytes of image 0 add up to %lld", (long long)sum);
    Resizer resizer = {0};
    uint8_t out[64 * 64 * 3];
    ASSERT_OK(resize_crop(&resizer, out, &image, 64, 64, &err), err);
    sum = 0;
    for (int i = 0; i < 64 * 64; i++) sum += out[3 * i];
    cr_expect(sum == 97376, "resized to 64 x 64: %lld", (long long)sum);
    static const uint8_t row20[] = {61, 144, 185, 198, 200, 188, 181, 188, 200, 214, 228, 242};
    for (int i = 0; i < 12; i++) cr_expect(out[(20 * 64 + 13 + i) * 3] == row20[i], "column %d", i);
    resizer_free(&resizer);
    image_free(&image);
    sources_close(&s);
}

Test(sources, cifar_records_are_planes_behind_labels) {
    enum { RECORD = 2 + 3072 };
    char *folder = temporary_folder();
    SourceSplits s;
    Error err;
    Image image;
    uint8_t *bytes = calloc(2, RECORD);
    for (int r = 0; r < 2; r++) {
        bytes[r * RECORD] = (uint8_t)(r + 4);      /* coarse */
        bytes[r * RECORD + 1] = (uint8_t)(r + 40); /* fine */
        for (int i = 0; i < 3072; i++)
            bytes[r * RECORD + 2 + i] = (uint8_t)(r + i / 1024 * 50 + i % 32);
    }
    make_file(folder, "cifar-100-binary/train.bin", bytes, 2 * RECORD);
    make_file(folder, "cifar-100-binary/test.bin", bytes, RECORD);
    ASSERT_OK(sources_dataset(&s, "cifar100", folder, NULL, &err), err);
    expect_list(&s.train, "train.bin#0 40, train.bin#1 41");
    ASSERT_OK(source_image(&s.train, 1, &image, &err), err);
    const uint8_t *pixel = image.rgb + 3 * (32 * 3 + 5);
    cr_expect(pixel[0] == 6 && pixel[1] == 56 && pixel[2] == 106);
    image_free(&image);
    sources_close(&s);
    ASSERT_OK(sources_dataset(&s, "cifar10020", folder, NULL, &err), err);
    expect_list(&s.val, "test.bin#0 4");
    sources_close(&s);
    make_file(folder, "cifar-100-binary/test.bin", bytes, RECORD - 1);
    expect_refused(sources_dataset(&s, "cifar100", folder, NULL, &err), &err, ERR_FORMAT,
                   "whole records");
    expect_refused(sources_dataset(&s, "cifar10", folder, NULL, &err), &err, ERR_IO,
                   "cifar-10-binary.tar.gz");
    for (int i = 1; i <= 5; i++) {
        char name[64];
        snprintf(name, sizeof name, "cifar-10-batches-bin/data_batch_%d.bin", i);
        bytes[0] = (uint8_t)(i + 4);
        make_file(folder, name, bytes, 3073);
    }
    make_file(folder, "cifar-10-batches-bin/test_batch.bin", bytes, 3073);
    ASSERT_OK(sources_dataset(&s, "cifar10", folder, NULL, &err), err);
    expect_list(&s.train, "data_batch_1.bin#0 5, data_batch_2.bin#0 6, data_batch_3.bin#0 7, "
                          "data_batch_4.bin#0 8, data_batch_5.bin#0 9");
    sources_close(&s);
    bytes[0] = 10;
    make_file(folder, "cifar-10-batches-bin/test_batch.bin", bytes, 3073);
    expect_refused(sources_dataset(&s, "cifar10", folder, NULL, &err), &err, ERR_FORMAT,
                   "label 10");
    expect_refused(sources_dataset(&s, "nothing", folder, NULL, &err), &err, ERR_IO,
                   "--images and --list");
    make_image(folder, "pets/train/cat/1.png", 1);
    ASSERT_OK(sources_dataset(&s, "pets", folder, NULL, &err), err);
    expect_list(&s.train, "cat/1.png 0");
    sources_close(&s);
    free(bytes);
    remove_folder(folder);
}
