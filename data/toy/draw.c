/* draw.c - a picture of the toy's views as SVG, a few kilobytes. */
#include "data/toy/draw.h"

#include <math.h>
#include <stdlib.h>

#include "io/files/file.h"

enum { SIDE = 200, GAP = 16, STEPS = 400 };
static const double EXTENT = 4.6; /* a panel shows [-EXTENT, EXTENT] in both directions */
static const char *const colours[TOY_MOST_CLASSES] = {"#0b6fb8", "#d1560f", "#2c8a3f", "#8b4fb3",
                                                      "#a8861a", "#b8336a", "#3a8f96", "#6b6b6b"};

static int pixel(double x) {
    return (int)lround((x + EXTENT) / (2 * EXTENT) * SIDE);
}

/* Returns whether classes a and b have the two largest logits at (x, y). */
static bool lead(const float *linear, int C, int a, int b, double x, double y) {
    const double la = toy_logit(linear, C, a, x, y), lb = toy_logit(linear, C, b, x, y);
    for (int c = 0; c < C; c++)
        if (c != a && c != b && toy_logit(linear, C, c, x, y) > (la < lb ? la : lb)) return false;
    return true;
}

/* Draws the part of the line logit_a - logit_b = offset on which a and b lead and which the panel shows. That part is
 * one segment, for both conditions hold on convex sets. */
static void border(FILE *f, const float *linear, int C, int a, int b, double offset) {
    const double nx = linear[2 * a] - linear[2 * b], ny = linear[2 * a + 1] - linear[2 * b + 1];
    const double n0 = linear[2 * C + a] - linear[2 * C + b], square = nx * nx + ny * ny;
    if (!(square > 0.0)) return;
    const double length = sqrt(square), far = 2 * EXTENT;
    double from[2] = {0}, to[2] = {0};
    int points = 0;
    for (int i = 0; i <= STEPS; i++) {
        const double along = far * (2.0 * i / STEPS - 1.0);
        const double x = nx * (offset - n0) / square - ny / length * along;
        const double y = ny * (offset - n0) / square + nx / length * along;
        if (fabs(x) > EXTENT || fabs(y) > EXTENT || !lead(linear, C, a, b, x, y)) continue;
        if (points++ == 0) from[0] = x, from[1] = y;
        to[0] = x, to[1] = y;
    }
    if (points > 1)
        fprintf(f, "<path d='M%d %dL%d %d'%s/>\n", pixel(from[0]), SIDE - pixel(from[1]),
                pixel(to[0]), SIDE - pixel(to[1]), offset != 0.0 ? " stroke-dasharray='4 4'" : "");
}

static void panel(FILE *f, const float *Z, const int *labels, const float *linear, int C) {
    fprintf(f, "<rect width='%d' height='%d' fill='#fff' stroke='#bbb'/>\n", SIDE, SIDE);
    for (int c = 0; c < C; c++) { /* a point is a line of no length with round ends */
        fprintf(f, "<path stroke='%s' stroke-width='5' stroke-linecap='round' d='", colours[c]);
        for (int i = 0; i < TOY_SAMPLES; i++)
            if (labels[i] == c) fprintf(f, "M%d %dh0", pixel(Z[2 * i]), SIDE - pixel(Z[2 * i + 1]));
        fprintf(f, "'/>\n");
    }
    fprintf(f, "<g stroke='#222' fill='none'>\n");
    for (int a = 0; a < C; a++)
        for (int b = a + 1; b < C; b++)
            for (int side = -1; side <= 1; side++) border(f, linear, C, a, b, side * log(9.0));
    fprintf(f, "</g>\n");
}

Status toy_draw(const char *folder, int iteration, float Z[TOY_VIEWS][TOY_SAMPLES * 2],
                const int labels[TOY_SAMPLES], float *const *linear, int K, int C, Error *err) {
    AtomicFile file = {0};
    char *path = format_text("%s/labels_%d.svg", folder, iteration);
    Status st = path ? atomic_open(&file, path, err) : fail(err, ERR_MEMORY, "toy: out of memory");
    free(path);
    if (st != OK) return st;
    FILE *f = file.stream;
    fprintf(f,
            "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %d %d' width='%d' height='%d'>\n",
            K * SIDE + (K - 1) * GAP, SIDE, K * SIDE + (K - 1) * GAP, SIDE);
    for (int k = 0; k < K; k++) {
        fprintf(f, "<g transform='translate(%d,0)'>\n", k * (SIDE + GAP));
        panel(f, Z[k], labels, linear[k], C);
        fprintf(f, "</g>\n");
    }
    fprintf(f, "</svg>\n");
    return atomic_commit(&file, err);
}
