/* stb_write.c - the implementation of stb_image_write, compiled once; png_write.c calls it. */
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#include <stb/stb_image_write.h>
