/*
 * attention.c - out = softmax(q k^T / sqrt(width) [+ causal mask]) v, head by head, with rotary
 * positions where there are some (kernels/encode.h)
 *
 * Shapes   q, out (B,queries,heads,width); k, v (B,keys,heads,width), each with its own strides, so
 *          that the packed q, k, v of one linear layer serve as they lie. The width is any up to
 *          128; code for 64, the usual one, is compiled with that constant. All images may share
 *          their queries: q.image is 0 then.
 * Cost     4 B heads queries keys width flops; exp of B heads queries keys scores. Values are padded
 *          to whole strips of TILE_COLS columns: where a strip has 64, heads of 80 cost
 *          as much there as heads of 128.
 * Mapping  one head of one image is one piece of work. A thread packs that head's keys (transposed)
 *          and values, then takes QUERY_BLOCK queries at a time. Keys are rotated while they are
 *          packed, queries block by block into the first-level cache: rotation reads and writes
 *          nothing else.
 *
 *              scores (QUERY_BLOCK, keys) = q k^T      micro-kernel, depth width
 *              row: subtract the maximum, exp, sum     the row stays in the first-level cache
 *              out = scores v / sum                    micro-kernel, depth keys
 *
 *          Tokens of bfloat16 are multiplied by the device's product of pairs: exp(x - max) is rounded to
 *          bfloat16, too, its sum and both products' sums stay float32.
 * Needs    scratch: per thread, keys and values of a head and one block of scores. For 257 tokens
 *          and heads of 64 it is 220 KiB; the (B,heads,queries,keys) tensor never exists.
 * History  DINOv2 ViT-S/14 in bf16, batch 16, one core of an AMD EPYC (Zen 4), CPU seconds:
 *          v1: float32 tokens: 1.18 s, 0.24 of them here. v2: bfloat16 tokens, from and to products of
 *          bfloat16: 1.04 s in all (predicted 1.03), about 0.13 here.
 */
#include <math.h>
#include <string.h>

#include "kernels/cpu/encode/encode.h"
#include "kernels/cpu/gemm/product_16.h"
#include "kernels/cpu/gemm/vec_math.h"

enum { QUERY_BLOCK = 48 };
_Static_assert(QUERY_BLOCK % TILE_ROWS == 0, "blocks of queries are whole tiles");
_Static_assert(HEAD_DIM % TILE_COLS == 0, "a head of 64 is a whole number of strips");
#define INLINE static inline __attribute__((always_inline))

/* Offsets, in bytes, into what one thread needs where tokens are bfloat16, and its size. */
typedef struct {
    int64_t values, scores, shares, queries, bytes;
    int64_t depth, tokens;          /* width and keys, in whole runs of pairs */
    int64_t scores_row, shares_row; /* no power of two: rows keep out of each other's cache sets */
} Space16;

static Space16 space_16(int64_t keys, int64_t width) {
    Space16 s = {.depth = round_up(width, BF16_RUN), .tokens = round_up(keys, BF16_RUN)};
    s.scores_row = round_up(keys, BF16_COLS) + 16;
    s.shares_row = s.tokens + BF16_RUN;
    s.values = round_up(keys, BF16_COLS) * s.depth * (int64_t)sizeof(uint16_t);
    s.scores = s.values + round_up(width, BF16_COLS) * s.tokens * (int64_t)sizeof(uint16_t);
    s.shares = s.scores + QUERY_BLOCK * s.scores_row * (int64_t)sizeof(float);
    s.queries = s.shares + QUERY_BLOCK * s.shares_row * (int64_t)sizeof(uint16_t);
    s.bytes = s.queries + QUERY_BLOCK * s.depth * (int64_t)sizeof(uint16_t);
    return s;
}

/* Returns the floats that one thread needs: packed keys, packed values, scores. */
static int64_t thread_floats(int64_t keys, int64_t width) {
    const int64_t full =
        (width + round_up(width, TILE_COLS) + QUERY_BLOCK) * round_up(keys, TILE_COLS);
    return most(full, space_16(keys, width).bytes / (int64_t)sizeof(float));
}

