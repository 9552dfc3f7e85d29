/* stb.c - the implementation of stb_image, compiled once. */
#define STB_IMAGE_IMPLEMENTATION
#define STBI_ASSERT(x) ((void)0) /* bytes from outside must not abort the program */
#define STBI_MAX_DIMENSIONS \
    65500 /* as IMAGE_MAX_SIDE: no header that image.c misread asks for more */
#include "stb.h"
