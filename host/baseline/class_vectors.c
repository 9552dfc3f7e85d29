/* class_vectors.c - names of classes through the text encoder: a vector of length 1 for each class. */
#include <math.h>
#include <stdlib.h>

#include "host/baseline/zeroshot.h"
#include "host/tell/clock.h"
#include "host/tell/notify.h"
#include "io/text/tokenizer.h"

static Status out_of_memory(Error *err) {
    return fail(err, ERR_MEMORY, "zeroshot: out of memory");
}

/* Returns the end of the classes first .. whose prompts fill ZEROSHOT_TEXTS, of one class at least. */
static int64_t group_end(const Prompts *p, int64_t first, int64_t *prompts) {
    int64_t c = first + 1;
    *prompts = prompts_of(p, first);
    while (c < p->classes && *prompts + prompts_of(p, c) <= ZEROSHOT_TEXTS)
        *prompts += prompts_of(p, c++);
    return c;
}

static Status encode_prompts(int32_t *ids, const Tokenizer *tokenizer, const Prompts *p, int64_t c,
                             int64_t context, bool truncate, Error *err) {
    Status st = OK;
    for (int64_t i = 0; st == OK && i < prompts_of(p, c); i++) {
        int64_t used;
        Error why;
        char *text = prompt_text(p, c, i);
        if (!text) return out_of_memory(err);
        st = tokenizer_encode(tokenizer, text, truncate, ids + i * context, context, &used, &why);
        if (st == ERR_ARG) error_write(err, "%.440s with --truncate", why.text);
        else if (st != OK) error_write(err, "%s", why.text);
        free(text);
    }
    return st;
}

/* Classes whose prompts are encoded together. */
typedef struct {
    int64_t first, end, prompts; /* first .. end - 1, and their prompts */
    int64_t mark;                /* the encoder's: features are there */
    int32_t *ids;                /* (prompts,context) */
    float *features;             /* (prompts,d) */
} Group;

/* One call: two groups are on their way, so that prompts become ids while a device encodes the group before. */
typedef struct {
    float *out; /* (classes,d) */
    TextEncoder *text;
    const Prompts *prompts;
    const TurtleHooks *hooks;
    Tokenizer *tokenizer;
    bool truncate;
    Group group[2];
    TurtleProgress progress;
    double started;
} Vectors;

/* Makes ids of the next classes, and hands them to the encoder. */
static Status start_group(Vectors *v, Group *g, int64_t first, Error *err) {
    const int64_t context = text_context(v->text);
    Status st = OK;
    g->first = first;
    g->end = group_end(v->prompts, first, &g->prompts);
    for (int64_t c = first, at = 0; st == OK && c < g->end; at += prompts_of(v->prompts, c++))
        st = encode_prompts(g->ids + at * context, v->tokenizer, v->prompts, c, context,
                            v->truncate, err);
    if (st == OK) text_start(v->text, g->features, g->ids, g->prompts, &g->mark);
    return st;
}

/* Waits for the features of a group, and makes vectors of them. */
static Status finish_group(Vectors *v, const Group *g, Error *err) {
    const int64_t d = text_features(v->text);
    const Status st = text_reach(v->text, g->mark, err);
    if (st != OK) return st;
    for (int64_t c = g->first, at = 0; c < g->end; at += prompts_of(v->prompts, c++))
        text_class_vector(v->out + c * d, g->features + at * d, prompts_of(v->prompts, c), d);
    v->progress.iteration += g->prompts;
    v->progress.seconds = now_seconds() - v->started;
    if (progress_tell(v->hooks, &v->progress) && g->end < v->prompts->classes)
        return fail(err, ERR_STOPPED, "zeroshot: stopped after %lld of %lld prompts",
                    (long long)v->progress.iteration, (long long)v->progress.iterations);
    return OK;
}

/* Runs all classes. Of two failures the first in the order of the classes is told. */
static Status run_groups(Vectors *v, Error *err) {
    Group *before = NULL;
    Status st = OK;
    for (int64_t first = 0, turn = 0; st == OK && first < v->prompts->classes; turn++) {
        Group *g = &v->group[turn % 2];
        st = start_group(v, g, first, err);
        const Status earlier = before ? finish_group(v, before, err) : OK;
        if (earlier != OK) st = earlier;
        before = g;
        first = g->end;
    }
    return st == OK && before ? finish_group(v, before, err) : st;
}

static Status check_finite(const float *out, const Prompts *p, int64_t d, Precision precision,
                           Error *err) {
    for (int64_t i = 0; i < p->classes * d; i++)
        if (!isfinite(out[i]))
            return fail(err, ERR_FORMAT,
                        "zeroshot: the vector of class '%s' is not finite in %s: %s",
                        p->names.item[p->begin[i / d]], precision_name(precision),
                        precision_advice(precision));
    return OK;
}

Status zeroshot_weights(float *out, TextEncoder *text, const Prompts *p, bool truncate,
                        Precision precision, const TurtleHooks *hooks, Error *err) {
    const int64_t d = text_features(text), context = text_context(text);
    Vectors v = {.out = out,
                 .text = text,
                 .prompts = p,
                 .hooks = hooks,
                 .truncate = truncate,
                 .progress = {.unit = "prompts", .loss = NAN, .entropy = NAN, .cluster_acc = NAN},
                 .started = now_seconds()};
    int64_t most = ZEROSHOT_TEXTS;
    for (int64_t c = 0; c < p->classes; c++) {
        v.progress.iterations += prompts_of(p, c);
        if (prompts_of(p, c) > most) most = prompts_of(p, c);
    }
    Status st = OK;
    for (int i = 0; i < 2; i++) {
        v.group[i].ids = malloc((size_t)(most * context) * sizeof *v.group[i].ids);
        v.group[i].features = malloc((size_t)(most * d) * sizeof *v.group[i].features);
        if (!v.group[i].ids || !v.group[i].features) st = out_of_memory(err);
    }
    if (st == OK) st = tokenizer_open(&v.tokenizer, err);
    if (st == OK) st = run_groups(&v, err);
    if (st == OK) st = check_finite(out, p, d, precision, err);
    else text_drop(text); /* waits for features that are being written, before their memory is freed */
    tokenizer_close(v.tokenizer);
    for (int i = 0; i < 2; i++) {
        free(v.group[i].ids);
        free(v.group[i].features);
    }
    return st;
}
