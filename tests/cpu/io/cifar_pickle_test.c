/* cifar_pickle_test.c - CIFAR's batches for Python, as published and as Python 3 writes them. */
#include "io/datasets/cifar_pickle.h"

#include "io/datasets/sources.h"
#include "io/pickle/pickle.h"
#include "tests/support/check.h"

#define GOLDENS "tests/goldens/cifar/"

/* Copies a golden to folder/<path>. */
static void place(const char *folder, const char *path, const char *golden) {
    FileMap map;
    Error err;
    AtomicFile file;
    char *to = format_text("%s/%s", folder, path);
    ASSERT_OK(file_map(&map, golden, &err), err);
    ASSERT_OK(atomic_open(&file, to, &err), err);
    cr_assert(fwrite(map.data, 1, (size_t)map.bytes, file.stream) == (size_t)map.bytes);
    ASSERT_OK(atomic_commit(&file, &err), err);
    file_unmap(&map);
    free(to);
}

/* Expects pixel j of image i to be (5 i + j / 37) % 256, with j counting through the planes. */
static void expect_pixels(const SourceList *list, int64_t n) {
    for (int64_t s = 0; s < n; s++) {
        Image image;
        Error err;
        int bad = 0;
        ASSERT_OK(source_image(list, s, &image, &err), err);
        cr_assert(image.width == 32 && image.height == 32);
        for (int p = 0; p < 1024; p++)
            for (int c = 0; c < 3; c++)
                bad += image.rgb[3 * p + c] != (5 * (s % 2) + (c * 1024 + p) / 37) % 256;
        cr_expect(bad == 0, "image %d: %d pixels", (int)s, bad);
        image_free(&image);
    }
}

Test(cifar_pickle, torchvisions_folders_are_read) {
    char *folder = temporary_folder();
    SourceSplits s;
    Error err;
    for (int i = 1; i <= 5; i++) {
        char name[64];
        snprintf(name, sizeof name, "cifar-10-batches-py/data_batch_%d", i);
        place(folder, name, GOLDENS "data_batch_1");
    }
    cr_expect(sources_dataset(&s, "cifar10", folder, NULL, &err) ==
              ERR_IO); /* the test batch is missing */
    place(folder, "cifar-10-batches-py/test_batch", GOLDENS "data_batch_1");
    ASSERT_OK(sources_dataset(&s, "cifar10", folder, NULL, &err), err);
    cr_assert(s.train.count == 10 && s.val.count == 2);
    cr_expect(s.train.source[0].label == 6 && s.train.source[9].label == 9);
    cr_expect_str_eq(s.train.source[3].name, "data_batch_2#1");
    expect_pixels(&s.train, 10);
    expect_pixels(&s.val, 2);
    sources_close(&s);

    place(folder, "cifar100/cifar-100-python/train", GOLDENS "train");
    place(folder, "cifar100/cifar-100-python/test", GOLDENS "train");
    ASSERT_OK(sources_dataset(&s, "cifar100", folder, NULL, &err), err);
    cr_expect(s.train.count == 2 && s.train.source[0].label == 19 && s.val.source[1].label == 29);
    expect_pixels(&s.train, 2);
    sources_close(&s);
    place(folder, "cifar-100-python/train", GOLDENS "train");
    place(folder, "cifar-100-python/test", GOLDENS "train");
    ASSERT_OK(sources_dataset(&s, "cifar10020", folder, NULL, &err), err);
    cr_expect(s.train.source[0].label == 11 && s.val.source[1].label == 15);
    sources_close(&s);
    remove_folder(folder);
}

/* Python 3 writes bytes as texts in protocol 2, which are decoded, and as bytearrays in protocol 5. */
Test(cifar_pickle, batches_that_python3_wrote_are_read) {
    static const char *const files[] = {GOLDENS "data_batch_python3_2",
                                        GOLDENS "data_batch_python3_5"};
    for (int f = 0; f < 2; f++) {
        char *folder = temporary_folder();
        SourceSplits s;
        Error err;
        for (int i = 1; i <= 6; i++) {
            char name[64] = "cifar-10-batches-py/test_batch";
            if (i < 6) snprintf(name, sizeof name, "cifar-10-batches-py/data_batch_%d", i);
            place(folder, name, files[f]);
        }
        ASSERT_OK(sources_dataset(&s, "cifar10", folder, NULL, &err), err);
        cr_assert(s.train.count == 10 && s.val.count == 2);
        cr_expect(s.train.source[0].label == 6 && s.train.source[9].label == 9);
        expect_pixels(&s.train, 10);
        expect_pixels(&s.val, 2);
        sources_close(&s);
        remove_folder(folder);
    }
}

