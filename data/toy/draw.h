/* draw.h - a picture of the toy's views: samples coloured by class, with the classes' borders and margins. */
#ifndef TURTLE_DATA_TOY_DRAW_H
#define TURTLE_DATA_TOY_DRAW_H

#include "io/status.h"

enum { TOY_SAMPLES = 240, TOY_VIEWS = 2, TOY_MOST_CLASSES = 8 };

/* Returns the logit of class c at the point (x, y). `linear` is a layer of C classes on a plane: weight (C,2), then
 * bias (C). */
static inline double toy_logit(const float *linear, int C, int c, double x, double y) {
    return linear[2 * c] * x + linear[2 * c + 1] * y + linear[2 * C + c];
}

/* Writes FOLDER/labels_<iteration>.svg: a panel for each of the K views, with samples Z (N,2) in the colour of their
 * labels (N). A solid line is where the two largest probabilities of a view's task encoder are equal, a dashed
 * one where the larger is nine times the other. The file appears whole or not at all, and missing folders are made.
 * ERR_IO: it cannot be written. */
Status toy_draw(const char *folder, int iteration, float Z[TOY_VIEWS][TOY_SAMPLES * 2],
                const int labels[TOY_SAMPLES], float *const *linear, int K, int C, Error *err);

#endif