int64_t cpu_attention_scratch(const Device *device, int64_t keys) {
    return device->threads * thread_floats(keys, MAX_HEAD_DIM) * (int64_t)sizeof(float);
}

/* Packs keys as [keys / TILE_COLS][width][TILE_COLS], scaled, with zeros beyond the last key. */
INLINE void pack_keys(float *to, const float *k, int64_t row, int64_t keys, int64_t width,
                      float scale) {
    for (int64_t t0 = 0; t0 < keys; t0 += TILE_COLS, to += width * TILE_COLS)
        for (int64_t t = 0; t < TILE_COLS; t++)
            for (int64_t i = 0; i < width; i++)
                to[i * TILE_COLS + t] = t0 + t < keys ? k[(t0 + t) * row + i] * scale : 0.0f;
}

/* Packs keys as pack_keys does, each rotated to its place. */
INLINE void pack_rotated_keys(float *to, const float *k, int64_t row, int64_t keys, int64_t width,
                              float scale, const Rope *rope) {
    const int64_t half = width / 2;
    pack_keys(to, k, row, least(keys, rope->first), width, scale);
    for (int64_t t = rope->first; t < round_up(keys, TILE_COLS); t++) {
        float *a = to + t / TILE_COLS * width * TILE_COLS + t % TILE_COLS,
              *b = a + half * TILE_COLS;
        if (t >= keys) {
            for (int64_t i = 0; i < width; i++) a[i * TILE_COLS] = 0.0f;
            continue;
        }
        const float *c = rope->cos + (t - rope->first) * half,
                    *s = rope->sin + (t - rope->first) * half, *key = k + t * row;
        for (int64_t i = 0; i < half; i++) {
            a[i * TILE_COLS] = (key[i] * c[i] - key[half + i] * s[i]) * scale;
            b[i * TILE_COLS] = (key[half + i] * c[i] + key[i] * s[i]) * scale;
        }
    }
}

/* Writes n queries (n,width) from token `first` on, rotated, rows `width` apart. */
INLINE void rotate_queries(float *to, const float *q, int64_t row, int64_t first, int64_t n,
                           int64_t width, const Rope *rope) {
    const int64_t half = width / 2;
    for (int64_t i = 0; i < n; i++, q += row, to += width) {
        const int64_t place = first + i - rope->first;
        if (place < 0) {
            for (int64_t j = 0; j < width; j++) to[j] = q[j];
            continue;
        }
        const float *c = rope->cos + place * half, *s = rope->sin + place * half;
        for (int64_t j = 0; j < half; j++) {
            to[j] = q[j] * c[j] - q[half + j] * s[j];
            to[half + j] = q[half + j] * c[j] + q[j] * s[j];
        }
    }
}

/* Packs values as [width / TILE_COLS][keys][TILE_COLS], with zeros beyond the head. */
INLINE void pack_values(float *to, const float *v, int64_t row, int64_t keys, int64_t width) {
    for (int64_t i = 0; i < width; i += TILE_COLS)
        for (int64_t t = 0; t < keys; t++, to += TILE_COLS) {
            const int64_t n = least(width - i, TILE_COLS);
            for (int64_t j = 0; j < n; j++) to[j] = v[t * row + i + j];
            for (int64_t j = n; j < TILE_COLS; j++) to[j] = 0.0f;
        }
}

/* Turns the first `seen` of n scores into exp(x - max), the others into 0. Returns the inverse of their sum. */
static float softmax_row(float *x, int64_t seen, int64_t n) {
    float max = x[0], sum = 0.0f;
    SIMD(reduction(max : max))
    for (int64_t j = 0; j < seen; j++) max = x[j] > max ? x[j] : max;
    SIMD(reduction(+ : sum))
    for (int64_t j = 0; j < seen; j++) {
        x[j] = exp_f32(x[j] - max);
        sum += x[j];
    }
    for (int64_t j = seen; j < n; j++) x[j] = 0.0f;
    return 1.0f / sum; /* sum >= 1: the maximum's term is exp(0) */
}

