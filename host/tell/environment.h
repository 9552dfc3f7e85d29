/* environment.h - every environment variable that the program or its tests read, and what it means.
 *
 * A test compares the table with the calls of getenv in the sources; `turtle info` prints what is set.
 */
#ifndef TURTLE_HOST_TELL_ENVIRONMENT_H
#define TURTLE_HOST_TELL_ENVIRONMENT_H

#include <stdbool.h>

#include "host/tell/json.h"

typedef struct {
    const char *name; /* NULL ends the table */
    const char *meaning;
    bool everyday; /* most machines set it: `turtle info` leaves it out */
} Variable;

extern const Variable environment[];

/* Adds a line "NAME=VALUE: meaning" for each variable that is set, but for everyday ones, and the member
 * `environment` with their values. */
void environment_tell(char **text, Json *j);

#endif
