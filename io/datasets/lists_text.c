/* lists_text.c - list files of lines split<TAB>label<TAB>path as lists of sources. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "io/datasets/sources.h"
#include "io/files/grow.h"
#include "io/text/printable.h"
#include "io/text/split_words.h"
#include "io/text/text_lines.h"

enum { MOST_LABEL = 1 << 24 };

/* A line of the list. Its texts lie in the reader. */
typedef struct {
    char *split, *label, *path;
    int64_t number; /* number of the line */
    SplitWord word;
} Row;

typedef struct {
    TextLines text;
    Row *row;
    int64_t count, capacity;
    int64_t first[4];     /* line of the first row of each SplitWord; 0: there is none */
    const char *val_word; /* word that rows use for the validation split */
    bool header;
} Table;

static Status out_of_memory(const Table *t, Error *err) {
    return fail(err, ERR_MEMORY, "list: %s: out of memory", t->text.path);
}

static Status bad_line(const Table *t, int64_t number, const char *what, const char *found,
                       Error *err) {
    return text_line_bad(&t->text, number, err, "%s '%.60s': expected split<TAB>label<TAB>path",
                         what, found);
}

/* --- columns ---------------------------------------------------------------------------------- */

static char *trimmed(char *text) {
    const int64_t n = trim_blanks(&text, (int64_t)strlen(text));
    text[n] = '\0';
    return text;
}

static Status check_split(Table *t, Row *r, Error *err) {
    static const char *const expected[] = {"", "train", "val", "test"};
    bool exact;
    r->word = split_word(r->split, &exact);
    if (r->word == SPLIT_NONE || !exact)
        return text_line_bad(
            &t->text, r->number, err, "unknown split '%.60s': expected %s%s", r->split,
            r->word ? expected[r->word] : "train, val (or valid, validation, dev) or test",
            r->word ? ", written so" : "");
    if (r->word == SPLIT_VAL && t->val_word && strcmp(t->val_word, r->split) != 0)
        return text_line_bad(&t->text, r->number, err,
                             "'%s', but line %lld has '%s': both are the validation split: "
                             "expected one of them",
                             r->split, (long long)t->first[SPLIT_VAL], t->val_word);
    if (r->word == SPLIT_VAL) t->val_word = r->split;
    if (!t->first[r->word]) t->first[r->word] = r->number;
    return OK;
}

static Status read_row(Table *t, TextLine *line, Error *err) {
    Row r = {.split = line->text, .number = line->number};
    r.label = strchr(line->text, '\t');
    r.path = r.label ? strchr(r.label + 1, '\t') : NULL;
    if (!r.path || !r.path[1])
        return bad_line(t, line->number, "too few columns in", line->text, err);
    *r.label++ = *r.path++ = '\0';
    r.split = trimmed(r.split);
    r.label = trimmed(r.label);
    if (t->count == 0 && !t->header && strcasecmp(r.split, "split") == 0) {
        t->header = true;
        return OK;
    }
    const Status st = check_split(t, &r, err);
    if (st != OK) return st;
    Row *longer = grown(t->row, t->count, &t->capacity, sizeof *longer);
    if (!longer) return out_of_memory(t, err);
    t->row = longer;
    t->row[t->count++] = r;
    return OK;
}

static Status read_rows(Table *t, Error *err) {
    TextLine line;
    Status st = OK;
    while (st == OK && text_lines_next(&t->text, &line))
        if (!line.blank && line.text[0] != '#') st = read_row(t, &line, err);
    if (st == OK && t->count == 0)
        st =
            fail(err, ERR_FORMAT,
                 "list: %s: no image in it: expected lines split<TAB>label<TAB>path", t->text.path);
    return st;
}

/* --- labels ----------------------------------------------------------------------------------- */

