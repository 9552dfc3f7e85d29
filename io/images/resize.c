/* resize.c - bicubic and bilinear resize in fixed point. The arithmetic is that of Pillow,
 * src/libImaging/Resample.c, and of PyTorch on bytes, native/cpu/UpSampleKernel.cpp, whose weights are
 * shorter; sizes and crop are those of torchvision, transforms/functional.py.
 *
 * Cost     across: crop x rows x taps x 3 products, where the crop needs `rows` input rows;
 *          down: crop x crop x taps x 3. taps = 4 max(1, scale) or one more; bilinear takes half.
 * Mapping  across: a pixel's taps are summed with its three channels side by side. down: whole rows
 *          of the crop, so that a vector holds neighbouring bytes.
 * History  v1: the channels of a pixel as three scalars: 620 images/s with decoding (500 x 375 to
 *          224, one core of an AMD EPYC, Zen 5; Pillow 13.0: 490 to 537).
 *          v2: a pixel is one vector of four; two passes compiled for AVX2 as well: 740.
 *          Tried and dropped: __builtin_convertvector for the four bytes, which gcc 12 takes apart
 *          into scalars: 560.
 */
#include "io/images/resize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/sizes.h"

enum {
    PRECISION = 32 - 8 - 2, /* Pillow's bits behind the point: a byte takes 8 of 32, overshoot 2 */
    WEIGHT_END = 1 << 15,   /* of torchvision's weights */
};

/* --- which input pixels, with which weights --------------------------------------------------- */

/* One axis of the crop: outputs first .. first+count of `size` outputs go to `place` of the
 * crop. */
typedef struct {
    int in, size, first, count, place;
    ResizeFilter filter;
    ResizeWeights weights;
} Axis;

static double bicubic(double x) {
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
    if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
    return 0.0;
}

