/* ops_test.c - every operation of every backend against the plain reference, at ragged shapes.
 *
 * The reference (kernels/cpu/reference/reference.c) is itself judged by the recorded runs (train_test.c), by
 * finite differences (gradient_test.c). Operations that multiply matrices: product_test.c. */
#include "tests/support/operation.h"

static void judge(const char *name, Operation *operation, double limit) {
    judge_at(name, operation, ragged, RAGGED, limit);
}

/* Limit, u = 2^-24: elementwise operations with exp (2 ulp), a sum and a division: under 16 u =
 * 1e-6. */
#define ELEMENT_LIMIT 1e-6

static void *train_scratch(const Ops *ops, Shape s) {
    return scratch(ops->train.scratch_bytes(DTYPE_F32, (int)s.K, s.B, s.C, 1, s.d));
}

/* --- matrix ----------------------------------------------------------------------------------- */

/* The file's own bits or their value, from every type and byte order, unaligned. */
Test(ops, gather_converts_every_type_and_byte_order) {
    enum { N = 5, D = 7, B = 4 };
    static const int64_t chosen[B] = {4, 0, 4, 2}, outside[B] = {0, N, 0, 0};
    static const DType types[] = {DTYPE_F16, DTYPE_F32, DTYPE_F64};
    const char *const *backends = test_backends();
    for (int i = 0; backends[i]; i++)
        for (int t = 0; t < 6; t++) {
            const DType type = types[t / 2];
            const bool swapped = t % 2;
            uint8_t file[N * D * 8 + 1];
            for (int j = 0; j < N * D; j++) { /* j - 3: every type holds it exactly */
                uint8_t *at = file + 1 + j * dtype_bytes(type); /* unaligned */
                const double x = j - 3;
                const float f = (float)x;
                const uint16_t h = f16_from_f32(f);
                memcpy(at,
                       type == DTYPE_F64   ? (const void *)&x
                       : type == DTYPE_F32 ? (const void *)&f
                                           : (const void *)&h,
                       (size_t)dtype_bytes(type));
                for (int b = 0; swapped && b < dtype_bytes(type) / 2; b++) {
                    const uint8_t keep = at[b];
                    at[b] = at[dtype_bytes(type) - 1 - b];
                    at[dtype_bytes(type) - 1 - b] = keep;
                }
            }
            Ops ops;
            Queue *q;
            Error err;
            Features f;
            open_backend(&ops, &q, backends[i], 1);
            float *out = array(B * D * 4);
            const int64_t *rows = copy_of(chosen, sizeof chosen);
            const Batch batch = batch_f32(out, D);
            const Features host = {
                .data = file + 1, .N = N, .d = D, .type = type, .swapped = swapped};
            ASSERT_OK(ops.mem.features_open(ops.device, &f, &host, &err), err);
            ops.matrix.gather(q, &batch, &f, rows, B);
            finish(&ops, q);
            for (int j = 0; j < B * D; j++)
                cr_expect(out[j] == (float)(rows[j / D] * D + j % D - 3),
                          "%s %s %d: element %d is %g", backends[i], dtype_name(type), swapped, j,
                          (double)out[j]);
            if (!on_cuda(&ops)) { /* a GPU's rows are not the host's to read */
                ops.matrix.gather(q, &batch, &f, outside, B);
                cr_expect(ops.mem.wait(q, &err) == ERR_ARG && strstr(err.text, "gather"));
            }
            ops.mem.features_close(ops.device, &f);
            close_backend(&ops, q);
            free_arrays();
        }
}

