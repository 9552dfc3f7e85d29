/* lists_records.c - data sets of raw records: MNIST's idx files, CIFAR's files, binary and for
 * Python. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "io/datasets/cifar_pickle.h"
#include "io/datasets/samples.h"
#include "io/files/bytes.h"

/* Returns the first of <folder>/<place>/<name> that exists, or NULL. `places` ends with NULL. */
static char *find_file(const char *folder, const char *const *places, const char *name) {
    for (int i = 0; places[i]; i++) {
        char *path = format_text("%s/%s%s", folder, places[i], name);
        if (path && file_exists(path)) return path;
        free(path);
    }
    return NULL;
}

static Status missing(const char *set, const char *folder, const char *name, const char *url,
                      Error *err) {
    return fail(err, ERR_IO, "datasets: %s: %s is not below %s: get it from %s", set, name, folder,
                url);
}

/* Adds one record of a blob. */
static Status add_record(SourceList *list, int blob, int64_t i, int64_t label, int64_t classes,
                         int64_t offset, Error *err) {
    Status st = OK;
    char *name = format_text("%s#%lld", list->blob[blob].name, (long long)i);
    if (label < 0 || label >= classes)
        st = fail(err, ERR_FORMAT, "datasets: %s: label %lld: expected 0 to %lld", name ? name : "",
                  (long long)label, (long long)classes - 1);
    else
        st = name ? source_add(list, name, label, blob, offset, err)
                  : fail(err, ERR_MEMORY, "datasets: out of memory");
    free(name);
    return st;
}

/* Adds records first .. end of the newest blob, `stride` bytes apart from `offset` on. */
static Status add_records(SourceList *list, int blob, const uint8_t *labels, int64_t label_stride,
                          int64_t classes, int64_t first, int64_t end, int64_t offset,
                          int64_t stride, Error *err) {
    Status st = OK;
    for (int64_t i = first; st == OK && i < end; i++)
        st = add_record(list, blob, i, labels[i * label_stride], classes, offset + i * stride, err);
    return st;
}

/* --- MNIST (yann.lecun.com/exdb/mnist: the idx format) ---------------------------------------- */

static const char *const mnist_url = "https://ossci-datasets.s3.amazonaws.com/mnist/";
static const char *const mnist_places[] = {"", "mnist/", "digits/", "MNIST/raw/", "raw/", NULL};

/* Checks that a blob is an idx file of bytes with that many axes. Their lengths go to shape. */
static Status idx_header(const Blob *b, int axes, int64_t *shape, Error *err) {
    int64_t count = 1;
    const int64_t header = 4 + 4 * axes;
    if (b->bytes < header || (int)big(b->data, 4) != 0x800 + axes)
        return fail(err, ERR_FORMAT, "idx: %s: expected an idx file of bytes with %d axes", b->name,
                    axes);
    for (int i = 0; i < axes; i++) {
        shape[i] = big(b->data + 4 + 4 * i, 4);
        if (shape[i] < 1 || __builtin_mul_overflow(count, shape[i], &count)) count = -1;
    }
    if (count < 0 || b->bytes - header != count ||
        (axes == 3 && (shape[1] > 4096 || shape[2] > 4096)))
        return fail(err, ERR_FORMAT, "idx: %s: %lld bytes do not hold what its header says",
                    b->name, (long long)b->bytes);
    return OK;
}

static Status open_idx(SourceList *list, const char *folder, const char *name, int *blob,
                       Error *err) {
    static const char *const endings[] = {"", ".gz"};
    for (int i = 0; i < 2; i++) {
        char *whole = format_text("%s%s", name, endings[i]);
        char *path = whole ? find_file(folder, mnist_places, whole) : NULL;
        free(whole);
        if (!path) continue;
        const Status st = blob_open(list, path, blob, err);
        free(path);
        return st;
    }
    return missing("mnist", folder, name, mnist_url, err);
}

/* Adds images first .. end, or as many as there are, of <part>-images and <part>-labels. */
static Status add_mnist(SourceList *list, const char *folder, const char *part, int64_t first,
                        int64_t end, Error *err) {
    char images_name[64], labels_name[64];
    int images = -1, labels = -1;
    int64_t shape[3] = {0}, n = 0;
    snprintf(images_name, sizeof images_name, "%s-images-idx3-ubyte", part);
    snprintf(labels_name, sizeof labels_name, "%s-labels-idx1-ubyte", part);
    Status st = open_idx(list, folder, images_name, &images, err);
    if (st == OK) st = open_idx(list, folder, labels_name, &labels, err);
    if (st == OK) st = idx_header(&list->blob[images], 3, shape, err);
    if (st == OK) st = idx_header(&list->blob[labels], 1, &n, err);
    if (st == OK && n != shape[0])
        st = fail(err, ERR_FORMAT, "datasets: mnist: %lld images and %lld labels",
                  (long long)shape[0], (long long)n);
    if (st != OK) return st;
    Blob *b = &list->blob[images];
    b->layout = PIXELS_GREY;
    b->height = (int)shape[1];
    b->width = (int)shape[2];
    return add_records(list, images, list->blob[labels].data + 8, 1, 10, first, end < n ? end : n,
                       16, shape[1] * shape[2], err);
}

/* --- CIFAR (www.cs.toronto.edu/~kriz/cifar.html) ------------------------------------------------ */

/* One form in which a data set is handed out: records behind label bytes, or pickles for Python. */
typedef struct {
    const char *folder;
    const char *train[6], *val;
    const char *label_key;     /* key of the labels in pickles; NULL: the form is records */
    int label_bytes, label_at; /* bytes of labels in a record, and place of the label that counts */
} CifarForm;

