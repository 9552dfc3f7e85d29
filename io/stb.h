/* stb.h - stb_image with the formats that are wanted: JPEG, PNG, BMP and PNM from memory, and the
 * inflate inside it. Its one implementation is stb.c. */
#ifndef TURTLE_IO_STB_H
#define TURTLE_IO_STB_H

#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_ONLY_BMP
#define STBI_ONLY_PNM
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_FAILURE_STRINGS /* a static one: threads would share it */

#include <stb/stb_image.h>

#endif
