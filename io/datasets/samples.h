/* samples.h - how loaders of known data sets gather their samples: paths or records, each with the key of its class.
 *
 *     Status st = samples_open(&s, out, set, folder, options, set->place, err);
 *     if (st == OK) st = samples_file(&s, TO_TRAIN, "apple_pie", "images/apple_pie/7.jpg", err);
 *     return samples_close(&s, st, err);
 *
 * Labels are ranks of the keys among those of both splits, sorted by code point: what is there decides, never a list
 * of classes that is compiled in. Keys that are numbers are written with leading zeros.
 */
#ifndef TURTLE_IO_DATASETS_SAMPLES_H
#define TURTLE_IO_DATASETS_SAMPLES_H

#include "io/datasets/datasets.h"
#include "io/datasets/folder_walk.h"
#include "io/datasets/sources.h"

typedef enum { TO_TRAIN, TO_VAL } SplitPart;

typedef struct Samples {
    SourceSplits *out;
    const DatasetFacts *set;
    const char *folder; /* the caller's: `place` lies below it */
    char *base;         /* <folder>/<place>, which names of files are relative to; owned */
    const ListingOptions *options;
    Names keys;     /* keys of the classes, as they come */
    int64_t *order; /* (keys.count) their indices, sorted by key; owned */
    int64_t order_capacity;
    char **
        shown; /* (keys.count) names that messages show instead of keys; NULL where the key is the name */
    int64_t shown_capacity;
} Samples;

/* Opens the first of `places`, which end with NULL, that is a folder below `folder`. None is ERR_IO: the message says
 * how the set is brought there. */
Status samples_open(Samples *s, SourceSplits *out, const DatasetFacts *set, const char *folder,
                    const ListingOptions *options, const char *const *places, Error *err);
/* Adds a file, <base>/<path>. */
Status samples_file(Samples *s, SplitPart part, const char *key, const char *path, Error *err);
/* Adds a file that a list names: <base>/<path> has to be there. `list` and `line` are for the message. */
Status samples_listed(Samples *s, SplitPart part, const char *key, const char *path,
                      const char *list, int64_t line, Error *err);
/* Adds a record of a blob of that split, whose pixels begin at `offset`. It is called <blob>#<number>. */
Status samples_record(Samples *s, SplitPart part, const char *key, int blob, int64_t number,
                      int64_t offset, Error *err);
/* Gives a class the name that people see. A key that no sample has is passed over. */
Status samples_name(Samples *s, const char *key, const char *name, Error *err);
/* Sorts the samples of both splits by key, then by the last part of the path: the order of class folders. */
void samples_sort(Samples *s);
/* Numbers the classes if st is OK, and notes where sizes differ from the published ones. Frees everything but *out,
 * and that too if it fails. Returns st, or what failed. */
Status samples_close(Samples *s, Status st, Error *err);

/* Returns "<base>/<path>" in fresh memory, or NULL. */
char *samples_path(const Samples *s, const char *path);
SourceList *samples_list(const Samples *s, SplitPart part);

/* Takes one class folder: its name, and its images as paths below s->base in the order of torchvision's ImageFolder. */
typedef Status ClassTaker(Samples *s, const char *name, const Names *images, void *context,
                          Error *err);
/* Gives every class folder of <base>/<inside> to `take`, sorted by code point. Junk goes to out->left, and so does a
 * class folder without images. */
Status samples_classes(Samples *s, const char *inside, ClassTaker *take, void *context, Error *err);

/* Writes a number as a key: eight digits. */
enum { NUMBER_KEY = 24 };
char *number_key(char key[NUMBER_KEY], int64_t number);

/* Lists mnist, digits and the cifars into an empty *out. *is_one is false, and nothing is done, for any other name. On
 * failure *out is to be closed (lists_records.c). */
Status records_dataset(SourceSplits *out, const char *name, const char *folder, bool *is_one,
                       Error *err);

/* --- readers, one for each way in which data sets lie on a disk ------------------------------------- */

typedef Status SetReader(Samples *s, Error *err);
SetReader read_food101, read_clevr, read_hatefulmemes;       /* lists_json.c */
SetReader read_dtd, read_aircraft, read_pets, read_sun397;   /* lists_lines.c */
SetReader read_cars, read_flowers, read_gtsrb, read_fer2013; /* lists_tables.c */
SetReader read_stl10, read_pcam;                             /* lists_arrays.c */
SetReader read_parts;                                        /* lists_parts.c */
SetReader read_caltech101, read_eurosat, read_resisc45, read_kitti,
    read_birdsnap; /* lists_drawn.c */

#endif
