/* encode_test.c - every encoder operation of every instruction set against the plain reference, at
 * ragged shapes; the reference itself is judged by the recorded encoders (encoder_test.c). */
#include "kernels/cpu/gemm/vec_math.h"
#include "tests/support/narrow.h"

/* B images or rows, C output channels, d inputs; K means something else in each test. */
static const Shape shapes[] = {{1, 1, 1, 0},    {1, 3, 5, 1},     {5, 17, 16, 2},   {13, 16, 33, 3},
                               {95, 33, 64, 4}, {97, 129, 70, 5}, {200, 48, 259, 6}};

/* Products err as in ops_test.c, by 4 sqrt(depth) u with depth up to 2331. Elementwise operations have an exp
 * (2 ulp), a polynomial and a division: under 16 u. */
#define PRODUCT_LIMIT 1.2e-5
#define ELEMENT_LIMIT 1e-6

static void judge(const char *name, Operation *operation, double limit) {
    judge_at(name, operation, shapes, sizeof shapes / sizeof *shapes, limit);
}

static void *encode_scratch(const Ops *ops, int64_t depth, int64_t keys) {
    return scratch(ops->encode.scratch_bytes(ops->device, depth, keys));
}

/* --- weights ---------------------------------------------------------------------------------- */

static uint16_t f16_of(float x) { /* serves normal numbers, and truncates */
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const int exponent = (int)(bits >> 23 & 255) - 127 + 15;
    if (exponent < 1) return (uint16_t)(bits >> 16 & 0x8000);
    return (uint16_t)((bits >> 16 & 0x8000) | (uint32_t)exponent << 10 | (bits >> 13 & 1023));
}

/* Precision of products. */
static const char *const precisions[] = {"fp32", "fp16", "bf16"};

/* Returns random weights of any type, one byte off every alignment. */
static Weight random_weight(int64_t out, int64_t in, int64_t taps, DType type, bool transposed) {
    const int64_t n = out * in * taps;
    float *x = numbers(n, 2);
    uint8_t *bytes = malloc((size_t)(n * dtype_bytes(type) + 1));
    for (int64_t i = 0; i < n; i++) {
        const double wide = x[i];
        const uint16_t half = f16_of(x[i]);
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        const uint16_t brain = (uint16_t)(bits >> 16);
        const void *from = type == DTYPE_F16    ? (const void *)&half
                           : type == DTYPE_BF16 ? (const void *)&brain
                           : type == DTYPE_F32  ? (const void *)(x + i)
                                                : (const void *)&wide;
        memcpy(bytes + 1 + i * dtype_bytes(type), from, (size_t)dtype_bytes(type));
    }
    if (transposed) return (Weight){bytes + 1, type, out, in, 1, 1, out, 1, precision, NULL};
    return (Weight){bytes + 1, type, out, in, taps, in * taps, taps, 1, precision, NULL};
}

/* Lays the weight out if the backend wants that. */
static void pack(const Ops *ops, Queue *q, Weight *w) {
    const int64_t bytes = ops->encode.pack_bytes(w);
    if (bytes == 0) return;
    void *packed = scratch(bytes);
    cr_assert(ops->encode.pack(q, packed, w) == OK);
    w->packed = packed;
}

static void free_weight(Weight *w) {
    free((uint8_t *)w->data - 1);
}

static Epilogue random_epilogue(int64_t out, int64_t kind) {
    return (Epilogue){.scale = kind % 2 ? numbers(out, 3) : NULL,
                      .bias = kind % 3 ? numbers(out, 4) : NULL,
                      .add = kind % 4 == 1,
                      .activation = (Activation)(kind % 6)};
}

