/* prompts.c - names of classes and the sentences that they are put into. */
#include "io/text/prompts.h"

#include <stdlib.h>
#include <string.h>

#include "io/files/embedded.h"
#include "io/files/file.h"
#include "io/text/text_lines.h"

/* --- texts ------------------------------------------------------------------------------------ */

static void texts_free(PromptTexts *t) {
    free(t->bytes);
    free(t->item);
    *t = (PromptTexts){0};
}

/* Makes room for all texts in so many bytes; the shortest texts are one character and its end. */
static bool texts_alloc(PromptTexts *t, int64_t bytes) {
    *t = (PromptTexts){.bytes = malloc((size_t)bytes + 1),
                       .item = malloc(((size_t)bytes / 2 + 1) * sizeof *t->item)};
    if (t->bytes && t->item) return true;
    texts_free(t);
    return false;
}

/* Adds `text` (n bytes) as the next text; *used counts the bytes taken. */
static void texts_add(PromptTexts *t, int64_t *used, const char *text, size_t n) {
    char *to = t->bytes + *used;
    memcpy(to, text, n);
    to[n] = '\0';
    t->item[t->count++] = to;
    *used += (int64_t)n + 1;
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

/* Takes the next line. *from and the length returned leave out white space around it. */
static size_t next_line(const char **from, const char **at, const char *end) {
    const char *newline = memchr(*at, '\n', (size_t)(end - *at)), *first = *at;
    const char *last = newline ? newline : end;
    *at = newline ? newline + 1 : end;
    while (first < last && is_space(*first)) first++;
    while (first < last && is_space(last[-1])) last--;
    *from = first;
    return (size_t)(last - first);
}

/* --- classes ---------------------------------------------------------------------------------- */

/* Adds one class: its names, separated by tabs. Returns false if one is empty. */
static bool add_class(Prompts *p, int64_t *used, const char *line, size_t n) {
    const char *end = line + n;
    p->begin[p->classes++] = p->names.count;
    for (const char *tab; line <= end; line = tab + 1) {
        tab = memchr(line, '\t', (size_t)(end - line));
        if (!tab) tab = end;
        const char *from = line, *to = tab;
        while (from < to && is_space(*from)) from++;
        while (from < to && is_space(to[-1])) to--;
        if (from == to) return false;
        texts_add(&p->names, used, from, (size_t)(to - from));
    }
    p->begin[p->classes] = p->names.count;
    return true;
}

static bool classes_alloc(Prompts *p, int64_t bytes) {
    p->classes = 0;
    p->begin = calloc((size_t)bytes / 2 + 2, sizeof *p->begin);
    return p->begin && texts_alloc(&p->names, bytes);
}

static void classes_free(Prompts *p) {
    texts_free(&p->names);
    free(p->begin);
    p->begin = NULL;
    p->classes = 0;
}

void prompts_free(Prompts *p) {
    if (!p) return;
    classes_free(p);
    texts_free(&p->templates);
}

/* --- the lists of data sets ------------------------------------------------------------------- */

/* Returns true if `name` is one of the words behind "= ". */
static bool names_set(const char *line, size_t n, const char *name) {
    const size_t length = strlen(name);
    for (const char *end = line + n, *word = line + 2; word < end;) {
        const char *space = memchr(word, ' ', (size_t)(end - word));
        const size_t letters = (size_t)((space ? space : end) - word);
        if (letters == length && memcmp(word, name, length) == 0) return true;
        word += letters + 1;
    }
    return false;
}

/* Returns the lines of a set, from behind its "= name" to *set_end, or NULL. */
static const char *find_set(const char *name, const char **set_end) {
    const char *at = (const char *)embedded_prompts.data, *end = at + embedded_prompts.bytes;
    const char *found = NULL, *line;
    while (at < end) {
        const char *begin = at;
        const size_t n = next_line(&line, &at, end);
        if (line[0] != '=') continue;
        if (found) {
            *set_end = begin;
            return found;
        }
        if (names_set(line, n, name)) found = at;
    }
    *set_end = end;
    return found;
}

Status prompts_find(Prompts *out, const char *dataset, Error *err) {
    const char *end, *at = find_set(dataset, &end), *line;
    int64_t name_bytes = 0, template_bytes = 0;
    *out = (Prompts){0};
    if (!at)
        return fail(err, ERR_ARG,
                    "zeroshot: %s: no class names are known for this data set: give --names FILE",
                    dataset);
    if (!classes_alloc(out, end - at) || !texts_alloc(&out->templates, end - at)) {
        prompts_free(out);
        return fail(err, ERR_MEMORY, "zeroshot: out of memory");
    }
    while (at < end) {
        const size_t n = next_line(&line, &at, end);
        if (line[0] == ':') texts_add(&out->templates, &template_bytes, line + 2, n - 2);
        else add_class(out, &name_bytes, line, n);
    }
    return OK;
}

/* --- files ------------------------------------------------------------------------------------ */

/* A name of a class in a file, in the form that sorts equal names together. */
typedef struct {
    char *seen;     /* the name as the tokenizer sees it: small letters, single blanks; owned */
    int64_t number; /* number of its line */
} SeenName;

/* Returns a name as the tokenizer sees it: "Sea  Lion" and "sea lion" are one name. */
static char *as_seen(const char *name) {
    char *seen = strdup(name), *to = seen;
    for (const char *c = name; seen && *c; c++)
        if (*c != ' ' || c[1] != ' ') *to++ = *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
    if (seen) *to = '\0';
    return seen;
}

static int by_name_then_line(const void *a, const void *b) {
    const SeenName *x = a, *y = b;
    const int order = strcmp(x->seen, y->seen);
    return order ? order : (x->number > y->number) - (x->number < y->number);
}

/* Refuses two classes of one name: they would have the same vector, and the second would never be
 * found. `line` (classes) holds the numbers of their lines. */
static Status check_names_differ(const Prompts *p, const int64_t *line, const TextLines *t,
                                 Error *err) {
    SeenName *seen = calloc((size_t)p->names.count + 1, sizeof *seen);
    Status st = seen ? OK : fail(err, ERR_MEMORY, "zeroshot: out of memory");
    for (int64_t c = 0; st == OK && c < p->classes; c++)
        for (int64_t i = p->begin[c]; st == OK && i < p->begin[c + 1]; i++) {
            seen[i] = (SeenName){as_seen(p->names.item[i]), line[c]};
            if (!seen[i].seen) st = fail(err, ERR_MEMORY, "zeroshot: out of memory");
        }
    if (st == OK) qsort(seen, (size_t)p->names.count, sizeof *seen, by_name_then_line);
    for (int64_t i = 1; st == OK && i < p->names.count; i++)
        if (strcmp(seen[i - 1].seen, seen[i].seen) == 0)
            st = text_line_bad(t, seen[i].number, err,
                               "the name '%.80s' stands twice, first in line %lld: classes of the "
                               "same name cannot be told apart",
                               seen[i].seen, (long long)seen[i - 1].number);
    for (int64_t i = 0; seen && i < p->names.count; i++) free(seen[i].seen);
    free(seen);
    return st;
}

/* Reads one line of a file of names: a class, or a blank line behind the last one. */
static Status read_class(Prompts *p, int64_t *used, int64_t *line_of, int64_t *first_blank,
                         const TextLines *t, TextLine *line, Error *err) {
    if (line->blank) {
        if (!*first_blank) *first_blank = line->number;
        return OK;
    }
    if (*first_blank)
        return text_line_bad(t, *first_blank, err,
                             "blank, but line %lld has a name: every line is a class, and blank "
                             "ones stand at the end only",
                             (long long)line->number);
    const Status st = text_line_utf8(t, line, err);
    if (st != OK) return st;
    line_of[p->classes] = line->number;
    line->bytes = trim_blanks(&line->text, line->bytes);
    if (!add_class(p, used, line->text, (size_t)line->bytes))
        return text_line_bad(t, line->number, err, "an empty name between two tabs");
    return OK;
}

static Status read_names(Prompts *p, TextLines *t, Error *err) {
    TextLine line;
    int64_t used = 0, first_blank = 0;
    Status st = OK;
    classes_free(p);
    int64_t *line_of = malloc(((size_t)t->bytes / 2 + 2) * sizeof *line_of);
    if (!line_of || !classes_alloc(p, t->bytes))
        st = fail(err, ERR_MEMORY, "zeroshot: out of memory");
    while (st == OK && text_lines_next(t, &line))
        st = read_class(p, &used, line_of, &first_blank, t, &line, err);
    if (st == OK && p->classes < 2)
        st = fail(err, ERR_FORMAT, "names: %s: %lld classes: expected at least 2, one per line",
                  t->path, (long long)p->classes);
    if (st == OK) st = check_names_differ(p, line_of, t, err);
    free(line_of);
    return st;
}

Status prompts_read_names(Prompts *p, const char *path, Error *err) {
    TextLines t;
    Status st = text_lines_open(&t, "names", path, err);
    if (st == OK) st = read_names(p, &t, err);
    text_lines_close(&t);
    return st;
}

static Status read_template(Prompts *p, int64_t *used, const TextLines *t, TextLine *line,
                            Error *err) {
    const Status st = text_line_utf8(t, line, err);
    if (st != OK || line->blank) return st;
    line->bytes = trim_blanks(&line->text, line->bytes);
    line->text[line->bytes] = '\0';
    const char *gap = strstr(line->text, "{}");
    if (!gap)
        return text_line_bad(t, line->number, err, "'%.60s' has no {} for the name", line->text);
    if (strstr(gap + 2, "{}"))
        return text_line_bad(t, line->number, err, "'%.60s' has {} twice: expected one {}",
                             line->text);
    texts_add(&p->templates, used, line->text, (size_t)line->bytes);
    return OK;
}

static Status read_templates(Prompts *p, TextLines *t, Error *err) {
    TextLine line;
    int64_t used = 0;
    Status st = OK;
    texts_free(&p->templates);
    if (!texts_alloc(&p->templates, t->bytes))
        st = fail(err, ERR_MEMORY, "zeroshot: out of memory");
    while (st == OK && text_lines_next(t, &line)) st = read_template(p, &used, t, &line, err);
    if (st == OK && p->templates.count == 0)
        st = fail(err, ERR_FORMAT, "templates: %s: no template in it: expected one per line",
                  t->path);
    return st;
}

Status prompts_read_templates(Prompts *p, const char *path, Error *err) {
    TextLines t;
    Status st = text_lines_open(&t, "templates", path, err);
    if (st == OK) st = read_templates(p, &t, err);
    text_lines_close(&t);
    return st;
}

/* --- texts in place of lines ------------------------------------------------------------------ */

/* Opens the texts as lines of a file called `name`; text i is line i + 1. */
static Status lines_of_texts(TextLines *out, const char *module, const char *name,
                             const char *const *text, int64_t count, Error *err) {
    size_t bytes = 0;
    for (int64_t i = 0; i < count; i++) {
        if (!text[i] || strpbrk(text[i], "\r\n"))
            return fail(err, ERR_ARG, "%s: %s: text %lld %s", module, name, (long long)i,
                        text[i] ? "has a line break: expected one line" : "is NULL");
        bytes += strlen(text[i]) + 1;
    }
    char *lines = malloc(bytes + 1), *to = lines;
    if (!lines) return fail(err, ERR_MEMORY, "zeroshot: out of memory");
    for (int64_t i = 0; i < count; i++) {
        const size_t n = strlen(text[i]);
        memcpy(to, text[i], n);
        to[n] = '\n';
        to += n + 1;
    }
    const FileMap map = {.data = (const uint8_t *)lines, .bytes = (int64_t)bytes};
    const Status st = text_lines_of(out, module, name, &map, err);
    free(lines);
    return st;
}

Status prompts_take_names(Prompts *p, const char *const *text, int64_t count, Error *err) {
    TextLines t = {0};
    Status st = lines_of_texts(&t, "names", "class_names", text, count, err);
    if (st == OK) st = read_names(p, &t, err);
    text_lines_close(&t);
    return st;
}

Status prompts_take_templates(Prompts *p, const char *const *text, int64_t count, Error *err) {
    TextLines t = {0};
    Status st = lines_of_texts(&t, "templates", "template_texts", text, count, err);
    if (st == OK) st = read_templates(p, &t, err);
    text_lines_close(&t);
    return st;
}

Status prompts_default_template(Prompts *p, Error *err) {
    static const char text[] = "A photo of a {}.";
    int64_t used = 0;
    texts_free(&p->templates);
    if (!texts_alloc(&p->templates, sizeof text))
        return fail(err, ERR_MEMORY, "zeroshot: out of memory");
    texts_add(&p->templates, &used, text, sizeof text - 1);
    return OK;
}

/* Compares names as folders are called: '-' stands for '/' and ' '. */
static int by_folder(const void *a, const void *b) {
    const unsigned char *x = *(const unsigned char *const *)a,
                        *y = *(const unsigned char *const *)b;
    for (;; x++, y++) {
        const int p = *x == '/' || *x == ' ' ? '-' : *x, q = *y == '/' || *y == ' ' ? '-' : *y;
        if (p != q || !p) return p - q;
    }
}

int64_t prompts_sort_as_folders(Prompts *p) {
    const int64_t n = p->classes;
    int64_t moved = 0;
    const char **before = malloc((size_t)(n + 1) * sizeof *before);
    if (!before || p->names.count != n) {
        free(before);
        return p->names.count == n ? -1 : 0;
    }
    memcpy(before, p->names.item, (size_t)n * sizeof *before);
    qsort(p->names.item, (size_t)n, sizeof *p->names.item, by_folder);
    for (int64_t i = 0; i < n; i++) moved += p->names.item[i] != before[i];
    free(before);
    return moved;
}

/* --- prompts ---------------------------------------------------------------------------------- */

int64_t prompts_of(const Prompts *p, int64_t c) {
    return (p->begin[c + 1] - p->begin[c]) * p->templates.count;
}

char *prompt_text(const Prompts *p, int64_t c, int64_t i) {
    const int64_t names = p->begin[c + 1] - p->begin[c];
    const char *template = p->templates.item[i / names], *gap = strstr(template, "{}");
    return format_text("%.*s%s%s", (int)(gap - template), template,
                       p->names.item[p->begin[c] + i % names], gap + 2);
}