/* Rows of 16 bits, rounded; zeros behind them where products read there. */
Test(ops, gather_rounds_to_sixteen_bits) {
    enum { N = 3, D = 301, B = 4 };
    static const int64_t chosen[B] = {2, 0, 2, 1};
    static const DType types[] = {DTYPE_F16, DTYPE_BF16};
    const char *const *backends = test_backends();
    for (int i = 0; backends[i]; i++)
        for (int t = 0; t < 2; t++) {
            Ops ops;
            Queue *q;
            Error err;
            Features f;
            open_backend(&ops, &q, backends[i], 1);
            float *file = numbers(N * D, 1);
            const int64_t *rows = copy_of(chosen, sizeof chosen);
            const Batch out = {scratch(B * 1024), types[t], D, batch_row(types[t], D), false, 0};
            const uint16_t *to = out.data;
            const Features host = {.data = file, .N = N, .d = D, .type = DTYPE_F32};
            ASSERT_OK(ops.mem.features_open(ops.device, &f, &host, &err), err);
            ops.matrix.gather(q, &out, &f, rows, B);
            finish(&ops, q);
            for (int b = 0; b < B; b++) {
                for (int j = 0; j < D; j++) {
                    const float x = file[rows[b] * D + j];
                    cr_assert(to[b * out.row + j] == (t ? bf16_from_f32(x) : f16_from_f32(x)),
                              "%s: row %d, element %d", backends[i], b, j);
                }
                for (int64_t j = D; (t || ops.f16_products) && j < out.row; j++)
                    cr_assert(to[b * out.row + j] == 0, "%s: behind row %d", backends[i], b);
            }
            ops.mem.features_close(ops.device, &f);
            close_backend(&ops, q);
            free_arrays();
        }
}

/* Returns whether an element of a batch is x, rounded to the batch's type. */
static bool holds(const Batch *Z, int64_t at, float x) {
    const uint16_t bits = ((const uint16_t *)Z->data)[at];
    if (Z->type == DTYPE_F32) {
        const float found = ((const float *)Z->data)[at];
        return found == x || (isnan(found) && isnan(x));
    }
    if (isnan(x)) return isnan(Z->type == DTYPE_F16 ? f32_from_f16(bits) : f32_from_bf16(bits));
    return bits == (Z->type == DTYPE_F16 ? f16_from_f32(x) : bf16_from_f32(x));
}

/* Every pair of types, in vectors (24), element by element (7) and byte by byte (moved by one). On a
 * GPU rows outside the features are NaN; the CPU refuses them. */
Test(ops, gather_every_pair_of_types, .timeout = 120) {
    enum { N = 6, B = 19 };
    static const DType from[] = {DTYPE_F16, DTYPE_F32, DTYPE_F64},
                       to[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16};
    const char *const *backends = test_backends();
    for (int i = 0; backends[i]; i++) {
        Ops ops;
        Queue *q;
        open_backend(&ops, &q, backends[i], 1);
        const bool gpu = on_cuda(&ops);
        for (int t = 0; t < 3 * 3 * 2 * 2 * 2; t++) {
            const DType type = from[t % 3];
            const int64_t D = t / 9 % 2 ? 24 : 7, row = batch_row(to[t / 3 % 3], D);
            const int bytes = dtype_bytes(type), moved = t / 18 % 2;
            uint8_t *file = (uint8_t *)array(N * D * bytes + 1) + moved;
            const Features f = {
                .data = file, .N = N, .d = D, .type = type, .swapped = t / 36 % 2 == 1};
            for (int64_t j = 0; j < N * D * bytes; j++) /* all bits, few NaN */
                file[j] = (uint8_t)(j * 151 + j / 7 * 89 + t);
            int64_t *rows = counting(0, B);
            for (int b = 0; b < B; b++) rows[b] = (b * 5 + t) % N;
            if (gpu) rows[3] = -1, rows[7] = N, rows[8] = INT64_MIN, rows[18] = INT64_MAX;
            const Batch Z = {scratch(B * row * 4), to[t / 3 % 3], D, row, false, 0};
            ops.matrix.gather(q, &Z, &f, rows, B);
            finish(&ops, q);
            for (int64_t b = 0; b < B; b++) {
                float x[24];
                const bool known = rows[b] >= 0 && rows[b] < N;
                if (known) dtype_to_f32(x, file + rows[b] * D * bytes, type, f.swapped, D);
                for (int64_t j = 0; j < D; j++)
                    cr_assert(holds(&Z, b * row + j, known ? x[j] : NAN),
                              "%s: %s to %s, case %d: row %d, element %d", backends[i],
                              dtype_name(type), dtype_name(Z.type), t, (int)b, (int)j);
                for (int64_t j = D; gpu && Z.type != DTYPE_F32 && j < row; j++)
                    cr_assert(holds(&Z, b * row + j, 0.0f), "%s: behind row %d", backends[i],
                              (int)b);
            }
            free_arrays();
        }
        close_backend(&ops, q);
    }
}

