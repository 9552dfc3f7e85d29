/* sources.h - the images of a data set as a list of (source, label), whatever they lie in.
 *
 * A source is a file to decode, or a record of raw pixels inside a larger file. Every loader only
 * makes lists, one per split and in the order of the published loaders; source_image() makes pixels
 * of any of them, for many threads at a time.
 */
#ifndef TURTLE_IO_DATASETS_SOURCES_H
#define TURTLE_IO_DATASETS_SOURCES_H

#include "io/files/file.h"
#include "io/images/image.h"
#include "io/datasets/left_out.h"

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
    char *place;  /* of `folder` below the folder that was listed: "train", "" or NULL */
    Blob *blob;
    int blob_count;
    char **class_name;  /* (classes), then NULL; or none */
    int64_t classes;    /* 1 + the largest label; 0 without labels */
    int64_t unlabelled; /* sources of label -1 */
} SourceList;

typedef struct {
    SourceList train, val; /* val.count 0: there is no such split */
    const char *val_word;  /* what the user calls it: "validation", "test", ...; static, or NULL */
    LeftOut left;          /* of folders and lists */
    char *notes; /* how they were understood, where another reading is possible: lines that end with
                    a line feed; owned; NULL: nothing is to be said */
} SourceSplits;

typedef struct {
    bool exact;          /* only the nine endings of torchvision's ImageFolder count */
    bool magick, ffmpeg; /* pictures that image_decode() does not read but that program does are
                            sources too */
    bool skip_bad; /* folders that cannot be opened and names with line breaks are left out, else
                         they are refused */
} ListingOptions;

/* A folder of images. `options` NULL: none is set.
 *   class folders   DIR/<class>/...: label = rank of the class among the sorted names of the folders
 *                   that hold an image; inside a class in the order of torchvision's ImageFolder
 *   flat            DIR/<image>: no labels; images beside class folders have none either and come
 *                   first
 *   split           DIR/train and DIR/val (or valid, validation, dev, or test), each of them one of
 *                   the above. Classes that only val has get the numbers behind those of train.
 * A folder that would be read wrong is refused with the way out: two validation splits, one split folder
 * alone, Train for train. Everything that is no source stands in out->left, once. */
Status sources_folder(SourceSplits *out, const char *folder, const ListingOptions *options,
                      Error *err);

/* A text file (io/text/text_lines.h) of lines `split<TAB>label<TAB>path`. Splits are those of folders; test
 * lines beside validation lines are left out and counted. A label is a number, `-` if unknown, or a
 * class name, if all are: names are numbered in their sorted order. Paths are relative to the list's
 * folder (of a pipe: to the current one), or absolute. Blank lines, those that begin with #, and a
 * first line `split<TAB>label<TAB>path` are passed over. */
Status sources_list(SourceSplits *out, const char *path, Error *err);

/* A data set by name, below `folder`:
 *   mnist               idx files, plain or .gz, also in mnist/, MNIST/raw/
 *   digits              MNIST's test file alone: the first 8000 to train on, the others to score
 *   cifar10, cifar100, cifar10020 (the coarse labels)    the folders of the binary versions, else of those
 *                       for Python, which torchvision unpacks
 *   imagenet, birdsnap, ...    any other name of io/datasets/datasets.h: <folder>/<name> as sources_folder,
 *                       options->exact set */
Status sources_dataset(SourceSplits *out, const char *name, const char *folder,
                       const ListingOptions *options, Error *err);

void sources_close(SourceSplits *splits); /* NULL and twice are fine */

/* Returns the path of source i in fresh memory; NULL for a record, and where memory lacks. */
char *source_path(const SourceList *list, int64_t i);

/* Source i decoded; reentrant. A failure names it. */
Status source_image(const SourceList *list, int64_t i, Image *out, Error *err);

/* --- for loaders (lists_*.c) ------------------------------------------------------------------ */

Status source_add(SourceList *list, const char *name, int64_t label, int blob, int64_t offset,
                  Error *err);
/* Adds a line to out->notes. */
PRINTF_LIKE(3, 4) Status sources_note(SourceSplits *out, Error *err, const char *format, ...);
/* Maps a file, inflating it if it is gzipped; *index is its number. */
Status blob_open(SourceList *list, const char *path, int *index, Error *err);

#endif
