/* space.h - one representation space: every sample's features under one frozen encoder phi_k. */
#ifndef TURTLE_HOST_INPUTS_SPACE_H
#define TURTLE_HOST_INPUTS_SPACE_H

#include "host/turtle.h"
#include "io/arrays/array_file.h"
#include "kernels/matrix.h"

typedef struct {
    char *path;
    ArrayFile file;
    Features features; /* (N,d), inside the file's mapping or `memory` */
    float *memory;     /* (N,d) features that the file holds otherwise; NULL: it is used as it is */
    double most;       /* largest magnitude of a feature */
    int64_t most_row;  /* where it stands */
} Space;

/* Opens the features in `path` (array_file.h). Axes of extent 1 beyond the second are dropped,
 * integers and bfloat16 become float32, and a notice says what was done. Refuses, naming the file,
 * anything but a (N,d) matrix of finite numbers; a NaN or infinite one by its row and column. On
 * failure space_close is still safe. */
Status space_open(Space *out, const char *path, const TurtleHooks *hooks, Error *err);
/* Opens an array as space_open does; its memory is the caller's, and `name` stands for a path. */
Status space_open_array(Space *out, const char *name, const ArrayFile *array,
                        const TurtleHooks *hooks, Error *err);
void space_close(Space *s); /* NULL and twice are fine */

/* Returns the power of two that brings the largest magnitude to 1 .. 2, where squares of features
 * would leave float32; 0 where they do not. */
int space_unit_exponent(const Space *s);
/* Divides every feature by 2^exponent, in memory: exact but for what falls below 2^-149. */
Status space_scale(Space *s, int exponent, Error *err);

/* Purpose of the features. */
typedef enum {
    SPACE_LINEAR, /* products with given weights: float32 must hold every feature */
    SPACE_GRADIENTS /* gradient steps: float32 must hold their squares, and steps suit features near 1 */
} SpaceUse;
/* Refuses features whose range that use does not allow, with the numbers and the line that scales them;
 * for gradients a notice tells of a range that is far from 1. */
Status space_check_range(const Space *s, SpaceUse use, const TurtleHooks *hooks, Error *err);

/* Returns the power of two by which features of a space are divided so that float16 holds the
 * largest; 0 where it does anyway. */
int space_exponent(const Space *space);

#endif
