/*
 * linear.cu - out = times act(add out + scale (A W^T) + bias), a transformer's products (kernels/encode.h)
 *
 * Shapes   in (rows,depth), W (cols,depth) packed by pack.cu, out (rows,cols), each row of in and out in a wider one.
 * Cost     2 rows cols depth flops. ViT-L/14, 64 images, first product of the MLP: 16448 x 4096 x 1024, 138 GFLOP and
 *          177 MB in 16 bits: 140 us at 989 TFLOP/s, 37 at 4.8 TB/s (H200 data sheet): bound by the tensor cores.
 * Mapping  layer_wgmma (linear_wgmma.cu) on compute capability 9.0, for nearly all layers in 16 bits. Else layer_tiled
 *          (layer.cuh): a block per tile of 128 x 128, or 64 x 64 where those are few. The tiles of a row
 *          of tiles run side by side, so a line of A comes from the L2 cache for all but the first.
 * Needs    W packed; no scratch. Rows of 16 bits that are not aligned, and float32 to be rounded, take the loader of
 *          single elements.
 * History  Not measured yet. layer_v1_naive, a thread per element: the oracle.
 */
#include "kernels/cuda/encode/layer.cuh"

Status layer_of_rows(Queue *q, const Layer &l, Precision precision) {
    if (takes_boxes(q->device, l, precision)) return layer_of_boxes(q, l, precision);
    return with_precision(precision,
                          [&](auto type) { return start_sized<decltype(type), Rows>(q, l); });
}

Status layer_naive(Queue *q, const Layer &l, Precision precision) {
    return with_precision(precision, [&](auto type) {
        return launch(q, layer_v1_naive<decltype(type)>,
                      grid_of(ceil_div((int64_t)l.rows * l.cols, 128)), 128, 0, l);
    });
}

extern "C" Status cuda_linear(Queue *q, Matrix out, Matrix in, const Weight *w,
                              const Epilogue *epilogue, int64_t rows, void *scratch) {
    (void)scratch;
    REQUIRE(q,
            out.data && in.data && can_apply(w) && w->taps == 1 && epilogue && rows >= 1 &&
                rows <= INT32_MAX / 2 && out.row >= w->out && in.row >= w->in &&
                (!epilogue->times.data || epilogue->times.row >= w->out),
            "linear");
    Layer l = layer_of(out, in, w, epilogue);
    l.rows = (int)rows, l.pixels = l.out_width = l.kernel = l.stride = l.height = l.width = 1;
    l.in_image = in.row, l.out_image = out.row;
    l.aligned = whole_vectors(in.data, in.row, in.type);
    l.wide = is_wide(l);
    if (q->device->naive) return layer_naive(q, l, w->precision);
    const bool same = in.type == w->precision && (l.aligned || in.type == PRECISION_FP32);
    return same ? layer_of_rows(q, l, w->precision) : layer_of_elements(q, l, w->precision);
}
