/* datasets.h - what is known of each data set: one table row per set. */
#ifndef TURTLE_IO_DATASETS_DATASETS_H
#define TURTLE_IO_DATASETS_DATASETS_H

#include <stdint.h>

typedef struct {
    const char *name;
    int64_t classes;
    int64_t train, val; /* samples, as in the published evaluation */
} DatasetFacts;

/* Returns the row of that name, or NULL. */
const DatasetFacts *dataset_find(const char *name);

#endif
