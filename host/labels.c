/* labels.c - turtle_labels: the classes of images as .npy, only ever used to score. */
#include <stdlib.h>
#include <string.h>

#include "../io/npy.h"
#include "image_inputs.h"
#include "report.h"

void turtle_labels_defaults(TurtleLabelsOptions *o) {
    *o = (TurtleLabelsOptions){.common = common_defaults()};
}

/* The labels of the images that a representation's list names, which are some of `list` in its
 * order. Returns how many, -1 if the list names another image. */
static int64_t labels_of_list(int64_t *labels, const SourceList *list, const FileMap *names) {
    const char *at = (const char *)names->data, *end = at + names->bytes;
    int64_t count = 0, i = 0;
    for (const char *newline; at < end; at = newline + 1) {
        newline = memchr(at, '\n', (size_t)(end - at));
        if (!newline) newline = end;
        const size_t n = (size_t)(newline - at);
        while (i < list->count &&
               (strncmp(list->source[i].name, at, n) != 0 || list->source[i].name[n]))
            i++;
        if (i == list->count) return -1;
        labels[count++] = list->source[i++].label;
    }
    return count;
}

static Status gather_labels(int64_t *labels, int64_t *count, const TurtleLabelsOptions *o,
                            const ImageInputs *in, const SourceList *list, const char *split,
                            Error *err) {
    *count = list->count;
    for (int64_t i = 0; i < list->count; i++) labels[i] = list->source[i].label;
    if (!o->phi) return OK;
    FileMap names;
    char *stem = representation_stem(o->common.root_dir, o->phi, in->name, split),
         *path = stem ? format_text("%s.txt", stem) : NULL;
    Status st = path ? file_map(&names, path, err) : fail(err, ERR_MEMORY, "labels: out of memory");
    if (st == OK) {
        *count = labels_of_list(labels, list, &names);
        file_unmap(&names);
        if (*count < 0)
            st = fail(err, ERR_FORMAT, "labels: %s: an image that is not in this list", path);
    }
    free(stem);
    free(path);
    return st;
}

static Status write_split(const TurtleLabelsOptions *o, const ImageInputs *in,
                          const SourceList *list, const char *split, TurtleFilesResult *out,
                          Error *err) {
    int64_t count = 0;
    int64_t *labels = malloc((size_t)(list->count + 1) * sizeof *labels);
    char *path = format_text("%s/labels/%s_%s.npy", o->common.root_dir, in->name, split);
    Status st = labels && path ? gather_labels(labels, &count, o, in, list, split, err)
                               : fail(err, ERR_MEMORY, "labels: out of memory");
    for (int64_t i = 0; st == OK && i < count; i++)
        if (labels[i] < 0)
            st = fail(err, ERR_FORMAT,
                      "labels: %s: the label of image %lld of the %s split is not "
                      "known: class folders or a list with labels say them",
                      in->name, (long long)i, split);
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

Status turtle_labels(const TurtleLabelsOptions *options, TurtleFilesResult *out, Error *err) {
    ImageInputs in;
    *out = (TurtleFilesResult){0};
    const double started = now_seconds();
    Status st = image_inputs_open(&in, &options->images, options->common.root_dir, err);
    if (st == OK) st = write_split(options, &in, &in.splits.train, "train", out, err);
    if (st == OK && in.splits.val.count)
        st = write_split(options, &in, &in.splits.val, "val", out, err);
    if (st == OK) {
        Json j = {0};
        out->seconds = now_seconds() - started;
        json_open(&j, NULL);
        json_common(&j, "labels", &options->common, "cpu", "fp32");
        json_real(&j, "seconds", out->seconds);
        json_integer(&j, "images", out->images);
        json_files(&j, out->files);
        json_close(&j);
        out->json = json_take(&j);
        if (!out->json) st = fail(err, ERR_MEMORY, "labels: out of memory");
    }
    image_inputs_close(&in);
    if (st != OK) turtle_files_result_free(out);
    return st;
}
