/* lists_arrays.c - data sets whose images are arrays of bytes: stl10, pcam. */
#include <stdlib.h>
#include <string.h>

#include "io/arrays/hdf5.h"
#include "io/datasets/samples.h"
#include "io/text/text_lines.h"

static Status open_inside(Samples *s, SplitPart part, const char *name, int *blob, Error *err) {
    char *path = samples_path(s, name);
    const Status st = path ? blob_open(samples_list(s, part), path, blob, err)
                           : fail(err, ERR_MEMORY, "datasets: out of memory");
    free(path);
    return st;
}

/* --- stl10: planes of 96 x 96, column by column; labels count from 1 --------------------------------- */

static Status stl_split(Samples *s, SplitPart part, const char *images, const char *labels,
                        Error *err) {
    enum { SIDE = 96, RECORD = 3 * SIDE * SIDE };
    int x = -1, y = -1;
    Status st = open_inside(s, part, images, &x, err);
    if (st == OK) st = open_inside(s, part, labels, &y, err);
    if (st != OK) return st;
    Blob *b = &samples_list(s, part)->blob[x];
    const Blob *l = &samples_list(s, part)->blob[y];
    if (b->bytes % RECORD || b->bytes / RECORD != l->bytes)
        return fail(err, ERR_FORMAT,
                    "datasets: stl10: %s/%s: %lld bytes and %lld labels: expected %d bytes a label",
                    s->base, images, (long long)b->bytes, (long long)l->bytes, RECORD);
    b->layout = PIXELS_COLUMNS;
    b->width = b->height = SIDE;
    for (int64_t i = 0; st == OK && i < l->bytes; i++) {
        char key[NUMBER_KEY];
        if (l->data[i] < 1 || l->data[i] > s->set->classes)
            return fail(err, ERR_FORMAT, "datasets: stl10: %s/%s: label %d: expected 1 to %lld",
                        s->base, labels, l->data[i], (long long)s->set->classes);
        st = samples_record(s, part, number_key(key, l->data[i]), x, i, i * RECORD, err);
    }
    return st;
}

/* Takes the names of the classes, where they are: one a line, in the order of the labels. */
static Status stl_names(Samples *s, Error *err) {
    TextLines t;
    TextLine line;
    char *path = samples_path(s, "class_names.txt");
    Status st = path ? OK : fail(err, ERR_MEMORY, "datasets: out of memory");
    if (st == OK && file_exists(path)) {
        st = text_lines_open(&t, "stl10", path, err);
        for (int64_t i = 1; st == OK && text_lines_next(&t, &line);) {
            char key[NUMBER_KEY], *name = line.text;
            name[trim_blanks(&name, line.bytes)] = '\0';
            if (!line.blank) st = samples_name(s, number_key(key, i++), name, err);
        }
        text_lines_close(&t);
    }
    free(path);
    return st;
}

Status read_stl10(Samples *s, Error *err) {
    Status st = stl_split(s, TO_TRAIN, "train_X.bin", "train_y.bin", err);
    if (st == OK) st = stl_split(s, TO_VAL, "test_X.bin", "test_y.bin", err);
    return st == OK ? stl_names(s, err) : st;
}

/* --- pcam: HDF5, images read in place ------------------------------------------------------------------- */

static Status pcam_arrays(Samples *s, const char *part_name, Blob *images, const Blob *labels,
                          Hdf5Array *x, Hdf5Array *y, Error *err) {
    Status st = hdf5_find(x, &images->map, images->name, "x", err);
    if (st == OK) st = hdf5_find(y, &labels->map, labels->name, "y", err);
    if (st != OK) return st;
    if (x->axes != 4 || x->dim[3] != 3 || x->dim[1] < 1 || x->dim[2] < 1 || x->dim[1] > 4096 ||
        x->dim[2] > 4096)
        return fail(err, ERR_FORMAT, "datasets: pcam: %s/%s: 'x' is no array of RGB images",
                    s->base, images->name);
    if (y->dim[0] != x->dim[0] || y->row_bytes != 1)
        return fail(err, ERR_FORMAT,
                    "datasets: pcam: %s: %lld images and %lld labels: are both files of one part?",
                    part_name, (long long)x->dim[0], (long long)y->dim[0]);
    images->layout = PIXELS_RGB;
    images->height = (int)x->dim[1];
    images->width = (int)x->dim[2];
    return OK;
}

static Status pcam_part(Samples *s, SplitPart part, const char *name, Error *err) {
    char file[80];
    int at_x = -1, at_y = -1;
    Hdf5Array x = {0}, y = {0};
    snprintf(file, sizeof file, "camelyonpatch_level_2_split_%s_x.h5", name);
    Status st = open_inside(s, part, file, &at_x, err);
    snprintf(file, sizeof file, "camelyonpatch_level_2_split_%s_y.h5", name);
    if (st == OK) st = open_inside(s, part, file, &at_y, err);
    if (st != OK) return st;
    SourceList *list = samples_list(s, part);
    st = pcam_arrays(s, name, &list->blob[at_x], &list->blob[at_y], &x, &y, err);
    for (int64_t i = 0; st == OK && i < x.dim[0]; i++) {
        char key[NUMBER_KEY];
        const uint8_t label = list->blob[at_y].data[hdf5_row(&y, i)];
        if (label > 1)
            st =
                fail(err, ERR_FORMAT, "datasets: pcam: %s: label %d: expected 0 or 1", name, label);
        else st = samples_record(s, part, number_key(key, label), at_x, i, hdf5_row(&x, i), err);
    }
    hdf5_close(&x);
    hdf5_close(&y);
    return st;
}

Status read_pcam(Samples *s, Error *err) {
    Status st = pcam_part(s, TO_TRAIN, "train", err);
    if (st == OK) st = pcam_part(s, TO_TRAIN, "valid", err);
    return st == OK ? pcam_part(s, TO_VAL, "test", err) : st;
}
