/* columns.h - how wide texts are on a terminal, and how they are cut to a width. */
#ifndef TURTLE_IO_TEXT_COLUMNS_H
#define TURTLE_IO_TEXT_COLUMNS_H

#include <stdint.h>

/* Texts are UTF-8 fit for a terminal (printable.h). East Asian characters and pictures take two columns,
 * all others count as one, marks that combine too: a text is never wider than these functions say. */

/* Returns the columns that a text takes. */
int64_t text_columns(const char *text);
/* Returns the bytes of the longest beginning that takes at most `columns`. */
int64_t columns_head(const char *text, int64_t columns);
/* Returns where the longest end begins that takes at most `columns`. */
const char *columns_tail(const char *text, int64_t columns);

#endif
