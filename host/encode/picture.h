/* picture.h - a decoded picture as a device takes it that resizes pictures (kernels/encode.h, ResizeOp). */
#ifndef TURTLE_HOST_ENCODE_PICTURE_H
#define TURTLE_HOST_ENCODE_PICTURE_H

#include "io/images/resize.h"
#include "kernels/encode.h"

/* The room of a picture on the host and on the device. 500 x 375 to 224 take 0.47 MB, 640 x 480 0.75 MB. */
enum { PICTURE_BYTES = 1 << 20 };

/* Returns whether a device can make the squares of a rule: they are bytes, and a square itself has room. */
bool picture_has_room(const ResizeRule *rule);
/* Writes a picture to `slot` (PICTURE_BYTES, aligned to 4 bytes): its PictureHead, its taps, and the pixels that the
 * square needs. A picture without room is resized here, and the slot has its square with taps of 1: the device makes
 * the same bytes of both. The rule has room. */
Status picture_write(Resizer *r, uint8_t *slot, const Image *in, const ResizeRule *rule,
                     Error *err);

#endif
