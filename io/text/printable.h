/* printable.h - bytes from outside made fit for a terminal and for JSON.
 *
 * A file's name may hold anything but '/' and zero: line feeds, escape sequences that move a
 * terminal's cursor, marks that turn the direction of writing, bytes that are no UTF-8.
 */
#ifndef TURTLE_IO_TEXT_PRINTABLE_H
#define TURTLE_IO_TEXT_PRINTABLE_H

#include <stdbool.h>
#include <stdint.h>

/* Returns true for marks, overrides and isolates of direction, and for separators of lines. */
bool turns_direction(uint32_t code);
/* Writes `text` on one line: \n, \r, \t, \xHH for other control characters and for bytes that are
 * no UTF-8. \u{HHHH} stands for marks that turn the direction. The result ends with a zero byte and
 * is cut to `capacity` with "...". With `lines`, line feeds and tabs stay. Returns `to`. */
char *printable(char *to, int64_t capacity, const char *text, bool lines);
/* Returns the whole text so written, in fresh memory; NULL without memory. */
char *printable_copy(const char *text, bool lines);

#endif
