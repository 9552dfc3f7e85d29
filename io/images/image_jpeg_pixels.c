/* image_jpeg_pixels.c - planes of a JPEG scaled up and converted to RGB, as libjpeg's default does.
 *
 * Samples lie in the middle of the pixels that they stand for. At 2:1 libjpeg mixes the two nearest
 * samples 3 to 1 in each direction ("fancy upsampling"). Beyond the edge it repeats the outermost
 * sample of the component's own size, never the padding of the last block. Other ratios, and
 * components of 2 columns or fewer, are repeated. The roundings below are libjpeg's: they
 * alternate, so that the mean does not drift.
 */
#include <stdlib.h>

#include "io/images/image_jpeg.h"

/* --- one row of one plane --------------------------------------------------------------------- */

static const uint8_t *row_of(const StbPlane *p, int y) {
    const int last = p->height - 1;
    return p->samples + (int64_t)p->stride * (y < 0 ? 0 : y > last ? last : y);
}

static void repeat_row(uint8_t *out, const uint8_t *in, int width, int across) {
    for (int x = 0; x < width; x++)
        for (int i = 0; i < across; i++) out[x * across + i] = in[x];
}

/* Doubles the width of a row. */
static void widen_row(uint8_t *out, const uint8_t *in, int width) {
    const int last = width - 1;
    out[0] = in[0];
    out[1] = (uint8_t)((3 * in[0] + in[1] + 2) >> 2);
    for (int x = 1; x < last; x++) {
        out[2 * x] = (uint8_t)((3 * in[x] + in[x - 1] + 1) >> 2);
        out[2 * x + 1] = (uint8_t)((3 * in[x] + in[x + 1] + 2) >> 2);
    }
    out[2 * last] = (uint8_t)((3 * in[last] + in[last - 1] + 1) >> 2);
    out[2 * last + 1] = in[last];
}

/* Mixes two rows for a picture of twice the height: the nearer row counts thrice. */
static void mix_rows(uint8_t *out, const uint8_t *near, const uint8_t *far, int width, int bias) {
    for (int x = 0; x < width; x++) out[x] = (uint8_t)((3 * near[x] + far[x] + bias) >> 2);
}

/* Mixes two rows for a picture of twice the size in both directions. sum (width) holds the rows
 * mixed 3 to 1. */
static void mix_and_widen(uint8_t *out, uint16_t *sum, const uint8_t *near, const uint8_t *far,
                          int width) {
    const int last = width - 1;
    for (int x = 0; x < width; x++) sum[x] = (uint16_t)(3 * near[x] + far[x]);
    out[0] = (uint8_t)((4 * sum[0] + 8) >> 4);
    out[1] = (uint8_t)((3 * sum[0] + sum[1] + 7) >> 4);
    for (int x = 1; x < last; x++) {
        out[2 * x] = (uint8_t)((3 * sum[x] + sum[x - 1] + 8) >> 4);
        out[2 * x + 1] = (uint8_t)((3 * sum[x] + sum[x + 1] + 7) >> 4);
    }
    out[2 * last] = (uint8_t)((3 * sum[last] + sum[last - 1] + 8) >> 4);
    out[2 * last + 1] = (uint8_t)((4 * sum[last] + 7) >> 4);
}

/* Returns row y of the picture in one component: in place, or scaled up into `out`. */
static const uint8_t *scaled_row(const StbPlane *p, int y, uint8_t *out, uint16_t *sum) {
    const bool upper = y % 2 == 0; /* the upper of the two rows that a sample covers at 2:1 */
    const int own = y / p->down, other = upper ? own - 1 : own + 1;
    const uint8_t *near = row_of(p, own);
    if (p->across == 1 && p->down == 1) return near;
    if (p->across == 1 && p->down == 2)
        mix_rows(out, near, row_of(p, other), p->width, upper ? 1 : 2);
    else if (p->across == 2 && p->down == 1 && p->width > 2) widen_row(out, near, p->width);
    else if (p->across == 2 && p->down == 2 && p->width > 2)
        mix_and_widen(out, sum, near, row_of(p, other), p->width);
    else repeat_row(out, near, p->width, p->across);
    return out;
}

