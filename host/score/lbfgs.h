/* lbfgs.h - minimises a smooth function of many variables: L-BFGS (Nocedal 1980), with a line
 * search for the strong Wolfe conditions (Nocedal & Wright 2006, algorithms 3.5, 3.6 and 7.4).
 *
 * Vectors are float32, as the gradients of kernels/ are; every sum over them, step and value is
 * double. Same bits on every run: nothing here depends on threads or time.
 *
 * Stops at the first k where
 *     |g_k|_inf <= gradient_tolerance                                    LBFGS_GRADIENT
 *     f_{k-p} - f_k <= p decrease_tolerance |f_k|,  p = LBFGS_PAST       LBFGS_DECREASE
 *     k = max_iterations                                                 LBFGS_ITERATIONS
 *     no step along -g_k lowers f by more than its rounding              LBFGS_ROUNDING
 */
#ifndef TURTLE_HOST_SCORE_LBFGS_H
#define TURTLE_HOST_SCORE_LBFGS_H

#include <stdint.h>

#include "io/status.h"

enum { LBFGS_PAST = 5 };

typedef enum { LBFGS_GRADIENT, LBFGS_DECREASE, LBFGS_ITERATIONS, LBFGS_ROUNDING } LbfgsReason;

/* Computes *f and gradient (n) at x (n). A status other than OK ends the minimisation with it. */
typedef Status LbfgsFunction(void *context, const float *x, double *f, float *gradient, Error *err);

typedef struct {
    LbfgsFunction *function;
    void *context;
    int64_t n;
    int history;        /* 10 pairs of steps and gradient changes: 20 n floats */
    int max_iterations; /* 1000 */
    double gradient_tolerance, decrease_tolerance;
    double rounding; /* |f computed - f| / |f|, about: smaller differences mean nothing */
} LbfgsProblem;

typedef struct {
    double f, gradient_norm; /* |g|_inf */
    int iterations, evaluations;
    LbfgsReason reason;
} LbfgsResult;

/* Goes from x to a local minimum, in place. ERR_ARG: f is not finite at the start. */
Status lbfgs_minimise(const LbfgsProblem *problem, float *x, LbfgsResult *out, Error *err);
const char *lbfgs_reason(LbfgsReason reason); /* for people */

#endif
