/* json_reader.h - JSON (RFC 8259) pulled value by value out of memory, without building a tree.
 *
 *     json_enter(&r, '{');
 *     while (json_next_key(&r, key, sizeof key))
 *         if (strcmp(key, "label") == 0) json_integer_value(&r, &label);
 *         else json_skip(&r);
 *
 * The first value that is not as asked for sets `bad`. From then on every call returns false, so
 * that one question at the end is enough.
 */
#ifndef TURTLE_IO_TEXT_JSON_READER_H
#define TURTLE_IO_TEXT_JSON_READER_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    const char *at, *end;
    bool fresh; /* an object or array was just entered: no comma before its first member */
    bool bad;
} JsonReader;

JsonReader json_reader(const void *text, int64_t bytes);
/* Passes white space. Returns the next character, or 0 at the end. */
char json_peek(JsonReader *r);
/* Enters an object '{' or array '['. */
bool json_enter(JsonReader *r, char open);
/* Goes to the next member. Returns false at the end, which is passed. A key longer than `bytes` - 1
 * is bad. */
bool json_next_key(JsonReader *r, char *key, int64_t bytes);
bool json_next(JsonReader *r);

/* Take a value. Texts become UTF-8 with a zero byte behind. A text longer than `bytes` - 1 is bad,
 * and so is one that holds a zero byte (\u0000). */
bool json_text_value(JsonReader *r, char *text, int64_t bytes);
bool json_integer_value(JsonReader *r, int64_t *value); /* fractions and exponents are bad */
bool json_real_value(JsonReader *r, double *value);     /* null is NaN */
bool json_bool_value(JsonReader *r, bool *value);
bool json_skip(JsonReader *r); /* passes any value, nested 64 deep at most */
/* Returns true if all was well and nothing but white space is left. */
bool json_finished(JsonReader *r);

#endif
