/* image_inputs.c - the lists of images that a call works on. */
#include "image_inputs.h"

#include <stdlib.h>
#include <string.h>

/* The last part of a path without its ending. */
static char *stem_of(const char *path, bool cut_ending) {
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') end--;
    size_t first = end;
    while (first > 0 && path[first - 1] != '/') first--;
    char *stem = strndup(path + first, end - first), *dot = stem ? strrchr(stem, '.') : NULL;
    if (cut_ending && dot && dot > stem) *dot = '\0';
    return stem;
}

Status image_inputs_open(ImageInputs *out, const TurtleImages *wanted, const char *root,
                         Error *err) {
    *out = (ImageInputs){0};
    const int given = !!wanted->dataset + !!wanted->images + !!wanted->list;
    if (given != 1)
        return fail(err, ERR_USAGE,
                    "images: expected one of --dataset, --images and --list, got %d", given);
    Status st;
    if (wanted->dataset) {
        char *folder = format_text("%s/datasets", root);
        st = folder ? sources_dataset(&out->splits, wanted->dataset, folder, err)
                    : fail(err, ERR_MEMORY, "images: out of memory");
        free(folder);
    } else {
        st = wanted->images ? sources_folder(&out->splits, wanted->images, err)
                            : sources_list(&out->splits, wanted->list, err);
    }
    if (st != OK) return st;
    out->name = wanted->name ? strdup(wanted->name)
                : wanted->dataset
                    ? strdup(wanted->dataset)
                    : stem_of(wanted->images ? wanted->images : wanted->list, wanted->list != NULL);
    if (!out->name) st = fail(err, ERR_MEMORY, "images: out of memory");
    else if (!*out->name || strchr(out->name, '/') || strcmp(out->name, ".") == 0)
        st = fail(err, ERR_USAGE, "images: '%s' cannot be a file's name: choose one with --name",
                  out->name);
    if (st != OK) image_inputs_close(out);
    return st;
}

void image_inputs_close(ImageInputs *in) {
    if (!in) return;
    sources_close(&in->splits);
    free(in->name);
    *in = (ImageInputs){0};
}

char *representation_stem(const char *root, const char *phi, const char *name, const char *split) {
    return format_text("%s/representations/%s/%s_%s", root, phi, name, split);
}
