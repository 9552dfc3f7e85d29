/* folder_walk.c - the images and folders below a folder, and the fate of everything else. */
#include "io/datasets/folder_walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/files/grow.h"
#include "io/text/printable.h"
#include "io/text/split_words.h"

enum { MOST_FOLDERS = 1 << 22, FIRST_BYTES = 4096 };

static Status out_of_memory(Error *err) {
    return fail(err, ERR_MEMORY, "images: out of memory");
}

char *walk_join(const char *a, const char *b) {
    return *a && *b ? format_text("%s/%s", a, b) : format_text("%s%s", a, b);
}

/* --- names ------------------------------------------------------------------------------------ */

static Status names_take(Names *n, char *name, Error *err) {
    char **longer = name ? grown(n->name, n->count, &n->capacity, sizeof *longer) : NULL;
    if (!longer) {
        free(name);
        return out_of_memory(err);
    }
    n->name = longer;
    n->name[n->count++] = name;
    return OK;
}

Status names_add(Names *n, const char *name, Error *err) {
    return names_take(n, strdup(name), err);
}

void names_free(Names *n) {
    for (int64_t i = 0; i < n->count; i++) free(n->name[i]);
    free(n->name);
    *n = (Names){0};
}

/* --- entries of a folder ----------------------------------------------------------------------- */

typedef struct {
    char *name;
    unsigned char type; /* the system's type: DT_REG, ... */
} Entry;

typedef struct {
    Entry *entry; /* sorted by name, so that messages do not depend on the file system */
    int64_t count, capacity;
} Entries;

static int by_name(const void *a, const void *b) {
    return strcmp(((const Entry *)a)->name, ((const Entry *)b)->name);
}

static void entries_free(Entries *all) {
    for (int64_t i = 0; i < all->count; i++) free(all->entry[i].name);
    free(all->entry);
    *all = (Entries){0};
}

/* Reads the entries of an open folder but . and .., sorted by name. */
static Status read_entries(Entries *all, DIR *dir, Error *err) {
    for (struct dirent *e; (e = readdir(dir));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        Entry *longer = grown(all->entry, all->count, &all->capacity, sizeof *longer);
        if (!longer) return out_of_memory(err);
        all->entry = longer;
        char *name = strdup(e->d_name);
        if (!name) return out_of_memory(err);
        all->entry[all->count++] = (Entry){name, e->d_type};
    }
    if (all->count) qsort(all->entry, (size_t)all->count, sizeof *all->entry, by_name);
    return OK;
}

/* --- what an entry is ------------------------------------------------------------------------- */

/* Returns the name of a folder that file managers, NAS systems, archivers and notebooks leave among
 * pictures; NULL for any other. */
static const char *system_folder(const char *name) {
    static const char *const known[] = {"@eaDir",
                                        "#recycle",
                                        "#snapshot",
                                        "@Recycle",
                                        "@Recently-Snapshot",
                                        "__MACOSX",
                                        "$RECYCLE.BIN",
                                        "System Volume Information",
                                        "lost+found",
                                        "__pycache__",
                                        "RECYCLER"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcasecmp(name, known[i]) == 0) return known[i];
    return NULL;
}

/* Returns true for the nine endings of torchvision's ImageFolder. */
static bool ending_of_image_folder(const char *name) {
    static const char *const endings[] = {"jpg", "jpeg", "png",  "ppm", "bmp",
                                          "pgm", "tif",  "tiff", "webp"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++)
        if (strcasecmp(dot + 1, endings[i]) == 0) return true;
    return false;
}

static const PictureKind *kind_by_content(const char *path) {
    uint8_t bytes[FIRST_BYTES];
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    const ssize_t n = fd < 0 ? 0 : read(fd, bytes, sizeof bytes);
    if (fd >= 0) close(fd);
    return n > 0 ? picture_kind_of_bytes(bytes, n) : NULL;
}

static bool kind_is_taken(const PictureKind *kind, const ListingOptions *o) {
    return kind->read ||
           (!kind->film && ((o->magick && kind->magick) || (o->ffmpeg && kind->ffmpeg)));
}

static Status leave(Walk *w, const char *path, bool folder, LeftWhy why, const PictureKind *kind,
                    const char *detail, Error *err) {
    return left_out_add(w->left, path, folder, w->split, why, kind, detail, err);
}

/* Adds an image to `images`, and leaves out any other file. `path` is below root, `whole` includes
 * root. */
