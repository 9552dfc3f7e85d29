/* flags.c - one table of flags per command feeds the parser and `--help`. */
#include "host/cli/flags.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FLAGS = 64, MAX_WORD = 48 };

/* --- words ------------------------------------------------------------------------------------ */

static bool same_word(const char *a, const char *b, size_t b_length) {
    for (size_t i = 0; i < b_length; i++)
        if (!a[i] || word_plain(a[i]) != word_plain(b[i])) return false;
    return a[b_length] == '\0';
}

/* --- values ----------------------------------------------------------------------------------- */

static Status bad_value(Error *err, const Flag *f, const char *value, const char *expected) {
    return fail(err, ERR_USAGE, "--%s: '%s': expected %s", f->name, value, expected);
}

static bool is_alternative(const char *alternatives, const char *value) {
    const size_t n = strlen(value);
    for (const char *a = alternatives; n && a; a = strchr(a, '|') ? strchr(a, '|') + 1 : NULL)
        if (strncmp(a, value, n) == 0 && (a[n] == '|' || a[n] == '\0')) return true;
    return false;
}

static Status set_value(const Flag *f, void *field, const char *value, Error *err) {
    char *end = NULL;
    errno = 0;
    switch (f->type) {
    case FLAG_TEXT:
        if (strchr(f->argument, '|') && !is_alternative(f->argument, value))
            return bad_value(err, f, value, f->argument);
        *(const char **)field = value;
        return OK;
    case FLAG_INTEGER: {
        const long long x = strtoll(value, &end, 10);
        if (end == value || *end || errno) return bad_value(err, f, value, "a whole number");
        *(int64_t *)field = x;
        return OK;
    }
    case FLAG_COUNT: {
        const long x = strtol(value, &end, 10);
        if (end == value || *end || errno || x < 0 || x > INT_MAX)
            return bad_value(err, f, value, "a whole number, 0 or more");
        *(int *)field = (int)x;
        return OK;
    }
    case FLAG_UNSIGNED: {
        const unsigned long long x = strtoull(value, &end, 10);
        if (end == value || *end || errno || strchr(value, '-'))
            return bad_value(err, f, value, "a whole number from 0 to 2^64 - 1");
        *(uint64_t *)field = x;
        return OK;
    }
    case FLAG_REAL: {
        const double x = strtod(value, &end);
        if (end == value || *end || !isfinite(x)) return bad_value(err, f, value, "a number");
        *(double *)field = x;
        return OK;
    }
    case FLAG_SWITCH:
    case FLAG_TEXTS: break;
    }
    return fail(err, ERR_ARG, "--%s: no such type of flag", f->name);
}

/* --- parsing ---------------------------------------------------------------------------------- */

/* Returns the length of a flag's name, behind its dashes and before its value. */
static size_t name_length(const char *name) {
    return strcspn(name, "=");
}

static const Flag *find_flag(const FlagTable *tables, int count, const char *name, size_t length,
                             void **field) {
    for (int t = 0; t < count; t++)
        for (const Flag *f = tables[t].flags; f->name; f++)
            if (same_word(f->name, name, length)) {
                *field = (char *)tables[t].fields + f->field;
                return f;
            }
    return NULL;
}

static Status unknown_flag(const FlagTable *tables, int count, const char *name, size_t length,
                           Error *err) {
    const char *names[MAX_FLAGS];
    int n = 0;
    for (int t = 0; t < count; t++)
        for (const Flag *f = tables[t].flags; f->name && n < MAX_FLAGS; f++) names[n++] = f->name;
    char word[MAX_WORD + 1];
    snprintf(word, sizeof word, "%.*s", (int)(length < MAX_WORD ? length : MAX_WORD), name);
    const char *near = nearest_word(word, names, n);
    return fail(err, ERR_USAGE, "unknown flag --%s%s%s%s", word, near ? ": did you mean --" : "",
                near ? near : "", near ? "?" : "; --help lists them");
}

static bool is_flag(const char *argument) {
    return (argument[0] == '-' && argument[1] == '-' && argument[2]) || strcmp(argument, "-h") == 0;
}

