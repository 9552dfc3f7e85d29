/* cluster_names.c - names that people give to clusters: lines of a number, a tab and a name. */
#include "io/text/cluster_names.h"

#include <stdlib.h>
#include <string.h>

#include "io/files/file.h"
#include "io/text/text_lines.h"

/* After a failure, too, the caller frees *out. */
static Status names_alloc(ClusterNames *out, int64_t classes, Error *err) {
    *out = (ClusterNames){0};
    if (classes < 1 || classes > INT32_MAX)
        return fail(err, ERR_ARG, "cluster_names: %lld clusters: expected 1 to %d",
                    (long long)classes, INT32_MAX);
    *out = (ClusterNames){.classes = classes,
                          .name = calloc((size_t)classes, sizeof *out->name),
                          .listed = calloc((size_t)classes, sizeof *out->listed),
                          .group = calloc((size_t)classes, sizeof *out->group),
                          .first = calloc((size_t)classes, sizeof *out->first)};
    if (out->name && out->listed && out->group && out->first) return OK;
    return fail(err, ERR_MEMORY, "cluster_names: out of memory for %lld clusters",
                (long long)classes);
}

void cluster_names_free(ClusterNames *n) {
    if (!n) return;
    for (int64_t c = 0; n->name && c < n->classes; c++) free(n->name[c]);
    free(n->name);
    free(n->listed);
    free(n->group);
    free(n->first);
    *n = (ClusterNames){0};
}

/* --- lines ------------------------------------------------------------------------------------ */

/* Reads the decimal number that the n bytes are. Returns -1 if they are none, or one of 19 digits
 * and more. */
static int64_t whole_number(const char *text, int64_t n) {
    int64_t value = 0;
    if (n < 1 || n > 18) return -1;
    for (int64_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9') return -1;
        value = 10 * value + (text[i] - '0');
    }
    return value;
}

/* Reads one line that is not blank. `line_of` (classes) holds the numbers of the clusters' lines. */
static Status read_line(ClusterNames *out, int64_t *line_of, const TextLines *t, TextLine *line,
                        Error *err) {
    const Status st = text_line_utf8(t, line, err);
    if (st != OK) return st;
    char *number = line->text, *tab = memchr(number, '\t', (size_t)line->bytes);
    if (!tab)
        return text_line_bad(t, line->number, err,
                             "'%.60s' has no tab: expected cluster<TAB>name, and nothing behind "
                             "the tab where the cluster is left out",
                             number);
    char *name = tab + 1, *end = line->text + line->bytes;
    if (memchr(name, '\t', (size_t)(end - name)))
        return text_line_bad(t, line->number, err, "two tabs: expected cluster<TAB>name");
    const int64_t digits = trim_blanks(&number, tab - number);
    const int64_t cluster = whole_number(number, digits);
    if (cluster < 0 || cluster >= out->classes)
        return text_line_bad(t, line->number, err, "'%.*s' is no cluster: expected 0 to %lld",
                             (int)(digits < 60 ? digits : 60), number, (long long)out->classes - 1);
    if (out->listed[cluster])
        return text_line_bad(t, line->number, err,
                             "cluster %lld has a name already, in line %lld: expected one line for "
                             "each cluster",
                             (long long)cluster, (long long)line_of[cluster]);
    const int64_t n = trim_blanks(&name, end - name);
    out->listed[cluster] = true;
    line_of[cluster] = line->number;
    out->name[cluster] = strndup(name, (size_t)n);
    return out->name[cluster] ? OK : fail(err, ERR_MEMORY, "cluster_names: out of memory");
}

/* --- groups ----------------------------------------------------------------------------------- */

typedef struct {
    const char *name;
    int64_t cluster;
} Named;

static int by_name_then_cluster(const void *a, const void *b) {
    const Named *x = a, *y = b;
    const int order = strcmp(x->name, y->name);
    return order ? order : (x->cluster > y->cluster) - (x->cluster < y->cluster);
}

/* Fills name[] of clusters without a line, then group[], first[] and the counts. */
static Status make_groups(ClusterNames *out, Error *err) {
    Named *named = calloc((size_t)out->classes, sizeof *named);
    Status st = named ? OK : fail(err, ERR_MEMORY, "cluster_names: out of memory");
    for (int64_t c = 0; st == OK && c < out->classes; c++) {
        if (!out->listed[c]) out->name[c] = format_text("%lld", (long long)c);
        if (!out->name[c]) st = fail(err, ERR_MEMORY, "cluster_names: out of memory");
        named[c] = (Named){out->name[c], c};
    }
    if (st == OK) qsort(named, (size_t)out->classes, sizeof *named, by_name_then_cluster);
    /* Equal names lie side by side, the least cluster first: group[] holds that one at first. */
    for (int64_t i = 0; st == OK && i < out->classes; i++) {
        const bool same = i > 0 && strcmp(named[i - 1].name, named[i].name) == 0;
        out->group[named[i].cluster] = same ? out->group[named[i - 1].cluster] : named[i].cluster;
    }
    for (int64_t c = 0; st == OK && c < out->classes; c++) {
        const int64_t least = out->group[c];
        if (!*out->name[c]) {
            out->group[c] = -1;
            out->left_out++;
        } else if (least == c) {
            out->first[out->groups] = c;
            out->group[c] = out->groups++;
        } else {
            out->group[c] = out->group[least];
        }
    }
    free(named);
    return st;
}

Status cluster_names_read(const char *path, int64_t classes, ClusterNames *out, Error *err) {
    TextLines t = {0};
    TextLine line;
    int64_t *line_of = NULL;
    Status st = names_alloc(out, classes, err);
    if (st == OK) st = text_lines_open(&t, "cluster_names", path, err);
    if (st == OK) {
        line_of = calloc((size_t)classes, sizeof *line_of);
        if (!line_of) st = fail(err, ERR_MEMORY, "cluster_names: out of memory");
    }
    while (st == OK && text_lines_next(&t, &line))
        if (!line.blank) st = read_line(out, line_of, &t, &line, err);
    if (st == OK) st = make_groups(out, err);
    free(line_of);
    text_lines_close(&t);
    if (st != OK) cluster_names_free(out);
    return st;
}

Status cluster_names_numbers(int64_t classes, ClusterNames *out, Error *err) {
    Status st = names_alloc(out, classes, err);
    if (st == OK) st = make_groups(out, err);
    if (st != OK) cluster_names_free(out);
    return st;
}
