/* lists_folder.c - image folders and list files as lists of sources. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "sources.h"

enum { MAX_DEPTH = 16 };

/* --- entries of a folder ---------------------------------------------------------------------- */

typedef struct {
    char **name; /* owned */
    int64_t count, capacity;
} Names;

static Status names_add(Names *n, const char *name, Error *err) {
    if (n->count == n->capacity) {
        const int64_t capacity = n->capacity ? 2 * n->capacity : 64;
        char **longer = realloc(n->name, (size_t)capacity * sizeof *longer);
        if (!longer) return fail(err, ERR_MEMORY, "images: out of memory");
        n->name = longer;
        n->capacity = capacity;
    }
    n->name[n->count] = strdup(name);
    if (!n->name[n->count]) return fail(err, ERR_MEMORY, "images: out of memory");
    n->count++;
    return OK;
}

static void names_free(Names *n) {
    for (int64_t i = 0; i < n->count; i++) free(n->name[i]);
    free(n->name);
    *n = (Names){0};
}

/* Bytes of UTF-8 sort as their code points do. */
static int by_code_point(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_image_name(const char *name) {
    static const char *const extensions[] = {"jpg", "jpeg", "png",  "bmp",  "ppm", "pgm",
                                             "pnm", "tif",  "tiff", "webp", "gif"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof extensions / sizeof *extensions; i++)
        if (strcasecmp(dot + 1, extensions[i]) == 0) return true;
    return false;
}

/* Folders and images of a folder, sorted; links are followed, hidden entries are not seen. */
static Status read_folder(Names *folders, Names *images, const char *path, Error *err) {
    DIR *dir = opendir(path);
    if (!dir) return fail(err, ERR_IO, "images: %s: %s", path, strerror(errno));
    Status st = OK;
    for (struct dirent *e; st == OK && (e = readdir(dir));) {
        struct stat s;
        if (e->d_name[0] == '.') continue;
        char *whole = format_text("%s/%s", path, e->d_name);
        if (!whole) st = fail(err, ERR_MEMORY, "images: %s: out of memory", path);
        else if (stat(whole, &s) == 0 && S_ISDIR(s.st_mode))
            st = names_add(folders, e->d_name, err);
        else if (is_image_name(e->d_name)) st = names_add(images, e->d_name, err);
        free(whole);
    }
    closedir(dir);
    if (folders->count) qsort(folders->name, (size_t)folders->count, sizeof(char *), by_code_point);
    if (images->count) qsort(images->name, (size_t)images->count, sizeof(char *), by_code_point);
    return st;
}

/* --- folders ---------------------------------------------------------------------------------- */

/* The images of <root>/<inside>, then those of its folders. Python's os.walk, sorted by folder. */
static Status add_below(SourceList *list, const char *root, const char *inside, int64_t label,
                        int depth, Error *err) {
    Names folders = {0}, images = {0};
    char *path = format_text("%s/%s", root, inside);
    Status st = path ? OK : fail(err, ERR_MEMORY, "images: out of memory");
    if (st == OK && depth > MAX_DEPTH)
        st = fail(err, ERR_FORMAT, "images: %s: more than %d folders deep (a link to itself?)",
                  path, MAX_DEPTH);
    if (st == OK) st = read_folder(&folders, &images, path, err);
    for (int64_t i = 0; st == OK && i < images.count; i++) {
        char *name = format_text("%s/%s", inside, images.name[i]);
        st = name ? source_add(list, name, label, -1, 0, err)
                  : fail(err, ERR_MEMORY, "images: out of memory");
        free(name);
    }
    for (int64_t i = 0; st == OK && i < folders.count; i++) {
        char *name = format_text("%s/%s", inside, folders.name[i]);
        st = name ? add_below(list, root, name, label, depth + 1, err)
                  : fail(err, ERR_MEMORY, "images: out of memory");
        free(name);
    }
    names_free(&folders);
    names_free(&images);
    free(path);
    return st;
}

static Status no_images(const char *folder, Error *err) {
    return fail(err, ERR_FORMAT,
                "images: %s: no images: expected <class>/<image>, <image>, or train/ and val/ of "
                "those (jpg, png, bmp, ppm, pgm)",
                folder);
}

/* The label of a class folder in the list that knows it; -1 if it does not. */
static int64_t label_of(const SourceList *known, const char *name) {
    for (int64_t i = 0; known->class_name && known->class_name[i]; i++)
        if (strcmp(known->class_name[i], name) == 0) return i;
    return -1;
}

/* The list takes the sorted folders as its classes. */
static Status keep_classes(SourceList *list, Names *folders, int64_t classes, Error *err) {
    char **names = realloc(folders->name, (size_t)(folders->count + 1) * sizeof *names);
    if (!names) return fail(err, ERR_MEMORY, "images: out of memory");
    names[folders->count] = NULL;
    list->class_name = names;
    list->classes = classes;
    *folders = (Names){0};
    return OK;
}

/* One split: class folders, or images. `known` are the classes of another split, or NULL. */
static Status add_split(SourceList *list, const char *folder, const SourceList *known, Error *err) {
    Names folders = {0}, images = {0};
    list->folder = strdup(folder);
    Status st = list->folder ? OK : fail(err, ERR_MEMORY, "images: out of memory");
    if (st == OK) st = read_folder(&folders, &images, folder, err);
    for (int64_t i = 0; st == OK && i < images.count; i++)
        st = source_add(list, images.name[i], -1, -1, 0, err);
    for (int64_t i = 0; st == OK && i < folders.count; i++) {
        const int64_t label = known ? label_of(known, folders.name[i]) : i;
        if (label < 0)
            st = fail(err, ERR_FORMAT, "images: %s/%s: the training split has no such class",
                      folder, folders.name[i]);
        else st = add_below(list, folder, folders.name[i], label, 1, err);
    }
    if (st == OK && list->count == 0) st = no_images(folder, err);
    if (st == OK && images.count && folders.count && list->count > images.count)
        st = fail(err, ERR_FORMAT,
                  "images: %s: images (%s) beside class folders (%s): expected one or the other",
                  folder, images.name[0], folders.name[0]);
    if (st == OK && folders.count && !images.count)
        st = keep_classes(list, &folders, known ? known->classes : folders.count, err);
    names_free(&folders);
    names_free(&images);
    return st;
}

static bool is_folder(const char *parent, const char *name) {
    struct stat s;
    char *path = format_text("%s/%s", parent, name);
    const bool yes = path && stat(path, &s) == 0 && S_ISDIR(s.st_mode);
    free(path);
    return yes;
}

Status sources_folder(SourceSplits *out, const char *folder, Error *err) {
    static const char *const val_names[] = {"val", "valid", "test"};
    *out = (SourceSplits){0};
    const char *val = NULL;
    for (int i = 0; i < 3 && !val; i++)
        if (is_folder(folder, val_names[i])) val = val_names[i];
    Status st;
    if (is_folder(folder, "train")) {
        char *train_path = format_text("%s/train", folder),
             *val_path = format_text("%s/%s", folder, val ? val : "");
        st = train_path && val_path ? OK : fail(err, ERR_MEMORY, "images: out of memory");
        if (st == OK) st = add_split(&out->train, train_path, NULL, err);
        if (st == OK && val)
            st = add_split(&out->val, val_path, out->train.class_name ? &out->train : NULL, err);
        free(train_path);
        free(val_path);
    } else {
        st = add_split(&out->train, folder, NULL, err);
    }
    if (st != OK) sources_close(out);
    return st;
}

/* --- list files ------------------------------------------------------------------------------- */

static Status bad_line(const char *path, int64_t number, const char *what, const char *found,
                       Error *err) {
    return fail(err, ERR_FORMAT,
                "list: %s: line %lld: %s '%.60s': expected split<TAB>label<TAB>path", path,
                (long long)number, what, found);
}

static Status add_line(SourceSplits *out, char *line, const char *path, int64_t number,
                       Error *err) {
    static const char *const val_names[] = {"val", "valid", "test"};
    char *label_text = strchr(line, '\t'), *name = label_text ? strchr(label_text + 1, '\t') : NULL;
    if (!name || !name[1]) return bad_line(path, number, "too few columns in", line, err);
    *label_text++ = *name++ = '\0';
    SourceList *list = strcmp(line, "train") == 0 ? &out->train : NULL;
    for (int i = 0; i < 3; i++)
        if (strcmp(line, val_names[i]) == 0) list = &out->val;
    if (!list) return bad_line(path, number, "unknown split", line, err);
    int64_t label = -1;
    if (strcmp(label_text, "-") != 0) {
        char *end;
        errno = 0;
        label = strtoll(label_text, &end, 10);
        if (end == label_text || *end || errno || label < 0 || label > 1 << 24)
            return bad_line(path, number, "bad label", label_text, err);
    }
    return source_add(list, name, label, -1, 0, err);
}

Status sources_list(SourceSplits *out, const char *path, Error *err) {
    FileMap map;
    *out = (SourceSplits){0};
    Status st = file_read_text(&map, path, err);
    if (st != OK) return st;
    const char *slash = strrchr(path, '/');
    char *text = malloc((size_t)map.bytes + 1);
    SourceList *const lists[] = {&out->train, &out->val};
    for (int i = 0; i < 2; i++) {
        lists[i]->folder =
            slash ? strndup(path, (size_t)(slash - path) + (slash == path)) : strdup(".");
        if (!lists[i]->folder) st = ERR_MEMORY;
    }
    if (!text || st != OK) st = fail(err, ERR_MEMORY, "list: %s: out of memory", path);
    if (st == OK && map.bytes) memcpy(text, map.data, (size_t)map.bytes);
    if (st == OK) text[map.bytes] = '\0';
    char *line = text;
    for (int64_t number = 1; st == OK && *line; number++) {
        char *end = strchr(line, '\n'), *next = end ? end + 1 : line + strlen(line);
        if (!end) end = next;
        if (end > line && end[-1] == '\r') end--;
        *end = '\0';
        if (*line && *line != '#') st = add_line(out, line, path, number, err);
        line = next;
    }
    if (st == OK && out->train.count + out->val.count == 0)
        st = fail(err, ERR_FORMAT,
                  "list: %s: no image in it: expected lines split<TAB>label<TAB>path", path);
    free(text);
    file_unmap(&map);
    if (st != OK) sources_close(out);
    return st;
}