/* Many rows, as training gathers them: float16 and float32 files to every type of batch. */
static void run_gather(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    static const DType types[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16};
    const int64_t N = s.B + 3;
    float *file = numbers(N * s.d, 1);
    uint16_t *half = array(N * s.d * 2);
    int64_t *rows = counting(0, s.B);
    Error err;
    for (int64_t i = 0; i < N * s.d; i++) half[i] = f16_from_f32(file[i]);
    for (int64_t b = 0; b < s.B; b++) rows[b] = b * 7 % N;
    for (int t = 0; t < 6; t++) {
        const DType type = types[t / 2];
        const int64_t row = batch_row(type, s.d);
        const Features host = {.data = t % 2 ? (void *)half : (void *)file,
                               .N = N,
                               .d = s.d,
                               .type = t % 2 ? DTYPE_F16 : DTYPE_F32};
        Features f;
        const Batch out = {scratch(s.B * row * dtype_bytes(type)), type, s.d, row, false, 0};
        float *values = output(o, s.B * s.d, NULL);
        ASSERT_OK(ops->mem.features_open(ops->device, &f, &host, &err), err);
        ops->matrix.gather(q, &out, &f, rows, s.B);
        finish(ops, q);
        ops->mem.features_close(ops->device, &f);
        for (int64_t i = 0; i < s.B * s.d; i++) {
            const int64_t at = i / s.d * row + i % s.d;
            values[i] = type == DTYPE_F32   ? ((float *)out.data)[at]
                        : type == DTYPE_F16 ? f32_from_f16(((uint16_t *)out.data)[at])
                                            : f32_from_bf16(((uint16_t *)out.data)[at]);
        }
    }
}

Test(ops, gather, .timeout = 120) {
    judge("gather", run_gather, 0.0);
}

static void run_argmax(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    float *X = numbers(s.B * s.C, 1);
    int32_t *index = array(s.B * 4);
    for (int64_t r = 0; r < s.B; r += 3) X[r * s.C + s.C - 1] = X[r * s.C]; /* ties */
    float *top = output(o, s.B, NULL), *margin = output(o, s.B, NULL), *at = output(o, s.B, NULL);
    ops->matrix.argmax(q, index, NULL, NULL, X, s.B, s.C);
    ops->matrix.argmax(q, index, top, margin, X, s.B, s.C);
    finish(ops, q);
    for (int64_t r = 0; r < s.B; r++) at[r] = (float)(index[r] + 1);
}

Test(ops, argmax) {
    judge("argmax", run_argmax, 0.0);
}

Test(ops, argmax_takes_the_first_of_equals) {
    static const float values[] = {1, 3, 3, 2, /**/ 5, 5, 5, 5, /**/ -2, -3, -1, -1};
    const char *const *backends = test_backends();
    for (int i = 0; backends[i]; i++) {
        Ops ops;
        Queue *q;
        open_backend(&ops, &q, backends[i], 0);
        const float *X = copy_of(values, sizeof values);
        int32_t *index = array(3 * 4);
        float *top = array(3 * 4), *margin = array(3 * 4);
        ops.matrix.argmax(q, index, top, margin, X, 3, 4);
        finish(&ops, q);
        cr_expect(index[0] == 1 && index[1] == 0 && index[2] == 2, "%s", backends[i]);
        cr_expect(top[0] == 3 && top[2] == -1 && margin[0] == 0 && margin[2] == 0);
        close_backend(&ops, q);
        free_arrays();
    }
}

/* --- labels ----------------------------------------------------------------------------------- */

static void run_softmax(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    float *x = numbers(s.B * s.C, 1);
    for (int64_t i = 0; i < s.B * s.C; i++) x[i] *= 12.0f;
    float *P = output(o, s.B * s.C, NULL), *in_place = output(o, s.B * s.C, x);
    ops->train.softmax(q, P, x, s.B, s.C);
    ops->train.softmax(q, in_place, in_place, s.B, s.C);
    finish(ops, q);
    cr_expect(!memcmp(P, in_place, (size_t)(s.B * s.C) * 4), "in place is another result");
}