/* SwiGLU: one product is the gate, silu(a), that another one is multiplied by while it is finished. */
static void run_gate(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    enum { GAP = 5 };
    const int64_t rows = s.B * 3, gate_row = s.C + GAP;
    float *in = numbers(rows * s.d, 1);
    void *work = encode_scratch(ops, s.d, 1);
    Weight w = random_weight(s.C, s.d, 1, DTYPE_F32, false);
    const float *bias = numbers(s.C, 4);
    float *gate = output(o, rows * gate_row, numbers(rows * gate_row, 5));
    ops->encode.linear(q, matrix_f32(gate, gate_row), matrix_f32(in, s.d), &w,
                       &(Epilogue){.bias = bias, .activation = ACT_SILU}, rows, work);
    for (int v = 0; v < 2; v++)
        ops->encode.linear(
            q, matrix_f32(output(o, rows * s.C, NULL), s.C), matrix_f32(in, s.d), &w,
            &(Epilogue){.bias = v ? bias : NULL, .times = matrix_f32(gate, gate_row)}, rows, work);
    free_weight(&w);
}

Test(encode, gate, .timeout = 60) {
    judge("gate", run_gate, 3 * PRODUCT_LIMIT);
}

/* --- products --------------------------------------------------------------------------------- */

static void run_linear(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    static const DType types[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_F64};
    enum { GAP = 3 }; /* rows lie further apart than they are long */
    const int64_t rows = s.B * 3, in_row = s.d + GAP, out_row = s.C + GAP;
    float *in = numbers(rows * in_row, 1), *before = numbers(rows * out_row, 5);
    void *work = encode_scratch(ops, s.d, 1);
    for (int64_t v = 0; v < 5; v++) {
        Weight w = random_weight(s.C, s.d, 1, types[v % 4], v == 1);
        Epilogue e = random_epilogue(s.C, v + s.K);
        if (v != 2) pack(ops, q, &w);
        ops->encode.linear(q, matrix_f32(output(o, rows * out_row, before), out_row),
                           matrix_f32(in, in_row), &w, &e, rows, work);
        free_weight(&w);
    }
}

Test(encode, linear, .timeout = 120) {
    for (precision = 0; precision <= PRECISION_BF16; precision++)
        judge(precisions[precision], run_linear, PRODUCT_LIMIT);
}

static void run_conv(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    static const int64_t kernels[][3] = {{1, 1, 0}, {3, 1, 1}, {3, 2, 1}, {4, 4, 0}, {7, 3, 2}};
    const int64_t B = s.B % 3 + 1, in = s.d % 20 + 1;
    for (int64_t v = 0; v < 5; v++) {
        const int64_t kernel = kernels[v][0];
        const Window window = {
            8 + s.K, 9, kernel, kernels[v][1], kernels[v][2], v == 1 ? 11000 * s.C / 33 + 9000 : 0};
        const int64_t pixels =
                          window_out(window.height, &window) * window_out(window.width, &window),
                      image = window.out_image ? window.out_image : pixels * s.C,
                      n = (B - 1) * image + pixels * s.C;
        float *x = numbers(B * window.height * window.width * in, 1), *before = numbers(n, 5);
        void *work = encode_scratch(ops, in * kernel * kernel, 1);
        Weight w = random_weight(s.C, in, kernel * kernel, v == 2 ? DTYPE_F16 : DTYPE_F32, false);
        Epilogue e = random_epilogue(s.C, v + s.K);
        cr_assert(image >= pixels * s.C);
        if (v != 3) pack(ops, q, &w);
        ops->encode.conv2d(q, matrix_f32(output(o, n, before), s.C), matrix_f32(x, in), &w, &window,
                           &e, B, work);
        free_weight(&w);
    }
}

Test(encode, conv2d, .timeout = 120) {
    for (precision = 0; precision <= PRECISION_BF16; precision++)
        judge(precisions[precision], run_conv, PRODUCT_LIMIT);
}

/* 3 x 3 convolutions over many channels, of even and odd sides, in tiles that are not whole; the second is
 * wider than a block of channels. */
static void run_wide_conv(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    static const int64_t sizes[][4] = {{7, 7, 64, 96}, {2, 9, 288, 320}, {12, 5, 32, 32}};
    const int64_t B = s.B % 4 + 2;
    for (int64_t v = 0; v < 3; v++) {
        const int64_t in = sizes[v][2], out = sizes[v][3];
        const Window window = {sizes[v][0], sizes[v][1], 3, 1, 1, 0};
        const int64_t pixels = B * window.height * window.width;
        float *x = numbers(pixels * in, 1), *before = numbers(pixels * out, 5);
        void *work = encode_scratch(ops, 9 * in, 1);
        Weight w = random_weight(out, in, 9, v == 2 ? DTYPE_F16 : DTYPE_F32, false);
        Epilogue e = random_epilogue(out, v + s.K);
        ops->encode.conv2d(q, matrix_f32(output(o, pixels * out, before), out), matrix_f32(x, in),
                           &w, &window, &e, B, work);
        free_weight(&w);
    }
}

