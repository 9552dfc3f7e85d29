/* sort_run.c - where a finished run says that its predictions and pictures lie. */
#include <stdlib.h>
#include <string.h>

#include "host/inputs/predictions_file.h"
#include "host/inputs/recorded_path.h"
#include "host/sort/sort.h"
#include "io/text/json_reader.h"

typedef struct {
    SortRun *out;
    JsonReader r;
    char *text; /* (room) of one value */
    int64_t room;
    char *directory; /* where the run was called, or NULL */
    bool failed;     /* memory ran out */
} Reading;

/* Returns a text in fresh memory; NULL for null and for other values, which are passed over. */
static char *take_text(Reading *d) {
    if (json_peek(&d->r) != '"') {
        json_skip(&d->r);
        return NULL;
    }
    if (!json_text_value(&d->r, d->text, d->room)) return NULL;
    char *copy = strdup(d->text);
    d->failed |= !copy;
    return copy;
}

/* Reads one matrix of `inputs`; the first one of a split tells where its pictures are. */
static void read_input(Reading *d) {
    char *split = NULL, *file = NULL, *images = NULL, *list = NULL, key[64];
    json_enter(&d->r, '{');
    while (json_next_key(&d->r, key, sizeof key)) {
        char **value = strcmp(key, "split") == 0        ? &split
                       : strcmp(key, "file") == 0       ? &file
                       : strcmp(key, "images") == 0     ? &images
                       : strcmp(key, "image_list") == 0 ? &list
                                                        : NULL;
        if (!value) {
            json_skip(&d->r);
            continue;
        }
        free(*value);
        *value = take_text(d);
    }
    const bool val = split && strcmp(split, "val") == 0;
    SortSplit *s = &d->out->split[val];
    if (split && file && !s->features && (val || strcmp(split, "train") == 0)) {
        s->features = file, s->images = images, s->list = list;
        file = images = list = NULL;
    }
    free(split), free(file), free(images), free(list);
}

static void read_object(Reading *d) {
    SortRun *o = d->out;
    char key[64];
    json_enter(&d->r, '{');
    while (json_next_key(&d->r, key, sizeof key))
        if (strcmp(key, "finished") == 0) {
            json_bool_value(&d->r, &o->finished);
        } else if (strcmp(key, "C") == 0) {
            json_integer_value(&d->r, &o->classes);
        } else if (strcmp(key, "dataset") == 0) {
            free(o->dataset);
            o->dataset = take_text(d);
        } else if (strcmp(key, "working_directory") == 0) {
            free(d->directory);
            d->directory = take_text(d);
        } else if (strcmp(key, "inputs") == 0) {
            json_enter(&d->r, '[');
            while (json_next(&d->r)) read_input(d);
        } else {
            json_skip(&d->r);
        }
}

/* Finds what the splits name, for the run may have been called elsewhere. */
static void place_all(Reading *d) {
    for (int i = 0; i < 2; i++) {
        SortSplit *s = &d->out->split[i];
        char **paths[] = {&s->features, &s->images, &s->list};
        for (size_t j = 0; j < sizeof paths / sizeof *paths; j++) {
            if (!*paths[j]) continue;
            char *found = recorded_path(d->directory, *paths[j]);
            d->failed |= !found;
            free(*paths[j]);
            *paths[j] = found;
        }
    }
}

static void split_free(SortSplit *s) {
    free(s->predictions), free(s->features), free(s->images), free(s->list);
    *s = (SortSplit){0};
}

/* Keeps the splits whose predictions are there. */
static Status find_predictions(SortRun *o, const char *folder, Error *err) {
    static const char *const names[] = {"train", "val"};
    bool pictures = false;
    for (int i = 0; i < 2; i++) {
        SortSplit s = o->split[i];
        o->split[i] = (SortSplit){0};
        s.name = names[i];
        s.predictions = format_text("%s/predictions_%s.csv", folder, names[i]);
        if (!s.predictions) {
            split_free(&s);
            return fail(err, ERR_MEMORY, "sort: out of memory");
        }
        if (!s.features || !file_exists(s.predictions)) {
            split_free(&s);
            continue;
        }
        pictures |= s.list != NULL;
        o->split[o->splits++] = s;
    }
    if (!o->splits)
        return fail(err, ERR_ARG,
                    "sort: %s: there are no predictions_train.csv and predictions_val.csv, which "
                    "`turtle train` writes",
                    folder);
    if (!pictures)
        return fail(err, ERR_ARG,
                    "sort: %s: the run knows features alone and no pictures: train on what "
                    "`turtle features` wrote, which leaves a list of images beside the features",
                    folder);
    return OK;
}

Status sort_run_read(SortRun *out, const char *folder, Error *err) {
    FileMap map;
    *out = (SortRun){.finished = true}; /* early runs do not say so */
    char *path = format_text("%s/run.json", folder);
    if (!path) return fail(err, ERR_MEMORY, "sort: out of memory");
    Status st = OK;
    if (!file_exists(path))
        st = fail(err, ERR_ARG,
                  "sort: %s: there is no run.json: expected the directory of a finished run, as "
                  "`turtle train` prints it",
                  folder);
    else st = file_map(&map, path, err);
    if (st == OK) {
        Reading d = {.out = out,
                     .r = json_reader(map.data, map.bytes),
                     .text = malloc((size_t)map.bytes + 1),
                     .room = map.bytes + 1};
        if (d.text) read_object(&d);
        place_all(&d);
        if (!d.text || d.failed) st = fail(err, ERR_MEMORY, "sort: %s: out of memory", path);
        else if (!json_finished(&d.r) || out->classes < 1 ||
                 out->classes > PREDICTIONS_MOST_CLUSTER)
            st = fail(err, ERR_FORMAT, "sort: %s: damaged, or not a training's", path);
        else if (!out->finished)
            st = fail(err, ERR_ARG,
                      "sort: %s: the run is not finished: continue it with `turtle train --resume`",
                      folder);
        free(d.text), free(d.directory);
        file_unmap(&map);
    }
    if (st == OK) st = find_predictions(out, folder, err);
    free(path);
    if (st != OK) sort_run_free(out);
    return st;
}

void sort_run_free(SortRun *run) {
    if (!run) return;
    free(run->dataset);
    for (int i = 0; i < 2; i++) split_free(&run->split[i]);
    *run = (SortRun){0};
}
