/* encode_wgmma_test.c - linear layers and 1 x 1 convolutions on wgmma beside the plain reference: every width of a tile,
 * ragged rows, columns and depths, every epilogue; the bits of a row in any batch; the order of tiles. */
#include "kernels/layer_tiles.h"
#include "tests/support/narrow.h"

#define COUNT(shapes) (sizeof shapes / sizeof *shapes)
static bool residual;     /* out is float32 and added to */
static bool plain = true; /* no scale and bias */
static Activation activation;

/* encode_linear_test.c derives it: n <= 700 products in float32, an activation, one rounding of the output. */
static double limit(void) {
    return (residual ? 0.0 : unit_of(precision)) + 4e-6;
}

/* Returns the weight (out,in), packed where the backend wants it. */
static Weight weight_of(const Ops *ops, Queue *q, int64_t out, int64_t in) {
    float *x = numbers(out * in, 2);
    for (int64_t i = 0; i < out * in; i++) x[i] = narrowed(x[i]);
    Weight w = {x, DTYPE_F32, out, in, 1, in, 1, 1, precision, NULL};
    const int64_t bytes = ops->encode.pack_bytes(&w);
    if (bytes == 0) return w;
    void *packed = scratch(bytes);
    ops->encode.pack(q, packed, &w);
    w.packed = packed;
    return w;
}

/* Activations whose rows lie on the alignment that the TMA asks for, whatever the test moves. */
static Matrix aligned(const Ops *ops, int64_t rows, int64_t row, int stream) {
    const int64_t moved = off_alignment;
    off_alignment = 0;
    const Matrix m = {activations(ops, numbers(rows * row, stream), rows * row), row, type_on(ops)};
    off_alignment = moved;
    return m;
}

static float *aligned_floats(int64_t n, int stream) {
    const int64_t moved = off_alignment;
    off_alignment = 0;
    float *x = numbers(n, stream);
    off_alignment = moved;
    return x;
}

/* B rows, C outputs, d inputs, in wider rows; K 1: a gate. */
static void run_linear(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    const int64_t in_row = round_up(s.d, 8) + 8, out_row = s.C + 8;
    const Weight w = weight_of(ops, q, s.C, s.d);
    const Matrix in = aligned(ops, s.B, in_row, 1);
    Matrix to = aligned(ops, s.B, out_row, 5);
    if (residual) to = matrix_f32(aligned_floats(s.B * out_row, 5), out_row);
    else memset(to.data, 0xff, (size_t)(s.B * out_row * precision_bytes(to.type)));
    Epilogue e = {.add = residual, .activation = activation};
    if (!plain) e.scale = aligned_floats(s.C, 3), e.bias = aligned_floats(s.C, 4);
    if (s.K) e.times = aligned(ops, s.B, out_row, 6);
    ops->encode.linear(q, to, in, &w, &e, s.B, scratch(1 << 10));
    if (!residual) {
        output_rows(ops, q, o, to.data, s.B, s.C, out_row);
        return;
    }
    finish(ops, q);
    float *x = output(o, s.B * out_row, NULL); /* with what lies between rows, which stays */
    memcpy(x, to.data, (size_t)(s.B * out_row) * sizeof *x);
}

/* Tests run on four SMs. The emulator's device has wgmma. */
static void judge(const char *name, Operation *operation, const Shape *shapes, size_t count) {
    setenv("TURTLE_SMS", "4", 1);
    setenv("EMU_DEVICE", "tiny", 1);
    for (precision = PRECISION_FP16; precision <= PRECISION_BF16; precision++)
        judge_at(name, operation, shapes, count, limit());
}

/* One step of the ring and many, one tile and many of each width; one row; rows of one block of a cluster alone. With four
 * SMs two clusters take tiles of 64, 128 and 256 columns in turn. */
Test(encode_wgmma, of_any_shape, .timeout = 300) {
    const Shape shapes[] = {{65, 72, 64, 0},   {1, 64, 72, 0},     {129, 200, 136, 0},
                            {257, 264, 67, 0}, {300, 776, 264, 0}, {520, 1032, 64, 0}};
    judge("linear", run_linear, shapes, COUNT(shapes));
}

Test(encode_wgmma, of_every_activation, .timeout = 300) {
    const Shape shapes[] = {{30, 72, 72, 0}};
    plain = false;
    for (activation = ACT_NONE; activation <= ACT_SILU; activation++)
        judge("activation", run_linear, shapes, COUNT(shapes));
}

/* LayerScale and the residual stream in float32; with a gate, too, where the layer goes by mma.sync. */
Test(encode_wgmma, adds_to_the_residual_stream, .timeout = 300) {
    const Shape shapes[] = {{130, 136, 72, 0}, {17, 80, 136, 1}};
    plain = false, residual = true;
    judge("residual", run_linear, shapes, COUNT(shapes));
}