Test(encode, conv2d_of_many_channels, .timeout = 120) {
    precision = PRECISION_FP32;
    judge_at("fp32", run_wide_conv, shapes, 4, PRODUCT_LIMIT);
}

/* Runs a layer with more channels, depth and rows than one block of the product. */
static void run_large_linear(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    const int64_t rows = 150 + s.B % 60, out = 500 + s.C, in = 600 + s.d;
    float *x = numbers(rows * in, 1);
    Weight w = random_weight(out, in, 1, DTYPE_F16, false);
    void *work = encode_scratch(ops, in, 1);
    ops->encode.linear(q, matrix_f32(output(o, rows * out, NULL), out), matrix_f32(x, in), &w,
                       &(Epilogue){0}, rows, work);
    free_weight(&w);
}

Test(encode, linear_beyond_its_blocks, .timeout = 120) {
    for (precision = 0; precision <= PRECISION_BF16; precision++)
        judge_at(precisions[precision], run_large_linear, shapes + 3, 2, PRODUCT_LIMIT);
}

/* Sets without instructions for 16-bit numbers multiply in float32. Products of two bfloat16 or float16 are
 * exact there, so sums in one order have the same bits on all of them. */
static void expect_equal_bits(Operation *operation, Precision of) {
    precision = of;
    Outputs first = run_operation(operation, "portable", 0, shapes[3]);
    for (const char *const *set = test_backends(); *set; set++) {
        const bool own = !strncmp(*set, "amx", 3) || !strcmp(*set, "avx512bf16");
        if (!strcmp(*set, "reference") || (own && precision == PRECISION_BF16)) continue;
        Outputs found = run_operation(operation, *set, 0, shapes[3]);
        cr_expect(!memcmp(found.data[0], first.data[0], (size_t)first.count[0] * 4), "%s %s", *set,
                  precisions[precision]);
        free_outputs(&found);
    }
    free_outputs(&first);
}

Test(encode, products_of_16_bits_agree_to_the_bit, .timeout = 60) {
    expect_equal_bits(run_large_linear, PRECISION_FP16);
    expect_equal_bits(run_large_linear, PRECISION_BF16);
}

/* --- attention -------------------------------------------------------------------------------- */

static int64_t width = HEAD_DIM; /* width of a head */

static void run_attention(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    const int64_t B = s.K % 3 + 1, T = s.B, heads = s.K % 2 + 1, d = heads * width, row = 3 * d;
    float *qkv = numbers(B * T * row, 1);
    for (int64_t i = 0; i < B * T * row; i++) qkv[i] *= 3.0f; /* scores up to about 20 */
    void *work = encode_scratch(ops, 1, T);
    const Tokens query = {qkv, T * row, row, PRECISION_FP32},
                 key = {qkv + d, T * row, row, PRECISION_FP32},
                 value = {qkv + 2 * d, T * row, row, PRECISION_FP32};
    ops->encode.attention(q, (Tokens){output(o, B * T * d, NULL), T * d, d, PRECISION_FP32}, query,
                          key, value, B, T, T, heads, width, false, NULL, work);
    ops->encode.attention(q, (Tokens){output(o, B * T * d, NULL), T * d, d, PRECISION_FP32}, query,
                          key, value, B, T, T, heads, width, true, NULL, work);
    ops->encode.attention(q, (Tokens){output(o, B * d, NULL), d, d, PRECISION_FP32}, query, key,
                          value, B, 1, T, heads, width, false, NULL, work);
}

/* A score is a sum of 64 products up to 9, so its error is at most 64 u x 20 = 8e-5 in the worst
 * case and a tenth of that in norm; exp passes it on. */
