/* lists_folder.c - image folders as lists of sources: each folder is a split or a class. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/datasets/folder_walk.h"
#include "io/text/printable.h"
#include "io/text/split_words.h"

typedef struct {
    SourceSplits *out;
    const char *folder; /* the folder that is listed */
    char shown[200];    /* its name, fit for a message */
    Walk walk;
    Names folders, images; /* entries of the folder itself */
} Listing;

static Status out_of_memory(Error *err) {
    return fail(err, ERR_MEMORY, "images: out of memory");
}

/* --- which folders are splits ----------------------------------------------------------------- */

/* Folders of the listed one, told by their names. */
typedef struct {
    const char *exact[4],
        *second[4];      /* folders that are taken, and others of the same split, by SplitWord */
    const char *near[4]; /* Train, training and the like: surely a split, but not taken */
    int64_t others;
    const char *other; /* first of the others */
} Words;

static Words words_of(const Names *folders) {
    Words w = {0};
    for (int64_t i = 0; i < folders->count; i++) {
        bool exact;
        const char *name = folders->name[i];
        const SplitWord s = split_word(name, &exact);
        if (s == SPLIT_NONE) {
            if (w.others++ == 0) w.other = name;
        } else if (!exact) {
            if (!w.near[s]) w.near[s] = name;
        } else if (w.exact[s]) {
            w.second[s] = name;
        } else {
            w.exact[s] = name;
        }
    }
    return w;
}

static const char *any_of(const Words *w, SplitWord s) {
    return w->exact[s] ? w->exact[s] : w->near[s];
}

/* Refuses names such as Train/ and training/, and says the right ones. */
static Status misspelt(const Listing *l, const Words *w, Error *err) {
    static const SplitWord all[] = {SPLIT_TRAIN, SPLIT_VAL, SPLIT_TEST};
    const char *wrong = NULL;
    char found[160] = "";
    for (int i = 0; i < 3; i++) {
        const char *name = w->near[all[i]] ? w->near[all[i]] : w->exact[all[i]];
        if (!name) continue;
        const size_t n = strlen(found);
        snprintf(found + n, sizeof found - n, "%s%.40s/", n ? ", " : "", name);
        if (w->near[all[i]] && !wrong) wrong = name;
    }
    return fail(err, ERR_FORMAT,
                "images: %s: %s: expected train/ for the training split and val/ (or valid, "
                "validation, dev, or test alone) for the one that is scored, written so: rename "
                "%.40s/",
                l->shown, found, wrong);
}

static Status one_split_alone(const Listing *l, const char *name, Error *err) {
    return fail(err, ERR_FORMAT,
                "images: %s: holds the split folder %s/ and no train/: expected train/ beside it; "
                "to read its images alone give --images %s/%s",
                l->shown, name, l->shown, name);
}

/* Finds out whether a folder holds an image anywhere below it, and whether it holds a folder. */
static Status look_into(Listing *l, const char *inside, bool *image, bool *folder, Error *err) {
    LeftOut aside = {0};
    ListingOptions lenient = *l->walk.options;
    lenient.skip_bad = true;
    Walk w = {.root = l->folder, .options = &lenient, .left = &aside};
    Names folders = {0}, images = {0};
    Status st = walk_folder(&w, inside, &folders, &images, err);
    if (st == ERR_IO) st = OK; /* the listing itself will say so */
    *folder = folders.count > 0;
    *image = images.count > 0;
    for (int64_t i = 0; st == OK && !*image && i < folders.count; i++) {
        Names below = {0};
        char *path = walk_join(inside, folders.name[i]);
        st = path ? walk_tree(&w, inside, path, &below, err) : out_of_memory(err);
        *image = below.count > 0;
        names_free(&below);
        free(path);
    }
    names_free(&folders);
    names_free(&images);
    left_out_free(&aside);
    walk_close(&w);
    return st;
}

