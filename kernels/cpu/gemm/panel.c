/* panel.c - products of one panel of features: what the inner loop and the outer gradient share. */
#include <string.h>

#include "kernels/cpu/gemm/bf16.h"
#include "kernels/cpu/gemm/transpose.h"
#include "kernels/cpu/gemm/vec.h"
#if defined(__F16C__)
#include <immintrin.h>
#endif

/* Converts a sample of float16, exactly. */
static void widen(float *to, const uint16_t *from, int64_t n) {
    int64_t i = 0;
#if defined(__F16C__)
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(from + i))));
#endif
    dtype_to_f32(to + i, from + i, DTYPE_F16, false, n - i);
}

Panel panel_features(const Device *device, const Batch *Z, int64_t first, int64_t n,
                     float *buffer) {
    const int64_t bytes = Z->row * dtype_bytes(Z->type);
    const char *data = (const char *)Z->data + first * bytes;
    Panel p = {.at = data, .row = Z->row, .next = data + n * bytes, .bytes = n * bytes};
    if (Z->type == DTYPE_BF16) p.multiply = device->multiply_bf16, p.few = device->few_bf16;
    if (Z->type != DTYPE_F16) return p;
    p.at = buffer;
    p.row = batch_row(DTYPE_F32, Z->d);
    for (int64_t i = 0; i < n; i++)
        widen(buffer + i * p.row, (const uint16_t *)Z->data + (first + i) * Z->row, Z->d);
    return p;
}

/* --- logits ----------------------------------------------------------------------------------- */

/* Features of a strip of W that stay close while the panel's rows pass: 24 KiB with AVX2, and with AVX-512 96 KiB, which
 * the second-level cache sends as fast as tiles read them. */
enum { DEPTH_RUN = 384 };

int64_t packed_bytes(DType type, int64_t C, int64_t d) {
    if (type == DTYPE_BF16) return bf16_weight_bytes(C, d);
    return round_up(packed_classes(C), TILE_COLS) * d * (int64_t)sizeof(float);
}

typedef struct {
    float *packed;
    const float *W;
    int64_t C, d;
} Packing;

/* Passes are strips of TILE_COLS classes. */
static void pack_strips(const void *loop, int64_t begin, int64_t end, int thread) {
    const Packing *p = loop;
    const float *W = p->W;
    const int64_t d = p->d;
    (void)thread;
    for (int64_t first = begin * TILE_COLS; first < end * TILE_COLS; first += TILE_COLS) {
        const int64_t cols = least(packed_classes(p->C) - first, TILE_COLS);
        const int64_t whole = cols / SQUARE * SQUARE;
        float *to = p->packed + first * d;
        for (int64_t c = 0; c < whole; c += SQUARE)
            transpose_rows(to + c, TILE_COLS, W + (first + c) * d, d, d, true);
        for (int64_t j = 0; whole < TILE_COLS && j < d; j++, to += TILE_COLS) {
            for (int64_t c = whole; c < cols; c++) to[c] = W[(first + c) * d + j];
            for (int64_t c = cols; c < TILE_COLS; c++) to[c] = 0.0f;
        }
    }
}

void pack_weight(void *packed, const Device *device, DType type, const float *W, int64_t C,
                 int64_t d) {
    const int64_t strips = ceil_div(packed_classes(C), TILE_COLS);
    if (type == DTYPE_BF16) bf16_pack_weight(packed, device, W, C, d);
    else
        threads_loop(device->pool, strips, rows_run(TILE_COLS * d), pack_strips,
                     &(Packing){packed, W, C, d});
}

/* The classes that are not packed, in groups as even as dot_tile allows. */
static void dot_logits(float *logits, int64_t ld, Panel Z, const float *W, int64_t n, int64_t C,
                       int64_t d) {
    const float *at = Z.at;
    const int64_t first = packed_classes(C), rest = C - first, groups = ceil_div(rest, DOT_COLS),
                  steps = groups * ceil_div(n, DOT_ROWS) * (d / VEC_FLOATS),
                  fetched = Z.bytes / most(steps, 1) + 1; /* bytes for every step of a tile */
    Ahead next = {Z.next, fetched};
    for (int64_t g = 0; g < groups; g++)
        for (int64_t i = 0; i < n; i += DOT_ROWS) {
            const int64_t c = first + g * rest / groups, end = first + (g + 1) * rest / groups;
            dot_tile(least(n - i, DOT_ROWS), end - c, d, at + i * Z.row, Z.row, W + c * d, d,
                     logits + i * ld + c, ld, next);
            next.at += d / VEC_FLOATS * fetched;
        }
}