Test(encode, attention, .timeout = 120) {
    judge("attention", run_attention, 8e-6);
}

/* Widths around the strips of every instruction set: 8, 16 and 64 columns, and between them. A sum of
 * 128 products has twice the error of one of 64. */
Test(encode, attention_of_any_head_width, .timeout = 120) {
    static const int64_t odd[] = {1, 2, 3, 5, 7, 9, 15, 17, 30, 33, 47, 60, 63, 65, 90, 101, 127};
    for (width = 8; width <= MAX_HEAD_DIM; width += 8)
        judge_at("attention", run_attention, shapes + 2, 3, 16e-6);
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        width = odd[i];
        judge_at("attention", run_attention, shapes + 2, 3, 16e-6);
    }
}

/* One query for all images, which begins every image again at the same place. */
static void run_shared_query(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    const int64_t B = s.K % 3 + 2, T = s.B, heads = s.K % 2 + 1, d = heads * width;
    float *query = numbers(d, 1), *kv = numbers(B * T * 2 * d, 2);
    void *work = encode_scratch(ops, 1, T);
    ops->encode.attention(q, (Tokens){output(o, B * d, NULL), d, d, PRECISION_FP32},
                          (Tokens){query, 0, d, PRECISION_FP32},
                          (Tokens){kv, T * 2 * d, 2 * d, PRECISION_FP32},
                          (Tokens){kv + d, T * 2 * d, 2 * d, PRECISION_FP32}, B, 1, T, heads, width,
                          false, NULL, work);
}

Test(encode, attention_of_a_shared_query, .timeout = 60) {
    for (width = 64; width <= 72; width += 8)
        judge_at("attention", run_shared_query, shapes + 2, 3, 8e-6);
}

/* Tokens before rope->first keep their queries and keys; the others turn by angles of their own. */
static void run_rotated_attention(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    const int64_t B = s.K % 3 + 1, T = s.B, heads = s.K % 2 + 1, d = heads * width, row = 3 * d;
    const int64_t first = s.K % 6 < T ? s.K % 6 : T, n = (T - first) * width / 2;
    float *qkv = numbers(B * T * row, 1), *angle = numbers(n + 1, 6), *cosine = numbers(n + 1, 7);
    for (int64_t i = 0; i < n; i++) {
        cosine[i] = cosf(6.0f * angle[i]);
        angle[i] = sinf(6.0f * angle[i]);
    }
    void *work = encode_scratch(ops, 1, T);
    const Rope rope = {cosine, angle, first};
    const Tokens query = {qkv, T * row, row, PRECISION_FP32},
                 key = {qkv + d, T * row, row, PRECISION_FP32},
                 value = {qkv + 2 * d, T * row, row, PRECISION_FP32};
    for (int64_t queries = 1; queries <= T; queries += T > 1 ? T - 1 : 1)
        ops->encode.attention(
            q, (Tokens){output(o, B * queries * d, NULL), queries * d, d, PRECISION_FP32}, query,
            key, value, B, queries, T, heads, width, false, &rope, work);
}

Test(encode, attention_with_rotary_positions, .timeout = 120) {
    static const int64_t widths[] = {2, 24, 64, 70, 128};
    for (int i = 0; i < 5; i++) {
        width = widths[i];
        judge("rotated attention", run_rotated_attention, 16e-6);
    }
}

/* --- activations of bfloat16 -------------------------------------------------------------------- */

static Matrix narrow_input(const Ops *ops, int64_t n, int64_t row, int stream) {
    return (Matrix){activations(ops, numbers(n, stream), n), row, type_on(ops)};
}