/* A short pickle must not fill memory: it encodes one text of 1000 bytes as often as it likes. */
Test(cifar_pickle, a_text_that_is_encoded_again_and_again_is_refused) {
    enum { TEXT = 1000, TIMES = 1000 };
    static const char head[] = "\x80\x02](X\xe8\x03\0\0",
                      again[] = "0c_codecs\nencode\nh\x01X\x06\0\0\0latin1\x86R";
    uint8_t *bytes = malloc(sizeof head + TEXT + 2 + TIMES * sizeof again), *at = bytes;
    CifarBatch batch;
    Error err;
    cr_assert(bytes);
    memcpy(at, head, sizeof head - 1);
    at += sizeof head - 1;
    memset(at, 'a', TEXT);
    at += TEXT;
    *at++ = 'q', *at++ = 1;
    for (int i = 0; i < TIMES; i++, at += sizeof again - 1) memcpy(at, again, sizeof again - 1);
    *at++ = '.';
    cr_expect(cifar_pickle_read(&batch, bytes, at - bytes, "labels", "x", &err) == ERR_FORMAT);
    cr_expect(strstr(err.text, "more text than it holds"), "%s", err.text);
    free(bytes);
}

/* A number is that of its line: an empty line is 0, whatever stands behind it (found by fuzzing). */
Test(cifar_pickle, numbers_end_with_their_line) {
    static const char *const pickles[] = {"L\n2.", "I\n1\n2.", "K\x07p\n0L\n0g0\n."};
    static const int64_t values[] = {0, 0, 7};
    for (int i = 0; i < 3; i++) {
        PickleArena arena = {0};
        Value *value = NULL;
        int64_t used;
        Error err;
        const size_t n = strlen(pickles[i]) - (i == 1 ? 3 : 0); /* the second is cut: "I\n" */
        uint8_t *exact = malloc(n);
        cr_assert(exact);
        memcpy(exact, pickles[i], n);
        const Status st = pickle_read(&arena, exact, (int64_t)n, "x", &value, &used, &err);
        cr_expect(st == (i == 1 ? ERR_FORMAT : OK), "case %d: %s", i, err.text);
        if (st == OK)
            cr_expect(value->kind == VALUE_INT && value->as.integer == values[i], "case %d: %lld",
                      i, (long long)value->as.integer);
        pickle_free(&arena);
        free(exact);
    }
}

/* A batch with any byte outside its pixels changed, or with its end cut off, is refused, or its
 * pixels lie inside the bytes. */
Test(cifar_pickle, damaged_batches, .timeout = 60) {
    static const char *const files[] = {GOLDENS "data_batch_1", GOLDENS "train",
                                        GOLDENS "data_batch_python3_2",
                                        GOLDENS "data_batch_python3_5"};
    static const char *const keys[] = {"labels", "fine_labels", "labels", "labels"};
    int refused = 0;
    for (int f = 0; f < 4; f++) {
        FileMap map;
        Error err;
        CifarBatch batch;
        ASSERT_OK(file_map(&map, files[f], &err), err);
        cr_expect(cifar_pickle_read(&batch, map.data, map.bytes, "no_labels", "x", &err) ==
                  ERR_FORMAT);
        uint8_t *bytes = malloc((size_t)map.bytes);
        cr_assert(bytes != NULL);
        for (int64_t i = 0; i < map.bytes; i++) {
            if (i > 600 && i < map.bytes - 300) continue; /* the pixels, which are all alike */
            for (int flip = 1; flip < 256; flip *= 4) {
                memcpy(bytes, map.data, (size_t)map.bytes);
                bytes[i] ^= (uint8_t)flip;
                const Status st = cifar_pickle_read(&batch, bytes, map.bytes, keys[f], "x", &err);
                refused += st != OK;
                if (st == OK && !batch.pixels)
                    cr_expect(batch.offset >= 0 && batch.offset + 3072 * batch.count <= map.bytes);
                free(batch.label);
                free(batch.pixels);
            }
            cr_expect(cifar_pickle_read(&batch, map.data, i, keys[f], "x", &err) != OK);
        }
        free(bytes);
        file_unmap(&map);
    }
    cr_expect(refused > 500, "%d refused", refused);
}
