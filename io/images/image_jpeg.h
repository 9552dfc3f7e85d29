/* image_jpeg.h - planes and colours, which the two files of the JPEG reader share. */
#ifndef TURTLE_IO_IMAGES_IMAGE_JPEG_H
#define TURTLE_IO_IMAGES_IMAGE_JPEG_H

#include "io/images/image_reader.h"
#include "io/images/stb.h"

/* Colours that the components of a JPEG make. */
typedef enum { JPEG_GREY, JPEG_RGB, JPEG_YCC, JPEG_CMYK, JPEG_YCCK } JpegColour;

/* Fills in the pixels of `out` from the planes, scaled up and converted as libjpeg does by default.
 * CMYK becomes RGB as in Pillow. */
Fault jpeg_pixels(Image *out, const StbPlane *planes, JpegColour colour);

#endif
