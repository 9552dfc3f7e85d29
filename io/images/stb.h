/* stb.h - stb_image as this program uses it: JPEG and PNG from memory. stb.c holds its implementation. */
#ifndef TURTLE_IO_IMAGES_STB_H
#define TURTLE_IO_IMAGES_STB_H

#include <stdbool.h>
#include <stdint.h>

#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_FAILURE_STRINGS /* a static one: threads would share it */

#include <stb/stb_image.h>

/* Limits every single block of memory that this thread's next calls ask for. */
void stb_limit_memory(int64_t bytes);

/* One component of a JPEG, before it is scaled up and its colours are converted. */
typedef struct {
    const uint8_t *samples; /* (height,stride), of which `width` columns count */
    int width, height, stride;
    int across, down; /* pixels that one sample stands for */
} StbPlane;

/* A JPEG being decoded segment by segment. The caller finds the segments, stb_image decodes them.
 * stb_image's own search for markers stops at stray bytes, and its own scaling differs from
 * libjpeg's. */
typedef struct StbJpeg StbJpeg;
StbJpeg *stb_jpeg_open(void); /* NULL: out of memory */
/* Decodes the segment of `marker`: DQT, DHT, DRI, SOF0 to SOF2, or SOS. data[0..bytes) are its
 * bytes from the length on; SOS includes the entropy-coded data. Returns false if they are
 * damaged. */
bool stb_jpeg_segment(StbJpeg *jpeg, int marker, const uint8_t *data, int64_t bytes);
/* Writes the planes after the last segment. Returns how many there are (1, 3 or 4), or 0 if one of
 * them has no data. */
int stb_jpeg_planes(StbJpeg *jpeg, StbPlane planes[4]);
void stb_jpeg_close(StbJpeg *jpeg); /* NULL is fine */

#endif