/* A row whose logits are x apart: probabilities down to subnormal ones, and no NaN. */
Test(ops, softmax) {
    judge("softmax", run_softmax, ELEMENT_LIMIT);
}

Test(ops, softmax_rows_sum_to_one_however_large_the_logits) {
    static const float large[6] = {1e30f, -1e30f, 3e4f, -3e4f, 0.0f, 1e30f},
                       small[3] = {0.0f, -95.0f, -200.0f};
    const char *const *backends = test_backends();
    for (int i = 0; backends[i]; i++) {
        Ops ops;
        Queue *q;
        open_backend(&ops, &q, backends[i], 0);
        const float *x = copy_of(large, sizeof large), *y = copy_of(small, sizeof small);
        float *P = array(sizeof large), *R = array(sizeof small);
        ops.train.softmax(q, P, x, 1, 6);
        ops.train.softmax(q, R, y, 1, 3);
        finish(&ops, q);
        cr_expect(P[0] == 0.5f && P[5] == 0.5f && P[1] == 0 && P[2] == 0 && P[3] == 0 && P[4] == 0);
        /* exp(-95) = 5.5e-42 is subnormal and kept; exp(-200) is 0 */
        cr_expect(R[0] == 1.0f && R[2] == 0.0f && fabsf(R[1] / 5.521e-42f - 1.0f) < 1e-3f, "%s: %g",
                  backends[i], (double)R[1]);
        close_backend(&ops, q);
        free_arrays();
    }
}

static void run_label_mean(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    float *P = probabilities(s.K * s.B, s.C, 1);
    ops->train.label_mean(q, output(o, s.B * s.C, NULL), P, (int)s.K, s.B, s.C);
}

Test(ops, label_mean) {
    judge("label_mean", run_label_mean, ELEMENT_LIMIT);
}

static void run_batch_entropy(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    float *P = probabilities(s.K * s.B, s.C, 1);
    void *work = train_scratch(ops, s);
    for (int64_t r = 0; r < s.K * s.B; r++) P[r * s.C] = 0.0f; /* a class nobody has: 0 ln 0 = 0 */
    float *P_bar = output(o, s.K * s.C, NULL), *H = output(o, s.K, NULL);
    ops->train.batch_entropy(q, P_bar, H, P, (int)s.K, s.B, s.C, work);
}

Test(ops, batch_entropy) {
    judge("batch_entropy", run_batch_entropy, ELEMENT_LIMIT);
}

static void run_prior_ratio(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    float *P_bar = probabilities(s.K, s.C, 1), *prior = probabilities(1, s.C, 2);
    P_bar[0] = 0.0f;
    ops->train.prior_ratio(q, output(o, s.K * s.C, P_bar), prior, (int)s.K, s.C);
    finish(ops, q);
    cr_expect(o->data[0][0] == 0.0f);
    const int64_t last = s.K * s.C - 1;
    if (last > 0)
        cr_expect(fabsf(o->data[0][last] * prior[s.C - 1] / P_bar[last] - 1) < 4 * 0x1p-24f);
}

Test(ops, prior_ratio) {
    judge("prior_ratio", run_prior_ratio, ELEMENT_LIMIT);
}

/* --- losses and gradients --------------------------------------------------------------------- */

static void run_cross_entropy(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    float *x = numbers(s.B * s.C, 1), *Y = probabilities(s.B, s.C, 2);
    void *work = train_scratch(ops, s);
    float *loss = output(o, 1, NULL), *grad = output(o, s.B * s.C, x),
          *grad_Y = output(o, s.B * s.C, NULL);
    ops->train.cross_entropy(q, loss, NULL, grad_Y, false, x, Y, s.B, s.C, work);
    ops->train.cross_entropy(q, loss, NULL, grad_Y, true, x, Y, s.B, s.C, work);
    ops->train.cross_entropy(q, loss, grad, NULL, false, grad, Y, s.B, s.C, work); /* in place */
}

Test(ops, cross_entropy, .timeout = 60) {
    judge("cross_entropy", run_cross_entropy,
          4 * ELEMENT_LIMIT); /* softmax - Y cancels two digits */
}