/* Decides about a split's word whose partner is missing while other folders stand beside it. Is it
 * a class called train, beside bus and car, or a split without its other half? */
static Status word_among_folders(Listing *l, const Words *w, const char *name, bool *is_class,
                                 Error *err) {
    bool image = false, folder = false, others = false;
    Status st = OK;
    *is_class = true;
    for (int64_t i = 0; st == OK && !others && i < l->folders.count; i++) {
        bool exact;
        if (split_word(l->folders.name[i], &exact) == SPLIT_NONE)
            st = look_into(l, l->folders.name[i], &others, &folder, err);
    }
    if (st == OK && others) st = look_into(l, name, &image, &folder, err);
    if (st != OK) return st;
    *is_class = others;
    if (others && folder)
        return fail(err, ERR_FORMAT,
                    "images: %s: %s/ holds folders and stands beside %.60s/: is it a split or a "
                    "class? expected train/ and val/, or classes alone; --images %s/%s reads it "
                    "alone",
                    l->shown, name, w->other, l->shown, name);
    if (others)
        return sources_note(l->out, err, "%s/ is read as a class, for it stands beside %s/", name,
                            w->other);
    return OK;
}

/* Finds the folders of the splits. Both are NULL if there are none. */
static Status find_splits(Listing *l, const char **train, const char **val, Error *err) {
    const Words w = words_of(&l->folders);
    const char *any_train = any_of(&w, SPLIT_TRAIN);
    const char *any_score = any_of(&w, SPLIT_VAL) ? any_of(&w, SPLIT_VAL) : any_of(&w, SPLIT_TEST);
    *train = *val = NULL;
    if (!any_train && !any_score) return OK;
    if (any_train && any_score) {
        const char *score = w.exact[SPLIT_VAL] ? w.exact[SPLIT_VAL] : w.exact[SPLIT_TEST];
        if (w.near[SPLIT_TRAIN] || !score || w.near[SPLIT_VAL] ||
            (w.near[SPLIT_TEST] && !w.exact[SPLIT_VAL]))
            return misspelt(l, &w, err);
        if (w.second[SPLIT_VAL])
            return fail(err, ERR_FORMAT,
                        "images: %s: %s/ and %s/ are both validation splits: expected one: move "
                        "the other away",
                        l->shown, w.exact[SPLIT_VAL], w.second[SPLIT_VAL]);
        *train = w.exact[SPLIT_TRAIN];
        *val = score;
        if (w.exact[SPLIT_VAL]) return OK;
        return sources_note(l->out, err, "test/ is the split that is scored: there is no val/");
    }
    const char *name = any_train ? any_train : any_score;
    bool is_class = false;
    const Status st = w.others ? word_among_folders(l, &w, name, &is_class, err) : OK;
    if (st != OK || is_class) return st;
    if (name != w.exact[SPLIT_TRAIN])
        return w.near[SPLIT_TRAIN] ? misspelt(l, &w, err) : one_split_alone(l, name, err);
    *train = name;
    return sources_note(l->out, err, "train/ stands alone: no split is scored");
}

/* Refuses a folder that holds nothing but one folder with the splits, as archives often unpack. */
static Status check_wrapper(Listing *l, Error *err) {
    if (l->folders.count != 1 || l->images.count) return OK;
    LeftOut aside = {0};
    const ListingOptions lenient = {.skip_bad = true};
    Walk w = {.root = l->folder, .options = &lenient, .left = &aside};
    Names folders = {0}, images = {0};
    Status st = walk_folder(&w, l->folders.name[0], &folders, &images, err);
    if (st == ERR_IO) st = OK;
    const Words words = words_of(&folders);
    const char *score =
        any_of(&words, SPLIT_VAL) ? any_of(&words, SPLIT_VAL) : any_of(&words, SPLIT_TEST);
    if (st == OK && any_of(&words, SPLIT_TRAIN) && score)
        st = fail(err, ERR_FORMAT,
                  "images: %s: holds only %.60s/, and the splits %.40s/ and %.40s/ lie in it: give "
                  "--images %s/%.60s",
                  l->shown, l->folders.name[0], any_of(&words, SPLIT_TRAIN), score, l->shown,
                  l->folders.name[0]);
    names_free(&folders);
    names_free(&images);
    left_out_free(&aside);
    walk_close(&w);
    return st;
}

