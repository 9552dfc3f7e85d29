/* predictions.h - the cluster of every sample, as a labelling says it: memory, and files of them. */
#ifndef TURTLE_HOST_SCORE_PREDICTIONS_H
#define TURTLE_HOST_SCORE_PREDICTIONS_H

#include "host/inputs/inputs.h"

typedef struct {
    int64_t n;
    int64_t *cluster;       /* (n) argmax_c Y; owned */
    float *confidence;      /* (n) max_c Y; owned */
    float *margin;          /* (n) distance to the second largest; owned */
    double space_agreement; /* least over k of the share where argmax P_k = argmax Y; NaN, K = 1 */
} Predictions;

/* Allocates memory for n samples, in place of what *out held. On failure *out is zeroed. */
Status predictions_alloc(Predictions *out, int64_t n, Error *err);
void predictions_free(Predictions *p); /* NULL and twice are fine */

/* Returns `cluster`, now the caller's to free. */
int64_t *predictions_take(Predictions *p);
/* Returns how many of the C clusters have a sample; -1: out of memory. */
int64_t count_clusters(const Predictions *p, int64_t C);

/* Writes lines path,cluster,confidence,margin, or where `path` ends in .npy the clusters, int64 (n). A
 * sample's path is its line in the image list beside the features (image_list.h), or the row number
 * where there is none. ERR_FORMAT: the list has another length than the features. */
Status predictions_write(const char *path, const Split *split, const Predictions *p, Error *err);
/* Writes lines path,class,name,confidence,margin: what is predicted are classes that have names. */
Status predictions_write_classes(const char *path, const Split *split, const Predictions *p,
                                 const char *const *names, Error *err);
/* Writes lines path,cluster,confidence,margin,name: people gave these names (C) to the clusters, and ""
 * to those that they left out. */
Status predictions_write_named(const char *path, const Split *split, const Predictions *p,
                               const char *const *names, Error *err);

#endif
