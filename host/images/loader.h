/* loader.h - sources decoded, resized and cropped by several threads. */
#ifndef TURTLE_HOST_IMAGES_LOADER_H
#define TURTLE_HOST_IMAGES_LOADER_H

#include "host/images/decoder.h"
#include "host/turtle.h"
#include "io/datasets/sources.h"
#include "io/images/resize.h"

/* The fate of one source. */
typedef struct {
    Status status;
    Error err;
    const char *unread; /* the kind that our readers do not know; NULL: they do */
    bool decoded;       /* another program made pixels of it */
} Loaded;

/* Settings that hold for every picture. */
typedef struct {
    ResizeRule rule;
    bool orient; /* turn it as EXIF says */
    const Decoder *decoder;
    int threads;
} Loading;

/* Loads sources first .. first+n of `list` as pixels (n,crop,crop,3), bytes or floats as the rule makes
 * them; loaded (n) says which are good. The pixels of the others are undefined. */
void load_images(uint8_t *pixels, Loaded *loaded, const SourceList *list, int64_t first, int64_t n,
                 const Loading *how);
/* Loads pictures first .. first+n of the caller's memory in the same way. */
void load_pictures(uint8_t *pixels, Loaded *loaded, const TurtlePictures *pictures, int64_t first,
                   int64_t n, const Loading *how);

#endif