static double triangle(double x) {
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

/* Returns half the width of a filter, in output pixels. */
static double reach(ResizeFilter filter) {
    return filter == RESIZE_BILINEAR ? 1.0 : 2.0;
}

static int taps_room(int in, int out, ResizeFilter filter) {
    const double scale = (double)in / out;
    return (int)ceil(reach(filter) * (scale > 1.0 ? scale : 1.0)) * 2 + 1;
}

/* Writes the weights of output i, which sum to 1. Returns how many inputs from *from on it has. */
static int weigh(double *row, int *from, int in, int out, int i, ResizeFilter filter) {
    const double scale = (double)in / out, wide = scale > 1.0 ? scale : 1.0,
                 support = reach(filter) * wide, centre = (i + 0.5) * scale;
    int first = (int)(centre - support + 0.5), end = (int)(centre + support + 0.5);
    double sum = 0.0;
    if (first < 0) first = 0;
    if (end > in) end = in;
    for (int k = first; k < end; k++) {
        const double x = (k - centre + 0.5) * (1.0 / wide);
        sum += row[k - first] = filter == RESIZE_BILINEAR ? triangle(x) : bicubic(x);
    }
    for (int k = 0; sum != 0.0 && k < end - first; k++) row[k] /= sum;
    *from = first;
    return end - first;
}

/* Returns torchvision's bits behind the point: the most with which every weight of the axis has 16. */
static int short_precision(double *row, int in, int out, ResizeFilter filter) {
    double largest = 0.0;
    int from, precision = 0;
    for (int i = 0; i < out; i++)
        for (int k = weigh(row, &from, in, out, i, filter); k-- > 0;)
            if (row[k] > largest) largest = row[k];
    while (precision < PRECISION &&
           (int)(0.5 + largest * (double)(1 << (precision + 1))) < WEIGHT_END)
        precision++;
    return precision;
}

static void make_taps(ResizeTaps *t, double *row, const Axis *a) {
    t->lowest = a->in;
    t->end = 0;
    t->precision = a->weights == RESIZE_TORCHVISION
                       ? short_precision(row, a->in, a->size, a->filter)
                       : PRECISION;
    for (int i = 0; i < a->count; i++) {
        int from;
        const int used = weigh(row, &from, a->in, a->size, a->first + i, a->filter),
                  end = from + used;
        int32_t *weight = t->weight + (int64_t)i * t->room;
        for (int k = 0; k < end - from; k++) {
            const double w = row[k] * (1 << t->precision);
            weight[k] = (int32_t)(w < 0 ? w - 0.5 : w + 0.5);
        }
        for (int k = end - from; k < t->room; k++) weight[k] = 0;
        t->from[i] = from;
        t->used[i] = end - from;
        if (from < t->lowest) t->lowest = from;
        if (end > t->end) t->end = end;
    }
}

static inline uint8_t to_byte(int32_t sum, int precision) {
    const int32_t x = sum >> precision; /* arithmetic: gcc and clang document it */
    return (uint8_t)(x < 0 ? 0 : x > 255 ? 255 : x);
}

/* --- the two passes --------------------------------------------------------------------------- */

#define INLINE static inline __attribute__((always_inline))
typedef int32_t Pixel __attribute__((vector_size(16))); /* r, g, b and the neighbour's r */
typedef uint32_t PixelBits __attribute__((vector_size(16)));

/* Makes one line: out (count,3) from line (in,3), behind which one more byte may be read. */
INLINE void across_body(uint8_t *out, const uint8_t *line, const ResizeTaps *t, int count) {
    const int precision = t->precision;
    const int32_t half = 1 << (precision - 1);
    const PixelBits shift = {0, 8, 16, 24}; /* little-endian; the test of pixels would tell */
    for (int i = 0; i < count; i++, out += 3) {
        const uint8_t *from = line + 3 * (int64_t)t->from[i];
        const int32_t *weight = t->weight + (int64_t)i * t->room;
        Pixel sum = {half, half, half, half};
        for (int k = 0; k < t->used[i]; k++) {
            uint32_t four;
            memcpy(&four, from + 3 * k, sizeof four);
            const PixelBits bits = {four, four, four, four};
            sum += weight[k] * (Pixel)(bits >> shift & 255);
        }
        for (int c = 0; c < 3; c++) out[c] = to_byte(sum[c], precision);
    }
}

/* Makes one output row of `bytes` bytes from `used` input rows. */
INLINE void down_body(uint8_t *out, const uint8_t *rows, int64_t bytes, const int32_t *weight,
                      int used, int precision) {
    enum { RUN = 192 };
    int32_t sum[RUN];
    for (int64_t first = 0; first < bytes; first += RUN) {
        const int n = bytes - first < RUN ? (int)(bytes - first) : RUN;
        for (int i = 0; i < n; i++) sum[i] = 1 << (precision - 1);
        for (int k = 0; k < used; k++) {
            const uint8_t *row = rows + k * bytes + first;
            for (int i = 0; i < n; i++) sum[i] += weight[k] * row[i];
        }
        for (int i = 0; i < n; i++) out[first + i] = to_byte(sum[i], precision);
    }
}

/* Both passes, compiled for any processor of the family, or for AVX2's vectors where it has them.
 * The arithmetic is the same. */
typedef struct {
    void (*across)(uint8_t *out, const uint8_t *line, const ResizeTaps *t, int count);
    void (*down)(uint8_t *out, const uint8_t *rows, int64_t bytes, const int32_t *weight, int used,
                 int precision);
} Passes;

static void across_plain(uint8_t *out, const uint8_t *line, const ResizeTaps *t, int count) {
    across_body(out, line, t, count);
}

static void down_plain(uint8_t *out, const uint8_t *rows, int64_t bytes, const int32_t *weight,
                       int used, int precision) {
    down_body(out, rows, bytes, weight, used, precision);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void across_avx2(uint8_t *out, const uint8_t *line,
                                                        const ResizeTaps *t, int count) {
    across_body(out, line, t, count);
}

__attribute__((target("avx2"))) static void down_avx2(uint8_t *out, const uint8_t *rows,
                                                      int64_t bytes, const int32_t *weight,
                                                      int used, int precision) {
    down_body(out, rows, bytes, weight, used, precision);
}
#endif

static Passes passes(void) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) return (Passes){across_avx2, down_avx2};
#endif
    return (Passes){across_plain, down_plain};
}

