/* profile.h - the kernels of a run, as a table for people and as JSON. */
#ifndef TURTLE_HOST_TELL_PROFILE_H
#define TURTLE_HOST_TELL_PROFILE_H

#include "kernels/ops.h"
#include "host/tell/json.h"

/* Of a device whose launches were timed. Fresh memory; NULL: out of memory. */
char *profile_table(const Ops *ops);
/* "profile": [{"kernel": ..., "calls": ..., ...}] */
void json_profile(Json *j, const Ops *ops);

#endif
