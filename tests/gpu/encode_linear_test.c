/* encode_linear_test.c - linear layers and convolutions of the CUDA backend beside the plain reference: every loader of
 * the left operand, precision and epilogue, weights of every type and order in their file. */
#include "tests/support/narrow.h"

#define COUNT(shapes) (sizeof shapes / sizeof *shapes)
static int64_t gap = 8;   /* elements between rows */
static bool residual;     /* out is float32 and added to */
static bool float_input;  /* the input is float32, whatever the precision */
static bool plain = true; /* no scale, bias and gate */
static Activation activation;

/* A sum of n <= 700 products, one after the other in float32, is off by sqrt(n) u in the norm: 1.6e-6; an activation that
 * brings half of its inputs to 0 doubles that, and the sigmoid adds 3e-7, GELU's tail 2.2e-7.
 * An output of 16 bits is rounded once. */
static double limit(void) {
    const bool rounded = precision != PRECISION_FP32 && !residual;
    return (rounded ? unit_of(precision) : 0.0) + 4e-6;
}

/* Returns the weight of `data`, packed where the backend wants it. */
static Weight weight_on(const Ops *ops, Queue *q, Weight w) {
    w.precision = precision;
    const int64_t bytes = ops->encode.pack_bytes(&w);
    if (bytes == 0) return w;
    void *packed = scratch(bytes);
    ops->encode.pack(q, packed, &w);
    w.packed = packed;
    return w;
}

static Weight weight_of(const Ops *ops, Queue *q, int64_t out, int64_t in, int64_t taps) {
    float *x = numbers(out * in * taps, 2);
    return weight_on(
        ops, q, (Weight){x, DTYPE_F32, out, in, taps, in * taps, taps, 1, PRECISION_FP32, NULL});
}

static void *input_on(const Ops *ops, int64_t n) {
    float *x = numbers(n, 1);
    return float_input ? x : activations(ops, x, n);
}

static Matrix output_of(const Ops *ops, int64_t n, int64_t row) {
    if (!residual) return (Matrix){unwritten(ops, n), row, type_on(ops)};
    return matrix_f32(numbers(n, 5), row);
}

/* Makes an output of what lies in `to`. */
static void leave(const Ops *ops, Queue *q, Outputs *o, Matrix to, int64_t rows, int64_t d) {
    if (!residual) {
        output_rows(ops, q, o, to.data, rows, d, to.row);
        return;
    }
    finish(ops, q);
    float *x = output(o, rows * to.row, NULL); /* with what lies between rows, which stays */
    memcpy(x, to.data, (size_t)(rows * to.row) * sizeof *x);
}

/* B rows, C outputs, d inputs; K 1: a gate. */
static void run_linear(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    const int64_t in_row = s.d + gap, out_row = s.C + gap;
    const Weight w = weight_of(ops, q, s.C, s.d, 1);
    const Matrix in = {input_on(ops, s.B * in_row), in_row,
                       float_input ? PRECISION_FP32 : type_on(ops)},
                 to = output_of(ops, s.B * out_row, out_row);
    Epilogue e = {.add = residual, .activation = activation};
    if (!plain) e.scale = numbers(s.C, 3), e.bias = numbers(s.C, 4);
    if (s.K)
        e.times = (Matrix){activations(ops, numbers(s.B * out_row, 6), s.B * out_row), out_row,
                           type_on(ops)};
    ops->encode.linear(q, to, in, &w, &e, s.B, scratch(1 << 20));
    leave(ops, q, o, to, s.B, s.C);
}

/* Tests run on four SMs, so that tiles of 128 x 128 serve the larger shapes. The emulator has no wgmma here: what its
 * Hopper computes by wgmma is encode_wgmma_test.c's. */
static void judge(const char *name, Operation *operation, const Shape *shapes, size_t count) {
    setenv("TURTLE_SMS", "4", 1);
    setenv("EMU_DEVICE", "a100", 1);
    for (precision = PRECISION_FP32; precision <= PRECISION_BF16; precision++)
        judge_at(name, operation, shapes, count,
                 limit()); /* every second shape off its alignment */
}

/* Ragged in rows, columns and depth; large tiles; one of each. */
Test(encode_linear, of_any_shape, .timeout = 300) {
    const Shape shapes[] = {{65, 72, 40, 0}, {3, 17, 33, 0},   {150, 136, 48, 0},
                            {1, 1, 1, 0},    {64, 64, 264, 0}, {130, 129, 31, 0}};
    judge("linear", run_linear, shapes, COUNT(shapes));
}

