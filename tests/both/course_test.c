/* course_test.c - a check for every section of the course (host/train/README.md, kernels/cpu/train/README.md).
 *
 * A test has its section's name. Formulas are written here a second time, in double and in plain loops. */
#include "tests/support/operation.h"

enum { B = 24, C = 3, D = 4 };

/* --- helpers ---------------------------------------------------------------------------------- */

/* Computes p = softmax(x) of n logits in double. */
static void softmax_f64(double *p, const double *x, int n) {
    double top = x[0], sum = 0.0;
    for (int c = 1; c < n; c++) top = x[c] > top ? x[c] : top;
    for (int c = 0; c < n; c++) sum += p[c] = exp(x[c] - top);
    for (int c = 0; c < n; c++) p[c] /= sum;
}

static double cross_entropy_f64(const double *x, const double *y, int n) {
    double p[16], loss = 0.0;
    softmax_f64(p, x, n);
    for (int c = 0; c < n; c++) loss -= y[c] * log(p[c]);
    return loss;
}

/* Trains fresh heads of K spaces (rows, d) on labels Y, and returns the last of M losses. */
static double loss_after(const char *backend, int K, float *const *Z, const float *Y, int rows,
                         int classes, int d, int M, double lr, DType type, InnerTier tier,
                         float *heads) {
    Ops ops;
    Queue *q;
    const int n = classes * d + classes;
    open_backend(&ops, &q, backend, 0);
    variant = (Variant){"course", type, false, tier};
    float *losses = floats(M);
    InnerSteps in = {.K = K,
                     .Y = copy_of(Y, rows * classes * 4),
                     .B = rows,
                     .C = classes,
                     .M = M,
                     .tier = tier,
                     .lr = lr,
                     .step = counting(0, 1),
                     .losses = losses};
    in.scratch = scratch(ops.train.scratch_bytes(type, K, rows, classes, 1, d));
    for (int k = 0; k < K; k++)
        in.space[k] = (InnerSpace){batch_of(&ops, Z[k], rows, d), floats(n), floats(n), floats(n)};
    ops.train.inner_steps(q, &in);
    finish(&ops, q);
    for (int k = 0; heads && k < K; k++) memcpy(heads + k * n, in.space[k].head, (size_t)n * 4);
    const double last = losses[M - 1];
    close_backend(&ops, q);
    variant = (Variant){"fp32", DTYPE_F32, false, INNER_AUTO};
    return last;
}

/* --- 1. labels without labels ----------------------------------------------------------------- */

/* Samples with three bits; view 1 shows bits 0 and 1 as a square, view 2 shows bits 0 and 2. A labelling by bit 0
 * leaves the heads of both views a smaller loss than a labelling by bit 1, by bit 2, or by no bit at all. */
Test(course, labels_without_labels, .timeout = 60) {
    enum { N = 64 };
    for (int i = 0; test_backends()[i]; i++) {
        float *Z[2] = {numbers(N * 2, 1), numbers(N * 2, 2)}, *Y = floats(N * 2);
        double loss[4];
        for (int s = 0; s < N; s++) {
            for (int k = 0; k < 2; k++) {
                Z[k][2 * s] += s & 1 ? 2.0f : -2.0f;
                Z[k][2 * s + 1] += s >> (k + 1) & 1 ? 2.0f : -2.0f;
            }
        }
        for (int which = 0; which < 4; which++) { /* bit 3 is in no view */
            for (int s = 0; s < N; s++)
                Y[2 * s + (s >> which & 1)] = 1.0f, Y[2 * s + (~s >> which & 1)] = 0.0f;
            loss[which] = loss_after(test_backends()[i], 2, Z, Y, N, 2, 2, 50, 0.1, DTYPE_F32,
                                     INNER_AUTO, NULL);
        }
        cr_expect(loss[0] < 0.1, "%s: bit 0 costs %g", test_backends()[i], loss[0]);
        for (int which = 1; which < 4; which++)
            cr_expect(loss[which] > loss[0] + 0.5, "%s: bit %d costs %g", test_backends()[i], which,
                      loss[which]);
        free_arrays();
    }
}

