/* lists_parts.c - data sets whose splits are folders of classes, one or two folders a split. */
#include <stdlib.h>
#include <string.h>

#include "io/datasets/samples.h"

/* --- folders of classes ------------------------------------------------------------------------- */

static Status take_class(Samples *s, Walk *walk, const char *inside, const char *name,
                         ClassTaker *take, void *context, Error *err) {
    Names images = {0};
    char *path = walk_join(inside, name);
    Status st = path ? walk_tree(walk, "", path, &images, err)
                     : fail(err, ERR_MEMORY, "datasets: out of memory");
    if (st == OK && images.count == 0)
        st = left_out_add(&s->out->left, path, true, -1, LEFT_EMPTY, NULL, NULL, err);
    else if (st == OK) st = take(s, name, &images, context, err);
    names_free(&images);
    free(path);
    return st;
}

Status samples_classes(Samples *s, const char *inside, ClassTaker *take, void *context,
                       Error *err) {
    const ListingOptions options = {.exact = true, .skip_bad = s->options && s->options->skip_bad};
    Walk walk = {.root = s->base, .options = &options, .left = &s->out->left, .split = -1};
    Names folders = {0}, beside = {0};
    walk_enter(&walk, inside);
    Status st = walk_folder(&walk, inside, &folders, &beside, err);
    for (int64_t i = 0; st == OK && i < folders.count; i++)
        st = take_class(s, &walk, inside, folders.name[i], take, context, err);
    walk_exit(&walk);
    names_free(&folders);
    names_free(&beside); /* ImageFolder sees no images beside class folders */
    walk_close(&walk);
    return st;
}

/* --- parts --------------------------------------------------------------------------------------- */

static Status take_all(Samples *s, const char *name, const Names *images, void *context,
                       Error *err) {
    const SplitPart part = *(const SplitPart *)context;
    Status st = OK;
    for (int64_t i = 0; st == OK && i < images->count; i++)
        st = samples_file(s, part, name, images->name[i], err);
    return st;
}

Status read_parts(Samples *s, Error *err) {
    SplitPart train = TO_TRAIN, val = TO_VAL;
    Status st = samples_classes(s, s->set->parts[0], take_all, &train, err);
    if (st == OK && s->set->parts[1])
        st = samples_classes(s, s->set->parts[1], take_all, &train, err);
    return st == OK ? samples_classes(s, s->set->parts[2], take_all, &val, err) : st;
}
