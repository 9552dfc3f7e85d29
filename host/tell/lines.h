/* lines.h - text that grows, for reports to people. */
#ifndef TURTLE_HOST_TELL_LINES_H
#define TURTLE_HOST_TELL_LINES_H

#include "io/status.h"

/* Appends to *text, fresh memory or NULL at first; NULL when memory ran out. At most 1023 characters a
 * call. */
PRINTF_LIKE(2, 3) void add_line(char **text, const char *format, ...);

#endif
