/* special.c - which data sets need more than rules of places: ImageNet's classes, CLEVR's drawn pictures. */
#include "host/prepare/special.h"

#include <stdlib.h>
#include <string.h>

#include "host/tell/notify.h"
#include "io/datasets/sources.h"
#include "io/files/embedded.h"
#include "io/files/file.h"
#include "io/files/gzip.h"

/* Returns the bytes that the files of a set may have together: an archive that says more is no published one. */
static int64_t most_bytes(const Manifest *m) {
    return m->unpacked > 0 ? 2 * m->unpacked + ((int64_t)1 << 26) : 0;
}

static Placing placing_of(const SetJob *job, int archive) {
    return (Placing){.archive = &job->manifest.archive[archive],
                     .stage = job->stage,
                     .hooks = job->hooks,
                     .most_bytes = most_bytes(&job->manifest),
                     .expected = job->manifest.unpacked};
}

static Status place_by(const Placing *p, const Found *f, Placed *placed, Error *err) {
    return f->kind == FOUND_FOLDER ? place_folder(p, f->path, f->name, false, placed, err)
                                   : place_archive(p, f->path, placed, err);
}

/* --- ImageNet: classes of the validation images --------------------------------------------------------- */

enum { WNIDS = 1000, WNID = 9, VAL_IMAGES = 50000 };

/* Text of data/manifests/imagenet_val.gz: the classes in sorted order, a line each, then for each image the
 * rank of its class. */
typedef struct {
    uint8_t *text; /* owned */
    char wnid[WNIDS][WNID + 1];
    uint16_t rank[VAL_IMAGES];
} ValClasses;

static bool read_classes(ValClasses *v) {
    char *at = (char *)v->text;
    for (int i = 0; i < WNIDS; i++, at += WNID + 1) {
        if (strcspn(at, "\n") != WNID) return false;
        memcpy(v->wnid[i], at, WNID);
    }
    for (int i = 0; i < VAL_IMAGES; i++) {
        const long rank = strtol(at, &at, 10);
        if (rank < 0 || rank >= WNIDS || *at != '\n') return false;
        v->rank[i] = (uint16_t)rank;
    }
    return true;
}

static Status val_classes_open(ValClasses **out, Error *err) {
    int64_t bytes;
    ValClasses *v = *out = calloc(1, sizeof *v);
    if (!v) return fail(err, ERR_MEMORY, "prepare: out of memory");
    const Status st =
        gzip_inflate(&v->text, &bytes, embedded_imagenet_val.data, embedded_imagenet_val.bytes,
                     1 << 20, "data/manifests/imagenet_val.gz", err);
    if (st != OK || read_classes(v)) return st;
    return fail(err, ERR_FORMAT, "prepare: data/manifests/imagenet_val.gz: it is damaged");
}

/* Returns the class of ILSVRC2012_val_00000001.JPEG and the like. */
static const char *val_class(void *context, const char *name) {
    static const char begin[] = "ILSVRC2012_val_";
    const ValClasses *v = context;
    if (strncmp(name, begin, sizeof begin - 1) != 0) return NULL;
    const long n = strtol(name + sizeof begin - 1, NULL, 10);
    return n >= 1 && n <= VAL_IMAGES ? v->wnid[v->rank[n - 1]] : NULL;
}

static Status imagenet_val(SetJob *job, int archive, Placed *placed, Error *err) {
    ValClasses *classes;
    Placing p = placing_of(job, archive);
    Status st = val_classes_open(&classes, err);
    p.class_of = val_class;
    p.context = classes;
    if (st == OK) st = place_by(&p, &job->found[archive], placed, err);
    if (classes) free(classes->text);
    free(classes);
    return st;
}

/* --- CLEVR: the drawn pictures alone ---------------------------------------------------------------------- */

static bool is_scenes(void *context, const char *place) {
    (void)context;
    return strcmp(place, "CLEVR_v1.0/scenes/CLEVR_train_scenes.json") == 0;
}

/* Last names of pictures, sorted. */
typedef struct {
    const char **name;
    int64_t count;
} Drawn;

static const char *last_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_drawn(void *context, const char *place) {
    const Drawn *d = context;
    const char *name = last_of(place);
    if (strncmp(place, "CLEVR_v1.0/images/train/", 24) != 0) return false;
    return !d->count || bsearch(&name, d->name, (size_t)d->count, sizeof *d->name, by_name) != NULL;
}

/* The scenes come first; the loader draws from them, and pictures that it lists are unpacked. */
static Status clevr_place(SetJob *job, int archive, Placed *placed, Error *err) {
    const ListingOptions listing = {.exact = true, .lists_alone = true};
    SourceSplits splits = {0};
    Drawn drawn = {0};
    Error inner = {""};
    Placing p = placing_of(job, archive);
    p.wanted = is_scenes;
    Status st = place_by(&p, &job->found[archive], placed, err);
    if (st != OK) return st;
    if (sources_dataset(&splits, "clevr", job->stage, &listing, &inner) == OK) {
        const SourceList *lists[] = {&splits.train, &splits.val};
        drawn.name =
            malloc((size_t)(splits.train.count + splits.val.count + 1) * sizeof *drawn.name);
        for (int l = 0; drawn.name && l < 2; l++)
            for (int64_t i = 0; i < lists[l]->count; i++)
                drawn.name[drawn.count++] = last_of(lists[l]->source[i].name);
        if (drawn.count) qsort(drawn.name, (size_t)drawn.count, sizeof *drawn.name, by_name);
    }
    p.wanted = is_drawn; /* all training pictures where the draw is not known */
    p.context = &drawn;
    if (!drawn.count) p.most_bytes = 0;
    st = place_by(&p, &job->found[archive], placed, err);
    free(drawn.name);
    sources_close(&splits);
    return st;
}

/* --- the choice ---------------------------------------------------------------------------------------------- */

Status special_place(SetJob *job, int archive, Placed *placed, Error *err) {
    const char *set = job->manifest.set;
    if (job->manifest.archive[archive].layout == LAYOUT_CLASSES)
        return imagenet_val(job, archive, placed, err);
    if (strcmp(set, "clevr") == 0) return clevr_place(job, archive, placed, err);
    if (strcmp(set, "ucf101") == 0) return ucf101_place(job, archive, placed, err);
    const Placing p = placing_of(job, archive);
    return place_by(&p, &job->found[archive], placed, err);
}

Status special_finish(SetJob *job, Error *err) {
    const char *set = job->manifest.set;
    if (strcmp(set, "ucf101") == 0) return ucf101_finish(job, err);
    if (strcmp(set, "kinetics700") == 0) return kinetics_finish(job, err);
    return OK;
}