static Status take_file(Walk *w, const char *name, const char *path, const char *whole,
                        Names *images, Error *err) {
    const PictureKind *kind = picture_kind_of_name(name);
    if (w->options->exact) {
        if (!ending_of_image_folder(name))
            return leave(w, path, false, LEFT_ENDING, NULL, NULL, err);
    } else if (!kind && !strchr(name, '.')) {
        kind = kind_by_content(whole);
        if (kind && kind_is_taken(kind, w->options) && w->by_content++ == 0) {
            w->content_name = strdup(path);
            if (!w->content_name) return out_of_memory(err);
        }
    }
    if (!w->options->exact && !kind) return leave(w, path, false, LEFT_ENDING, NULL, NULL, err);
    if (!w->options->exact && !kind_is_taken(kind, w->options))
        return leave(w, path, false, LEFT_KIND, kind, NULL, err);
    if (!strpbrk(name, "\r\n")) return names_add(images, name, err);
    if (w->options->skip_bad) return leave(w, path, false, LEFT_BREAK, NULL, NULL, err);
    char shown[300];
    return fail(err, ERR_FORMAT,
                "images: %s: its name has a line break, but lists name one image a line: rename it",
                printable(shown, sizeof shown, whole, false));
}

/* Returns true if the folder holds the one that is listed now. */
static bool is_above(const Walk *w, const struct stat *s) {
    for (int i = 0; i < w->depth; i++)
        if (w->above[i].device == s->st_dev && w->above[i].number == s->st_ino) return true;
    return false;
}

static Status take_folder(Walk *w, const char *name, const char *path, const char *whole,
                          const struct stat *s, Names *folders, Error *err) {
    const char *system = system_folder(name);
    if (name[0] == '.') return walk_leave(w, path, LEFT_HIDDEN, NULL, err);
    if (system) return walk_leave(w, path, LEFT_SYSTEM, system, err);
    if (is_above(w, s)) return leave(w, path, true, LEFT_LOOP, NULL, NULL, err);
    if (!strpbrk(name, "\r\n")) return names_add(folders, name, err);
    if (w->options->skip_bad) return walk_leave(w, path, LEFT_BREAK, NULL, err);
    char shown[300];
    return fail(err, ERR_FORMAT,
                "images: %s: the folder's name has a line break, but lists name one image a line: "
                "rename it",
                printable(shown, sizeof shown, whole, false));
}

/* Takes one entry of <root>/<inside>. A name that leads nowhere counts as a file: reading it will
 * say so. */
static Status take_entry(Walk *w, const char *inside, const Entry *e, Names *folders, Names *images,
                         Error *err) {
    char *path = walk_join(inside, e->name);
    char *whole = path ? format_text("%s/%s", w->root, path) : NULL;
    struct stat s = {0};
    Status st = whole ? OK : out_of_memory(err);
    if (st == OK) {
        const bool plain =
            e->type == DT_REG; /* a known type spares a call for each of many files */
        const bool there = plain || stat(whole, &s) == 0;
        if (!plain && there && S_ISDIR(s.st_mode))
            st = take_folder(w, e->name, path, whole, &s, folders, err);
        else if (e->name[0] == '.') st = leave(w, path, false, LEFT_HIDDEN, NULL, NULL, err);
        else if (!plain && there && !S_ISREG(s.st_mode))
            st = leave(w, path, false, LEFT_SPECIAL, NULL, NULL, err);
        else st = take_file(w, e->name, path, whole, images, err);
    }
    free(path);
    free(whole);
    return st;
}

void walk_enter(Walk *w, const char *inside) {
    struct stat s;
    char *path = format_text("%s/%s", w->root, inside);
    w->above[w->depth].device = 0;
    w->above[w->depth].number = 0;
    if (path && stat(path, &s) == 0) {
        w->above[w->depth].device = s.st_dev;
        w->above[w->depth].number = s.st_ino;
    }
    w->depth++;
    free(path);
}

void walk_exit(Walk *w) {
    w->depth--;
}

Status walk_folder(Walk *w, const char *inside, Names *folders, Names *images, Error *err) {
    struct stat s;
    Entries all = {0};
    char *path = *inside ? format_text("%s/%s", w->root, inside) : format_text("%s", w->root);
    if (!path) return out_of_memory(err);
    DIR *dir = opendir(path);
    Status st = dir && fstat(dirfd(dir), &s) == 0
                    ? OK
                    : fail(err, ERR_IO, "images: %s: %s", path, strerror(errno));
    if (st == OK && ++w->folders > MOST_FOLDERS)
        st = fail(err, ERR_FORMAT, "images: %s: more than %d folders: do links multiply them?",
                  w->root, MOST_FOLDERS);
    if (st == OK && w->depth >= WALK_DEPTH)
        st = fail(err, ERR_FORMAT, "images: %s: more than %d folders deep", path, WALK_DEPTH);
    if (st == OK) {
        w->above[w->depth].device = s.st_dev;
        w->above[w->depth++].number = s.st_ino;
        st = read_entries(&all, dir, err);
        closedir(dir); /* folders below are opened after this: files open at a time are limited */
        dir = NULL;
        for (int64_t i = 0; st == OK && i < all.count; i++)
            st = take_entry(w, inside, &all.entry[i], folders, images, err);
        w->depth--;
    }
    if (dir) closedir(dir);
    entries_free(&all);
    free(path);
    return st;
}

/* --- trees ------------------------------------------------------------------------------------ */