/* --- a split ---------------------------------------------------------------------------------- */

static Status no_images(const Listing *l, const char *inside, Error *err) {
    const LeftOut *left = &l->out->left;
    char line[640] = "";
    int most =
        -1; /* most: the reason with the most files; kinds that can be converted go before others */
    for (int i = 0; i < left->reasons; i++) {
        const LeftReason *r = &left->reason[i], *m = most < 0 ? NULL : &left->reason[most];
        if (r->why == LEFT_EMPTY) continue;
        const bool kind = r->why == LEFT_KIND, kind_so_far = m && m->why == LEFT_KIND;
        if (!m || (kind && !kind_so_far) || (kind == kind_so_far && r->files > m->files)) most = i;
    }
    if (most >= 0 && left->reason[most].why == LEFT_KIND)
        return fail(err, ERR_FORMAT, "images: %.150s%s%s: no images that are read: %s", l->shown,
                    *inside ? "/" : "", inside,
                    left_out_line(line, sizeof line, left, most, l->folder));
    if (most >= 0) left_out_line(line, sizeof line, left, most, l->folder);
    return fail(err, ERR_FORMAT,
                "images: %.150s%s%s: no images: expected <class>/<image>, <image>, or train/ and "
                "val/ of those (jpg, png, gif, bmp, ppm, pgm)%s%.150s",
                l->shown, *inside ? "/" : "", inside, *line ? "; " : "", line);
}

/* Returns the place of `name` among the sorted first `n` of `names`, or -1. */
static int64_t find_name(char *const *names, int64_t n, const char *name) {
    int64_t low = 0, high = n;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (strcmp(names[middle], name) < 0) low = middle + 1;
        else high = middle;
    }
    return low < n && strcmp(names[low], name) == 0 ? low : -1;
}

/* The classes of a list while its folders are read; the first `sorted` of them are in order. */
typedef struct {
    Names names;
    int64_t sorted, found; /* found: sorted classes that have an image */
} Classes;

static Status leave_images(Listing *l, const char *inside, const Names *images, Error *err) {
    Status st = OK;
    for (int64_t i = 0; st == OK && i < images->count; i++) {
        char *path = walk_join(inside, images->name[i]);
        st = path ? left_out_add(&l->out->left, path, false, l->walk.split, LEFT_BESIDE, NULL, NULL,
                                 err)
                  : out_of_memory(err);
        free(path);
    }
    return st;
}

static Status add_images(SourceList *list, const Names *images, int64_t label, Error *err) {
    Status st = OK;
    for (int64_t i = 0; st == OK && i < images->count; i++)
        st = source_add(list, images->name[i], label, -1, 0, err);
    return st;
}

/* Returns true if the last entry that was left out is the folder itself, which could not be
 * opened. */
static bool is_said(const LeftOut *left, const char *path) {
    const LeftEntry *last = left->count ? &left->entry[left->count - 1] : NULL;
    return last && last->folder && strcmp(last->path, path) == 0;
}

/* Adds a class folder: its images get its number. An empty folder gets none. */
static Status add_class(Listing *l, SourceList *list, const char *inside, const char *name,
                        Classes *classes, Error *err) {
    Names images = {0};
    char *path = walk_join(inside, name);
    Status st = path ? walk_tree(&l->walk, inside, path, &images, err) : out_of_memory(err);
    if (st == OK && images.count == 0 && !is_said(&l->out->left, path))
        st = left_out_add(&l->out->left, path, true, l->walk.split, LEFT_EMPTY, NULL, NULL, err);
    if (st == OK && images.count) {
        int64_t label = find_name(classes->names.name, classes->sorted, name);
        classes->found += label >= 0;
        if (label < 0) {
            label = classes->names.count;
            st = names_add(&classes->names, name, err);
        }
        if (st == OK) st = add_images(list, &images, label, err);
    }
    names_free(&images);
    free(path);
    return st;
}

