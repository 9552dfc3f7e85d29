/* lbfgs.c - L-BFGS with a strong Wolfe line search. The names of the algorithms' numbers are those
 * of Nocedal & Wright, Numerical Optimization, 2nd edition. */
#include "host/score/lbfgs.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define C1 1e-4 /* sufficient decrease (eq. 3.7a) */
#define C2 0.9  /* curvature (eq. 3.7b) */
enum { MAX_TRIALS = 20 };

/* --- vectors ---------------------------------------------------------------------------------- */

/* Sums are made of LANES interleaved parts, which compilers turn into vectors without changing an
 * order. */
enum { LANES = 16 };

static double sum_lanes(const double part[LANES]) {
    double sum = 0.0;
    for (int l = 0; l < LANES; l++) sum += part[l];
    return sum;
}

static double dot(const float *a, const float *b, int64_t n) {
    double part[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) part[l] += (double)a[i + l] * b[i + l];
    for (int l = 0; i < n; i++, l++) part[l] += (double)a[i] * b[i];
    return sum_lanes(part);
}

static double largest(const float *a, int64_t n) {
    float most = 0.0f;
    for (int64_t i = 0; i < n; i++) most = fabsf(a[i]) > most || isnan(a[i]) ? fabsf(a[i]) : most;
    return most;
}

/* Computes out = a + scale b. */
static void add_scaled(float *out, const float *a, double scale, const float *b, int64_t n) {
    const float by = (float)scale;
    for (int64_t i = 0; i < n; i++) out[i] = a[i] + by * b[i];
}

/* --- what a minimisation holds ---------------------------------------------------------------- */

typedef struct {
    const LbfgsProblem *problem;
    LbfgsResult *result;
    Error *err;
    int64_t n;
    float *memory;                 /* all vectors below, one allocation */
    float *x, *gradient;           /* the iterate; x is the caller's */
    float *trial, *trial_gradient; /* the last point evaluated */
    float *direction;
    float **s, **y; /* [history] steps and changes of the gradient, pair i at i mod history */
    double *rho, *alpha;
    int64_t pairs; /* stored so far, since the last reset */
    double f, trial_f;
    double past[LBFGS_PAST]; /* f of the last iterations, k at k mod LBFGS_PAST */
} State;

static Status allocate(State *s) {
    const int m = s->problem->history;
    s->memory = malloc((size_t)(2 * m + 4) * (size_t)s->n * sizeof *s->memory);
    s->s = malloc(2 * (size_t)m * sizeof *s->s);
    s->rho = malloc(2 * (size_t)m * sizeof *s->rho);
    if (!s->memory || !s->s || !s->rho)
        return fail(s->err, ERR_MEMORY, "lbfgs: out of memory for %d vectors of %lld", 2 * m + 4,
                    (long long)s->n);
    s->y = s->s + m;
    s->alpha = s->rho + m;
    float *next = s->memory;
    for (int i = 0; i < 2 * m; i++, next += s->n) s->s[i] = next;
    s->gradient = next;
    s->trial = next + s->n;
    s->trial_gradient = next + 2 * s->n;
    s->direction = next + 3 * s->n;
    return OK;
}

static Status evaluate(State *s, const float *x, double *f, float *gradient) {
    s->result->evaluations++;
    return s->problem->function(s->problem->context, x, f, gradient, s->err);
}

/* --- direction: algorithm 7.4, two-loop recursion --------------------------------------------- */

