/*
 * nearest_int16.c - scores from products of 16-bit integers, and a proof of how far off they are
 *
 *     z ~ z'/a,  c ~ c'/b, rounded;      <z,c> ~ <z',c'>/(a b)
 *
 * The factor a makes |z'| LENGTH, and b does so for the longest |c'|: below 2^15, so that every element fits, and no sum of
 * products passes 32 bits: |<z',c'>| <= |z'||c'| for any part of the features.
 *
 * Error    r = z' - a z, s = c' - b c:   <z',c'>/(a b) - <z,c> = <r,c>/a + <z,s>/b + <r,s>/(a b),
 *          which is at most  |r|/a (|c| + |s|/b) + |z||s|/b  (Cauchy-Schwarz). |s| is measured;
 *          |r| <= 0.502 sqrt(d): half a unit each, and rounding of a z_j < 2^15, 2^-9, if it is not
 *          fused. What follows in float32 rounds five times |z||c| and twice |c|^2/2, 2^-24 each:
 *          within half of score_error of one feature, 4.5 |z||c| + 1.5 |c|^2 + 0.75 |z|^2.
 *          d 768: (4.2 + 2.4) 1e-4 |z||c|, ten times what float32 itself is allowed.
 * Cost     2NCd flops at twice the rate of float32; rounding samples, panel by panel, 4Nd bytes.
 */
#include <string.h>

#include "kernels/cpu/cluster/nearest.h"
#include "kernels/cpu/gemm/bf16.h"

#define LENGTH 32700.0f
/* The squared lengths that are served: factors and errors stay far from the limits of float32. */
#define SHORTEST 0x1p-80f
#define LONGEST 0x1p80f

enum {
    LINE = 16, /* floats, or pairs of integers, of a cache line */
    AHEAD = 2, /* samples fetched ahead: rounding is as fast as they come from memory */
};

/* x (d) times unit to the nearest integers, zeros behind them up to `depth`. Adding 1.5 x 2^23
 * leaves no fraction, and the integer in the low bits. */
static void round_row(uint16_t *restrict to, const float *restrict x, float unit, int64_t d,
                      int64_t depth) {
    SIMD()
    for (int64_t j = 0; j < d; j++) to[j] = (uint16_t)bits_of_f32(x[j] * unit + 0x1.8p23f);
    for (int64_t j = d; j < depth; j++) to[j] = 0;
}

/* Returns |words/unit - x|^2. */
static double rounding2(const uint16_t *words, const float *x, float unit, int64_t d) {
    double sum = 0.0;
    SIMD(reduction(+ : sum))
    for (int64_t j = 0; j < d; j++) {
        const double by = (int16_t)words[j] / (double)unit - (double)x[j];
        sum += by * by;
    }
    return sum;
}

/* --- centres ---------------------------------------------------------------------------------- */

int64_t rounded_bytes(int64_t C, int64_t d) {
    return bf16_weight_bytes(C, d) +
           round_up(C, BF16_COLS) * (int64_t)(sizeof(float) + sizeof(double));
}

typedef struct {
    const Centers *centers;
    int64_t d;
    float unit;
    uint32_t *packed;
    float *half;
    double *apart2; /* (width): |c'/unit - c|^2 */
    uint16_t *words;
    int64_t words_row;
} Rounding;

static void round_some(const void *loop, int64_t first, int64_t end, int thread) {
    const Rounding *r = loop;
    const Centers *centers = r->centers;
    const int64_t C = centers->C, d = r->d, depth = bf16_depth(d);
    uint16_t *row = r->words + thread * r->words_row;
    for (int64_t c = first; c < end; c++) {
        uint32_t *to = r->packed + c / BF16_COLS * BF16_COLS * depth / 2 + c % BF16_COLS;
        const float *at = c < C ? centers->at + c * d : NULL;
        r->half[c] = c < C ? 0.5f * centers->norm2[c] : INFINITY;
        round_row(row, at, r->unit, c < C ? d : 0, depth);
        for (int64_t k = 0; k < depth / 2; k++)
            to[k * BF16_COLS] = row[2 * k] | (uint32_t)row[2 * k + 1] << 16;
        r->apart2[c] = c < C ? rounding2(row, at, r->unit, d) : 0.0;
    }
}