/* Layers from and to bfloat16, with a residual and a gate of bfloat16; to float32; from float32. */
static void run_narrow_linear(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    enum { GAP = 3 };
    const int64_t rows = s.B * 3, in_row = s.d + GAP, out_row = s.C + GAP;
    const Matrix in = narrow_input(ops, rows * in_row, in_row, 1),
                 gate = narrow_input(ops, rows * out_row, out_row, 6);
    void *work = encode_scratch(ops, s.d, 1);
    for (int64_t v = 0; v < 4; v++) {
        Weight w = random_weight(s.C, s.d, 1, DTYPE_F32, false);
        Epilogue e = random_epilogue(s.C, v + s.K);
        if (v == 1) e.times = gate;
        if (v != 2) pack(ops, q, &w);
        const Matrix out = e.add ? narrow_input(ops, rows * out_row, out_row, 5)
                                 : (Matrix){unwritten(ops, rows * out_row), out_row, type_on(ops)};
        ops->encode.linear(q, out, in, &w, &e, rows, work);
        if (e.add) /* what lies between rows is not NaN there */
            output_rows(ops, q, o, out.data, rows * out_row, 1, 1);
        else output_rows(ops, q, o, out.data, rows, s.C, out_row);
        ops->encode.linear(q, matrix_f32(output(o, rows * s.C, NULL), s.C), in, &w,
                           &(Epilogue){.bias = e.bias}, rows, work);
        free_weight(&w);
    }
}

static void run_narrow_conv(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    static const int64_t kernels[][3] = {{1, 1, 0}, {3, 1, 1}, {3, 2, 1}, {4, 4, 0}};
    const int64_t B = s.B % 3 + 1, in = s.d % 20 + 1;
    for (int64_t v = 0; v < 4; v++) {
        const int64_t kernel = kernels[v][0];
        const Window window = {8 + s.K, 9, kernel, kernels[v][1], kernels[v][2], 0};
        const int64_t pixels =
            B * window_out(window.height, &window) * window_out(window.width, &window);
        const Matrix x = narrow_input(ops, B * window.height * window.width * in, in, 1),
                     out = {unwritten(ops, pixels * s.C), s.C, type_on(ops)};
        void *work = encode_scratch(ops, in * kernel * kernel, 1);
        Weight w = random_weight(s.C, in, kernel * kernel, DTYPE_F32, false);
        const Epilogue e = {.bias = numbers(s.C, 4), .activation = ACT_RELU};
        if (v % 2) pack(ops, q, &w);
        ops->encode.conv2d(q, out, x, &w, &window, &e, B, work);
        output_rows(ops, q, o, out.data, pixels, s.C, s.C);
        free_weight(&w);
    }
}

/* 3 x 3 convolutions whose weight is packed for fewer multiplications, of even and odd sides; the same weight with
 * stride 2, for which it is not packed. */
static void run_narrow_wide_conv(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    static const int64_t sizes[][4] = {{7, 7, 64, 96}, {2, 9, 288, 320}, {12, 5, 32, 32}};
    const int64_t B = s.B % 4 + 2;
    for (int64_t v = 0; v < 3; v++) {
        const int64_t in = sizes[v][2], channels = sizes[v][3];
        for (int64_t stride = 1; stride <= 2; stride++) {
            const Window window = {sizes[v][0], sizes[v][1], 3, stride, 1, 0};
            const int64_t pixels =
                B * window_out(window.height, &window) * window_out(window.width, &window);
            Weight w = random_weight(channels, in, 9, v == 2 ? DTYPE_F16 : DTYPE_F32, false);
            Epilogue e = random_epilogue(channels, v + s.K);
            pack(ops, q, &w);
            const Matrix x = narrow_input(ops, B * window.height * window.width * in, in, 1),
                         out = narrow_input(ops, pixels * channels, channels, 5);
            ops->encode.conv2d(q, out, x, &w, &window, &e, B, encode_scratch(ops, 9 * in, 1));
            output_rows(ops, q, o, out.data, pixels, channels, channels);
            free_weight(&w);
        }
    }
}

/* Each of 16 products has two roundings, by 0.58 u of it in norm, u = 2^-8. Their sum's variance is 25/9 of the
 * convolution's: it errs by 5/3 of 0.82 u. The reference rounds the weight elsewhere, and the output is rounded, by
 * 0.58 u each: 1.6 u in norm. */
Test(encode, conv2d_of_many_channels_in_bfloat16, .timeout = 120) {
    precision = PRECISION_BF16;
    judge_at("bf16", run_narrow_wide_conv, shapes, 4, 2 * 0x1p-8);
}

