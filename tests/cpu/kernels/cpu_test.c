/* cpu_test.c - what the CPU backend alone promises: its elementary functions, conversions to 16 bits,
 * float16 read as the float32 that it stands for, devices by name. */
#include "kernels/cpu/gemm/vec_math.h"
#include "tests/support/operation.h"

#define PRODUCT_LIMIT 8e-6 /* ops_test.c derives it */

/* --- elementary functions --------------------------------------------------------------------- */

/* Every 97th float32 from -104, below which exp is 0, to 88; double exp is exact enough to judge.
 * One unit is 2^-23 of the result's power of two where it is normal, and 2^-149 below that. */
Test(cpu, log_is_as_near_as_it_says) {
    double worst = 0.0;
    for (uint32_t bits = 0x3f800000u; bits < 0x47800000u; bits += 97) { /* 1 to 65536 */
        const float x = f32_from_bits(bits);
        const double off = fabs(log_f32(x) - log(x)) - 2e-7 * log(x);
        if (!(off <= worst)) worst = off;
    }
    cr_expect(worst <= 0x1p-25, "off by %g more than 2e-7 |ln x|", worst);
    cr_expect(log_f32(1.0f) == 0.0f);
}

Test(cpu, exp_is_within_two_units_in_the_last_place, .timeout = 60) {
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

/* On every instruction set, whose rows of logits have their own exponentials (row_math.h). The other classes are so
 * unlikely that a residual is one exponential times a share near 1: two units for the first, half a unit for the
 * product, and the share's own rounding and its sum's, half a unit each. */
Test(cpu, residuals_keep_the_exponentials_of_every_instruction_set) {
    enum { C = 1003 };
    const char *sets[CPU_MAX_SETS + 1];
    cpu_instruction_sets(sets);
    for (int set = 0; sets[set]; set++) {
        Ops ops;
        Queue *q;
        open_backend(&ops, &q, sets[set], 0);
        const float one = 1.0f;
        float *head = array(2 * C * sizeof *head), *grad = floats(2 * C);
        double *loss = array(sizeof *loss), worst = 0.0;
        const HeadGrad in = {batch_f32(copy_of(&one, sizeof one), 1),
                             array(sizeof(int32_t)),
                             head,
                             1,
                             C,
                             scratch(ops.train.scratch_bytes(DTYPE_F32, 1, 1, C, 1, 1))};
        for (int c = 1; c < C; c++) head[c] = -24.0f - 81.0f * (float)c / (float)C;
        ops.train.head_grad(q, loss, grad, &in, false);
        finish(&ops, q);
        for (int c = 1; c < C; c++) {
            int e;
            const double exact = exp((double)head[c]);
            frexp(exact, &e);
            const double units = fabs(grad[c] - exact) / ldexp(1.0, e - 24 < -149 ? -149 : e - 24);
            if (!(units <= worst)) worst = units;
        }
        EXPECT_CLOSE(worst, 3.5, "%s", sets[set]);
        head[C - 1] = NAN;
        ops.train.head_grad(q, loss, grad, &in, false);
        finish(&ops, q);
        cr_expect(isnan(grad[1]) && isnan(grad[C - 1]), "%s: NaN is lost", sets[set]);
        free_arrays();
        close_backend(&ops, q);
    }
}

/* On every instruction set, at every length up to three vectors. A probability is an exponential over a sum: half a unit of
 * x - top, which is below 64, is 32 2^-24, the exponential is off by 4 and its sum and quotient by 4. What lies behind the
 * rows stays, a class of -inf has probability 0, NaN stays NaN. */
Test(cpu, softmax_of_every_length_is_exact_and_stays_in_its_rows) {
    enum { MOST = 49, ROWS = 3 };
    const char *sets[CPU_MAX_SETS + 1];
    cpu_instruction_sets(sets);
    for (int set = 0; sets[set]; set++) {
        Ops ops;
        Queue *q;
        open_backend(&ops, &q, sets[set], 0);
        const float *x = numbers(ROWS * MOST, 3);
        float *in = array(ROWS * MOST * sizeof *in), *P = array(ROWS * MOST * sizeof *P);
        double worst = 0.0;
        for (int64_t C = 1; C <= MOST; C++) {
            for (int i = 0; i < ROWS * MOST; i++) in[i] = 20.0f * x[i], P[i] = 9.0f;
            if (C > 1) in[C - 1] = -INFINITY;
            in[2 * C - 1] = NAN;
            ops.train.softmax(q, P, in, ROWS - 1, C);
            finish(&ops, q);
            double sum = 0.0, top = -INFINITY;
            for (int64_t c = 0; c < C; c++) top = fmax(top, in[c]);
            for (int64_t c = 0; c < C; c++) sum += exp(in[c] - top);
            for (int64_t c = 0; c < C; c++) {
                const double exact = exp(in[c] - top) / sum, off = fabs(P[c] - exact);
                if (!(off <= worst * exact)) worst = exact > 0.0 ? off / exact : off + 1.0;
                cr_expect(isnan(P[C + c]), "%s, C %d: NaN is lost", sets[set], (int)C);
            }
            for (int64_t i = (ROWS - 1) * C; i < ROWS * MOST; i++)
                cr_expect(P[i] == 9.0f, "%s, C %d: element %d is written", sets[set], (int)C,
                          (int)i);
        }
        EXPECT_CLOSE(worst, 40 * 0x1p-24, "%s", sets[set]);
        free_arrays();
        close_backend(&ops, q);
    }
}

/* --- conversions ------------------------------------------------------------------------------ */

/* Every number of 16 bits comes back from float32. A number between two of them goes to the nearer one, and from
 * the middle to the even one. */
Test(cpu, sixteen_bits_are_rounded_to_the_nearest) {
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

/* A batch of float16 is read as the float32s that it stands for: every operation returns the bits that float32
 * gives, and gather leaves the file's own bits, rows batch_row apart. */
Test(cpu, float16_batches_give_the_bits_of_their_float32, .timeout = 60) {
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
            const Batch Z = {calloc(B * 64, 4), type, D, i ? row16 : row32, false, 0};
            float loss, *m1 = calloc(HEAD, 4), *m2 = calloc(HEAD, 4);
            int64_t bytes = ops.train.scratch_bytes(type, 1, B, C, 1, D),
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
            free(Z.data), free(m1), free(m2);
        }
        /* logits of float16 come from another blocking and agree to rounding, the others to the bit */
        EXPECT_CLOSE(relative_error(logits[1], logits[0], B * C), PRODUCT_LIMIT, "%s", sets[set]);
        cr_expect(!memcmp(grad[0], grad[1], HEAD * 4), "%s: linear_grad", sets[set]);
        cr_expect(!memcmp(heads[0], heads[1], HEAD * 4), "%s: inner_steps", sets[set]);
        cr_expect(!memcmp(labels[0], labels[1], B * C * 4), "%s: label_grad", sets[set]);
        for (int i = 0; i < 2; i++) free(logits[i]), free(labels[i]), free(grad[i]), free(heads[i]);
        ops.mem.queue_close(q);
        ops_close(&ops);
    }
    free(file), free_arrays();
}