RoundedCenters round_centers(const Device *device, void *memory, const Centers *centers, int64_t d,
                             float length, uint16_t *words, int64_t words_row) {
    const int64_t C = centers->C, width = round_up(C, BF16_COLS), depth = bf16_depth(d);
    uint32_t *packed = memory;
    float *half = (float *)memory + width * depth / 2;
    RoundedCenters out = {.C = C, .d = d, .length = length, .unit = LENGTH / length};
    bool served = device->multiply_int16 && length * length >= SHORTEST;
    for (int64_t c = 0; c < C; c++) served &= centers->norm2[c] <= LONGEST; /* false for NaN */
    if (!served) return out;
    double *each2 = (double *)(void *)(half + width), apart2 = 0.0;
    const Rounding r = {centers, d, out.unit, packed, half, each2, words, words_row};
    /* lines of its own for each thread */
    threads_loop(device->pool, width, round_up(rows_run(d), LINE), round_some, &r);
    for (int64_t c = 0; c < C; c++) apart2 = each2[c] > apart2 ? each2[c] : apart2;
    out.apart = (float)(sqrt(apart2) * (1.0 + 0x1p-20));
    out.packed = memory;
    out.half = half;
    out.multiply = device->multiply_int16;
    return out;
}

/* --- samples ---------------------------------------------------------------------------------- */

/* Rounds n samples to rows of integers. `unit` receives their factors, `error` the errors of distances. */
static void round_samples(uint16_t *words, float *unit, float *error, const RoundedCenters *centers,
                          const Samples *s, const int64_t *which, int64_t n) {
    const int64_t d = centers->d, depth = bf16_depth(d), row = batch_row(DTYPE_BF16, d);
    for (int64_t i = 0; i < n; i++) {
        const float norm2 = s->norm2[which[i]], z = sqrtf(norm2);
        const bool served = norm2 >= SHORTEST && norm2 <= LONGEST;
        for (int64_t j = 0; i + AHEAD < n && j < d; j += LINE)
            __builtin_prefetch(sample(s, which[i + AHEAD]) + j);
        unit[i] = served ? LENGTH / z : 0.0f;
        round_row(words + i * row, sample(s, which[i]), unit[i], served ? d : 0, depth);
        const float apart = 0.51f * sqrtf((float)d) / unit[i]; /* 0.502, and z is rounded */
        const float off = apart * (centers->length + centers->apart) + z * centers->apart;
        error[i] = served ? 2.0f * off + score_error(norm2, centers->length, 1) : INFINITY;
    }
}

void int16_panel(Best *best, float *error, const RoundedCenters *centers, const Samples *s,
                 const int64_t *which, int64_t n, uint16_t *words) {
    const int64_t depth = bf16_depth(centers->d), row = batch_row(DTYPE_BF16, centers->d);
    float unit[PANEL];
    _Alignas(64) int32_t products[PANEL * CENTER_BLOCK];
    round_samples(words, unit, error, centers, s, which, n);
    for (int64_t i = 0; i < n; i++) best[i] = (Best){-INFINITY, -INFINITY, 0};
    for (int64_t c = 0; c < centers->C; c += CENTER_BLOCK) {
        const int64_t width = round_up(least(centers->C - c, CENTER_BLOCK), VEC_FLOATS);
        for (int64_t j = 0; j < width; j += BF16_COLS)
            centers->multiply(products + j, CENTER_BLOCK, false, words, row,
                              centers->packed + (c + j) * depth, n, least(width - j, BF16_COLS),
                              depth);
        for (int64_t i = 0; i < n; i++) {
            const int32_t *product = products + i * CENTER_BLOCK;
            const float scale = 1.0f / (unit[i] * centers->unit);
            float x[CENTER_BLOCK];
            SIMD()
            for (int64_t k = 0; k < width; k++)
                x[k] = (float)product[k] * scale - centers->half[c + k];
            compete(&best[i], x, width, (int32_t)c);
        }
    }
}
