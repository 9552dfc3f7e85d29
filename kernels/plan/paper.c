/* paper.c - operations of encoders that note their shapes, bytes and flops. */
#include "kernels/plan/paper.h"

#include <stdlib.h>
#include <string.h>

#include "io/sizes.h"

struct Device {
    Paper *paper;
    uintptr_t next; /* the address of the next buffer */
};
struct Queue {
    Device *device;
};

/* --- memory and queues ------------------------------------------------------------------------ */

static void close_device(Device *device) {
    free(device);
}

static Status alloc(Device *device, Buffer *out, int64_t bytes, Error *err) {
    *out = (Buffer){0};
    if (bytes < 0 || bytes > INT64_MAX / 4 - device->paper->bytes)
        return fail(err, ERR_ARG, "memory: %lld bytes", (long long)bytes);
    *out = (Buffer){(void *)device->next, bytes};
    device->next += (uintptr_t)round_up(bytes + 1, 256);
    device->paper->bytes += bytes;
    device->paper->most = most(device->paper->most, device->paper->bytes);
    return OK;
}

static void release(Device *device, Buffer *buffer) {
    device->paper->bytes -= buffer->bytes;
    *buffer = (Buffer){0};
}

static void memory(Device *device, MemoryUse *out) {
    *out =
        (MemoryUse){.total = INT64_MAX / 4, .free = INT64_MAX / 4, .arrays = device->paper->bytes};
}

static Status queue_open(Device *device, Queue **out, Error *err) {
    *out = calloc(1, sizeof **out);
    if (!*out) return fail(err, ERR_MEMORY, "queue: out of memory");
    (*out)->device = device;
    return OK;
}

static void queue_close(Queue *queue) {
    free(queue);
}

static Status wait_done(Queue *queue, Error *err) {
    (void)queue, (void)err;
    return OK;
}

static Status copy(Queue *queue, void *to, const void *from, int64_t bytes) {
    (void)queue, (void)to, (void)from, (void)bytes;
    return OK;
}

static Status mark(Queue *queue, int64_t *out) {
    (void)queue;
    *out = 0;
    return OK;
}

static Status reach(Queue *queue, int64_t at, Error *err) {
    (void)queue, (void)at, (void)err;
    return OK;
}

static Queue *branch(Queue *queue) {
    return queue;
}

static void join(Queue *queue) {
    (void)queue;
}

/* --- launches --------------------------------------------------------------------------------- */

static bool is_like(const Launch *a, const Launch *b) {
    return strcmp(a->operation, b->operation) == 0 && a->precision == b->precision &&
           a->rows == b->rows && a->out == b->out && a->depth == b->depth && a->heads == b->heads &&
           a->width == b->width && a->queries == b->queries && a->keys == b->keys &&
           a->causal == b->causal && a->boxes == b->boxes && a->singly == b->singly &&
           a->activation == b->activation && a->beside == b->beside && !(a->bytes < b->bytes) &&
           !(a->bytes > b->bytes);
}

static Status note(Queue *queue, Launch launch) {
    Paper *p = queue->device->paper;
    if (!p->noting) return OK;
    for (int i = 0; i < p->count; i++)
        if (is_like(&p->launch[i], &launch)) {
            p->launch[i].times++;
            return OK;
        }
    launch.times = 1;
    if (p->count == PAPER_MOST_LAUNCHES) p->too_many = true;
    else p->launch[p->count++] = launch;
    return OK;
}

/* Notes a product of `rows` rows whose input has `read` elements, and is a matrix or is not. */
static Status product(Queue *queue, const char *operation, Matrix out, Matrix in, const Weight *w,
                      const Epilogue *epilogue, int64_t rows, double read, bool matrix) {
    const double bytes_out = (double)precision_bytes(out.type),
                 outputs = (double)rows * (double)w->out;
    const int64_t depth = w->in * w->taps, line = matrix ? in.row : w->in;
    double bytes = read * (double)precision_bytes(in.type) + outputs * bytes_out +
                   (double)w->out * (double)depth * (double)precision_bytes(w->precision);
    if (epilogue->add) bytes += outputs * bytes_out;
    if (epilogue->times.data) bytes += outputs * (double)precision_bytes(epilogue->times.type);
    return note(queue, (Launch){.operation = operation,
                                .kind = LAUNCH_PRODUCT,
                                .precision = w->precision,
                                .rows = rows,
                                .out = w->out,
                                .depth = depth,
                                .boxes = matrix && in.type == w->precision && in.row % 8 == 0 &&
                                         w->out % 8 == 0 && out.row % 8 == 0,
                                .singly = w->precision != PRECISION_FP32 &&
                                          (in.type != w->precision || line % 8 != 0),
                                .activation = epilogue->activation,
                                .beside = epilogue->add || epilogue->times.data,
                                .bytes = bytes,
                                .flops = 2.0 * outputs * (double)depth});
}

static Status linear(Queue *queue, Matrix out, Matrix in, const Weight *w, const Epilogue *epilogue,
                     int64_t rows, void *scratch) {
    (void)scratch;
    return product(queue, "linear", out, in, w, epilogue, rows, (double)rows * (double)w->in, true);
}

static Status conv2d(Queue *queue, Matrix out, Matrix in, const Weight *w, const Window *window,
                     const Epilogue *epilogue, int64_t B, void *scratch) {
    (void)scratch;
    const int64_t rows = B * window_out(window->height, window) * window_out(window->width, window);
    const double read = (double)(B * window->height * window->width) * (double)w->in;
    return product(queue, "conv2d", out, in, w, epilogue, rows, read,
                   window->kernel == 1 && window->stride == 1 && window->pad == 0);
}

