/* train.h - TURTLE's training loop: the outer problem and its state (paper section 3). */
#ifndef TURTLE_HOST_TRAIN_TRAIN_H
#define TURTLE_HOST_TRAIN_TRAIN_H

#include <pthread.h>

#include "io/arrays/torch_file.h"
#include "kernels/ops.h"
#include "host/inputs/rng.h"

/* What is trained and how; the defaults of the paper stand in turtle.h. */
typedef struct {
    int K;
    const Features *features[MAX_SPACES]; /* (N,d_k) of the training split, in host memory */
    const Features *on_device;            /* (K) the same on the device, another's; NULL: not yet */
    int64_t C, B, M;                      /* B <= N */
    DType operands;                       /* of matrix products: DTYPE_F32, or batches of DTYPE_F16
                                           * or DTYPE_BF16 (kernels/matrix.h) */
    int exponent[MAX_SPACES];             /* of batches of float16 on GPUs: Batch.exponent */
    bool tf32;                            /* products of float32 in tf32: GPUs alone */
    InnerTier tier;                       /* of the inner loop (kernels/train.h) */
    int beside;                           /* such trainings at a time on the device; 0: one */
    double gamma, inner_lr, outer_lr;
    const float *prior; /* (C) how large the classes are expected to be, sums to 1; NULL: equally */
    bool warm_start;
    bool torch_rng; /* the published implementation's random streams */
    uint64_t seed;
} TrainConfig;

/* What the device makes of its inner loop: how many such trainings fill it, and what to tell. */
InnerOutlook train_outlook(const Ops *ops, const TrainConfig *config);

/* One run. Everything a test or a report may look at is public. All pointers but the host's at the
 * end are device memory. */
typedef struct {
    TrainConfig config;
    const Ops *ops;
    Queue *queue;
    Graph *graph;
    Buffer memory;      /* all arrays below, one allocation */
    Buffer memory_next; /* those of `next_Z` and `drawn` */
    int64_t N, d[MAX_SPACES];
    Features features[MAX_SPACES]; /* on the device */

    /* what the next iteration depends on: saved and restored */
    float *task[MAX_SPACES]; /* v (C,d), bias (C), g (C): theta_k */
    float *task_m1[MAX_SPACES], *task_m2[MAX_SPACES];
    float *head[MAX_SPACES]; /* weight (C,d), bias (C): W_k */
    float *head_m1[MAX_SPACES], *head_m2[MAX_SPACES];
    int64_t *iteration; /* (1) outer iterations done */
    int64_t *
        head_step; /* (1) Adam steps of the heads done before the iteration: 0 after a cold start */
    float *loss;   /* (K) outer cross-entropy of the last iteration, per space */
    float *entropy; /* (K) entropy of the batch-mean label, per space */

    /* within an iteration */
    int64_t *rows;            /* (B) the batch */
    Batch Z[MAX_SPACES];      /* (B,d_k) its features */
    bool at_once;             /* the device has one operation for labels, heads and task step */
    bool ahead;               /* features are read over a bus: the next batch is gathered beside the
                          * training of this one, */
    Batch next_Z[MAX_SPACES]; /* into these (then `rows` are the next one's); */
    int64_t *drawn;           /* (1) batches drawn; `iteration` itself where none is ahead */
    bool begun;               /* the first one has been gathered */
    float *W;                 /* (C,d_max) weight-normalised task weight, to be read */
    float *P, *Y; /* (K,B,C) (B,C) soft labels and their mean; at the end used up by gradients */
    float *P_bar; /* (K,C) */
    float *prior; /* (C), or NULL: uniform */
    float *inner_losses; /* (M) before each inner step, summed over spaces */
    void *scratch;

    /* torch's and numpy's streams, drawn on the host */
    Mt19937 weights, batches;
    Mt19937 batches_before; /* the last batch was drawn */
    int64_t *rows_host;     /* (N) the permutation that the last batch was the beginning of */
    struct { /* the next one, drawn by a thread of its own while this batch is trained */
        bool drawing;
        pthread_t thread;
        Mt19937 batches; /* the stream behind it: becomes the run's when the rows are used */
        int64_t *rows;
    } next;
    float *head_host;
} Train;

/* Allocates and draws the initial parameters. `ops` and the features must outlive *out. On failure
 * *out is zeroed. */
Status train_open(Train *out, const Ops *ops, const TrainConfig *config, Error *err);
void train_close(Train *r); /* NULL and twice are fine */

/* Enqueues one outer iteration: the algorithm, line for line. */
Status train_iteration(Train *r, Error *err);

typedef struct {
    double loss, entropy; /* of the last iteration, summed over spaces */
} TrainLosses;
/* Waits for what is enqueued and reads the losses. */
Status train_losses(Train *r, TrainLosses *out, Error *err);

/* The effective linear layer of each task encoder, weight norm applied: linear[k] receives
 * linear_size(C, d_k) floats, weight then bias, in host memory. Waits. */
Status train_read_task(Train *r, float *const *linear, Error *err);

/* The state as tensors named for torch_save, and back from a file: a run continued from it is
 * bit-identical to one that was not interrupted. `options` is a text of all that must agree. */
Status train_save(Train *r, const char *path, const char *options, Error *err);
Status train_restore(Train *r, const char *path, const char *options, Error *err);

#endif
