/* image_kinds.h - kinds of pictures that folders hold; some are read, others have to be converted.
 *
 * One table row per kind serves the listing of folders, by name, and the decoder, by content. It
 * serves the children of --decoder by the names that other programs use.
 */
#ifndef TURTLE_IO_IMAGES_IMAGE_KINDS_H
#define TURTLE_IO_IMAGES_IMAGE_KINDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    const char *name;       /* name in messages: "WebP" */
    const char *extensions; /* lower case, between single blanks: "tif tiff" */
    bool read;              /* image_decode() reads it */
    bool film;              /* a film: many pictures in a file, so that frames have to be chosen */
    bool by_name;       /* first bytes do not show the kind, or show a TIFF: the name tells it */
    const char *magick; /* ImageMagick's name of the format; NULL: it does not read the kind */
    const char *
        ffmpeg; /* ffmpeg's name of the decoder, or of the demuxer for "mov"; NULL: it does not read the kind */
} PictureKind;

/* Returns the kind that the ending of a file's name stands for, in any case, or NULL. */
const PictureKind *picture_kind_of_name(const char *name);

/* Returns the kind that a file's first bytes show, or NULL. Most camera raws are TIFFs inside and
 * are named so. */
const PictureKind *picture_kind_of_bytes(const uint8_t *data, int64_t bytes);

/* Writes the shell command that turns the pictures of `kind` below `folder` into PNGs beside them.
 * A kind may have many endings: the command takes the ending of `example`, a file's name. A folder
 * that does not fit or cannot be shown in one line is written as FOLDER. */
void picture_kind_command(char *text, size_t bytes, const PictureKind *kind, const char *folder,
                          const char *example);

#endif