/* --- 2. labels -------------------------------------------------------------------------------- */

/* Eq. 9 as it is written; rows sum to 1; a number added to all logits of a row changes nothing, and large logits do
 * not overflow. */
Test(course, labels) {
    enum { K = 2, TASK = C * D + 2 * C };
    for (int i = 0; test_backends()[i]; i++)
        for (int large = 0; large < 2; large++) {
            Ops ops;
            Queue *q;
            open_backend(&ops, &q, test_backends()[i], 0);
            TaskSteps t = {.K = K,
                           .B = B,
                           .C = C,
                           .P = floats(K * B * C),
                           .Y = floats(B * C),
                           .P_bar = floats(K * C),
                           .entropy = floats(K),
                           .loss = floats(K),
                           .step = counting(0, 1)};
            t.scratch = scratch(ops.train.scratch_bytes(DTYPE_F32, K, B, C, 1, D));
            double expected[B * C] = {0};
            for (int k = 0; k < K; k++) {
                float *Z = numbers(B * D, 1 + k), *task = numbers(TASK, 3 + k);
                for (int b = 0; b < B; b++) {
                    double x[C], p[C];
                    for (int c = 0; c < C; c++) {
                        double length = 0.0, dot = 0.0;
                        for (int j = 0; j < D; j++) {
                            length += (double)task[c * D + j] * task[c * D + j];
                            dot += (double)task[c * D + j] * Z[b * D + j];
                        }
                        x[c] = task[C * D + C + c] * dot / sqrt(length) + task[C * D + c];
                    }
                    softmax_f64(p, x, C);
                    for (int c = 0; c < C; c++) expected[b * C + c] += p[c] / K;
                }
                for (int c = 0; large && c < C; c++) task[C * D + c] += 1024.0f;
                t.space[k] = (TaskSpace){batch_f32(Z, D), task, floats(TASK), floats(TASK)};
            }
            ops.train.task_labels(q, &t);
            finish(&ops, q);
            /* 1024 + x in float32 has lost 2^-14 of x */
            EXPECT_CLOSE(relative_error_f64(t.Y, expected, B * C), large ? 0x1p-13 : 1e-6,
                         "%s: labels, logits near %d", test_backends()[i], large * 1024);
            for (int b = 0; b < B; b++) {
                double sum = 0.0;
                for (int c = 0; c < C; c++) sum += t.Y[b * C + c];
                cr_expect(fabs(sum - 1.0) < 1e-6, "row %d sums to %.9g", b, sum);
            }
            close_backend(&ops, q);
            free_arrays();
        }
}

/* --- 3. the inner step ------------------------------------------------------------------------ */

/* The gradient of cross-entropy is p sum(y) - y: central differences in double. Adam's first step is lr in each
 * parameter, against the sign of its gradient, whatever the gradient's size. */
