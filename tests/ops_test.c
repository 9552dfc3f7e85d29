/* ops_test.c - every operation of every instruction set against the plain reference, at ragged
 * shapes; gradients against finite differences in double.
 *
 * The reference (kernels/cpu/reference.c) is itself judged by the recorded runs (train_test.c).
 * Outputs are filled with NaN first and followed by guards; 1, 2 and 7 threads must give the same
 * bits. */
#include "../kernels/cpu/vec_math.h"
#include "../kernels/ops.h"
#include "../kernels/philox.h"
#include "operation.h"

static const Shape shapes[] = {
    {1, 2, 1, 1},    {1, 3, 5, 2},      {7, 10, 16, 1},   {119, 17, 8, 2},   {120, 16, 15, 1},
    {121, 5, 33, 3}, {241, 100, 64, 1}, {513, 47, 67, 2}, {97, 1000, 31, 1}, {1003, 10, 192, 2},
};

static void judge(const char *name, Operation *operation, double limit) {
    judge_at(name, operation, shapes, sizeof shapes / sizeof *shapes, limit);
}

/* Limits, u = 2^-24. A product of depth n in float32 summed in any order: n u in the worst case,
 * sqrt(n) u in norm for random signs; n <= 1003 here, and 4 sqrt(1003) u = 7.6e-6 leaves room for
 * both sides' rounding. Elementwise operations with exp (2 ulp), a sum and a division: under 16 u
 * = 1e-6. */
#define PRODUCT_LIMIT 8e-6
#define ELEMENT_LIMIT 1e-6

/* A batch of `batches`, rows batch_row apart; free_batches ends it. */
static DType batches = DTYPE_F32;
static void *made[8];
static int batches_made;

static Batch batch_of(float *Z, int64_t B, int64_t d) {
    if (batches == DTYPE_F32) return batch_f32(Z, d);
    const Batch batch = {calloc((size_t)B, (size_t)batch_row(batches, d) * 2), batches, d,
                         batch_row(batches, d)};
    for (int64_t i = 0; i < B; i++)
        for (int64_t j = 0; j < d; j++)
            ((uint16_t *)batch.data)[i * batch.row + j] = bf16_from_f32(Z[i * d + j]);
    return made[batches_made++] = batch.data, batch;
}

static void free_batches(void) {
    while (batches_made) free(made[--batches_made]);
}

static void *train_scratch(const Ops *ops, Shape s) {
    return scratch(ops->train.scratch_bytes(batches, (int)s.K, s.B, s.C, s.d));
}

/* --- matrix ----------------------------------------------------------------------------------- */

static void run_matmul(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    static const MatmulForm forms[] = {MATMUL_NN, MATMUL_NT, MATMUL_TN};
    float *A = numbers(s.B * s.d, 1), *B = numbers(s.C * s.d, 2), *bias = numbers(s.C, 3);
    for (int f = 0; f < 3; f++) {
        void *work = scratch(ops->matrix.matmul_scratch_bytes(forms[f], s.B, s.C, s.d));
        const Batch a = batch_f32(A, forms[f] == MATMUL_TN ? s.B : s.d);
        ops->matrix.matmul(q, forms[f], output(o, s.B * s.C, NULL), &a, B, f == 1 ? bias : NULL,
                           s.B, s.C, s.d, work);
        free(work);
    }
    free(A), free(B), free(bias);
}

Test(ops, matmul, .timeout = 120) {
    judge("matmul", run_matmul, PRODUCT_LIMIT);
}

/* Depth and columns beyond one block of the packed operand. */
static void run_large_matmul(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    run_matmul(ops, q, (Shape){s.B % 61 + 1, 500 + s.C, 1000 + s.d, 1}, o);
}

Test(ops, matmul_beyond_its_blocks, .timeout = 120) {
    judge("large matmul", run_large_matmul, PRODUCT_LIMIT);
}

Test(ops, gather_converts_every_type_and_byte_order) {
    enum { N = 5, D = 7, B = 4 };
    static const int64_t rows[B] = {4, 0, 4, 2};
    static const DType types[] = {DTYPE_F16, DTYPE_F32, DTYPE_F64};
    const char *sets[CPU_MAX_SETS + 1];
    cpu_instruction_sets(sets);
    for (int set = 0; sets[set]; set++)
        for (int t = 0; t < 6; t++) {
            const DType type = types[t / 2];
            const bool swapped = t % 2;
            uint8_t file[N * D * 8 + 1];
            for (int i = 0; i < N * D; i++) { /* i - 3: every type holds it exactly */
                uint8_t *at = file + 1 + i * dtype_bytes(type); /* unaligned */
                const double x = i - 3;
                const float f = (float)x;
                const uint16_t half = 0; /* replaced below */
                if (type == DTYPE_F64) memcpy(at, &x, 8);
                if (type == DTYPE_F32) memcpy(at, &f, 4);
                if (type == DTYPE_F16) {
                    int e;
                    const double m = frexp(fabs(x), &e); /* |x| = m 2^e, 0.5 <= m < 1 */
                    uint16_t h = half;
                    if (x != 0)
                        h = (uint16_t)((x < 0) << 15 | (e + 14) << 10 |
                                       ((int)ldexp(m, 11) & 0x3ff));
                    memcpy(at, &h, 2);
                }
                for (int b = 0; swapped && b < dtype_bytes(type) / 2; b++) {
                    const uint8_t keep = at[b];
                    at[b] = at[dtype_bytes(type) - 1 - b];
                    at[dtype_bytes(type) - 1 - b] = keep;
                }
            }
            Ops ops;
            Queue *q;
            Error err;
            float out[B * D];
            setenv("TURTLE_ISA", sets[set], 1);
            ASSERT_OK(ops_open(&ops, "cpu", 2, NULL, &err), err);
            ASSERT_OK(ops.mem.queue_open(ops.device, &q, &err), err);
            const Features f = {file + 1, N, D, type, swapped};
            const Batch batch = batch_f32(out, D);
            ops.matrix.gather(q, &batch, &f, rows, B);
            ASSERT_OK(ops.mem.wait(q, &err), err);
            for (int i = 0; i < B * D; i++)
                cr_expect(out[i] == (float)(rows[i / D] * D + i % D - 3),
                          "%s %s %d: element %d is %g", sets[set], dtype_name(type), swapped, i,
                          (double)out[i]);
            ops.matrix.gather(q, &batch, &f, (const int64_t[]){0, N, 0, 0}, B);
            cr_expect(ops.mem.wait(q, &err) == ERR_ARG && strstr(err.text, "gather"));
            ops.mem.queue_close(q);
            ops_close(&ops);
        }
}

