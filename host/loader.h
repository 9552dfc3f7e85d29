/* loader.h - sources decoded, resized and cropped by several threads. */
#ifndef TURTLE_HOST_LOADER_H
#define TURTLE_HOST_LOADER_H

#include "../io/resize.h"
#include "../io/sources.h"

/* What became of one source. */
typedef struct {
    Status status;
    Error err;
} Loaded;

/* Sources first .. first+n of `list` as pixels (n,crop,crop,3) by the rule; loaded (n) says which are good. The
 * others' pixels are undefined. */
void load_images(uint8_t *pixels, Loaded *loaded, const SourceList *list, int64_t first, int64_t n,
                 const ResizeRule *rule, int threads);

#endif
