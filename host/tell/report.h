/* report.h - what a finished call tells: scores, sizes, one JSON object. */
#ifndef TURTLE_HOST_TELL_REPORT_H
#define TURTLE_HOST_TELL_REPORT_H

#include "host/inputs/inputs.h"
#include "host/tell/json.h"
#include "host/train/predict.h"

/* Everything unknown: NaN, -1. */
void result_clear(TurtleResult *result);

/* Scores of `split` under the predictions: cluster sizes and, with labels, the metrics. Warns
 * through the notice hook when fewer than half of the C clusters are found, with the histogram of
 * sizes. */
Status result_score(TurtleResult *result, const Split *split, const Predictions *p, int64_t C,
                    const TurtleHooks *hooks, Error *err);
/* Accuracy alone; NaN without labels. */
Status score_accuracy(double *cluster_acc, const Split *split, const Predictions *p, Error *err);
int64_t count_clusters(const Predictions *p, int64_t C);

/* The line that the published implementation prints for a scored checkpoint. */
char *result_line(const TurtleResult *result, const Inputs *in);

/* One notice, formatted. */
void notice(const TurtleHooks *hooks, const char *format, ...) PRINTF_LIKE(2, 3);

/* One notice per line of a text. */
void notices(const TurtleHooks *hooks, const char *lines);

/* Seconds of a clock that never steps back. */
double now_seconds(void);

/* Defaults of what all calls share. */
TurtleCommon common_defaults(void);

/* The members that every object starts with, those of a result, and `files` from lines that begin
 * with a path. */
void json_common(Json *j, const char *command, const TurtleCommon *common, const char *device,
                 const char *precision);
/* What --precision means where the device has not said it: `auto` is fp32. */
const char *precision_used(const TurtleCommon *common);
void json_inputs(Json *j, const Inputs *in);
void json_result(Json *j, const TurtleResult *result);
void json_files(Json *j, const char *lines);

#endif
