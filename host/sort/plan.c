/* plan.c - folder and file name of every sample, decided before a file is placed. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/inputs/predictions_file.h"
#include "host/sort/sort.h"
#include "host/sort/taken_names.h"
#include "host/tell/notify.h"
#include "io/files/grow.h"
#include "io/text/printable.h"

static Status out_of_memory(Error *err) {
    return fail(err, ERR_MEMORY, "sort: out of memory for the plan");
}

/* --- samples ------------------------------------------------------------------------------------------ */

typedef struct {
    SortPlan *plan;
    const char *path;
    bool numbered; /* all names so far are just the numbers of the rows */
} Reading;

static Status take_row(void *context, const PredictionRow *row, Error *err) {
    Reading *d = context;
    SortPlan *p = d->plan;
    char number[24];
    if (row->cluster >= p->run.classes)
        return fail(err, ERR_FORMAT, "sort: %s: row %lld: cluster %lld: the run has %lld", d->path,
                    (long long)row->row + 1, (long long)row->cluster, (long long)p->run.classes);
    SortItem *more = grown(p->item, p->n, &p->capacity, sizeof *more);
    if (!more) return out_of_memory(err);
    p->item = more;
    snprintf(number, sizeof number, "%lld", (long long)row->row);
    d->numbered = d->numbered && strcmp(number, row->path) == 0;
    p->item[p->n] = (SortItem){.source = strdup(row->path),
                               .folder = -1,
                               .cluster = (int32_t)row->cluster,
                               .confidence = (float)row->confidence,
                               .margin = (float)row->margin};
    return p->item[p->n++].source ? OK : out_of_memory(err);
}

static Status read_splits(SortPlan *p, Error *err) {
    Status st = OK;
    for (int s = 0; st == OK && s < p->run.splits; s++) {
        SortSplit *split = &p->run.split[s];
        Reading d = {p, split->predictions, true};
        split->first = p->n;
        st = predictions_file_read("sort", split->predictions, take_row, &d, err);
        split->n = p->n - split->first;
        if (st == OK && d.numbered && split->n && !split->list) {
            notice(&p->options->common.hooks,
                   "sort: the %s split has features alone, so that its %lld samples are not sorted",
                   split->name, (long long)split->n);
            while (p->n > split->first) free(p->item[--p->n].source);
            split->n = 0;
        }
    }
    if (st == OK && !p->n)
        st =
            fail(err, ERR_FORMAT, "sort: %s: there are no samples with pictures in its predictions",
                 p->options->run);
    return st;
}

const SortSplit *sort_split_of(const SortPlan *p, int64_t i) {
    const SortSplit *last = &p->run.split[p->run.splits - 1];
    return p->run.splits > 1 && i < last->first ? &p->run.split[0] : last;
}

bool sort_is_record(const SortSplit *split, const char *source) {
    const char *mark = split->images ? NULL : strrchr(source, '#');
    return mark && mark[1] && strspn(mark + 1, "0123456789") == strlen(mark + 1);
}

char *sort_source_path(const SortPlan *p, int64_t i) {
    const SortSplit *split = sort_split_of(p, i);
    const char *source = p->item[i].source;
    return source[0] == '/' || !split->images ? strdup(source)
                                              : format_text("%s/%s", split->images, source);
}

/* --- folders ------------------------------------------------------------------------------------------ */

static Status name_folder(SortPlan *p, TakenNames *taken, SortFolder *f, bool again, Error *err) {
    char *safe = safe_name(f->label, NAME_MOST);
    const bool same = safe && strcmp(safe, f->label) == 0;
    if (safe && same != !again) {
        free(safe);
        return OK;
    }
    if (safe && taken_take(taken, TOP_FOLDER, safe)) {
        f->name = safe;
    } else {
        f->name = safe ? taken_number(taken, TOP_FOLDER, safe, false) : NULL;
        free(safe);
    }
    if (!f->name) return out_of_memory(err);
    if (strcmp(f->name, f->label) == 0) return OK;
    char *label = printable_copy(f->label, false), *name = printable_copy(f->name, false);
    notice(&p->options->common.hooks, "sort: the folder of '%s' is called '%s'",
           label ? label : "?", name ? name : "?");
    free(label), free(name);
    return OK;
}

/* Gives every group a folder. Names that are safe as they are come first, so that they stay so. */
static Status plan_folders(SortPlan *p, Error *err) {
    static const char *const ours[] = {"manifest.csv", "labels.csv", "label_studio.json",
                                       "label_studio.xml", "doubtful"};
    enum { OURS = sizeof ours / sizeof *ours };
    TakenNames taken;
    Status st = taken_open(&taken, p->names.groups + OURS, err);
    if (st != OK) return st;
    p->folder = calloc((size_t)p->names.groups + 1, sizeof *p->folder);
    if (!p->folder) st = out_of_memory(err);
    for (int i = 0; st == OK && i < OURS; i++) taken_take(&taken, TOP_FOLDER, ours[i]);
    for (int64_t g = 0; st == OK && g < p->names.groups; g++, p->folders++)
        p->folder[g].label = p->names.name[p->names.first[g]];
    for (int again = 0; again < 2; again++)
        for (int64_t g = 0; st == OK && g < p->folders; g++)
            st = name_folder(p, &taken, &p->folder[g], again, err);
    taken_close(&taken);
    p->doubtful_folder = -1;
    if (st == OK && p->options->min_confidence > 0.0) {
        p->folder[p->folders].name = strdup("doubtful");
        if (!p->folder[p->folders].name) return out_of_memory(err);
        p->doubtful_folder = p->folders++;
    }
    return st;
}

