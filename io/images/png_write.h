/* png_write.h - pictures as PNG files in memory: grey where all pixels are grey, else RGB; nothing is lost. */
#ifndef TURTLE_IO_IMAGES_PNG_WRITE_H
#define TURTLE_IO_IMAGES_PNG_WRITE_H

#include "io/images/image.h"

/* Writes the picture into fresh memory for free(). The same pixels give the same bytes. On failure *out
 * is NULL. */
Status png_bytes(uint8_t **out, int64_t *bytes, const Image *image, Error *err);

#endif
