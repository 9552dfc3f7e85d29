/* kmeans.h - k-means (Lloyd 1982) with k-means++ or random starts, on any backend.
 *
 *     repeat   label_n = nearest centre;  c = mean of its samples
 *     until    no label changes, or sum |c - c_before|^2 <= tol * mean variance of the features
 *              (scikit-learn's rule), or max_iter times; then labels belong to the last centres
 *
 * Samples  single space: as they are; several: every space's rows scaled to length 1, side by side
 *          (as the published baseline does). The mean of all samples is subtracted: distances stay
 *          the same and lose less to rounding. Copied to the device once, 4Nd bytes.
 * Starts   k-means++ chooses each centre among 2 + ln C candidates, drawn with probability
 *          proportional to the squared distance to the centres so far, as scikit-learn does; the
 *          restarts are drawn side by side. Random: C distinct samples. Where all samples already
 *          lie on centres, any sample.
 * Empty    A cluster that loses all samples takes, in ascending order of clusters, the sample
 *          farthest from its own new centre (the first of equals), whose cluster keeps at least
 *          one. If no sample lies apart from its centre - there are fewer distinct samples than
 *          clusters - it stays empty, with its centre.
 * Spherical  samples and centres have length 1; the nearest centre is that of the largest cosine.
 * Best     of the restarts the one with the least inertia, the first of equals.
 */
#ifndef TURTLE_HOST_BASELINE_KMEANS_H
#define TURTLE_HOST_BASELINE_KMEANS_H

#include "host/score/predictions.h"
#include "host/turtle.h"
#include "kernels/ops.h"

typedef struct {
    int64_t C, n_init, max_iter;
    double tol;
    bool random_start, spherical;
    bool all_distances; /* no bounds: every distance of every iteration; same bits, to judge them */
    uint64_t seed;
} KmeansConfig;

typedef struct {
    double inertia; /* sum of squared distances to the own centre */
    int64_t iterations;
} KmeansRestart;

typedef struct {
    const Ops *ops;
    KmeansConfig config;
    int K;
    int64_t N, d, d_k[MAX_SPACES]; /* d is their sum */
    Queue *queue;
    Buffer memory;   /* all that follows, on the device */
    Samples samples; /* (N,d) */
    Samples piece;   /* (PIECE,d): what kmeans_apply looks at */
    int64_t *rows;   /* (PIECE) */
    Centers centers; /* (C,d) */
    float *best;     /* (C,d) centres of the best restart */
    float *mean;     /* (d) subtracted from every sample */
    int32_t *label, *before;
    Bounds bounds;
    float *distance2;           /* (N) to the own centre */
    float *first, *second;      /* (PIECE) squared distances */
    double *sums;               /* (C,d) */
    int64_t *count;             /* (C+1) */
    double *scalar;             /* (2) squared shift, inertia */
    int64_t *seeds, *candidate; /* (together,C), (together,candidates) */
    int64_t *number;            /* (1) of the restart, for random starts */
    float *closest;             /* (N,together) */
    void *scratch;
    int64_t together, candidates; /* restarts drawn side by side; candidates of each */
    double grid, variance, apart2;
    int64_t *count_host;      /* (C+1) */
    const TurtleHooks *hooks; /* hooks of kmeans_run: a start that is stopped is incomplete */
    int64_t drawn;            /* restarts whose start stands in `seeds` end here */
} Kmeans;

/* Copies, scales and centres the samples of K spaces. Features so large that their squares pass
 * float32 are ERR_ARG. On failure *out is closed. */
Status kmeans_open(Kmeans *out, const Ops *ops, const KmeansConfig *config, int K,
                   const Features *const *features, Error *err);
/* Takes the memory of m->N samples, where config, K and dimensions stand; kmeans_close returns it. */
Status kmeans_take_memory(Kmeans *m, Error *err);
/* Refuses centres that no call can have returned. */
Status kmeans_centers_check(const TurtleCenters *centers, Error *err);
/* Opens checked centres of an earlier call, for kmeans_apply alone. The samples to come are divided by
 * 2^exponent, and so are the centres; ERR_ARG where their squares still pass float32. */
Status kmeans_open_at(Kmeans *out, const Ops *ops, const TurtleCenters *centers, int exponent,
                      Error *err);
void kmeans_close(Kmeans *m); /* NULL and twice are fine */

/* Runs all restarts one after the other; restart is (n_init) or NULL. Afterwards m->centers are
 * those of restart *best. `hooks` may be NULL; asked to stop, the function returns ERR_STOPPED. */
Status kmeans_run(Kmeans *m, KmeansRestart *restart, int64_t *best, const TurtleHooks *hooks,
                  Error *err);

/* kmeans_run consists of these parts. kmeans_start draws the start of restart r; kmeans_start_at
 * takes given centres (C,d) in the samples' own place, mean not yet subtracted; kmeans_lloyd
 * iterates from there. step (max_iter) or NULL receives the inertia of every iteration's labels and
 * their new centres, at the price of a pass each. */
Status kmeans_start(Kmeans *m, int64_t r, Error *err);
Status kmeans_start_at(Kmeans *m, const float *centers, Error *err);
Status kmeans_lloyd(Kmeans *m, KmeansRestart *out, double *step, const TurtleHooks *hooks,
                    Error *err);

/* Copies m->centers, times 2^exponent, into fresh memory. On failure *out is zeroed. */
Status kmeans_centers(Kmeans *m, TurtleCenters *out, int exponent, Error *err);
void kmeans_centers_free(TurtleCenters *centers); /* twice is fine */

/* Finds the nearest centres of n samples of the same spaces. With distances d1 <= d2 to the nearest
 * two, confidence = d2/(d1 + d2) and margin = (d2 - d1)/(d1 + d2): half and 0 on a border. */
Status kmeans_apply(Kmeans *m, const Features *const *features, int64_t n, Predictions *out,
                    Error *err);

#endif