/* A folder of the tree, and its images. */
typedef struct {
    char *path;
    Names images;
} TreeFolder;

typedef struct {
    TreeFolder *folder;
    int64_t count, capacity;
} Tree;

static int by_path(const void *a, const void *b) {
    return strcmp(((const TreeFolder *)a)->path, ((const TreeFolder *)b)->path);
}

static Status tree_add(Tree *t, const char *path, Names *images, Error *err) {
    TreeFolder *longer = grown(t->folder, t->count, &t->capacity, sizeof *longer);
    if (!longer) return out_of_memory(err);
    t->folder = longer;
    TreeFolder *folder = &t->folder[t->count];
    *folder = (TreeFolder){strdup(path), *images};
    if (!folder->path) return out_of_memory(err);
    t->count++;
    *images = (Names){0};
    return OK;
}

static Status note_inner_split(Walk *w, const char *inside, const Names *folders, Error *err) {
    bool exact;
    for (int64_t i = 0; !w->inner_split && i < folders->count; i++)
        if (split_word(folders->name[i], &exact) != SPLIT_NONE && exact) {
            w->inner_split = walk_join(inside, folders->name[i]);
            if (!w->inner_split) return out_of_memory(err);
        }
    return OK;
}

static Status collect(Walk *w, Tree *tree, const char *inside, Error *err) {
    Names folders = {0}, images = {0};
    Error why = {""};
    Status st = walk_folder(w, inside, &folders, &images, &why);
    if (st == ERR_IO && w->options->skip_bad)
        st = leave(w, inside, true, LEFT_CLOSED, NULL, NULL, err);
    else if (st == ERR_IO)
        error_write(err, "%.400s (--skip_bad leaves such folders out)", why.text);
    else if (st != OK) error_write(err, "%s", why.text);
    if (st == OK && tree->count == 0) st = note_inner_split(w, inside, &folders, err);
    if (st == OK) st = tree_add(tree, inside, &images, err);
    if (folders.count) walk_enter(w, inside);
    for (int64_t i = 0; st == OK && i < folders.count; i++) {
        char *below = walk_join(inside, folders.name[i]);
        st = below ? collect(w, tree, below, err) : out_of_memory(err);
        free(below);
    }
    if (folders.count) walk_exit(w);
    names_free(&folders);
    names_free(&images);
    return st;
}

Status walk_tree(Walk *w, const char *base, const char *inside, Names *images, Error *err) {
    Tree tree = {0};
    const size_t cut = *base ? strlen(base) + 1 : 0;
    Status st = collect(w, &tree, inside, err);
    if (tree.count) qsort(tree.folder, (size_t)tree.count, sizeof *tree.folder, by_path);
    for (int64_t f = 0; f < tree.count; f++) {
        TreeFolder *t = &tree.folder[f];
        for (int64_t i = 0; st == OK && i < t->images.count; i++)
            st = names_take(images, walk_join(t->path + cut, t->images.name[i]), err);
        names_free(&t->images);
        free(t->path);
    }
    free(tree.folder);
    return st;
}

/* Leaves out every file below a folder. Links are not followed: nothing that they lead to is
 * used. */
static Status leave_tree(Walk *w, const char *inside, int depth, LeftWhy why, const char *detail,
                         Error *err) {
    Entries all = {0};
    char *path = format_text("%s/%s", w->root, inside);
    DIR *dir = path && depth < WALK_DEPTH ? opendir(path) : NULL;
    Status st = path ? OK : out_of_memory(err);
    const int64_t before = w->left->count;
    if (st == OK && dir) st = read_entries(&all, dir, err);
    if (dir) closedir(dir);
    for (int64_t i = 0; st == OK && i < all.count; i++) {
        const Entry *e = &all.entry[i];
        struct stat s;
        char *below = walk_join(inside, e->name),
             *whole = below ? format_text("%s/%s", w->root, below) : NULL;
        if (!whole) st = out_of_memory(err);
        else if (e->type != DT_REG && lstat(whole, &s) == 0 && S_ISDIR(s.st_mode))
            st = leave_tree(w, below, depth + 1, why, detail, err);
        else st = leave(w, below, false, why, NULL, detail, err);
        free(below);
        free(whole);
    }
    entries_free(&all);
    free(path);
    if (st == OK && w->left->count == before) st = leave(w, inside, true, why, NULL, detail, err);
    return st;
}

Status walk_leave(Walk *w, const char *inside, LeftWhy why, const char *detail, Error *err) {
    struct stat s;
    char *path = format_text("%s/%s", w->root, inside);
    if (!path) return out_of_memory(err);
    const bool link = lstat(path, &s) == 0 && S_ISLNK(s.st_mode);
    free(path);
    return link ? leave(w, inside, true, why, NULL, detail, err)
                : leave_tree(w, inside, 0, why, detail, err);
}

void walk_close(Walk *w) {
    free(w->content_name);
    free(w->inner_split);
    w->content_name = w->inner_split = NULL;
}