static void run_task_grad(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    float *P = probabilities(s.B, s.C, 1), *grad_Y = numbers(s.B * s.C, 2), *P_bar = floats(s.C);
    void *work = train_scratch(ops, s);
    for (int64_t c = 0; c < s.C; c++) {
        double sum = 0.0;
        for (int64_t b = 0; b < s.B; b++) {
            if (c == 0) P[b * s.C] = 0.0f; /* batch mean exactly 0: its limit, not NaN */
            sum += P[b * s.C + c];
        }
        P_bar[c] = (float)(sum / (double)s.B);
    }
    ops->train.task_grad(q, output(o, s.B * s.C, P), grad_Y, P_bar, (int)s.K, 10.0, s.B, s.C, work);
    finish(ops, q);
    for (int64_t b = 0; b < s.B; b++) cr_expect(o->data[0][b * s.C] == 0.0f);
}

Test(ops, task_grad) {
    judge("task_grad", run_task_grad, 8 * ELEMENT_LIMIT); /* q - sum P q cancels */
}

static void run_weight_norm(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    float *task = numbers(task_size(s.C, s.d), 1), *grad = numbers(linear_size(s.C, s.d), 2);
    ops->train.weight_norm(q, output(o, s.C * s.d, NULL), task, s.C, s.d);
    float *grad_task = output(o, task_size(s.C, s.d), NULL);
    ops->train.weight_norm_grad(q, grad_task, grad, task, s.C, s.d);
    float *in_place = output(o, task_size(s.C, s.d), NULL);
    memcpy(in_place, grad, (size_t)linear_size(s.C, s.d) * 4);
    ops->train.weight_norm_grad(q, in_place, in_place, task, s.C, s.d);
    finish(ops, q);
    /* |v| does not matter, so the gradient of v is orthogonal to v */
    for (int64_t c = 0; c < s.C; c++) {
        double along = 0.0, length = 0.0;
        for (int64_t j = 0; j < s.d; j++) {
            along += (double)grad_task[c * s.d + j] * task[c * s.d + j];
            length += fabs((double)grad_task[c * s.d + j] * task[c * s.d + j]);
        }
        cr_expect(fabs(along) <= 1e-5 * length + 1e-6, "class %d: %g of %g", (int)c, along, length);
    }
}

Test(ops, weight_norm) {
    judge("weight_norm", run_weight_norm,
          4 * ELEMENT_LIMIT); /* grad_W - <grad_W,v>v/|v|^2 cancels; d = 1 */
}

/* Rows of every mapping of kernels/cuda/tile/rows.cuh and one class to either side, more rows than the
 * groups of batch_entropy, all spaces. */
Test(ops, rows_of_every_length, .timeout = 600) {
    static const Shape lengths[] = {
        {7, 1, 1, 1},    {130, 2, 1, 16}, {9, 16, 1, 1},    {130, 31, 1, 2}, {7, 32, 1, 1},
        {130, 33, 1, 1}, {7, 128, 1, 2},  {5, 256, 1, 1},   {3, 1024, 1, 3}, {5, 1025, 1, 1},
        {3, 2500, 1, 2}, {1, 5000, 1, 1}, {4300, 64, 1, 1},
    };
    const size_t n = sizeof lengths / sizeof *lengths;
    /* Rounding grows as the square root of what one accumulator adds: 5000 terms where loops are not
     * vectorised (CONFIG=debug), so sqrt(5000) u beside the 16 u of ELEMENT_LIMIT; of task_grad,
     * whose limit comes from 1000 terms, sqrt(5) of it. */
    const double limit = ELEMENT_LIMIT + sqrt(5000.0) * 0x1p-24;
    judge_at("softmax", run_softmax, lengths, n, limit);
    judge_at("batch_entropy", run_batch_entropy, lengths, n, ELEMENT_LIMIT);
    judge_at("cross_entropy", run_cross_entropy, lengths, n, 4 * limit);
    judge_at("task_grad", run_task_grad, lengths, n, 8 * sqrt(5.0) * ELEMENT_LIMIT);
    judge_at("argmax", run_argmax, lengths + 1, n - 1, 0.0); /* it compares two */
}

