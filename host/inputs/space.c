/* space.c - one representation space: every sample's features under one frozen encoder phi_k. */
#include "host/inputs/space.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "host/tell/notify.h"

static Status no_memory(const Space *s, Error *err) {
    return fail(err, ERR_MEMORY, "features: %s: out of memory", s->path);
}

/* --- shape ------------------------------------------------------------------------------------ */

static void drop_axis(ArrayFile *a, int axis) {
    for (int i = axis; i + 1 < a->axes; i++) a->shape[i] = a->shape[i + 1];
    a->axes--;
}

/* Makes (N,1,d), (N,d,1,1) and (1,N,d) to (N,d): the last axes go first, the samples' axis at the
 * very end. */
static void drop_axes_of_one(ArrayFile *a) {
    for (int i = a->axes - 1; i >= 0; i--)
        if (a->axes > 2 && a->shape[i] == 1) drop_axis(a, i);
}

/* Returns what to do with so many axes to make a matrix of them; NULL: they are a matrix. */
static const char *shape_advice(int axes) {
    if (axes == 2) return NULL;
    if (axes < 2)
        return "one row a sample; x.reshape(-1, 1) if one number is all that is known of each";
    if (axes == 3)
        return "one vector a sample; of tokens take the mean, x.mean(1), or the class token, "
               "x[:, 0]";
    return "of images make features first (turtle features), or flatten them: x.reshape(len(x), "
           "-1)";
}

static Status check_shape(Space *s, const TurtleHooks *hooks, Error *err) {
    ArrayFile *a = &s->file;
    char found[128], taken[128];
    array_shape_text(found, sizeof found, a);
    const int axes = a->axes;
    drop_axes_of_one(a);
    array_shape_text(taken, sizeof taken, a);
    const bool empty = a->count == 0;
    const char *advice = empty ? "" : shape_advice(a->axes);
    if (advice)
        return fail(err, ERR_FORMAT,
                    "features: %s: expected a %s(samples, dimension) matrix, got %s%s%s", s->path,
                    empty ? "non-empty " : "", found, empty ? "" : ": ", advice);
    if (axes > 2) notice(hooks, "features: %s: %s is taken as %s", s->path, found, taken);
    if (a->reordered)
        notice(hooks, "features: %s: is in Fortran order: reordered in memory", s->path);
    return OK;
}

/* --- values ----------------------------------------------------------------------------------- */

/* Returns the largest magnitude of a row; *finite: all are finite. 0 x is 0 for finite x only, and
 * NaN stays. */
static double largest_f32(const float *row, int64_t d, bool *finite) {
    float spread = 0.0f, most = 0.0f;
    for (int64_t j = 0; j < d; j++) {
        spread += 0.0f * row[j];
        most = fabsf(row[j]) > most ? fabsf(row[j]) : most;
    }
    *finite = spread == 0.0f;
    return most;
}

static double largest_f64(const double *row, int64_t d, bool *finite) {
    double spread = 0.0, most = 0.0;
    for (int64_t j = 0; j < d; j++) {
        spread += 0.0 * row[j];
        most = fabs(row[j]) > most ? fabs(row[j]) : most;
    }
    *finite = spread == 0.0;
    return most;
}

static Status refuse_not_finite(const Space *s, int64_t i, Error *err) {
    const int64_t d = s->file.shape[1];
    double x = 0.0;
    for (int64_t j = 0; j < d; j++)
        if (array_read_f64(&s->file, i * d + j, 1, &x, err) == OK && !isfinite(x))
            return fail(err, ERR_FORMAT,
                        "features: %s: row %lld, column %lld is %s: expected finite numbers: "
                        "recompute or drop that sample",
                        s->path, (long long)i, (long long)j, isnan(x) ? "NaN" : "infinite");
    return OK;
}

/* Every feature must be finite: one that is not would spread to all weights. Notes the largest, and how
 * many integers float32 does not hold exactly. */
static Status check_values(Space *s, int64_t *inexact, Error *err) {
    const ArrayFile *a = &s->file;
    const int64_t N = a->shape[0], d = a->shape[1];
    const bool narrow = dtype_is_float(a->type) && a->type != DTYPE_F64;
    void *room = malloc((size_t)d * sizeof(double)); /* one row, as float or double */
    const float *floats = room;
    const double *row = room;
    Status st = room ? OK : no_memory(s, err);
    *inexact = 0;
    for (int64_t i = 0; st == OK && i < N; i++) {
        bool finite = true;
        st = narrow ? array_read_f32(a, i * d, d, room, err)
                    : array_read_f64(a, i * d, d, room, err);
        if (st != OK) break;
        const double most = narrow ? largest_f32(floats, d, &finite) : largest_f64(row, d, &finite);
        if (!finite) st = refuse_not_finite(s, i, err);
        if (most > s->most) s->most = most, s->most_row = i;
        for (int64_t j = 0; !dtype_is_float(a->type) && most > 0x1p24 && j < d; j++)
            *inexact += (double)(float)row[j] != row[j];
    }
    free(room);
    return st;
}