/* --- colours ---------------------------------------------------------------------------------- */

static uint8_t clamp(int x) {
    return (uint8_t)(x < 0 ? 0 : x > 255 ? 255 : x);
}

/* The amounts that each chroma adds by JFIF's equations, in 16 bits of fraction, rounded as by libjpeg.
 * A pixel takes 1.5 ns from tables, 3 ns by multiplication (1600 columns, Xeon, SSE2). */
typedef struct {
    int red[256], blue[256];
    int green_b[256], green_r[256]; /* times 2^16 */
} Chroma;

static void chroma_tables(Chroma *t) {
    enum { ABOVE = 256 }; /* keeps the shifted number positive */
    for (int i = 0; i < 256; i++) {
        const int x = i - 128;
        t->red[i] = ((91881 * x + 32768 + (ABOVE << 16)) >> 16) - ABOVE;
        t->blue[i] = ((116130 * x + 32768 + (ABOVE << 16)) >> 16) - ABOVE;
        t->green_b[i] = -22554 * x + 32768;
        t->green_r[i] = -46802 * x;
    }
}

static void ycc_row(uint8_t *restrict rgb, const uint8_t *const in[4], int width, const Chroma *t) {
    for (int x = 0; x < width; x++) {
        const int y = in[0][x], b = in[1][x], r = in[2][x];
        rgb[3 * x] = clamp(y + t->red[r]);
        rgb[3 * x + 1] = clamp(y + ((t->green_b[b] + t->green_r[r]) >> 16));
        rgb[3 * x + 2] = clamp(y + t->blue[b]);
    }
}

/* Returns a b / 255, rounded as Pillow does. */
static int product(int a, int b) {
    const int x = a * b + 128;
    return ((x >> 8) + x) >> 8;
}

/* Takes the ink off white paper. Values are stored as 255 - ink, with an Adobe segment or without
 * one: Pillow reads all CMYK so. `rgb` holds the stored C, M and Y. */
static void cmyk_row(uint8_t *rgb, const uint8_t *black, int width) {
    for (int x = 0; x < width; x++)
        for (int c = 0; c < 3; c++)
            rgb[3 * x + c] = clamp(black[x] - product(255 - rgb[3 * x + c], black[x]));
}

static void colour_row(uint8_t *rgb, const uint8_t *const in[4], int width, JpegColour colour,
                       const Chroma *chroma) {
    if (colour == JPEG_YCC || colour == JPEG_YCCK) {
        ycc_row(rgb, in, width, chroma);
    } else {
        for (int x = 0; x < width; x++)
            for (int c = 0; c < 3; c++) rgb[3 * x + c] = in[colour == JPEG_GREY ? 0 : c][x];
    }
    if (colour == JPEG_YCCK) /* the three were 255 - ink before they became luma and chroma */
        for (int x = 0; x < 3 * width; x++) rgb[x] = 255 - rgb[x];
    if (colour == JPEG_CMYK || colour == JPEG_YCCK) cmyk_row(rgb, in[3], width);
}

Fault jpeg_pixels(Image *out, const StbPlane *planes, JpegColour colour) {
    enum { SLACK = 8 }; /* scaled rows end up to 3 pixels beyond the picture */
    const int count = colour == JPEG_GREY ? 1 : colour == JPEG_CMYK || colour == JPEG_YCCK ? 4 : 3;
    const int width = out->width;
    const size_t n = (size_t)width + SLACK;
    uint8_t *memory = malloc(n * 4 + n * sizeof(uint16_t));
    if (!memory) return image_no_memory;
    uint16_t *sum = (uint16_t *)memory;
    uint8_t *scaled = memory + n * sizeof *sum;
    Chroma chroma;
    chroma_tables(&chroma);
    for (int y = 0; y < out->height; y++) {
        const uint8_t *in[4] = {NULL};
        for (int k = 0; k < count; k++)
            in[k] = scaled_row(&planes[k], y, scaled + (size_t)k * n, sum);
        colour_row(out->rgb + (int64_t)y * width * 3, in, width, colour, &chroma);
    }
    free(memory);
    return NULL;
}
