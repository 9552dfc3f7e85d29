/* metrics.h - how well clusters agree with classes. */
#ifndef TURTLE_HOST_SCORE_METRICS_H
#define TURTLE_HOST_SCORE_METRICS_H

#include <stdint.h>

#include "io/status.h"

/* Memory follows the largest id, which is to be below this: number ids from 0 without gaps. */
#define METRICS_MAX_IDS (INT64_C(1) << 31)

/* One entry of the contingency table that is not zero. */
typedef struct {
    int64_t cluster, class, samples;
} MetricsCell;

/* Everything the contingency table of one labelling tells. The numbers of clusters and of classes
 * are independent: with more clusters than classes some match nothing, and the other way round.
 * All agree with scikit-learn and SciPy (linear_sum_assignment on the rectangular table) on the
 * samples whose class is known. */
typedef struct {
    int64_t samples;    /* samples whose class is known */
    int64_t unlabelled; /* samples whose class is not known; they count nowhere else */
    int64_t clusters;   /* 1 + the largest cluster id of a sample whose class is known */
    int64_t classes;    /* 1 + the largest class id */
    MetricsCell *cell;  /* (cells) the table, by cluster, then by class; owned */
    int64_t cells;
    int64_t *class_of;      /* (clusters) the class matched with each cluster, -1: none; owned */
    int64_t clusters_found; /* clusters with at least one such sample */
    int64_t classes_found;  /* classes with at least one sample */
    int64_t matched;        /* samples whose cluster is matched with their class */
    /* NaN where no class is known: */
    double cluster_acc;    /* matched / samples, after the best one-to-one matching */
    double mean_class_acc; /* mean over the classes that occur of their share matched; the
                              published code takes all ids, and gets NaN if one does not occur */
    double nmi;            /* mutual information / geometric mean of the entropies; 1 if there is
                              one cluster and one class, 0 if there is one of either */
    double ari;            /* adjusted Rand index (Hubert & Arabie 1985) */
} Metrics;

/* Compares clusters and classes, (n) ids from 0 up; a class below 0 is not known. A cluster below
 * 0, an id from METRICS_MAX_IDS up and n < 1 are ERR_ARG. Where several matchings are the best,
 * class_of and with it mean_class_acc are of one of them. Memory is O(n + the largest ids),
 * whatever their product. On failure *out is zeroed. */
Status metrics_compute(Metrics *out, const int64_t *clusters, const int64_t *classes, int64_t n,
                       Error *err);
void metrics_free(Metrics *m); /* NULL and twice are fine */

#endif