INLINE void query_block(float *out, int64_t out_row, const float *q, int64_t q_row,
                        const float *packed_k, const float *packed_v, float *scores, int64_t first,
                        int64_t n, int64_t keys, int64_t width, bool causal) {
    const int64_t seen = causal ? first + n : keys, ld = round_up(keys, TILE_COLS);
    float inverse[QUERY_BLOCK];
    for (int64_t j = 0; j < seen; j += TILE_COLS)
        for (int64_t i = 0; i < n; i += TILE_ROWS)
            gemm_tile(least(n - i, TILE_ROWS), TILE_COLS, width, (Operand){q + i * q_row, q_row, 1},
                      strip_of(packed_k + j * width), scores + i * ld + j, ld, false,
                      nothing_ahead(packed_k));
    for (int64_t i = 0; i < n; i++)
        inverse[i] = softmax_row(scores + i * ld, causal ? first + i + 1 : keys, seen);
    for (int64_t j = 0; j < width; j += TILE_COLS)
        for (int64_t i = 0; i < n; i += TILE_ROWS)
            gemm_tile(least(n - i, TILE_ROWS), least(width - j, TILE_COLS), seen,
                      (Operand){scores + i * ld, ld, 1}, strip_of(packed_v + j * keys),
                      out + i * out_row + j, out_row, false, nothing_ahead(packed_v));
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < width; j++) out[i * out_row + j] *= inverse[i];
}

typedef struct {
    Tokens out, q, k, v;
    int64_t queries, keys, heads, width;
    bool causal;
    const Rope *rope; /* NULL: no token is rotated */
    float *scratch;
    Bf16Product *multiply; /* of tokens that are bfloat16 */
} Attention;

/* Passes are heads: all heads of the first image, then those of the second, ... `scratch` is the thread's own. */
INLINE void attend(const Attention *a, int64_t first, int64_t end, int64_t width, float *scratch) {
    const int64_t keys = a->keys, queries = a->queries, wide = round_up(width, TILE_COLS);
    const float scale = (float)(1.0 / sqrt((double)width)); /* 1 / 8, exact, for heads of 64 */
    float *packed_k = scratch, *packed_v = packed_k + width * round_up(keys, TILE_COLS),
          *scores = packed_v + wide * round_up(keys, TILE_COLS);
    float rotated[QUERY_BLOCK * MAX_HEAD_DIM]; /* 24 KiB */
    for (int64_t piece = first; piece < end; piece++) {
        const int64_t b = piece / a->heads, h = piece % a->heads * width;
        const float *k = (const float *)a->k.data + b * a->k.image + h,
                    *v = (const float *)a->v.data + b * a->v.image + h;
        if (a->rope) pack_rotated_keys(packed_k, k, a->k.row, keys, width, scale, a->rope);
        else pack_keys(packed_k, k, a->k.row, keys, width, scale);
        pack_values(packed_v, v, a->v.row, keys, width);
        for (int64_t t = 0; t < queries; t += QUERY_BLOCK) {
            const float *q = (const float *)a->q.data + b * a->q.image + t * a->q.row + h;
            float *out = (float *)a->out.data + b * a->out.image + t * a->out.row + h;
            const int64_t n = least(queries - t, QUERY_BLOCK);
            int64_t q_row = a->q.row;
            if (a->rope) {
                rotate_queries(rotated, q, q_row, t, n, width, a->rope);
                q = rotated;
                q_row = width;
            }
            query_block(out, a->out.row, q, q_row, packed_k, packed_v, scores, t, n, keys, width,
                        a->causal);
        }
    }
}

/* --- tokens of bfloat16 ------------------------------------------------------------------------ */

