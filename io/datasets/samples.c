/* samples.c - samples of known data sets, and the numbers of their classes. */
#include "io/datasets/samples.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/files/grow.h"

static Status out_of_memory(Error *err) {
    return fail(err, ERR_MEMORY, "datasets: out of memory");
}

static bool is_folder(const char *path) {
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

static Status not_there(const DatasetFacts *set, const char *folder, const char *place,
                        Error *err) {
    return fail(err, ERR_IO,
                "datasets: %s: %s/%s is not there: expected what `turtle prepare --dataset %s` "
                "makes, or %s/%s/train/<class>/<image> and val/...; --images and --list take any "
                "other",
                set->name, folder, place, set->name, folder, set->name);
}

Status samples_open(Samples *s, SourceSplits *out, const DatasetFacts *set, const char *folder,
                    const ListingOptions *options, const char *const *places, Error *err) {
    *s = (Samples){.out = out, .set = set, .folder = folder, .options = options};
    for (int i = 0; places[i] && !s->base; i++) {
        char *path = walk_join(folder, places[i]);
        if (!path) return out_of_memory(err);
        if (is_folder(path)) s->base = path;
        else free(path);
    }
    if (!s->base) return not_there(set, folder, places[0], err);
    for (int part = 0; part < 2; part++) {
        SourceList *list = samples_list(s, part ? TO_VAL : TO_TRAIN);
        list->folder = strdup(s->base);
        list->place = strdup("");
        if (!list->folder || !list->place) return out_of_memory(err);
    }
    return OK;
}

SourceList *samples_list(const Samples *s, SplitPart part) {
    return part == TO_TRAIN ? &s->out->train : &s->out->val;
}

char *samples_path(const Samples *s, const char *path) {
    return walk_join(s->base, path);
}

char *number_key(char key[NUMBER_KEY], int64_t number) {
    snprintf(key, NUMBER_KEY, "%08lld", (long long)number);
    return key;
}

/* --- classes ------------------------------------------------------------------------------------ */

/* Returns the place of `key` in s->order, or where it would stand. */
static int64_t place_in_order(const Samples *s, const char *key, bool *found) {
    int64_t low = 0, high = s->keys.count;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (strcmp(s->keys.name[s->order[middle]], key) < 0) low = middle + 1;
        else high = middle;
    }
    *found = low < s->keys.count && strcmp(s->keys.name[s->order[low]], key) == 0;
    return low;
}

/* Finds a class, or adds it. *index is its number until the classes are ranked. */
static Status class_index(Samples *s, const char *key, int64_t *index, Error *err) {
    bool found;
    const int64_t at = place_in_order(s, key, &found);
    if (found) {
        *index = s->order[at];
        return OK;
    }
    const int64_t n = s->keys.count;
    int64_t *order = grown(s->order, n, &s->order_capacity, sizeof *order);
    if (!order) return out_of_memory(err);
    s->order = order;
    char **shown = grown(s->shown, n, &s->shown_capacity, sizeof *shown);
    if (!shown) return out_of_memory(err);
    s->shown = shown;
    s->shown[n] = NULL;
    const Status st = names_add(&s->keys, key, err);
    if (st != OK) return st;
    memmove(order + at + 1, order + at, (size_t)(n - at) * sizeof *order);
    order[at] = *index = n;
    return OK;
}

Status samples_name(Samples *s, const char *key, const char *name, Error *err) {
    bool found;
    const int64_t at = place_in_order(s, key, &found);
    if (!found) return OK;
    char *copy = strdup(name);
    if (!copy) return out_of_memory(err);
    free(s->shown[s->order[at]]);
    s->shown[s->order[at]] = copy;
    return OK;
}

/* --- samples ------------------------------------------------------------------------------------ */

Status samples_file(Samples *s, SplitPart part, const char *key, const char *path, Error *err) {
    int64_t label = -1;
    const Status st = class_index(s, key, &label, err);
    return st == OK ? source_add(samples_list(s, part), path, label, -1, 0, err) : st;
}

