/* label_lines.c - labels as text: one a line, perhaps below the name of the column. */
#include "host/inputs/label_lines.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* --- lines ------------------------------------------------------------------------------------ */

static bool is_blank(const char *text) {
    return !text[strspn(text, " \t")];
}

/* Takes blanks off both ends, then quotes as CSV has them. */
static char *strip(char *text) {
    text += strspn(text, " \t");
    size_t n = strlen(text);
    while (n > 0 && strchr(" \t", text[n - 1])) text[--n] = '\0';
    if (n < 2 || text[0] != '"' || text[n - 1] != '"') return text;
    char *to = text;
    for (size_t i = 1; i < n - 1; i++) {
        *to++ = text[i];
        if (text[i] == '"' && text[i + 1] == '"' && i + 1 < n - 1) i++;
    }
    *to = '\0';
    return text;
}

/* Returns the number of columns that commas outside of quotes part. */
static int64_t columns(const char *line) {
    int64_t n = 1;
    bool quoted = false;
    for (; *line; line++) {
        if (*line == '"') quoted = !quoted;
        n += *line == ',' && !quoted;
    }
    return n;
}

/* Refuses several columns. Commas part columns in a .csv, and where all lines have as many of them;
 * tabs always do. A name of a class may hold commas, a label may not be a whole row. */
static Status check_columns(const LabelLines *l, const char *path, Error *err) {
    const size_t n = strlen(path);
    const bool csv = n >= 4 && strcasecmp(path + n - 4, ".csv") == 0;
    int64_t least = INT64_MAX, most = 0, tabs = 0, where = 0;
    for (int64_t i = 0; i < l->count; i++) {
        /* NOLINTNEXTLINE(clang-analyzer-core.*): cut filled `count` items */
        const char *line = l->item[i] + strspn(l->item[i], " \t"), *tab = strchr(line, '\t');
        const int64_t commas = columns(line);
        if (!*line) continue;
        if (commas > most) most = commas, where = i;
        if (commas < least) least = commas;
        if (tab && !is_blank(tab) && !tabs) tabs = i + 1;
    }
    if (tabs)
        return fail(err, ERR_FORMAT,
                    "labels: %s: line %lld has several columns: expected one label a line: "
                    "cut -fN keeps column N",
                    path, (long long)tabs);
    if (most < 2 || (!csv && least != most)) return OK;
    return fail(err, ERR_FORMAT,
                "labels: %s: line %lld has %lld columns: expected one label a line: cut -d, -fN "
                "keeps column N (pandas: to_csv(index=False))",
                path, (long long)where + 1, (long long)most);
}

/* --- the header ------------------------------------------------------------------------------- */

static bool is_number(const char *text) {
    char *end;
    strtod(text, &end);
    return end != text && !*end;
}

static bool names_a_column(const char *text) {
    static const char *const words[] = {
        "label",  "labels", "class",    "classes",  "target",   "targets",     "y",
        "y_true", "id",     "class_id", "label_id", "category", "ground_truth"};
    text += strspn(text, "# ");
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasecmp(text, words[i]) == 0) return true;
    return false;
}

static int find_header(const LabelLines *l, int64_t expected) {
    const bool spare = l->count == expected + 1, number = l->count && is_number(l->item[0]);
    bool numbers = true, texts = true;
    if (l->count < 2 || !*l->item[0]) return 0;
    for (int64_t i = 1; i < l->count; i++) {
        if (strcmp(l->item[i], l->item[0]) == 0) return 0;
        if (!*l->item[i]) continue;
        if (is_number(l->item[i])) texts = false;
        else numbers = false;
    }
    if (number) return spare && texts; /* pandas calls a column without a name 0 */
    return spare || (numbers && names_a_column(l->item[0]));
}

/* --- a file ----------------------------------------------------------------------------------- */

Status label_lines_open(LabelLines *out, const FileMap *text, const char *path, int64_t expected,
                        Error *err) {
    TextLine line;
    int64_t most = 1;
    *out = (LabelLines){0};
    Status st = text_lines_of(&out->lines, "labels", path, text, err);
    if (st != OK) return st;
    for (int64_t i = 0; i < text->bytes; i++) most += text->data[i] == (uint8_t)out->lines.line_end;
    out->item = malloc((size_t)most * sizeof *out->item);
    if (!out->item) {
        label_lines_close(out);
        return fail(err, ERR_MEMORY, "labels: %s: out of memory", path);
    }
    while (text_lines_next(&out->lines, &line)) out->item[out->count++] = line.text;
    st = check_columns(out, path, err);
    if (st != OK) {
        label_lines_close(out);
        return st;
    }
    /* NOLINTNEXTLINE(clang-analyzer-core.*): cut filled `count` items */
    if (out->count) out->item[0] = strip(out->item[0]);
    /* below a header there is one line more, which may be an empty label too */
    /* NOLINTNEXTLINE(clang-analyzer-core.*): cut filled `count` items */
    while (out->count > expected && is_blank(out->item[out->count - 1]) &&
           !(out->count == expected + 1 && names_a_column(out->item[0])))
        out->count--;
    for (int64_t i = 1; i < out->count; i++) out->item[i] = strip(out->item[i]);
    out->header = find_header(out, expected);
    return OK;
}

void label_lines_close(LabelLines *l) {
    if (!l) return;
    text_lines_close(&l->lines);
    free(l->item);
    *l = (LabelLines){0};
}
