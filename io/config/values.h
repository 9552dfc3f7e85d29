/* values.h - values of configuration files, checked against the type that their key asks for. A null
 * stands for a value that is not said. Of some facts only one value is served. */
#ifndef TURTLE_IO_CONFIG_VALUES_H
#define TURTLE_IO_CONFIG_VALUES_H

#include <string.h>

#include "io/config/encoder_config.h"
#include "io/text/json_reader.h"

enum { CONFIG_MAX_SIDE = 1 << 16 };

typedef struct {
    JsonReader r;
    char key[256];        /* the last key */
    const char *expected; /* type that its value had to have, where it has not; NULL: all is well */
} ConfigParser;

/* Returns true if the last key is `key`. */
static inline bool config_is(const ConfigParser *p, const char *key) {
    return strcmp(p->key, key) == 0;
}
static inline bool config_begins(const char *text, const char *with) {
    return strncmp(text, with, strlen(with)) == 0;
}

/* Goes to the next member of an object, whose key is then p->key. Returns false at the end. */
bool config_next_key(ConfigParser *p);
/* Notes that the value is not what its key asks for. The first such value is kept, and parsing
 * ends. */
void config_wrong(ConfigParser *p, const char *expected);
bool config_is_null(ConfigParser *p); /* skips the null if there is one */
bool config_is_number(ConfigParser *p);

/* Each of these reads a value of its type. A null leaves *value as it is. */
void config_real(ConfigParser *p, double *value);
void config_integer(ConfigParser *p, int64_t *value); /* numbers above 0 */
void config_count(ConfigParser *p, int64_t *value);   /* numbers from 0 on */
void config_bool(ConfigParser *p, bool *value);
void config_text(ConfigParser *p, char value[CONFIG_TEXT]);
/* Reads any value as text: "[...]" of an array, "{...}" of an object. */
void config_any(ConfigParser *p, char value[CONFIG_TEXT]);
/* Reads up to `most` numbers of an array, or one that stands alone. Returns how many. */
int config_numbers(ConfigParser *p, double *value, int most);
/* Reads red, green and blue; one number stands for the three. */
void config_colour(ConfigParser *p, double value[3], bool *said);
/* Reads the side of a square: a number, or two or three (channels first) whose last two are
 * equal. */
void config_side(ConfigParser *p, int64_t *side, char refused[CONFIG_REFUSAL]);

/* Keeps the first fact that cannot be served. */
void config_refuse(char refused[CONFIG_REFUSAL], const char *format, ...) PRINTF_LIKE(2, 3);

/* A key with the one value that is served beside null; a list of them ends with a NULL key. */
typedef struct {
    const char *key, *only;
} OneValue;
/* Returns true if the last key is in the list. Its value is read, and refused if it is another
 * one. */
bool config_one_value(ConfigParser *p, const OneValue *list, char refused[CONFIG_REFUSAL]);

#endif
