/* flags.h - one table of flags per command feeds the parser and `--help`.
 *
 * A flag writes one field of an options struct; its default is what the field holds before parsing,
 * so a default stands in one place. '_' and '-' mean the same; `--flag value` and `--flag=value`
 * too.
 */
#ifndef TURTLE_HOST_CLI_FLAGS_H
#define TURTLE_HOST_CLI_FLAGS_H

#include <stddef.h>

#include "host/tell/words.h"
#include "host/turtle.h"
#include "io/status.h"

typedef enum {
    FLAG_SWITCH,   /* bool: present or not */
    FLAG_TEXT,     /* const char * */
    FLAG_TEXTS,    /* TurtleTexts: everything up to the next flag */
    FLAG_INTEGER,  /* int64_t; 1e6 is not a number here */
    FLAG_COUNT,    /* int, 0 or more */
    FLAG_UNSIGNED, /* uint64_t */
    FLAG_REAL,     /* double */
} FlagType;

typedef struct {
    const char *name; /* without the dashes; NULL ends a table */
    FlagType type;
    size_t field;         /* offset in the table's struct */
    const char *argument; /* "N", "FILE", or alternatives "cold|warm", which are then checked */
    const char *help;     /* NULL: an alias, not listed */
} Flag;

typedef struct {
    const char *title; /* above its flags in --help */
    const Flag *flags;
    void *fields; /* the struct */
} FlagTable;

/* Parses argv[0 .. argc) into the tables' structs. One argument that is no flag goes into
 * *positional if that is not NULL. Texts point into argv; the arrays of FLAG_TEXTS are fresh
 * memory: flags_free. Of a flag given twice the last one counts. `-h` is `--help`. ERR_USAGE names an
 * unknown flag's nearest known one, a half-parsed number, a missing value.
 *
 * `ignored`: names between blanks of flags that change nothing here; they are accepted, and are not in
 * the help. NULL: none. *said receives a line of what was given twice or changes nothing, or "". */
Status flags_parse(const FlagTable *tables, int count, int argc, char **argv, const char *ignored,
                   const char **positional, Error *said, Error *err);
/* Returns the name of the first flag of `flags` that argv gives, or NULL where it gives none. */
const char *flags_given(const Flag *flags, int argc, char **argv);
void flags_free(const FlagTable *tables, int count);

/* Prints the list of flags with their defaults, for --help. */
void flags_help(FILE *out, const FlagTable *tables, int count, const char *ignored);

#endif