/* --- sizes and crop --------------------------------------------------------------------------- */

/* Returns half of size - crop, rounded down, or to the even number as Python's round does. */
static int crop_offset(int size, int crop, bool crop_down) {
    const int twice = size - crop, down = twice / 2;
    if (twice % 2 == 0 || crop_down) return down;
    return down % 2 == 0 ? down : down + 1;
}

static Axis axis_of(int in, int size, const ResizeRule *rule) {
    const int crop = rule->crop;
    if (size >= crop)
        return (Axis){in,           size,         crop_offset(size, crop, rule->crop_down), crop, 0,
                      rule->filter, rule->weights};
    /* the crop is padded, and the left pad is the smaller one */
    return (Axis){in, size, 0, size, (crop - size) / 2, rule->filter, rule->weights};
}

static int axis_taps(const Axis *a) {
    return taps_room(a->in, a->size, a->filter);
}

static void *take(uint8_t **at, int64_t bytes) {
    void *p = *at;
    *at += round_up(bytes, 64);
    return p;
}

static int64_t taps_bytes(const Axis *a) {
    return (int64_t)a->count * (4 * axis_taps(a) + 8) + 3 * 64;
}

static ResizeTaps take_taps(uint8_t **at, const Axis *a) {
    ResizeTaps t = {.count = a->count, .place = a->place, .room = axis_taps(a)};
    t.weight = take(at, (int64_t)a->count * t.room * 4);
    t.from = take(at, (int64_t)a->count * 4);
    t.used = take(at, (int64_t)a->count * 4);
    return t;
}

static Status reserve(Resizer *r, int64_t bytes, Error *err) {
    if (r->bytes >= bytes) return OK;
    free(r->memory);
    *r = (Resizer){.memory = malloc((size_t)bytes), .bytes = bytes};
    if (r->memory) return OK;
    *r = (Resizer){0};
    return fail(err, ERR_MEMORY, "resize: out of memory (%.1f MiB)", (double)bytes / (1 << 20));
}

void resizer_free(Resizer *r) {
    if (!r) return;
    free(r->memory);
    *r = (Resizer){0};
}

/* Resizes rows lowest .. end of the input across, into (rows, count, 3). Without a change of size
 * it copies, as Pillow does. `padded` holds one line and a byte. */
static void across(uint8_t *to, const Image *in, const Axis *x, const ResizeTaps *taps, int lowest,
                   int end, uint8_t *padded, Passes pass) {
    const size_t bytes = 3 * (size_t)in->width;
    for (int y = lowest; y < end; y++, to += 3 * (int64_t)x->count) {
        const uint8_t *line = in->rgb + bytes * (size_t)y;
        if (x->size == x->in) {
            memcpy(to, line + 3 * (int64_t)x->first, 3 * (size_t)x->count);
            continue;
        }
        if (y == in->height - 1)
            line = memcpy(padded, line, bytes); /* the byte behind the line is ours */
        pass.across(to, line, taps, x->count);
    }
}

Status resize_crop(Resizer *r, uint8_t *out, const Image *in, int resize, int crop, Error *err) {
    return resize_image(r, out, in, &(ResizeRule){.resize = resize, .crop = crop}, err);
}