/* Gives the names to the list as its classes. */
static Status keep_classes(SourceList *list, Names *names, Error *err) {
    if (names->count == 0) return OK;
    char **longer = realloc(names->name, (size_t)(names->count + 1) * sizeof *longer);
    if (!longer) return out_of_memory(err);
    longer[names->count] = NULL;
    list->class_name = longer;
    list->classes = names->count;
    *names = (Names){0};
    return OK;
}

/* Says what is unusual about a split: images without a class, classes of one split alone. */
static Status note_split(Listing *l, const SourceList *list, const char *inside, int64_t loose,
                         const Classes *c, Error *err) {
    const char *const slash = *inside ? "/" : "";
    const int64_t more = c->names.count - c->sorted;
    Status st = OK;
    if (loose && list->count > loose)
        st = sources_note(l->out, err, "%lld image%s beside class folders (%s%s%s%s) %s no label",
                          (long long)loose, loose == 1 ? "" : "s", loose == 1 ? "" : "first ",
                          inside, slash, list->source[0].name, loose == 1 ? "has" : "have");
    if (st == OK && c->sorted && c->found < c->sorted && list->count > loose)
        st = sources_note(l->out, err, "%s/ has no image of %lld of the %lld classes of train/",
                          inside, (long long)(c->sorted - c->found), (long long)c->sorted);
    if (st == OK && c->sorted && more)
        st = sources_note(l->out, err,
                          "%lld class%s of %s/ (%s%s) %s not in train/: numbered from %lld on",
                          (long long)more, more == 1 ? "" : "es", inside, more == 1 ? "" : "first ",
                          c->names.name[c->sorted], more == 1 ? "is" : "are", (long long)c->sorted);
    return st;
}

/* Adds the split <folder>/<inside> with its folders and images. `known` has the classes of the
 * other split; it may be NULL. */
static Status add_split(Listing *l, SourceList *list, const char *inside, const Names *folders,
                        const Names *images, const SourceList *known, Error *err) {
    Classes classes = {0};
    list->folder = *inside ? format_text("%s/%s", l->folder, inside) : format_text("%s", l->folder);
    list->place = format_text("%s", inside);
    Status st = list->folder && list->place ? OK : out_of_memory(err);
    for (int64_t i = 0; st == OK && known && i < known->classes; i++)
        st = names_add(&classes.names, known->class_name[i], err);
    classes.sorted = classes.names.count;
    const bool alone = l->walk.options->exact &&
                       folders->count; /* ImageFolder sees no images beside class folders */
    if (st == OK)
        st = alone ? leave_images(l, inside, images, err) : add_images(list, images, -1, err);
    const int64_t loose = list->count;
    for (int64_t i = 0; st == OK && i < folders->count; i++)
        st = add_class(l, list, inside, folders->name[i], &classes, err);
    if (st == OK && list->count == 0) st = no_images(l, inside, err);
    if (st == OK) st = note_split(l, list, inside, loose, &classes, err);
    if (st == OK) st = keep_classes(list, &classes.names, err);
    names_free(&classes.names);
    return st;
}

static Status open_split(Listing *l, int split, const char *inside, const SourceList *known,
                         Error *err) {
    Names folders = {0}, images = {0};
    SourceList *list = split ? &l->out->val : &l->out->train;
    l->walk.split = split;
    walk_enter(&l->walk, inside);
    Status st = walk_folder(&l->walk, inside, &folders, &images, err);
    if (st == OK) st = add_split(l, list, inside, &folders, &images, known, err);
    walk_exit(&l->walk);
    l->walk.split = -1;
    names_free(&folders);
    names_free(&images);
    return st;
}