/* Returns whether `name` is one of the words of `list`, which may be NULL. */
static bool is_listed(const char *list, const char *name) {
    const size_t n = strlen(name);
    for (const char *at = list; at && (at = strstr(at, name)); at += n)
        if ((at == list || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\0')) return true;
    return false;
}

/* Adds to a line of remarks. */
PRINTF_LIKE(2, 3) static void say(Error *said, const char *format, ...) {
    const size_t used = strlen(said->text), room = sizeof said->text - used;
    va_list args;
    va_start(args, format);
    if (used && room > 3) memcpy(said->text + used, "; ", 3);
    if (room > 3) vsnprintf(said->text + strlen(said->text), room - (used ? 2 : 0), format, args);
    va_end(args);
}

/* Takes all arguments up to the next flag. Returns how many. */
static int take_texts(TurtleTexts *out, int argc, char **argv) {
    int n = 0;
    while (n < argc && !is_flag(argv[n])) n++;
    free(out->item);
    *out = (TurtleTexts){.item = n ? malloc((size_t)n * sizeof *out->item) : NULL};
    for (int i = 0; out->item && i < n; i++) out->item[i] = argv[i];
    out->count = out->item ? n : 0;
    return n;
}

/* Says what a person may not expect of a flag: that an earlier one no longer counts, that it changes
 * nothing. */
static void remark(const Flag *f, const void *field, const void **seen, int *count,
                   const char *ignored, Error *said) {
    bool again = false, told = false;
    for (int s = 0; s < *count; s++) {
        told |= again && seen[s] == field;
        again |= seen[s] == field;
    }
    if (again && !told && f->type != FLAG_SWITCH)
        say(said, "--%s is given more than once: the last one counts", f->name);
    if (!again && is_listed(ignored, f->name)) say(said, "--%s changes nothing here", f->name);
    if (*count < MAX_FLAGS) seen[(*count)++] = field;
}

Status flags_parse(const FlagTable *tables, int count, int argc, char **argv, const char *ignored,
                   const char **positional, Error *said, Error *err) {
    const void *seen[MAX_FLAGS] = {NULL};
    int seen_count = 0;
    said->text[0] = '\0';
    for (int i = 0; i < argc;) {
        const char *argument = argv[i++];
        if (strcmp(argument, "-h") == 0) argument = "--help";
        if (!is_flag(argument)) {
            if (argument[0] == '-' && argument[1])
                return fail(err, ERR_USAGE,
                            "unknown flag %s: flags begin with --; --help lists them", argument);
            if (!positional || *positional)
                return fail(err, ERR_USAGE, "unexpected argument '%s'", argument);
            *positional = argument;
            continue;
        }
        const char *name = argument + 2, *equals = strchr(name, '=');
        const size_t length = name_length(name);
        void *field = NULL;
        const Flag *f = find_flag(tables, count, name, length, &field);
        if (!f) return unknown_flag(tables, count, name, length, err);
        remark(f, field, seen, &seen_count, ignored, said);

        if (f->type == FLAG_SWITCH) {
            if (equals) return fail(err, ERR_USAGE, "--%s takes no value", f->name);
            *(bool *)field = true;
        } else if (f->type == FLAG_TEXTS && !equals) {
            const int n = take_texts(field, argc - i, argv + i);
            if (n == 0) return fail(err, ERR_USAGE, "--%s needs %s", f->name, f->argument);
            i += n;
        } else {
            if (!equals && (i == argc || is_flag(argv[i])))
                return fail(err, ERR_USAGE, "--%s needs a value: %s", f->name, f->argument);
            char *value = equals ? (char *)equals + 1 : argv[i++];
            if (f->type == FLAG_TEXTS) {
                take_texts(field, 1, &value);
                continue;
            }
            const Status st = set_value(f, field, value, err);
            if (st != OK) return st;
        }
    }
    return OK;
}

const char *flags_given(const Flag *flags, int argc, char **argv) {
    for (int i = 0; i < argc; i++)
        for (const Flag *f = flags; is_flag(argv[i]) && f->name; f++)
            if (same_word(f->name, argv[i] + 2, name_length(argv[i] + 2))) return f->name;
    return NULL;
}

void flags_free(const FlagTable *tables, int count) {
    for (int t = 0; t < count; t++)
        for (const Flag *f = tables[t].flags; f->name; f++) {
            TurtleTexts *texts = (TurtleTexts *)((char *)tables[t].fields + f->field);
            if (f->type != FLAG_TEXTS) continue;
            free(texts->item);
            *texts = (TurtleTexts){0};
        }
}

/* --- help ------------------------------------------------------------------------------------- */

static void default_text(char text[64], const Flag *f, const void *field) {
    text[0] = '\0';
    switch (f->type) {
    case FLAG_TEXT:
        if (*(const char *const *)field)
            snprintf(text, 64, " [%.40s]", *(const char *const *)field);
        break;
    case FLAG_INTEGER: snprintf(text, 64, " [%" PRId64 "]", *(const int64_t *)field); break;
    case FLAG_COUNT: snprintf(text, 64, " [%d]", *(const int *)field); break;
    case FLAG_UNSIGNED: snprintf(text, 64, " [%" PRIu64 "]", *(const uint64_t *)field); break;
    case FLAG_REAL: snprintf(text, 64, " [%g]", *(const double *)field); break;
    case FLAG_SWITCH:
    case FLAG_TEXTS: break;
    }
}

void flags_help(FILE *out, const FlagTable *tables, int count, const char *ignored) {
    enum { COLUMN = 27 };
    for (int t = 0; t < count; t++) {
        bool titled = false; /* a table of which nothing is shown has no title either */
        for (const Flag *f = tables[t].flags; f->name; f++) {
            if (!f->help || is_listed(ignored, f->name)) continue;
            char value[64];
            if (!titled) fprintf(out, "\n%s\n", tables[t].title);
            titled = true;
            const int used = fprintf(out, "  --%s%s%s", f->name, f->argument ? " " : "",
                                     f->argument ? f->argument : "") -
                             2;
            default_text(value, f, (const char *)tables[t].fields + f->field);
            if (used > COLUMN) fprintf(out, "\n%*s", COLUMN + 2, "");
            else fprintf(out, "%*s", COLUMN - used, "");
            fprintf(out, " %s%s\n", f->help, value);
        }
    }
}