/* To and from float32, with nothing behind the sums. */
static void run_plain_wide_conv(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    const Window window = {9, 6 + s.K, 3, 1, 1, 0};
    const int64_t pixels = 2 * window.height * window.width;
    Weight w = random_weight(96, 64, 9, DTYPE_F32, false);
    pack(ops, q, &w);
    ops->encode.conv2d(q, matrix_f32(output(o, pixels * 96, NULL), 96),
                       matrix_f32(numbers(pixels * 64, 1), 64), &w, &window, &(Epilogue){0}, 2,
                       encode_scratch(ops, 9 * 64, 1));
    free_weight(&w);
}

/* The transformations only add and halve. */
Test(encode, conv2d_of_16_bits_agrees_to_the_bit, .timeout = 60) {
    expect_equal_bits(run_plain_wide_conv, PRECISION_BF16);
}

/* The tokens' small operations; a norm from float32. */
static void run_narrow_tokens(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    const int64_t B = s.B % 4 + 1, n = s.C, d = s.d, side = 6 + s.K;
    const Precision type = type_on(ops);
    void *pooled = unwritten(ops, B * (n + 1) * d), *normed = unwritten(ops, B * n * (d + 1));
    ops->encode.pool_tokens(q, (Matrix){pooled, d, type}, narrow_input(ops, B * n * d, d, 1),
                            numbers((n + 1) * d, 3), B, n, d);
    output_rows(ops, q, o, pooled, B * (n + 1), d, d);
    ops->encode.layer_norm(q, (Matrix){normed, d + 1, type}, numbers(B * n * d, 4), d,
                           numbers(d, 5), numbers(d, 6), 1e-5, B * n, d);
    output_rows(ops, q, o, normed, B * n, d, d + 1);
    for (int64_t k = 1; k <= 3; k++) {
        const int64_t pixels = B * (side / k) * ((side + 3) / k);
        void *to = unwritten(ops, pixels * d);
        ops->encode.avg_pool(q, (Matrix){to, d, type},
                             narrow_input(ops, B * side * (side + 3) * d, d, 7), B, side, side + 3,
                             d, k);
        output_rows(ops, q, o, to, pixels, d, d);
    }
}

/* An output is rounded once, by u = 2^-8 of itself at most and by 0.58 u in norm; its sum errs as in float32. */
Test(encode, activations_of_bfloat16, .timeout = 120) {
    precision = PRECISION_BF16;
    judge("linear", run_narrow_linear, 0x1p-8);
    judge("conv2d", run_narrow_conv, 0x1p-8);
    judge("tokens", run_narrow_tokens, 0x1p-8);
}

/* Plain, causal, and one query over all; with `rotated` tokens from the second on. */
static bool rotated;
static void run_narrow_attention(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    const int64_t B = s.K % 3 + 1, T = s.B, heads = s.K % 2 + 1, d = heads * width, row = 3 * d,
                  first = T > 1, turned = (T - first) * (width / 2);
    float *cosine = numbers(turned + 1, 6), *sine = numbers(turned + 1, 7);
    for (int64_t i = 0; i < turned; i++) {
        const float angle = 6.0f * sine[i];
        cosine[i] = cosf(angle);
        sine[i] = sinf(angle);
    }
    const Rope rope = {cosine, sine, first};
    const Matrix qkv = narrow_input(ops, B * T * row, row, 1);
    const int64_t bytes = precision_bytes(qkv.type);
    uint8_t *data = qkv.data;
    const Tokens query = {data, T * row, row, qkv.type},
                 key = {data + d * bytes, T * row, row, qkv.type},
                 value = {data + 2 * d * bytes, T * row, row, qkv.type};
    void *work = encode_scratch(ops, 1, T);
    for (int v = 0; v < 3; v++) {
        const int64_t queries = v == 2 ? 1 : T;
        void *out = unwritten(ops, B * queries * d);
        ops->encode.attention(q, (Tokens){out, queries * d, d, qkv.type}, query, key, value, B,
                              queries, T, heads, width, v == 1, rotated ? &rope : NULL, work);
        output_rows(ops, q, o, out, B * queries, d, d);
    }
}

