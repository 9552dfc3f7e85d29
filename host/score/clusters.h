/* clusters.h - clusters as people look at them: size, confidence, the most typical samples, given names. */
#ifndef TURTLE_HOST_SCORE_CLUSTERS_H
#define TURTLE_HOST_SCORE_CLUSTERS_H

#include "host/score/predictions.h"
#include "host/tell/json.h"
#include "io/text/cluster_names.h"

/* Describes the C clusters of a split. `names` may be NULL. The most typical samples are the most
 * confident ones, of equal ones the first. Beside *out, memory is O(C) and the image list. A list that
 * cannot be read leaves typical samples without names, and a notice says so. On failure *out is NULL. */
Status clusters_describe(TurtleCluster **out, int64_t C, const Split *split, const Predictions *p,
                         const ClusterNames *names, const TurtleHooks *hooks, Error *err);
void clusters_free(TurtleCluster *clusters, int64_t C); /* NULL is fine */

/* Scores the groups of `names` on the samples of a split. */
Status clusters_score_named(TurtleNamedScores *out, const Split *split, const Predictions *p,
                            const ClusterNames *names, Error *err);

/* Adds the members `clusters` and, where names were given, `named`. */
void json_clusters(Json *j, const TurtleResult *result);

#endif
