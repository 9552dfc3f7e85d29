/* cmd_licenses.c - the command `licenses`: the project's own licence, then who made the rest, with their texts.
 *
 * LICENSE and data/licenses/ are compiled in, so that a program that was copied alone still carries the
 * notices that its parts ask for. */
#include <stdlib.h>
#include <string.h>

#include "host/cli/command.h"
#include "host/tell/json.h"
#include "io/files/embedded.h"

typedef struct {
    bool list;
} LicensesFlags;

static const Flag licenses_flags[] = {{"list", FLAG_SWITCH, offsetof(LicensesFlags, list), NULL,
                                       "only the list of parts, without the licences' texts"},
                                      {0}};

enum { FILE_OF, WHAT, HOLDER, LICENCE, SOURCE, TEXT, COLUMNS }; /* of data/licenses/index.tsv */

/* Cuts the next line of *at, which is writable, into its columns. Returns false at the end. Columns that a
 * line lacks are "". */
static bool next_part(char **at, const char *column[COLUMNS]) {
    char *line = *at;
    if (!*line) return false;
    char *end = strchr(line, '\n');
    *at = end ? end + 1 : line + strlen(line);
    if (end) *end = '\0';
    for (int c = 0; c < COLUMNS; c++) {
        char *tab = strchr(line, '\t');
        column[c] = line;
        line = tab ? tab + 1 : line + strlen(line);
        if (tab) *tab = '\0';
    }
    return true;
}

static bool is_in_tree(const char *file) {
    return strcmp(file, "-") != 0;
}

static void print_parts(char *at) {
    const char *column[COLUMNS];
    next_part(&at, column); /* the heading */
    puts("Parts that others made. Their licences are named as SPDX names them.");
    while (next_part(&at, column))
        printf("\n%s\n    %s%s%s; %s\n    %s\n", column[WHAT],
               is_in_tree(column[FILE_OF]) ? column[FILE_OF] : "",
               is_in_tree(column[FILE_OF]) ? ": " : "", column[HOLDER], column[LICENCE],
               column[SOURCE]);
}

/* Texts are those of the bytes, which end in no zero byte. */
static char *text_of(const Embedded *bytes) {
    return strndup((const char *)bytes->data, (size_t)bytes->bytes);
}

static Status print_json(char *at, const char *own, const char *texts, bool list, Error *err) {
    const char *column[COLUMNS];
    Json j = {0};
    json_open(&j, NULL);
    json_text(&j, "command", "licenses");
    json_text(&j, "version", turtle_version());
    json_text(&j, "licence", "MIT");
    if (!list) json_text(&j, "text", own);
    json_open_array(&j, "parts");
    next_part(&at, column); /* the heading */
    while (next_part(&at, column)) {
        json_open(&j, NULL);
        json_text(&j, "file", is_in_tree(column[FILE_OF]) ? column[FILE_OF] : NULL);
        json_text(&j, "what", column[WHAT]);
        json_text(&j, "holder", column[HOLDER]);
        json_text(&j, "licence", column[LICENCE]);
        json_text(&j, "source", column[SOURCE]);
        json_text(&j, "text", column[TEXT]);
        json_close(&j);
    }
    json_close_array(&j);
    if (!list) json_text(&j, "texts", texts);
    json_close(&j);
    char *text = json_take(&j);
    if (!text) return fail(err, ERR_MEMORY, "licenses: out of memory");
    puts(text);
    free(text);
    return OK;
}

static Status print_licenses(bool list, bool as_json, Error *err) {
    char *own = text_of(&embedded_license), *parts = text_of(&embedded_license_index),
         *texts = text_of(&embedded_license_texts);
    Status st = OK;
    if (!own || !parts || !texts) {
        st = fail(err, ERR_MEMORY, "licenses: out of memory");
    } else if (as_json) {
        st = print_json(parts, own, texts, list, err);
    } else {
        if (!list) printf("%s\n", own);
        print_parts(parts);
        if (!list) printf("\n%s", texts);
    }
    free(own);
    free(parts);
    free(texts);
    return st;
}

static Status run_licenses(int argc, char **argv, CommandFlags *flags, Error *err) {
    LicensesFlags licenses = {0};
    const FlagTable tables[] = {{"Licences", licenses_flags, &licenses},
                                {"Output", command_flags, flags}};
    Status st = command_parse(&command_licenses, tables, 2, argc, argv, flags, NULL, err);
    if (st == OK && !flags->help) st = print_licenses(licenses.list, flags->json, err);
    flags_free(tables, 2);
    return st;
}

const Command command_licenses = {"licenses",
                                  "the licence of the program, and those of parts that others made",
                                  "[--list] [flags]", run_licenses, NULL};
