/* tokenizer.h - CLIP's byte-pair encoding of text (Radford et al. 2021; Sennrich et al. 2016).
 *
 * A text is cleaned: character references of HTML are replaced twice, white space is collapsed,
 * letters become small. It is cut into words. Each word's bytes are merged pair by pair, in the
 * order in which the pairs were learned. The published implementation also mends encodings with
 * ftfy first; here that step is the identity, which it is for well-formed text.
 */
#ifndef TURTLE_IO_TEXT_TOKENIZER_H
#define TURTLE_IO_TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stdint.h>

#include "io/status.h"

enum { TOKEN_START = 49406, TOKEN_END = 49407 };

typedef struct Tokenizer Tokenizer; /* never changes once open: threads may share it */

/* Builds the tables from the vocabulary compiled into the program. */
Status tokenizer_open(Tokenizer **out, Error *err);
void tokenizer_close(Tokenizer *t); /* NULL is fine */

/* Writes ids (context): start, the text's tokens, end, zeros. *count receives the ids used, start
 * and end included. A text of more than `context` tokens is ERR_ARG; with `truncate` it is cut and
 * its last id is the end. Text that is not UTF-8 is ERR_FORMAT. */
Status tokenizer_encode(const Tokenizer *t, const char *text, bool truncate, int32_t *ids,
                        int64_t context, int64_t *count, Error *err);

#endif
