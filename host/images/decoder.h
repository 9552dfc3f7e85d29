/* decoder.h - ImageMagick or ffmpeg as a child process, for kinds of pictures that we do not read.
 *
 * A file's bytes go in through standard input, never its name; pixels come out as a PNM. The format is
 * named to the program, so that the bytes cannot choose another one. Time and size are limited.
 */
#ifndef TURTLE_HOST_IMAGES_DECODER_H
#define TURTLE_HOST_IMAGES_DECODER_H

#include "io/images/image.h"
#include "io/images/image_kinds.h"

typedef enum { DECODER_NONE, DECODER_MAGICK, DECODER_FFMPEG } DecoderProgram;

typedef struct {
    DecoderProgram program;
    char *path;         /* path of the program; owned */
    char **environment; /* environment of its children, NULL at the end; owned */
    bool orient;        /* pictures are turned as EXIF says */
    double seconds;     /* for one picture; 30 */
} Decoder;

/* Finds the program `name`, "magick" or "ffmpeg", in PATH; NULL stands for none. A program that is not
 * installed is ERR_IO, with what to install. On failure *out is zeroed. */
Status decoder_open(Decoder *out, const char *name, bool orient, Error *err);
/* Returns whether the program is asked for pictures of `kind`. */
bool decoder_takes(const Decoder *decoder, const PictureKind *kind);
/* Decodes the file `path`, of the kind that `facts` name; for many threads at a time. On failure *out is zeroed. */
Status decoder_image(const Decoder *decoder, Image *out, const ImageFacts *facts, const char *path,
                     Error *err);
void decoder_close(Decoder *decoder); /* NULL and twice are fine */

#endif