/* Rows of 16 bits, rounded; zeros behind them where products read there. */
Test(ops, gather_rounds_to_sixteen_bits) {
    enum { N = 3, D = 301, B = 4 };
    static const int64_t rows[B] = {2, 0, 2, 1};
    static const DType types[] = {DTYPE_F16, DTYPE_BF16};
    const char *sets[CPU_MAX_SETS + 1];
    cpu_instruction_sets(sets);
    float *file = numbers(N * D, 1);
    for (int set = 0; sets[set]; set++)
        for (int t = 0; t < 2; t++) {
            Ops ops;
            Queue *q;
            Error err;
            const Batch out = {malloc(B * 1024), types[t], D, batch_row(types[t], D)};
            uint16_t *to = out.data;
            memset(to, 0xff, B * 1024);
            setenv("TURTLE_ISA", sets[set], 1);
            ASSERT_OK(ops_open(&ops, "cpu", 2, NULL, &err), err);
            ASSERT_OK(ops.mem.queue_open(ops.device, &q, &err), err);
            const Features f = {file, N, D, DTYPE_F32, false};
            ops.matrix.gather(q, &out, &f, rows, B);
            ASSERT_OK(ops.mem.wait(q, &err), err);
            for (int b = 0; b < B; b++) {
                for (int j = 0; j < D; j++) {
                    const float x = file[rows[b] * D + j];
                    cr_assert(to[b * out.row + j] == (t ? bf16_from_f32(x) : f16_from_f32(x)),
                              "%s: row %d, element %d", sets[set], b, j);
                }
                for (int64_t j = D; t && j < out.row; j++)
                    cr_assert(to[b * out.row + j] == 0, "%s: behind row %d", sets[set], b);
            }
            free(to);
            ops.mem.queue_close(q);
            ops_close(&ops);
        }
    free(file);
}

/* A batch of float16 is read as the float32s that it stands for: the same bits come out of every
 * operation, and gather leaves the file's own bits, rows batch_row apart. */
Test(ops, float16_batches_give_the_bits_of_their_float32, .timeout = 60) {
    enum { B = 250, C = 37, D = 41, N = 300 };
    const char *sets[CPU_MAX_SETS + 1];
    cpu_instruction_sets(sets);
    uint16_t *file = malloc(N * D * sizeof *file);
    for (int i = 0; i < N * D; i++) /* signs, exponents from 2^-6 to 2, every mantissa */
        file[i] = (uint16_t)((i & 1) << 15 | (9 + i % 7) << 10 | (i * 37 & 0x3ff));
    const int64_t row16 = batch_row(DTYPE_F16, D), row32 = batch_row(DTYPE_F32, D);
    cr_assert(row16 >= D && row32 >= D && row16 % 64 == 32 && row32 % 32 == 16);
    float *head = numbers(linear_size(C, D), 1), *Y = probabilities(B, C, 2);
    const int64_t step = 0;
    for (int set = 0; sets[set]; set++) {
        Ops ops;
        Queue *q;
        Error err;
        int64_t rows[B];
        enum { HEAD = C * D + C };
        float *logits[2], *grad[2], *heads[2], *labels[2];
        setenv("TURTLE_ISA", sets[set], 1);
        ASSERT_OK(ops_open(&ops, "cpu", 2, NULL, &err), err);
        ASSERT_OK(ops.mem.queue_open(ops.device, &q, &err), err);
        const Features f = {file, N, D, DTYPE_F16, false};
        for (int b = 0; b < B; b++) rows[b] = (b * 7) % N;
        for (int i = 0; i < 2; i++) {
            const DType type = i ? DTYPE_F16 : DTYPE_F32;
            const Batch Z = {calloc(B * 64, 4), type, D, i ? row16 : row32};
            float loss, *m1 = calloc(HEAD, 4), *m2 = calloc(HEAD, 4);
            int64_t bytes = ops.train.scratch_bytes(type, 1, B, C, D),
                    matmul = ops.matrix.matmul_scratch_bytes(MATMUL_NT, B, C, D);
            void *work = scratch(bytes > matmul ? bytes : matmul);
            logits[i] = malloc(B * C * 4), labels[i] = malloc(B * C * 4);
            grad[i] = malloc(HEAD * 4), heads[i] = malloc(HEAD * 4);
            memcpy(heads[i], head, HEAD * 4);
            ops.matrix.gather(q, &Z, &f, rows, B);
            for (int b = 0; i && b < B; b++)
                cr_assert(!memcmp((uint16_t *)Z.data + b * row16, file + rows[b] * D, D * 2));
            ops.matrix.matmul(q, MATMUL_NT, logits[i], &Z, head, head + C * D, B, C, D, work);
            ops.train.linear_grad(q, grad[i], Y, &Z, B, C, work);
            const InnerSteps in = {.K = 1,
                                   .space = {{Z, heads[i], m1, m2}},
                                   .Y = Y,
                                   .B = B,
                                   .C = C,
                                   .M = 2,
                                   .lr = 0.001,
                                   .step = &step,
                                   .scratch = work};
            ops.train.inner_steps(q, &in);
            ops.train.label_grad(q, &loss, labels[i], &in);
            ASSERT_OK(ops.mem.wait(q, &err), err);
            free(Z.data), free(m1), free(m2), free(work);
        }
        /* logits of float16 come from another blocking: to rounding, the others to the bit */
        EXPECT_CLOSE(relative_error(logits[1], logits[0], B * C), PRODUCT_LIMIT, "%s", sets[set]);
        cr_expect(!memcmp(grad[0], grad[1], HEAD * 4), "%s: linear_grad", sets[set]);
        cr_expect(!memcmp(heads[0], heads[1], HEAD * 4), "%s: inner_steps", sets[set]);
        cr_expect(!memcmp(labels[0], labels[1], B * C * 4), "%s: label_grad", sets[set]);
        for (int i = 0; i < 2; i++) free(logits[i]), free(labels[i]), free(grad[i]), free(heads[i]);
        ops.mem.queue_close(q);
        ops_close(&ops);
    }
    free(file), free(head), free(Y);
}

