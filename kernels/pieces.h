/* pieces.h - how a caller's scratch memory is cut into pieces.
 *
 *     Pieces pieces = {scratch, 0};
 *     float *bias = take_f32(&pieces, C);           the first C floats
 *     double *loss = take_f64(&pieces, groups);     and the doubles behind them
 *     int64_t bytes = pieces.bytes;                 what all pieces together need
 *
 * Every piece begins at a multiple of 64 bytes, a cache line, from the start of the memory. Where the memory
 * is NULL, pieces are NULL and only bytes are counted: so one function says how much scratch memory an
 * operation needs and where in it everything lies. */
#ifndef TURTLE_KERNELS_PIECES_H
#define TURTLE_KERNELS_PIECES_H

#include <stddef.h>

#include "io/sizes.h"

typedef struct {
    void *memory;  /* owned by the caller; NULL: pieces are only counted */
    int64_t bytes; /* of the pieces taken so far, a multiple of 64 */
} Pieces;

/* Returns the next piece, of `bytes` bytes, or NULL where pieces are only counted. */
static inline void *take(Pieces *pieces, int64_t bytes) {
    void *piece = pieces->memory ? (char *)pieces->memory + pieces->bytes : NULL;
    pieces->bytes += round_up(bytes, 64);
    return piece;
}

/* Each returns the next piece, of `count` elements of its type. */
static inline float *take_f32(Pieces *pieces, int64_t count) {
    return (float *)take(pieces, count * (int64_t)sizeof(float));
}
static inline double *take_f64(Pieces *pieces, int64_t count) {
    return (double *)take(pieces, count * (int64_t)sizeof(double));
}
static inline int32_t *take_i32(Pieces *pieces, int64_t count) {
    return (int32_t *)take(pieces, count * (int64_t)sizeof(int32_t));
}
static inline uint32_t *take_u32(Pieces *pieces, int64_t count) {
    return (uint32_t *)take(pieces, count * (int64_t)sizeof(uint32_t));
}
static inline int64_t *take_i64(Pieces *pieces, int64_t count) {
    return (int64_t *)take(pieces, count * (int64_t)sizeof(int64_t));
}

#endif