Test(course, inner_step) {
    for (int i = 0; test_backends()[i]; i++) {
        Ops ops;
        Queue *q;
        open_backend(&ops, &q, test_backends()[i], 0);
        float *x = numbers(B * C, 1), *Y = probabilities(B, C, 2), *R = floats(B * C);
        float *loss = floats(1), *m1 = floats(B * C), *m2 = floats(B * C);
        float *stepped = copy_of(x, B * C * 4);
        void *work = scratch(ops.train.scratch_bytes(DTYPE_F32, 1, B, C, 1, D));
        ops.train.cross_entropy(q, loss, R, NULL, false, x, Y, B, C, work);
        ops.train.adam(q, stepped, R, m1, m2, B * C, 0.001, counting(0, 1));
        finish(&ops, q);
        double slope[B * C];
        for (int b = 0; b < B; b++) {
            double logit[C], y[C], sum = 0.0;
            for (int c = 0; c < C; c++) logit[c] = x[b * C + c], y[c] = Y[b * C + c];
            for (int c = 0; c < C; c++) {
                logit[c] += 1e-5;
                slope[b * C + c] = cross_entropy_f64(logit, y, C);
                logit[c] -= 2e-5;
                slope[b * C + c] = (slope[b * C + c] - cross_entropy_f64(logit, y, C)) / 2e-5 / B;
                logit[c] += 1e-5;
                sum += R[b * C + c];
            }
            cr_expect(fabs(sum) < 1e-7, "residuals of row %d sum to %g", b, sum);
        }
        EXPECT_CLOSE(relative_error_f64(R, slope, B * C), 2e-6, "%s: residuals",
                     test_backends()[i]);
        for (int j = 0; j < B * C; j++) {
            if (fabsf(R[j]) < 1e-4f) continue; /* eps is 1e-8: it takes at most 1e-4 of the step */
            const double moved = (double)stepped[j] - x[j], wanted = R[j] > 0.0f ? -0.001 : 0.001;
            cr_expect(fabs(moved - wanted) < 4e-7, "%s: gradient %g moves by %g",
                      test_backends()[i], (double)R[j], moved);
        }
        close_backend(&ops, q);
        free_arrays();
    }
}

/* --- 4. the outer gradient -------------------------------------------------------------------- */

/* The outer loss of one batch as a function of the task logits x (K,B,C), with L (B,C), the sum over the spaces of
 * the heads' log-probabilities, held constant. */
static double outer_f64(const double *x, const float *L, int K, double gamma) {
    double Y[B * C] = {0}, loss = 0.0;
    for (int k = 0; k < K; k++) {
        double mean[C] = {0};
        for (int b = 0; b < B; b++) {
            double p[C];
            softmax_f64(p, x + (k * B + b) * C, C);
            for (int c = 0; c < C; c++) Y[b * C + c] += p[c] / K, mean[c] += p[c] / B;
        }
        for (int c = 0; c < C; c++) loss += gamma * mean[c] * log(mean[c]);
    }
    for (int j = 0; j < B * C; j++) loss -= Y[j] * L[j] / B;
    return loss;
}

/* Task logits: central differences of the loss above, so 1/K, -1/B sum of log softmax and the path through the batch mean
 * are all judged. Weight norm: the gradient of v is orthogonal to v, for the length of v does not matter. */
Test(course, outer_gradient) {
    enum { K = 2, LINEAR = C * D + C };
    const double gamma = 10.0;
    for (int i = 0; test_backends()[i]; i++) {
        Ops ops;
        Queue *q;
        open_backend(&ops, &q, test_backends()[i], 0);
        float *x = numbers(K * B * C, 1), *L = floats(B * C), *grad_Y = floats(B * C);
        float *P = floats(K * B * C), *P_bar = floats(K * C), *H = floats(K);
        float *loss = floats(1), *Y = probabilities(B, C, 9);
        void *work = scratch(ops.train.scratch_bytes(DTYPE_F32, K, B, C, 1, D));
        for (int k = 0; k < K; k++) {
            float *logits = numbers(B * C, 5 + k);
            for (int b = 0; b < B; b++) {
                double p[C], row[C];
                for (int c = 0; c < C; c++) row[c] = logits[b * C + c];
                softmax_f64(p, row, C);
                for (int c = 0; c < C; c++) L[b * C + c] += (float)log(p[c]);
            }
            ops.train.cross_entropy(q, loss, NULL, grad_Y, k > 0, logits, Y, B, C, work);
        }
        ops.train.softmax(q, P, x, K * B, C);
        ops.train.batch_entropy(q, P_bar, H, P, K, B, C, work);
        for (int k = 0; k < K; k++)
            ops.train.task_grad(q, P + k * B * C, grad_Y, P_bar + k * C, K, gamma, B, C, work);
        finish(&ops, q);
        double logit[K * B * C], slope[K * B * C];
        for (int j = 0; j < K * B * C; j++) logit[j] = x[j];
        for (int j = 0; j < K * B * C; j++) {
            logit[j] += 1e-5;
            slope[j] = outer_f64(logit, L, K, gamma);
            logit[j] -= 2e-5;
            slope[j] = (slope[j] - outer_f64(logit, L, K, gamma)) / 2e-5;
            logit[j] += 1e-5;
        }
        EXPECT_CLOSE(relative_error_f64(P, slope, K * B * C), 2e-6, "%s: task logits",
                     test_backends()[i]);

        float *G = numbers(LINEAR, 20), *task = numbers(LINEAR + C, 21), *grad = floats(LINEAR + C);
        ops.train.weight_norm_grad(q, grad, G, task, C, D);
        finish(&ops, q);
        for (int c = 0; c < C; c++) {
            double dot = 0.0, length = 0.0, own = 0.0;
            for (int j = c * D; j < (c + 1) * D; j++) {
                dot += (double)grad[j] * task[j];
                length += (double)grad[j] * grad[j];
                own += (double)task[j] * task[j];
            }
            cr_expect(fabs(dot) <= 1e-6 * sqrt(length * own), "%s: row %d is not orthogonal: %g",
                      test_backends()[i], c, dot);
        }
        close_backend(&ops, q);
        free_arrays();
    }
}

