/* resize.h - the antialiased bicubic and bilinear resize of Pillow and of torchvision, bit for bit, of just
 * the pixels that a centre crop keeps.
 *
 * The published preprocessing is torchvision's Resize(n, BICUBIC) of the short side, then
 * CenterCrop, on 8-bit RGB images. Pillow computes it in two passes of 8-bit fixed-point
 * arithmetic: across, rounded to bytes, then down, rounded to bytes.
 */
#ifndef TURTLE_IO_IMAGES_RESIZE_H
#define TURTLE_IO_IMAGES_RESIZE_H

#include <stdbool.h>
#include <stdint.h>

#include "io/status.h"

/* Decoded pixels: 8-bit RGB, row by row. */
typedef struct {
    uint8_t *rgb; /* (height,width,3); owned */
    int width, height;
} Image;

/* Working memory that one thread keeps from image to image; zeroed at first. */
typedef struct {
    void *memory;
    int64_t bytes;
} Resizer;

typedef enum { RESIZE_BICUBIC, RESIZE_BILINEAR } ResizeFilter;

/* Weights by which bytes are multiplied: Pillow's have 22 bits behind the point; torchvision's, on tensors of
 * bytes, as many as fit into 16 with the largest of the axis. Those of RESIZE_FLOATS are floats, and so
 * are its pixels, 0 to 1 and not rounded to bytes, as torchvision makes them of floats. */
typedef enum { RESIZE_PILLOW, RESIZE_TORCHVISION, RESIZE_FLOATS } ResizeWeights;

/* The rule by which a picture becomes the square that an encoder sees. */
typedef struct {
    int resize;  /* size of the short side; the long one follows in proportion, truncated */
    int crop;    /* side of the square in the middle, black beyond the picture */
    bool squash; /* both sides are scaled to `resize` */
    /* Rounding of half of the pixels that are cut off, where the crop begins: down, as Hugging
     * Face's processors do, else to the even number, as torchvision does. */
    bool crop_down;
    ResizeFilter filter;
    ResizeWeights weights;
} ResizeRule;

/* One axis of a picture on its way to the square. Output place + i of the square, for i < count, is the sum of
 * weight[i * room + k] times input from[i] + k over k < used[i]. The other outputs are black. */
typedef struct {
    int32_t *weight; /* (count,room) in fixed point; zeros behind an output's last tap */
    int *from;       /* (count) first input of each output */
    int *used;       /* (count) taps of each output */
    int count, place, room;
    int lowest, end; /* inputs that any output needs */
    int precision;   /* bits of a weight behind the point */
} ResizeTaps;

/* Returns the bytes of a square that a rule makes. */
static inline int64_t resize_bytes(const ResizeRule *rule) {
    const int64_t each = rule->weights == RESIZE_FLOATS ? (int64_t)sizeof(float) : 1;
    return 3 * (int64_t)rule->crop * rule->crop * each;
}

/* Writes out (crop,crop,3), bytes or floats, as the rule says. ERR_ARG if a size is not positive or too
 * long. */
Status resize_image(Resizer *r, void *out, const Image *in, const ResizeRule *rule, Error *err);
/* Finds the taps of both axes of a picture, x first, by which resize_image makes bytes. They lie in r's memory, for its
 * next call to overwrite. ERR_ARG as of resize_image, and for a rule whose pixels are floats. */
Status resize_taps(Resizer *r, ResizeTaps taps[2], int width, int height, const ResizeRule *rule,
                   Error *err);
/* Writes out (crop,crop,3) by the published rule: bicubic, short side, torchvision's crop. */
Status resize_crop(Resizer *r, uint8_t *out, const Image *in, int resize, int crop, Error *err);
/* Writes out (height,width,3), the whole picture, bicubic. */
Status resize_whole(Resizer *r, uint8_t *out, const Image *in, int width, int height, Error *err);
void resizer_free(Resizer *r); /* NULL and twice are fine */

#endif
