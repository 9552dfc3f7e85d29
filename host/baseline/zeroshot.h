/* zeroshot.h - classes from their names alone: CLIP's text encoder as a linear classifier
 * (Radford et al. 2021, section 3.1). */
#ifndef TURTLE_HOST_BASELINE_ZEROSHOT_H
#define TURTLE_HOST_BASELINE_ZEROSHOT_H

#include "host/encode/text.h"
#include "host/score/predictions.h"
#include "host/turtle.h"
#include "io/text/prompts.h"

enum { ZEROSHOT_TEXTS = 64 }; /* prompts encoded at a time; changes no bit */
/* Computes the class vectors, of length 1, into out (classes,d) in host memory; d =
 * text_features(text). `precision` is the text encoder's, for what is said of vectors that are not
 * finite. A prompt that does not fit the context is ERR_ARG, or is cut if `truncate`. */
Status zeroshot_weights(float *out, TextEncoder *text, const Prompts *p, bool truncate,
                        Precision precision, const TurtleHooks *hooks, Error *err);

/* Logits of rows of features: 100 * normalised features . class vectors. */
typedef struct {
    const Ops *ops;
    Queue *queue;
    int64_t classes, d;
    Buffer memory;
    int64_t *rows;
    float *W, *Z, *norm2, *logits, *top,
        *margin; /* Z: the rows, normalised; norm2: 1, or 0 of zeros */
    int32_t *index;
    void *scratch;
} Classifier;
enum { CLASSIFIER_ROWS = 256 }; /* at a time: bounds the memory, does not change a bit */

Status classifier_open(Classifier *out, const Ops *ops, const float *weights, int64_t classes,
                       int64_t d, Error *err);
void classifier_close(Classifier *c); /* NULL and twice are fine */
/* Finds the class of every row: `cluster` of *out, with its probability and margin. A row of zeros
 * is ERR_FORMAT, naming `path`. *out is replaced; free it with predictions_free. `probability` (N,classes)
 * receives the probabilities of all classes; NULL: nobody wants them. */
Status classifier_run(Classifier *c, const Features *features, const char *path, Predictions *out,
                      float *probability, Error *err);

/* Names clusters out (C). A name is the class that most members are nearest to, among equals the
 * one nearest to their mean; the runner-up is the next. `cluster` and `nearest` hold the cluster
 * and the class of every row of `features`. Clusters without members have no name. */
Status clusters_name(TurtleClusterName *out, int64_t C, Classifier *c, const Features *features,
                     const int64_t *cluster, const int64_t *nearest, const Prompts *p, Error *err);

#endif
