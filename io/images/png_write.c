/* png_write.c - pictures as PNG files in memory, through stb_image_write. */
#include "io/images/png_write.h"

#include <stdlib.h>

/* Returns the PNG file in memory for free(), or NULL. stb_image_write's header does not declare it. */
unsigned char *stbi_write_png_to_mem(const unsigned char *pixels, int stride_bytes, int x, int y,
                                     int n, int *out_len);

enum { MOST_PIXELS = 1 << 26 }; /* stb_image_write counts bytes in an int */

Status png_bytes(uint8_t **out, int64_t *bytes, const Image *image, Error *err) {
    const int64_t pixels = (int64_t)image->width * image->height;
    *out = NULL;
    *bytes = 0;
    if (!image->rgb || image->width < 1 || image->height < 1 || pixels > MOST_PIXELS)
        return fail(err, ERR_ARG, "png: %d x %d pixels: expected 1 to %d", image->width,
                    image->height, MOST_PIXELS);
    bool grey = true;
    const uint8_t *p = image->rgb;
    for (int64_t i = 0; grey && i < pixels; i++, p += 3) grey = p[0] == p[1] && p[0] == p[2];
    uint8_t *values = grey ? malloc((size_t)pixels) : image->rgb;
    for (int64_t i = 0; values && grey && i < pixels; i++) values[i] = image->rgb[3 * i];
    int length = 0;
    const int channels = grey ? 1 : 3;
    if (values)
        *out = stbi_write_png_to_mem(values, image->width * channels, image->width, image->height,
                                     channels, &length);
    if (grey) free(values);
    *bytes = length;
    return *out ? OK : fail(err, ERR_MEMORY, "png: out of memory");
}