/* --- 5. the entropy, the start, the prior ----------------------------------------------------- */

/* The entropy of the mean label is ln C for balanced labels and 0 for collapsed ones, however sure each row is. The
 * heads fit a collapsed labelling at least as well as a balanced one. A uniform prior has the entropy's gradient. */
Test(course, entropy) {
    enum { ROWS = 12 };
    for (int i = 0; test_backends()[i]; i++) {
        Ops ops;
        Queue *q;
        open_backend(&ops, &q, test_backends()[i], 0);
        float *sure = floats(ROWS * C), *one = floats(ROWS * C), *flat = floats(ROWS * C);
        float *P_bar = floats(C), *H = floats(3);
        void *work = scratch(ops.train.scratch_bytes(DTYPE_F32, 1, ROWS, C, 1, D));
        for (int b = 0; b < ROWS; b++) {
            sure[b * C + b % C] = one[b * C] = 1.0f;
            for (int c = 0; c < C; c++) flat[b * C + c] = 1.0f / C;
        }
        ops.train.batch_entropy(q, P_bar, H, sure, 1, ROWS, C, work);
        ops.train.batch_entropy(q, P_bar, H + 1, flat, 1, ROWS, C, work);
        ops.train.batch_entropy(q, P_bar, H + 2, one, 1, ROWS, C, work);
        finish(&ops, q);
        cr_expect(fabs(H[0] - log(C)) < 1e-6 && fabs(H[1] - log(C)) < 1e-6 && H[2] == 0.0f,
                  "%s: entropies %g %g %g", test_backends()[i], (double)H[0], (double)H[1],
                  (double)H[2]);

        /* with a uniform prior the ratio's logarithm is larger by ln C in every class, which softmax takes out */
        float *P = probabilities(ROWS, C, 3), *with = copy_of(P, ROWS * C * 4), *Pb = floats(C);
        float *zero = floats(ROWS * C), *uniform = floats(C);
        for (int c = 0; c < C; c++) uniform[c] = 1.0f / C;
        ops.train.batch_entropy(q, Pb, H, P, 1, ROWS, C, work);
        ops.train.task_grad(q, P, zero, Pb, 1, 10.0, ROWS, C, work);
        ops.train.prior_ratio(q, Pb, uniform, 1, C);
        ops.train.task_grad(q, with, zero, Pb, 1, 10.0, ROWS, C, work);
        finish(&ops, q);
        EXPECT_CLOSE(relative_error(with, P, ROWS * C), 2e-6, "%s: uniform prior",
                     test_backends()[i]);
        float *Z[1] = {numbers(ROWS * D, 7)}, *balanced = copy_of(sure, ROWS * C * 4),
              *collapsed = copy_of(one, ROWS * C * 4);
        close_backend(&ops, q);
        const double cheap = loss_after(test_backends()[i], 1, Z, collapsed, ROWS, C, D, 100, 0.1,
                                        DTYPE_F32, INNER_AUTO, NULL);
        const double dear = loss_after(test_backends()[i], 1, Z, balanced, ROWS, C, D, 100, 0.1,
                                       DTYPE_F32, INNER_AUTO, NULL);
        cr_expect(cheap < 0.01 && dear > 10 * cheap, "%s: collapsed %g, balanced %g",
                  test_backends()[i], cheap, dear);
        free_arrays();
    }
}