/* --- a folder --------------------------------------------------------------------------------- */

/* Leaves out the entries beside the folders of the splits. */
static Status leave_others(Listing *l, const char *train, const char *val, Error *err) {
    Status st = OK;
    for (int64_t i = 0; st == OK && i < l->folders.count; i++) {
        bool exact;
        const char *name = l->folders.name[i];
        if (strcmp(name, train) == 0 || (val && strcmp(name, val) == 0)) continue;
        const bool test = split_word(name, &exact) == SPLIT_TEST;
        st = walk_leave(&l->walk, name, test ? LEFT_TEST : LEFT_BESIDE,
                        test ? l->out->val_word : NULL, err);
    }
    return st == OK ? leave_images(l, "", &l->images, err) : st;
}

static Status note_walk(Listing *l, Error *err) {
    const Walk *w = &l->walk;
    Status st = OK;
    if (w->by_content)
        st = sources_note(l->out, err, "%lld file%s without an ending (%s%s) read by content",
                          (long long)w->by_content, w->by_content == 1 ? "" : "s",
                          w->by_content == 1 ? "" : "first ", w->content_name);
    if (st == OK && w->inner_split)
        st = sources_note(l->out, err,
                          "%s/ is read as a part of its class: splits are train/ and val/ above "
                          "the classes",
                          w->inner_split);
    return st;
}

/* Refuses a file, or nothing, where a folder is expected. */
static Status check_folder(const Listing *l, Error *err) {
    struct stat s;
    const char *dot = strrchr(l->folder, '.');
    if (!*l->folder) return fail(err, ERR_USAGE, "images: '': expected a folder");
    if (stat(l->folder, &s) != 0)
        return fail(err, ERR_IO, "images: %s: %s", l->shown, strerror(errno));
    if (S_ISDIR(s.st_mode)) return OK;
    if (dot && (strcmp(dot, ".txt") == 0 || strcmp(dot, ".tsv") == 0 || strcmp(dot, ".csv") == 0))
        return fail(err, ERR_FORMAT,
                    "images: %s: is a file, expected a folder: --list takes lists of images",
                    l->shown);
    return fail(err, ERR_FORMAT, "images: %s: is a file, expected a folder that holds images%s",
                l->shown, picture_kind_of_name(l->folder) ? "" : " (unpack archives first)");
}

Status sources_folder(SourceSplits *out, const char *folder, const ListingOptions *options,
                      Error *err) {
    static const ListingOptions none = {0};
    *out = (SourceSplits){0};
    Listing l = {
        .out = out,
        .folder = folder,
        .walk = {
            .root = folder, .options = options ? options : &none, .left = &out->left, .split = -1}};
    const char *train = NULL, *val = NULL;
    printable(l.shown, sizeof l.shown, folder, false);
    Status st = check_folder(&l, err);
    walk_enter(&l.walk, "");
    if (st == OK) st = walk_folder(&l.walk, "", &l.folders, &l.images, err);
    if (st == OK) st = find_splits(&l, &train, &val, err);
    if (st == OK && !train) st = check_wrapper(&l, err);
    out->val_word = split_word_kept(val);
    if (st == OK && train) {
        st = open_split(&l, 0, train, NULL, err);
        if (st == OK && val)
            st = open_split(&l, 1, val, out->train.class_name ? &out->train : NULL, err);
        if (st == OK) st = leave_others(&l, train, val, err);
    } else if (st == OK) {
        l.walk.split = 0;
        st = add_split(&l, &out->train, "", &l.folders, &l.images, NULL, err);
    }
    if (st == OK) st = note_walk(&l, err);
    names_free(&l.folders);
    names_free(&l.images);
    walk_close(&l.walk);
    if (st != OK) sources_close(out);
    return st;
}
