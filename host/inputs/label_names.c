/* label_names.c - labels as classes of a list of names: numbers index it, texts are looked up. */
#include "host/inputs/label_names.h"

#include <stdlib.h>
#include <string.h>

#include "host/inputs/inputs.h"
#include "host/tell/notify.h"

static char folded(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c == '_' || c == '-' ? ' ' : c;
}

static bool same_name(const char *a, const char *b) {
    while (*a && folded(*a) == folded(*b)) a++, b++;
    return !*a && !*b;
}

/* Returns the class that has this name, or -1. */
static int64_t find_name(const Prompts *p, const char *name) {
    int64_t close = -1;
    for (int64_t c = 0; c < p->classes; c++)
        for (int64_t i = p->begin[c]; i < p->begin[c + 1]; i++) {
            if (strcmp(p->names.item[i], name) == 0) return c;
            if (close < 0 && same_name(p->names.item[i], name)) close = c;
        }
    return close;
}

/* Finds the smallest and the largest label that occurs, of whole numbers. Returns false if there is
 * none. */
static bool find_range(const LabelTable *t, int64_t *least, int64_t *most) {
    bool any = false;
    for (int64_t i = 0; i < t->count; i++) {
        int64_t value;
        if (!label_whole(label_table_text(t, i), &value)) continue;
        if (!any || value < *least) *least = value;
        if (!any || value > *most) *most = value;
        any = true;
    }
    return any;
}

static Status refuse(const Split *split, const LabelTable *t, int64_t label, const Prompts *p,
                     Error *err) {
    int64_t sample = 0, least = 0, most = 0;
    while (sample < split->N && split->y_true[sample] != label) sample++;
    if (split->labels.texts)
        return fail(err, ERR_ARG,
                    "zeroshot: %s: label '%.60s' of sample %lld is none of the %lld class names",
                    split->labels_path, label_table_text(t, label), (long long)sample,
                    (long long)p->classes);
    if (find_range(t, &least, &most) && least >= 1 && most == p->classes)
        return fail(err, ERR_ARG,
                    "zeroshot: %s: labels %lld to %lld are 1-based, but names are counted from 0: "
                    "subtract 1 from every label",
                    split->labels_path, (long long)least, (long long)most);
    return fail(err, ERR_ARG,
                "zeroshot: %s: label %.40s of sample %lld is not in the list of %lld class names: "
                "expected 0 to %lld",
                split->labels_path, label_table_text(t, label), (long long)sample,
                (long long)p->classes, (long long)p->classes - 1);
}

Status label_names_apply(Split *split, const LabelTable *t, const Prompts *p,
                         const TurtleHooks *hooks, Error *err) {
    int64_t *class_of = malloc((size_t)(t->count + 1) * sizeof *class_of);
    bool first = false;
    Status st = class_of ? OK : fail(err, ERR_MEMORY, "zeroshot: out of memory");
    if (!split->y_true) goto out;
    for (int64_t i = 0; st == OK && i < t->count; i++) {
        const char *text = label_table_text(t, i);
        if (split->labels.texts) class_of[i] = find_name(p, text);
        else if (!label_whole(text, &class_of[i])) class_of[i] = -1;
        if (class_of[i] < 0 || class_of[i] >= p->classes) st = refuse(split, t, i, p, err);
        first = first || class_of[i] == 0;
    }
    if (st != OK) goto out;
    for (int64_t i = 0; i < split->N; i++)
        if (split->y_true[i] >= 0) split->y_true[i] = class_of[split->y_true[i]];
    if (!first && !split->labels.texts && t->count == p->classes - 1)
        notice(hooks,
               "labels: %s: no sample has label 0, '%s', and all others occur: are they 1-based?",
               split->labels_path, p->names.item[p->begin[0]]);
out:
    free(class_of);
    return st;
}