/* exp(x - max) and the output are rounded, by 0.58 u in norm each, u = 2^-8. Roundings of the terms of a mean do not
 * cancel where the mean does, nor do they add up: their norm is that of the mean of random values. Rotated queries and
 * keys are rounded as well: a score of `width` products below 1 / sqrt(width) errs by 0.3 u, exp passes it on. */
Test(encode, attention_of_bfloat16, .timeout = 120) {
    static const int64_t widths[] = {1, 8, 30, 33, 64, 72, 96, 128};
    precision = PRECISION_BF16;
    for (size_t i = 0; i < 2 * sizeof widths / sizeof *widths; i++) {
        width = widths[i / 2];
        rotated = i % 2;
        if (!rotated || width % 2 == 0) judge("attention", run_narrow_attention, 2 * 0x1p-8);
    }
}

/* Widths that no head may have are refused, and nothing is written. */
Test(encode, attention_refuses_other_widths) {
    static const int64_t widths[] = {0, -1, -8, 129, 132, 136};
    Ops ops;
    Error err;
    Queue *q;
    ASSERT_OK(ops_open(&ops, "cpu", 1, NULL, &err), err);
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        float x[4 * 136] = {0}, out[136];
        for (int j = 0; j < 136; j++) out[j] = 7.0f;
        ASSERT_OK(ops.mem.queue_open(ops.device, &q, &err), err);
        const Tokens t = {x, 136, 136, PRECISION_FP32};
        cr_expect(ops.encode.attention(q, (Tokens){out, 136, 136, PRECISION_FP32}, t, t, t, 1, 1, 1,
                                       1, widths[i], false, NULL, x) == ERR_ARG,
                  "width %d", (int)widths[i]);
        for (int j = 0; j < 136; j++) cr_assert(out[j] == 7.0f);
        ops.mem.queue_close(q);
    }
    ops_close(&ops);
}

/* --- the rest --------------------------------------------------------------------------------- */

static void run_norms(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    const int64_t rows = s.B, d = s.C + 1, row = d + 5;
    float *x = numbers(rows * row, 1), *weight = numbers(d, 2), *bias = numbers(d, 3);
    ops->encode.layer_norm(q, matrix_f32(output(o, rows * d, NULL), d), x, row, weight, bias, 1e-5,
                           rows, d);
    ops->encode.normalize(q, output(o, rows * d, x), rows, d);
}

/* Two numbers can lie so close that their variance is eps's size; the quotient then magnifies the
 * rounding of their difference, here at most eightfold. */
Test(encode, norms, .timeout = 60) {
    judge("norms", run_norms, 8 * ELEMENT_LIMIT);
}

static void run_tokens(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    const int64_t B = s.B % 7 + 1, n = s.C, d = s.d, prefix = 1 + s.K;
    float *x = numbers(B * (prefix + n) * d, 1), *first = numbers(prefix * d, 2),
          *position = numbers((n + 1) * d, 3);
    Weight table = random_weight(50, d, 1, DTYPE_F16, false);
    int32_t ids[7 * 9];
    for (int i = 0; i < 63; i++) ids[i] = i * 31 % 50;
    ops->encode.add_tokens(q, output(o, B * (prefix + n) * d, x), first, prefix, position, B, n, d);
    ops->encode.add_tokens(q, output(o, B * (prefix + n) * d, x), first, prefix, NULL, B, n, d);
    ops->encode.add_tokens(q, output(o, B * n * d, x), NULL, 0, position, B, n, d);
    ops->encode.pool_tokens(q, matrix_f32(output(o, B * (n + 1) * d, NULL), d), matrix_f32(x, d),
                            position, B, n, d);
    ops->encode.mean_tokens(q, output(o, B * d, NULL), d, x, B, prefix + n, prefix, n, d);
    if (n >= 8) ops->encode.embed(q, output(o, B * 9 * d, NULL), ids, &table, position, B, 9);
    free_weight(&table);
}

Test(encode, tokens, .timeout = 60) {
    judge("tokens", run_tokens, 4 * ELEMENT_LIMIT);
}