/* Writes out (y.count,x.count,3) into rows of `stride` pixels, at the place of both axes. */
static Status resize_axes(Resizer *r, uint8_t *out, const Image *in, const Axis x, const Axis y,
                          int64_t stride, Error *err) {
    const int w = in->width, h = in->height;
    const int room = axis_taps(&x) > axis_taps(&y) ? axis_taps(&x) : axis_taps(&y);
    const int64_t row = 3 * (int64_t)x.count;
    Status st = reserve(r,
                        taps_bytes(&x) + taps_bytes(&y) + 8 * (int64_t)room + 3 * (int64_t)w + 1 +
                            2 * 64 + row * h,
                        err);
    if (st != OK) return st;
    uint8_t *at = r->memory;
    double *weights = take(&at, 8 * (int64_t)room);
    uint8_t *padded = take(&at, 3 * (int64_t)w + 1);
    const Passes pass = passes();
    ResizeTaps tx = take_taps(&at, &x), ty = take_taps(&at, &y);
    make_taps(&tx, weights, &x);
    make_taps(&ty, weights, &y);
    const bool down = y.size != y.in;
    const int lowest = down ? ty.lowest : y.first, end = down ? ty.end : y.first + y.count;
    padded[3 * (int64_t)w] = 0;
    across(at, in, &x, &tx, lowest, end, padded, pass);

    out += 3 * (y.place * stride + x.place);
    for (int i = 0; i < y.count; i++, out += 3 * stride) {
        if (down)
            pass.down(out, at + (ty.from[i] - lowest) * row, row, ty.weight + (int64_t)i * ty.room,
                      ty.used[i], ty.precision);
        else memcpy(out, at + i * row, (size_t)row);
    }
    return OK;
}

/* Writes the weights of output i as PyTorch does for floats: the places too are float32. Returns how many
 * inputs from *from on it has. */
static int weigh_floats(float *row, int *from, const Axis *a, int i) {
    const float scale = (float)a->in / (float)a->size, wide = scale > 1.0f ? scale : 1.0f,
                support = (float)reach(a->filter) * wide, inverse = 1.0f / wide,
                centre = scale * ((float)(a->first + i) + 0.5f);
    int first = (int)(centre - support + 0.5f), end = (int)(centre + support + 0.5f);
    float sum = 0.0f;
    if (first < 0) first = 0;
    if (end > a->in) end = a->in;
    for (int k = first; k < end; k++) {
        const float x = ((float)k - centre + 0.5f) * inverse;
        sum += row[k - first] = (float)(a->filter == RESIZE_BILINEAR ? triangle(x) : bicubic(x));
    }
    for (int k = 0; sum != 0.0f && k < end - first; k++) row[k] /= sum;
    *from = first;
    return end - first;
}

/* Makes a column of the intermediate picture (rows,count,3) from rows lowest .. of the input. */
static void float_column(float *to, int64_t step, const Image *in, int lowest, int rows,
                         const float *weight, int from, int used) {
    for (int y = 0; y < rows; y++, to += step) {
        const uint8_t *at = in->rgb + 3 * ((int64_t)(lowest + y) * in->width + from);
        float sum[3] = {0.0f, 0.0f, 0.0f};
        for (int k = 0; k < used; k++)
            for (int c = 0; c < 3; c++)
                sum[c] += weight[k] * ((float)at[3 * k + c] * (float)(1.0 / 255.0));
        for (int c = 0; c < 3; c++) to[c] = sum[c];
    }
}

/* Writes out (y.count,x.count,3), floats of 0 to 1, into rows of `stride` pixels, at the place of both
 * axes. */
