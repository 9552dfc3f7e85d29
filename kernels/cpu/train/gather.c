/*
 * gather.c - the rows of a batch, converted to its type: Z[b,:] = features[rows[b],:]; and, on their way, the logits
 *            Z W^T + bias
 *
 * Cost     4Bd bytes written, 2Bd to a batch of 16 bits; runs of d elements read, 1.5 to 6 KiB.
 * Mapping  rows over threads. With logits, panels whose rows are read where they lie: every tile of dot products copies a
 *          share of the panel, and fetches a share of the next one.
 * History  B 10000, d 768, float32, CPU time of one thread, AMD EPYC (Zen 4), gcc 12.2:
 *          v1: 5.3 ms by memcpy: each line is read before it is overwritten, and each row begins with a wait.
 *          v2: batches that no cache holds are written past the caches, and rows are fetched three ahead (predicted
 *          2.3 ms, 61 MB at 27 GB/s; measured 2.9). All lines of a row fetched in one burst: 3.1; into the first-level
 *          cache: 4.4; fetched without writing past the caches: 4.4.
 *          v3, C 10, with the task's logits: 2.9 + 1.9 -> 3.4 ms (predicted 2.9, the copy alone); whole iterations 41.5
 *          -> 40.2. Dropped: 24 rows copied into a panel too, whose products fetch the next 24: 4.0, for nothing is
 *          computed while lines leave.
 *          v4: a panel at a time, of which every tile copies and fetches a share, and pages of rows to come are touched
 *          together (iteration.c).
 *          v5, for more classes too: dot products of those behind whole strips copy and fetch, and strips read rows where
 *          they lie. Whole iterations at C 100, d 768 and 1024, lower quartiles: 763.4 -> 760.7 ms, with two threads 386.4
 *          -> 384.5 (predicted 0.6 %, for the gather takes 0.9).
 */
#include <string.h>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "kernels/cpu/gemm/gemm.h"
#include "kernels/cpu/operations.h"

/* Bytes of a batch from which on it is streamed; rows between the one that is copied and the one that is fetched; rows of
 * a run of passes, and rows whose pages are touched together. */
enum {
    STREAMED = 16 << 20,
    ROWS_AHEAD = 3,
    STREAM_RUN = 128,
    TOUCHED = 16,
    LINE = 64,
    PAGE = 4096
};

/* Fetches a line of every page of a row to come. Its translation is looked up, for which a fetch waits as a load does, and
 * so do all that come behind it: for several rows together, lookups wait beside each other. */
static void touch_row(const uint8_t *row, int64_t bytes) {
    for (int64_t i = 0; i < bytes; i += PAGE) __builtin_prefetch(row + i, 0, 2);
    __builtin_prefetch(row + bytes - 1, 0, 2);
}

/* Writes a line past the caches. `to` is aligned to it. */
static inline void stream_line(uint8_t *to, const uint8_t *from) {
#if defined(__AVX512F__)
    _mm512_stream_si512((__m512i *)(void *)to, _mm512_loadu_si512(from));
#elif defined(__AVX2__)
    for (int i = 0; i < LINE; i += 32)
        _mm256_stream_si256((__m256i *)(void *)(to + i),
                            _mm256_loadu_si256((const __m256i *)(const void *)(from + i)));
#elif defined(__SSE2__)
    for (int i = 0; i < LINE; i += 16)
        _mm_stream_si128((__m128i *)(void *)(to + i),
                         _mm_loadu_si128((const __m128i *)(const void *)(from + i)));
#else
    memcpy(to, from, LINE);
#endif
}

/* Copies a row past the caches, and fetches the row at `next` on the way. */
static void stream_row(uint8_t *to, const uint8_t *from, const uint8_t *next, int64_t bytes) {
    int64_t i = 0;
    for (; i + LINE <= bytes; i += LINE) {
        __builtin_prefetch(next + i, 0, 2);
        stream_line(to + i, from + i);
    }
    memcpy(to + i, from + i, (size_t)(bytes - i));
}

/* Writes one sample in 16 bits, rounded to the nearest, then zeros up to the end of its row, which products
 * of bfloat16 read. */
static void narrow_row(uint16_t *to, const Batch *out, const uint8_t *from, const Features *f) {
    enum { RUN = 256 };
    float run[RUN];
    for (int64_t j = 0; j < f->d; j += RUN) {
        const int64_t n = least(f->d - j, RUN);
        if (!dtype_to_f32(run, from + j * dtype_bytes(f->type), f->type, f->swapped, n))
            return; /* never reached: cpu_gather refuses such a type */
        if (out->type == DTYPE_BF16)
            for (int64_t i = 0; i < n; i++) to[j + i] = bf16_from_f32(run[i]);
        else
            for (int64_t i = 0; i < n; i++) to[j + i] = f16_from_f32(run[i]);
    }
    memset(to + f->d, 0, (size_t)(out->row - f->d) * sizeof *to);
}

typedef struct {
    const Batch *out;
    const Features *f;
    const int64_t *rows;
    int64_t B;
} Gather;

/* Returns whether rows keep their type, and with it their bytes. */
static bool copied(const Batch *out, const Features *f) {
    return out->type == f->type && !f->swapped &&
           (out->type == DTYPE_F32 || out->type == DTYPE_F16);
}