typedef struct {
    const char *name, *url;
    CifarForm form[2]; /* the program takes the first whose folder is there */
    int64_t classes;
} Cifar;

#define CIFAR_URL "https://www.cs.toronto.edu/~kriz/"
static const Cifar cifars[] = {
    {"cifar10",
     CIFAR_URL "cifar-10-binary.tar.gz",
     {{"cifar-10-batches-bin",
       {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
        "data_batch_5.bin", NULL},
       "test_batch.bin",
       NULL,
       1,
       0},
      {"cifar-10-batches-py",
       {"data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", NULL},
       "test_batch",
       "labels",
       0,
       0}},
     10},
    {"cifar100",
     CIFAR_URL "cifar-100-binary.tar.gz",
     {{"cifar-100-binary", {"train.bin", NULL}, "test.bin", NULL, 2, 1},
      {"cifar-100-python", {"train", NULL}, "test", "fine_labels", 0, 0}},
     100},
    {"cifar10020",
     CIFAR_URL "cifar-100-binary.tar.gz",
     {{"cifar-100-binary", {"train.bin", NULL}, "test.bin", NULL, 2, 0},
      {"cifar-100-python", {"train", NULL}, "test", "coarse_labels", 0, 0}},
     20},
};

/* Returns the path of a file of that form below `folder`, or NULL. */
static char *find_cifar(const Cifar *c, const CifarForm *form, const char *folder,
                        const char *file) {
    char inside[2][96];
    /* outside its folder, `train` may be anything */
    const char *const places[] = {inside[0], inside[1], form->label_key ? NULL : "", NULL};
    snprintf(inside[0], sizeof inside[0], "%s/", form->folder);
    snprintf(inside[1], sizeof inside[1], "%s/%s/", c->name, form->folder);
    return find_file(folder, places, file);
}

enum { SIDE = 32, PIXELS = 3 * SIDE * SIDE };

static Status add_cifar_records(SourceList *list, const Cifar *c, const CifarForm *form, int blob,
                                Error *err) {
    const Blob *b = &list->blob[blob];
    const int64_t stride = form->label_bytes + PIXELS;
    if (b->bytes == 0 || b->bytes % stride)
        return fail(err, ERR_FORMAT,
                    "datasets: %s: %s: %lld bytes are not whole records of %lld: truncated?",
                    c->name, b->name, (long long)b->bytes, (long long)stride);
    return add_records(list, blob, b->data + form->label_at, stride, c->classes, 0,
                       b->bytes / stride, form->label_bytes, stride, err);
}

static Status add_cifar_pickle(SourceList *list, const Cifar *c, const CifarForm *form, int blob,
                               Error *err) {
    CifarBatch batch;
    Blob *b = &list->blob[blob];
    Status st = cifar_pickle_read(&batch, b->data, b->bytes, form->label_key, b->name, err);
    for (int64_t i = 0; st == OK && i < batch.count; i++)
        st = add_record(list, blob, i, batch.label[i], c->classes, batch.offset + i * PIXELS, err);
    free(batch.label);
    if (batch.pixels) { /* records are those of the decoded bytes from now on */
        free(b->inflated);
        b->data = b->inflated = batch.pixels;
        b->bytes = batch.count * PIXELS;
    }
    return st;
}

static Status add_cifar(SourceList *list, const Cifar *c, const CifarForm *form, const char *folder,
                        const char *file, Error *err) {
    int blob = -1;
    char *path = find_cifar(c, form, folder, file);
    if (!path) return missing(c->name, folder, file, c->url, err);
    const Status st = blob_open(list, path, &blob, err);
    free(path);
    if (st != OK) return st;
    Blob *b = &list->blob[blob];
    b->layout = PIXELS_PLANES;
    b->width = b->height = SIDE;
    return form->label_key ? add_cifar_pickle(list, c, form, blob, err)
                           : add_cifar_records(list, c, form, blob, err);
}

static Status add_cifar_splits(SourceSplits *out, const Cifar *c, const char *folder, Error *err) {
    const CifarForm *form = &c->form[0];
    char *records = find_cifar(c, form, folder, c->form[0].val);
    char *pickles = records ? NULL : find_cifar(c, &c->form[1], folder, c->form[1].val);
    if (pickles) form = &c->form[1];
    free(records);
    free(pickles);
    Status st = OK;
    for (int i = 0; st == OK && form->train[i]; i++)
        st = add_cifar(&out->train, c, form, folder, form->train[i], err);
    return st == OK ? add_cifar(&out->val, c, form, folder, form->val, err) : st;
}

/* --- by name ---------------------------------------------------------------------------------- */

Status records_dataset(SourceSplits *out, const char *name, const char *folder, bool *is_one,
                       Error *err) {
    enum { DIGITS_TRAIN = 8000 };
    Status st = OK;
    *is_one = true;
    if (strcmp(name, "mnist") == 0) {
        st = add_mnist(&out->train, folder, "train", 0, INT64_MAX, err);
        if (st == OK) st = add_mnist(&out->val, folder, "t10k", 0, INT64_MAX, err);
    } else if (strcmp(name, "digits") == 0) {
        st = add_mnist(&out->train, folder, "t10k", 0, DIGITS_TRAIN, err);
        if (st == OK) st = add_mnist(&out->val, folder, "t10k", DIGITS_TRAIN, INT64_MAX, err);
    } else {
        const Cifar *c = NULL;
        for (size_t i = 0; i < sizeof cifars / sizeof *cifars; i++)
            if (strcmp(name, cifars[i].name) == 0) c = &cifars[i];
        *is_one = c != NULL;
        if (c) st = add_cifar_splits(out, c, folder, err);
    }
    return st;
}
