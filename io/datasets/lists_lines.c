/* lists_lines.c - data sets whose splits are lists of lines: dtd, aircraft, pets, sun397. */
#include <stdlib.h>
#include <string.h>

#include "io/datasets/samples.h"
#include "io/files/grow.h"
#include "io/text/text_lines.h"

static Status out_of_memory(Error *err) {
    return fail(err, ERR_MEMORY, "datasets: out of memory");
}

/* A line of a list, without blanks around it; its text may be changed. */
typedef struct {
    SplitPart part;
    const TextLines *list;
    int64_t number;
    char *text;
    void *context; /* the reader's own */
} Line;
typedef Status LineTaker(Samples *s, const Line *line, Error *err);

/* Gives every line of <base>/<name> that is not blank to `take`. */
static Status each_line(Samples *s, SplitPart part, const char *name, LineTaker *take,
                        void *context, Error *err) {
    TextLines t;
    TextLine line;
    char *path = samples_path(s, name);
    if (!path) return out_of_memory(err);
    Status st = text_lines_open(&t, s->set->name, path, err);
    while (st == OK && text_lines_next(&t, &line)) {
        char *text = line.text;
        const int64_t n = trim_blanks(&text, line.bytes);
        text[n] = '\0';
        const Line taken = {part, &t, line.number, text, context};
        if (n) st = text_line_utf8(&t, &line, err);
        if (n && st == OK) st = take(s, &taken, err);
    }
    text_lines_close(&t);
    free(path);
    return st;
}

/* --- dtd: banded/banded_0002.jpg ------------------------------------------------------------------- */

static Status dtd_line(Samples *s, const Line *line, Error *err) {
    char *text = line->text;
    char *path = format_text("images/%s", text);
    char *slash = strchr(text, '/');
    Status st = path ? OK : out_of_memory(err);
    if (st == OK && (!slash || slash == text)) {
        st =
            text_line_bad(line->list, line->number, err, "'%.80s': expected <class>/<image>", text);
    } else if (st == OK) {
        *slash = '\0';
        st = samples_listed(s, line->part, text, path, line->list->path, line->number, err);
    }
    free(path);
    return st;
}

Status read_dtd(Samples *s, Error *err) {
    Status st = each_line(s, TO_TRAIN, "labels/train1.txt", dtd_line, NULL, err);
    if (st == OK) st = each_line(s, TO_TRAIN, "labels/val1.txt", dtd_line, NULL, err);
    return st == OK ? each_line(s, TO_VAL, "labels/test1.txt", dtd_line, NULL, err) : st;
}

/* --- aircraft: 0034309 A300B4 ------------------------------------------------------------------------ */

/* The published script copies into folders whose names have '-' for '/' and ' ': classes rank so. */
static Status aircraft_line(Samples *s, const Line *line, Error *err) {
    char *text = line->text;
    char *variant = strchr(text, ' ');
    if (!variant || variant == text)
        return text_line_bad(line->list, line->number, err, "'%.80s': expected <image> <variant>",
                             text);
    *variant++ = '\0';
    trim_blanks(&variant, (int64_t)strlen(variant));
    for (char *c = variant; *c; c++)
        if (*c == '/' || *c == ' ') *c = '-';
    char *path = format_text("images/%s.jpg", text);
    const Status st =
        path ? samples_listed(s, line->part, variant, path, line->list->path, line->number, err)
             : out_of_memory(err);
    free(path);
    return st;
}

Status read_aircraft(Samples *s, Error *err) {
    Status st = each_line(s, TO_TRAIN, "images_variant_trainval.txt", aircraft_line, NULL, err);
    if (st == OK) st = each_line(s, TO_VAL, "images_variant_test.txt", aircraft_line, NULL, err);
    if (st == OK) samples_sort(s);
    return st;
}

/* --- pets: Abyssinian_100 1 1 1 ----------------------------------------------------------------------- */

