/* lists_tables.c - data sets whose splits are tables: cars and flowers (MATLAB), gtsrb and fer2013 (CSV). */
#include <stdlib.h>
#include <string.h>

#include "io/arrays/matlab.h"
#include "io/datasets/samples.h"
#include "io/text/csv.h"

enum { NAME = 512 };

static Status out_of_memory(Error *err) {
    return fail(err, ERR_MEMORY, "datasets: out of memory");
}

/* --- MATLAB ------------------------------------------------------------------------------------- */

typedef struct {
    char *path; /* owned */
    FileMap map;
    MatFile *file;
} Mat;

static Status mat_inside(const Samples *s, Mat *m, const char *name, Error *err) {
    *m = (Mat){.path = samples_path(s, name)};
    if (!m->path) return out_of_memory(err);
    const Status st = file_map(&m->map, m->path, err);
    return st == OK ? mat_open(&m->file, &m->map, m->path, err) : st;
}

static void mat_leave(Mat *m) {
    mat_close(m->file);
    file_unmap(&m->map);
    free(m->path);
}

/* Returns the first of the files that is there, else the last of them, for the message. */
static const char *first_there(const Samples *s, const char *const *names) {
    for (; names[1]; names++) {
        char *path = samples_path(s, *names);
        const bool there = path && file_exists(path);
        free(path);
        if (there) break;
    }
    return *names;
}

/* Adds the elements of `annotations` in their order: `fname` and `class`, which counts from 1. */
static Status car_split(Samples *s, SplitPart part, const char *list, const char *images,
                        Error *err) {
    Mat m;
    MatArray a, field[MAT_MOST_FIELDS];
    bool more = true;
    int64_t entry = 0;
    Status st = mat_inside(s, &m, list, err);
    if (st == OK) st = mat_find(m.file, "annotations", &a, err);
    const int fname = st == OK ? mat_field(&a, "fname") : -1,
              class = st == OK ? mat_field(&a, "class") : -1;
    if (st == OK && (fname < 0 || class < 0))
        st = fail(
            err, ERR_FORMAT,
            "datasets: cars: %s: 'annotations' has no field %s: is it the list without labels?",
            m.path, fname < 0 ? "fname" : "class");
    MatWalk walk = mat_walk(&a);
    while (st == OK && more) {
        char file[NAME], key[NUMBER_KEY], path[2 * NAME];
        int64_t number = 0;
        st = mat_walk_element(m.file, &walk, field, &more, err);
        if (st != OK || !more) break;
        st = mat_text(&field[fname], file, NAME, err);
        if (st == OK) st = mat_i64(&field[class], 0, 1, &number, err);
        if (st == OK && (number < 1 || number > 10000000))
            st = fail(err, ERR_FORMAT, "datasets: cars: %s: class %lld: expected 1 or more", m.path,
                      (long long)number);
        snprintf(path, sizeof path, "%s/%s", images, file);
        if (st == OK)
            st = samples_listed(s, part, number_key(key, number), path, m.path, ++entry, err);
    }
    mat_leave(&m);
    return st;
}

/* Takes the names of the classes, where the kit has them. */
static Status car_names(Samples *s, Error *err) {
    static const char *const metas[] = {"devkit/cars_meta.mat", "car_devkit/devkit/cars_meta.mat",
                                        NULL};
    Mat m;
    MatArray a, name;
    bool more = true;
    const char *meta = first_there(s, metas);
    char *path = samples_path(s, meta);
    const bool there = path && file_exists(path);
    free(path);
    if (!there) return OK;
    Status st = mat_inside(s, &m, meta, err);
    if (st == OK) st = mat_find(m.file, "class_names", &a, err);
    if (st == OK && a.kind != MAT_CELL)
        st = fail(err, ERR_FORMAT, "datasets: cars: %s: 'class_names' is no cell array", m.path);
    MatWalk walk = mat_walk(&a);
    for (int64_t i = 1; st == OK; i++) {
        char text[NAME], key[NUMBER_KEY];
        st = mat_walk_element(m.file, &walk, &name, &more, err);
        if (st != OK || !more) break;
        st = mat_text(&name, text, NAME, err);
        if (st == OK) st = samples_name(s, number_key(key, i), text, err);
    }
    mat_leave(&m);
    return st;
}

Status read_cars(Samples *s, Error *err) {
    static const char *const lists[] = {"devkit/cars_train_annos.mat",
                                        "car_devkit/devkit/cars_train_annos.mat", NULL},
                             *const train[] = {"cars_train/cars_train", "cars_train", NULL},
                             *const test[] = {"cars_test/cars_test", "cars_test", NULL};
    Status st = car_split(s, TO_TRAIN, first_there(s, lists), first_there(s, train), err);
    if (st == OK)
        st = car_split(s, TO_VAL, "cars_test_annos_withlabels.mat", first_there(s, test), err);
    return st == OK ? car_names(s, err) : st;
}

