/* json.h - one JSON object, built in memory (RFC 8259): UTF-8 whatever the texts hold. A byte that is
 * no UTF-8 becomes U+FFFD. */
#ifndef TURTLE_HOST_TELL_JSON_H
#define TURTLE_HOST_TELL_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Start with `Json j = {0}`; open the object with json_open(&j, NULL). A failed allocation is
 * remembered: json_take then returns NULL. */
typedef struct {
    char *text;
    size_t length, capacity;
    bool failed;
} Json;

/* A key of NULL adds an element without a name: the outermost object, or into an array. */
void json_open(Json *j, const char *key);
void json_close(Json *j);
void json_open_array(Json *j, const char *key);
void json_close_array(Json *j);
void json_text(Json *j, const char *key, const char *value); /* NULL: null */
void json_real(Json *j, const char *key, double value);      /* NaN, infinite: null */
void json_integer(Json *j, const char *key, int64_t value);
void json_bool(Json *j, const char *key, bool value);
void json_null(Json *j, const char *key);
/* Returns the finished text in fresh memory for free(); NULL if memory ran out. */
char *json_take(Json *j);

enum { REAL_TEXT = 32 };
/* Writes the shortest decimal that reads back as the same double, as Python's repr does ("10.0",
 * "0.001", "1e-05"): file names of the published implementation hold such numbers. Returns `text`. */
char *format_real(char text[REAL_TEXT], double value);

#endif