static void run_argmax(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    float *X = numbers(s.B * s.C, 1);
    int32_t *index = malloc((size_t)s.B * sizeof *index);
    for (int64_t r = 0; r < s.B; r += 3) X[r * s.C + s.C - 1] = X[r * s.C]; /* ties */
    float *top = output(o, s.B, NULL), *margin = output(o, s.B, NULL), *at = output(o, s.B, NULL);
    ops->matrix.argmax(q, index, top, margin, X, s.B, s.C);
    for (int64_t r = 0; r < s.B; r++) at[r] = (float)(index[r] + 1);
    free(index), free(X);
}

Test(ops, argmax) {
    judge("argmax", run_argmax, 0.0);
}

Test(ops, argmax_takes_the_first_of_equals) {
    Ops ops;
    Queue *q;
    Error err;
    static const float X[] = {1, 3, 3, 2, /**/ 5, 5, 5, 5, /**/ -2, -3, -1, -1};
    int32_t index[3];
    float top[3], margin[3];
    ASSERT_OK(ops_open(&ops, "cpu", 1, NULL, &err), err);
    ASSERT_OK(ops.mem.queue_open(ops.device, &q, &err), err);
    ops.matrix.argmax(q, index, top, margin, X, 3, 4);
    cr_expect(index[0] == 1 && index[1] == 0 && index[2] == 2);
    cr_expect(top[0] == 3 && top[2] == -1 && margin[0] == 0 && margin[2] == 0);
    ops.mem.queue_close(q);
    ops_close(&ops);
}

/* --- labels ----------------------------------------------------------------------------------- */

static void run_softmax(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    float *x = numbers(s.B * s.C, 1);
    for (int64_t i = 0; i < s.B * s.C; i++) x[i] *= 12.0f;
    float *P = output(o, s.B * s.C, NULL), *in_place = output(o, s.B * s.C, x);
    ops->train.softmax(q, P, x, s.B, s.C);
    ops->train.softmax(q, in_place, in_place, s.B, s.C);
    cr_expect(!memcmp(P, in_place, (size_t)(s.B * s.C) * 4), "in place is another result");
    free(x);
}

/* A row whose logits are x apart: probabilities down to subnormal ones, and no NaN. */
Test(ops, softmax) {
    judge("softmax", run_softmax, ELEMENT_LIMIT);
}

Test(ops, softmax_rows_sum_to_one_however_large_the_logits) {
    const char *sets[CPU_MAX_SETS + 1];
    cpu_instruction_sets(sets);
    for (int set = 0; sets[set]; set++) {
        Ops ops;
        Queue *q;
        Error err;
        float x[6] = {1e30f, -1e30f, 3e4f, -3e4f, 0.0f, 1e30f}, P[6];
        float y[3] = {0.0f, -95.0f, -200.0f}, R[3];
        setenv("TURTLE_ISA", sets[set], 1);
        ASSERT_OK(ops_open(&ops, "cpu", 1, NULL, &err), err);
        ASSERT_OK(ops.mem.queue_open(ops.device, &q, &err), err);
        ops.train.softmax(q, P, x, 1, 6);
        cr_expect(P[0] == 0.5f && P[5] == 0.5f && P[1] == 0 && P[2] == 0 && P[3] == 0 && P[4] == 0);
        ops.train.softmax(q, R, y, 1,
                          3); /* exp(-95) = 5.5e-42 is subnormal and kept; exp(-200) is 0 */
        cr_expect(R[0] == 1.0f && R[2] == 0.0f && fabsf(R[1] / 5.521e-42f - 1.0f) < 1e-3f, "%s: %g",
                  sets[set], (double)R[1]);
        ops.mem.queue_close(q);
        ops_close(&ops);
    }
}

/* Every 97th float32 from -104, below which exp is 0, to 88; double exp is exact enough to judge.
 * One unit where the result is normal is 2^-23 of its power of two, below that 2^-149. */
Test(ops, log_is_as_near_as_it_says) {
    double worst = 0.0;
    for (uint32_t bits = 0x3f800000u; bits < 0x47800000u; bits += 97) { /* 1 to 65536 */
        const float x = f32_from_bits(bits);
        const double off = fabs(log_f32(x) - log(x)) - 2e-7 * log(x);
        if (!(off <= worst)) worst = off;
    }
    cr_expect(worst <= 0x1p-25, "off by %g more than 2e-7 |ln x|", worst);
    cr_expect(log_f32(1.0f) == 0.0f);
}

Test(ops, exp_is_within_two_units_in_the_last_place, .timeout = 60) {
    double worst = 0.0;
    for (int negative = 0; negative < 2; negative++)
        for (uint32_t bits = 0;; bits += 97) {
            const float x = negative ? -f32_from_bits(bits) : f32_from_bits(bits);
            if (x > 88.0f || x < -104.0f) break;
            int e;
            const double exact = exp((double)x);
            frexp(exact, &e);
            const double units =
                fabs(exp_f32(x) - exact) / ldexp(1.0, e - 24 < -149 ? -149 : e - 24);
            if (!(units <= worst)) worst = units;
        }
    EXPECT_CLOSE(worst, 2.0, "exp");
    cr_expect(exp_f32(-1e30f) == 0.0f && exp_f32(-INFINITY) == 0.0f &&
              isnan(exp_f32(strtof("nan", NULL))));
}