/* Adds features k .. k+DEPTH_RUN of the classes of a strip. The strip's next features are fetched meanwhile. */
static void run_logits(float *logits, int64_t ld, Panel Z, const float *strip, int64_t n,
                       int64_t cols, int64_t k, int64_t d) {
    const int64_t deep = least(d - k, DEPTH_RUN), tiles = ceil_div(n, TILE_ROWS);
    const float *run = strip + k * TILE_COLS;
    Ahead next = {(const char *)(run + deep * TILE_COLS),
                  least(ceil_div(TILE_COLS * (int64_t)sizeof(float), tiles), 128)};
    for (int64_t i = 0; i < n; i += TILE_ROWS, next.at += deep * next.step) {
        const int64_t rows = least(n - i, TILE_ROWS);
        float *to = logits + i * ld;
        if (Z.arriving) {
            gemm_tile_A_apart(rows, cols, deep, Z.arriving->rows + i, k, run, to, ld, k > 0, next);
        } else {
            const Operand a = {(const float *)Z.at + i * Z.row + k, Z.row, 1};
            gemm_tile(rows, cols, deep, a, strip_of(run), to, ld, k > 0, next);
        }
    }
}

void panel_logits(float *logits, int64_t ld, Panel Z, const void *packed_W, const float *W,
                  int64_t n, int64_t C, int64_t d) {
    const float *packed = packed_W;
    const int64_t end = packed_classes(C), width = least(round_up(C, VEC_FLOATS), ld);
    if (Z.multiply) {
        bf16_logits(logits, ld, Z, packed_W, n, C, width, d);
        return;
    }
    for (int64_t c = 0; c < end; c += TILE_COLS)
        for (int64_t k = 0; k < d; k += DEPTH_RUN)
            run_logits(logits + c, ld, Z, packed + c * d, n, least(width - c, TILE_COLS), k, d);
    if (DOT_CLASSES > 0 && end < C && Z.arriving)
        arriving_logits(logits + end, ld, Z.arriving, W + end * d, n, C - end, d);
    else if (DOT_CLASSES > 0 && end < C) dot_logits(logits, ld, Z, W, n, C, d);
}

/* --- gradient --------------------------------------------------------------------------------- */

/* The classes of a tile. Tiles have heights as even as possible, for a low one is slow. */
typedef struct {
    int64_t first, n, tiles, low, more; /* low: the least height; more: how many tiles are higher */
    int64_t part;                       /* of `tiles`: `more` is added for every tile */
} Classes;
static Classes no_classes(int64_t C) {
    const int64_t tiles = ceil_div(C, TILE_ROWS);
    return (Classes){.tiles = tiles, .low = C / tiles, .more = C % tiles};
}
/* Returns the classes of the tile behind c: from t C / tiles on, without the division, which a tile would wait for. */
static Classes behind(Classes c) {
    c.first += c.n;
    c.part += c.more;
    c.n = c.low + (c.part >= c.tiles);
    c.part -= c.part >= c.tiles ? c.tiles : 0;
    return c;
}

/* Packs residuals as [tiles][n][TILE_ROWS], one tile after the other. Nobody reads what lies beyond a
 * tile's classes. */
static void pack_residual(float *packed, const float *residual, int64_t ld, int64_t n, int64_t C) {
    for (Classes c = behind(no_classes(C)); c.first < C; c = behind(c)) {
        const bool inside = c.first + TILE_ROWS <= C;
        const float *from = residual + c.first;
        for (int64_t i = 0; i < n; i++, from += ld, packed += TILE_ROWS) {
            if (inside) memcpy(packed, from, TILE_ROWS * sizeof *packed); /* no call: constant */
            else
                for (int64_t j = 0; j < c.n; j++) packed[j] = from[j];
        }
    }
}

/* Columns of Z are packed when more tiles than PACK_TILES read them, and by the first, which then takes 1.4 times as long
 * as another. Residuals are packed when their rows are longer than PACK_CLASSES: a tile's column of shorter ones lies in
 * few pages, and in half of a first-level cache. */
enum { PACK_TILES = 24, PACK_CLASSES = 112 };

static void weight_gradient(float *grad, bool accumulate, const float *residual, int64_t ld,
                            Panel Z, int64_t n, int64_t C, int64_t d, float *packed) {
    const float *at = Z.at;
    const Arriving *in = DOT_CLASSES > 0 ? Z.arriving : NULL;
    const int64_t tiles = ceil_div(C, TILE_ROWS), strips = ceil_div(d, TILE_COLS),
                  fetched = Z.bytes / (strips * tiles * n) + 1; /* bytes for every step of a tile */
    const bool pack = ld > PACK_CLASSES;
    Ahead next = {Z.next, fetched};
    _Alignas(64) float strip[PANEL * TILE_COLS];
    if (pack) pack_residual(packed, residual, ld, n, C);
    for (int64_t j = 0; j < d; j += TILE_COLS) {
        const int64_t cols = least(d - j, TILE_COLS);
        Operand b = {at + j, 0, Z.row};
        if (cols < TILE_COLS) { /* a whole vector would pass their end */
            memset(strip, 0, sizeof strip);
            for (int64_t i = 0; i < n; i++)
                memcpy(strip + i * TILE_COLS, in ? in->rows[i] + j : b.at + i * Z.row,
                       (size_t)cols * sizeof *strip);
            b = strip_of(strip);
        }
        const float *A = packed;
        for (Classes c = behind(no_classes(C)); c.first < C; c = behind(c)) {
            const Operand a = {pack ? A : residual + c.first, 1, pack ? TILE_ROWS : ld};
            const bool packs = c.first == 0 && tiles > PACK_TILES && cols == TILE_COLS && !in;
            float *to = grad + c.first * d + j;
            if (in && b.at != strip)
                gemm_tile_B_apart(c.n, n, a.at, a.step, in->rows, j, to, d, accumulate);
            else if (packs) gemm_tile_packing(strip, c.n, n, a, b, to, d, accumulate, next);
            else gemm_tile(c.n, cols, n, a, b, to, d, accumulate, next);
            if (packs) b = strip_of(strip);
            A += n * TILE_ROWS;
            next.at += n * fetched;
        }
    }
}

