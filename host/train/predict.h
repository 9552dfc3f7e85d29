/* predict.h - what a labelling says about samples: argmax of Y (Eq. 9) over any split. */
#ifndef TURTLE_HOST_TRAIN_PREDICT_H
#define TURTLE_HOST_TRAIN_PREDICT_H

#include "host/score/predictions.h"
#include "host/train/checkpoint.h"
#include "kernels/ops.h"

/* Buffers for one shape, reused from call to call. */
typedef struct {
    const Ops *ops;
    Queue *queue; /* queue of predictor_run */
    int K;
    int64_t C, d[MAX_SPACES];
    int64_t chunk; /* rows at a time: bounds the memory, does not change a bit */
    Buffer own;    /* memory of `rows`: 0, 1, ... chunk - 1 */
    Buffer memory; /* memory of what follows; no data: it is borrowed */
    int64_t *rows;
    float *linear[MAX_SPACES], *Z, *P, *Y, *confidence, *margin; /* Z: of one space at a time */
    int32_t *index;
    void *scratch;
    /* Called by predictor_run with each piece's soft labels (n,C), in order; NULL: nobody wants them. */
    Status (*take)(void *context, const float *Y, int64_t n, Error *err);
    void *take_context;
} Predictor;

/* Opens a predictor. It takes its memory from `borrowed` where that is large enough, else its own;
 * NULL: its own. Nobody else may read borrowed memory between two calls of predictor_run, or while
 * what predictor_clusters enqueued runs. */
Status predictor_open(Predictor *out, const Ops *ops, int K, int64_t C, const int64_t *d,
                      const Buffer *borrowed, Error *err);
void predictor_close(Predictor *p); /* NULL and twice are fine */

/* Predicts samples 0 .. n of the split whose features (on the device of `ops`) are given, under
 * `task`. *out is replaced; free it with predictions_free. The result does not depend on how the
 * samples are cut into pieces. */
Status predictor_run(Predictor *p, const TaskEncoder *task, const Features *features, int64_t n,
                     Predictions *out, Error *err);

/* Enqueues on `queue`: argmax_c Y of samples 0 .. n, under task encoders as training keeps them on
 * the device (kernels/train.h). `cluster` (n), in host memory, is written when a later wait() or
 * reach() returns. */
Status predictor_clusters(Predictor *p, Queue *queue, float *const *task, const Features *features,
                          int64_t n, int32_t *cluster);

#endif
