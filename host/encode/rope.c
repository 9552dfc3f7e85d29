/* rope.c - rotary positions of patches (Su et al. 2021, for two axes as DINOv3 has them).
 *
 *     period_j = base^(j/n), j = 0 .. n-1                n: a quarter of a head's width
 *     c_y = 2 (y + 1/2) / grid - 1                       the patch's centre, from -1 to 1; x alike
 *     angles = 2 pi [c_y / period, c_x / period]         n of the row, then n of the column
 */
#include <math.h>

#include "host/encode/encoder.h"

void rope_periods(float *periods, int64_t n, double base) {
    for (int64_t j = 0; j < n; j++) periods[j] = (float)pow(base, (double)j / (double)n);
}

void rope_angles(float *cosines, float *sines, const float *periods, int64_t n, int64_t grid) {
    const double turn = 6.28318530717958648;
    for (int64_t cell = 0; cell < grid * grid; cell++)
        for (int64_t j = 0; j < 2 * n; j++) {
            const int64_t at = j < n ? cell / grid : cell % grid;
            const double centre = 2.0 * ((double)at + 0.5) / (double)grid - 1.0;
            const double angle = turn * centre / periods[j % n];
            cosines[cell * 2 * n + j] = (float)cos(angle);
            sines[cell * 2 * n + j] = (float)sin(angle);
        }
}
