/* encode_tokens_test.c - norms, tokens and their means of the CUDA backend beside the plain reference. */
#include "tests/support/narrow.h"

/* Sums of up to 4100 numbers in float32, some lanes of them at a time: under 16 u in the norm. Outputs of 16 bits are
 * rounded once: u of the type. */
static double limit(void) {
    return (precision == PRECISION_FP32 ? 0.0 : unit_of(precision)) + 1e-6;
}

static void judge(const char *name, Operation *operation, const Shape *shapes, size_t count) {
    judge_at(name, operation, shapes, count, limit()); /* every second shape off its alignment */
}

#define COUNT(shapes) (sizeof shapes / sizeof *shapes)
static int64_t gap = 8; /* elements between rows */

/* Rows with a mean a thousand times their deviation: the formula of one pass would lose all digits. */
static void run_layer_norm(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    float *x = numbers(s.B * (s.d + gap), 1), *w = numbers(s.d, 2), *b = numbers(s.d, 3);
    void *out = unwritten(ops, s.B * (s.d + gap));
    for (int64_t i = 0; i < s.B * (s.d + gap); i++) x[i] += s.K ? 1000.0f : 0.0f;
    ops->encode.layer_norm(q, (Matrix){out, s.d + gap, type_on(ops)}, x, s.d + gap, w, b, 1e-6, s.B,
                           s.d);
    output_rows(ops, q, o, out, s.B, s.d, s.d + gap);
}

Test(encode_tokens, layer_norm, .timeout = 120) {
    const Shape shapes[] = {{9, 0, 8, 0},    {3, 0, 8, 0},    {5, 0, 512, 0},  {2, 0, 768, 0},
                            {3, 0, 1024, 0}, {3, 0, 1032, 0}, {2, 0, 2048, 0}, {1, 0, 1100, 0},
                            {2, 0, 4096, 0}, {2, 0, 37, 0},   {1, 0, 4104, 0}};
    for (precision = PRECISION_FP32; precision <= PRECISION_BF16; precision++)
        judge("layer_norm", run_layer_norm, shapes, COUNT(shapes));
    gap = 3;
    precision = PRECISION_FP16;
    judge("layer_norm", run_layer_norm, shapes + 2, 1);
}

/* The mean is rounded in float32, 1000 u, beside a deviation of 1/sqrt(3). */
Test(encode_tokens, layer_norm_of_a_large_mean, .timeout = 60) {
    const Shape shapes[] = {{3, 0, 512, 1}, {2, 0, 100, 1}, {2, 0, 2048, 1}};
    judge_at("layer_norm", run_layer_norm, shapes, COUNT(shapes), 4 * 1732 * 0x1p-24);
}

/* In place: out may be x. */
static void run_norm_in_place(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    float *x = output(o, s.B * s.d, numbers(s.B * s.d, 1));
    ops->encode.layer_norm(q, matrix_f32(x, s.d), x, s.d, numbers(s.d, 2), numbers(s.d, 3), 1e-5,
                           s.B, s.d);
}

Test(encode_tokens, layer_norm_in_place, .timeout = 60) {
    const Shape shapes[] = {{5, 0, 512, 0}, {3, 0, 70, 0}, {3, 0, 2048, 0}};
    judge("layer_norm", run_norm_in_place, shapes, COUNT(shapes));
}

/* Row 6 of 7, and the same row alone, have the same bits. */
Test(encode_tokens, layer_norm_is_the_same_bits_in_any_batch, .timeout = 60) {
    enum { ROWS = 7 };
    for (int64_t d = 256; d <= 4096; d *= 2) {
        Ops ops;
        Queue *q;
        open_backend(&ops, &q, "cuda", 0);
        float *x = numbers(ROWS * d, 1), *w = numbers(d, 2), *b = numbers(d, 3);
        float *all = floats(ROWS * d), *one = floats(d);
        ops.encode.layer_norm(q, matrix_f32(all, d), x, d, w, b, 1e-5, ROWS, d);
        ops.encode.layer_norm(q, matrix_f32(one, d), x + 6 * d, d, w, b, 1e-5, 1, d);
        finish(&ops, q);
        cr_expect(!memcmp(all + 6 * d, one, (size_t)d * 4), "d %d", (int)d);
        close_backend(&ops, q);
        free_arrays();
    }
}

/* --- pixels and tokens ------------------------------------------------------------------------ */

static void run_pixels(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    static const float mean[3] = {0.48f, 0.46f, 0.41f}, std[3] = {0.27f, 0.26f, 0.28f};
    const int64_t n = s.B * s.d * s.d * 3;
    uint8_t *in = array(n);
    for (int64_t i = 0; i < n; i++) in[i] = (uint8_t)(i * 37 + i / 256);
    ops->encode.pixels(q, output(o, n, NULL), in, mean, std, s.B, s.d);
}

/* Each number is rounded as in C: the bits are equal. */
Test(encode_tokens, pixels, .timeout = 60) {
    const Shape shapes[] = {{1, 1, 1, 0}, {3, 1, 15, 0}};
    judge_at("pixels", run_pixels, shapes, 2, 0.0);
}

static void run_add_tokens(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    const int64_t T = s.C + s.K;
    float *x = numbers(s.B * T * s.d, 1), *first = numbers(s.C * s.d + 1, 2);
    for (int positions = 0; positions < 2; positions++)
        ops->encode.add_tokens(q, output(o, s.B * T * s.d, x), s.C ? first : NULL, s.C,
                               positions ? numbers(s.K * s.d, 3) : NULL, s.B, s.K, s.d);
}