/* --- files -------------------------------------------------------------------------------------------- */

static const char *last_part(const char *source) {
    const char *slash = strrchr(source, '/');
    return slash ? slash + 1 : source;
}

const char *sort_file_name(const SortItem *item) {
    return item->file ? item->file : last_part(item->source);
}

/* Names the file of a record "<file>_<number>.png", and of sources whose last part is no name. */
static Status name_file(const SortPlan *p, int64_t i, Error *err) {
    SortItem *item = &p->item[i];
    const char *part = last_part(item->source);
    const size_t n = strlen(part);
    if (sort_is_record(sort_split_of(p, i), item->source)) {
        const char *mark = strrchr(part, '#');
        const int64_t room = NAME_MOST - (int64_t)(n - (size_t)(mark - part)) - 4;
        const int64_t whole = whole_characters(part, room < 0 ? 0 : room), stem = mark - part;
        item->file =
            format_text("%.*s_%.200s.png", (int)(stem < whole ? stem : whole), part, mark + 1);
    } else if (!n || strcmp(part, ".") == 0 || strcmp(part, "..") == 0) {
        item->file = strdup("unnamed");
    } else if (n > NAME_MOST) {
        item->file = strndup(part, (size_t)whole_characters(part, NAME_MOST));
    } else {
        return OK;
    }
    return item->file ? OK : out_of_memory(err);
}

/* Decides the folder of every sample; the first of a name keeps it, clashes are numbered after that. */
static Status plan_files(SortPlan *p, Error *err) {
    TakenNames taken;
    bool *clash = calloc((size_t)p->n, sizeof *clash);
    Status st = clash ? taken_open(&taken, p->n, err) : out_of_memory(err);
    if (st != OK) {
        free(clash);
        return st;
    }
    for (int64_t i = 0; st == OK && i < p->n; i++) {
        SortItem *item = &p->item[i];
        item->folder = p->names.group[item->cluster];
        if (item->folder < 0) {
            p->left_out++;
            continue;
        }
        if (p->doubtful_folder >= 0 && !((double)item->confidence >= p->options->min_confidence)) {
            item->folder = p->doubtful_folder;
            p->doubtful++;
        }
        p->folder[item->folder].wanted++;
        st = name_file(p, i, err);
        if (st == OK) clash[i] = !taken_take(&taken, item->folder, sort_file_name(item));
    }
    for (int64_t i = 0; st == OK && i < p->n; i++) {
        SortItem *item = &p->item[i];
        if (!clash[i]) continue;
        char *file = taken_number(&taken, item->folder, sort_file_name(item), true);
        if (!file) st = out_of_memory(err);
        free(item->file);
        item->file = file;
        p->clashes++;
    }
    taken_close(&taken);
    free(clash);
    return st;
}

/* --- records ------------------------------------------------------------------------------------------ */

/* Opens the list of the data set where pictures are records of its files, below the root of the run. */
static Status open_records(SortPlan *p, Error *err) {
    int64_t i = 0;
    while (i < p->n && !sort_is_record(sort_split_of(p, i), p->item[i].source)) i++;
    if (i == p->n) return OK;
    const char *features = sort_split_of(p, i)->features, *place = NULL;
    for (const char *at = features; (at = strstr(at, "representations/")); at++) place = at;
    if (!place || !p->run.dataset)
        return fail(err, ERR_ARG,
                    "sort: %s: '%s' lies in a file of records, and the run does not say of which "
                    "data set",
                    p->options->run, p->item[i].source);
    char *folder = format_text("%.*sdatasets", (int)(place - features), features);
    if (!folder) return out_of_memory(err);
    const ListingOptions listing = {.skip_bad = true, .magick = true, .ffmpeg = true};
    const Status st = sources_dataset(&p->records, p->run.dataset, folder, &listing, err);
    p->has_records = st == OK;
    free(folder);
    return st;
}

Status sort_plan(SortPlan *p, Error *err) {
    Status st = read_splits(p, err);
    if (st == OK) st = plan_folders(p, err);
    if (st == OK) st = plan_files(p, err);
    if (st == OK) st = open_records(p, err);
    if (st == OK && p->clashes)
        notice(&p->options->common.hooks,
               "sort: %lld pictures have the name of another one in their folder, and a number "
               "behind it; manifest.csv lists them",
               (long long)p->clashes);
    return st;
}

void sort_plan_free(SortPlan *p) {
    if (!p) return;
    for (int64_t i = 0; i < p->n; i++) free(p->item[i].source), free(p->item[i].file);
    for (int64_t f = 0; f < p->folders; f++) free(p->folder[f].name);
    free(p->item);
    free(p->folder);
    if (p->has_records) sources_close(&p->records);
    cluster_names_free(&p->names);
    sort_run_free(&p->run);
    *p = (SortPlan){0};
}
