/* lines.c - text that grows, for reports to people. */
#include "host/tell/lines.h"

#include <stdlib.h>
#include <string.h>

void add_line(char **text, const char *format, ...) {
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    const size_t old = *text ? strlen(*text) : 0, more = strlen(line) + 1;
    char *longer = realloc(*text, old + more);
    if (longer) memcpy(longer + old, line, more);
    else free(*text);
    *text = longer;
}
