/*
 * linear.c - linear layers and convolutions (kernels/encode.h)
 *
 * Mapping  both are the product of product.c; they differ in how a panel of the left operand is
 *          filled: from rows of a matrix, or from the windows of images (im2col one panel at a
 *          time, so the unfolded images never exist). Depth runs over kernel rows, kernel columns,
 *          channels: within a kernel row the inputs of a window lie side by side, one copy each.
 *          Convolutions of 3 x 3 over many channels go to winograd.c.
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
    return is_weight(w) && w->precision == PRECISION_BF16 ? product_16_bytes(w) : 0;
}

/* The scale is left to the epilogue. */
Status cpu_pack(Queue *q, void *packed, const Weight *w, const float *scale) {
    (void)scale;
    REQUIRE(q, packed && cpu_pack_bytes(w) > 0, "pack");
    product_16_pack(packed, w, q->device->pool);
    return OK;
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
            are_floats(out) && are_floats(in) && is_weight(w) && w->taps == 1 && epilogue &&
                scratch && rows >= 1 && out.row >= w->out && in.row >= w->in &&
                (!epilogue->times.data ||
                 (are_floats(epilogue->times) && epilogue->times.row >= w->out)),
            "linear");
    const Left left = left_rows(in.data, in.row);
    multiply((Output){out.data, rows, out.row, rows, 0}, &left, w, epilogue, scratch, q->device);
    return OK;
}

/* --- conv2d ----------------------------------------------------------------------------------- */

/* Copies columns from .. to of one kernel row of the window whose first pixel column is x, with zeros outside
 * the image. Columns count channels: a kernel row has kernel x channels of them. */
static void window_row(float *to, const float *line, int64_t x, int64_t from, int64_t end,
                       int64_t width, int64_t channels) {
    const int64_t first =
        x * channels; /* first element of the window in the line; may be negative */
    const int64_t left = least(end, first < 0 ? -first : 0),
                  right = least(end, width * channels - first);
    for (; from < left; from++) *to++ = 0.0f;
    if (from < right) {
        memcpy(to, line + first + from, (size_t)(right - from) * sizeof *to);
        to += right - from;
        from = right;
    }
    for (; from < end; from++) *to++ = 0.0f;
}

static void fill_windows(const Left *left, float *panel, int64_t i, int64_t n, int64_t k,
                         int64_t deep) {
    const Window *w = left->window;
    const int64_t span = w->kernel * left->channels; /* depth of one kernel row */
    const int64_t pixels = left->out_height * left->out_width, line = w->width * left->channels;
    for (int64_t r = 0; r < n; r++) {
        const int64_t image = (i + r) / pixels, pixel = (i + r) % pixels;
        const int64_t y = pixel / left->out_width * w->stride - w->pad,
                      x = pixel % left->out_width * w->stride - w->pad;
        float *to = panel + r * PANEL_ROW;
        for (int64_t at = k; at < k + deep;) {
            const int64_t ky = at / span, from = at - ky * span,
                          end = least(span, k + deep - ky * span);
            if (y + ky < 0 || y + ky >= w->height) memset(to, 0, (size_t)(end - from) * sizeof *to);
            else
                window_row(to, left->data + (image * w->height + y + ky) * line, x, from, end,
                           w->width, left->channels);
            to += end - from;
            at += end - from;
        }
    }
}

Status cpu_conv2d(Queue *q, Matrix out, Matrix in, const Weight *w, const Window *window,
                  const Epilogue *epilogue, int64_t B, void *scratch) {
    REQUIRE(q,
            are_floats(out) && are_floats(in) && is_weight(w) && window && epilogue && scratch &&
                B >= 1 && window->kernel >= 1 && window->stride >= 1 && window->pad >= 0 &&
                window->kernel * window->kernel == w->taps && window->pad < window->kernel &&
                window->height + 2 * window->pad >= window->kernel &&
                window->width + 2 * window->pad >= window->kernel,
            "conv2d");
    if (winograd_serves(w, window)) {
        winograd(out.data, in.data, w, window, epilogue, B, scratch, q->device->pool);
        return OK;
    }
    const int64_t height = window_out(window->height, window),
                  width = window_out(window->width, window);
    const Left windows = {.fill = fill_windows,
                          .data = in.data,
                          .window = window,
                          .channels = w->in,
                          .out_height = height,
                          .out_width = width};
    const Left rows = left_rows(in.data, w->in);
    const bool pointwise = window->kernel == 1 && window->stride == 1;
    const int64_t pixels = height * width; /* images that lie densely are one: tiles span them */
    multiply((Output){out.data, B * pixels, w->out, window->out_image ? pixels : B * pixels,
                      window->out_image},
             pointwise ? &rows : &windows, w, epilogue, scratch, q->device);
    return OK;
}

int64_t cpu_encode_scratch(const Device *device, int64_t rows, int64_t depth, int64_t keys) {
    (void)rows;
    const int64_t a = product_scratch(COL_BLOCK, depth), b = cpu_attention_scratch(device, keys);
    return most(most(a, b), most(product_16_scratch(device->threads, depth),
                                 winograd_scratch(depth, device->threads)));
}