/* A batch that is written past the caches has the file's bits, for every row length behind whole cache lines, and
 * leaves what lies between rows. */
Test(cpu, streamed_batches_have_the_bits_of_their_file, .timeout = 60) {
    enum { D = 1031, N = 900, B = 8200 };
    const char *sets[CPU_MAX_SETS + 1];
    cpu_instruction_sets(sets);
    uint8_t *file = malloc(N * D * 4 + 4);
    for (int i = 0; i < N * D * 4; i++) file[i] = i * 131 >> 3 & 0x3f; /* no NaN */
    int64_t *rows = counting(0, B);
    for (int64_t b = 0; b < B; b++) rows[b] = b * 7 % N;
    for (int set = 0; sets[set]; set++)
        for (int t = 0; t < 4; t++) {
            Ops ops;
            Queue *q;
            Error err;
            const DType type = t < 2 ? DTYPE_F32 : DTYPE_F16;
            const int64_t row = batch_row(type, D), size = dtype_bytes(type);
            const size_t bytes = (size_t)(B * row * size);
            uint8_t *out = aligned_alloc(64, bytes);
            setenv("TURTLE_ISA", sets[set], 1);
            ASSERT_OK(ops_open(&ops, "cpu", 1 + t % 2, NULL, &err), err);
            ASSERT_OK(ops.mem.queue_open(ops.device, &q, &err), err);
            memset(out, 0x5a, bytes);
            cr_assert(bytes > (16u << 20));
            ops.matrix.gather(q, &(Batch){out, type, D, row, false, 0},
                              &(Features){file + t % 2, N, D, type, false}, rows, B);
            ASSERT_OK(ops.mem.wait(q, &err), err);
            for (int64_t b = 0; b < B; b++) {
                const uint8_t *to = out + b * row * size;
                cr_assert(!memcmp(to, file + t % 2 + rows[b] * D * size, (size_t)(D * size)),
                          "%s: row %d", sets[set], (int)b);
                for (int64_t j = D * size; j < row * size; j++) cr_assert(to[j] == 0x5a);
            }
            ops.mem.queue_close(q);
            ops_close(&ops);
            free(out);
        }
    free(file), free_arrays();
}

