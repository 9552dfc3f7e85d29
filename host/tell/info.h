/* info.h - what this program is: version, devices, instruction sets, environment. */
#ifndef TURTLE_HOST_TELL_INFO_H
#define TURTLE_HOST_TELL_INFO_H

#include "host/tell/json.h"

/* Appends the facts to *text, a line each, and their members to the open object. */
void info_program(char **text, Json *j);

#endif
