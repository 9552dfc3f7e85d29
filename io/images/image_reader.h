/* image_reader.h - what the readers of single formats share; image.c alone calls them.
 *
 * A format has two functions. x_look() reads the header and fills in a Look: the size, and what
 * forbids decoding. x_decode() runs only where the look found nothing, and within the size limits.
 */
#ifndef TURTLE_IO_IMAGES_IMAGE_READER_H
#define TURTLE_IO_IMAGES_IMAGE_READER_H

#include <string.h>

#include "io/images/image.h"

typedef struct {
    const uint8_t *data;
    int64_t bytes;
    int64_t width, height;
    int orientation;    /* of EXIF, 1..8; 1 where the file says nothing */
    const char *unread; /* the variety that is not read: "12-bit JPEG"; NULL: it is read */
    const char *fault;  /* what is wrong with the file; NULL: nothing yet */
    uint64_t detail[4]; /* a format's own, from its look to its decode */
} Look;

/* Why a decoder stopped, as a static text; NULL: it did not. */
typedef const char *Fault;
extern const char image_no_memory[]; /* the one Fault that is no fault of the file */

typedef struct {
    void (*look)(Look *f);
    /* Fills in out->rgb, from image_allocate() or malloc; image.c frees it, also after a fault. */
    Fault (*decode)(Image *out, const Look *f);
} ImageReader;

extern const ImageReader jpeg_reader, png_reader, bmp_reader, pnm_reader, gif_reader;

/* Gives `out` the size that the look found, and black pixels. Returns false without memory. */
bool image_allocate(Image *out, const Look *f);

/* Whole numbers of n <= 4 bytes, the most significant or the least significant byte first. */
static inline uint32_t big(const uint8_t *p, int n) {
    uint32_t x = 0;
    for (int i = 0; i < n; i++) x = x << 8 | p[i];
    return x;
}

static inline uint32_t little(const uint8_t *p, int n) {
    uint32_t x = 0;
    for (int i = n - 1; i >= 0; i--) x = x << 8 | p[i];
    return x;
}

static inline bool begins(const Look *f, int64_t at, const char *text) {
    const size_t n = strlen(text);
    return f->bytes >= at + (int64_t)n && memcmp(f->data + at, text, n) == 0;
}

/* Whether a picture of this size may be decoded at all. */
static inline bool size_is_fine(int64_t width, int64_t height) {
    return width >= 1 && height >= 1 && width <= IMAGE_MAX_SIDE && height <= IMAGE_MAX_SIDE &&
           width * height <= IMAGE_MAX_PIXELS;
}

/* Returns the orientation 1..8 that a block of EXIF (a TIFF header and what follows) names, or 1. */
int exif_orientation(const uint8_t *tiff, int64_t bytes);
/* Returns that of a whole TIFF or WebP, which are not read here; 1 of anything else. */
int exif_orientation_of_file(const uint8_t *data, int64_t bytes);

#endif
