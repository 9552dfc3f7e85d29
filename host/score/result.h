/* result.h - the scores of a labelling as a call's result: TurtleResult filled, as a line and as JSON. */
#ifndef TURTLE_HOST_SCORE_RESULT_H
#define TURTLE_HOST_SCORE_RESULT_H

#include "host/score/predictions.h"
#include "host/tell/json.h"

/* Makes everything unknown: NaN, -1, NULL. */
void result_clear(TurtleResult *result);

/* Makes a model of C classes from K layers, which are copied. On failure *out is zeroed. */
Status model_copy(TurtleModel *out, int K, int64_t C, const int64_t *d, float *const *linear,
                  Error *err);
void model_free(TurtleModel *model); /* NULL and twice are fine */

/* Fills in the scores of `split` under the predictions: sizes of clusters and, with labels, the metrics.
 * A notice warns when fewer than half of the C clusters are found, with the sizes. */
Status result_score(TurtleResult *result, const Split *split, const Predictions *p, int64_t C,
                    const TurtleHooks *hooks, Error *err);
/* Computes the accuracy alone; NaN without labels. */
Status score_accuracy(double *cluster_acc, const Split *split, const Predictions *p, Error *err);

/* Returns the line that the published implementation prints for a scored checkpoint, in fresh memory;
 * NULL: out of memory. */
char *result_line(const TurtleResult *result, const Inputs *in);
/* Adds the members of a result. */
void json_result(Json *j, const TurtleResult *result);

#endif