Test(encode_tokens, add_tokens, .timeout = 60) {
    const Shape shapes[] = {{2, 1, 40, 9}, {3, 5, 33, 4}, {2, 0, 264, 3}, {1, 0, 8, 1}};
    judge_at("add_tokens", run_add_tokens, shapes, COUNT(shapes), 0.0);
}

static void run_embed(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    float *words = numbers(s.K * s.d, 1);
    const Weight table = {words, DTYPE_F32, s.K, s.d, 1, s.d, 1, 1, PRECISION_FP32, words};
    int32_t *ids = array(s.B * s.C * 4);
    for (int64_t i = 0; i < s.B * s.C; i++) ids[i] = (int32_t)(i * 13 % s.K);
    ops->encode.embed(q, output(o, s.B * s.C * s.d, NULL), ids, &table, numbers(s.C * s.d, 2), s.B,
                      s.C);
}

Test(encode_tokens, embed, .timeout = 60) {
    const Shape shapes[] = {{2, 7, 40, 29}, {1, 3, 33, 5}, {1, 77, 8, 100}};
    judge_at("embed", run_embed, shapes, COUNT(shapes), 0.0);
}

/* Nothing outside the table is read: these tokens become NaN, and the others are right. */
Test(encode_tokens, embed_of_ids_outside_the_table, .timeout = 60) {
    enum { WORDS = 4, T = 5, D = 8 };
    static const int32_t ids[T] = {0, WORDS, -1, INT32_MAX, 3};
    Ops ops;
    Queue *q;
    open_backend(&ops, &q, "cuda", 0);
    float *words = numbers(WORDS * D, 1), *zeros = array(T * D * 4), *out = array(T * D * 4);
    const Weight table = {words, DTYPE_F32, WORDS, D, 1, D, 1, 1, PRECISION_FP32, words};
    ops.encode.embed(q, out, copy_of(ids, sizeof ids), &table, zeros, 1, T);
    finish(&ops, q);
    for (int i = 0; i < T * D; i++) {
        const int32_t id = ids[i / D];
        if (id >= 0 && id < WORDS) cr_expect(out[i] == words[id * D + i % D], "%d", i);
        else cr_expect(isnan(out[i]), "%d", i);
    }
    close_backend(&ops, q);
    free_arrays();
}

/* --- means ------------------------------------------------------------------------------------ */

static void run_pool_tokens(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    const int64_t n = s.K, rows = s.B * (n + 1);
    const Precision type = type_on(ops);
    void *x = activations(ops, numbers(s.B * n * s.d, 1), s.B * n * s.d),
         *out = unwritten(ops, rows * s.d);
    ops->encode.pool_tokens(q, (Matrix){out, s.d, type}, (Matrix){x, s.d, type},
                            numbers((n + 1) * s.d, 2), s.B, n, s.d);
    output_rows(ops, q, o, out, rows, s.d, s.d);
}

Test(encode_tokens, pool_tokens, .timeout = 60) {
    const Shape shapes[] = {{2, 0, 264, 49}, {3, 0, 7, 5}, {1, 0, 32, 1}};
    for (precision = PRECISION_FP32; precision <= PRECISION_BF16; precision++)
        judge("pool_tokens", run_pool_tokens, shapes, COUNT(shapes));
}

static void run_avg_pool(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    const int64_t H = 7, W = 6, n = s.B * H * W * s.C, pixels = s.B * (H / s.K) * (W / s.K);
    const Precision type = type_on(ops);
    void *in = activations(ops, numbers(n, 1), n), *out = unwritten(ops, pixels * s.C);
    ops->encode.avg_pool(q, (Matrix){out, s.C, type}, (Matrix){in, s.C, type}, s.B, H, W, s.C, s.K);
    output_rows(ops, q, o, out, pixels, s.C, s.C);
}

Test(encode_tokens, avg_pool, .timeout = 60) {
    const Shape shapes[] = {{2, 16, 1, 2}, {1, 3, 1, 3}, {2, 8, 1, 6}, {1, 24, 1, 1}};
    for (precision = PRECISION_FP32; precision <= PRECISION_BF16; precision++)
        judge("avg_pool", run_avg_pool, shapes, COUNT(shapes));
}

static void run_mean_tokens(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    const int64_t T = s.C + s.K, row = s.d + 3;
    float *out = output(o, s.B * row, numbers(s.B * row, 2)); /* what lies between rows stays */
    ops->encode.mean_tokens(q, out, row, numbers(s.B * T * s.d, 1), s.B, T, s.C, s.K, s.d);
}

Test(encode_tokens, mean_tokens, .timeout = 60) {
    const Shape shapes[] = {{2, 1, 260, 256}, {3, 0, 5, 7}, {1, 5, 1, 1}};
    judge("mean_tokens", run_mean_tokens, shapes, COUNT(shapes));
}

static void run_normalize(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    ops->encode.normalize(q, output(o, s.B * s.d, numbers(s.B * s.d, 1)), s.B, s.d);
}

Test(encode_tokens, normalize, .timeout = 60) {
    const Shape shapes[] = {{9, 1, 512, 0}, {1, 1, 1, 0}, {3, 1, 1000, 0}};
    judge("normalize", run_normalize, shapes, COUNT(shapes));
}