bool cpu_gather_streams(const Batch *out, int64_t B) {
    const int64_t stride = out->row * dtype_bytes(out->type);
    return B * stride >= STREAMED && stride % LINE == 0 && (uintptr_t)out->data % LINE == 0;
}

static bool streamed(const Batch *out, const Features *f, int64_t B) {
    return copied(out, f) && cpu_gather_streams(out, B);
}

static void stream_rows(const void *loop, int64_t first, int64_t end, int thread) {
    const Gather *g = loop;
    const uint8_t *from = g->f->data;
    const int64_t bytes = g->f->d * dtype_bytes(g->f->type),
                  stride = g->out->row * dtype_bytes(g->out->type);
    (void)thread;
    for (int64_t b = first; b < end; b++) {
        for (int64_t i = b; b % TOUCHED == 0 && i < least(b + TOUCHED, g->B); i++)
            touch_row(from + g->rows[least(i + ROWS_AHEAD, g->B - 1)] * bytes, bytes);
        stream_row((uint8_t *)g->out->data + b * stride, from + g->rows[b] * bytes,
                   from + g->rows[least(b + ROWS_AHEAD, g->B - 1)] * bytes, bytes);
    }
    end_stream();
}

static void gather_rows(const void *loop, int64_t first, int64_t end, int thread) {
    const Gather *g = loop;
    const Batch *out = g->out;
    const Features *f = g->f;
    const int64_t bytes = f->d * dtype_bytes(f->type), stride = out->row * dtype_bytes(out->type);
    (void)thread;
    for (int64_t b = first; b < end; b++) {
        const uint8_t *from = (const uint8_t *)f->data + g->rows[b] * bytes;
        uint8_t *to = (uint8_t *)out->data + b * stride;
        if (copied(out, f)) memcpy(to, from, (size_t)bytes);
        else if (out->type == DTYPE_F32)
            dtype_to_f32((float *)(void *)to, from, f->type, f->swapped, f->d);
        else narrow_row((uint16_t *)(void *)to, out, from, f);
    }
}

static bool rows_in_range(const Features *f, const int64_t *rows, int64_t B) {
    bool ok = true;
    for (int64_t b = 0; b < B; b++) ok &= rows[b] >= 0 && rows[b] < f->N;
    return ok;
}

static bool servable(const Batch *out, const Features *f, const int64_t *rows, int64_t B) {
    return batch_servable(out) && f && f->data && f->d == out->d && dtype_is_float(f->type) &&
           rows && B >= 1 && rows_in_range(f, rows, B);
}

Status cpu_gather(Queue *q, const Batch *out, const Features *f, const int64_t *rows, int64_t B) {
    REQUIRE(q, servable(out, f, rows, B), "gather");
    const Gather g = {out, f, rows, B};
    if (streamed(out, f, B)) threads_loop(q->device->pool, B, STREAM_RUN, stream_rows, &g);
    else threads_loop(q->device->pool, B, rows_run(f->d), gather_rows, &g);
    return OK;
}

/* --- with logits ---------------------------------------------------------------------------------- */

void cpu_gather_linear_panel(const GatherLinear *l, Arriving *panel, int64_t first, int64_t n,
                             int64_t parts) {
    const float *from = l->from->data;
    const int64_t C = l->C, d = l->out->d;
    float *logits = l->logits + first * C;
    panel->row = l->out->row;
    panel->part = 0, panel->parts = parts;
    panel->to = (float *)l->out->data + first * panel->row;
    for (int64_t i = 0; i < n; i++) {
        panel->rows[i] = from + l->rows[first + i] * d;
        panel->next[i] = from + l->rows[least(first + n + i, l->B - 1)] * d;
        touch_row((const uint8_t *)panel->next[i], d * (int64_t)sizeof *from);
    }
    panel_logits(logits, C, (Panel){.arriving = panel}, l->packed, l->W, n, C, d);
    panel->part++;
    for (int64_t i = 0; i < n; i++)
        for (int64_t c = 0; c < C; c++) logits[i * C + c] += l->bias[c];
}

/* Passes are rows, of which a run is a panel. */
static void gather_panel(const void *loop, int64_t first, int64_t end, int thread) {
    Arriving panel;
    (void)thread;
    cpu_gather_linear_panel(loop, &panel, first, end - first, 1);
}

bool cpu_gather_linear_fits(const GatherLinear *l) {
    return DOT_CLASSES > 0 && packed_classes(l->C) < l->C && l->B % DOT_ROWS == 0 &&
           l->out->type == DTYPE_F32 && servable(l->out, l->from, l->rows, l->B) &&
           streamed(l->out, l->from, l->B);
}

Status cpu_gather_linear(Queue *q, const GatherLinear *l, void *scratch) {
    const Batch *out = l->out;
    REQUIRE(q, servable(out, l->from, l->rows, l->B), "gather");
    if (!cpu_gather_linear_fits(l)) {
        cpu_gather(q, out, l->from, l->rows, l->B);
        return cpu_matmul(q, MATMUL_NT, l->logits, out, l->W, l->bias, l->B, l->C, out->d, scratch);
    }
    GatherLinear packed = *l;
    packed.packed = scratch;
    pack_weight(scratch, q->device, DTYPE_F32, l->W, l->C, out->d);
    threads_loop(q->device->pool, l->B, FEW_PANEL, gather_panel, &packed);
    return OK;
}