/* Returns true if a label is written as a number, *x. */
static bool is_number(const char *text, double *x) {
    char *end;
    if (!*text || strspn(text, "0123456789+-.eE") != strlen(text)) return false;
    *x = strtod(text, &end);
    return end != text && !*end;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Returns the sorted names of classes, each once, in fresh memory that ends with NULL. */
static char **class_names(const Table *t, int64_t *classes) {
    char **names = malloc((size_t)(t->count + 1) * sizeof *names);
    int64_t n = 0, kept = 0;
    for (int64_t i = 0; names && i < t->count; i++)
        if (strcmp(t->row[i].label, "-") != 0) names[n++] = t->row[i].label;
    if (!names) return NULL;
    qsort(names, (size_t)n, sizeof *names, by_text);
    for (int64_t i = 0; i < n; i++)
        if (kept == 0 || strcmp(names[kept - 1], names[i]) != 0) names[kept++] = names[i];
    names[kept] = NULL;
    *classes = kept;
    return names;
}

/* Checks that labels are all numbers or all names. *named is true for names. */
static Status kind_of_labels(const Table *t, bool *named, Error *err) {
    int64_t number = -1, name = -1;
    for (int64_t i = 0; i < t->count; i++) {
        const char *label = t->row[i].label;
        double x;
        if (strcmp(label, "-") == 0) continue;
        if (!*label)
            return text_line_bad(&t->text, t->row[i].number, err,
                                 "bad label '': expected a class, or - if it is not known");
        if (!is_number(label, &x)) {
            if (name < 0) name = i;
        } else if (!(x >= 0) || x > MOST_LABEL || x != floor(x)) {
            return text_line_bad(&t->text, t->row[i].number, err,
                                 "bad label '%.40s': expected a whole number from 0 to %d, a name, "
                                 "or - if it is not known",
                                 label, MOST_LABEL);
        } else if (number < 0) {
            number = i;
        }
        if (number >= 0 && name >= 0) break;
    }
    *named = name >= 0;
    if (name < 0 || number < 0) return OK;
    const int64_t later = name > number ? name : number, earlier = name > number ? number : name;
    return text_line_bad(&t->text, t->row[later].number, err,
                         "bad label '%.40s': line %lld has '%.40s': expected numbers alone or "
                         "names alone",
                         t->row[later].label, (long long)t->row[earlier].number,
                         t->row[earlier].label);
}

/* --- lists of sources ------------------------------------------------------------------------- */

static int64_t label_of(const Row *r, char *const *names, int64_t classes) {
    double x = 0;
    if (strcmp(r->label, "-") == 0) return -1;
    if (!names) return is_number(r->label, &x) ? (int64_t)x : -1;
    char *const *found = bsearch(&r->label, names, (size_t)classes, sizeof *names, by_text);
    return found ? found - names : -1;
}

static Status keep_names(SourceList *list, char *const *names, int64_t classes, const Table *t,
                         Error *err) {
    list->class_name = calloc((size_t)classes + 1, sizeof *list->class_name);
    if (!list->class_name) return out_of_memory(t, err);
    for (int64_t c = 0; c < classes; c++) {
        list->class_name[c] = strdup(names[c]);
        if (!list->class_name[c]) return out_of_memory(t, err);
    }
    list->classes = classes;
    return OK;
}

/* Adds the rows in their order. Test lines are left out where there are validation lines. */
static Status add_rows(SourceSplits *out, const Table *t, char *const *names, int64_t classes,
                       Error *err) {
    Status st = OK;
    for (int64_t i = 0; st == OK && i < t->count; i++) {
        const Row *r = &t->row[i];
        SourceList *list = r->word == SPLIT_TRAIN ? &out->train : &out->val;
        if (r->word == SPLIT_TEST && t->first[SPLIT_VAL])
            st = left_out_add(&out->left, r->path, false, -1, LEFT_TEST, NULL, out->val_word, err);
        else st = source_add(list, r->path, label_of(r, names, classes), -1, 0, err);
    }
    if (st == OK && names) st = keep_names(&out->train, names, classes, t, err);
    if (st == OK && names) st = keep_names(&out->val, names, classes, t, err);
    return st;
}

static int by_path_then_line(const void *a, const void *b) {
    const Row *x = *(const Row *const *)a, *y = *(const Row *const *)b;
    const int order = strcmp(x->path, y->path);
    return order ? order : (x->number > y->number) - (x->number < y->number);
}

/* Notes images that stand twice, which is allowed: a user who did not mean it should know. */
static Status note_repeated(SourceSplits *out, const Table *t, Error *err) {
    const Row **row = malloc((size_t)t->count * sizeof *row);
    const Row *first = NULL, *again = NULL;
    int64_t lines = 0, across = 0, labels = 0;
    if (!row) return out_of_memory(t, err);
    for (int64_t i = 0; i < t->count; i++) row[i] = &t->row[i];
    qsort(row, (size_t)t->count, sizeof *row, by_path_then_line);
    for (int64_t i = 1; i < t->count; i++) {
        if (strcmp(row[i - 1]->path, row[i]->path) != 0) continue;
        lines++;
        across += row[i - 1]->word != row[i]->word;
        labels += strcmp(row[i - 1]->label, row[i]->label) != 0;
        if (!again || row[i]->number < again->number) {
            first = row[i - 1];
            again = row[i];
        }
    }
    free(row);
    if (!lines) return OK;
    return sources_note(out, err,
                        "%lld line%s an earlier line's image (line %lld that of line %lld, "
                        "%.200s)%s%s",
                        (long long)lines, lines == 1 ? " repeats" : "s repeat",
                        (long long)again->number, (long long)first->number, again->path,
                        across ? ", some in another split" : "",
                        labels ? ", some with another label" : "");
}

static Status note_words(SourceSplits *out, const Table *t, bool named, int64_t classes,
                         Error *err) {
    Status st = OK;
    if (t->header) st = sources_note(out, err, "the first line is read as a header");
    if (st == OK && !t->first[SPLIT_VAL] && t->first[SPLIT_TEST])
        st = sources_note(out, err, "test is the split that is scored: there are no val lines");
    if (st == OK && out->train.count == 0) st = sources_note(out, err, "there are no train lines");
    if (st == OK && named)
        st = sources_note(out, err, "labels are names: numbered 0 to %lld in their sorted order",
                          (long long)classes - 1);
    return st;
}

/* --- paths ------------------------------------------------------------------------------------ */

/* Returns the folder that names are relative to: the list's own, for a pipe the current one. */
static char *folder_of(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash || strncmp(path, "/dev/", 5) == 0 || strncmp(path, "/proc/", 6) == 0)
        return format_text(".");
    return format_text("%.*s", (int)(slash - path) + (slash == path), path);
}