/* Copies a query or key, rotated to the place of token t, with zeros beyond its width. */
static void place_row(uint16_t *to, const uint16_t *x, int64_t t, int64_t width, int64_t depth,
                      const Rope *rope) {
    const int64_t half = width / 2, place = rope ? t - rope->first : -1;
    for (int64_t i = width; i < depth; i++) to[i] = 0;
    if (place < 0) {
        memcpy(to, x, (size_t)width * sizeof *to);
        return;
    }
    const float *c = rope->cos + place * half, *s = rope->sin + place * half;
    for (int64_t i = 0; i < half; i++) {
        const float a = f32_from_bf16(x[i]), b = f32_from_bf16(x[half + i]);
        to[i] = bf16_from_f32(a * c[i] - b * s[i]);
        to[half + i] = bf16_from_f32(b * c[i] + a * s[i]);
    }
}

/* Packs keys as [keys / BF16_COLS][depth / 2][BF16_COLS][2], with zeros beyond the last key and the width. */
static void pack_keys_16(uint16_t *to, const Attention *a, const uint16_t *k, int64_t depth) {
    for (int64_t t = 0; t < a->keys; t += BF16_COLS, to += BF16_COLS * depth) {
        Pairs pairs[BF16_COLS];
        for (int64_t i = 0; i < BF16_COLS; i++) {
            uint16_t row[2 * STRIP_PAIRS] = {0};
            if (t + i < a->keys)
                place_row(row, k + (t + i) * a->k.row, t + i, a->width, depth, a->rope);
            memcpy(pairs[i], row, (size_t)depth * sizeof *row);
        }
        pairs_to_strip((uint32_t *)(void *)to, (const Pairs *)pairs, depth / 2);
    }
}

/* Packs values as [width / BF16_COLS][tokens / 2][BF16_COLS][2], with zeros beyond the last key and the width. */
static void pack_values_16(uint16_t *packed, const Attention *a, const uint16_t *v,
                           int64_t tokens) {
    static const uint16_t none[BF16_COLS];
    uint32_t *to = (uint32_t *)(void *)packed;
    for (int64_t j = 0; j < a->width; j += BF16_COLS) {
        const int64_t n = least(a->width - j, BF16_COLS);
        for (int64_t t = 0; t < tokens; t += 2, to += BF16_COLS) {
            const uint16_t *x = t < a->keys ? v + t * a->v.row + j : none,
                           *y = t + 1 < a->keys ? v + (t + 1) * a->v.row + j : none;
            if (n == BF16_COLS)
                for (int64_t c = 0; c < BF16_COLS; c++) to[c] = x[c] | (uint32_t)y[c] << 16;
            else
                for (int64_t c = 0; c < BF16_COLS; c++)
                    to[c] = c < n ? x[c] | (uint32_t)y[c] << 16 : 0;
        }
    }
}

/* Writes exp(scale (x - max)) of the first `seen` of n scores, rounded, and 0 for the others. Returns the
 * inverse of the sum, which is not rounded. */
static float softmax_row_16(uint16_t *share, float *x, int64_t seen, int64_t n, float scale) {
    float max = x[0], sum = 0.0f;
    SIMD(reduction(max : max))
    for (int64_t j = 0; j < seen; j++) max = x[j] > max ? x[j] : max;
    SIMD(reduction(+ : sum))
    for (int64_t j = 0; j < seen; j++) {
        x[j] = exp_f32((x[j] - max) * scale);
        sum += x[j];
    }
    for (int64_t j = 0; j < seen; j++) share[j] = bf16_from_f32(x[j]);
    for (int64_t j = seen; j < n; j++) share[j] = 0;
    return 1.0f / sum;
}

