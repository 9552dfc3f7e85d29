/* names.c - names of samples, read in one more pass over the predictions; names of the true classes. */
#include <stdlib.h>
#include <string.h>

#include "host/report/gather.h"
#include "io/text/prompts.h"

typedef struct {
    Gather *g;
    int32_t *slot;      /* (n) place of a row in `name`, -1: in no list */
    const char **name;  /* (slots) */
    const char **class; /* (label_count) folder of the samples of a class; NULL: not seen */
    bool folders;       /* all samples of a class lie in the same folder, so far */
} Names;

/* Finds the last folder of a path. Returns its length, 0 for none. */
static int64_t folder_of(const char **folder, const char *name, int64_t bytes) {
    int64_t end = bytes;
    while (end > 0 && name[end - 1] != '/') end--;
    if (end < 2) return 0;
    int64_t first = --end;
    while (first > 0 && name[first - 1] != '/') first--;
    *folder = name + first;
    return end - first;
}

/* Looks whether the folder of a labelled sample may be the name of its class. */
static bool look_at_folder(Names *w, int64_t row, const char *name, int64_t bytes) {
    const int64_t label = w->g->y[row];
    const char *folder;
    if (label < 0) return true;
    const int64_t length = folder_of(&folder, name, bytes);
    w->folders = length > 0;
    if (!length) return true;
    const char **known = &w->class[label];
    if (*known) {
        w->folders = strncmp(*known, folder, (size_t)length) == 0 && !(*known)[length];
        return true;
    }
    *known = report_copy(w->g->memory, folder, length);
    return *known != NULL;
}

static bool take_name(void *context, int64_t row, const char *name, int64_t bytes) {
    Names *w = context;
    Gather *g = w->g;
    if (w->folders && !look_at_folder(w, row, name, bytes)) return false;
    const int32_t sample = g->sample_of[row], slot = w->slot[row];
    if (sample < 0 && slot < 0) return true;
    const char *copy = report_copy(g->memory, name, bytes);
    if (slot >= 0) w->name[slot] = copy;
    if (sample >= 0 && !g->found.numbered) g->out->samples[sample].name = copy;
    return copy != NULL;
}

/* Lays out the lists of all clusters one after the other. */
static bool lay_out(Names *w) {
    Gather *g = w->g;
    Report *r = g->out;
    int64_t all = 0;
    for (int64_t c = 0; c < r->classes; c++)
        all += r->clusters[c].size < g->names ? r->clusters[c].size : g->names;
    w->name = report_take(g->memory, all, sizeof *w->name);
    float *confidence = report_take(g->memory, all, sizeof *confidence);
    w->slot = malloc((size_t)g->found.n * sizeof *w->slot);
    if (all > INT32_MAX || !w->name || !confidence || !w->slot) return false;
    for (int64_t i = 0; i < g->found.n; i++) w->slot[i] = -1;
    int64_t at = 0;
    for (int64_t c = 0; c < r->classes; c++) {
        ReportCluster *cluster = &r->clusters[c];
        cluster->names = w->name + at;
        cluster->names_confidence = confidence + at;
        cluster->names_count = cluster->size < g->names ? cluster->size : g->names;
        for (int64_t i = 0; i < cluster->names_count; i++, at++) {
            const int64_t row = g->order[g->begin[c] + i];
            w->slot[row] = (int32_t)at;
            confidence[at] = g->found.confidence[row];
        }
    }
    return true;
}

/* --- classes -------------------------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Takes folders as names of classes, if every class has one of its own. */
static Status take_folders(Names *w, Error *err) {
    Report *r = w->g->out;
    bool own = w->folders;
    for (int64_t i = 0; own && i < r->label_count; i++) own = w->class[i] != NULL;
    if (!own) return OK;
    const char **sorted = malloc((size_t)r->label_count * sizeof *sorted);
    if (!sorted) return fail(err, ERR_MEMORY, "report: out of memory for the names of classes");
    memcpy(sorted, w->class, (size_t)r->label_count * sizeof *sorted);
    qsort(sorted, (size_t)r->label_count, sizeof *sorted, by_text);
    for (int64_t i = 1; i < r->label_count; i++) own &= strcmp(sorted[i - 1], sorted[i]) != 0;
    free(sorted);
    if (own) r->class_names = w->class;
    return OK;
}

/* Takes the published names of the data set's classes, if there are as many. Those of digits describe shapes to
 * CLIP ("doughnut" is 0), and the labels are their own names. */
static Status take_published(Gather *g, Error *err) {
    Report *r = g->out;
    Prompts p;
    const char *set = g->run.dataset;
    if (!set || strcmp(set, "mnist") == 0 || strcmp(set, "digits") == 0) return OK;
    if (prompts_find(&p, set, NULL) != OK) return OK;
    Status st = OK;
    if (strcmp(set, "aircraft") == 0 && prompts_sort_as_folders(&p) < 0)
        st = fail(err, ERR_MEMORY, "report: out of memory for the names of classes");
    if (st == OK && p.classes == r->label_count) {
        const char **names = report_take(g->memory, p.classes, sizeof *names);
        for (int64_t i = 0; names && i < p.classes; i++)
            if (!(names[i] = report_text(g->memory, "%s", p.names.item[p.begin[i]]))) names = NULL;
        r->class_names = names;
        if (!names) st = fail(err, ERR_MEMORY, "report: out of memory for the names of classes");
    }
    prompts_free(&p);
    return st;
}

Status names_read(Gather *g, Error *err) {
    Names w = {.g = g};
    const bool unnamed = g->y && !g->out->class_names;
    bool ok = lay_out(&w);
    if (ok && unnamed) {
        w.class = report_take(g->memory, g->out->label_count, sizeof *w.class);
        w.folders = ok = w.class != NULL;
    }
    Status st = ok ? labelling_names(&g->found, take_name, &w, err)
                   : fail(err, ERR_MEMORY, "report: out of memory for the names of samples");
    free(w.slot);
    if (st == OK && unnamed) st = take_folders(&w, err);
    if (st == OK && g->y && !g->out->class_names) st = take_published(g, err);
    return st;
}
