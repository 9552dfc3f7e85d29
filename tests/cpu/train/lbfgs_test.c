/* lbfgs_test.c - L-BFGS on functions whose minimum is known. */
#include "host/score/lbfgs.h"
#include "tests/support/check.h"

static Status rosenbrock(void *context, const float *x, double *f, float *gradient, Error *err) {
    const int64_t n = *(const int64_t *)context;
    (void)err;
    *f = 0.0;
    for (int64_t i = 0; i < n; i += 2) {
        const double a = 1.0 - x[i], b = x[i + 1] - (double)x[i] * x[i];
        *f += a * a + 100.0 * b * b;
        gradient[i] = (float)(-2.0 * a - 400.0 * x[i] * b);
        gradient[i + 1] = (float)(200.0 * b);
    }
    return OK;
}

/* Its Hessian at the minimum (1, 1) has the eigenvalues 0.4 and 1001.6: |x - 1| <= |g| / 0.39, and
 * |g| <= sqrt(2) |g|_inf per pair. A float32 x near 1 rounds g by 1001.6 2^-24 = 6e-5, so that
 * |g|_inf <= 2e-4 can be had. */
Test(lbfgs, finds_the_minimum_of_rosenbrocks_valley) {
    static const int64_t sizes[] = {2, 20, 200};
    for (int t = 0; t < 3; t++) {
        int64_t n = sizes[t];
        float x[200];
        LbfgsResult r;
        Error err;
        for (int64_t i = 0; i < n; i++) x[i] = i % 2 ? 1.0f : -1.2f;
        const LbfgsProblem p = {.function = rosenbrock,
                                .context = &n,
                                .n = n,
                                .history = 10,
                                .max_iterations = 500,
                                .gradient_tolerance = 2e-4};
        ASSERT_OK(lbfgs_minimise(&p, x, &r, &err), err);
        cr_expect(r.reason == LBFGS_GRADIENT && r.gradient_norm <= 2e-4, "n %d: %s", (int)n,
                  lbfgs_reason(r.reason));
        cr_expect(r.evaluations < 120, "n %d: %d evaluations", (int)n, r.evaluations);
        for (int64_t i = 0; i < n; i++)
            cr_expect(fabs(x[i] - 1.0) <= 2e-4 * sqrt(2.0) / 0.39, "n %d: x[%d] = %g", (int)n,
                      (int)i, (double)x[i]);
    }
}

enum { QUADRATIC = 50 };

/* f = 1/2 sum_i k_i (x_i - i)^2 with k from 1 to 10^4. */
static double stiffness(int i) {
    return pow(10.0, 4.0 * i / (QUADRATIC - 1));
}

static Status quadratic(void *context, const float *x, double *f, float *gradient, Error *err) {
    (void)context, (void)err;
    *f = 0.0;
    for (int i = 0; i < QUADRATIC; i++) {
        const double off = (double)x[i] - i;
        *f += 0.5 * stiffness(i) * off * off;
        gradient[i] = (float)(stiffness(i) * off);
    }
    return OK;
}

/* |x_i - i| = |g_i| / k_i: the gradient's bound is the distance's. */
Test(lbfgs, finds_the_minimum_of_a_stiff_quadratic) {
    float x[QUADRATIC] = {0};
    LbfgsResult r;
    Error err;
    const LbfgsProblem p = {.function = quadratic,
                            .n = QUADRATIC,
                            .history = 10,
                            .max_iterations = 2000,
                            .gradient_tolerance = 1e-2};
    ASSERT_OK(lbfgs_minimise(&p, x, &r, &err), err);
    cr_expect(r.reason == LBFGS_GRADIENT, "%s after %d", lbfgs_reason(r.reason), r.iterations);
    for (int i = 0; i < QUADRATIC; i++)
        cr_expect(fabs((double)x[i] - i) <= 1e-2 / stiffness(i), "x[%d] = %.9g", i, (double)x[i]);
}

/* More and Thuente's first function (1994), f = -x/(x^2 + 2): minimum -1/sqrt 8 at sqrt 2, nearly
 * flat far out, where a step that is too long ends. */