/* Reads a row of numbers into fresh memory. */
static Status mat_row(Mat *m, const char *name, int64_t **out, int64_t *count, Error *err) {
    MatArray a;
    *out = NULL;
    Status st = mat_find(m->file, name, &a, err);
    if (st == OK && a.kind != MAT_NUMBERS)
        st = fail(err, ERR_FORMAT, "datasets: flowers: %s: '%s' has no numbers", m->path, name);
    if (st != OK) return st;
    *count = a.count;
    *out = malloc((size_t)(a.count + 1) * sizeof **out);
    return *out ? mat_i64(&a, 0, a.count, *out, err) : out_of_memory(err);
}

/* Adds the images of one row of setid.mat, in its order. Ids and labels count from 1. */
static Status flower_split(Samples *s, SplitPart part, Mat *ids, const char *name,
                           const int64_t *labels, int64_t images, Error *err) {
    int64_t *id = NULL, n = 0;
    Status st = mat_row(ids, name, &id, &n, err);
    for (int64_t i = 0; st == OK && i < n; i++) {
        char key[NUMBER_KEY], path[64];
        if (id[i] < 1 || id[i] > images) {
            st = fail(err, ERR_FORMAT, "datasets: flowers: %s: image %lld: expected 1 to %lld",
                      ids->path, (long long)id[i], (long long)images);
            break;
        }
        const int64_t label = labels[id[i] - 1];
        if (label < 1 || label > 10000000)
            st = fail(err, ERR_FORMAT,
                      "datasets: flowers: image %lld has the label %lld: expected 1 "
                      "or more",
                      (long long)id[i], (long long)label);
        snprintf(path, sizeof path, "jpg/image_%05lld.jpg", (long long)id[i]);
        if (st == OK)
            st = samples_listed(s, part, number_key(key, label), path, ids->path, i + 1, err);
    }
    free(id);
    return st;
}

Status read_flowers(Samples *s, Error *err) {
    Mat m = {0}, ids = {0};
    int64_t *labels = NULL, n = 0;
    Status st = mat_inside(s, &m, "imagelabels.mat", err);
    if (st == OK) st = mat_inside(s, &ids, "setid.mat", err);
    if (st == OK) st = mat_row(&m, "labels", &labels, &n, err);
    if (st == OK) st = flower_split(s, TO_TRAIN, &ids, "trnid", labels, n, err);
    if (st == OK) st = flower_split(s, TO_TRAIN, &ids, "valid", labels, n, err);
    if (st == OK) st = flower_split(s, TO_VAL, &ids, "tstid", labels, n, err);
    free(labels);
    mat_leave(&m);
    mat_leave(&ids);
    return st;
}

/* --- gtsrb ------------------------------------------------------------------------------------------ */

enum {
    GTSRB_FULL = 39209
}; /* images of the later training set, which the published evaluation has not */

static Status take_signs(Samples *s, const char *name, const Names *images, void *context,
                         Error *err) {
    Status st = OK;
    (void)context;
    for (int64_t i = 0; st == OK && i < images->count; i++) {
        const char *dot = strrchr(images->name[i], '.');
        if (dot && strcmp(dot, ".ppm") == 0)
            st = samples_file(s, TO_TRAIN, name, images->name[i], err);
    }
    return st;
}

static Status sign_row(Samples *s, const Csv *csv, const char *path, int64_t file, int64_t class,
                       Error *err) {
    char key[NUMBER_KEY], *end, *image;
    if (csv->fields <= file || csv->fields <= class)
        return fail(err, ERR_FORMAT, "datasets: gtsrb: %s: line %lld: %lld columns are too few",
                    path, (long long)csv->line, (long long)csv->fields);
    const long long number = strtoll(csv->field[class].text, &end, 10);
    if (end == csv->field[class].text || *end || number < 0 || number > 99999)
        return fail(err, ERR_FORMAT, "datasets: gtsrb: %s: line %lld: ClassId '%.20s'", path,
                    (long long)csv->line, csv->field[class].text);
    snprintf(key, sizeof key, "%05lld", number);
    image = format_text("GTSRB/Final_Test/Images/%s", csv->field[file].text);
    if (!image) return out_of_memory(err);
    const Status st = samples_listed(s, TO_VAL, key, image, path, csv->line, err);
    free(image);
    return st;
}

Status read_gtsrb(Samples *s, Error *err) {
    Csv csv = {0};
    bool more = false;
    char *path = samples_path(s, "GT-final_test.csv");
    Status st =
        path ? samples_classes(s, "GTSRB/Training", take_signs, NULL, err) : out_of_memory(err);
    if (st == OK && s->out->train.count == GTSRB_FULL)
        st = fail(
            err, ERR_FORMAT,
            "datasets: gtsrb: %s/GTSRB/Training is Final_Training with %d images: expected the "
            "26640 of GTSRB-Training_fixed.zip, which the published evaluation has",
            s->base, GTSRB_FULL);
    if (st == OK) st = csv_open(&csv, "gtsrb", path, ';', err);
    if (st == OK) st = csv_next(&csv, &more, err);
    const int64_t file = more ? csv_column(&csv, "Filename") : -1,
                  class = more ? csv_column(&csv, "ClassId") : -1;
    if (st == OK && (file < 0 || class < 0))
        st = fail(
            err, ERR_FORMAT,
            "datasets: gtsrb: %s: expected the columns Filename and ClassId: the labels lie in "
            "GTSRB_Final_Test_GT.zip",
            path);
    while (st == OK && (st = csv_next(&csv, &more, err)) == OK && more)
        st = sign_row(s, &csv, path, file, class, err);
    csv_close(&csv);
    free(path);
    return st;
}