static void run_label_mean(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    float *P = probabilities(s.K * s.B, s.C, 1);
    ops->train.label_mean(q, output(o, s.B * s.C, NULL), P, (int)s.K, s.B, s.C);
    free(P);
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
    free(work), free(P);
}

Test(ops, batch_entropy) {
    judge("batch_entropy", run_batch_entropy, ELEMENT_LIMIT);
}

static void run_prior_ratio(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    float *P_bar = probabilities(s.K, s.C, 1), *prior = probabilities(1, s.C, 2);
    P_bar[0] = 0.0f;
    ops->train.prior_ratio(q, output(o, s.K * s.C, P_bar), prior, (int)s.K, s.C);
    cr_expect(o->data[0][0] == 0.0f);
    cr_expect(o->data[0][s.K * s.C - 1] == P_bar[s.K * s.C - 1] / prior[s.C - 1]);
    free(P_bar), free(prior);
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
    free(work), free(x), free(Y);
}

Test(ops, cross_entropy, .timeout = 60) {
    judge("cross_entropy", run_cross_entropy,
          4 * ELEMENT_LIMIT); /* softmax - Y cancels two digits */
}

static void run_task_grad(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    float *P = probabilities(s.B, s.C, 1), *grad_Y = numbers(s.B * s.C, 2),
          *P_bar = malloc((size_t)s.C * 4);
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
    for (int64_t b = 0; b < s.B; b++) cr_expect(o->data[0][b * s.C] == 0.0f);
    free(work), free(P), free(grad_Y), free(P_bar);
}

Test(ops, task_grad) {
    judge("task_grad", run_task_grad, 8 * ELEMENT_LIMIT); /* q - sum P q cancels */
}

static void run_linear_grad(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    float *R = numbers(s.B * s.C, 1), *Z = numbers(s.B * s.d, 2);
    void *work = train_scratch(ops, s);
    const Batch batch = batch_of(Z, s.B, s.d);
    ops->train.linear_grad(q, output(o, linear_size(s.C, s.d), NULL), R, &batch, s.B, s.C, work);
    free(work), free(R), free(Z), free_batches();
}

Test(ops, linear_grad, .timeout = 60) {
    judge("linear_grad", run_linear_grad, PRODUCT_LIMIT);
}

static void run_weight_norm(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    float *task = numbers(task_size(s.C, s.d), 1), *grad = numbers(linear_size(s.C, s.d), 2);
    ops->train.weight_norm(q, output(o, s.C * s.d, NULL), task, s.C, s.d);
    float *grad_task = output(o, task_size(s.C, s.d), NULL);
    ops->train.weight_norm_grad(q, grad_task, grad, task, s.C, s.d);
    /* |v| does not matter, so the gradient of v is orthogonal to v */
    for (int64_t c = 0; c < s.C; c++) {
        double along = 0.0, length = 0.0;
        for (int64_t j = 0; j < s.d; j++) {
            along += (double)grad_task[c * s.d + j] * task[c * s.d + j];
            length += fabs((double)grad_task[c * s.d + j] * task[c * s.d + j]);
        }
        cr_expect(fabs(along) <= 1e-5 * length + 1e-6, "class %d: %g of %g", (int)c, along, length);
    }
    free(task), free(grad);
}

Test(ops, weight_norm) {
    judge("weight_norm", run_weight_norm,
          4 * ELEMENT_LIMIT); /* grad_W - <grad_W,v>v/|v|^2 cancels; d = 1 */
}

/* --- the inner loop --------------------------------------------------------------------------- */

static void run_adam(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    const int64_t n = s.C * s.d;
    float *x = numbers(n, 1), *grad = numbers(n, 2);
    float *p = output(o, n, x), *m1 = output(o, n, x), *m2 = output(o, n, x);
    for (int64_t i = 0; i < n; i++) m1[i] = 0.0f, m2[i] = 0.0f;
    for (int64_t step = 0; step < 3; step++) ops->train.adam(q, p, grad, m1, m2, n, 0.01, &step);
    free(x), free(grad);
}

Test(ops, adam) {
    judge("adam", run_adam, ELEMENT_LIMIT);
}

/* With a constant gradient g both moments are exact after bias correction: every step is
 * lr g/(|g| + eps), whatever the step (Kingma & Ba 2015, section 2.1). */
Test(ops, adam_with_a_constant_gradient_steps_by_the_learning_rate) {
    const char *sets[CPU_MAX_SETS + 1];
    cpu_instruction_sets(sets);
    for (int set = 0; sets[set]; set++) {
        Ops ops;
        Queue *q;
        Error err;
        float p[5] = {0}, m1[5] = {0}, m2[5] = {0};
        const float grad[5] = {1e-6f, -0.5f, 3.0f, 1e3f, 0.0f};
        setenv("TURTLE_ISA", sets[set], 1);
        ASSERT_OK(ops_open(&ops, "cpu", 1, NULL, &err), err);
        ASSERT_OK(ops.mem.queue_open(ops.device, &q, &err), err);
        for (int64_t step = 0; step < 100; step++)
            ops.train.adam(q, p, grad, m1, m2, 5, 0.001, &step);
        for (int i = 0; i < 5; i++) {
            const double g = grad[i], expected = -100 * 0.001 * g / (fabs(g) + 1e-8);
            /* 100 steps of float32: 100 u each in the moments and in the sum */
            cr_expect(fabs(p[i] - expected) <= 4e-5 * fabs(expected), "%s: %g, expected %g",
                      sets[set], (double)p[i], expected);
        }
        ops.mem.queue_close(q);
        ops_close(&ops);
    }
}

