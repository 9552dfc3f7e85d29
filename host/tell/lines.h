/* lines.h - text that grows, for reports to people. */
#ifndef TURTLE_HOST_TELL_LINES_H
#define TURTLE_HOST_TELL_LINES_H

#include "io/status.h"

/* Appends to *text, which is fresh memory, or NULL at first. It becomes NULL when memory runs out.
 * One call appends at most 1023 characters. */
PRINTF_LIKE(2, 3) void add_line(char **text, const char *format, ...);

#endif
