/* image_reader.h - the vocabulary of the readers of single formats, which only image.c calls.
 *
 * A format has two functions. x_look() reads the header and fills in a Look: the size, and any reason
 * not to decode. x_decode() runs only where there is no such reason, and within the size limits.
 */
#ifndef TURTLE_IO_IMAGES_IMAGE_READER_H
#define TURTLE_IO_IMAGES_IMAGE_READER_H

#include <string.h>

#include "io/files/bytes.h"
#include "io/images/image.h"

typedef struct {
    const uint8_t *data;
    int64_t bytes;
    int64_t width, height;
    int orientation;    /* orientation of EXIF, 1..8; 1 where the file says nothing */
    const char *unread; /* variety that is not read, "12-bit JPEG"; NULL: the file is read */
    const char *fault;  /* damage of the file; NULL: none was found yet */
    uint64_t detail[4]; /* facts that a format keeps from its look to its decode */
} Look;

/* The reason why a decoder stopped, a static text; NULL: it did not stop. */
typedef const char *Fault;
extern const char image_no_memory[]; /* the one Fault that does not lie in the file */

typedef struct {
    void (*look)(Look *f);
    /* Fills in out->rgb, from image_allocate() or malloc; image.c frees it, also after a fault. */
    Fault (*decode)(Image *out, const Look *f);
} ImageReader;

extern const ImageReader jpeg_reader, png_reader, bmp_reader, pnm_reader, gif_reader;

/* Gives `out` the size that the look found, and black pixels. Returns false without memory. */
bool image_allocate(Image *out, const Look *f);

static inline bool begins(const Look *f, int64_t at, const char *text) {
    const size_t n = strlen(text);
    return f->bytes >= at + (int64_t)n && memcmp(f->data + at, text, n) == 0;
}

/* Returns true if a picture of this size may be decoded. */
static inline bool size_is_fine(int64_t width, int64_t height) {
    return width >= 1 && height >= 1 && width <= IMAGE_MAX_SIDE && height <= IMAGE_MAX_SIDE &&
           width * height <= IMAGE_MAX_PIXELS;
}

/* Returns the orientation 1..8 that a block of EXIF (a TIFF header and what follows) names, or 1. */
int exif_orientation(const uint8_t *tiff, int64_t bytes);
/* Returns the orientation of a whole TIFF or WebP, which are not read here, or 1 for anything
 * else. */
int exif_orientation_of_file(const uint8_t *data, int64_t bytes);

#endif