/* --- the task's step -------------------------------------------------------------------------- */

enum { STEP_B = 4000, STEP_SPACES = 2 };

/* Memory of one task step: K spaces, one of float16. */
typedef struct {
    TaskSteps tasks;
    InnerSteps heads;
} OneStep;

static OneStep one_step(int64_t C, const int64_t d[STEP_SPACES], void *work) {
    static const int64_t step = 3;
    OneStep s = {.tasks = {.K = STEP_SPACES,
                           .P = array(STEP_SPACES * STEP_B * C * 4),
                           .Y = array(STEP_B * C * 4),
                           .P_bar = array(STEP_SPACES * C * 4),
                           .loss = array(STEP_SPACES * 4),
                           .entropy = array(STEP_SPACES * 4),
                           .B = STEP_B,
                           .C = C,
                           .gamma = 10.0,
                           .lr = 0.001,
                           .step = &step,
                           .scratch = work}};
    memcpy(s.tasks.P, probabilities(STEP_SPACES * STEP_B, C, 5),
           (size_t)(STEP_SPACES * STEP_B * C * 4));
    memcpy(s.tasks.Y, probabilities(STEP_B, C, 6), (size_t)(STEP_B * C * 4));
    memcpy(s.tasks.P_bar, probabilities(STEP_SPACES, C, 7), (size_t)(STEP_SPACES * C * 4));
    s.heads = (InnerSteps){.K = STEP_SPACES,
                           .Y = s.tasks.Y,
                           .B = STEP_B,
                           .C = C,
                           .M = 1,
                           .lr = 0.001,
                           .step = &step,
                           .scratch = work};
    for (int k = 0; k < STEP_SPACES; k++) {
        const DType type = k ? DTYPE_F16 : DTYPE_F32;
        const int64_t row = batch_row(type, d[k]), n = task_size(C, d[k]);
        const float *x = numbers(STEP_B * d[k], 10 + k);
        const Batch Z = {array(STEP_B * row * 4), type, d[k], row, false, 0};
        for (int64_t i = 0; i < STEP_B * d[k]; i++) {
            const int64_t at = i / d[k] * row + i % d[k];
            if (k) ((uint16_t *)Z.data)[at] = f16_from_f32(x[i]);
            else ((float *)Z.data)[at] = x[i];
        }
        s.tasks.space[k] = (TaskSpace){Z, array(n * 4), array(n * 4), array(n * 4)};
        memcpy(s.tasks.space[k].task, numbers(n, 20 + k), (size_t)(n * 4));
        s.heads.space[k] =
            (InnerSpace){Z, numbers(linear_size(C, d[k]), 30 + k), array(n * 4), array(n * 4)};
    }
    return s;
}

/* The task's step, which takes all gradients in one pass over the features, has the bits of its parts one after the
 * other, for any number of threads. */
