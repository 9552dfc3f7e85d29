/* stb.c - the implementation of stb_image, compiled once. */
#define STB_IMAGE_IMPLEMENTATION
#define STBI_ASSERT(x) ((void)0) /* bytes from outside must not abort the program */
#include "stb.h"
