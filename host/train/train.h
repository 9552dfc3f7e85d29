/* train.h - TURTLE's training loop: the outer problem and the state of a run (paper section 3). */
#ifndef TURTLE_HOST_TRAIN_TRAIN_H
#define TURTLE_HOST_TRAIN_TRAIN_H

#include <pthread.h>

#include "host/inputs/rng.h"
#include "kernels/ops.h"

/* The sizes and settings of a training; the defaults of the paper stand in turtle.h. */
typedef struct {
    int K;
    const Features *features[MAX_SPACES]; /* (N,d_k) of the training split, in host memory */
    const Features *on_device; /* (K) features already on the device, owned by the caller; NULL:
                                * train_open uploads them */
    int64_t C, B, M;           /* B <= N */
    DType operands;            /* type of batches in products: DTYPE_F32, DTYPE_F16 or DTYPE_BF16 */
    int exponent[MAX_SPACES];  /* power of two that scales float16 on a GPU: Batch.exponent */
    bool tf32;                 /* products of float32 in tf32, on GPUs alone */
    InnerTier tier;            /* implementation of the inner loop (kernels/train.h) */
    int beside;                /* trainings like this one at a time on the device; 0: one */
    double gamma, inner_lr, outer_lr;
    const float *prior; /* (C) expected share of each class, sums to 1; NULL: equal shares */
    bool warm_start;
    bool torch_rng; /* the published implementation's random streams */
    uint64_t seed;
} TrainConfig;

/* Returns what the device makes of the inner loop: how many such trainings fill it, and a note to tell. */
InnerOutlook train_outlook(const Ops *ops, const TrainConfig *config);

/* One run. Everything that a test or a report may look at is public. Pointers lead to device memory,
 * but for those of the host's random streams at the end. */
typedef struct {
    TrainConfig config;
    const Ops *ops;
    Queue *queue;
    Graph *graph;
    Buffer memory;      /* all arrays below, one allocation */
    Buffer memory_next; /* the arrays `next_Z` and `drawn` */
    int64_t N, d[MAX_SPACES];
    Features features[MAX_SPACES]; /* readable on the device */

    /* state that the next iteration depends on: saved and restored (train_state.h) */
    float *task[MAX_SPACES]; /* v (C,d), bias (C), g (C): theta_k */
    float *task_m1[MAX_SPACES], *task_m2[MAX_SPACES];
    float *head[MAX_SPACES]; /* weight (C,d), bias (C): W_k */
    float *head_m1[MAX_SPACES], *head_m2[MAX_SPACES];
    int64_t *iteration; /* (1) outer iterations done */
    int64_t *head_step; /* (1) Adam steps of the heads before the iteration: 0 after a cold start */
    float *loss;        /* (K) outer cross-entropy of the last iteration, per space */
    float *entropy;     /* (K) entropy of the batch-mean label, per space */

    /* within an iteration */
    int64_t *rows;            /* (B) rows of the batch */
    Batch Z[MAX_SPACES];      /* (B,d_k) features of the batch */
    bool at_once;             /* the device has one operation for labels, heads and task step */
    bool ahead;               /* features come over a bus: the next batch is gathered meanwhile */
    Batch next_Z[MAX_SPACES]; /* (B,d_k) the next batch, if `ahead`; then `rows` are its rows */
    int64_t *drawn;           /* (1) batches drawn; `iteration` itself unless `ahead` */
    bool begun;               /* the first batch has been gathered ahead */
    float *W;                 /* (C,d_max) weight-normalised task weight, to be read */
    float *P, *Y;             /* (K,B,C) (B,C) soft labels and their mean; gradients use them up */
    float *P_bar;             /* (K,C) mean of P over the batch */
    float *prior;             /* (C), or NULL: uniform */
    float *inner_losses;      /* (M) before each inner step, summed over spaces */
    void *scratch;

    /* torch's and numpy's streams, drawn on the host (train_random.h) */
    Mt19937 weights, batches;
    Mt19937 batches_before; /* the stream before the last batch was drawn */
    int64_t *rows_host;     /* (N) the permutation that begins with the last batch */
    struct { /* the next permutation, drawn by a thread while this batch is trained */
        bool drawing;
        pthread_t thread;
        Mt19937 batches; /* the stream behind it: becomes the run's when the rows are used */
        int64_t *rows;
    } next;
    float *head_host; /* one head, on its way to the device */
} Train;

/* Allocates the arrays and draws the initial parameters. `ops` and the features must outlive *out. On
 * failure *out is zeroed. ERR_ARG: sizes that are no problem to solve; ERR_MEMORY, ERR_DEVICE. */
Status train_open(Train *out, const Ops *ops, const TrainConfig *config, Error *err);
void train_close(Train *r); /* NULL and twice are fine */

/* Enqueues one outer iteration: the algorithm, line for line. */
Status train_iteration(Train *r, Error *err);

typedef struct {
    double loss, entropy; /* values of the last iteration, summed over spaces */
} TrainLosses;
/* Waits for what is enqueued and reads the losses. */
Status train_losses(Train *r, TrainLosses *out, Error *err);

/* Reads the linear layer that each task encoder is, weight norm applied: linear[k] receives
 * linear_size(C, d_k) floats, weight then bias, in host memory. Waits for the device. */
Status train_read_task(Train *r, float *const *linear, Error *err);

#endif
