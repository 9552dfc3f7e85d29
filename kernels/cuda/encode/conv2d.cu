/*
 * conv2d.cu - out = act(add out + scale (cross-correlation of in with W) + bias), channels last (kernels/encode.h)
 *
 * Shapes   in (B,H,W,channels), W (cols,kernel,kernel,channels) packed by pack.cu, out (B,OH,OW,cols), images of out
 *          out_image apart.
 * Cost     2 B OH OW cols depth flops, depth = channels kernel^2. RN50's 3 x 3 of 64 channels on 56 x 56, 64 images:
 *          14.8 GFLOP and 51 MB in 16 bits, 15 us at 989 TFLOP/s, 11 at 4.8 TB/s (H200 data sheet).
 * Mapping  the product of linear.cu, whose rows are windows: implicit GEMM. A kernel of one place with stride 1 is a
 *          linear layer. Pixels of whole vectors load them by cp.async; the first layers, with 3 channels, load single
 *          numbers, float32 or not. They are few: a patch embedding of ViT-L/14 is 0.2 % of its flops.
 * Needs    W packed; no scratch.
 * History  Not measured yet. layer_v1_naive, a thread per element: the oracle.
 */
#include "kernels/cuda/encode/layer.cuh"

Status layer_of_elements(Queue *q, const Layer &l, Precision precision) {
    return with_precision(precision, [&](auto type) {
        return start_layer<decltype(type), Shape2<LAYER_SMALL, LAYER_SMALL, 2, 2>, Elements>(q, l);
    });
}

static Status layer_of_windows(Queue *q, const Layer &l, Precision precision) {
    return with_precision(precision,
                          [&](auto type) { return start_sized<decltype(type), Windows>(q, l); });
}

/* Returns whether the sizes are those of windows inside padded images, which 32 bits count. */
static bool is_window(const Weight *w, const Window *o, int64_t B) {
    if (B < 1 || o->kernel < 1 || o->kernel > 1 << 12 || o->stride < 1 || o->stride > 1 << 12 ||
        o->pad < 0 || o->pad >= o->kernel || o->height < 1 || o->width < 1 || o->height > 1 << 15 ||
        o->width > 1 << 15 || o->kernel * o->kernel != w->taps ||
        o->height + 2 * o->pad < o->kernel || o->width + 2 * o->pad < o->kernel)
        return false;
    return w->in <= INT32_MAX / (o->height * o->width) &&
           B <= INT32_MAX / 2 / (window_out(o->height, o) * window_out(o->width, o));
}

extern "C" Status cuda_conv2d(Queue *q, Matrix out, Matrix in, const Weight *w,
                              const Window *window, const Epilogue *epilogue, int64_t B,
                              void *scratch) {
    (void)scratch;
    REQUIRE(q,
            out.data && in.data && can_apply(w) && window && epilogue && !epilogue->times.data &&
                is_window(w, window, B),
            "conv2d");
    Layer l = layer_of(out, in, w, epilogue);
    const int64_t height = window_out(window->height, window),
                  width = window_out(window->width, window);
    l.pixels = (int)(height * width), l.out_width = (int)width, l.rows = (int)(B * l.pixels);
    l.kernel = (int)window->kernel, l.stride = (int)window->stride, l.pad = (int)window->pad;
    l.height = (int)window->height, l.width = (int)window->width;
    l.in_image = (int64_t)l.height * l.width * l.channels;
    l.out_image = window->out_image ? window->out_image : (int64_t)l.pixels * l.cols;
    l.aligned = whole_vectors(in.data, w->in, in.type);
    l.wide = is_wide(l);
    if (q->device->naive) return layer_naive(q, l, w->precision);
    if (in.type != w->precision || !l.aligned) return layer_of_elements(q, l, w->precision);
    if (l.kernel > 1 || l.stride > 1) return layer_of_windows(q, l, w->precision);
    /* A 1 x 1 kernel: rows of `in` lie densely, and Rows addresses them by in_image. */
    Layer rows = l;
    rows.in_image = l.channels;
    return layer_of_rows(q, rows, w->precision);
}