enum { FACE = 48 }; /* pixels of a side of fer2013 */

/* --- fer2013 -------------------------------------------------------------------------------------------- */

static const char *const feelings[] = {"angry", "disgust",  "fear",   "happy",
                                       "sad",   "surprise", "neutral"};

/* Returns how many texts stand between blanks. */
static int64_t count_texts(const char *text) {
    int64_t n = 0;
    for (const char *at = text; *(at += strspn(at, " "));) {
        at += strcspn(at, " ");
        n++;
    }
    return n;
}

/* Adds the rows of a table: those of one usage, or all where it is NULL. Pixels stay in the file; records begin where
 * their rows do. */
static Status face_rows(Samples *s, SplitPart part, const char *name, const char *usage,
                        Error *err) {
    Csv csv = {0};
    bool more = false;
    int index = -1;
    char *path = samples_path(s, name);
    Status st = path ? blob_open(samples_list(s, part), path, &index, err) : out_of_memory(err);
    if (st != OK) {
        free(path);
        return st;
    }
    Blob *b = &samples_list(s, part)->blob[index];
    st = csv_of(&csv, "fer2013", path, b->data, b->bytes, ',', err);
    if (st == OK) st = csv_next(&csv, &more, err);
    const int64_t emotion = more ? csv_column(&csv, "emotion") : -1,
                  pixels = more ? csv_column(&csv, "pixels") : -1,
                  use = more ? csv_column(&csv, "Usage") : -1;
    if (st == OK && (emotion < 0 || pixels < 0 || (use < 0 && usage)))
        st = fail(err, ERR_FORMAT, "datasets: fer2013: %s: expected the columns emotion, pixels%s",
                  path, usage ? " and Usage" : "");
    if (st == OK) {
        b->layout = PIXELS_TEXT;
        b->width = b->height = FACE;
        b->column = (int)pixels;
    }
    for (int64_t row = 0; st == OK; row++) {
        char key[NUMBER_KEY], *end;
        const int64_t begin = csv.at - b->data;
        st = csv_next(&csv, &more, err);
        if (st != OK || !more) break;
        const int64_t last = emotion > pixels ? emotion : pixels;
        if (csv.fields <= (use > last ? use : last))
            st = fail(err, ERR_FORMAT, "datasets: fer2013: %s: line %lld: %lld columns are too few",
                      path, (long long)csv.line, (long long)csv.fields);
        else if (usage && strcmp(csv.field[use].text, usage) != 0) continue;
        if (st != OK) break;
        const long long label = strtoll(csv.field[emotion].text, &end, 10);
        if (end == csv.field[emotion].text || *end || label < 0 || label > 6)
            st = fail(err, ERR_FORMAT,
                      "datasets: fer2013: %s: line %lld: emotion '%.20s': expected 0 to 6", path,
                      (long long)csv.line, csv.field[emotion].text);
        const int64_t count = count_texts(csv.field[pixels].text);
        if (st == OK && count != FACE * FACE)
            st = fail(err, ERR_FORMAT, "datasets: fer2013: %s: line %lld: %lld pixels: expected %d",
                      path, (long long)csv.line, (long long)count, FACE * FACE);
        if (st == OK) st = samples_record(s, part, number_key(key, label), index, row, begin, err);
        if (st == OK) st = samples_name(s, key, feelings[label], err);
    }
    csv_close(&csv);
    free(path);
    return st;
}

/* Two tables made by hand, as the published script has them, are read where the whole one is not there. */
Status read_fer2013(Samples *s, Error *err) {
    static const char *const wholes[] = {"fer2013.csv", "fer2013/fer2013.csv", NULL},
                             *const halves[] = {"train_split.csv", "test_split.csv"};
    char *half = samples_path(s, halves[0]);
    char *whole = samples_path(s, first_there(s, wholes));
    const bool by_hand = half && whole && !file_exists(whole) && file_exists(half);
    free(half);
    free(whole);
    const char *name = first_there(s, wholes);
    Status st = by_hand ? face_rows(s, TO_TRAIN, halves[0], NULL, err)
                        : face_rows(s, TO_TRAIN, name, "Training", err);
    if (st != OK) return st;
    if (by_hand) return face_rows(s, TO_VAL, halves[1], NULL, err);
    const bool public = s->options && s->options->public_test;
    if (public) st = sources_note(s->out, err, "fer2013: the rows of PublicTest are scored");
    return st == OK ? face_rows(s, TO_VAL, name, public ? "PublicTest" : "PrivateTest", err) : st;
}
