/* notify.h - the hooks of a call: lines for its user, how far it is, whether it is to stop. */
#ifndef TURTLE_HOST_TELL_NOTIFY_H
#define TURTLE_HOST_TELL_NOTIFY_H

#include "host/turtle.h"
#include "io/status.h"

/* Gives one line to the hook, formatted; at most 1023 characters. A hook of NULL hears nothing. */
void notice(const TurtleHooks *hooks, const char *format, ...) PRINTF_LIKE(2, 3);

/* Gives each line of a text to the hook; every line ends with a newline. */
void notices(const TurtleHooks *hooks, const char *lines);

/* Returns whether `stop` asks the call to stop. NULL is fine. */
bool stop_asked(const TurtleHooks *hooks);
/* Tells the hook how far the call is. Returns whether to stop: the hook's answer, or stop_asked. NULL
 * is fine. */
bool progress_tell(const TurtleHooks *hooks, const TurtleProgress *progress);

#endif