/* --- the inner loop --------------------------------------------------------------------------- */

static void run_adam(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    const int64_t n = s.C * s.d;
    float *x = numbers(n, 1), *grad = numbers(n, 2);
    float *p = output(o, n, x), *m1 = output(o, n, x), *m2 = output(o, n, x);
    for (int64_t i = 0; i < n; i++) m1[i] = 0.0f, m2[i] = 0.0f;
    const int64_t *step = counting(0, 3);
    for (int i = 0; i < 3; i++) ops->train.adam(q, p, grad, m1, m2, n, 0.01, step + i);
}

Test(ops, adam) {
    judge("adam", run_adam, ELEMENT_LIMIT);
}

/* With a constant gradient g both moments are exact after bias correction: every step is
 * lr g/(|g| + eps), whatever the step (Kingma & Ba 2015, section 2.1). */
Test(ops, adam_with_a_constant_gradient_steps_by_the_learning_rate) {
    static const float constant[5] = {1e-6f, -0.5f, 3.0f, 1e3f, 0.0f};
    const char *const *backends = test_backends();
    for (int b = 0; backends[b]; b++) {
        Ops ops;
        Queue *q;
        open_backend(&ops, &q, backends[b], 0);
        float *p = array(20), *m1 = array(20), *m2 = array(20);
        const float *grad = copy_of(constant, sizeof constant);
        const int64_t *step = counting(0, 100);
        for (int i = 0; i < 100; i++) ops.train.adam(q, p, grad, m1, m2, 5, 0.001, step + i);
        finish(&ops, q);
        for (int i = 0; i < 5; i++) {
            const double g = grad[i], expected = -100 * 0.001 * g / (fabs(g) + 1e-8);
            /* 100 steps of float32: 100 u each in the moments and in the sum */
            cr_expect(fabs(p[i] - expected) <= 4e-5 * fabs(expected), "%s: %g, expected %g",
                      backends[b], (double)p[i], expected);
        }
        close_backend(&ops, q);
        free_arrays();
    }
}

/* --- what cannot be served -------------------------------------------------------------------- */

Test(ops, a_bad_argument_fails_the_queue_until_it_is_waited_for) {
    const char *const *backends = test_backends();
    for (int i = 0; backends[i]; i++) {
        Ops ops;
        Queue *q;
        Error err = {""};
        open_backend(&ops, &q, backends[i], 0);
        float *x = (float *)counting(1, 2), *y = array(4 * 4);
        for (int j = 0; j < 4; j++) x[j] = (float)(j + 1), y[j] = 9.0f;
        cr_expect(ops.train.softmax(q, y, x, 0, 4) == ERR_ARG);
        cr_expect(ops.train.softmax(q, y, x, 1, 4) == ERR_ARG && y[0] == 9.0f,
                  "a failed queue runs nothing");
        cr_expect(ops.mem.wait(q, &err) == ERR_ARG && strstr(err.text, "softmax"), "%s", err.text);
        cr_expect(ops.train.softmax(q, y, x, 1, 4) == OK && ops.mem.wait(q, &err) == OK &&
                  y[0] < 1.0f);
        close_backend(&ops, q);
        free_arrays();
    }
}

/* Scratch for spaces of up to d features serves spaces of fewer: it never shrinks as d grows. */
Test(ops, scratch_grows_with_the_features, .timeout = 120) {
    static const DType types[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16};
    static const int64_t batches[] = {1, 300, 4000, 10000}, classes[] = {2, 10, 63, 100, 211, 1000};
    const char *const *backends = test_backends();
    for (int i = 0; backends[i]; i++) {
        Ops ops;
        Queue *q;
        open_backend(&ops, &q, backends[i], 0);
        for (int shape = 0; shape < 3 * 4 * 6 * 2; shape++) {
            const DType type = types[shape % 3];
            const int64_t B = batches[shape / 3 % 4], C = classes[shape / 12 % 6];
            const int K = 1 + shape / 72;
            int64_t bytes = 0, before = 0;
            for (int64_t d = 1; bytes >= before && d < 2100; d += 13) {
                before = bytes;
                bytes = ops.train.scratch_bytes(type, K, B, C, 1, d);
                cr_expect(
                    bytes >= before,
                    "%s, type %d, K %d, B %d, C %d: %lld bytes for %d features, %lld for 13 fewer",
                    backends[i], (int)type, K, (int)B, (int)C, (long long)bytes, (int)d,
                    (long long)before);
            }
        }
        close_backend(&ops, q);
    }
}

