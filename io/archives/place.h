/* place.h - whether a name inside an archive may be a place below a folder. Texts only: no file
 * is looked at. */
#ifndef TURTLE_IO_ARCHIVES_PLACE_H
#define TURTLE_IO_ARCHIVES_PLACE_H

#include <stdbool.h>

#include "io/status.h"

/* Refuses names that lead out of a folder or that nobody could type: absolute ones, `..`,
 * backslashes, control characters, parts beyond 255 bytes, names beyond 3000. Takes "." and
 * doubled or last slashes out of `name`; "" is the folder itself. `archive` is for messages. */
Status place_check(char *name, const char *archive, Error *err);
/* Returns true if a symbolic link at `place` (checked) with this target stays below the folder. */
bool place_link_stays(const char *place, const char *target);
/* Returns true for names that end with .tar, .tar.gz or .tgz. */
bool place_is_archive(const char *place);

#endif
