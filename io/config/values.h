/* config_values.h - values of configuration files: of the type that their key asks for, a null for
 * what is not said, and facts of which one value alone is served. */
#ifndef TURTLE_IO_TEXT_CONFIG_VALUES_H
#define TURTLE_IO_TEXT_CONFIG_VALUES_H

#include "io/text/encoder_config.h"
#include "io/text/json_reader.h"

enum { CONFIG_MAX_SIDE = 1 << 16 };

typedef struct {
    JsonReader r;
    char key[256];        /* the last one */
    const char *expected; /* what its value had to be, where it is not; NULL: all is well */
} ConfigParser;

/* To the next member of an object; its key is p->key. */
bool config_next_key(ConfigParser *p);
/* The value is not what its key asks for: the first such one is kept, and parsing ends. */
void config_wrong(ConfigParser *p, const char *expected);
bool config_is_null(ConfigParser *p); /* skips the null */
bool config_is_number(ConfigParser *p);

/* A null leaves the value as it is. */
void config_real(ConfigParser *p, double *value);
void config_integer(ConfigParser *p, int64_t *value); /* above 0 */
void config_bool(ConfigParser *p, bool *value);
void config_text(ConfigParser *p, char value[CONFIG_TEXT]);
/* Any value as text: "[...]" of an array, "{...}" of an object. */
void config_any(ConfigParser *p, char value[CONFIG_TEXT]);
/* Up to `most` numbers of an array, or one that stands alone; returns how many. */
int config_numbers(ConfigParser *p, double *value, int most);
/* Red, green and blue; one number stands for the three. */
void config_colour(ConfigParser *p, double value[3], bool *said);
/* The side of a square: a number, or two or three (channels first) whose last two are equal. */
void config_side(ConfigParser *p, int64_t *side, char refused[CONFIG_REFUSAL]);

/* Keeps the first thing that cannot be done. */
void config_refuse(char refused[CONFIG_REFUSAL], const char *format, ...) PRINTF_LIKE(2, 3);

/* A key with the one value that is served beside null; a list of them ends with a NULL key. */
typedef struct {
    const char *key, *only;
} OneValue;
/* True if the last key is in the list; its value is read, and refused if it is another one. */
bool config_one_value(ConfigParser *p, const OneValue *list, char refused[CONFIG_REFUSAL]);

#endif
