/* common.h - what all calls share: defaults, the meaning of --precision, members of the JSON object. */
#ifndef TURTLE_HOST_TELL_COMMON_H
#define TURTLE_HOST_TELL_COMMON_H

#include "host/tell/json.h"
#include "host/turtle.h"
#include "io/status.h"

/* Returns the defaults of the options that all calls share. */
TurtleCommon common_defaults(void);

/* Refuses a device or a precision that is NULL, and a precision that has no such name: ERR_USAGE. */
Status common_check(const TurtleCommon *common, Error *err);

/* Returns what --precision means where no device has settled it: `auto` is fp32. */
const char *precision_used(const TurtleCommon *common);

/* Adds the members that every object begins with. */
void json_common(Json *j, const char *command, const TurtleCommon *common, const char *device,
                 const char *precision);
/* Adds the member `files`: the path that each line begins with, up to "  (". NULL: no files. */
void json_files(Json *j, const char *lines);

#endif
