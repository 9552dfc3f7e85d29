/* resize.h - Pillow's antialiased bicubic resize, bit for bit, of just the pixels that a centre crop
 * keeps.
 *
 * The published preprocessing is torchvision's Resize(n, BICUBIC) of the short side, then
 * CenterCrop, on 8-bit RGB images. Pillow computes it in two passes of 8-bit fixed-point
 * arithmetic: across, rounded to bytes, then down, rounded to bytes.
 */
#ifndef TURTLE_IO_RESIZE_H
#define TURTLE_IO_RESIZE_H

#include <stdbool.h>
#include <stdint.h>

#include "status.h"

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

/* out (crop,crop,3): the short side of `in` scaled to `resize` (the long one in proportion,
 * truncated), then the middle crop x crop pixels; what a crop larger than the image leaves is
 * black. */
Status resize_crop(Resizer *r, uint8_t *out, const Image *in, int resize, int crop, Error *err);
void resizer_free(Resizer *r); /* NULL and twice are fine */

#endif
