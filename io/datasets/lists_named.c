/* lists_named.c - a data set by its name: which of its forms is on the disk, and the reader of that form. */
#include <stdlib.h>
#include <string.h>

#include "io/datasets/samples.h"

/* Returns the path <folder>/<place>/<part> if it is there, in fresh memory. */
static char *there(const char *folder, const char *place, const char *part) {
    char *path = format_text("%s/%s%s%s", folder, place, *part ? "/" : "", part);
    if (path && file_exists(path)) return path;
    free(path);
    return NULL;
}

/* Returns the folder whose train/ and val/ (or test/) are the splits of a set, as scripts leave it: below the first part
 * of its place, Kitti/, or below its name. NULL: there is none. */
static char *ready_made(const DatasetFacts *set, const char *folder) {
    char top[64];
    const char *const names[] = {top, set->name};
    snprintf(top, sizeof top, "%.*s", (int)strcspn(set->place[0], "/"), set->place[0]);
    if (set->read == read_parts) return NULL; /* its own reader has those folders */
    for (int i = 0; i < 2; i++) {
        char *train = there(folder, names[i], "train");
        char *path = train ? format_text("%s/%s", folder, names[i]) : NULL;
        free(train);
        if (path) return path;
    }
    return NULL;
}

static Status image_folder(SourceSplits *out, const char *path, const ListingOptions *options,
                           Error *err) {
    const ListingOptions exact = {.exact = true, .skip_bad = options && options->skip_bad};
    return sources_folder(out, path, &exact, err);
}

/* Returns whether all parts of a set of folders are there. */
static bool parts_are_there(const DatasetFacts *set, const char *folder) {
    bool all = true;
    for (int i = 0; i < 3; i++) {
        char *path = set->parts[i] ? there(folder, set->place[0], set->parts[i]) : NULL;
        all &= path || !set->parts[i];
        free(path);
    }
    return all;
}

/* Reads the set from its own place, else as an image folder <folder>/<name>. */
static Status known_set(SourceSplits *out, const DatasetFacts *set, const char *folder,
                        const ListingOptions *options, Error *err) {
    Samples s;
    const bool parts = set->read == read_parts;
    char *ready = ready_made(set, folder), *named = there(folder, set->name, "");
    if (!ready && parts && named && !parts_are_there(set, folder)) ready = strdup(named);
    free(named);
    if (ready) {
        const Status st = image_folder(out, ready, options, err);
        free(ready);
        return st;
    }
    Status st = samples_open(&s, out, set, folder, options, set->place, err);
    if (st == OK) st = set->read(&s, err);
    return samples_close(&s, st, err);
}

Status sources_dataset(SourceSplits *out, const char *name, const char *folder,
                       const ListingOptions *options, Error *err) {
    bool records = false;
    *out = (SourceSplits){0};
    Status st = records_dataset(out, name, folder, &records, err);
    if (st != OK) sources_close(out);
    if (st != OK || records) return st;
    const DatasetFacts *set = dataset_find(name);
    if (set) return known_set(out, set, folder, options, err);
    return fail(err, ERR_IO,
                "datasets: %s: no data set of that name is known: `turtle prepare --list` has the "
                "names; --images and --list take any other",
                name);
}