/* --- 6. numbers ------------------------------------------------------------------------------- */

/* Returns the error of residuals that are rounded to float16 after multiplication by `scale`. */
static double rounded_error(const float *R, int64_t n, float scale, int64_t *lost) {
    float *rounded = floats(n);
    *lost = 0;
    for (int64_t j = 0; j < n; j++) {
        rounded[j] = f32_from_f16(f16_from_f32(R[j] * scale)) / scale;
        *lost += rounded[j] == 0.0f && R[j] != 0.0f;
    }
    return relative_error(rounded, R, n);
}

/* Residuals of a trained head are small. Below 6e-5 float16 loses bits, and below 3e-8 it has none. 2^15 brings them back
 * and never overflows, for |R| <= 1 and 2^15 < 65504. A class that no sample has leaves the gradient finite. */
Test(course, numbers) {
    enum { n = 4000 };
    float *R = numbers(n, 1), *tf32 = floats(n);
    int64_t lost, kept;
    for (int j = 0; j < n; j++) R[j] *= expf(-12.0f - 6.0f * (float)(j % 1000) / 1000.0f);
    for (int j = 0; j < n; j++) tf32[j] = tf32_round(R[j]);
    const double plain = rounded_error(R, n, 1.0f, &lost);
    const double scaled = rounded_error(R, n, 32768.0f, &kept);
    const double ten_bits = relative_error(tf32, R, n);
    EXPECT_CLOSE(scaled, 0x1p-11, "float16 times 2^15: %d of %d lost", (int)kept, n);
    EXPECT_CLOSE(ten_bits, 0x1p-11, "tf32");
    EXPECT_CLOSE(plain, 0.1, "float16 as it is: %d of %d lost", (int)lost, n);
    cr_expect(plain > 20 * scaled && scaled < 1.1 * ten_bits && kept == 0 && lost > n / 10);
    cr_expect(isfinite(f32_from_f16(f16_from_f32(32768.0f))));
    cr_expect(isinf(f32_from_f16(f16_from_f32(65536.0f))));
    free_arrays();
    for (int i = 0; test_backends()[i]; i++) {
        Ops ops;
        Queue *q;
        open_backend(&ops, &q, test_backends()[i], 0);
        float *P = floats(B * C), *P_bar = floats(C), *H = floats(1), *zero = floats(B * C);
        void *work = scratch(ops.train.scratch_bytes(DTYPE_F32, 1, B, C, 1, D));
        for (int b = 0; b < B; b++) P[b * C] = 0.25f, P[b * C + 1] = 0.75f; /* class 2 is empty */
        ops.train.batch_entropy(q, P_bar, H, P, 1, B, C, work);
        ops.train.task_grad(q, P, zero, P_bar, 1, 10.0, B, C, work);
        finish(&ops, q);
        for (int j = 0; j < B * C; j++)
            cr_assert(isfinite(P[j]), "%s: element %d is %g", test_backends()[i], j, (double)P[j]);
        close_backend(&ops, q);
        free_arrays();
    }
}

/* --- 7. from loops to tiles to the slab -------------------------------------------------------- */

