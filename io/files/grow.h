/* grow.h - arrays that grow element by element. */
#ifndef TURTLE_IO_FILES_GROW_H
#define TURTLE_IO_FILES_GROW_H

#include <stdint.h>
#include <stdlib.h>

/* Makes room for one more element of `bytes` bytes behind the `count` that are there. Returns the
 * array, which may have moved, or NULL without memory: then the old array is as it was. */
static inline void *grown(void *array, int64_t count, int64_t *capacity, size_t bytes) {
    if (count < *capacity) return array;
    const int64_t n = 2 * *capacity + 64;
    void *larger = realloc(array, (size_t)n * bytes);
    if (larger) *capacity = n;
    return larger;
}

#endif
