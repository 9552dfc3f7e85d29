/* html.h - character references of HTML replaced by their characters, as Python's html.unescape. */
#ifndef TURTLE_IO_TEXT_HTML_H
#define TURTLE_IO_TEXT_HTML_H

#include <stdint.h>

/* Replaces the references of n code points. Returns fresh memory, never longer than twice the text,
 * or NULL without memory. */
uint32_t *html_unescape(const uint32_t *text, int64_t n, int64_t *count);

#endif
