/* labels.c - turtle_labels: the classes of images as .npy, only ever used to score. */
#include <stdlib.h>
#include <string.h>

#include "host/images/fates.h"
#include "host/tell/clock.h"
#include "host/tell/common.h"
#include "host/tell/locale.h"
#include "host/tell/notify.h"
#include "io/arrays/npy.h"
#include "io/text/text_lines.h"

void turtle_labels_defaults(TurtleLabelsOptions *o) {
    *o = (TurtleLabelsOptions){.common = common_defaults()};
}

/* Finds the labels of the images that a representation's list names, which are some of `list` in
 * its order. */
static Status labels_of_list(int64_t *labels, int64_t *count, const SourceList *list,
                             const char *path, Error *err) {
    TextLines names;
    TextLine line;
    int64_t i = 0;
    Status st = text_lines_open(&names, "labels", path, err);
    for (*count = 0; st == OK && text_lines_next(&names, &line);) {
        if (line.blank) continue;
        while (i < list->count && strcmp(list->source[i].name, line.text) != 0) i++;
        if (i == list->count)
            st = text_line_bad(&names, line.number, err, "'%.200s' is not among these images",
                               line.text);
        else labels[(*count)++] = list->source[i++].label;
    }
    text_lines_close(&names);
    return st;
}

static Status gather_labels(int64_t *labels, int64_t *count, const TurtleLabelsOptions *o,
                            const ImageInputs *in, const SourceList *list, const char *split,
                            Error *err) {
    *count = list->count;
    for (int64_t i = 0; i < list->count; i++) labels[i] = list->source[i].label;
    if (!o->phi) return OK;
    char *stem = representation_stem(o->common.root_dir, o->phi, in->name, split),
         *path = stem ? format_text("%s.txt", stem) : NULL;
    const Status st = path ? labels_of_list(labels, count, list, path, err)
                           : fail(err, ERR_MEMORY, "labels: out of memory");
    free(stem);
    free(path);
    return st;
}

static Status write_split(const TurtleLabelsOptions *o, const ImageInputs *in,
                          const SourceList *list, const char *split, TurtleFilesResult *out,
                          Error *err) {
    int64_t count = 0, unknown = 0;
    int64_t *labels = malloc((size_t)(list->count + 1) * sizeof *labels);
    char *path = format_text("%s/labels/%s_%s.npy", o->common.root_dir, in->name, split);
    Status st = labels && path ? gather_labels(labels, &count, o, in, list, split, err)
                               : fail(err, ERR_MEMORY, "labels: out of memory");
    for (int64_t i = 0; st == OK && i < count; i++) unknown += labels[i] < 0;
    if (st == OK && unknown)
        notice(
            &o->common.hooks,
            "labels: %lld of %lld images of the %s split have no known label: they get -1, which "
            "scores leave out",
            (long long)unknown, (long long)count, split);
    if (st == OK) st = npy_write(path, DTYPE_I64, 1, &count, labels, err);
    if (st == OK) {
        char *longer =
            format_text("%s%s  (%lld)\n", out->files ? out->files : "", path, (long long)count);
        free(out->files);
        out->files = longer;
        out->images += count;
        if (!longer) st = fail(err, ERR_MEMORY, "labels: out of memory");
    }
    free(labels);
    free(path);
    return st;
}

/* Writes <root>/labels/<name>_files.tsv. */
static Status write_fates(const TurtleLabelsOptions *o, const ImageInputs *in, Error *err) {
    const char *root = o->common.root_dir;
    const SourceList *lists[] = {&in->splits.train, &in->splits.val};
    char *stem = format_text("%s/labels/%s", root, in->name), *used[2] = {NULL};
    FateSplit splits[2];
    int count = 0;
    Status st = stem ? OK : fail(err, ERR_MEMORY, "labels: out of memory");
    for (int i = 0; st == OK && i < 2; i++) {
        const char *split = i ? "val" : "train";
        if (lists[i]->count == 0) continue;
        if (o->phi) used[i] = representation_stem(root, o->phi, in->name, split);
        if (o->phi && !used[i]) st = fail(err, ERR_MEMORY, "labels: out of memory");
        splits[count++] = (FateSplit){lists[i], split, 0, lists[i]->count, used[i]};
    }
    if (st == OK) st = fates_write(stem, "", in, splits, count, true, err);
    free(stem);
    free(used[0]);
    free(used[1]);
    return st;
}

/* Returns whether a representation's list names a picture that another program decoded. */
static bool names_unread(const char *root, const char *phi, const char *name, const char *split) {
    TextLines names = {0};
    TextLine line;
    bool found = false;
    char *stem = representation_stem(root, phi, name, split),
         *path = stem ? format_text("%s.txt", stem) : NULL;
    if (path && file_exists(path) && text_lines_open(&names, "labels", path, NULL) == OK)
        while (!found && text_lines_next(&names, &line)) {
            const PictureKind *kind = picture_kind_of_name(line.text);
            found = kind && !kind->read;
        }
    text_lines_close(&names);
    free(stem);
    free(path);
    return found;
}

/* Lists the images as `features` did for the representation. */
static Status open_inputs(ImageInputs *in, const TurtleLabelsOptions *o, Error *err) {
    const char *root = o->common.root_dir;
    ListingOptions listing = {.skip_bad = o->phi != NULL};
    const Status st = image_inputs_open(in, &o->images, root, &listing, err);
    if (!o->phi || !o->images.images) return st;
    if (st == OK && !names_unread(root, o->phi, in->name, "train") &&
        !names_unread(root, o->phi, in->name, "val"))
        return OK;
    listing.magick = listing.ffmpeg = true;
    image_inputs_close(in);
    return image_inputs_open(in, &o->images, root, &listing, err);
}

/* Returns whether any label is known. Labels of one split suffice: those of the other one are then
 * written as unknown. */
static bool any_known(const SourceSplits *splits) {
    bool known = false;
    for (int64_t i = 0; i < splits->train.count; i++) known |= splits->train.source[i].label >= 0;
    for (int64_t i = 0; i < splits->val.count; i++) known |= splits->val.source[i].label >= 0;
    return known;
}

Status turtle_labels(const TurtleLabelsOptions *options, TurtleFilesResult *out, Error *err) {
    PLAIN_LOCALE;
    ImageInputs in;
    *out = (TurtleFilesResult){0};
    const double started = now_seconds();
    Status st = open_inputs(&in, options, err);
    if (st == OK) fates_tell(&in, &options->common.hooks);
    if (st == OK && !any_known(&in.splits))
        st = fail(err, ERR_FORMAT,
                  "labels: %s: no label is known: class folders or a list with labels say them",
                  in.name);
    if (st == OK && in.splits.train.count)
        st = write_split(options, &in, &in.splits.train, "train", out, err);
    if (st == OK && in.splits.val.count)
        st = write_split(options, &in, &in.splits.val, "val", out, err);
    if (st == OK) st = write_fates(options, &in, err);
    if (st == OK) {
        Json j = {0};
        out->left_out = in.splits.left.files;
        out->seconds = now_seconds() - started;
        json_open(&j, NULL);
        json_common(&j, "labels", &options->common, "cpu", "fp32");
        json_real(&j, "seconds", out->seconds);
        json_integer(&j, "images", out->images);
        fates_json(&j, &in);
        json_files(&j, out->files);
        json_close(&j);
        out->json = json_take(&j);
        if (!out->json) st = fail(err, ERR_MEMORY, "labels: out of memory");
    }
    image_inputs_close(&in);
    if (st != OK) turtle_files_result_free(out);
    return st;
}
