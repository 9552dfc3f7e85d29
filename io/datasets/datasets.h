/* datasets.h - what is known of each data set: one table row per set. */
#ifndef TURTLE_IO_DATASETS_DATASETS_H
#define TURTLE_IO_DATASETS_DATASETS_H

#include <stdint.h>

#include "io/status.h"

struct Samples;

enum { DATASET_PLACES = 4 };

typedef struct {
    const char *name;
    int64_t classes;
    int64_t train, val; /* samples, as in the published evaluation */
    /* Folders below <root>/datasets where torchvision and the published scripts have it; the first that is there is
     * read. They end with NULL. */
    const char *place[DATASET_PLACES];
    /* Reader of those places; NULL: the set has records of its own (mnist, cifar), or lies as train/ and val/ alone. */
    Status (*read)(struct Samples *s, Error *err);
    /* For read_parts, below the place: folders of classes. The training split is parts[0], then parts[1] where it is
     * not NULL; parts[2] is scored. */
    const char *parts[3];
} DatasetFacts;

/* Returns the row of that name, or NULL. */
const DatasetFacts *dataset_find(const char *name);
/* Returns row i, or NULL behind the last one. */
const DatasetFacts *dataset_row(int i);

#endif
