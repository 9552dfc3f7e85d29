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

Status zeroshot_weights(float *out, TextEncoder *text, const Prompts *p, bool truncate,
                        Precision precision, const TurtleHooks *hooks, Error *err) {
    const int64_t d = text_features(text), context = text_context(text);
    TurtleProgress progress = {.unit = "prompts", .loss = NAN, .entropy = NAN, .cluster_acc = NAN};
    Tokenizer *tokenizer = NULL;
    int64_t most = ZEROSHOT_TEXTS, n;
    for (int64_t c = 0; c < p->classes; c++) {
        progress.iterations += prompts_of(p, c);
        if (prompts_of(p, c) > most) most = prompts_of(p, c);
    }
    int32_t *ids = malloc((size_t)(most * context) * sizeof *ids);
    float *features = malloc((size_t)(most * d) * sizeof *features);
    const double started = now_seconds();
    Status st = ids && features ? tokenizer_open(&tokenizer, err) : out_of_memory(err);
    for (int64_t first = 0, end; st == OK && first < p->classes; first = end) {
        end = group_end(p, first, &n);
        int64_t at = 0;
        for (int64_t c = first; st == OK && c < end; at += prompts_of(p, c++))
            st = encode_prompts(ids + at * context, tokenizer, p, c, context, truncate, err);
        if (st == OK) st = text_run(text, features, ids, n, err);
        at = 0;
        for (int64_t c = first; st == OK && c < end; at += prompts_of(p, c++))
            text_class_vector(out + c * d, features + at * d, prompts_of(p, c), d);
        progress.iteration += n;
        progress.seconds = now_seconds() - started;
        if (st == OK && progress_tell(hooks, &progress) && end < p->classes)
            st = fail(err, ERR_STOPPED, "zeroshot: stopped after %lld of %lld prompts",
                      (long long)progress.iteration, (long long)progress.iterations);
    }
    for (int64_t c = 0; st == OK && c < p->classes; c++)
        for (int64_t i = 0; st == OK && i < d; i++)
            if (!isfinite(out[c * d + i]))
                st = fail(err, ERR_FORMAT,
                          "zeroshot: the vector of class '%s' is not finite in %s: %s",
                          p->names.item[p->begin[c]], precision_name(precision),
                          precision_advice(precision));
    tokenizer_close(tokenizer);
    free(ids);
    free(features);
    return st;
}
