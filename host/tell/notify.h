/* notify.h - lines that a call tells its user, through the notice hook. */
#ifndef TURTLE_HOST_TELL_NOTIFY_H
#define TURTLE_HOST_TELL_NOTIFY_H

#include "host/turtle.h"
#include "io/status.h"

/* Gives one line to the hook, formatted; at most 1023 characters. A hook of NULL hears nothing. */
void notice(const TurtleHooks *hooks, const char *format, ...) PRINTF_LIKE(2, 3);

/* Gives each line of a text to the hook; every line ends with a newline. */
void notices(const TurtleHooks *hooks, const char *lines);

#endif
