/* logreg.h - multinomial logistic regression: a linear head fitted to known classes.
 *
 *     F(W, b) = sum_i -log softmax(W z_i + b)[y_i] + 1/(2C) |W|^2
 *
 * with scikit-learn's and cuML's C (called `strength` here, for C is the number of classes): larger
 * is weaker. Sums, not means; the bias is free; the start is zero. The softmax is over the classes
 * that occur, as theirs is: the others' weights are 0 and their bias so low that they are never
 * predicted. With two classes those libraries fit one vector w = W_1 - W_0 with 1/(2C) |w|^2; the
 * same minimum has 1/C |W|^2 here. With one class F = 0 at once. F is strictly convex but for a
 * constant on the bias: the minimum does not depend on where the search starts.
 *
 * L-BFGS (lbfgs.h), in float32 with sums in double, stops at the first of
 *     |grad F|_inf <= tol n           n samples: the gradient of F/n, scikit-learn's rule
 *     F lower by less than LOGREG_DECREASE of itself per iteration, over the last five
 *     max_iter iterations
 *     no step along -grad F lowers F by more than its rounding
 */
#ifndef TURTLE_HOST_SCORE_LOGREG_H
#define TURTLE_HOST_SCORE_LOGREG_H

#include "host/score/lbfgs.h"
#include "host/turtle.h"
#include "kernels/ops.h"

#define LOGREG_DECREASE 1e-8

/* Samples and their classes, copied to the device once for any number of fits. */
typedef struct {
    const Ops *ops;
    Queue *queue;
    int64_t N, C;
    Batch Z;         /* (N,d): float16 where the features are, else float32 */
    int32_t *y;      /* (N) classes as the last fit numbered them, on the device */
    int64_t *y_true; /* (N) classes, in host memory */
    Buffer memory;
} Logreg;

/* Opens N samples. Sample i is row rows[i] of the features (on the device of `ops`), its class
 * labels[rows[i]], in [0, C); rows and labels are host memory. On failure *out is zeroed. */
Status logreg_open(Logreg *out, const Ops *ops, const Features *features, const int64_t *rows,
                   int64_t N, const int64_t *labels, int64_t C, Error *err);
void logreg_close(Logreg *r); /* NULL and twice are fine */

typedef struct {
    double strength; /* C */
    double tol;
    int max_iter;
    bool warm;                  /* start at `head` instead of zero */
    int64_t held_first, held_n; /* samples that the fit does not see */
    const TurtleHooks *hooks;   /* stop is obeyed; or NULL */
    TurtleProgress
        *progress;  /* told to the hooks at every evaluation of F, which it counts; or NULL */
    double started; /* of the progress: now_seconds() */
} LogregOptions;

typedef struct {
    double objective, gradient_norm; /* F and |grad F|_inf, of sums */
    int iterations, evaluations;
    int64_t classes; /* classes that occur */
    LbfgsReason reason;
} LogregResult;

/* Fits head: linear_size(C,d) floats of host memory, weight then bias. ERR_ARG: options that cannot
 * be served; ERR_STOPPED: the hooks asked to stop. */
Status logreg_fit(Logreg *r, const LogregOptions *options, float *head, LogregResult *out,
                  Error *err);
/* Counts the samples first .. first+n that `head` gives their class (argmax, the first maximum). */
Status logreg_correct(Logreg *r, const float *head, int64_t first, int64_t n, int64_t *correct,
                      Error *err);

#endif