/* As SwiGLU does. */
Test(encode_wgmma, multiplies_by_a_gate, .timeout = 300) {
    const Shape shapes[] = {{134, 72, 72, 1}};
    activation = ACT_SILU;
    judge("gate", run_linear, shapes, COUNT(shapes));
}

/* B images of 5 x 7 pixels, C outputs, d channels; K elements lie before and between images of out. */
static void run_conv2d(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    const Window window = {
        .height = 5, .width = 7, .kernel = 1, .stride = 1, .out_image = s.K ? 35 * s.C + s.K : 0};
    const int64_t image = 35 * s.C + s.K;
    const Weight w = weight_of(ops, q, s.C, s.d);
    const Matrix in = aligned(ops, s.B * 35, s.d, 1), to = aligned(ops, s.B, image, 5);
    const Epilogue e = {
        .scale = aligned_floats(s.C, 3), .bias = aligned_floats(s.C, 4), .activation = ACT_RELU};
    memset(to.data, 0xff, (size_t)(s.B * image * precision_bytes(to.type)));
    ops->encode.conv2d(q, to, in, &w, &window, &e, s.B, scratch(1 << 10));
    output_rows(ops, q, o, to.data, s.B, 35 * s.C, image);
}

Test(encode_wgmma, convolutions_of_one_place, .timeout = 300) {
    const Shape shapes[] = {{4, 72, 64, 0}, {3, 136, 72, 8}};
    judge("1 x 1", run_conv2d, shapes, COUNT(shapes));
}

/* --- properties ------------------------------------------------------------------------------- */

/* The last rows of a batch of 600 have the bits that they have in a batch of 40 and alone, at other places of narrower
 * tiles. On 9.0 all of it runs on wgmma. */
static void expect_any_batch(int64_t out_cols, int wide, int narrow) {
    enum { ROWS = 600, IN = 200 };
    static const int counts[] = {ROWS, 40, 1};
    Ops ops;
    Queue *q;
    Error err;
    char *out[COUNT(counts)];
    setenv("TURTLE_SMS", "4", 1);
    setenv("EMU_DEVICE", "tiny", 1);
    open_backend(&ops, &q, "cuda", 0);
    ASSERT_OK(ops.mem.profile(ops.device, &err), err);
    cr_expect(layer_wide_cols(ROWS, out_cols, 4) == wide &&
              layer_wide_cols(40, out_cols, 4) == narrow);
    const Weight w = weight_of(&ops, q, out_cols, IN);
    const Epilogue e = {.bias = numbers(out_cols, 4), .activation = ACT_GELU};
    const Matrix in = aligned(&ops, ROWS, IN, 1);
    const int64_t row = out_cols * 2; /* bytes */
    for (size_t i = 0; i < COUNT(counts); i++) {
        const int before = ROWS - counts[i];
        out[i] = unwritten(&ops, ROWS * out_cols);
        ops.encode.linear(q, (Matrix){out[i] + before * row, out_cols, precision},
                          (Matrix){(char *)in.data + before * IN * 2, IN, precision}, &w, &e,
                          counts[i], NULL);
    }
    finish(&ops, q);
#if defined(TEST_EMULATED)
    cr_expect(launches_of(&ops, "layer_wgmma") == (int64_t)COUNT(counts));
#endif
    for (size_t i = 1; i < COUNT(counts); i++) {
        const int64_t at = (ROWS - counts[i]) * row;
        cr_expect(!memcmp(out[0] + at, out[i] + at, (size_t)(ROWS * row - at)),
                  "%d rows of %d columns, %d", counts[i], (int)out_cols, (int)precision);
    }
    close_backend(&ops, q);
    free_arrays();
}

Test(encode_wgmma, is_the_same_bits_in_any_batch, .timeout = 120) {
    for (precision = PRECISION_FP16; precision <= PRECISION_BF16; precision++) {
        expect_any_batch(136, 256, 128);
        expect_any_batch(128, 128, 64);
    }
}

/* Every tile comes once, and few rows and columns of tiles are met by those that run side by side. */
Test(encode_wgmma, the_order_of_tiles_meets_each_once) {
    static const int sizes[][2] = {{1, 1}, {7, 3}, {8, 5}, {9, 4}, {65, 16}, {257, 12}};
    for (size_t s = 0; s < COUNT(sizes); s++) {
        const int up = sizes[s][0], across = sizes[s][1], n = up * across;
        bool *met = calloc((size_t)n, 1);
        for (int i = 0; i < n; i++) {
            const LayerTile t = layer_tile_at(i, up, across);
            cr_assert(t.up >= 0 && t.up < up && t.across >= 0 && t.across < across);
            cr_expect(!met[t.up * across + t.across], "%d of %d x %d", i, up, across);
            met[t.up * across + t.across] = true;
            cr_expect(t.up / LAYER_WIDE_BAND == i / (LAYER_WIDE_BAND * across));
        }
        free(met);
    }
}
