/* sources.h - the images of a data set as a list of (source, label), whatever they lie in.
 *
 * A source is a file to decode, or a record of raw pixels inside a larger file. Every loader only
 * makes lists, one per split and in the order of the published loaders; source_image() makes pixels
 * of any of them, for many threads at a time.
 */
#ifndef TURTLE_IO_SOURCES_H
#define TURTLE_IO_SOURCES_H

#include "file.h"
#include "image.h"

/* Raw pixels, `width` x `height` per record. */
typedef enum {
    PIXELS_GREY,   /* one byte per pixel, row by row */
    PIXELS_PLANES, /* all red, all green, all blue, each row by row */
} PixelLayout;

/* A file of records that several sources share, mapped or inflated. */
typedef struct {
    char *name;
    FileMap map;
    uint8_t *inflated; /* NULL: the mapping is used as it is */
    const uint8_t *data;
    int64_t bytes;
    PixelLayout layout;
    int width, height;
} Blob;

typedef struct {
    char *name;     /* a path, as lists and messages show it; of a record "<file>#<number>" */
    int64_t label;  /* -1: unknown */
    int64_t offset; /* of the record in its blob */
    int blob;       /* -1: a file of its own, <folder>/<name> */
} Source;

typedef struct {
    Source *source; /* all of these are owned */
    int64_t count, capacity;
    char *folder; /* that names are relative to */
    Blob *blob;
    int blob_count;
    char **class_name; /* or none */
    int64_t classes;   /* 1 + the largest label; 0 without labels */
} SourceList;

typedef struct {
    SourceList train, val; /* val.count 0: there is no such split */
} SourceSplits;

/* A folder of images.
 *   class folders   DIR/<class>/...: label = rank of the class among the sorted folder names; inside
 *                   a class folder by folder, names sorted by code point (torchvision's ImageFolder)
 *   flat            DIR/<image>: no labels
 *   split           DIR/train and DIR/val (or valid, or test), each of them one of the above
 * Extensions: jpg jpeg png bmp ppm pgm pnm, and tif tiff webp gif, which decoding will name. Hidden
 * files are passed over. A folder with both class folders and images is refused. */
Status sources_folder(SourceSplits *out, const char *folder, Error *err);

/* A text file of lines `split<TAB>label<TAB>path`: train or val (test and valid mean val); a label
 * of `-` is unknown; paths are relative to the list's folder, or absolute. Empty lines and those
 * that begin with # are passed over. */
Status sources_list(SourceSplits *out, const char *path, Error *err);

/* A data set by name, below `folder`:
 *   mnist               idx files, plain or .gz, also in mnist/, MNIST/raw/
 *   digits              MNIST's test file alone: the first 8000 to train on, the others to score
 *   cifar10, cifar100, cifar10020 (the coarse labels)    the binary versions' folders
 *   imagenet, birdsnap, ...    any other name of io/datasets.h: <folder>/<name> as sources_folder */
Status sources_dataset(SourceSplits *out, const char *name, const char *folder, Error *err);

void sources_close(SourceSplits *splits); /* NULL and twice are fine */

/* Returns the path of source i in fresh memory; NULL for a record, and where memory lacks. */
char *source_path(const SourceList *list, int64_t i);

/* Source i decoded; reentrant. A failure names it. */
Status source_image(const SourceList *list, int64_t i, Image *out, Error *err);

/* --- for loaders (lists_*.c) ------------------------------------------------------------------ */

Status source_add(SourceList *list, const char *name, int64_t label, int blob, int64_t offset,
                  Error *err);
/* Maps a file, inflating it if it is gzipped; *index is its number. */
Status blob_open(SourceList *list, const char *path, int *index, Error *err);

#endif
