/*
 * attention.c - out = softmax(q k^T / sqrt(64) [+ causal mask]) v, head by head (kernels/encode.h)
 *
 * Shapes   q, out (B,queries,heads,64); k, v (B,keys,heads,64), each with its own strides, so that
 *          the packed q, k, v of one linear layer serve as they lie.
 * Cost     4 B heads queries keys 64 flops; exp of B heads queries keys scores.
 * Mapping  one head of one image is one piece of work. A thread packs that head's keys (transposed)
 *          and values, then takes QUERY_BLOCK queries at a time:
 *
 *              scores (QUERY_BLOCK, keys) = q k^T      micro-kernel, depth 64
 *              row: subtract the maximum, exp, sum     the row stays in the first-level cache
 *              out = scores v / sum                    micro-kernel, depth keys
 *
 * Needs    scratch: per thread, keys and values of a head and one block of scores. For 257 tokens
 *          180 KiB; the (B,heads,queries,keys) tensor never exists.
 */
#include <math.h>

#include "encode.h"
#include "gemm.h"
#include "vec_math.h"

enum { QUERY_BLOCK = 48 };
_Static_assert(QUERY_BLOCK % TILE_ROWS == 0, "blocks of queries are whole tiles");
_Static_assert(HEAD_DIM % TILE_COLS == 0, "a head is a whole number of strips");

static const float score_scale = 0.125f; /* 1 / sqrt(HEAD_DIM), exact */

/* floats of one thread: packed keys, packed values, scores */
static int64_t thread_floats(int64_t keys) {
    return (2 * HEAD_DIM + QUERY_BLOCK) * round_up(keys, TILE_COLS);
}

int64_t cpu_attention_scratch(const Device *device, int64_t keys) {
    return device->threads * thread_floats(keys) * (int64_t)sizeof(float);
}

/* [keys / TILE_COLS][64][TILE_COLS], scaled, zeros beyond the last key. */
static void pack_keys(float *to, const float *k, int64_t row, int64_t keys) {
    for (int64_t t0 = 0; t0 < keys; t0 += TILE_COLS, to += HEAD_DIM * TILE_COLS)
        for (int64_t t = 0; t < TILE_COLS; t++)
            for (int i = 0; i < HEAD_DIM; i++)
                to[i * TILE_COLS + t] = t0 + t < keys ? k[(t0 + t) * row + i] * score_scale : 0.0f;
}

/* [64 / TILE_COLS][keys][TILE_COLS] */
static void pack_values(float *to, const float *v, int64_t row, int64_t keys) {
    for (int i = 0; i < HEAD_DIM; i += TILE_COLS)
        for (int64_t t = 0; t < keys; t++, to += TILE_COLS)
            for (int j = 0; j < TILE_COLS; j++) to[j] = v[t * row + i + j];
}

/* exp(x - max) over the first `seen` of n scores, zeros behind; returns their sum's inverse. */
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

static void query_block(float *out, int64_t out_row, const float *q, int64_t q_row,
                        const float *packed_k, const float *packed_v, float *scores, int64_t first,
                        int64_t n, int64_t keys, bool causal) {
    const int64_t seen = causal ? first + n : keys, ld = round_up(keys, TILE_COLS);
    float inverse[QUERY_BLOCK];
    for (int64_t j = 0; j < seen; j += TILE_COLS)
        for (int64_t i = 0; i < n; i += TILE_ROWS)
            gemm_tile(n - i < TILE_ROWS ? n - i : TILE_ROWS, TILE_COLS, HEAD_DIM,
                      (Operand){q + i * q_row, q_row, 1}, strip_of(packed_k + j * HEAD_DIM),
                      scores + i * ld + j, ld, false, nothing_ahead(packed_k));
    for (int64_t i = 0; i < n; i++)
        inverse[i] = softmax_row(scores + i * ld, causal ? first + i + 1 : keys, seen);
    for (int64_t j = 0; j < HEAD_DIM; j += TILE_COLS)
        for (int64_t i = 0; i < n; i += TILE_ROWS)
            gemm_tile(n - i < TILE_ROWS ? n - i : TILE_ROWS, TILE_COLS, seen,
                      (Operand){scores + i * ld, ld, 1}, strip_of(packed_v + j * keys),
                      out + i * out_row + j, out_row, false, nothing_ahead(packed_v));
    for (int64_t i = 0; i < n; i++)
        for (int j = 0; j < HEAD_DIM; j++) out[i * out_row + j] *= inverse[i];
}

Status cpu_attention(Queue *queue, Tokens out, Tokens q, Tokens k, Tokens v, int64_t B,
                     int64_t queries, int64_t keys, int64_t heads, bool causal, void *scratch) {
    REQUIRE(queue,
            out.data && q.data && k.data && v.data && scratch && B >= 1 && queries >= 1 &&
                keys >= 1 && heads >= 1 && (!causal || queries == keys),
            "attention");
    const int threads = queue->device->threads;
    PARALLEL_FOR(num_threads(threads) schedule(static, 1))
    for (int thread = 0; thread < threads; thread++) {
        float *packed_k = (float *)scratch + thread * thread_floats(keys),
              *packed_v = packed_k + HEAD_DIM * round_up(keys, TILE_COLS),
              *scores = packed_v + HEAD_DIM * round_up(keys, TILE_COLS);
        for (int64_t piece = thread; piece < B * heads; piece += threads) {
            const int64_t b = piece / heads, h = piece % heads * HEAD_DIM;
            pack_keys(packed_k, k.data + b * k.image + h, k.row, keys);
            pack_values(packed_v, v.data + b * v.image + h, v.row, keys);
            for (int64_t t = 0; t < queries; t += QUERY_BLOCK)
                query_block(out.data + b * out.image + t * out.row + h, out.row,
                            q.data + b * q.image + t * q.row + h, q.row, packed_k, packed_v, scores,
                            t, queries - t < QUERY_BLOCK ? queries - t : QUERY_BLOCK, keys, causal);
        }
    }
    return OK;
}