/* Refuses the usual slip: paths that were written in another folder. */
static Status check_first(const SourceSplits *out, const Table *t, Error *err) {
    const SourceList *list = out->train.count ? &out->train : &out->val;
    const char *name = list->source[0].name;
    const int64_t number = out->train.count      ? t->first[SPLIT_TRAIN]
                           : t->first[SPLIT_VAL] ? t->first[SPLIT_VAL]
                                                 : t->first[SPLIT_TEST];
    char *path = format_text("%s/%s", list->folder, name);
    if (!path) return out_of_memory(t, err);
    const bool slip = name[0] != '/' && !file_exists(path) && file_exists(name);
    free(path);
    return slip ? text_line_bad(&t->text, number, err,
                                "'%.120s' is not below %.100s, the list's folder, but below the "
                                "current one: expected paths that begin at the list's folder, or "
                                "absolute ones",
                                name, list->folder)
                : OK;
}

Status sources_list(SourceSplits *out, const char *path, Error *err) {
    Table t = {0};
    char **names = NULL;
    int64_t classes = 0;
    bool named = false;
    *out = (SourceSplits){0};
    Status st = text_lines_open(&t.text, "list", path, err);
    if (st != OK) return st;
    st = read_rows(&t, err);
    if (st == OK) st = kind_of_labels(&t, &named, err);
    out->train.folder = folder_of(path);
    out->val.folder = folder_of(path);
    if (t.first[SPLIT_VAL] || t.first[SPLIT_TEST])
        out->val_word = split_word_kept(t.val_word ? t.val_word : "test");
    if (st == OK && named) names = class_names(&t, &classes);
    if (st == OK && (!out->train.folder || !out->val.folder || (named && !names)))
        st = out_of_memory(&t, err);
    if (st == OK) st = add_rows(out, &t, names, classes, err);
    if (st == OK) st = check_first(out, &t, err);
    if (st == OK) st = note_words(out, &t, named, classes, err);
    if (st == OK) st = note_repeated(out, &t, err);
    free(names);
    free(t.row);
    text_lines_close(&t.text);
    if (st != OK) sources_close(out);
    return st;
}
