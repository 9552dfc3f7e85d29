/*
 * linear.c - linear layers and convolutions (kernels/encode.h)
 *
 * Mapping  both are the product of product.c, or of product_16.c where operands are rounded to 16 bits;
 *          they differ in how a panel of the left operand is filled: from rows of a matrix, or from the windows of images (im2col one panel at a
 *          time, so the unfolded images never exist). Depth runs over kernel rows, kernel columns,
 *          channels: within a kernel row the inputs of a window lie side by side, one copy each.
 *          Convolutions of 3 x 3 over many channels go to winograd.c, in bfloat16 to winograd_16.c.
 */
#include <string.h>

#include "kernels/cpu/encode/encode.h"
#include "kernels/cpu/encode/winograd.h"
#include "kernels/cpu/gemm/product_16.h"

static bool is_weight(const Weight *w) {
    return w && w->data && w->out >= 1 && w->in >= 1 && w->taps >= 1 && dtype_is_float(w->type);
}

/* --- linear ----------------------------------------------------------------------------------- */

/* A weight of bfloat16 is laid out once; the others are packed by their products, on their way. */
int64_t cpu_pack_bytes(const Weight *w) {
    if (!is_weight(w) || w->precision != PRECISION_BF16) return 0;
    return winograd_16_bytes(w) ? winograd_16_bytes(w) : product_16_bytes(w);
}

Status cpu_pack(Queue *q, void *packed, const Weight *w) {
    REQUIRE(q, packed && cpu_pack_bytes(w) > 0, "pack");
    if (winograd_16_bytes(w)) winograd_16_pack(packed, w, q->device->pool);
    else product_16_pack(packed, w, q->device->pool);
    return OK;
}

/* Returns whether these are rows that a product of this weight takes: float32 or, where it multiplies
 * bfloat16, that. */
static bool are_rows(Matrix m, const Weight *w) {
    return m.data && (m.type == PRECISION_FP32 ||
                      (m.type == PRECISION_BF16 && w->precision == PRECISION_BF16));
}

/* Returns an output of one type or the other; images lie densely. */
static Output output_of(Matrix out, int64_t rows) {
    Output to = {.rows = rows, .out_row = out.row, .image_rows = rows};
    if (out.type == PRECISION_BF16) to.out_16 = out.data;
    else to.out = out.data;
    return to;
}

static Left rows_of(Matrix in, int64_t row) {
    return in.type == PRECISION_BF16 ? left_rows_16(in.data, row) : left_rows(in.data, row);
}

/* Runs the product of the weight's precision. */
static void multiply(Output out, const Left *left, const Weight *w, const Epilogue *epilogue,
                     void *scratch, const Device *device) {
    if (w->precision == PRECISION_BF16) product_16(out, left, w, epilogue, scratch, device);
    else product(out, left, w, epilogue, scratch, device->pool);
}

Status cpu_linear(Queue *q, Matrix out, Matrix in, const Weight *w, const Epilogue *epilogue,
                  int64_t rows, void *scratch) {
    REQUIRE(q,
            is_weight(w) && are_rows(out, w) && are_rows(in, w) && w->taps == 1 && epilogue &&
                scratch && rows >= 1 && out.row >= w->out && in.row >= w->in &&
                (!epilogue->times.data ||
                 (are_rows(epilogue->times, w) && epilogue->times.row >= w->out)),
            "linear");
    const Left left = rows_of(in, in.row);
    multiply(output_of(out, rows), &left, w, epilogue, scratch, q->device);
    return OK;
}

/* --- conv2d ----------------------------------------------------------------------------------- */

#define INLINE static inline __attribute__((always_inline))

/* Copies columns from .. to of one kernel row of the window whose first pixel column is x, with zeros outside
 * the image. Columns count channels of `size` bytes: a kernel row has kernel x channels of them. */
INLINE void window_row(uint8_t *to, const uint8_t *line, int64_t x, int64_t from, int64_t end,
                       int64_t width, int64_t channels, int64_t size) {
    const int64_t first =
        x * channels; /* first element of the window in the line; may be negative */
    const int64_t left = least(end, first < 0 ? -first : 0),
                  right = least(end, width * channels - first);
    if (from < left) {
        memset(to, 0, (size_t)((left - from) * size));
        to += (left - from) * size;
        from = left;
    }
    if (from < right) {
        memcpy(to, line + (first + from) * size, (size_t)((right - from) * size));
        to += (right - from) * size;
        from = right;
    }
    if (from < end) memset(to, 0, (size_t)((end - from) * size));
}