/* Puts the features into memory as float32, times 2^-exponent, in place of the file. */
static Status to_memory(Space *s, int exponent, Error *err) {
    const Features *f = &s->features;
    const double unit = exponent > -1000 ? ldexp(1.0, -exponent) : 0x1p1000;
    const double rest = exponent > -1000 ? 1.0 : ldexp(1.0, -exponent - 1000);
    const int64_t bytes = dtype_bytes(f->type) * f->d;
    float *memory = malloc((size_t)(f->N * f->d) * sizeof *memory);
    double *row = malloc((size_t)f->d * sizeof *row);
    const Status st = memory && row ? OK : no_memory(s, err);
    for (int64_t i = 0; st == OK && i < f->N; i++) {
        dtype_to_f64(row, (const uint8_t *)f->data + i * bytes, f->type, f->swapped, f->d);
        for (int64_t j = 0; j < f->d; j++) memory[i * f->d + j] = (float)(row[j] * unit * rest);
    }
    free(row);
    if (st != OK) {
        free(memory);
        return st;
    }
    free(s->memory);
    s->memory = memory;
    s->features = (Features){.data = memory, .N = f->N, .d = f->d, .type = DTYPE_F32};
    array_close(&s->file);
    return OK;
}

/* Checks the array that is open, and takes it as features. */
static Status take_array(Space *out, const TurtleHooks *hooks, Error *err) {
    int64_t inexact = 0;
    Status st = check_shape(out, hooks, err);
    if (st == OK) st = check_values(out, &inexact, err);
    if (st != OK) return st;
    const ArrayFile *a = &out->file;
    out->features = (Features){.data = a->data,
                               .N = a->shape[0],
                               .d = a->shape[1],
                               .type = a->type,
                               .swapped = a->swapped};
    if (dtype_is_float(a->type) && a->type != DTYPE_BF16) return OK;
    if (inexact)
        notice(hooks, "features: %s: %lld of %lld %s numbers are rounded to float32", out->path,
               (long long)inexact, (long long)a->count, dtype_name(a->type));
    return to_memory(out, 0, err);
}

Status space_open(Space *out, const char *path, const TurtleHooks *hooks, Error *err) {
    out->path = format_text("%s", path);
    if (!out->path) return fail(err, ERR_MEMORY, "features: %s: out of memory", path);
    const Status st = array_open(&out->file, path, err);
    return st == OK ? take_array(out, hooks, err) : st;
}

Status space_open_array(Space *out, const char *name, const ArrayFile *array,
                        const TurtleHooks *hooks, Error *err) {
    out->path = format_text("%s", name);
    if (!out->path) return fail(err, ERR_MEMORY, "features: %s: out of memory", name);
    out->file = *array;
    return take_array(out, hooks, err);
}

void space_close(Space *s) {
    if (!s) return;
    array_close(&s->file);
    free(s->memory);
    free(s->path);
    *s = (Space){0};
}

/* --- range ------------------------------------------------------------------------------------ */

/* Squares of features between these, and of their differences, are well inside float32. */
static const double LEAST_SQUARED = 0x1p-40, MOST_SQUARED = 0x1p40;
/* Squares of gradients are inside float32 for features between these: a gradient is at most as
 * large as the largest feature, and much smaller near the end of a training. */
static const double LEAST_GRADIENT = 0x1p-40, MOST_GRADIENT = 0x1p60;
/* Features that encoders make lie between these. */
static const double LEAST_USUAL = 0x1p-10, MOST_USUAL = 0x1p14;

int space_unit_exponent(const Space *s) {
    const bool apart = s->most > 0.0 && (s->most < LEAST_SQUARED || s->most > MOST_SQUARED);
    return apart ? ilogb(s->most) : 0;
}

Status space_scale(Space *s, int exponent, Error *err) {
    if (exponent == 0) return OK;
    const Status st = to_memory(s, exponent, err);
    if (st == OK) s->most = ldexp(s->most, -exponent);
    return st;
}

static Status refuse_range(const Space *s, const char *what, Error *err) {
    return fail(err, ERR_FORMAT,
                "features: %s: the largest magnitude is %g (row %lld): %s: scale the features: "
                "python3 -c \"import numpy; x = numpy.load('FILE').astype('float64'); "
                "numpy.save('scaled.npy', (x / abs(x).max()).astype('float32'))\"",
                s->path, s->most, (long long)s->most_row, what);
}

Status space_check_range(const Space *s, SpaceUse use, const TurtleHooks *hooks, Error *err) {
    const double most = s->most;
    if (most == 0.0) return OK;
    if (most > (double)FLT_MAX) return refuse_range(s, "float32 holds 3.4e38 at most", err);
    if (most < (double)FLT_MIN) return refuse_range(s, "float32 holds nothing that small", err);
    if (use == SPACE_LINEAR) return OK;
    if (most > MOST_GRADIENT)
        return refuse_range(s, "squares of gradients would leave float32 (1.2e18 is served)", err);
    if (most < LEAST_GRADIENT)
        return refuse_range(s, "gradients would vanish, nothing can be learnt (9.1e-13 is served)",
                            err);
    if (most > MOST_USUAL || most < LEAST_USUAL)
        notice(
            hooks,
            "features: %s: the largest magnitude is %g: learning rates and penalties suit features "
            "near 1; scale the features where the result is poor",
            s->path, most);
    return OK;
}

/* Largest magnitude that float16 holds. */
static const double MOST_FLOAT16 = 65504.0;

int space_exponent(const Space *s) {
    return s->most > MOST_FLOAT16 ? ilogb(s->most) - 14 : 0;
}
