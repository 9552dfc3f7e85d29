/* printable.h - bytes from outside made fit for a terminal and for JSON.
 *
 * A file's name may hold anything but '/' and zero: line feeds, escape sequences that move a
 * terminal's cursor, marks that turn the direction of writing, bytes that are no UTF-8.
 */
#ifndef TURTLE_IO_TEXT_PRINTABLE_H
#define TURTLE_IO_TEXT_PRINTABLE_H

#include <stdbool.h>
#include <stdint.h>

/* Length in bytes of the well-formed UTF-8 character that n > 0 bytes begin with, 0 if they begin
 * with none; *code may be NULL. */
int utf8_length(const char *text, int64_t n, uint32_t *code);
/* How many of the n bytes are well-formed UTF-8 before the first that are not. */
int64_t utf8_prefix(const char *text, int64_t n);

/* `text` on one line: \n, \r, \t, \xHH of other control characters and of bytes that are no UTF-8,
 * \u{HHHH} of what turns the direction. Ends with a zero byte and is cut to `capacity` with "...".
 * `lines`: line feeds and tabs stay. Returns `to`. */
char *printable(char *to, int64_t capacity, const char *text, bool lines);
/* The whole of it in fresh memory; NULL when there is none. */
char *printable_copy(const char *text, bool lines);

#endif
