/* ladder_test.c - the ladder of kernels (kernels/cuda/ladder): every step against a scalar reference, and beside the
 * steps whose sums run in the same order.
 *
 * A step is judged from the state that it starts with, so that rounding of one inner step does not grow in the next.
 * u is 2^-24 for steps 1 to 4, and 2^-23 for tensor cores, which may cut off where they add. For one inner step:
 *     logit      (d + 2) u sum |z w|, from d products and sums and the bias: `off`
 *     softmax    relative: 2 off of the worst logit + u (2 C + 2 range + 16), for exp's argument and its 2 places in
 *                numerator and sum, C sums of exponentials and labels, quotient and product
 *     residual   the softmax's, + 2 u (p + y); in float16, times 2^15: + 2^-11 |r| + 2^-40 (half its smallest step)
 *     gradient   sum of the residuals' errors times |z|, + (B + 2) u sum |r z|
 *     m1, m2     what the gradient's error makes of them, + 4 u of each term
 *     W          from the new m1 and m2: 8 u of the change, + u |W| */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/ladder/ladder.h"
#include "kernels/ops.h"
#include "tests/gpu/device_memory.h"

enum { STEPS = 3 };

static const struct {
    int B, C, d;
} shapes[] = {{150, 10, 128}, {64, 64, 64}, {1, 2, 64}, {200, 33, 192}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static double widen(uint16_t h) {
    const int exponent = h >> 10 & 31, mantissa = h & 1023;
    const double x = exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24);
    return h >> 15 ? -x : x;
}

/* --- the reference ---------------------------------------------------------------------------- */

/* Gradients and their bounds, (C, d) and then (C), as the head lies. */
typedef struct {
    double *grad, *bound;
} Expected;

static double weight_at(const Ladder *a, bool half, int c, int j) {
    const int i = c * a->d + j;
    return half ? widen(a->W16[i]) : a->head[i];
}

static void add_row(const Ladder *a, bool half, int b, const Expected *e) {
    const double u = half ? 0x1p-23 : 0x1p-24;
    double x[LADDER_CLASSES], top = -INFINITY, least = INFINITY, sum = 0.0, mass = 0.0, off = 0.0;
    for (int c = 0; c < a->C; c++) {
        double all = fabs(a->head[a->C * a->d + c]);
        x[c] = a->head[a->C * a->d + c];
        for (int j = 0; j < a->d; j++) {
            const double product = a->Z[b * a->d + j] * weight_at(a, half, c, j);
            x[c] += product, all += fabs(product);
        }
        off = fmax(off, (a->d + 2) * u * all);
        top = fmax(top, x[c]), least = fmin(least, x[c]);
        mass += a->Y[b * a->C + c];
    }
    for (int c = 0; c < a->C; c++) sum += exp(x[c] - top);
    const double relative = 2.0 * off + u * (2 * a->C + 2.0 * (top - least) + 16);
    for (int c = 0; c < a->C; c++) {
        const double y = a->Y[b * a->C + c], p = exp(x[c] - top) / sum * mass, r = p - y;
        const double wrong =
            p * relative + 2.0 * u * (p + y) + (half ? 0x1p-11 * fabs(r) + 0x1p-40 : 0.0);
        for (int j = 0; j <= a->d; j++) {
            const double z = j < a->d ? a->Z[b * a->d + j] : 1.0;
            const int i = j < a->d ? c * a->d + j : a->C * a->d + c;
            e->grad[i] += r * z / a->B;
            e->bound[i] += (wrong + (a->B + 2) * u * (fabs(r) + wrong)) * fabs(z) / a->B;
        }
    }
}

static Expected expect(const Ladder *a, bool half) {
    const size_t weights = (size_t)(a->C * (a->d + 1));
    const Expected e = {calloc(weights, sizeof(double)), calloc(weights, sizeof(double))};
    cr_assert(e.grad && e.bound);
    for (int b = 0; b < a->B; b++) add_row(a, half, b, &e);
    return e;
}

/* Returns how many weights and moments lie outside their bounds; `head`, `m1` and `m2` are those before the step. */
static int outside(const Ladder *a, bool half, const Expected *e, const float *head,
                   const float *m1, const float *m2) {
    const double u = half ? 0x1p-23 : 0x1p-24, t = a->done + 1;
    int bad = 0;
    for (int i = 0; i < a->C * (a->d + 1); i++) {
        const double g = e->grad[i], off = e->bound[i];
        const double first = 0.9 * m1[i] + 0.1 * g, second = 0.999 * m2[i] + 0.001 * g * g;
        const double lim1 = 0.1 * off + 4.0 * u * (fabs(0.9 * m1[i]) + fabs(0.1 * g));
        const double lim2 = 0.001 * (2.0 * fabs(g) + off) * off + 4.0 * u * second + 0x1p-140;
        const double change = a->lr / (1.0 - pow(0.9, t)) * a->m1[i] /
                              (sqrt(a->m2[i]) / sqrt(1.0 - pow(0.999, t)) + ADAM_EPS);
        const double lim = 8.0 * u * fabs(change) + u * fabs(a->head[i]);
        if (!(fabs(a->m1[i] - first) <= lim1)) bad++;
        if (!(fabs(a->m2[i] - second) <= lim2)) bad++;
        if (!(fabs(a->head[i] - (head[i] - change)) <= lim)) bad++;
        if (half && i < a->C * a->d &&
            !(fabs(widen(a->W16[i]) - a->head[i]) <= 0x1p-11 * fabs(a->head[i]) + 0x1p-25))
            bad++;
    }
    return bad;
}