/* Every operation refuses what it cannot serve, whoever serves it: nothing is written. */
Test(ops, shapes_that_cannot_be_served_are_refused) {
    const char *const *backends = test_backends();
    for (int i = 0; backends[i]; i++) {
        Ops ops;
        Queue *q;
        Error err = {""};
        open_backend(&ops, &q, backends[i], 0);
        float *x = floats(64), *y = floats(64);
        void *work = scratch(1 << 16);
        const int64_t *zero = counting(0, 1);
        const Batch three = batch_f32(x, 3), none = batch_f32(NULL, 3),
                    short_row = {x, DTYPE_F32, 3, 2, false, 0};
        const MatrixOps *matrix = &ops.matrix;
        const TrainOps *train = &ops.train;
        for (int j = 0; j < 64; j++) y[j] = 7.0f;
        InnerSteps in = {.K = 1, .Y = x, .B = 2, .C = 2, .M = 1, .step = zero, .scratch = work};
        in.space[0] = (InnerSpace){none, y, y, y};
        InnerSteps many = in;
        many.K = MAX_SPACES + 1;
        TaskSteps tasks = {1, {{none, y, y, y}}, y, y, y, y, y, 2, 2, 1.0, 0.1, zero, work};
        TaskSteps served = tasks; /* but its heads are of another batch */
        served.space[0].Z = three;
        const struct {
            const char *name;
            Status found;
        } cases[] = {
#define CASE(call) {#call, (call) == ERR_ARG ? ops.mem.wait(q, &err) : (call)}
            CASE(matrix->matmul(q, MATMUL_NT, y, &three, x, NULL, 2, 2, 4, work)),
            CASE(matrix->matmul(q, MATMUL_NT, y, &none, x, NULL, 2, 2, 3, work)),
            CASE(matrix->matmul(q, MATMUL_NT, y, &short_row, x, NULL, 2, 2, 3, work)),
            CASE(matrix->matmul(q, MATMUL_NT, y, &three, x, NULL, 0, 2, 3, work)),
            CASE(matrix->argmax(q, (int32_t *)y, NULL, NULL, x, 2, 1)),
            CASE(train->weight_norm(q, y, x, 0, 3)),
            CASE(train->softmax(q, NULL, x, 2, 2)),
            CASE(train->label_mean(q, y, x, 0, 2, 2)),
            CASE(train->batch_entropy(q, y, y, x, 1, 0, 2, work)),
            CASE(train->cross_entropy(q, NULL, y, NULL, false, x, x, 2, 2, work)),
            CASE(train->task_grad(q, y, x, x, 1, 1.0, 2, 0, work)),
            CASE(train->linear_grad(q, y, x, &none, 2, 2, work)),
            CASE(train->adam(q, y, x, y, y, -1, 0.1, zero)),
            CASE(train->inner_steps(q, &in)),
            CASE(train->inner_steps(q, &many)),
            CASE(train->label_grad(q, y, y, &in)),
            CASE(train->task_labels(q, &tasks)),
            CASE(train->task_step(q, &served, &in)),
            CASE(train->task_step(q, &served, NULL)),
            CASE(train->random_heads(q, &many, 1, zero)),
            CASE(train->random_linear(q, y, 0, 3, 1, PHILOX_HEAD, 0, zero)),
            CASE(train->random_rows(q, (int64_t *)y, 3, 2, 1, zero)),
#undef CASE
        };
        for (size_t j = 0; j < sizeof cases / sizeof *cases; j++)
            cr_expect(cases[j].found == ERR_ARG, "%s: %s: status %d", backends[i], cases[j].name,
                      cases[j].found);
        finish(&ops, q);
        for (int j = 0; j < 64; j++)
            cr_expect(y[j] == 7.0f, "%s: element %d is %g", backends[i], j, (double)y[j]);
        close_backend(&ops, q);
        free_arrays();
    }
}
