/* image_inputs.c - the lists of images that a call works on. */
#include "host/images/image_inputs.h"

#include <stdlib.h>
#include <string.h>

/* Returns the last part of a path without its ending; for ".", ".." and "/" that of the folder they
 * are. */
static char *stem_of(const char *given, bool cut_ending) {
    char *whole = realpath(given, NULL);
    const size_t n = strlen(given);
    const bool dots = strspn(given, "./") == n || (n > 2 && strcmp(given + n - 3, "/..") == 0) ||
                      (n > 1 && strcmp(given + n - 2, "/.") == 0);
    const char *path = dots && whole ? whole : given;
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') end--;
    size_t first = end;
    while (first > 0 && path[first - 1] != '/') first--;
    char *stem = strndup(path + first, end - first), *dot = stem ? strrchr(stem, '.') : NULL;
    if (cut_ending && dot && dot > stem) *dot = '\0';
    free(whole);
    return stem;
}

static Status check_name(const char *name, Error *err) {
    bool plain = *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
                 strcmp(name, "-") != 0;
    for (const char *c = name; *c; c++) plain = plain && (unsigned char)*c >= ' ' && *c != 127;
    return plain ? OK
                 : fail(err, ERR_USAGE,
                        "images: '%s' cannot be a file's name: choose one with --name", name);
}

static Status list_sources(SourceSplits *out, const TurtleImages *wanted, const char *root,
                           const ListingOptions *given, Error *err) {
    ListingOptions known = given ? *given : (ListingOptions){0};
    const ListingOptions *options = &known;
    known.public_test = wanted->public_test;
    if (wanted->public_test && (!wanted->dataset || strcmp(wanted->dataset, "fer2013") != 0))
        return fail(err, ERR_USAGE, "images: --public_test belongs to --dataset fer2013 alone");
    if (wanted->images) return sources_folder(out, wanted->images, options, err);
    if (wanted->list) return sources_list(out, wanted->list, err);
    char *folder = format_text("%s/datasets", root);
    if (!folder) return fail(err, ERR_MEMORY, "images: out of memory");
    const Status st = sources_dataset(out, wanted->dataset, folder, options, err);
    free(folder);
    return st;
}

Status image_inputs_open(ImageInputs *out, const TurtleImages *wanted, const char *root,
                         const ListingOptions *options, Error *err) {
    *out = (ImageInputs){0};
    const int given = !!wanted->dataset + !!wanted->images + !!wanted->list;
    if (given != 1)
        return fail(err, ERR_USAGE,
                    "images: expected one of --dataset, --images and --list, got %d", given);
    out->from = wanted->dataset ? wanted->dataset : wanted->images ? wanted->images : wanted->list;
    out->name = wanted->name      ? strdup(wanted->name)
                : wanted->dataset ? strdup(wanted->dataset)
                                  : stem_of(out->from, wanted->list != NULL);
    Status st = out->name ? OK : fail(err, ERR_MEMORY, "images: out of memory");
    if (st == OK && *out->from) st = check_name(out->name, err);
    if (st == OK) st = list_sources(&out->splits, wanted, root, options, err);
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
    return format_text("%s/representations/%s/%s%s%s", root, phi, name, split ? "_" : "",
                       split ? split : "");
}
