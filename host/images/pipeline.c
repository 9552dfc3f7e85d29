/* pipeline.c - portions of pictures, of which one is loaded while another is encoded. */
#include "host/images/pipeline.h"

#include <stdlib.h>
#include <string.h>

#include "host/tell/clock.h"

Status pipeline_open(Pipeline *p, Error *err) {
    const int64_t images = encoder_batch(p->encoder), d = encoder_features(p->encoder);
    p->portions = p->how->ahead ? MOST_PORTIONS : 1;
    for (int i = 0; i < p->portions; i++) {
        Portion *b = &p->portion[i];
        b->pixels = malloc((size_t)(images * loading_bytes(p->how)));
        b->whole = calloc((size_t)images, sizeof *b->whole);
        b->loaded = calloc((size_t)images, sizeof *b->loaded);
        b->features = malloc((size_t)(images * d) * sizeof *b->features);
        if (!b->pixels || !b->whole || !b->loaded || !b->features)
            return fail(err, ERR_MEMORY,
                        "images: out of memory for %d times %lld images: expected a smaller "
                        "--batch_size",
                        p->portions, (long long)images);
    }
    return OK;
}

void pipeline_close(Pipeline *p) {
    for (int i = 0; i < MOST_PORTIONS; i++) {
        Portion *b = &p->portion[i];
        free(b->pixels);
        free(b->whole);
        free(b->loaded);
        free(b->features);
        *b = (Portion){0};
    }
}

/* Begins to load portion number `turn`. */
static void begin(Pipeline *p, int64_t turn) {
    Portion *b = &p->portion[turn % p->portions];
    b->first = p->next(p->context, &b->n);
    b->load = (Load){.pixels = b->pixels,
                     .loaded = b->loaded,
                     .list = p->list,
                     .pictures = p->pictures,
                     .how = p->how,
                     .first = b->first,
                     .n = b->n};
    load_begin(&b->load);
}

/* Waits until a portion is loaded. The wait counts unless the device still has the portion before. */
static void end_load(Pipeline *p, Portion *b, const Portion *before) {
    const double started = now_seconds();
    load_end(&b->load);
    if (!before || !before->good || encoder_reached(p->encoder, before->mark))
        p->waited += now_seconds() - started;
}

/* Hands the good ones of a portion to the encoder. */
static Status start_good(Pipeline *p, Portion *b, Error *err) {
    if (p->how->whole)
        return encoder_start_whole(p->encoder, b->features, b->whole, b->good, &b->mark, err);
    return encoder_start(p->encoder, b->features, b->pixels, b->good, &b->mark, err);
}

/* Takes the bad ones of loaded sources out, and hands the others to the encoder. */
static Status start(Pipeline *p, Portion *b, Error *err) {
    const int64_t bytes = loading_bytes(p->how);
    Status st = OK;
    b->good = 0;
    for (int64_t i = 0; st == OK && i < b->n; i++) {
        st = p->check(p->context, &b->loaded[i], b->first + i, err);
        if (st != OK || b->loaded[i].status != OK) continue;
        uint8_t *pixels = b->pixels + i * bytes, *to = b->pixels + b->good * bytes;
        b->whole[b->good++] = pixels;
        if (!p->how->whole && to < pixels) memcpy(to, pixels, (size_t)bytes);
    }
    return st == OK && b->good ? start_good(p, b, err) : st;
}

static Status finish(Pipeline *p, Portion *b, Error *err) {
    const Status st = b->good ? encoder_reach(p->encoder, b->mark, err) : OK;
    return st == OK ? p->take(p->context, b, err) : st;
}

Status pipeline_run(Pipeline *p, Error *err) {
    const bool ahead = p->how->ahead;
    Portion *before = NULL; /* started, not yet taken */
    Status st = OK;
    p->waited = 0.0;
    if (ahead) begin(p, 0);
    for (int64_t turn = 0; st == OK; turn++) {
        Portion *b = &p->portion[turn % p->portions];
        if (!ahead) begin(p, turn);
        if (b->n == 0) break;
        end_load(p, b, before);
        if (ahead) begin(p, turn + 1);
        st = start(p, b, err);
        if (before) { /* its failure comes first in the order of the pictures */
            const Status earlier = finish(p, before, err);
            if (earlier != OK) st = earlier;
        }
        before = b;
        if (st == OK && !ahead) {
            before = NULL;
            st = finish(p, b, err);
        }
    }
    if (st == OK && before) st = finish(p, before, err);
    for (int i = 0; i < p->portions; i++) load_cancel(&p->portion[i].load);
    if (st != OK) encoder_drop(p->encoder);
    return st;
}
