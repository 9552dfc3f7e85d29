/* label_names.h - labels as classes of a list of names: numbers index it, texts are looked up. */
#ifndef TURTLE_HOST_INPUTS_LABEL_NAMES_H
#define TURTLE_HOST_INPUTS_LABEL_NAMES_H

#include "host/inputs/inputs.h"
#include "io/text/prompts.h"

/* Makes the labels of a split, numbers in `table`, the indices of classes of *names. Numbers are
 * never renumbered: 0 is the first name. Texts are any name of their class; case, and `_` or `-`
 * instead of a space, may differ. Refuses, with file and sample, what is not in the list, and says
 * so if ids count from 1. */
Status label_names_apply(Split *split, const LabelTable *table, const Prompts *names,
                         const TurtleHooks *hooks, Error *err);

#endif
