/* datasets.c - images per second from a data set's files to pixels of an encoder.
 * usage: bench-datasets KIND FOLDER SIDE THREADS REPEATS
 *   KIND   mnist or cifar10: their files below FOLDER; folder: class folders of JPEGs
 * One repeat reads every image of the training split once, as turtle features does: decoded, resized to
 * SIDE and cropped, BATCH at a time. Prints the same rows as reference/datasets_torchvision.py. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/programs/bench.h"
#include "host/images/loader.h"

enum { BATCH = 256 };

typedef struct {
    SourceList list;
    Loading how;
    uint8_t *pixels; /* (BATCH,side,side,3) */
    Loaded *loaded;  /* (BATCH) */
    int64_t bad;
} Set;

static void load_all(void *context) {
    Set *s = context;
    for (int64_t i = 0; i < s->list.count; i += BATCH) {
        const int64_t left = s->list.count - i, n = left < BATCH ? left : BATCH;
        Load load = {.pixels = s->pixels,
                     .loaded = s->loaded,
                     .list = &s->list,
                     .how = &s->how,
                     .first = i,
                     .n = n};
        load_begin(&load);
        load_end(&load);
        for (int64_t k = 0; k < n; k++) s->bad += s->loaded[k].status != OK;
    }
}

static int measure(const SourceSplits *splits, const char *kind, int side, int threads,
                   int repeats) {
    Decoder none = {0};
    Set set = {
        .list = splits->train,
        .how = {.rule = {.resize = side, .crop = side}, .decoder = &none, .threads = threads},
        .pixels = malloc((size_t)BATCH * (size_t)side * (size_t)side * 3),
        .loaded = calloc(BATCH, sizeof *set.loaded)};
    Row row = {.what = kind,
               .program = "turtle",
               .threads = threads,
               .work = (double)splits->train.count,
               .unit = "images/s",
               .repeats = repeats};
    const bool ready = set.pixels && set.loaded;
    if (ready) row_measure(&row, load_all, &set);
    if (ready && !set.bad) row_print(&row);
    free(set.pixels);
    free(set.loaded);
    if (!ready || set.bad)
        fprintf(stderr, "bench-datasets: %s: %s\n", kind,
                ready ? "images could not be decoded" : "out of memory");
    return !ready || set.bad;
}

int main(int argc, char **argv) {
    const int side = (int)argument(argc, argv, 3, 4096),
              threads = (int)argument(argc, argv, 4, 1024),
              repeats = (int)argument(argc, argv, 5, MAX_REPEATS);
    SourceSplits splits;
    Error err;
    if (argc != 6 || !side || !threads || !repeats) {
        fputs("usage: bench-datasets mnist|cifar10|folder FOLDER SIDE THREADS REPEATS\n", stderr);
        return 2;
    }
    const Status st = strcmp(argv[1], "folder") == 0
                          ? sources_folder(&splits, argv[2], NULL, &err)
                          : sources_dataset(&splits, argv[1], argv[2], NULL, &err);
    if (st != OK) {
        fprintf(stderr, "bench-datasets: %s\n", err.text);
        return 1;
    }
    const int failed = measure(&splits, argv[1], side, threads, repeats);
    sources_close(&splits);
    return failed;
}