/* Which of its results a run of the inner loop records; the others stay private. */
typedef enum { HEADS, MOMENTS } Recorded;

static void run_inner(const Ops *ops, Queue *q, Shape s, Outputs *o, Recorded recorded) {
    InnerSteps in = {.K = (int)s.K, .B = s.B, .C = s.C, .M = 3, .lr = 0.001};
    Outputs private = {.n = 0};
    Outputs *heads = recorded == HEADS ? o : &private,
            *moments = recorded == MOMENTS ? o : &private;
    float *Y = probabilities(s.B, s.C, 1), *Z[4], *initial[4];
    const int64_t step = 5;
    in.Y = Y;
    in.step = &step;
    in.scratch = train_scratch(ops, s);
    in.losses = output(heads, in.M, NULL);
    for (int k = 0; k < in.K; k++) {
        const int64_t d = k ? (s.d + 1) / 2 : s.d; /* spaces of two dimensions */
        const int64_t n = linear_size(s.C, d);
        Z[k] = numbers(s.B * d, 2 + k);
        initial[k] = numbers(n, 6 + k);
        float *m2 = malloc((size_t)n * 4), *none = calloc((size_t)n, 4);
        for (int64_t i = 0; i < n; i++)
            m2[i] = 1.0f; /* keeps a step far from sign(g): no amplification */
        in.space[k] = (InnerSpace){batch_of(Z[k], s.B, d), output(heads, n, initial[k]),
                                   output(moments, n, none), m2};
        free(none);
    }
    ops->train.inner_steps(q, &in);
    for (int k = 0; k < in.K; k++) free(Z[k]), free(initial[k]), free(in.space[k].m2);
    free_outputs(&private);
    free(in.scratch), free(Y), free_batches();
}

static void run_inner_heads(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    run_inner(ops, q, s, o, HEADS);
}

static void run_inner_moments(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    run_inner(ops, q, s, o, MOMENTS);
}

Test(ops, inner_steps_losses_and_heads, .timeout = 120) {
    judge("inner_steps", run_inner_heads, 4 * ELEMENT_LIMIT);
}

/* With such moments a step moves a head by 1e-6 of itself, so m1, a weighted sum of the gradients,
 * is the output that tells of them. Its error: that of a logit, sqrt(d) u <= 14 u of terms up to
 * 14 in norm, so 196 u, enters the softmax; softmax - Y cancels up to 2 digits of norm at most 4
 * times; the product over B adds PRODUCT_LIMIT: 800 u + 8e-6 = 5.6e-5. */
Test(ops, inner_steps_gradients, .timeout = 120) {
    judge("inner_steps m1", run_inner_moments, 5.6e-5);
}

static void run_label_grad(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    InnerSteps in = {.K = (int)s.K, .B = s.B, .C = s.C};
    float *Y = probabilities(s.B, s.C, 1), *Z[4], *head[4];
    in.scratch = train_scratch(ops, s);
    for (int k = 0; k < in.K; k++) {
        const int64_t d = k ? (s.d + 1) / 2 : s.d;
        Z[k] = numbers(s.B * d, 2 + k);
        head[k] = numbers(linear_size(s.C, d), 6 + k);
        in.space[k] = (InnerSpace){.Z = batch_of(Z[k], s.B, d), .head = head[k]};
    }
    float *loss = output(o, s.K, NULL), *in_place = output(o, s.B * s.C, Y),
          *apart = output(o, s.B * s.C, NULL);
    in.Y = Y;
    ops->train.label_grad(q, loss, apart, &in);
    in.Y = in_place;
    ops->train.label_grad(q, loss, in_place, &in);
    cr_expect(!memcmp(apart, in_place, (size_t)(s.B * s.C) * 4), "in place is another result");
    for (int k = 0; k < in.K; k++) free(Z[k]), free(head[k]);
    free(in.scratch), free(Y), free_batches();
}

Test(ops, label_grad, .timeout = 120) {
    judge("label_grad", run_label_grad, 4 * ELEMENT_LIMIT);
}

/* --- bfloat16 --------------------------------------------------------------------------------- */

static void run_bf16_forward(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    float *A = numbers(s.B * s.d, 1), *B = numbers(s.C * s.d, 2), *bias = numbers(s.C, 3);
    void *work = scratch(ops->matrix.matmul_scratch_bytes(MATMUL_NT, s.B, s.C, s.d));
    const Batch a = batch_of(A, s.B, s.d);
    ops->matrix.matmul(q, MATMUL_NT, output(o, s.B * s.C, NULL), &a, B, bias, s.B, s.C, s.d, work);
    free(work), free(A), free(B), free(bias), free_batches();
}

/* A product of two bfloat16 is exact in float32, and both sides round the same operands: only the
 * order of the sums differs, as in float32. */
Test(ops, bf16_products, .timeout = 240) {
    batches = DTYPE_BF16;
    judge("bf16 matmul", run_bf16_forward, PRODUCT_LIMIT);
    judge("bf16 linear_grad", run_linear_grad, PRODUCT_LIMIT);
    judge("bf16 label_grad", run_label_grad, 4 * ELEMENT_LIMIT);
}

/* In the loop an operand is itself a result: of two values e apart, a share e/2^-8 rounds to
 * different neighbours, 2^-8 apart: sqrt(e 2^8) 2^-8 in norm. Residuals: e = 5.6e-5 (above) gives
 * 4.7e-4 beside 5.6e-5 itself. W in the second step: the heads' e = 4e-6 gives 1.3e-4. */
Test(ops, bf16_inner_steps, .timeout = 240) {
    batches = DTYPE_BF16;
    judge("bf16 inner_steps", run_inner_heads, 1.3e-4);
    judge("bf16 inner_steps m1", run_inner_moments, 6.6e-4);
}