/* Computes direction = -H gradient, with H from the stored pairs and H0 = (s'y / y'y) I. */
static void find_direction(State *s) {
    const int64_t n = s->n, m = s->problem->history, oldest = s->pairs > m ? s->pairs - m : 0;
    float *q = s->direction;
    for (int64_t i = 0; i < n; i++) q[i] = -s->gradient[i];
    for (int64_t i = s->pairs - 1; i >= oldest; i--) {
        const int64_t j = i % m;
        s->alpha[j] = s->rho[j] * dot(s->s[j], q, n);
        add_scaled(q, q, -s->alpha[j], s->y[j], n);
    }
    if (s->pairs > 0) {
        const int64_t j = (s->pairs - 1) % m;
        const float scale = (float)(1.0 / (s->rho[j] * dot(s->y[j], s->y[j], n)));
        for (int64_t i = 0; i < n; i++) q[i] *= scale;
    }
    for (int64_t i = oldest; i < s->pairs; i++) {
        const int64_t j = i % m;
        add_scaled(q, q, s->alpha[j] - s->rho[j] * dot(s->y[j], q, n), s->s[j], n);
    }
}

/* Keeps s = trial - x and y = their gradients' difference, unless its curvature is not positive. */
static void store_pair(State *s) {
    const int64_t j = s->pairs % s->problem->history;
    float *step = s->s[j], *change = s->y[j];
    for (int64_t i = 0; i < s->n; i++) {
        step[i] = s->trial[i] - s->x[i];
        change[i] = s->trial_gradient[i] - s->gradient[i];
    }
    const double curvature = dot(step, change, s->n);
    if (curvature > 1e-12 * dot(change, change, s->n)) {
        s->rho[j] = 1.0 / curvature;
        s->pairs++;
    }
}

/* --- step: algorithms 3.5 and 3.6 ------------------------------------------------------------- */

typedef struct {
    double step, f, slope; /* phi(step), phi'(step) */
} Point;

static Status try_step(State *s, double step, Point *out) {
    out->step = step;
    add_scaled(s->trial, s->x, step, s->direction, s->n);
    const Status st = evaluate(s, s->trial, &out->f, s->trial_gradient);
    if (st != OK) return st;
    out->slope = dot(s->trial_gradient, s->direction, s->n);
    if (!isfinite(out->f) || !isfinite(out->slope)) out->f = INFINITY;
    s->trial_f = out->f;
    return OK;
}

/* Returns the minimiser of the cubic through both values and slopes (eq. 3.59); NaN where it has
 * none. */
static double cubic_minimum(Point a, Point b) {
    const double d1 = a.slope + b.slope - 3.0 * (a.f - b.f) / (a.step - b.step);
    const double d2 = copysign(sqrt(d1 * d1 - a.slope * b.slope), b.step - a.step);
    return b.step - (b.step - a.step) * (b.slope + d2 - d1) / (b.slope - a.slope + 2.0 * d2);
}

static bool long_enough(Point p, Point start) { /* strong Wolfe's curvature condition */
    return fabs(p.slope) <= -C2 * start.slope;
}

/* Returns whether the decrease is not sufficient, what rounding hides left aside. */
static bool too_high(Point p, Point start, double rounding) {
    return !(p.f <= start.f + C1 * p.step * start.slope + rounding);
}

/* Finds a step between two that enclose one (algorithm 3.6); the last point tried is the one found. */
static Status zoom(State *s, Point start, Point low, Point high, int trials, bool *found,
                   double rounding) {
    for (; trials < MAX_TRIALS; trials++) {
        const double left = fmin(low.step, high.step), width = fabs(high.step - low.step);
        double step = cubic_minimum(low, high);
        if (!(step >= left + 0.1 * width && step <= left + 0.9 * width)) step = left + 0.5 * width;
        Point p;
        const Status st = try_step(s, step, &p);
        if (st != OK) return st;
        if (too_high(p, start, rounding) || p.f >= low.f + rounding) {
            high = p;
            continue;
        }
        if (long_enough(p, start)) {
            *found = true;
            return OK;
        }
        if (p.slope * (high.step - low.step) >= 0.0) high = low;
        low = p;
    }
    if (low.step <= 0.0 || !(low.f < start.f - rounding)) return OK; /* *found is false */
    *found = true; /* enough decrease, if not the slope */
    return try_step(s, low.step, &low);
}

