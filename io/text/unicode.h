/* unicode.h - the character classes and lower case that the tokenizer needs, as Python's str and
 * regex have them (tables: data/vocab/unicode.txt). */
#ifndef TURTLE_IO_TEXT_UNICODE_H
#define TURTLE_IO_TEXT_UNICODE_H

#include <stdbool.h>
#include <stdint.h>

#include "io/status.h"

typedef enum {
    UNICODE_LETTER,    /* general category L */
    UNICODE_NUMBER,    /* general category N */
    UNICODE_SPACE,     /* White_Space */
    UNICODE_CASED,     /* this class and the next decide which small sigma is meant */
    UNICODE_IGNORABLE, /* Case_Ignorable */
    UNICODE_CLASSES
} UnicodeClass;

typedef struct {
    uint32_t first, last;
} CodeRange;

/* A run of capitals: first, first + step, ... last, each `delta` below its small letter. */
typedef struct {
    uint32_t first, last;
    int32_t step, delta;
} LowerRun;

typedef struct {
    CodeRange *range[UNICODE_CLASSES]; /* sorted; owned */
    int ranges[UNICODE_CLASSES];
    LowerRun *run; /* sorted by first; owned */
    int runs;
} Unicode;

Status unicode_open(Unicode *out, Error *err);
void unicode_close(Unicode *u); /* NULL and twice are fine */
bool unicode_is(const Unicode *u, UnicodeClass c, uint32_t code);

/* Returns n code points in lower case as str.lower() has them, in fresh memory; there may be more.
 * NULL: out of memory. */
uint32_t *unicode_lower(const Unicode *u, const uint32_t *text, int64_t n, int64_t *count);

#endif