/* Every number of 16 bits comes back from float32, and what lies between two goes to the nearer
 * one, from the middle to the even one. */
Test(ops, sixteen_bits_are_rounded_to_the_nearest) {
    for (uint32_t h = 0; h < 0x7f7f; h++) {
        const float a = f32_from_bf16((uint16_t)h), b = f32_from_bf16((uint16_t)(h + 1));
        const float middle = f32_from_bits(bits_of_f32(a) + 0x8000);
        cr_assert(bf16_from_f32(a) == h && bf16_from_f32(-a) == (h | 0x8000), "%x", h);
        cr_assert(bf16_from_f32(middle) == h + (h & 1), "%x", h);
        cr_assert(bf16_from_f32(nextafterf(middle, a)) == h, "%x", h);
        cr_assert(bf16_from_f32(nextafterf(middle, b)) == h + 1, "%x", h);
    }
    for (uint32_t h = 0; h < 0x7bff; h++) {
        const float a = f32_from_f16((uint16_t)h), b = f32_from_f16((uint16_t)(h + 1));
        const float middle = a + (b - a) / 2;
        cr_assert(f16_from_f32(a) == h && f16_from_f32(-a) == (h | 0x8000), "%x", h);
        cr_assert(f16_from_f32(middle) == h + (h & 1), "%x", h);
        cr_assert(f16_from_f32(nextafterf(middle, a)) == h, "%x", h);
        cr_assert(f16_from_f32(nextafterf(middle, b)) == h + 1, "%x", h);
    }
    cr_expect(f16_from_f32(65504.0f) == 0x7bff && f16_from_f32(65519.0f) == 0x7bff);
    cr_expect(f16_from_f32(65520.0f) == 0x7c00 && f16_from_f32(INFINITY) == 0x7c00);
    cr_expect(bf16_from_f32(INFINITY) == 0x7f80 && bf16_from_f32(3.4e38f) == 0x7f80);
    cr_expect((f16_from_f32(NAN) & 0x7fff) > 0x7c00 && (bf16_from_f32(NAN) & 0x7fff) > 0x7f80);
    cr_expect((bf16_from_f32(f32_from_bits(0x7f800001)) & 0x7fff) > 0x7f80);
}

/* --- gradients against finite differences ----------------------------------------------------- */

enum { FB = 6, FC = 4, FD = 5, FK = 2 };

/* CE(softmax(Z W^T + b), Y) in double. */
static double inner_loss_f64(const double *head, const float *Z, const double *Y, int64_t B,
                             int64_t C, int64_t d) {
    double total = 0.0;
    for (int64_t b = 0; b < B; b++) {
        double x[16], top = -INFINITY, sum = 0.0;
        for (int64_t c = 0; c < C; c++) {
            x[c] = head[C * d + c];
            for (int64_t j = 0; j < d; j++) x[c] += head[c * d + j] * Z[b * d + j];
            if (x[c] > top) top = x[c];
        }
        for (int64_t c = 0; c < C; c++) sum += exp(x[c] - top);
        for (int64_t c = 0; c < C; c++) total -= Y[b * C + c] * (x[c] - top - log(sum));
    }
    return total / (double)B;
}

/* The outer loss (Eq. 12) in double as a function of the task parameters; heads constant. With a
 * prior (FC): its divergence from the mean label in place of the entropy. */
static double outer_loss_f64(double *const *task, float *const *Z, float *const *head, double gamma,
                             const float *prior) {
    double P[FK][FB * FC], Y[FB * FC] = {0}, loss = 0.0;
    for (int k = 0; k < FK; k++)
        for (int b = 0; b < FB; b++) {
            double x[FC], sum = 0.0;
            for (int c = 0; c < FC; c++) {
                const double *v = task[k] + c * FD;
                double square = 0.0, dot = 0.0;
                for (int j = 0; j < FD; j++) square += v[j] * v[j], dot += v[j] * Z[k][b * FD + j];
                x[c] = task[k][FC * FD + FC + c] * dot / sqrt(square) + task[k][FC * FD + c];
                sum += exp(x[c]);
            }
            for (int c = 0; c < FC; c++) {
                P[k][b * FC + c] = exp(x[c]) / sum;
                Y[b * FC + c] += P[k][b * FC + c] / FK;
            }
        }
    for (int k = 0; k < FK; k++) {
        double h[FC * FD + FC];
        for (int i = 0; i < FC * FD + FC; i++) h[i] = head[k][i];
        loss += inner_loss_f64(h, Z[k], Y, FB, FC, FD);
        for (int c = 0; c < FC; c++) {
            double p = 0.0;
            for (int b = 0; b < FB; b++) p += P[k][b * FC + c] / FB;
            loss += gamma * p * log(p); /* - gamma H */
            if (prior) loss -= gamma * p * log((double)prior[c]);
        }
    }
    return loss;
}

/* Central differences, step 1e-5: error h^2 = 1e-10 and 1e-16/1e-5 = 1e-11; float32 gradients
 * 1e-6. */
#define DIFFERENCE_STEP 1e-5
#define DIFFERENCE_LIMIT 2e-6

