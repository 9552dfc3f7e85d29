/*
 * plain_products.cu - linear and conv2d (kernels/encode.h), one thread for every number of the output
 *
 *     packed   (out, taps, in) in the weight's precision
 *     sum      over taps, then over inputs, in float32; operands are rounded as they are read
 */
#include "tests/gpu/plain_products.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/backend/cuda.h"
#include "kernels/cuda/encode/activations.cuh"

constexpr int PLAIN_THREADS = 128;

static float as_float(const Weight *w, int64_t at) {
    const char *data = (const char *)w->data;
    uint16_t half;
    float single;
    double real;
    switch (w->type) {
    case DTYPE_F16: memcpy(&half, data + 2 * at, 2); return f32_from_f16(half);
    case DTYPE_BF16: memcpy(&half, data + 2 * at, 2); return f32_from_bf16(half);
    case DTYPE_F64: memcpy(&real, data + 8 * at, 8); return (float)real;
    default: memcpy(&single, data + 4 * at, 4); return single;
    }
}

static void store(void *to, int64_t at, float x, Precision p) {
    if (p == PRECISION_FP32) ((float *)to)[at] = x;
    else ((uint16_t *)to)[at] = p == PRECISION_FP16 ? f16_from_f32(x) : bf16_from_f32(x);
}

static int64_t packed_bytes(const Weight *w) {
    return w->out * w->taps * w->in * precision_bytes(w->precision);
}

static Status pack(Queue *q, void *packed, const Weight *w, const float *scale) {
    (void)scale; /* epilogues multiply */
    void *host = malloc((size_t)packed_bytes(w));
    if (!host) return ERR_MEMORY;
    int64_t at = 0;
    for (int64_t o = 0; o < w->out; o++)
        for (int64_t t = 0; t < w->taps; t++)
            for (int64_t i = 0; i < w->in; i++)
                store(host, at++, as_float(w, o * w->out_step + i * w->in_step + t * w->tap_step),
                      w->precision);
    Ops ops;
    cuda_queue_ops(&ops.mem);
    const Status st = ops.mem.to_device(q, packed, host, packed_bytes(w));
    free(host);
    return st;
}

static __device__ float rounded_to(float x, Precision p) {
    return p == PRECISION_FP16   ? f32_of_f16(f16_of(x))
           : p == PRECISION_BF16 ? f32_of_bf16(bf16_of(x))
                                 : x;
}

static __device__ float activated(float x, Activation a) {
    switch (a) {
    case ACT_RELU: return fmaxf(x, 0.0f);
    case ACT_QUICK_GELU: return x / (1.0f + expf(-1.702f * x));
    case ACT_GELU: return 0.5f * x * (1.0f + erff(x * 0.70710678f));
    case ACT_GELU_TANH:
        return 0.5f * x * (1.0f + tanhf(0.79788456f * (x + 0.044715f * x * x * x)));
    case ACT_SILU: return x / (1.0f + expf(-x));
    default: return x;
    }
}

/* Where the rows of a product come from and go to. A linear layer is a window of 1 x 1 over images of one pixel. */
struct Product {
    Matrix out, in, weight;
    Epilogue epilogue;
    Window window;
    int64_t rows, across, depth, in_channels, out_height, out_width, out_image;
};

__global__ void plain_product(const Product p) {
    const int64_t i = (int64_t)blockIdx.x * PLAIN_THREADS + threadIdx.x;
    if (i >= p.rows * p.across) return;
    const int64_t row = i / p.across, o = i % p.across, pixels = p.out_height * p.out_width;
    const int64_t image = row / pixels, y = row % pixels / p.out_width, x = row % p.out_width;
    float sum = 0.0f;
    for (int64_t t = 0; t < p.window.kernel * p.window.kernel; t++) {
        const int64_t from_y = y * p.window.stride - p.window.pad + t / p.window.kernel,
                      from_x = x * p.window.stride - p.window.pad + t % p.window.kernel;
        if (from_y < 0 || from_y >= p.window.height || from_x < 0 || from_x >= p.window.width)
            continue;
        const int64_t pixel = (image * p.window.height + from_y) * p.window.width + from_x;
        for (int64_t c = 0; c < p.in_channels; c++)
            sum += rounded_to(get(p.in, pixel * p.in.row + c), p.weight.type) *
                   get(p.weight, o * p.depth + t * p.in_channels + c);
    }
    const int64_t at = image * p.out_image + row % pixels * p.out.row + o;
    if (p.epilogue.scale) sum *= p.epilogue.scale[o];
    if (p.epilogue.add) sum += get(p.out, at);
    if (p.epilogue.bias) sum += p.epilogue.bias[o];
    sum = activated(sum, p.epilogue.activation);
    if (p.epilogue.times.data) sum *= get(p.epilogue.times, row * p.epilogue.times.row + o);
    put(p.out, at, sum);
}

static Status run(Queue *q, Product p, const Weight *w, const Epilogue *epilogue) {
    p.weight = Matrix{(void *)w->packed, w->taps * w->in, w->precision};
    p.epilogue = *epilogue;
    p.across = w->out;
    p.depth = w->taps * w->in;
    p.in_channels = w->in;
    return launch(q, plain_product, grid_of(ceil_div(p.rows * p.across, PLAIN_THREADS)),
                  PLAIN_THREADS, 0, p);
}

static Status linear(Queue *q, Matrix out, Matrix in, const Weight *w, const Epilogue *epilogue,
                     int64_t rows, void *scratch) {
    (void)scratch;
    REQUIRE(q, out.data && in.data && w && w->packed && rows >= 1, "linear");
    return run(q,
               Product{out, in, {}, {}, {1, 1, 1, 1, 0, 0}, rows, 0, 0, 0, 1, 1, out.row}, w,
               epilogue);
}

static Status conv2d(Queue *q, Matrix out, Matrix in, const Weight *w, const Window *window,
                     const Epilogue *epilogue, int64_t B, void *scratch) {
    (void)scratch;
    REQUIRE(q, out.data && in.data && w && w->packed && window && B >= 1, "conv2d");
    const int64_t height = window_out(window->height, window),
                  width = window_out(window->width, window);
    return run(q,
               Product{out, in, {}, {}, *window, B * height * width, 0, 0, 0, height, width,
                       window->out_image ? window->out_image : height * width * out.row},
               w, epilogue);
}

extern "C" void plain_products(Ops *ops) {
    ops->encode.linear = linear;
    ops->encode.conv2d = conv2d;
    ops->encode.pack = pack;
    ops->encode.pack_bytes = packed_bytes;
}