/* The heads after M steps in 16 bits beside the reference's. Features are exact in float16, so on a CPU sums alone round.
 *
 * A GPU rounds R to u = 2^-11 in every step, so a gradient is off by u of its own size in the norm. W adds less than a
 * tenth of that, for it begins at 0 and stays below M lr. Let x be an element's gradient over the root mean square of
 * all, nearly normal. Adam's step is lr times a function of the ratios of the steps' gradients. Its slope in ln(ratio)
 * is at most 1/2, and both gradients of a ratio are off by u / x. So the step is off by u / x of lr, and the mean
 * square over the elements is, with phi the normal density,
 *     2 phi(0) integral from u of (u / x)^2 dx = 0.8 u.
 * Elements with x < u might turn: 0.8 u of all, 0.1 of 250 or 0.7 of 1750. One turn in one of M steps alone would be
 * 2 / (M sqrt(n)) in the norm: 0.042 of 250 after 3, 0.024 of 1750 after 2. So the limit, sqrt(0.8 u) = 0.0198, also
 * says that no element of these fixed inputs turns. */
static void steps_agree(const char *backend, InnerTier tier, int rows, int classes, int d, int M) {
    const bool gpu = strcmp(backend, "cuda") == 0 || strcmp(backend, "naive") == 0;
    float *Z[1] = {numbers(rows * d, 1)}, *Y = probabilities(rows, classes, 2);
    float *expected = floats(classes * d + classes), *found = floats(classes * d + classes);
    for (int j = 0; j < rows * d; j++) Z[0][j] = f32_from_f16(f16_from_f32(Z[0][j]));
    loss_after("reference", 1, Z, Y, rows, classes, d, M, 0.001, DTYPE_F16, tier, expected);
    loss_after(backend, 1, Z, Y, rows, classes, d, M, 0.001, DTYPE_F16, tier, found);
    EXPECT_CLOSE(relative_error(found, expected, classes * d + classes),
                 gpu ? sqrt(0.8 * 0x1p-11) : 1e-5,
                 "%s: heads of %d classes after %d steps, tier %d", backend, classes, M, (int)tier);
    free_arrays();
}

/* Ten classes, the slab's case: whatever the tier, and so the order of loops and sums, the heads are the reference's. */
Test(course, tiles, .timeout = 120) {
    for (int i = 0; test_backends()[i]; i++)
        for (InnerTier tier = INNER_UNFUSED; tier <= INNER_MEGA; tier++)
            steps_agree(test_backends()[i], tier, 100, 10, 24, 3);
}

/* --- 8. clusters, TMA and wgmma ---------------------------------------------------------------- */

/* Softmax over a row whose classes are dealt to four blocks: each block tells its maximum and its sum, 8 bytes, and all find
 * the whole row's sum. Then the steps of 70 classes, which go by wgmma where there is a cluster. */
Test(course, clusters, .timeout = 120) {
    enum { CLASSES = 70, PARTS = 4 };
    const float *x = numbers(CLASSES, 3);
    double p[CLASSES], row[CLASSES], top[PARTS], sum[PARTS], whole = -INFINITY, total = 0.0;
    for (int c = 0; c < CLASSES; c++) row[c] = 30.0 * x[c];
    softmax_f64(p, row, CLASSES);
    for (int part = 0; part < PARTS; part++) {
        top[part] = -INFINITY, sum[part] = 0.0;
        for (int c = part; c < CLASSES; c += PARTS) top[part] = fmax(top[part], row[c]);
        for (int c = part; c < CLASSES; c += PARTS) sum[part] += exp(row[c] - top[part]);
        whole = fmax(whole, top[part]);
    }
    for (int part = 0; part < PARTS; part++) total += sum[part] * exp(top[part] - whole);
    for (int c = 0; c < CLASSES; c++)
        cr_expect(fabs(exp(row[c] - whole) / total - p[c]) < 1e-12, "class %d", c);
    free_arrays();
    for (int i = 0; test_backends()[i]; i++)
        steps_agree(test_backends()[i], INNER_MEGA, 70, CLASSES, 24, 2);
}