Test(gradients, inner_gradient_is_the_slope_of_the_inner_loss) {
    Ops ops;
    Queue *q;
    Error err;
    enum { n = FC * FD + FC };
    float *Z = numbers(FB * FD, 1), *Y = probabilities(FB, FC, 2), *head = numbers(n, 3);
    float logits[FB * FC], grad[n], loss;
    double h[n], y[FB * FC], slope[n];
    unsetenv("TURTLE_ISA");
    ASSERT_OK(ops_open(&ops, "cpu", 1, NULL, &err), err);
    ASSERT_OK(ops.mem.queue_open(ops.device, &q, &err), err);
    void *work = scratch(ops.train.scratch_bytes(DTYPE_F32, 1, FB, FC, FD));
    const Batch batch = batch_f32(Z, FD);
    ops.matrix.matmul(q, MATMUL_NT, logits, &batch, head, head + FC * FD, FB, FC, FD, work);
    ops.train.cross_entropy(q, &loss, logits, NULL, false, logits, Y, FB, FC, work);
    ops.train.linear_grad(q, grad, logits, &batch, FB, FC, work);
    ASSERT_OK(ops.mem.wait(q, &err), err);
    for (int i = 0; i < n; i++) h[i] = head[i];
    for (int i = 0; i < FB * FC; i++) y[i] = Y[i];
    cr_expect(fabs(loss - inner_loss_f64(h, Z, y, FB, FC, FD)) < 1e-6);
    for (int i = 0; i < n; i++) {
        h[i] = head[i] + DIFFERENCE_STEP;
        slope[i] = inner_loss_f64(h, Z, y, FB, FC, FD);
        h[i] = head[i] - DIFFERENCE_STEP;
        slope[i] = (slope[i] - inner_loss_f64(h, Z, y, FB, FC, FD)) / (2 * DIFFERENCE_STEP);
        h[i] = head[i];
    }
    EXPECT_CLOSE(relative_error_f64(grad, slope, n), DIFFERENCE_LIMIT, "inner gradient");

    /* and the fused loop takes the very step: Adam's first moves against the sign of this slope */
    float fused[n], m1[n] = {0}, m2[n] = {0};
    const int64_t step = 0;
    memcpy(fused, head, sizeof fused);
    InnerSteps in = {.K = 1,
                     .space = {{batch, fused, m1, m2}},
                     .Y = Y,
                     .B = FB,
                     .C = FC,
                     .M = 1,
                     .lr = 0.001,
                     .step = &step,
                     .scratch = work};
    ops.train.inner_steps(q, &in);
    ASSERT_OK(ops.mem.wait(q, &err), err);
    for (int i = 0; i < n; i++) m1[i] /= 0.1f; /* (1 - beta1) g */
    EXPECT_CLOSE(relative_error_f64(m1, slope, n), DIFFERENCE_LIMIT, "gradient inside inner_steps");
    free(work), free(Z), free(Y), free(head);
    ops.mem.queue_close(q);
    ops_close(&ops);
}

static void check_outer_gradient(const float *prior) {
    Ops ops;
    Queue *q;
    Error err;
    enum { n = FC * FD + 2 * FC };
    const double gamma = 10.0;
    float *task[FK], *head[FK], *Z[FK];
    double *t[FK];
    unsetenv("TURTLE_ISA");
    ASSERT_OK(ops_open(&ops, "cpu", 1, NULL, &err), err);
    ASSERT_OK(ops.mem.queue_open(ops.device, &q, &err), err);
    void *work = scratch(ops.train.scratch_bytes(DTYPE_F32, FK, FB, FC, FD));
    float P[FK * FB * FC], Y[FB * FC], W[FC * FD], P_bar[FK * FC], H[FK], loss[FK];
    InnerSteps heads = {.K = FK, .Y = Y, .B = FB, .C = FC, .scratch = work};
    for (int k = 0; k < FK; k++) {
        task[k] = numbers(n, 1 + k);
        head[k] = numbers(FC * FD + FC, 3 + k);
        Z[k] = numbers(FB * FD, 5 + k);
        t[k] = malloc(n * sizeof(double));
        for (int i = 0; i < n; i++) t[k][i] = task[k][i];
        heads.space[k] = (InnerSpace){.Z = batch_f32(Z[k], FD), .head = head[k]};
        float *Pk = P + k * FB * FC;
        ops.train.weight_norm(q, W, task[k], FC, FD);
        ops.matrix.matmul(q, MATMUL_NT, Pk, &heads.space[k].Z, W, task[k] + FC * FD, FB, FC, FD,
                          work);
        ops.train.softmax(q, Pk, Pk, FB, FC);
    }
    ops.train.label_mean(q, Y, P, FK, FB, FC);
    ops.train.label_grad(q, loss, Y, &heads);
    ops.train.batch_entropy(q, P_bar, H, P, FK, FB, FC, work);
    cr_expect(fabs(loss[0] + loss[1] - gamma * (H[0] + H[1]) -
                   outer_loss_f64(t, Z, head, gamma, NULL)) < 2e-5);
    if (prior) ops.train.prior_ratio(q, P_bar, prior, FK, FC);
    for (int k = 0; k < FK; k++) {
        float grad_linear[FC * FD + FC], grad[n];
        double slope[n];
        ops.train.task_grad(q, P + k * FB * FC, Y, P_bar + k * FC, FK, gamma, FB, FC, work);
        ops.train.linear_grad(q, grad_linear, P + k * FB * FC, &heads.space[k].Z, FB, FC, work);
        ops.train.weight_norm_grad(q, grad, grad_linear, task[k], FC, FD);
        ASSERT_OK(ops.mem.wait(q, &err), err);
        for (int i = 0; i < n; i++) {
            const double keep = t[k][i];
            t[k][i] = keep + DIFFERENCE_STEP;
            slope[i] = outer_loss_f64(t, Z, head, gamma, prior);
            t[k][i] = keep - DIFFERENCE_STEP;
            slope[i] =
                (slope[i] - outer_loss_f64(t, Z, head, gamma, prior)) / (2 * DIFFERENCE_STEP);
            t[k][i] = keep;
        }
        EXPECT_CLOSE(relative_error_f64(grad, slope, n), DIFFERENCE_LIMIT,
                     "outer gradient, space %d", k);
    }
    for (int k = 0; k < FK; k++) free(task[k]), free(head[k]), free(Z[k]), free(t[k]);
    free(work);
    ops.mem.queue_close(q);
    ops_close(&ops);
}

Test(gradients, outer_gradient_is_the_slope_of_the_outer_loss) {
    check_outer_gradient(NULL);
    check_outer_gradient((const float[FC]){0.6f, 0.25f, 0.1f, 0.05f});
}