static void attend_16(const Attention *a, int64_t first, int64_t end, uint8_t *own) {
    const Space16 s = space_16(a->keys, a->width);
    const float scale = (float)(1.0 / sqrt((double)a->width));
    uint16_t *packed_k = (uint16_t *)(void *)own, *packed_v = (uint16_t *)(void *)(own + s.values),
             *shares = (uint16_t *)(void *)(own + s.shares),
             *queries = (uint16_t *)(void *)(own + s.queries);
    float *scores = (float *)(void *)(own + s.scores);
    for (int64_t piece = first; piece < end; piece++) {
        const int64_t b = piece / a->heads, h = piece % a->heads * a->width;
        pack_keys_16(packed_k, a, (const uint16_t *)a->k.data + b * a->k.image + h, s.depth);
        pack_values_16(packed_v, a, (const uint16_t *)a->v.data + b * a->v.image + h, s.tokens);
        for (int64_t t = 0; t < a->queries; t += QUERY_BLOCK) {
            const int64_t n = least(a->queries - t, QUERY_BLOCK),
                          seen = a->causal ? t + n : a->keys, tokens = round_up(seen, BF16_RUN);
            const uint16_t *q = (const uint16_t *)a->q.data + b * a->q.image + t * a->q.row + h;
            uint16_t *out = (uint16_t *)a->out.data + b * a->out.image + t * a->out.row + h;
            int64_t q_row = a->q.row;
            if (a->rope || s.depth != a->width) {
                for (int64_t i = 0; i < n; i++)
                    place_row(queries + i * s.depth, q + i * q_row, t + i, a->width, s.depth,
                              a->rope);
                q = queries;
                q_row = s.depth;
            }
            for (int64_t j = 0; j < seen; j += BF16_COLS)
                a->multiply(scores + j, s.scores_row, false, q, q_row, packed_k + j * s.depth, n,
                            least(seen - j, BF16_COLS), s.depth);
            float inverse[QUERY_BLOCK], sum[QUERY_BLOCK * BF16_COLS];
            for (int64_t i = 0; i < n; i++)
                inverse[i] = softmax_row_16(shares + i * s.shares_row, scores + i * s.scores_row,
                                            a->causal ? t + i + 1 : a->keys, tokens, scale);
            for (int64_t j = 0; j < a->width; j += BF16_COLS) {
                const int64_t cols = least(a->width - j, BF16_COLS);
                a->multiply(sum, BF16_COLS, false, shares, s.shares_row, packed_v + j * s.tokens, n,
                            cols, tokens);
                for (int64_t i = 0; i < n; i++)
                    for (int64_t c = 0; c < cols; c++)
                        out[i * a->out.row + j + c] =
                            bf16_from_f32(sum[i * BF16_COLS + c] * inverse[i]);
            }
        }
    }
}

static void attend_heads(const void *loop, int64_t first, int64_t end, int thread) {
    const Attention *a = loop;
    float *own = a->scratch + thread * thread_floats(a->keys, a->width);
    if (a->q.type == PRECISION_BF16) attend_16(a, first, end, (uint8_t *)own);
    else if (a->width == HEAD_DIM) attend(a, first, end, HEAD_DIM, own); /* of constant width */
    else attend(a, first, end, a->width, own);
}

/* Returns whether all have one type: float32, or bfloat16. */
static bool types_agree(Tokens out, Tokens q, Tokens k, Tokens v) {
    return (q.type == PRECISION_FP32 || q.type == PRECISION_BF16) && out.type == q.type &&
           k.type == q.type && v.type == q.type;
}

Status cpu_attention(Queue *queue, Tokens out, Tokens q, Tokens k, Tokens v, int64_t B,
                     int64_t queries, int64_t keys, int64_t heads, int64_t width, bool causal,
                     const Rope *rope, void *scratch) {
    REQUIRE(queue,
            out.data && q.data && k.data && v.data && types_agree(out, q, k, v) && scratch &&
                B >= 1 && queries >= 1 && keys >= 1 && heads >= 1 && width >= 1 &&
                width <= MAX_HEAD_DIM && (!causal || queries == keys) &&
                (!rope || !rope->cos ||
                 (rope->sin && width % 2 == 0 && rope->first >= 0 && rope->first <= keys &&
                  queries <= keys)),
            "attention");
    if (rope && !rope->cos) rope = NULL;
    const Attention a = {out,   q,     k,      v,    queries, keys,
                         heads, width, causal, rope, scratch, queue->device->multiply_bf16};
    threads_loop(queue->device->pool, B * heads, 1, attend_heads, &a);
    return OK;
}
