/* hostile_blobs.h - three blobs of samples with hostile names, and a training on them. */
#ifndef TURTLE_TESTS_SUPPORT_HOSTILE_BLOBS_H
#define TURTLE_TESTS_SUPPORT_HOSTILE_BLOBS_H

#include "io/arrays/npy.h"
#include "tests/support/check.h"

/* Names as a hostile folder may have them. */
static const char *const hostile[] = {
    "plain.png",
    "red \x1b[31mred\x1b[0m.png",
    "up\x1b[5A\x1b]0;title\x07.png",
    "\xe2\x80\xaegnp.exe",
    "\xff\xfe.png",
    "\xc2\x9b[31m.png",
    "tab\tbell\x07.png",
    "<script>alert(1)</script>",
    "\xe7\x8c\xab\xe7\x8c\xab/\xe7\x8c\xab.png",
    "a/very/deep/folder/with/a/rather/long/name/below/it/0000001.png"};
enum { HOSTILE = sizeof hostile / sizeof *hostile };

static inline uint32_t next(uint32_t *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* Takes the next line of a text. Returns NULL behind the last. */
static inline char *next_line(char **at) {
    char *line = *at, *end = strchr(line, '\n');
    if (!*line) return NULL;
    cr_assert(end != NULL, "a line without an end");
    *end = '\0';
    *at = end + 1;
    return line;
}

enum { BLOBS = 90 };

/* Writes 90 samples of three blobs with hostile names, and their labels. Trains on them. */
static inline char *train_blobs(Ran *ran) {
    char *folder = temporary_folder(), *path = format_text("%s/z.npy", folder), names[1 << 13] = "";
    char *list = format_text("%s/z.txt", folder), *labels = format_text("%s/y.npy", folder);
    float z[BLOBS * 4];
    int64_t y[BLOBS];
    uint32_t seed = 3;
    Error err;
    for (int i = 0; i < BLOBS; i++) {
        y[i] = i % 3;
        for (int d = 0; d < 4; d++)
            z[4 * i + d] = (float)(next(&seed) % 1000) / 1000 + (d == i % 3 ? 8 : 0);
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%d\n",
                 hostile[i % HOSTILE], i);
    }
    ASSERT_OK(npy_write(path, DTYPE_F32, 2, (const int64_t[]){BLOBS, 4}, z, &err), err);
    ASSERT_OK(npy_write(labels, DTYPE_I64, 1, (const int64_t[]){BLOBS}, y, &err), err);
    write_bytes(list, names, strlen(names));
    run_turtle(ran,
               "train --features %s --labels %s --classes 3 --T 40 --device cpu --quiet --out "
               "%s/run",
               path, labels, folder);
    cr_assert(ran->status == 0, "%s", ran->err);
    free(path), free(list), free(labels);
    return folder;
}

#endif
