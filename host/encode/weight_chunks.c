/* weight_chunks.c - blocks that a training kept in chunks, numbered through. */
#include <stdlib.h>
#include <string.h>

#include "host/encode/weight_names.h"

static const char blocks[] = "blocks.";

/* DINOv2's training code keeps its blocks in chunks: blocks.<chunk>.<index>. Indices go on from chunk
 * to chunk there; elsewhere they begin again. */
typedef struct {
    int chunk, index, tensor;
    const char *rest;
} Chunked;

static bool take_number(const char **at, int *number) {
    enum { MOST = 9999 };
    const char *first = *at;
    for (*number = 0; **at >= '0' && **at <= '9' && *number <= MOST; (*at)++)
        *number = 10 * *number + (**at - '0');
    return *at > first && *number <= MOST && *(*at)++ == '.';
}

static int by_place(const void *a, const void *b) {
    const Chunked *x = a, *y = b;
    return x->chunk != y->chunk ? x->chunk - y->chunk : x->index - y->index;
}

/* Numbers the blocks through: 0, 1, .. over all chunks. Returns false where they do not allow it:
 * indices neither go on nor begin again at 0. `names` is sorted. */
static bool number_through(Chunked *names, int count) {
    bool on = true, again = true;
    int block = -1;
    for (int i = 0; i < count; i++) {
        const bool first = i == 0, same = !first && by_place(&names[i], &names[i - 1]) == 0;
        if (!same) {
            const bool opens = first || names[i].chunk != names[i - 1].chunk;
            block++;
            on = on && names[i].index == block;
            again = again && names[i].index == (opens ? 0 : names[i - 1].index + 1);
        }
    }
    if (!on && !again) return false;
    block = -1;
    for (int i = 0, chunk = -1, index = -1; i < count; i++) {
        if (names[i].chunk != chunk || names[i].index != index) block++;
        chunk = names[i].chunk;
        index = names[i].index;
        names[i].index = block;
    }
    return true;
}

void weights_join_chunks(Weights *w) {
    Chunked *names = malloc(((size_t)w->file.count + 1) * sizeof *names);
    int count = 0;
    bool all = true; /* a block outside of chunks: nothing is known of the order */
    if (!names) {
        w->status = fail(w->err, ERR_MEMORY, "weights: %s: out of memory", w->path);
        return;
    }
    for (int i = 0; i < w->file.count; i++) {
        const char *at = w->name[i];
        Chunked c = {.tensor = i};
        if (!at || strncmp(at, blocks, strlen(blocks)) != 0) continue;
        at += strlen(blocks);
        all = all && take_number(&at, &c.chunk) && take_number(&at, &c.index);
        c.rest = at;
        names[count++] = c;
    }
    if (all) qsort(names, (size_t)count, sizeof *names, by_place);
    if (all && count && number_through(names, count)) {
        for (int i = 0; w->status == OK && i < count; i++) {
            char front[32];
            snprintf(front, sizeof front, "%s%d.", blocks, names[i].index);
            weights_rename(w, names[i].tensor, front, names[i].rest);
        }
        weights_say(w, "weights: %s: blocks in chunks (blocks.CHUNK.INDEX) are numbered through",
                    w->path);
    }
    free(names);
}