static Status resize_floats(Resizer *r, float *out, const Image *in, const Axis x, const Axis y,
                            int64_t stride, Error *err) {
    const int room = axis_taps(&x) > axis_taps(&y) ? axis_taps(&x) : axis_taps(&y);
    const int64_t row = 3 * (int64_t)x.count;
    Status st =
        reserve(r, 8 * (int64_t)room + row * in->height * (int64_t)sizeof(float) + 2 * 64, err);
    if (st != OK) return st;
    uint8_t *at = r->memory;
    float *weight = take(&at, 8 * (int64_t)room);
    float *rows = (float *)(void *)at;
    int from, used = weigh_floats(weight, &from, &y, y.count - 1);
    const int end = from + used;
    weigh_floats(weight, &from, &y, 0);
    const int lowest = from;
    for (int i = 0; i < x.count; i++) {
        used = weigh_floats(weight, &from, &x, i);
        float_column(rows + 3 * (int64_t)i, row, in, lowest, end - lowest, weight, from, used);
    }
    out += 3 * (y.place * stride + x.place);
    for (int i = 0; i < y.count; i++, out += 3 * stride) {
        used = weigh_floats(weight, &from, &y, i);
        for (int64_t j = 0; j < row; j++) out[j] = 0.0f;
        for (int k = 0; k < used; k++) {
            const float *line = rows + (from - lowest + k) * row, w = weight[k];
            for (int64_t j = 0; j < row; j++) out[j] += w * line[j];
        }
    }
    return OK;
}

/* Finds both axes of a picture's way to the square. */
static Status find_axes(Axis *x, Axis *y, int w, int h, const ResizeRule *rule, Error *err) {
    const int side = w < h ? w : h, resize = rule->resize, crop = rule->crop;
    if (w < 1 || h < 1 || resize < 1 || crop < 1)
        return fail(err, ERR_ARG, "resize: %d x %d to %d, crop %d: expected positive sizes", w, h,
                    resize, crop);
    const int64_t wide = side == w || rule->squash ? resize : (int64_t)resize * w / h,
                  high = side == h || rule->squash ? resize : (int64_t)resize * h / w;
    if (wide > INT32_MAX / 4 || high > INT32_MAX / 4)
        return fail(err, ERR_ARG, "resize: %d x %d: too long for its width", w, h);
    *x = axis_of(w, (int)wide, rule);
    *y = axis_of(h, (int)high, rule);
    return OK;
}

Status resize_image(Resizer *r, void *out, const Image *in, const ResizeRule *rule, Error *err) {
    Axis x, y;
    const int crop = rule->crop;
    const Status st = find_axes(&x, &y, in->width, in->height, rule, err);
    if (st != OK) return st;
    if (x.count < crop || y.count < crop) memset(out, 0, (size_t)resize_bytes(rule));
    if (rule->weights == RESIZE_FLOATS) return resize_floats(r, out, in, x, y, crop, err);
    return resize_axes(r, out, in, x, y, crop, err);
}

Status resize_taps(Resizer *r, ResizeTaps taps[2], int width, int height, const ResizeRule *rule,
                   Error *err) {
    Axis x, y;
    Status st = find_axes(&x, &y, width, height, rule, err);
    if (st == OK && rule->weights == RESIZE_FLOATS)
        st = fail(err, ERR_ARG, "resize: taps of fixed point: expected a rule of bytes");
    if (st != OK) return st;
    const int room = axis_taps(&x) > axis_taps(&y) ? axis_taps(&x) : axis_taps(&y);
    st = reserve(r, taps_bytes(&x) + taps_bytes(&y) + 8 * (int64_t)room + 64, err);
    if (st != OK) return st;
    uint8_t *at = r->memory;
    double *weights = take(&at, 8 * (int64_t)room);
    taps[0] = take_taps(&at, &x);
    taps[1] = take_taps(&at, &y);
    make_taps(&taps[0], weights, &x);
    make_taps(&taps[1], weights, &y);
    return OK;
}

Status resize_whole(Resizer *r, uint8_t *out, const Image *in, int width, int height, Error *err) {
    enum { MOST = 1 << 16 };
    if (in->width < 1 || in->height < 1 || width < 1 || height < 1 || width > MOST || height > MOST)
        return fail(err, ERR_ARG, "resize: %d x %d to %d x %d: expected positive sizes", in->width,
                    in->height, width, height);
    const Axis x = {in->width, width, 0, width, 0, RESIZE_BICUBIC, RESIZE_PILLOW},
               y = {in->height, height, 0, height, 0, RESIZE_BICUBIC, RESIZE_PILLOW};
    return resize_axes(r, out, in, x, y, width, err);
}
