/* stb.c - the implementation of stb_image, compiled once.
 *
 * Memory is zeroed: version 2.27 decodes with whatever lay in the tables that a damaged JPEG refers
 * to but never defines. Assertions are off: bytes from outside must not abort the program; what they
 * would have found is refused in image.c or, by zeroed tables, harmless (fuzzed under the
 * sanitizers: tests/image_test.c). */
#include <stdlib.h>

#define STB_IMAGE_IMPLEMENTATION
#define STBI_MALLOC(bytes) calloc(1, bytes)
#define STBI_REALLOC(memory, bytes) realloc(memory, bytes)
#define STBI_FREE(memory) free(memory)
#define STBI_ASSERT(x) ((void)0)
#define STBI_MAX_DIMENSIONS 65500 /* IMAGE_MAX_SIDE */
#include "stb.h"
