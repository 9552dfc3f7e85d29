/* memory.h - features and labels that lie in the caller's memory, in place of files. */
#ifndef TURTLE_HOST_INPUTS_MEMORY_H
#define TURTLE_HOST_INPUTS_MEMORY_H

#include "host/inputs/inputs.h"

/* Refuses inputs that are given in memory and otherwise, or not all in memory. */
Status memory_check(const TurtleInputs *wanted, Error *err);
/* Opens a split of the caller's matrices (K) and labels (N) or NULL, which stay where they are. Spaces
 * are called "Z1", "Z2" and so on, with `prefix` before. */
Status memory_split_open(Split *out, const char *prefix, const TurtleMatrices *Z,
                         const int64_t *y_true, LabelTable *table, const TurtleHooks *hooks,
                         Error *err);

#endif
