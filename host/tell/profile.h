/* profile.h - the kernels of a run, as a table for people and as JSON. */
#ifndef TURTLE_HOST_TELL_PROFILE_H
#define TURTLE_HOST_TELL_PROFILE_H

#include "host/tell/json.h"
#include "kernels/ops.h"

/* Returns the table of a device whose launches were timed, in fresh memory; NULL: out of memory. */
char *profile_table(const Ops *ops);
/* Adds "profile": [{"kernel": ..., "calls": ..., ...}]. */
void json_profile(Json *j, const Ops *ops);

#endif
