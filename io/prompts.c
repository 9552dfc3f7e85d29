/* prompts.c - names of classes and the sentences that they are put into. */
#include "prompts.h"

#include <stdlib.h>
#include <string.h>

#include "embedded.h"
#include "file.h"

/* --- texts ------------------------------------------------------------------------------------ */

static void texts_free(PromptTexts *t) {
    free(t->bytes);
    free(t->item);
    *t = (PromptTexts){0};
}

/* Room for all texts in so many bytes, the shortest of which are one character and its end. */
static bool texts_alloc(PromptTexts *t, int64_t bytes) {
    *t = (PromptTexts){.bytes = malloc((size_t)bytes + 1),
                       .item = malloc(((size_t)bytes / 2 + 1) * sizeof *t->item)};
    if (t->bytes && t->item) return true;
    texts_free(t);
    return false;
}

/* `text` (n bytes) becomes the next one; *used bytes are taken. */
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

/* The line [*at, newline), without white space around it, into [from, from + n). */
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

/* One class: its names, separated by tabs. False if one is empty. */
static bool add_class(Prompts *p, int64_t *used, const char *line, size_t n) {
    const char *end = line + n;
    p->begin[p->classes++] = p->names.count;
    for (const char *tab; line <= end; line = tab + 1) {
        tab = memchr(line, '\t', (size_t)(end - line));
        if (!tab) tab = end;
        if (tab == line) return false;
        texts_add(&p->names, used, line, (size_t)(tab - line));
    }
    p->begin[p->classes] = p->names.count;
    return true;
}

static bool classes_alloc(Prompts *p, int64_t bytes) {
    p->classes = 0;
    p->begin = malloc(((size_t)bytes / 2 + 2) * sizeof *p->begin);
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

/* Whether `name` is one of the words behind "= ". */
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

/* The lines of a set: from behind its "= name" to the next, or NULL. */
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

/* Maps a text; *text begins behind a byte order mark. */
static Status text_map(FileMap *map, const char **text, const char *path, Error *err) {
    const Status st = file_map(map, path, err);
    if (st != OK) return st;
    *text = (const char *)map->data;
    if (map->bytes && memchr(map->data, '\0', (size_t)map->bytes)) {
        file_unmap(map);
        return fail(err, ERR_FORMAT, "zeroshot: %s: not a text: it holds a zero byte", path);
    }
    if (map->bytes >= 3 && memcmp(map->data, "\xef\xbb\xbf", 3) == 0) *text += 3;
    return OK;
}

Status prompts_read_names(Prompts *p, const char *path, Error *err) {
    FileMap map;
    const char *at, *line;
    int64_t used = 0, number = 0;
    Status st = text_map(&map, &at, path, err);
    if (st != OK) return st;
    const char *end = (const char *)map.data + map.bytes;
    classes_free(p);
    if (!classes_alloc(p, map.bytes)) st = fail(err, ERR_MEMORY, "zeroshot: out of memory");
    while (st == OK && at < end) {
        const size_t n = next_line(&line, &at, end);
        number++;
        if (n && !add_class(p, &used, line, n))
            st = fail(err, ERR_FORMAT, "zeroshot: %s: line %lld has an empty name between two tabs",
                      path, (long long)number);
    }
    if (st == OK && p->classes < 2)
        st = fail(err, ERR_FORMAT, "zeroshot: %s: %lld classes: expected at least 2, one per line",
                  path, (long long)p->classes);
    file_unmap(&map);
    return st;
}

Status prompts_read_templates(Prompts *p, const char *path, Error *err) {
    FileMap map;
    const char *at, *line;
    int64_t used = 0;
    Status st = text_map(&map, &at, path, err);
    if (st != OK) return st;
    const char *end = (const char *)map.data + map.bytes;
    texts_free(&p->templates);
    if (!texts_alloc(&p->templates, map.bytes))
        st = fail(err, ERR_MEMORY, "zeroshot: out of memory");
    while (st == OK && at < end) {
        const size_t n = next_line(&line, &at, end);
        if (n == 0) continue;
        texts_add(&p->templates, &used, line, n);
        const char *text = p->templates.item[p->templates.count - 1];
        if (!strstr(text, "{}"))
            st = fail(err, ERR_FORMAT, "zeroshot: %s: '%.60s' has no {} for the name", path, text);
    }
    if (st == OK && p->templates.count == 0)
        st = fail(err, ERR_FORMAT, "zeroshot: %s: no template in it: expected one per line", path);
    file_unmap(&map);
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
