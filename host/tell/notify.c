/* notify.c - the hooks of a call: lines for its user, how far it is, whether it is to stop. */
#include "host/tell/notify.h"

#include <string.h>

#include "host/tell/locale.h"

void notice(const TurtleHooks *hooks, const char *format, ...) {
    if (!hooks->notice) return;
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    const locale_t plain = locale_outside();
    hooks->notice(hooks->context, line);
    uselocale(plain);
}

void notices(const TurtleHooks *hooks, const char *lines) {
    for (const char *end; (end = strchr(lines, '\n')); lines = end + 1)
        notice(hooks, "%.*s", (int)(end - lines), lines);
}

bool stop_asked(const TurtleHooks *hooks) {
    return hooks && hooks->stop && *hooks->stop;
}

bool progress_tell(const TurtleHooks *hooks, const TurtleProgress *progress) {
    if (!hooks || !hooks->progress) return stop_asked(hooks);
    const locale_t plain = locale_outside();
    const bool stop = hooks->progress(hooks->context, progress) != 0;
    uselocale(plain);
    return stop || stop_asked(hooks);
}
