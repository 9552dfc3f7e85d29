/* cifar_pickle.h - CIFAR's batches for Python: pickled dictionaries of pixels and labels. */
#ifndef TURTLE_IO_DATASETS_CIFAR_PICKLE_H
#define TURTLE_IO_DATASETS_CIFAR_PICKLE_H

#include <stdint.h>

#include "io/status.h"

typedef struct {
    int64_t
        count; /* images of 3 x 32 x 32 bytes: planes of red, green and blue, one after the other */
    int64_t offset;  /* place of the first image in the bytes that were read, or in `pixels` */
    uint8_t *pixels; /* (count * 3072) images that had to be decoded, in heap memory; NULL where
                      * they lie in the file as they are; owned: free it */
    int64_t *label;  /* (count); owned: free it */
} CifarBatch;

/* Reads data_batch_1 and its like, as Python 2 or Python 3 wrote it, of any protocol. `label_key` is "labels", "fine_labels" or "coarse_labels".
 * Nothing of the pickle is executed. `name` is for messages. On failure *out is zeroed. */
Status cifar_pickle_read(CifarBatch *out, const uint8_t *data, int64_t bytes, const char *label_key,
                         const char *name, Error *err);

#endif
