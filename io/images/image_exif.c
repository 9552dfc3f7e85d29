/* image_exif.c - the orientation that cameras record, and pictures turned by it. */
#include <stdlib.h>

#include "io/images/image_reader.h"

int exif_orientation(const uint8_t *tiff, int64_t bytes) {
    enum { HEADER = 8, ENTRY = 12, TAG = 0x112, BYTE = 1, SHORT = 3, LONG = 4 };
    if (bytes < HEADER || (memcmp(tiff, "II*\0", 4) != 0 && memcmp(tiff, "MM\0*", 4) != 0))
        return 1;
    uint32_t (*number)(const uint8_t *, int) = tiff[0] == 'I' ? little : big;
    const int64_t at = number(tiff + 4, 4);
    if (at > bytes - 2) return 1;
    const int64_t entries = number(tiff + at, 2);
    for (int64_t i = 0; i < entries && at + 2 + (i + 1) * ENTRY <= bytes; i++) {
        const uint8_t *entry = tiff + at + 2 + i * ENTRY;
        if (number(entry, 2) != TAG) continue;
        const uint32_t type = number(entry + 2, 2), count = number(entry + 4, 4);
        const int size = type == BYTE ? 1 : type == SHORT ? 2 : type == LONG ? 4 : 0;
        const uint32_t value = size && count == 1 ? number(entry + 8, size) : 1;
        return value >= 1 && value <= 8 ? (int)value : 1;
    }
    return 1;
}

int exif_orientation_of_file(const uint8_t *data, int64_t bytes) {
    static const uint8_t before[] =
        "Exif\0"; /* some writers keep the bytes that JPEG has before EXIF */
    if (bytes < 12 || memcmp(data, "RIFF", 4) != 0 || memcmp(data + 8, "WEBP", 4) != 0)
        return exif_orientation(data, bytes);
    for (int64_t at = 12; at + 8 <= bytes;) {
        const int64_t n = little(data + at + 4, 4);
        if (memcmp(data + at, "EXIF", 4) == 0 && n <= bytes - at - 8) {
            const int64_t skip = n >= 6 && memcmp(data + at + 8, before, 6) == 0 ? 6 : 0;
            return exif_orientation(data + at + 8 + skip, n - skip);
        }
        at += 8 + n + (n & 1);
    }
    return 1;
}

/* The eight orientations are made of three flips. 5 to 8 swap rows and columns; 2, 3, 6 and 7
 * mirror the result's columns; 3, 4, 7 and 8 mirror its rows. */
Status image_orient(Image *image, int orientation, Error *err) {
    if (orientation < 2 || orientation > 8) return OK;
    const bool swap = orientation >= 5;
    const bool mirror =
        orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7;
    const bool upset = orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8;
    const int width = swap ? image->height : image->width,
              height = swap ? image->width : image->height;
    uint8_t *turned = malloc((size_t)width * (size_t)height * 3);
    if (!turned)
        return fail(err, ERR_MEMORY, "image: out of memory for %d x %d pixels", width, height);
    uint8_t *out = turned;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++, out += 3) {
            const int column = mirror ? width - 1 - x : x, row = upset ? height - 1 - y : y;
            const int64_t from =
                swap ? (int64_t)column * image->width + row : (int64_t)row * image->width + column;
            memcpy(out, image->rgb + 3 * from, 3);
        }
    free(image->rgb);
    *image = (Image){turned, width, height};
    return OK;
}
