/*
 * pack.cu - a weight of a file as products read it: dense, in their type, aligned (kernels/encode.h)
 *
 *     packed (out,row) = w[o, i, t] at o row + t in + i, zeros behind     row = in taps, in 16 bits up to a multiple of 8
 *
 * Mapping  the host converts, a row at a time, into pieces that the queue carries through its pinned slots: what crosses
 *          the bus is the packed weight alone, half of a float32 file's bytes in 16 bits. Float32 rows are not padded:
 *          copies of 4 bytes serve any of them (tile/gemm.cuh), and embed reads them densely.
 * Needs    host memory for a row, until it returns. Epilogues keep their scale, so that a weight is rounded as in its
 *          file.
 */
#include <stdlib.h>

#include "kernels/cuda/encode/layer.cuh"

/* Writes to x (taps,in) the weights of output channel o; `line` has room for as many. */
static void read_row(float *x, float *line, const Weight *w, int64_t o) {
    const char *data = (const char *)w->data + o * w->out_step * dtype_bytes(w->type);
    const bool dense = (w->in_step == 1 && w->tap_step == w->in) ||
                       (w->in_step == 1 && w->taps == 1) ||
                       (w->tap_step == 1 && w->in_step == w->taps);
    if (dense) dtype_to_f32(line, data, w->type, false, w->in * w->taps);
    for (int64_t t = 0; t < w->taps; t++)
        for (int64_t i = 0; i < w->in; i++) {
            const int64_t at = i * w->in_step + t * w->tap_step;
            if (dense) x[t * w->in + i] = line[w->taps == 1 ? i : at];
            else
                dtype_to_f32(&x[t * w->in + i], data + at * dtype_bytes(w->type), w->type, false,
                             1);
        }
}

extern "C" int64_t cuda_pack_bytes(const Weight *w) {
    return w->out * packed_row(w) * precision_bytes(w->precision);
}

extern "C" Status cuda_pack(Queue *q, void *packed, const Weight *w) {
    REQUIRE(q,
            packed && w && w->data && w->out >= 1 && w->in >= 1 && w->taps >= 1 &&
                dtype_is_float(w->type),
            "pack");
    const int64_t depth = w->in * w->taps, row = packed_row(w),
                  bytes = row * precision_bytes(w->precision),
                  lines = bytes < SLOT_BYTES ? SLOT_BYTES / bytes : 1;
    float *x = (float *)calloc((size_t)(2 * row), sizeof *x);
    char *piece = (char *)malloc((size_t)(lines * bytes));
    if (!x || !piece)
        q->status = fail(&q->error, ERR_MEMORY, "pack: a row of %lld numbers", (long long)row);
    for (int64_t o = 0; o < w->out && q->status == OK; o += lines) {
        const int64_t n = w->out - o < lines ? w->out - o : lines;
        for (int64_t r = 0; r < n; r++) {
            read_row(x, x + row, w, o + r); /* x stays zero behind the depth */
            char *to = piece + r * bytes;
            if (w->precision == PRECISION_FP32) {
                memcpy(to, x, (size_t)depth * sizeof *x);
                continue;
            }
            for (int64_t i = 0; i < row; i++)
                ((uint16_t *)to)[i] =
                    w->precision == PRECISION_FP16 ? f16_from_f32(x[i]) : bf16_from_f32(x[i]);
        }
        cuda_to_device(q, (char *)packed + o * bytes, piece, n * bytes);
    }
    free(piece);
    free(x);
    return q->status;
}
