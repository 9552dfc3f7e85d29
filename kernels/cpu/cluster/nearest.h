/* nearest.h - what nearest.c and nearest_int16.c share: the best two scores, and how far off they
 * may be. */
#ifndef TURTLE_KERNELS_CPU_CLUSTER_NEAREST_H
#define TURTLE_KERNELS_CPU_CLUSTER_NEAREST_H

#include "kernels/cpu/cluster/cluster.h"

#define int16_panel ISA(int16_panel)
#define round_centers ISA(round_centers)
#define rounded_bytes ISA(rounded_bytes)

enum { CENTER_BLOCK = 256 }; /* a multiple of every TILE_COLS; PANEL x 256 scores are 120 KiB */

/* Every sample's two largest scores so far. */
typedef struct {
    float first, second;
    int32_t label;
} Best;

/* Compares x (n), the scores of the centres c0 .. c0+n, with the best so far, and overwrites x. */
static inline void compete(Best *best, float *restrict x, int64_t n, int32_t c0) {
    float top = -INFINITY, next = -INFINITY;
    int32_t at = INT32_MAX;
    SIMD(reduction(max : top))
    for (int64_t c = 0; c < n; c++) top = x[c] > top ? x[c] : top;
    SIMD(reduction(min : at))
    for (int32_t c = 0; c < (int32_t)n; c++) at = c < at && x[c] == top ? c : at;
    if (at == INT32_MAX) return; /* NaN everywhere */
    x[at] = -INFINITY;
    SIMD(reduction(max : next))
    for (int64_t c = 0; c < n; c++) next = x[c] > next ? x[c] : next;
    if (top > best->first) {
        best->second = best->first > next ? best->first : next;
        best->first = top;
        best->label = c0 + at;
    } else if (top > best->second) {
        best->second = top;
    }
}

/* Returns E: no computed |z|^2 - 2 score is farther from the true squared distance. u = 2^-24. A product of
 * d terms in any order errs by at most d u/(1 - d u) |z||c|; norms are rounded once, u/2 |c|^2 in a
 * score; the subtraction errs by u (|z||c| + |c|^2/2). Twice the sum of these errors, and u |z|^2, give
 *     E <= u (2(d + 2)|z||c| + 2|c|^2 + |z|^2), taken half as large again; and what
 * products below 2^-126 may lose. */
static inline float score_error(float norm2, float length, int64_t d) {
    const float u = 0x1p-24f, z = sqrtf(norm2);
    return 0x1p-110f +
           1.5f * u * (2.0f * ((float)d + 2.0f) * z * length + 2.0f * length * length + norm2);
}

/* --- scores from 16-bit integers (nearest_int16.c) -------------------------------------------- */

typedef struct {
    Int16Product
        *multiply; /* NULL where there is none, or where it does not serve centres of this length */
    const uint16_t *packed; /* the operand B of the product */
    const float *half;      /* |c|^2/2, infinite beyond C up to a whole BF16_COLS */
    int64_t C, d;
    float length; /* length of the longest centre */
    float unit;   /* integers are `unit` times the centres */
    float apart;  /* the largest distance of a centre from integers / unit */
} RoundedCenters;

/* Rounds the centres into `memory` of rounded_bytes. words: a row of uint16_t for every thread, words_row
 * apart. */
RoundedCenters round_centers(const Device *device, void *memory, const Centers *centers, int64_t d,
                             float length, uint16_t *words, int64_t words_row);
int64_t rounded_bytes(int64_t C, int64_t d);

/* Finds the best two scores of n <= PANEL samples, and an error for each, as score_error defines it. The error
 * is infinite for samples that are too long or too short. words: PANEL rows of uint16_t. */
void int16_panel(Best *best, float *error, const RoundedCenters *centers, const Samples *s,
                 const int64_t *which, int64_t n, uint16_t *words);

#endif