Status samples_listed(Samples *s, SplitPart part, const char *key, const char *path,
                      const char *list, int64_t line, Error *err) {
    struct stat found;
    if (path[0] == '/' || strstr(path, "../"))
        return fail(err, ERR_FORMAT, "datasets: %s: %s: entry %lld: '%.200s' leaves the data set",
                    s->set->name, list, (long long)line, path);
    char *whole = samples_path(s, path);
    if (!whole) return out_of_memory(err);
    Status st = OK;
    const bool asked = !(s->options && s->options->lists_alone);
    if (asked && stat(whole, &found) != 0)
        st =
            fail(err, ERR_IO, "datasets: %s: %s: entry %lld: %s is not there: unpack the set again",
                 s->set->name, list, (long long)line, whole);
    free(whole);
    return st == OK ? samples_file(s, part, key, path, err) : st;
}

Status samples_record(Samples *s, SplitPart part, const char *key, int blob, int64_t number,
                      int64_t offset, Error *err) {
    int64_t label = -1;
    SourceList *list = samples_list(s, part);
    char *name = format_text("%s#%lld", list->blob[blob].name, (long long)number);
    Status st = name ? class_index(s, key, &label, err) : out_of_memory(err);
    if (st == OK) st = source_add(list, name, label, blob, offset, err);
    free(name);
    return st;
}

static const char *last_part(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int64_t *ranks_of(const Samples *s) {
    int64_t *rank = malloc((size_t)(s->keys.count + 1) * sizeof *rank);
    for (int64_t i = 0; rank && i < s->keys.count; i++) rank[s->order[i]] = i;
    return rank;
}

static int by_class_and_name(const void *a, const void *b) {
    const Source *x = a, *y = b;
    if (x->label != y->label) return x->label < y->label ? -1 : 1;
    return strcmp(last_part(x->name), last_part(y->name));
}

/* Gives every sample the rank of its class, and the lists their classes. */
static Status rank_classes(Samples *s, Error *err) {
    int64_t *rank = ranks_of(s);
    if (!rank) return out_of_memory(err);
    for (int part = 0; part < 2; part++) {
        SourceList *list = samples_list(s, part ? TO_VAL : TO_TRAIN);
        for (int64_t i = 0; i < list->count; i++)
            list->source[i].label = rank[list->source[i].label];
        list->classes = s->keys.count;
        list->class_name = calloc((size_t)s->keys.count + 1, sizeof *list->class_name);
        if (!list->class_name) break;
        for (int64_t i = 0; i < s->keys.count; i++) {
            const int64_t k = s->order[i];
            if (!(list->class_name[i] = strdup(s->shown[k] ? s->shown[k] : s->keys.name[k]))) {
                free(rank);
                return out_of_memory(err);
            }
        }
    }
    free(rank);
    return s->out->val.class_name ? OK : out_of_memory(err);
}

void samples_sort(Samples *s) {
    int64_t *rank = ranks_of(s);
    if (!rank) return; /* the next allocation fails as well, and says so */
    for (int part = 0; part < 2; part++) {
        SourceList *list = samples_list(s, part ? TO_VAL : TO_TRAIN);
        for (int64_t i = 0; i < list->count; i++)
            list->source[i].label = rank[list->source[i].label];
        if (list->count)
            qsort(list->source, (size_t)list->count, sizeof *list->source, by_class_and_name);
        for (int64_t i = 0; i < list->count; i++)
            list->source[i].label = s->order[list->source[i].label];
    }
    free(rank);
}

/* --- the end ------------------------------------------------------------------------------------ */

static Status note_sizes(const Samples *s, Error *err) {
    const DatasetFacts *f = s->set;
    const SourceSplits *out = s->out;
    if (out->train.count == f->train && out->val.count == f->val && s->keys.count == f->classes)
        return OK;
    return sources_note(
        s->out, err,
        "%s: %lld training and %lld validation images of %lld classes are there; the "
        "published set has %lld, %lld and %lld: labels are ranks of the classes "
        "that are there",
        f->name, (long long)out->train.count, (long long)out->val.count, (long long)s->keys.count,
        (long long)f->train, (long long)f->val, (long long)f->classes);
}

Status samples_close(Samples *s, Status st, Error *err) {
    if (st == OK && s->out->train.count + s->out->val.count == 0)
        st = fail(err, ERR_FORMAT, "datasets: %s: no image below %s", s->set->name, s->base);
    if (st == OK) st = rank_classes(s, err);
    if (st == OK) st = note_sizes(s, err);
    for (int64_t i = 0; i < s->keys.count; i++) free(s->shown[i]);
    names_free(&s->keys);
    free(s->shown);
    free(s->order);
    free(s->base);
    if (st != OK) sources_close(s->out);
    *s = (Samples){0};
    return st;
}