/* Adds the rows of `cols` columns, a constant at every call, so that the sums become registers. */
static inline __attribute__((always_inline)) void
add_columns(const int cols, float *sum, const float *residual, int64_t ld, int64_t n) {
    float own[64];
    memcpy(own, sum, (size_t)cols * sizeof *own);
    for (int64_t i = 0; i < n; i++, residual += ld)
        for (int c = 0; c < cols; c++) own[c] += residual[c];
    memcpy(sum, own, (size_t)cols * sizeof *own);
}

static void bias_gradient(float *grad, const float *residual, int64_t ld, int64_t n, int64_t C) {
    int64_t c = 0;
    for (; c + 64 <= C; c += 64) add_columns(64, grad + c, residual + c, ld, n);
    for (; c + 16 <= C; c += 16) add_columns(16, grad + c, residual + c, ld, n);
    for (; c + 8 <= C; c += 8) add_columns(8, grad + c, residual + c, ld, n);
    for (; c + 4 <= C; c += 4) add_columns(4, grad + c, residual + c, ld, n);
    for (; c + 2 <= C; c += 2) add_columns(2, grad + c, residual + c, ld, n);
    if (c < C) add_columns(1, grad + c, residual + c, ld, n);
}

int64_t residual_bytes(DType type, int64_t C) {
    if (type == DTYPE_BF16) return bf16_residual_bytes(C);
    return PANEL * round_up(C, TILE_ROWS) * (int64_t)sizeof(float);
}

void panel_gradient(float *grad, bool accumulate, const float *residual, int64_t ld, Panel Z,
                    int64_t n, int64_t C, int64_t d, void *packed) {
    if (Z.multiply) bf16_gradient(grad, accumulate, residual, ld, Z, n, C, d, packed);
    else weight_gradient(grad, accumulate, residual, ld, Z, n, C, d, packed);
    float *grad_bias = grad + C * d;
    if (!accumulate) memset(grad_bias, 0, (size_t)C * sizeof *grad_bias);
    bias_gradient(grad_bias, residual, ld, n, C);
}

/* Returns the most features of which so many private gradients fit: 16 MiB, or 4 MiB where there are more than 16. */
static int64_t most_features(int64_t groups, int64_t C) {
    const int64_t bytes = (int64_t)(groups > 16 ? 4 : 16) << 20;
    return bytes / (groups * C * (int64_t)sizeof(float)) - 1;
}

int64_t gradient_groups(DType type, int64_t B, int64_t C, int64_t d) {
    const int64_t panels = ceil_div(B, panel_rows(type, C));
    int64_t groups = ROW_GROUPS;
    while (groups > 1 && (groups > panels || d > most_features(groups, C))) groups /= 2;
    return groups;
}

int64_t features_in_more_groups(DType type, int64_t B, int64_t C, int64_t d) {
    const int64_t groups = gradient_groups(type, B, C, d),
                  fewer = groups < ROW_GROUPS ? most_features(2 * groups, C) : 0;
    return fewer < d ? most(fewer, 0) : 0; /* not fewer: panels bound the groups */
}

/* Adds a block of elements of every group in registers, while what lies AHEAD of them is fetched. All groups together keep
 * the caches busy, where one run of a group behind the other waited for its first lines: 43 -> 92 GB/s, and 27 -> 56 where
 * 40 MiB have passed since the groups were written (EPYC, Zen 4). */
void sum_groups(float *sum, const float *grad, int64_t groups, int64_t size, int64_t first,
                int64_t n) {
    enum { BLOCK = VECS * VEC_FLOATS, AHEAD = 128 };
    int64_t i = 0;
    for (; i + BLOCK <= n; i += BLOCK) {
        const float *at = grad + first + i;
        Vec block[VECS];
        for (int64_t g = 0; g < groups; g++)
            for (int j = 0; j < BLOCK; j += LINE) __builtin_prefetch(at + g * size + j + AHEAD);
        for (int v = 0; v < VECS; v++) block[v] = load(at + v * VEC_FLOATS);
        for (int64_t g = 1; g < groups; g++)
            for (int v = 0; v < VECS; v++) block[v] += load(at + g * size + v * VEC_FLOATS);
        for (int v = 0; v < VECS; v++) store(sum + i + v * VEC_FLOATS, block[v]);
    }
    for (; i < n; i++) {
        sum[i] = grad[first + i];
        for (int64_t g = 1; g < groups; g++) sum[i] += grad[g * size + first + i];
    }
}