/* --- random numbers --------------------------------------------------------------------------- */

/* Known answers published with the generator (Random123, kat_vectors). */
Test(philox, known_answers) {
    static const struct {
        Philox counter;
        uint64_t key;
        Philox out;
    } known[] = {
        {{{0, 0, 0, 0}}, 0, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}},
        {{{~0u, ~0u, ~0u, ~0u}}, ~(uint64_t)0, {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}},
        {{{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}},
         0x299f31d0a4093822,
         {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}}};
    for (int i = 0; i < 3; i++) {
        const Philox out = philox4x32_10(known[i].counter, known[i].key);
        for (int w = 0; w < 4; w++)
            cr_expect(out.word[w] == known[i].out.word[w], "vector %d word %d", i, w);
    }
}

static void run_random(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    const int64_t iteration = 12, N = s.B + 3 * s.C;
    ops->train.random_linear(q, output(o, linear_size(s.C, s.d), NULL), s.C, s.d, 42, PHILOX_HEAD,
                             1, &iteration);
    int64_t *rows = malloc((size_t)s.B * sizeof *rows);
    ops->train.random_rows(q, rows, s.B, N, 42, &iteration);
    float *as_float = output(o, s.B, NULL);
    for (int64_t b = 0; b < s.B; b++) as_float[b] = (float)(rows[b] + 1);
    free(rows);
}

Test(philox, every_set_draws_the_same_bits) {
    judge("random", run_random, 0.0);
}

static int ascending(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

Test(philox, rows_are_a_permutation_and_change_with_the_iteration, .timeout = 60) {
    static const int64_t sizes[] = {1,  2,  3,  4,    5,     15,    16,     17,
                                    63, 64, 65, 1000, 65536, 65537, 1000000};
    Ops ops;
    Queue *q;
    Error err;
    unsetenv("TURTLE_ISA");
    ASSERT_OK(ops_open(&ops, "cpu", 2, NULL, &err), err);
    ASSERT_OK(ops.mem.queue_open(ops.device, &q, &err), err);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const int64_t N = sizes[i];
        int64_t *rows = malloc((size_t)N * sizeof *rows),
                *again = malloc((size_t)N * sizeof *again);
        int64_t iteration = 3, same = 0, bad = 0;
        ops.train.random_rows(q, rows, N, N, 42, &iteration);
        iteration = 4;
        ops.train.random_rows(q, again, N, N, 42, &iteration);
        for (int64_t j = 0; j < N; j++) same += rows[j] == again[j];
        cr_expect(N < 100 || same < 20, "N %d: %d rows in the same place", (int)N,
                  (int)same); /* 1 expected */
        qsort(rows, (size_t)N, sizeof *rows, ascending);
        for (int64_t j = 0; j < N; j++) bad += rows[j] != j;
        cr_expect(bad == 0, "N %d: no permutation", (int)N);
        free(rows), free(again);
    }
    ops.mem.queue_close(q);
    ops_close(&ops);
}

/* Each of 100 rows is drawn first 1000 times in 100 000 iterations if all are alike. 99 degrees of
 * freedom: chi^2 beyond 149 has a chance of 0.001, and this draw is fixed. */
Test(philox, first_rows_are_uniform) {
    int64_t counts[100] = {0};
    for (int64_t iteration = 0; iteration < 100000; iteration++) {
        const RowPermutation p = row_permutation(100, 42, PHILOX_ROWS, iteration);
        counts[permuted_row(&p, 0)]++;
    }
    double chi = 0.0;
    for (int i = 0; i < 100; i++)
        chi += ((double)counts[i] - 1000) * ((double)counts[i] - 1000) / 1000;
    cr_expect(chi < 149 && chi > 57, "chi^2 %.1f", chi);
}

/* --- what cannot be served -------------------------------------------------------------------- */

Test(ops, a_bad_argument_fails_the_queue_until_it_is_waited_for) {
    Ops ops;
    Queue *q;
    Error err = {""};
    float x[4] = {1, 2, 3, 4}, y[4] = {9, 9, 9, 9};
    unsetenv("TURTLE_ISA");
    ASSERT_OK(ops_open(&ops, "cpu", 1, NULL, &err), err);
    ASSERT_OK(ops.mem.queue_open(ops.device, &q, &err), err);
    cr_expect(ops.train.softmax(q, y, x, 0, 4) == ERR_ARG);
    cr_expect(ops.train.softmax(q, y, x, 1, 4) == ERR_ARG && y[0] == 9.0f,
              "a failed queue runs nothing");
    cr_expect(ops.mem.wait(q, &err) == ERR_ARG && strstr(err.text, "softmax"), "%s", err.text);
    cr_expect(ops.train.softmax(q, y, x, 1, 4) == OK && ops.mem.wait(q, &err) == OK && y[0] < 1.0f);
    ops.mem.queue_close(q);
    ops_close(&ops);
}

Test(ops, devices_are_had_or_refused) {
    Ops ops;
    Error err = {""};
    const char *why = NULL;
    unsetenv("TURTLE_ISA");
    cr_expect(ops_open(&ops, "auto", 0, &why, &err) == OK && why && strcmp(ops.kind, "cpu") == 0);
    ops_close(&ops);
    ops_close(&ops);
    cr_expect(ops_open(&ops, "cuda", 0, NULL, &err) == ERR_DEVICE, "%s", err.text);
    cr_expect(ops_open(&ops, "cuda:1", 0, NULL, &err) == ERR_DEVICE);
    cr_expect(ops_open(&ops, "tpu", 0, NULL, &err) == ERR_USAGE && strstr(err.text, "tpu"));
    setenv("TURTLE_ISA", "mmx", 1);
    cr_expect(ops_open(&ops, "cpu", 0, NULL, &err) == ERR_ARG && strstr(err.text, "mmx") &&
                  strstr(err.text, "portable"),
              "%s", err.text);
}
