/* lists_drawn.c - data sets whose splits the published scripts draw, class by class.
 *
 * Draws of caltech101, eurosat and resisc45 are those of the scripts. Those of kitti and birdsnap have no seed there, or
 * follow the order of a file system; ours are fixed, of the same sizes, and a note says so.
 */
#include <stdlib.h>
#include <string.h>

#include "io/datasets/samples.h"
#include "io/files/draws.h"
#include "io/text/text_lines.h"

static Status out_of_memory(Error *err) {
    return fail(err, ERR_MEMORY, "datasets: out of memory");
}

/* --- numpy, seed 42 again for every class ------------------------------------------------------------ */

/* Returns a permutation of n positions, or NULL without memory. */
static int64_t *positions(int64_t n) {
    Mt19937 rng;
    int64_t *at = malloc((size_t)(n + 1) * sizeof *at);
    mt19937_seed(&rng, 42);
    if (at) numpy_permutation(&rng, at, n);
    return at;
}

static Status too_few(const Samples *s, const char *name, int64_t n, int64_t least, Error *err) {
    return fail(err, ERR_FORMAT,
                "datasets: %s: class %s has %lld images: the split draws %lld of each class",
                s->set->name, name, (long long)n, (long long)least);
}

/* 30 images of a class are drawn to train on; the others are scored, in their own order. */
static Status take_caltech101(Samples *s, const char *name, const Names *images, void *context,
                              Error *err) {
    enum { DRAWN = 30 };
    const int64_t n = images->count;
    (void)context;
    if (n < DRAWN) return too_few(s, name, n, DRAWN, err);
    int64_t *at = positions(n);
    bool *drawn = calloc((size_t)n, sizeof *drawn);
    Status st = at && drawn ? OK : out_of_memory(err);
    for (int64_t i = 0; st == OK && i < DRAWN; i++) {
        st = samples_file(s, TO_TRAIN, name, images->name[at[i]], err);
        drawn[at[i]] = true;
    }
    for (int64_t i = 0; st == OK && i < n; i++)
        if (!drawn[i]) st = samples_file(s, TO_VAL, name, images->name[i], err);
    free(at);
    free(drawn);
    return st;
}

Status read_caltech101(Samples *s, Error *err) {
    return samples_classes(s, "", take_caltech101, NULL, err);
}

/* 1500 images of a class are drawn: the first 1000 to train on, the last 500 to score. */
static Status take_eurosat(Samples *s, const char *name, const Names *images, void *context,
                           Error *err) {
    enum { TRAIN = 1000, DRAWN = 1500 };
    (void)context;
    if (images->count < DRAWN) return too_few(s, name, images->count, DRAWN, err);
    int64_t *at = positions(images->count);
    Status st = at ? OK : out_of_memory(err);
    for (int64_t i = 0; st == OK && i < DRAWN; i++)
        st = samples_file(s, i < TRAIN ? TO_TRAIN : TO_VAL, name, images->name[at[i]], err);
    free(at);
    return st;
}

Status read_eurosat(Samples *s, Error *err) {
    return samples_classes(s, "", take_eurosat, NULL, err);
}

/* --- Python, one generator over all classes ----------------------------------------------------------- */

/* Four fifths of the shuffled images are trained on, the next fifth is scored; both are rounded down. */
static Status take_resisc45(Samples *s, const char *name, const Names *images, void *context,
                            Error *err) {
    const int64_t n = images->count;
    const int64_t train = (int64_t)(0.8 * (double)n), val = (int64_t)(0.2 * (double)n);
    int64_t *at = malloc((size_t)(n + 1) * sizeof *at);
    Status st = at ? OK : out_of_memory(err);
    for (int64_t i = 0; at && i < n; i++) at[i] = i;
    if (at) python_shuffle(context, at, n);
    for (int64_t i = 0; st == OK && i < train + val && i < n; i++)
        st = samples_file(s, i < train ? TO_TRAIN : TO_VAL, name, images->name[at[i]], err);
    free(at);
    return st;
}

Status read_resisc45(Samples *s, Error *err) {
    Mt19937 rng;
    python_seed(&rng, 42);
    const Status st = samples_classes(s, "", take_resisc45, &rng, err);
    if (st == OK) samples_sort(s);
    return st;
}

