/* image.h - image files decoded to 8-bit RGB: JPEG, PNG, BMP, PNM and GIF, by content and not by name.
 *
 * We convert as the published loaders do (PIL's convert("RGB")). Grey is repeated, palettes are
 * expanded, alpha is dropped, CMYK is converted, the first picture of an animation is taken.
 * Resizing comes later, as in torchvision's folder loaders. EXIF orientation is only reported,
 * unless the caller turns the picture by it. 16 bits of a PNG keep their high byte; a sample v of a
 * PNM with maximum m is 255 v / m. Two other code paths differ. CLIP's own transform resizes before
 * it converts, which changes palettes by up to 116 of 255 and alpha by up to 225. Pillow 9.4 clips
 * 16-bit grey to 255, so that it is nearly white.
 *
 * Damage that a decoder would silently fill in is refused before it runs: PNG checksums that do not
 * match, files that end early, sizes beyond IMAGE_MAX_PIXELS. A colour that a palette lacks is black.
 */
#ifndef TURTLE_IO_IMAGES_IMAGE_H
#define TURTLE_IO_IMAGES_IMAGE_H

#include "io/images/image_kinds.h"
#include "io/images/resize.h"

enum { IMAGE_MAX_SIDE = 65500, IMAGE_MAX_PIXELS = 1 << 28 };

/* Facts that a file states beside its pixels. */
typedef struct {
    int orientation;         /* orientation of EXIF, 1..8; 1: as stored */
    const char *unread;      /* variety that is not read, "12-bit JPEG"; NULL: the file is read */
    const PictureKind *kind; /* kind of a file that is not read */
} ImageFacts;

/* Decodes a whole file in memory. `name` is for messages, and tells kinds that no content shows. A
 * picture of a kind that is not read is OK: facts->unread names it, and *out is zeroed, as it is on
 * failure. */
Status image_read(Image *out, ImageFacts *facts, const uint8_t *data, int64_t bytes,
                  const char *name, Error *err);
/* Decodes a whole file in memory; a kind that is not read is a failure like any other. */
Status image_decode(Image *out, const uint8_t *data, int64_t bytes, const char *name, Error *err);
/* Writes the refusal of a kind that is not read, and what to do about it. Returns ERR_FORMAT. */
Status image_unread(const ImageFacts *facts, const char *name, Error *err);
/* Turns a picture as EXIF says that it should be seen. Orientations other than 2..8 leave it as it
 * is. */
Status image_orient(Image *image, int orientation, Error *err);
void image_free(Image *image); /* NULL and twice are fine */

#endif