static void run_images(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    const int64_t B = s.B % 4 + 1, side = 6 + s.K;
    float *x = numbers(B * side * (side + 3) * s.d, 1);
    uint8_t *bytes = malloc((size_t)(B * side * side * 3));
    for (int64_t i = 0; i < B * side * side * 3; i++) bytes[i] = (uint8_t)(i * 37);
    const float mean[3] = {0.1f, 0.5f, 0.9f}, std[3] = {0.2f, 0.3f, 0.4f};
    for (int64_t k = 1; k <= 4; k++)
        ops->encode.avg_pool(
            q, matrix_f32(output(o, B * (side / k) * ((side + 3) / k) * s.d, NULL), s.d),
            matrix_f32(x, s.d), B, side, side + 3, s.d, k);
    ops->encode.pixels(q, output(o, B * side * side * 3, NULL), bytes, mean, std, B, side);
    free(bytes);
}

Test(encode, images, .timeout = 60) {
    judge("images", run_images, ELEMENT_LIMIT);
}

/* --- elementary functions --------------------------------------------------------------------- */

/* The tail is at most 1/2 and carries exp (2 ulp), the square under it, nine multiply-adds and two
 * roundings of t: 10 u relative, 5 u = 3e-7 in all. */
Test(encode, normal_distribution_function) {
    double worst = 0.0;
    for (int i = -160000; i <= 160000; i++) {
        const float x = (float)i * 1e-4f;
        const double error = fabs(normal_cdf_f32(x) - 0.5 * erfc(-(double)x / sqrt(2.0)));
        if (!(error <= worst)) worst = error;
    }
    EXPECT_CLOSE(worst, 3e-7, "normal_cdf_f32");
    cr_expect(isnan(normal_cdf_f32(NAN)) && isnan(sigmoid_f32(NAN)));
    cr_expect(normal_cdf_f32(INFINITY) == 1.0f && sigmoid_f32(INFINITY) == 1.0f);
    cr_expect(normal_cdf_f32(-40.0f) == 0.0f && sigmoid_f32(-200.0f) < 1e-38f);
}

/* --- what cannot be served -------------------------------------------------------------------- */

Test(encode, impossible_arguments_fail_the_queue) {
    Ops ops;
    Queue *q;
    Error err;
    float x[64 * 3] = {0};
    const float values[4] = {0};
    char work[1 << 16];
    const Weight w = {values, DTYPE_F32, 2, 2, 1, 2, 1, 1, PRECISION_FP32, NULL},
                 ints = {values, DTYPE_I32, 2, 2, 1, 2, 1, 1, PRECISION_FP32, NULL};
    ASSERT_OK(ops_open(&ops, "cpu", 1, NULL, &err), err);
    ASSERT_OK(ops.mem.queue_open(ops.device, &q, &err), err);
    const Epilogue none = {0};
    const Window big = {1, 1, 2, 1, 0, 0};
    const Weight kernel = {values, DTYPE_F32, 1, 1, 4, 4, 4, 1, PRECISION_FP32, NULL};
    const int32_t ids[1] = {2};
    Status found[] = {
        ops.encode.linear(q, matrix_f32(x, 2), matrix_f32(x, 2), &ints, &none, 1, work),
        ops.mem.wait(q, &err),
        ops.encode.linear(q, matrix_f32(x, 1), matrix_f32(x, 2), &w, &none, 1, work),
        ops.mem.wait(q, &err),
        ops.encode.conv2d(q, matrix_f32(x, 1), matrix_f32(x, 1), &kernel, &big, &none, 1, work),
        ops.mem.wait(q, &err),
        ops.encode.layer_norm(q, matrix_f32(x, 2), x, 1, x, x, 1e-5, 1, 2),
        ops.mem.wait(q, &err),
        ops.encode.embed(q, x, ids, &w, x, 1, 1),
        ops.mem.wait(q, &err),
        ops.encode.mean_tokens(q, x, 2, x, 1, 2, 1, 2, 2),
        ops.mem.wait(q, &err),
    };
    for (size_t i = 0; i < sizeof found / sizeof *found; i++)
        cr_expect(found[i] == ERR_ARG, "case %zu: status %d", i, found[i]);
    ops.mem.queue_close(q);
    ops_close(&ops);
}