static Status flat_far_out(void *context, const float *x, double *f, float *gradient, Error *err) {
    const double square = (double)x[0] * x[0] + 2.0;
    (void)context, (void)err;
    *f = -x[0] / square;
    gradient[0] = (float)((2.0 * x[0] * x[0] - square) / (square * square));
    return OK;
}

/* f = x - ln x, which is NaN below 0: minimum at 1. */
static Status nan_below_0(void *context, const float *x, double *f, float *gradient, Error *err) {
    (void)context, (void)err;
    *f = x[0] - log((double)x[0]);
    gradient[0] = x[0] > 0.0f ? (float)(1.0 - 1.0 / x[0]) : NAN;
    return OK;
}

Test(lbfgs, line_search_copes_with_flat_and_undefined_regions) {
    static const float starts[] = {0.001f, 0.02f, 0.3f, 5.0f, 40.0f};
    Error err;
    LbfgsResult r;
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        float x = starts[i];
        LbfgsProblem p = {.function = nan_below_0,
                          .n = 1,
                          .history = 3,
                          .max_iterations = 100,
                          .gradient_tolerance = 1e-6};
        ASSERT_OK(lbfgs_minimise(&p, &x, &r, &err), err);
        cr_expect(fabs(x - 1.0) < 3e-6, "from %g: %g", (double)starts[i], (double)x);
        x = starts[i] < 1.0f ? starts[i] : 0.0f; /* beyond sqrt 6 the function bends away */
        p.function = flat_far_out;
        ASSERT_OK(lbfgs_minimise(&p, &x, &r, &err), err);
        cr_expect(fabs(x - sqrt(2.0)) < 1e-5 && fabs(r.f + 1.0 / sqrt(8.0)) < 1e-9, "from %g: %.9g",
                  (double)starts[i], (double)x);
    }
}

static Status always_nan(void *context, const float *x, double *f, float *gradient, Error *err) {
    (void)context, (void)x, (void)err;
    *f = NAN;
    gradient[0] = 0.0f;
    return OK;
}

static Status stops_the_third_time(void *context, const float *x, double *f, float *gradient,
                                   Error *err) {
    int64_t n = 2;
    if (++*(int *)context == 3) return fail(err, ERR_STOPPED, "enough");
    return rosenbrock(&n, x, f, gradient, err);
}

static Status slope(void *context, const float *x, double *f, float *gradient, Error *err) {
    (void)context, (void)err;
    *f = -(double)x[0];
    gradient[0] = -1.0f;
    return OK;
}

Test(lbfgs, says_why_it_ends) {
    float x[2] = {-1.2f, 1.0f};
    int calls = 0;
    int64_t n = 2;
    LbfgsResult r;
    Error err;
    LbfgsProblem p = {.function = stops_the_third_time,
                      .context = &calls,
                      .n = 2,
                      .history = 4,
                      .max_iterations = 50};
    cr_expect(lbfgs_minimise(&p, x, &r, &err) == ERR_STOPPED && strcmp(err.text, "enough") == 0);
    p.function = always_nan;
    cr_expect(lbfgs_minimise(&p, x, &r, &err) == ERR_ARG && strstr(err.text, "not finite"));
    p.function = rosenbrock, p.context = &n, p.max_iterations = 0;
    cr_expect(lbfgs_minimise(&p, x, &r, &err) == OK && r.reason == LBFGS_ITERATIONS &&
              r.iterations == 0 && r.evaluations == 1 && x[0] == -1.2f);
    p.max_iterations = 1000; /* no tolerance: down to what float32 can */
    cr_expect(lbfgs_minimise(&p, x, &r, &err) == OK && r.f < 1e-9 &&
                  (r.reason == LBFGS_ROUNDING || r.reason == LBFGS_GRADIENT ||
                   r.reason == LBFGS_DECREASE),
              "%s: %g", lbfgs_reason(r.reason), r.f);
    p.function = slope, p.n = 1, p.max_iterations = 5; /* no minimum */
    cr_expect(lbfgs_minimise(&p, x, &r, &err) == OK && r.f < -1000.0, "%g", r.f);
}