Test(encode_linear, of_rows_off_alignment, .timeout = 300) {
    const Shape shapes[] = {{33, 40, 269, 0}, {9, 24, 64, 0}};
    gap = 3;
    judge("linear", run_linear, shapes, COUNT(shapes));
}

Test(encode_linear, of_every_activation, .timeout = 300) {
    const Shape shapes[] = {{30, 40, 24, 0}, {5, 19, 24, 0}};
    plain = false;
    for (activation = ACT_NONE; activation <= ACT_SILU; activation++)
        judge("activation", run_linear, shapes, COUNT(shapes));
}

/* LayerScale and the residual stream in float32; a gate, as SwiGLU has it. */
Test(encode_linear, adds_to_the_residual_stream, .timeout = 300) {
    const Shape shapes[] = {{70, 80, 72, 0}, {5, 19, 24, 0}};
    plain = false, residual = true;
    judge("residual", run_linear, shapes, COUNT(shapes));
}

Test(encode_linear, multiplies_by_a_gate, .timeout = 300) {
    const Shape shapes[] = {{34, 72, 40, 1}, {7, 21, 24, 1}};
    activation = ACT_SILU;
    judge("gate", run_linear, shapes, COUNT(shapes));
}

Test(encode_linear, rounds_inputs_of_float32, .timeout = 300) {
    const Shape shapes[] = {{66, 72, 96, 0}, {5, 8, 37, 0}};
    float_input = true;
    judge("float32 input", run_linear, shapes, COUNT(shapes));
}

/* --- convolutions ----------------------------------------------------------------------------- */

static Window window = {.height = 9, .width = 7};

/* B images, C outputs, d channels; K elements lie before and between images of out. */
static void run_conv2d(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    const int64_t taps = window.kernel * window.kernel,
                  pixels = window_out(window.height, &window) * window_out(window.width, &window),
                  image = pixels * s.C + s.K;
    const Weight w = weight_of(ops, q, s.C, s.d, taps);
    const Matrix in = {input_on(ops, s.B * window.height * window.width * s.d), s.d,
                       float_input ? PRECISION_FP32 : type_on(ops)};
    Matrix to = output_of(ops, s.B * image, image);
    Epilogue e = {.add = residual, .activation = activation};
    if (!plain) e.scale = numbers(s.C, 3), e.bias = numbers(s.C, 4);
    window.out_image = s.K ? image : 0;
    ops->encode.conv2d(q, to, in, &w, &window, &e, s.B, scratch(1 << 20));
    leave(ops, q, o, to, s.B, pixels * s.C);
}

/* ModifiedResNet's: 3 x 3 with padding, with stride 2, 1 x 1, of vectors and of odd channels. */
Test(encode_linear, convolutions, .timeout = 300) {
    const Shape shapes[] = {{2, 72, 16, 0}, {1, 5, 3, 0}, {3, 136, 8, 8}, {1, 8, 24, 0}};
    plain = false, activation = ACT_RELU;
    window.kernel = 3, window.pad = 1;
    for (window.stride = 1; window.stride <= 2; window.stride++)
        judge("3 x 3", run_conv2d, shapes, COUNT(shapes));
    window.kernel = 1, window.pad = 0, window.stride = 1;
    judge("1 x 1", run_conv2d, shapes, COUNT(shapes));
    window.stride = 2;
    judge("1 x 1, stride 2", run_conv2d, shapes, 1);
}

/* Patches of float32 pixels, into rows of tokens behind the class token's. */
Test(encode_linear, patch_embeddings, .timeout = 300) {
    const Shape shapes[] = {{2, 40, 3, 40}, {3, 72, 3, 144}};
    float_input = residual = true;
    window = (Window){.height = 28, .width = 14, .kernel = 7, .stride = 7};
    judge("patches", run_conv2d, shapes, COUNT(shapes));
}

/* --- weights ---------------------------------------------------------------------------------- */

