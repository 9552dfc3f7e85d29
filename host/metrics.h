/* metrics.h - how well clusters agree with classes. */
#ifndef TURTLE_HOST_METRICS_H
#define TURTLE_HOST_METRICS_H

#include <stdint.h>

#include "../io/status.h"

/* The contingency table has an entry for every pair of ids: 2 GiB at this many. */
enum { METRICS_MAX_IDS = 16384 };

/* Everything the contingency table of one labelling tells. */
typedef struct {
    int64_t samples;
    int64_t D;              /* 1 + the largest cluster or class id: the table is (D,D) */
    int64_t *confusion;     /* (D,D) samples in cluster row and class column; owned */
    int64_t *class_of;      /* (D) the class matched with each cluster; owned */
    int64_t clusters_found; /* clusters with at least one sample */
    int64_t matched;        /* samples whose cluster is matched with their class */
    double cluster_acc;     /* matched / samples, after the best one-to-one matching */
    double mean_class_acc;  /* mean over the classes that occur of their share matched; the
                                published code takes all D, and gets NaN if one does not occur */
    double nmi;             /* mutual information / geometric mean of the entropies; 1 if there is
                                one cluster and one class, 0 if there is one of either */
    double ari;             /* adjusted Rand index (Hubert & Arabie 1985) */
} Metrics;

/* clusters, classes: (n) ids from 0 up. An id below 0 or from METRICS_MAX_IDS up is ERR_ARG, as is
 * n < 1. Where several matchings are the best, class_of and with it mean_class_acc are of one of
 * them. On failure *out is zeroed. */
Status metrics_compute(Metrics *out, const int64_t *clusters, const int64_t *classes, int64_t n,
                       Error *err);
void metrics_free(Metrics *m); /* NULL and twice are fine */

#endif