/* Five images of a class are scored. GIFs count for no split: ImageFolder does not list them. */
static Status take_birdsnap(Samples *s, const char *name, const Names *images, void *context,
                            Error *err) {
    enum { DRAWN = 5 };
    const int64_t n = images->count;
    int64_t at[DRAWN];
    bool *drawn = calloc((size_t)n, sizeof *drawn);
    if (n < DRAWN) {
        free(drawn);
        return too_few(s, name, n, DRAWN, err);
    }
    Status st = drawn && python_sample(context, at, n, DRAWN) ? OK : out_of_memory(err);
    for (int i = 0; st == OK && i < DRAWN; i++) drawn[at[i]] = true;
    for (int64_t i = 0; st == OK && i < n; i++)
        st = samples_file(s, drawn[i] ? TO_VAL : TO_TRAIN, name, images->name[i], err);
    free(drawn);
    return st;
}

Status read_birdsnap(Samples *s, Error *err) {
    Mt19937 rng;
    python_seed(&rng, 0);
    Status st = samples_classes(s, "", take_birdsnap, &rng, err);
    if (st == OK)
        st = sources_note(s->out, err,
                          "birdsnap: five images a class are drawn by Python's seed 0 from sorted "
                          "names: the published split follows the order of its file system and "
                          "cannot be made again");
    if (st == OK) samples_sort(s);
    return st;
}

/* --- KITTI ---------------------------------------------------------------------------------------------- */

/* Returns the class of an image: the distance of its nearest vehicle, which is column 13 of a line. */
static Status kitti_class(const char **class, const char *path, Error *err) {
    TextLines t;
    TextLine line;
    double nearest = -1.0;
    bool vehicle = false;
    Status st = text_lines_open(&t, "kitti", path, err);
    while (st == OK && text_lines_next(&t, &line)) {
        char *rest = line.text, *column = NULL;
        bool counts = false;
        for (int i = 0; i <= 13; i++) {
            column = strtok_r(i ? NULL : line.text, " \t", &rest);
            if (!column) break;
            if (i == 0)
                counts = strcmp(column, "Car") == 0 || strcmp(column, "Van") == 0 ||
                         strcmp(column, "Truck") == 0;
        }
        if (!column && !line.blank)
            st = text_line_bad(&t, line.number, err, "expected 15 columns: type ... x y z angle");
        if (!column || !counts) continue;
        char *end;
        const double z = strtod(column, &end);
        if (*end || end == column)
            st = text_line_bad(&t, line.number, err, "'%.40s': expected a distance", column);
        else if (!vehicle || z < nearest) nearest = z, vehicle = true;
    }
    if (st == OK)
        *class = !vehicle || !(nearest > 0) ? "no_vehicle"
                 : nearest <= 8             ? "below_8"
                 : nearest <= 20            ? "below_20"
                                            : "above_20";
    text_lines_close(&t);
    return st;
}

static Status add_kitti(Samples *s, SplitPart part, const char *image, Error *err) {
    const char *dot = strrchr(image, '.'), *class = NULL;
    char *labels = format_text("%s/label_2/%.*s.txt", s->base, (int)(dot ? dot - image : 0), image);
    char *path = walk_join("image_2", image);
    Status st = labels && path ? kitti_class(&class, labels, err) : out_of_memory(err);
    if (st == OK) st = samples_file(s, part, class, path, err);
    free(labels);
    free(path);
    return st;
}

Status read_kitti(Samples *s, Error *err) {
    const ListingOptions options = {.exact = true};
    Walk walk = {.root = s->base, .options = &options, .left = &s->out->left, .split = -1};
    Names folders = {0}, images = {0};
    Status st = walk_folder(&walk, "image_2", &folders, &images, err);
    const int64_t n = images.count, train = (int64_t)(0.8 * (double)n + 0.5);
    int64_t *at = st == OK ? positions(n) : NULL;
    if (st == OK && !at) st = out_of_memory(err);
    for (int64_t i = 0; st == OK && i < n; i++)
        st = add_kitti(s, i < train ? TO_TRAIN : TO_VAL, images.name[at[i]], err);
    if (st == OK)
        st = sources_note(s->out, err,
                          "kitti: the split is drawn by numpy's seed 42: the published one has no "
                          "seed and cannot be made again");
    if (st == OK) samples_sort(s);
    free(at);
    names_free(&folders);
    names_free(&images);
    walk_close(&walk);
    return st;
}