Test(cpu, the_tasks_step_has_the_bits_of_its_parts, .timeout = 120) {
    /* Gradients of 63 classes are in 16 groups with 768 features, and in 32 with 512: one pass cannot take both. */
    static const struct {
        int64_t C, d[STEP_SPACES];
        int threads; /* most that are tried */
    } shapes[] = {{2, {41, 150}, 3},   {10, {41, 150}, 3},  {37, {41, 150}, 3},
                  {100, {41, 150}, 3}, {63, {512, 768}, 1}, {0}};
    const char *sets[CPU_MAX_SETS + 1];
    cpu_instruction_sets(sets);
    for (int set = 0; sets[set]; set++)
        for (int i = 0; shapes[i].C; i++)
            for (int threads = 1; threads <= shapes[i].threads; threads++) {
                const int64_t C = shapes[i].C, *d = shapes[i].d;
                Ops ops;
                Queue *q;
                Error err;
                setenv("TURTLE_ISA", sets[set], 1);
                ASSERT_OK(ops_open(&ops, "cpu", threads, NULL, &err), err);
                ASSERT_OK(ops.mem.queue_open(ops.device, &q, &err), err);
                const TrainOps *t = &ops.train;
                void *work =
                    scratch(most(t->scratch_bytes(DTYPE_F32, STEP_SPACES, STEP_B, C, d[0], d[1]),
                                 t->scratch_bytes(DTYPE_F16, STEP_SPACES, STEP_B, C, d[0], d[1])));
                OneStep at_once = one_step(C, d, work), parts = one_step(C, d, work);
                const TaskSteps *s = &parts.tasks;
                t->task_step(q, &at_once.tasks, &at_once.heads);
                t->label_grad(q, s->loss, s->Y, &parts.heads);
                for (int k = 0; k < STEP_SPACES; k++) {
                    const TaskSpace *space = &s->space[k];
                    float *P = s->P + k * STEP_B * C, *grad = array(task_size(C, space->Z.d) * 4);
                    t->task_grad(q, P, s->Y, s->P_bar + k * C, STEP_SPACES, s->gamma, STEP_B, C,
                                 work);
                    t->linear_grad(q, grad, P, &space->Z, STEP_B, C, work);
                    t->weight_norm_grad(q, grad, grad, space->task, C, space->Z.d);
                    t->adam(q, space->task, grad, space->m1, space->m2, task_size(C, space->Z.d),
                            s->lr, s->step);
                }
                ASSERT_OK(ops.mem.wait(q, &err), err);
                cr_expect(!memcmp(at_once.tasks.loss, s->loss, STEP_SPACES * 4), "%s, C %d: loss",
                          sets[set], (int)C);
                for (int k = 0; k < STEP_SPACES; k++)
                    cr_expect(!memcmp(at_once.tasks.space[k].task, s->space[k].task,
                                      (size_t)(task_size(C, s->space[k].Z.d) * 4)),
                              "%s, C %d, %d threads: task of space %d", sets[set], (int)C, threads,
                              k);
                ops.mem.queue_close(q);
                ops_close(&ops);
                free_arrays();
            }
}

/* An iteration at once, whose first inner step reads samples as they arrive, has the bits of its operations one after
 * the other, for any number of threads, and so have its batches. The first space is large enough to be written past
 * the caches, and its rows end within a vector. */
