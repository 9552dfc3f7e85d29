/* position.c - position tables for another grid of patches. */
#include <math.h>
#include <string.h>

#include "host/encode/encoder.h"

enum { MAX_TAPS = 512 };

int64_t position_grid(Weights *w, int64_t rows, int64_t first) {
    const int64_t grid = rows > first ? llround(sqrt((double)(rows - first))) : 0;
    if (w->status == OK && (grid == 0 || grid * grid != rows - first))
        w->status =
            fail(w->err, ERR_FORMAT, "weights: %s: %lld positions: expected a square grid%s",
                 w->path, (long long)rows, first ? " and one more" : "");
    return grid;
}

/* Returns the cubic convolution kernel at x (Keys 1981). */
static double cubic(double x, double a) {
    x = fabs(x);
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
    if (x < 2.0) return ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a;
    return 0.0;
}

/* The cells that one output cell is a mean of. */
typedef struct {
    int64_t cell[MAX_TAPS];
    double weight[MAX_TAPS];
    int count;
} Taps;

/* Finds four cells, clamped at the border, whose weights need no normalisation. */
static void taps_four(Taps *t, int64_t i, double to, int64_t from) {
    const double scale = (double)from / to;
    const double at = ((double)i + 0.5) * scale - 0.5, first = floor(at);
    t->count = 4;
    for (int k = 0; k < 4; k++) {
        const int64_t cell = (int64_t)first - 1 + k;
        t->cell[k] = cell < 0 ? 0 : cell >= from ? from - 1 : cell;
        t->weight[k] = cubic(at - first + 1.0 - k, -0.75);
    }
}

static void taps_offset(Taps *t, int64_t i, int64_t to, int64_t from) {
    taps_four(t, i, (double)to + 0.1, from);
}

static void taps_exact(Taps *t, int64_t i, int64_t to, int64_t from) {
    taps_four(t, i, (double)to, from);
}

/* Finds all cells within the kernel, which is as wide as an output cell where that is the larger. */
static void taps_antialias(Taps *t, int64_t i, int64_t to, int64_t from) {
    const double scale = (double)from / (double)to, wide = scale > 1.0 ? scale : 1.0;
    const double centre = scale * ((double)i + 0.5), support = 2.0 * wide;
    int64_t first = (int64_t)(centre - support + 0.5), end = (int64_t)(centre + support + 0.5);
    double sum = 0.0;
    if (first < 0) first = 0;
    if (end > from) end = from;
    if (end > first + MAX_TAPS) end = first + MAX_TAPS;
    t->count = (int)(end - first);
    for (int k = 0; k < t->count; k++) {
        t->cell[k] = first + k;
        t->weight[k] = cubic(((double)(first + k) - centre + 0.5) / wide, -0.5);
        sum += t->weight[k];
    }
    for (int k = 0; k < t->count; k++) t->weight[k] /= sum;
}

void position_resize(float *out, int64_t to, const float *in, int64_t from, int64_t d,
                     PositionRule rule) {
    Taps across, down;
    void (*const taps)(Taps *, int64_t, int64_t, int64_t) = rule == POSITION_OFFSET ? taps_offset
                                                            : rule == POSITION_EXACT
                                                                ? taps_exact
                                                                : taps_antialias;
    if (to == from) { /* the published code passes the table through */
        memcpy(out, in, (size_t)(to * to * d) * sizeof *out);
        return;
    }
    for (int64_t y = 0; y < to; y++) {
        taps(&down, y, to, from);
        for (int64_t x = 0; x < to; x++, out += d) {
            taps(&across, x, to, from);
            for (int64_t j = 0; j < d; j++) {
                double sum = 0.0;
                for (int v = 0; v < down.count; v++) {
                    const float *row = in + down.cell[v] * from * d + j;
                    double line = 0.0;
                    for (int h = 0; h < across.count; h++)
                        line += across.weight[h] * row[across.cell[h] * d];
                    sum += down.weight[v] * line;
                }
                out[j] = (float)sum;
            }
        }
    }
}
