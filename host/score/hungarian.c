/* hungarian.c - the assignment problem, for integer and for real costs. */
#include "host/score/hungarian.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/ops.h"

enum {
    STRIPES = 32,     /* columns handled side by side; 16 and 64 were slower */
    BIDS_PER_ROW = 4, /* in each round, at most, on average */
};

static int64_t largest_i64(int64_t rows, int64_t cols) {
    const int64_t n = rows > cols ? rows : cols;
    return (INT64_C(1) << 62) / (n > 32 ? n : 32);
}

/* The solver is compiled for AVX2 too: baseline x86-64 cannot compare vectors of 64-bit integers,
 * which costs a factor of 2 to 3. Both give the same result. */
#if defined(__x86_64__) && defined(__GNUC__)
#define AVX2 __attribute__((target("avx2")))
#define ASSIGN(type) (cpu_uses_avx2() ? assign_##type##_avx2 : assign_##type)
#else
#define ASSIGN(type) assign_##type
#endif

#define COST int64_t
#define FORBIDDEN (INT64_C(1) << 61)
#define TAKEN (INT64_C(1) << 62)
#define LARGEST largest_i64(rows, cols)
#define REFUSED(c) ((c) < -largest || (c) > largest)
#define NAME(f) f##_i64
#define TARGET
#include "host/score/hungarian_solve.inc"
#ifdef AVX2
#define NAME(f) f##_i64_avx2
#define TARGET AVX2
#include "host/score/hungarian_solve.inc"
#endif
#undef COST
#undef FORBIDDEN
#undef TAKEN
#undef LARGEST
#undef REFUSED

#define COST double
#define FORBIDDEN INFINITY
#define TAKEN INFINITY
#define LARGEST 0x1p1000
#define REFUSED(c) (!(fabs(c) <= largest) && (c) != (maximize ? -INFINITY : INFINITY))
#define NAME(f) f##_f64
#define TARGET
#include "host/score/hungarian_solve.inc"
#ifdef AVX2
#define NAME(f) f##_f64_avx2
#define TARGET AVX2
#include "host/score/hungarian_solve.inc"
#endif

static Status check_shape(const void *cost, int64_t rows, int64_t cols, const int64_t *col_of_row,
                          Error *err) {
    if (!cost || !col_of_row || rows < 1 || cols < 1 || rows > INT64_MAX / 8 / cols)
        return fail(err, ERR_ARG, "hungarian: expected a matrix of costs, got %lld x %lld",
                    (long long)rows, (long long)cols);
    return OK;
}

Status hungarian_i64(const int64_t *cost, int64_t rows, int64_t cols, bool maximize,
                     int64_t *col_of_row, int64_t *total, Error *err) {
    const Status st = check_shape(cost, rows, cols, col_of_row, err);
    return st != OK ? st : ASSIGN(i64)(cost, rows, cols, maximize, col_of_row, total, err);
}

Status hungarian_f64(const double *cost, int64_t rows, int64_t cols, bool maximize,
                     int64_t *col_of_row, double *total, Error *err) {
    const Status st = check_shape(cost, rows, cols, col_of_row, err);
    return st != OK ? st : ASSIGN(f64)(cost, rows, cols, maximize, col_of_row, total, err);
}