Test(cpu, an_iteration_at_once_has_the_bits_of_its_operations, .timeout = 300) {
    enum { N = 900 };
    static const int64_t d[STEP_SPACES] = {1100, 41};
    static const struct {
        int64_t C, B, M;
        bool prior, there;                          /* there: the batch is gathered already */
    } shapes[] = {{10, STEP_B - 1, 2, true, false}, /* no whole tiles of rows */
                  {10, STEP_B, 2, true, false},
                  {5, STEP_B, 1, false, false},
                  {48, STEP_B, 2, false, false},
                  {7, STEP_B, 1, true, true},
                  {2, STEP_B, 0, false, false},
                  {63, STEP_B, 1, false, false},
                  /* strips of classes, and some behind them or none */
                  {100, STEP_B, 1, true, false},
                  {65, STEP_B, 0, false, false},
                  {140, STEP_B, 0, false, true},
                  {64, STEP_B, 0, false, false},
                  {0}};
    const char *sets[CPU_MAX_SETS + 1];
    cpu_instruction_sets(sets);
    for (int set = 0; sets[set]; set++)
        for (int i = 0; shapes[i].C; i++) {
            const int64_t C = shapes[i].C, B = shapes[i].B;
            int64_t *rows = counting(0, STEP_B), bytes = 0;
            Features from[STEP_SPACES];
            Ops ops;
            Queue *q;
            Error err;
            setenv("TURTLE_ISA", sets[set], 1);
            ASSERT_OK(ops_open(&ops, "cpu", 2 - i % 2, NULL, &err), err);
            const TrainOps *t = &ops.train;
            if (!t->iteration) {
                ops_close(&ops);
                break;
            }
            ASSERT_OK(ops.mem.queue_open(ops.device, &q, &err), err);
            for (int half = 0; half < 2; half++)
                bytes = most(bytes, t->scratch_bytes(half ? DTYPE_F16 : DTYPE_F32, STEP_SPACES,
                                                     STEP_B, C, d[1], d[0]));
            OneStep both = one_step(C, d, scratch(bytes)), apart = one_step(C, d, scratch(bytes));
            const float *prior = shapes[i].prior ? probabilities(1, C, 8) : NULL;
            for (int64_t b = 0; b < STEP_B; b++) rows[b] = b * 7 % N;
            for (int k = 0; k < STEP_SPACES; k++) {
                Batch *Z[] = {&both.tasks.space[k].Z, &apart.tasks.space[k].Z};
                const int64_t all = STEP_B * Z[0]->row * dtype_bytes(Z[0]->type);
                float *x = numbers(N * d[k], 40 + k);
                uint16_t *halves = array(N * d[k] * 2);
                for (int64_t j = 0; j < N * d[k]; j++) halves[j] = f16_from_f32(x[j]);
                from[k] = (Features){k ? (void *)halves : x, N, d[k], Z[0]->type, false};
                for (int j = 0; j < 2; j++) {
                    Z[j]->data = scratch(all);
                    memset(Z[j]->data, 0, (size_t)all);
                }
                both.heads.space[k].Z = both.tasks.space[k].Z;
                apart.heads.space[k].Z = apart.tasks.space[k].Z;
            }
            both.tasks.B = apart.tasks.B = both.heads.B = apart.heads.B = B;
            both.heads.M = apart.heads.M = shapes[i].M;
            both.heads.losses = array(8);
            apart.heads.losses = array(8);
            for (int k = 0; k < STEP_SPACES; k++)
                ops.matrix.gather(q, &apart.tasks.space[k].Z, &from[k], rows, B);
            t->task_labels(q, &apart.tasks);
            if (prior) t->prior_ratio(q, apart.tasks.P_bar, prior, STEP_SPACES, C);
            t->inner_steps(q, &apart.heads);
            t->task_step(q, &apart.tasks, &apart.heads);
            for (int k = 0; shapes[i].there && k < STEP_SPACES; k++)
                ops.matrix.gather(q, &both.tasks.space[k].Z, &from[k], rows, B);
            const bool there = shapes[i].there;
            t->iteration(q, &both.tasks, &both.heads, there ? NULL : from, there ? NULL : rows,
                         prior);
            ASSERT_OK(ops.mem.wait(q, &err), err);
            for (int k = 0; k < STEP_SPACES; k++) {
                const TaskSpace *one = &both.tasks.space[k], *other = &apart.tasks.space[k];
                cr_expect(!memcmp(one->Z.data, other->Z.data,
                                  (size_t)(B * one->Z.row * dtype_bytes(one->Z.type))),
                          "%s, C %d: batch of space %d", sets[set], (int)C, k);
                cr_expect(!memcmp(one->task, other->task, (size_t)(task_size(C, one->Z.d) * 4)) &&
                              !memcmp(one->m2, other->m2, (size_t)(task_size(C, one->Z.d) * 4)),
                          "%s, C %d: task of space %d", sets[set], (int)C, k);
                cr_expect(!memcmp(both.heads.space[k].head, apart.heads.space[k].head,
                                  (size_t)(linear_size(C, one->Z.d) * 4)),
                          "%s, C %d: head of space %d", sets[set], (int)C, k);
            }
            const TaskSteps *one = &both.tasks, *other = &apart.tasks;
            cr_expect(!memcmp(one->P_bar, other->P_bar, (size_t)(STEP_SPACES * C * 4)));
            cr_expect(!memcmp(one->entropy, other->entropy, STEP_SPACES * 4));
            cr_expect(!memcmp(one->loss, other->loss, STEP_SPACES * 4));
            cr_expect(!memcmp(both.heads.losses, apart.heads.losses, (size_t)(shapes[i].M * 4)));
            rows[B - 1] = N;
            t->iteration(q, &both.tasks, &both.heads, from, rows, prior);
            cr_expect(ops.mem.wait(q, &err) == ERR_ARG && strstr(err.text, "gather"));
            ops.mem.queue_close(q);
            ops_close(&ops);
            free_arrays();
        }
}

/* --- devices ---------------------------------------------------------------------------------- */

Test(cpu, devices_are_had_or_refused) {
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