/* --- runs ------------------------------------------------------------------------------------- */

/* Runs M inner steps on scratch memory full of NaN. Returns false where the device cannot run the step. */
static bool runs(int n, const Ladder *a, int M) {
    memset(a->R, 0xff, (size_t)(a->B * a->C) * sizeof(float));
    memset(a->R16, 0xff, (size_t)(a->B * LADDER_CLASSES) * sizeof(uint16_t));
    memset(a->partial, 0xff, (size_t)ladder_partials(a->B, a->C, a->d) * sizeof(float));
    const char *fault = ladder_step(n)->run(a, M);
    cr_assert(ladder_wait(), "step %d has failed", n + 1);
    if (ladder_gpus() && ladder_step(n)->hopper && fault && strncmp(fault, "it needs", 8) == 0)
        return false;
    cr_assert(!fault, "step %d, B %d C %d d %d: %s", n + 1, a->B, a->C, a->d, fault);
    return true;
}

static float *copied(const float *x, int n) {
    float *copy = malloc((size_t)n * sizeof *copy);
    cr_assert(copy);
    return memcpy(copy, x, (size_t)n * sizeof *copy);
}

Test(ladder, every_step_agrees_with_the_reference, .timeout = 300) {
    need_gpu();
    for (int s = 0; s < SHAPES; s++) {
        Ladder a;
        cr_assert(ladder_open(&a, shapes[s].B, shapes[s].C, shapes[s].d));
        const int weights = a.C * (a.d + 1);
        for (int n = 0; n < LADDER_STEPS; n++) {
            test_schedule(n + s);
            ladder_restart(&a);
            for (a.done = 0; a.done < STEPS; a.done++) {
                float *head = copied(a.head, weights), *m1 = copied(a.m1, weights),
                      *m2 = copied(a.m2, weights);
                const Expected e = expect(&a, n >= 4);
                if (runs(n, &a, 1))
                    cr_expect(outside(&a, n >= 4, &e, head, m1, m2) == 0,
                              "step %d, B %d C %d d %d, inner step %d: %d outside their bounds",
                              n + 1, a.B, a.C, a.d, a.done, outside(&a, n >= 4, &e, head, m1, m2));
                free(head), free(m1), free(m2), free(e.grad), free(e.bound);
            }
        }
        ladder_close(&a);
    }
}

/* Steps 1 to 3 add the same numbers in the same order, and so do steps 5 to 7; several inner steps in one call are
 * those calls one after the other. */
Test(ladder, steps_with_the_same_sums_have_the_same_bits, .timeout = 300) {
    need_gpu();
    static const int groups[LADDER_STEPS] = {0, 0, 0, 3,
                                             4, 4, 4, 7}; /* the first step with these sums */
    for (int s = 0; s < 2; s++) {
        Ladder a;
        float *first[LADDER_STEPS] = {NULL};
        cr_assert(ladder_open(&a, shapes[s].B, shapes[s].C, shapes[s].d));
        const int weights = a.C * (a.d + 1);
        for (int n = 0; n < LADDER_STEPS; n++) {
            test_schedule(20 + n + s);
            ladder_restart(&a);
            if (!runs(n, &a, STEPS)) continue;
            float *in_one = copied(a.head, weights);
            ladder_restart(&a);
            for (a.done = 0; a.done < STEPS; a.done++) runs(n, &a, 1);
            cr_expect(memcmp(in_one, a.head, (size_t)weights * sizeof(float)) == 0,
                      "step %d, C %d: %d inner steps differ from one and one", n + 1, a.C, STEPS);
            if (groups[n] == n) first[n] = copied(a.head, weights);
            cr_expect(memcmp(in_one, first[groups[n]], (size_t)weights * sizeof(float)) == 0,
                      "steps %d and %d differ at B %d C %d d %d", n + 1, groups[n] + 1, a.B, a.C,
                      a.d);
            free(in_one);
        }
        for (int n = 0; n < LADDER_STEPS; n++) free(first[n]);
        ladder_close(&a);
    }
}

/* Up to step 7 every idea is predicted to gain; step 8 gains over step 5 where classes fill its tile. */
Test(ladder, every_idea_is_predicted_to_gain) {
    const PlanDevice *p = plan_device("h200");
    for (int wide = 0; wide < 2; wide++) {
        const double C = wide ? 64.0 : 10.0;
        double before = INFINITY;
        for (int n = 0; n < 7; n++) {
            const double now = ladder_step(n)->seconds(p, 8192.0, C, 768.0);
            cr_expect(now > 0.0 && now < before, "step %d, C %g: %g s, before %g", n + 1, C, now,
                      before);
            before = now;
        }
    }
    cr_expect(ladder_step(7)->seconds(p, 8192.0, 64.0, 768.0) <
              ladder_step(4)->seconds(p, 8192.0, 64.0, 768.0));
    cr_expect(ladder_step(7)->seconds(p, 8192.0, 10.0, 768.0) >
              ladder_step(4)->seconds(p, 8192.0, 10.0, 768.0));
    cr_expect(!ladder_step(-1) && !ladder_step(LADDER_STEPS));
}
