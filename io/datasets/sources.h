/* sources.h - the images of a data set as a list of (source, label), whatever they lie in.
 *
 * A source is a file to decode, or a record of raw pixels inside a larger file. Loaders only make
 * lists, one per split, in the order of the published loaders. source_image() makes pixels of any
 * source, for many threads at a time.
 */
#ifndef TURTLE_IO_DATASETS_SOURCES_H
#define TURTLE_IO_DATASETS_SOURCES_H

#include "io/datasets/left_out.h"
#include "io/files/file.h"
#include "io/images/image.h"

/* Raw pixels, `width` x `height` per record. */
typedef enum {
    PIXELS_GREY,    /* one byte per pixel, row by row */
    PIXELS_PLANES,  /* all red, all green, all blue, each row by row */
    PIXELS_COLUMNS, /* all red, all green, all blue, each column by column */
    PIXELS_RGB,     /* three bytes per pixel, row by row */
    PIXELS_TEXT,    /* grey, numbers with blanks between them, in one field of a CSV row */
} PixelLayout;

/* A file of records that several sources share, mapped or inflated. */
typedef struct {
    char *name;
    FileMap map;
    uint8_t *inflated; /* bytes after inflating; NULL: `data` is the mapping itself */
    const uint8_t *data;
    int64_t bytes;
    PixelLayout layout;
    int width, height;
    int column; /* for PIXELS_TEXT: the field of the row */
} Blob;

typedef struct {
    char *name;     /* path as lists and messages show it; a record is called "<file>#<number>" */
    int64_t label;  /* -1: unknown */
    int64_t offset; /* place of the record in its blob */
    int blob;       /* index of the blob; -1: the source is a file of its own, <folder>/<name> */
} Source;

typedef struct {
    Source *source; /* this array and all pointers below are owned */
    int64_t count, capacity;
    char *folder; /* folder that names are relative to */
    char *place;  /* path of `folder` below the folder that was listed: "train", "" or NULL */
    Blob *blob;
    int blob_count;
    char **class_name;  /* (classes), then NULL; NULL: classes have no names */
    int64_t classes;    /* 1 + the largest label; 0 without labels */
    int64_t unlabelled; /* sources of label -1 */
} SourceList;

typedef struct {
    SourceList train, val; /* val.count 0: there is no such split */
    const char *val_word; /* word of the user for val: "validation", "test", ...; static, or NULL */
    LeftOut left;         /* everything that the listing left out */
    char *
        notes; /* lines, each with a line feed, that say how the input was understood where another reading is possible; owned; NULL: there is nothing to say */
} SourceSplits;

typedef struct {
    bool exact;          /* only files with the nine endings of torchvision's ImageFolder count */
    bool magick, ffmpeg; /* pictures that only this program reads are sources too */
    bool
        skip_bad; /* folders that cannot be opened and names with line breaks are left out; else they are refused */
    bool public_test; /* fer2013 is scored on its public test split, and not on the private one */
    bool
        lists_alone; /* files that lists name need not be there yet: `prepare` asks which to unpack */
} ListingOptions;

/* Lists a folder of images. NULL for `options` sets none.
 *   class folders   DIR/<class>/...: label = rank of the class among the sorted names of the folders
 *                   that hold an image; inside a class in the order of torchvision's ImageFolder
 *   flat            DIR/<image>: no labels; images beside class folders have none either and come
 *                   first
 *   split           DIR/train and DIR/val (or valid, validation, dev, or test), each of them one of
 *                   the above. Classes that only val has get the numbers behind the last of train.
 * A folder that would be read wrong is refused with the way out: two validation splits, one split
 * folder alone, Train for train. Every entry that is no source stands in out->left, once. */
Status sources_folder(SourceSplits *out, const char *folder, const ListingOptions *options,
                      Error *err);

/* Lists the lines `split<TAB>label<TAB>path` of a text file (io/text/text_lines.h). Splits have the
 * words of split folders; test lines beside validation lines are left out and counted. A label is a number, or
 * `-` if unknown; or all labels are class names, numbered in their sorted order. Paths are absolute,
 * or relative to the list's folder (for a pipe, to the current one). Blank lines, lines that begin
 * with #, and a first line `split<TAB>label<TAB>path` are passed over. */
Status sources_list(SourceSplits *out, const char *path, Error *err);

/* Lists a data set by its name, below `folder`, in the order of the published loaders. Its places are those of
 * io/datasets/datasets.c, where torchvision and the published scripts have them:
 *   mnist               idx files, plain or .gz, also in mnist/, MNIST/raw/
 *   digits              MNIST's test file alone: the first 8000 to train on, the others to score
 *   cifar10, cifar100, cifar10020 (the coarse labels)    the folders of the binary versions, else of those
 *                       for Python, which torchvision unpacks
 *   food101, birdsnap, ...    what their archives hold (io/datasets/samples.h). Folders train/ and val/ (or test/) that
 *                       the published scripts leave come first: <place>/train/<class>/<image>, else <folder>/<name>/train.
 * A note says where sizes differ from the published ones. */
Status sources_dataset(SourceSplits *out, const char *name, const char *folder,
                       const ListingOptions *options, Error *err);

void sources_close(SourceSplits *splits); /* NULL and twice are fine */

/* Returns the path of source i in fresh memory; NULL for a record, and where memory lacks. */
char *source_path(const SourceList *list, int64_t i);

/* Decodes source i; reentrant. A failure names the source. */
Status source_image(const SourceList *list, int64_t i, Image *out, Error *err);

/* --- for loaders (lists_*.c) ------------------------------------------------------------------ */

Status source_add(SourceList *list, const char *name, int64_t label, int blob, int64_t offset,
                  Error *err);
/* Adds a line to out->notes, made fit for a terminal. */
PRINTF_LIKE(3, 4) Status sources_note(SourceSplits *out, Error *err, const char *format, ...);
/* Maps a file, and inflates it if it is gzipped. *index is its number. */
Status blob_open(SourceList *list, const char *path, int *index, Error *err);

#endif
