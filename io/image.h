/* image.h - image files decoded to 8-bit RGB: JPEG, PNG, BMP and PNM, by content and not by name.
 *
 * As the published loaders do (PIL's convert("RGB")): grey is repeated, palettes are expanded, alpha
 * is dropped, CMYK is converted, EXIF orientation is ignored; resizing comes after that, as in
 * torchvision's folder loaders. 16 bits keep their high byte. Two differences from other code paths:
 * CLIP's own transform resizes before it converts, which for palettes differs by up to 116 of 255 and
 * with alpha by up to 225; Pillow 9.4 clips 16-bit grey to 255, so that it is nearly white.
 *
 * What a decoder would silently fill in is refused before it runs: PNG checksums that do not match,
 * files that end early, sizes beyond IMAGE_MAX_PIXELS.
 */
#ifndef TURTLE_IO_IMAGE_H
#define TURTLE_IO_IMAGE_H

#include "resize.h"

enum { IMAGE_MAX_SIDE = 65500, IMAGE_MAX_PIXELS = 1 << 28 };

/* Decodes a whole file in memory; `name` is for messages. On failure *out is zeroed. */
Status image_decode(Image *out, const uint8_t *data, int64_t bytes, const char *name, Error *err);
void image_free(Image *image); /* NULL and twice are fine */

#endif
