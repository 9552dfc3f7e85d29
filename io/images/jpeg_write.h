/* jpeg_write.h - baseline JPEG files (ITU-T T.81), as Pillow writes them by default.
 *
 * Colour is YCbCr with chroma halved both ways; quantisation and Huffman tables are those of annex K, the former
 * scaled by the quality as the Independent JPEG Group's library scales them. Pixels differ from that library's by
 * the rounding of the cosine transform, a level of a coefficient at the most.
 */
#ifndef TURTLE_IO_IMAGES_JPEG_WRITE_H
#define TURTLE_IO_IMAGES_JPEG_WRITE_H

#include "io/images/image.h"

/* Writes the picture under `path`, whole or not at all. `quality` is 1 to 100; Pillow's default is 75. */
Status jpeg_write(const char *path, const Image *image, int quality, Error *err);
/* Writes the picture into fresh memory for free(). On failure *out is NULL. */
Status jpeg_bytes(uint8_t **out, int64_t *bytes, const Image *image, int quality, Error *err);

#endif