/* Weights of every type lie in any order, transposed as CLIP's projections are, and begin at any byte. */
static DType weight_type;
static void run_stored(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    const int64_t n = s.C * s.d, bytes = dtype_bytes(weight_type);
    float *x = numbers(n, 2);
    uint8_t *data = (uint8_t *)array(n * bytes + 1) + 1;
    for (int64_t i = 0; i < n; i++) {
        const uint16_t half = weight_type == DTYPE_F16 ? f16_from_f32(x[i]) : bf16_from_f32(x[i]);
        const double wide = x[i];
        memcpy(data + i * bytes,
               bytes == 2   ? (const void *)&half
               : bytes == 4 ? (const void *)&x[i]
                            : (const void *)&wide,
               (size_t)bytes);
    }
    Weight w = {data, weight_type, s.C, s.d, 1, s.d, 1, 1, PRECISION_FP32, NULL};
    if (s.K) w.out_step = 1, w.in_step = s.C;
    w = weight_on(ops, q, w);
    const Epilogue e = {.bias = NULL};
    const Matrix to = {unwritten(ops, s.B * s.C), s.C, type_on(ops)};
    ops->encode.linear(
        q, to, (Matrix){activations(ops, numbers(s.B * s.d, 1), s.B * s.d), s.d, type_on(ops)}, &w,
        &e, s.B, scratch(1 << 20));
    output_rows(ops, q, o, to.data, s.B, s.C, s.C);
}

Test(encode_linear, packs_weights_of_every_type_and_order, .timeout = 300) {
    const Shape shapes[] = {{4, 24, 40, 0}, {3, 17, 21, 1}};
    for (int t = DTYPE_F16; t <= DTYPE_F64; t++) {
        weight_type = (DType)t;
        judge("stored", run_stored, shapes, COUNT(shapes));
    }
}

/* --- properties ------------------------------------------------------------------------------- */

/* The last of 200 rows, which large tiles compute, and the same row alone, by small ones, have the same bits. So have
 * they where the row is not aligned and another loader reads it. The depth is one that wgmma does not take: there an
 * aligned row would have its own order of sums. */
Test(encode_linear, is_the_same_bits_in_any_batch, .timeout = 120) {
    enum { ROWS = 200, OUT = 136, IN = 56 };
    setenv("TURTLE_SMS", "4", 1);
    for (precision = PRECISION_FP32; precision <= PRECISION_BF16; precision++) {
        Ops ops;
        Queue *q;
        open_backend(&ops, &q, "cuda", 0);
        const int64_t bytes = precision_bytes(precision);
        const Weight w = weight_of(&ops, q, OUT, IN, 1);
        const Epilogue e = {.bias = numbers(OUT, 4), .activation = ACT_GELU};
        char *in = activations(&ops, numbers(ROWS * IN, 1), ROWS * IN);
        char *moved = (char *)array(IN * bytes + bytes) + bytes;
        memcpy(moved, in + (ROWS - 1) * IN * bytes, (size_t)(IN * bytes));
        char *all = unwritten(&ops, ROWS * OUT), *one = unwritten(&ops, OUT),
             *off = unwritten(&ops, OUT);
        ops.encode.linear(q, (Matrix){all, OUT, precision}, (Matrix){in, IN, precision}, &w, &e,
                          ROWS, NULL);
        ops.encode.linear(q, (Matrix){one, OUT, precision},
                          (Matrix){in + (ROWS - 1) * IN * bytes, IN, precision}, &w, &e, 1, NULL);
        ops.encode.linear(q, (Matrix){off, OUT, precision}, (Matrix){moved, IN, precision}, &w, &e,
                          1, NULL);
        finish(&ops, q);
        const char *last = all + (ROWS - 1) * OUT * bytes;
        cr_expect(!memcmp(last, one, (size_t)(OUT * bytes)), "alone, %d", (int)precision);
        cr_expect(!memcmp(last, off, (size_t)(OUT * bytes)), "moved, %d", (int)precision);
        close_backend(&ops, q);
        free_arrays();
    }
}

Test(encode_linear, refuses_what_it_cannot_serve) {
    for (int i = 0; i < 5; i++) {
        Ops ops;
        Queue *q;
        open_backend(&ops, &q, "cuda", 0);
        const Matrix x = matrix_f32(numbers(1 << 10, 1), 8);
        Weight w = {x.data, DTYPE_F32, 8, 8, 1, 8, 1, 1, PRECISION_FP32, i == 0 ? NULL : x.data};
        if (i == 1) w.taps = 9;
        if (i == 2) w.in = 9;
        const Epilogue e = {.bias = NULL};
        Window large = {.height = 4, .width = 4, .kernel = 9, .stride = 1};
        w.taps = i == 4 ? 81 : w.taps;
        const Status st = i < 4 ? ops.encode.linear(q, x, x, &w, &e, i == 3 ? 0 : 1, NULL)
                                : ops.encode.conv2d(q, x, x, &w, &large, &e, 1, NULL);
        cr_expect(st == ERR_ARG, "%d", i);
        close_backend(&ops, q);
        free_arrays();
    }
}
