/* notify.c - lines that a call tells its user, through the notice hook. */
#include "host/tell/notify.h"

#include <string.h>

void notice(const TurtleHooks *hooks, const char *format, ...) {
    if (!hooks->notice) return;
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    hooks->notice(hooks->context, line);
}

void notices(const TurtleHooks *hooks, const char *lines) {
    for (const char *end; (end = strchr(lines, '\n')); lines = end + 1)
        notice(hooks, "%.*s", (int)(end - lines), lines);
}