static Status attention(Queue *queue, Tokens out, Tokens q, Tokens k, Tokens v, int64_t B,
                        int64_t queries, int64_t keys, int64_t heads, int64_t width, bool causal,
                        const Rope *rope, void *scratch) {
    (void)q, (void)k, (void)v, (void)rope, (void)scratch;
    const double rows = (double)B * (double)(heads * width);
    return note(queue, (Launch){.operation = "attention",
                                .kind = LAUNCH_ATTENTION,
                                .precision = out.type,
                                .rows = B,
                                .heads = heads,
                                .width = width,
                                .queries = queries,
                                .keys = keys,
                                .causal = causal,
                                .bytes = rows * (double)(2 * queries + 2 * keys) *
                                         (double)precision_bytes(out.type),
                                .flops = 4.0 * rows * (double)queries * (double)keys});
}

static Status elements(Queue *queue, const char *operation, int64_t rows, int64_t width,
                       double bytes) {
    return note(queue, (Launch){.operation = operation,
                                .kind = LAUNCH_ELEMENTS,
                                .rows = rows,
                                .out = width,
                                .bytes = bytes});
}

static Status layer_norm(Queue *queue, Matrix out, const float *x, int64_t x_row,
                         const float *weight, const float *bias, double eps, int64_t rows,
                         int64_t d) {
    (void)x, (void)x_row, (void)weight, (void)bias, (void)eps;
    const double n = (double)rows * (double)d;
    return elements(queue, "layer_norm", rows, d, n * (4.0 + (double)precision_bytes(out.type)));
}

static Status pixels(Queue *queue, float *out, const uint8_t *from, const float mean[3],
                     const float std[3], int64_t B, int64_t side) {
    (void)out, (void)from, (void)mean, (void)std;
    return elements(queue, "pixels", B * side * side, 3, 15.0 * (double)(B * side * side));
}

static Status add_tokens(Queue *queue, float *x, const float *first, int64_t prefix,
                         const float *position, int64_t B, int64_t n, int64_t d) {
    (void)x, (void)first;
    const double rows = (double)B * (double)(prefix + (position ? 2 * n : 0));
    return elements(queue, "add_tokens", B * (prefix + n), d, 4.0 * rows * (double)d);
}

static Status embed(Queue *queue, float *out, const int32_t *ids, const Weight *table,
                    const float *position, int64_t B, int64_t T) {
    (void)out, (void)ids, (void)position;
    return elements(queue, "embed", B * T, table->in, 8.0 * (double)(B * T) * (double)table->in);
}

static Status pool_tokens(Queue *queue, Matrix out, Matrix x, const float *position, int64_t B,
                          int64_t n, int64_t d) {
    (void)x, (void)position;
    const double bytes = (double)B * (double)(2 * n + 1) * (double)d;
    return elements(queue, "pool_tokens", B * (n + 1), d,
                    bytes * (double)precision_bytes(out.type));
}

static Status avg_pool(Queue *queue, Matrix out, Matrix in, int64_t B, int64_t H, int64_t W,
                       int64_t C, int64_t k) {
    (void)in;
    const double n = (double)(B * H * W) * (double)C * (1.0 + 1.0 / (double)(k * k));
    return elements(queue, "avg_pool", B * (H / k) * (W / k), C,
                    n * (double)precision_bytes(out.type));
}

static Status mean_tokens(Queue *queue, float *out, int64_t out_row, const float *x, int64_t B,
                          int64_t T, int64_t first, int64_t n, int64_t d) {
    (void)out, (void)out_row, (void)x, (void)T, (void)first;
    return elements(queue, "mean_tokens", B, d, 4.0 * (double)B * (double)(n + 1) * (double)d);
}

static Status normalize(Queue *queue, float *x, int64_t rows, int64_t d) {
    (void)x;
    return elements(queue, "normalize", rows, d, 8.0 * (double)rows * (double)d);
}

static int64_t pack_bytes(const Weight *w) {
    return w->out * w->in * w->taps * precision_bytes(w->precision);
}

static Status pack(Queue *queue, void *packed, const Weight *w) {
    (void)queue, (void)packed, (void)w;
    return OK;
}

static int64_t scratch_bytes(const Device *device, int64_t depth, int64_t keys) {
    (void)device, (void)depth, (void)keys;
    return 0;
}

Status paper_open(Ops *out, Paper *paper, Error *err) {
    *out = (Ops){.name = "paper", .kind = "paper", .threads = 1, .cores = 1};
    *paper = (Paper){0};
    Device *device = calloc(1, sizeof *device);
    if (!device) return fail(err, ERR_MEMORY, "plan: out of memory");
    *device = (Device){paper, 1 << 20};
    out->device = device;
    out->precision = "fp16";
    out->mem = (DeviceOps){.close = close_device,
                           .alloc = alloc,
                           .free = release,
                           .memory = memory,
                           .queue_open = queue_open,
                           .queue_close = queue_close,
                           .wait = wait_done,
                           .to_device = copy,
                           .to_host = copy,
                           .copy = copy,
                           .mark = mark,
                           .reach = reach,
                           .branch = branch,
                           .join = join};
    out->encode = (EncodeOps){.linear = linear,
                              .conv2d = conv2d,
                              .attention = attention,
                              .layer_norm = layer_norm,
                              .pixels = pixels,
                              .add_tokens = add_tokens,
                              .embed = embed,
                              .pool_tokens = pool_tokens,
                              .avg_pool = avg_pool,
                              .mean_tokens = mean_tokens,
                              .normalize = normalize,
                              .pack_bytes = pack_bytes,
                              .pack = pack,
                              .narrow = {[PRECISION_FP16] = true, [PRECISION_BF16] = true},
                              .scratch_bytes = scratch_bytes};
    return OK;
}