/* Fills a panel with rows of `size` bytes an element, panel_row elements apart. `size` is a constant at every
 * call. */
INLINE void copy_windows(const Left *left, uint8_t *panel, int64_t panel_row, int64_t i, int64_t n,
                         int64_t k, int64_t deep, const uint8_t *data, int64_t size) {
    const Window *w = left->window;
    const int64_t span = w->kernel * left->channels; /* depth of one kernel row */
    const int64_t pixels = left->out_height * left->out_width, line = w->width * left->channels;
    for (int64_t r = 0; r < n; r++) {
        const int64_t image = (i + r) / pixels, pixel = (i + r) % pixels;
        const int64_t y = pixel / left->out_width * w->stride - w->pad,
                      x = pixel % left->out_width * w->stride - w->pad;
        uint8_t *to = panel + r * panel_row * size;
        for (int64_t at = k; at < k + deep;) {
            const int64_t ky = at / span, from = at - ky * span,
                          end = least(span, k + deep - ky * span);
            if (y + ky < 0 || y + ky >= w->height) memset(to, 0, (size_t)((end - from) * size));
            else
                window_row(to, data + (image * w->height + y + ky) * line * size, x, from, end,
                           w->width, left->channels, size);
            to += (end - from) * size;
            at += end - from;
        }
    }
}

static void fill_windows(const Left *left, float *panel, int64_t i, int64_t n, int64_t k,
                         int64_t deep) {
    copy_windows(left, (uint8_t *)panel, PANEL_ROW, i, n, k, deep, (const uint8_t *)left->data,
                 sizeof *left->data);
}

static void fill_windows_16(const Left *left, uint16_t *panel, int64_t panel_row, int64_t i,
                            int64_t n, int64_t depth) {
    copy_windows(left, (uint8_t *)panel, panel_row, i, n, 0, depth, (const uint8_t *)left->data_16,
                 sizeof *left->data_16);
}

Status cpu_conv2d(Queue *q, Matrix out, Matrix in, const Weight *w, const Window *window,
                  const Epilogue *epilogue, int64_t B, void *scratch) {
    REQUIRE(q,
            is_weight(w) && are_rows(out, w) && are_rows(in, w) && window && epilogue && scratch &&
                B >= 1 && window->kernel >= 1 && window->stride >= 1 && window->pad >= 0 &&
                window->kernel * window->kernel == w->taps && window->pad < window->kernel &&
                window->height + 2 * window->pad >= window->kernel &&
                window->width + 2 * window->pad >= window->kernel,
            "conv2d");
    const bool narrow = w->precision == PRECISION_BF16;
    if (winograd_serves(w, window)) {
        if (narrow)
            winograd_16(
                output_of((Matrix){out.data, w->out, out.type}, B * window->height * window->width),
                in, w, window, epilogue, B, scratch, q->device);
        else winograd(out.data, in.data, w, window, epilogue, B, scratch, q->device->pool);
        return OK;
    }
    Weight plain = *w; /* what was packed for winograd.c serves no other convolution */
    if (narrow && winograd_16_bytes(w)) plain.packed = NULL;
    const int64_t height = window_out(window->height, window),
                  width = window_out(window->width, window);
    Left windows = {.window = window, .channels = w->in, .out_height = height, .out_width = width};
    if (in.type == PRECISION_BF16) windows.fill_16 = fill_windows_16, windows.data_16 = in.data;
    else windows.fill = fill_windows, windows.data = in.data;
    const Left rows = rows_of(in, w->in);
    const bool pointwise = window->kernel == 1 && window->stride == 1;
    const int64_t pixels = height * width; /* images that lie densely are one: tiles span them */
    Output to = output_of((Matrix){out.data, w->out, out.type}, B * pixels);
    if (window->out_image) to.image_rows = pixels, to.out_image = window->out_image;
    multiply(to, pointwise ? &rows : &windows, &plain, epilogue, scratch, q->device);
    return OK;
}

int64_t cpu_encode_scratch(const Device *device, int64_t depth, int64_t keys) {
    const int64_t a = product_scratch(COL_BLOCK, depth), b = cpu_attention_scratch(device, keys);
    const int64_t c = product_16_scratch(device->threads, depth),
                  d = winograd_scratch(depth, device->threads),
                  e = winograd_16_scratch(depth, device->threads);
    return most(most(most(a, b), most(c, d)), e);
}
