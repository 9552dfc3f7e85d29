/* phi_hint.h - what to do where a representation is not there: another spelling, or the call that makes it. */
#ifndef TURTLE_HOST_INPUTS_PHI_HINT_H
#define TURTLE_HOST_INPUTS_PHI_HINT_H

#include "io/status.h"

/* Longest name that is suggested, with its zero. */
enum { PHI_NAME = 64 };

/* Writes the name nearest to `phi` among the published ones and the folders of
 * root_dir/representations; "" if none is near, or `phi` itself is there. */
void phi_nearest(char name[PHI_NAME], const char *root, const char *phi);

/* Returns ERR_IO: the features at `path`, of `phi` for `dataset`, are not there. */
Status phi_missing(const char *path, const char *root, const char *dataset, const char *phi,
                   Error *err);

#endif