/* Finds a step along the direction that satisfies the strong Wolfe conditions (algorithm 3.5). */
static Status line_search(State *s, double step, bool *found) {
    const double rounding = s->problem->rounding * fabs(s->f);
    const Point start = {0.0, s->f, dot(s->gradient, s->direction, s->n)};
    Point before = start, p;
    *found = false;
    if (!(start.slope < 0.0)) return OK;
    for (int trials = 0; trials < MAX_TRIALS; trials++) {
        const Status st = try_step(s, step, &p);
        if (st != OK) return st;
        if (too_high(p, start, rounding) || (trials > 0 && p.f >= before.f + rounding))
            return zoom(s, start, before, p, trials + 1, found, rounding);
        if (long_enough(p, start)) {
            *found = true;
            return OK;
        }
        if (p.slope >= 0.0) return zoom(s, start, p, before, trials + 1, found, rounding);
        const double longer = cubic_minimum(before, p);
        before = p;
        step = longer >= 2.0 * step && longer <= 10.0 * step ? longer : 2.0 * step;
    }
    *found = true; /* f falls without end: this is as far as we go */
    return OK;
}

/* --- iterations ------------------------------------------------------------------------------- */

/* Makes one step; *moved is false where none lowers f. */
static Status iterate(State *s, bool *moved) {
    find_direction(s);
    const double first = s->pairs > 0 ? 1.0 : 1.0 / sqrt(dot(s->direction, s->direction, s->n));
    Status st = line_search(s, first, moved);
    if (st == OK && !*moved && s->pairs > 0) { /* the pairs mislead: begin again from -gradient */
        s->pairs = 0;
        return iterate(s, moved);
    }
    if (st != OK || !*moved) return st;
    store_pair(s);
    memcpy(s->x, s->trial, (size_t)s->n * sizeof *s->x);
    float *keep = s->gradient;
    s->gradient = s->trial_gradient;
    s->trial_gradient = keep;
    s->f = s->trial_f;
    return OK;
}

/* Returns whether to stop at iteration k; the result says why. */
static bool finished(State *s, int k) {
    const LbfgsProblem *p = s->problem;
    const double before = s->past[k % LBFGS_PAST];
    s->past[k % LBFGS_PAST] = s->f;
    s->result->f = s->f;
    s->result->iterations = k;
    s->result->gradient_norm = largest(s->gradient, s->n);
    if (s->result->gradient_norm <= p->gradient_tolerance) s->result->reason = LBFGS_GRADIENT;
    else if (k >= LBFGS_PAST && before - s->f <= LBFGS_PAST * p->decrease_tolerance * fabs(s->f))
        s->result->reason = LBFGS_DECREASE;
    else if (k >= p->max_iterations) s->result->reason = LBFGS_ITERATIONS;
    else return false;
    return true;
}

Status lbfgs_minimise(const LbfgsProblem *problem, float *x, LbfgsResult *out, Error *err) {
    State s = {.problem = problem, .result = out, .err = err, .n = problem->n, .x = x};
    *out = (LbfgsResult){.f = NAN, .gradient_norm = NAN};
    Status st = allocate(&s);
    if (st == OK) st = evaluate(&s, x, &s.f, s.gradient);
    if (st == OK && !isfinite(s.f + largest(s.gradient, s.n)))
        st = fail(err, ERR_ARG, "lbfgs: the function or its gradient is not finite at the start");
    bool moved = true;
    for (int k = 0; st == OK && !finished(&s, k); k++) {
        st = iterate(&s, &moved);
        if (st == OK && !moved) {
            out->reason = LBFGS_ROUNDING;
            break;
        }
    }
    free(s.memory);
    free(s.s);
    free(s.rho);
    return st;
}

const char *lbfgs_reason(LbfgsReason reason) {
    static const char *const text[] = {"gradient below tolerance", "no further decrease",
                                       "iterations", "rounding"};
    return text[reason];
}