/* The class is the name up to its last '_', and not the number, whose order ignores capitals. */
static Status pets_line(Samples *s, const Line *line, Error *err) {
    char *text = line->text;
    text[strcspn(text, " \t")] = '\0';
    if (*text == '#') return OK;
    char *path = format_text("images/%s.jpg", text);
    char *number = strrchr(text, '_');
    Status st = path ? OK : out_of_memory(err);
    if (st == OK && (!number || number == text)) {
        st = text_line_bad(line->list, line->number, err, "'%.80s': expected <breed>_<number>",
                           text);
    } else if (st == OK) {
        *number = '\0';
        st = samples_listed(s, line->part, text, path, line->list->path, line->number, err);
    }
    free(path);
    return st;
}

Status read_pets(Samples *s, Error *err) {
    Status st = each_line(s, TO_TRAIN, "annotations/trainval.txt", pets_line, NULL, err);
    if (st == OK) st = each_line(s, TO_VAL, "annotations/test.txt", pets_line, NULL, err);
    if (st == OK) samples_sort(s);
    return st;
}

/* --- sun397: /a/abbey/sun_aakbdcgfpksytcwj.jpg ---------------------------------------------------------- */

/* Lines of ClassName.txt, sorted, with their numbers in the file. */
typedef struct {
    char *name; /* "abbey", "apartment_building/outdoor" */
    int64_t number;
} SunClass;

typedef struct {
    SunClass *class; /* sorted by name once all are read */
    int64_t count, capacity;
} SunClasses;

static int by_name(const void *a, const void *b) {
    return strcmp(((const SunClass *)a)->name, ((const SunClass *)b)->name);
}

/* Returns the text behind "/a/", or NULL where a path does not begin so. */
static char *behind_letter(char *path) {
    if (*path != '/' || !path[1]) return NULL;
    char *slash = strchr(path + 1, '/');
    return slash && slash[1] ? slash + 1 : NULL;
}

static Status sun_class(Samples *s, const Line *line, Error *err) {
    SunClasses *all = line->context;
    char *name = behind_letter(line->text);
    (void)s;
    if (!name)
        return text_line_bad(line->list, line->number, err, "'%.80s': expected /<letter>/<class>",
                             line->text);
    SunClass *longer = grown(all->class, all->count, &all->capacity, sizeof *longer);
    if (!longer) return out_of_memory(err);
    all->class = longer;
    all->class[all->count] = (SunClass){strdup(name), all->count};
    return all->class[all->count].name ? (all->count++, OK) : out_of_memory(err);
}

static const SunClass *find_class(const SunClasses *all, char *name) {
    const SunClass wanted = {name, 0};
    return all->count
               ? bsearch(&wanted, all->class, (size_t)all->count, sizeof *all->class, by_name)
               : NULL;
}

static Status sun_line(Samples *s, const Line *line, Error *err) {
    char key[NUMBER_KEY], *name = behind_letter(line->text),
                          *last = name ? strrchr(name, '/') : NULL;
    if (!last)
        return text_line_bad(line->list, line->number, err,
                             "'%.80s': expected /<letter>/<class>/<image>", line->text);
    char *path = strdup(line->text + 1);
    if (!path) return out_of_memory(err);
    *last = '\0';
    const SunClass *found = find_class(line->context, name);
    Status st = found ? samples_listed(s, line->part, number_key(key, found->number), path,
                                       line->list->path, line->number, err)
                      : text_line_bad(line->list, line->number, err,
                                      "class '%.80s' is not in ClassName.txt", name);
    if (st == OK) st = samples_name(s, key, name, err);
    free(path);
    return st;
}

Status read_sun397(Samples *s, Error *err) {
    SunClasses all = {0};
    Status st = each_line(s, TO_TRAIN, "ClassName.txt", sun_class, &all, err);
    if (all.count) qsort(all.class, (size_t)all.count, sizeof *all.class, by_name);
    if (st == OK) st = each_line(s, TO_TRAIN, "Training_01.txt", sun_line, &all, err);
    if (st == OK) st = each_line(s, TO_VAL, "Testing_01.txt", sun_line, &all, err);
    for (int64_t i = 0; i < all.count; i++) free(all.class[i].name);
    free(all.class);
    return st;
}
