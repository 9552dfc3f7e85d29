/* target.c - the folder that pictures go into: what is refused before the first file, lock and mark. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/sort/place.h"

#define MARK ".turtle_sort" /* how the names of our own files begin */

static Status out_of_memory(Error *err) {
    return fail(err, ERR_MEMORY, "sort: out of memory");
}

/* Returns the real path of a folder that may not be there yet, in fresh memory; NULL: out of memory. *s is
 * that of the last part which is there. */
static char *future_path(const char *path, struct stat *s) {
    char *there = strdup(path[0] ? path : "."), *whole = NULL;
    size_t n = there ? strlen(there) : 0;
    while (there && !whole) {
        char *real = realpath(n ? there : path[0] == '/' ? "/" : ".", NULL);
        if (real && stat(real, s) == 0)
            whole = format_text("%s%s%s", strcmp(real, "/") == 0 ? "" : real,
                                path[n] && path[n] != '/' ? "/" : "", path + n);
        const bool end = real || n == 0;
        free(real);
        if (end) break;
        while (n > 0 && there[n - 1] == '/') n--;
        while (n > 0 && there[n - 1] != '/') n--;
        there[n] = '\0';
    }
    free(there);
    return whole;
}

/* Returns whether a folder is `outer` or lies below it. */
static bool lies_in(const char *path, const char *outer) {
    const size_t n = strlen(outer);
    return strncmp(path, outer, n) == 0 &&
           (!path[n] || path[n] == '/' || (n && outer[n - 1] == '/'));
}

/* Looks at every picture: whether it is there, and for hard links on the file system of the folder. */
static Status check_sources(const SortPlan *plan, const char *into, const struct stat *there,
                            Error *err) {
    const bool hard = strcmp(plan->options->how, "link") == 0;
    int64_t looked = 0, missing = 0;
    char *first = NULL;
    Status st = OK;
    for (int64_t i = 0; st == OK && i < plan->n; i++) {
        struct stat s;
        if (plan->item[i].folder < 0 ||
            sort_is_record(sort_split_of(plan, i), plan->item[i].source))
            continue;
        char *path = sort_source_path(plan, i);
        if (!path) st = out_of_memory(err);
        else if (stat(path, &s) != 0 || !S_ISREG(s.st_mode)) missing++;
        else if (hard && s.st_dev != there->st_dev)
            st = fail(err, ERR_ARG,
                      "sort: %s and %s lie on different file systems, where no hard link can lead: "
                      "choose --symlink or --copy",
                      path, into);
        if (!looked++) first = path;
        else free(path);
    }
    if (st == OK && looked && missing == looked)
        st = fail(err, ERR_IO,
                  "sort: %s: no picture is there: were they moved? The run knows them by this path",
                  first);
    free(first);
    return st;
}

static Status check_place(const SortPlan *plan, const char *into, Error *err) {
    for (int s = 0; s < plan->run.splits; s++) {
        const char *images = plan->run.split[s].images;
        char *real = images ? realpath(images, NULL) : NULL;
        const bool inside = real && lies_in(into, real);
        free(real);
        if (inside)
            return fail(err, ERR_ARG,
                        "sort: %s lies inside the folder of the pictures, %s: they would be found "
                        "twice from now on. Choose a folder outside",
                        into, images);
    }
    return OK;
}

/* --- the mark ----------------------------------------------------------------------------------------- */

static Status add_file(Made *m, const char *name, const char *path, Error *err) {
    FileMap map;
    const Status st = file_read_text(&map, path, err);
    if (st != OK) return st;
    made_add_bytes(m, name, "file", map.data, map.bytes);
    file_unmap(&map);
    return OK;
}

static Status made_of(const SortPlan *plan, Made *m, Error *err) {
    const TurtleSortOptions *o = plan->options;
    *m = (Made){0};
    made_add(m, "how", "%s", o->how);
    made_add(m, "min_confidence", "%g", o->min_confidence);
    Status st = OK;
    for (int s = 0; st == OK && s < plan->run.splits; s++) {
        char name[32];
        snprintf(name, sizeof name, "predictions_%s", plan->run.split[s].name);
        st = add_file(m, name, plan->run.split[s].predictions, err);
    }
    /* Names may come through a pipe, which cannot be read again: what they mean is kept. */
    char *text = NULL;
    size_t bytes = 0;
    FILE *f = open_memstream(&text, &bytes);
    for (int64_t c = 0; f && c < plan->names.classes; c++)
        fprintf(f, "%s%c", plan->names.name[c], '\n');
    if (!f || fclose(f) != 0 || !text) st = out_of_memory(err);
    else made_add_bytes(m, "cluster_names", "names", text, (int64_t)bytes);
    free(text);
    return st;
}

Status sort_mark(SortPlace *p, bool finished, Error *err) {
    Made made;
    Json j = {0};
    Status st = made_of(p->plan, &made, err);
    if (st != OK) return st;
    json_open(&j, NULL);
    json_text(&j, "command", "sort");
    json_bool(&j, "finished", finished);
    made_json(&j, &made);
    json_close(&j);
    char *text = json_take(&j), *path = format_text("%s/" MARK ".json", p->into);
    unlink(p->temporary); /* of a call that was killed: a placed file may still share its bytes */
    FILE *f = text && path ? fopen(p->temporary, "wbx") : NULL;
    if (!text || !path) {
        st = out_of_memory(err);
    } else {
        errno = 0;
        bool good = f && fprintf(f, "%s\n", text) > 0 && fflush(f) == 0;
        const int why = errno;
        if (f) good = fclose(f) == 0 && good;
        if (good) good = rename(p->temporary, path) == 0;
        if (!good) {
            unlink(p->temporary);
            st = fail(err, ERR_IO, "sort: %s: could not be written: %s", path,
                      strerror(why ? why : errno));
        }
    }
    free(text), free(path);
    return st;
}

/* Compares with the mark of an earlier call, or makes sure that the folder is empty. */
static Status check_mark(SortPlace *p, Error *err) {
    MadeFile before;
    Made now;
    char differs[MADE_TEXT], *path = format_text("%s/" MARK ".json", p->into);
    if (!path) return out_of_memory(err);
    Status st = OK;
    if (file_exists(path)) {
        st = made_read(&before, path, err);
        if (st == OK) st = made_of(p->plan, &now, err);
        if (st == OK && (!before.known || made_differs(differs, &before.made, &now)))
            st = fail(err, ERR_ARG,
                      "sort: %s was sorted otherwise (%s): choose another folder, or remove it",
                      p->into, before.known ? differs : "its mark is not ours");
        p->finished = st == OK && before.finished;
    } else {
        DIR *folder = opendir(p->into);
        if (!folder) st = fail(err, ERR_IO, "sort: %s: %s", p->into, strerror(errno));
        for (const struct dirent *e; st == OK && (e = readdir(folder));)
            if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
                strncmp(e->d_name, MARK, strlen(MARK)) != 0)
                st = fail(err, ERR_ARG,
                          "sort: %s holds files that sort did not place there, '%s' for one: "
                          "choose a new folder",
                          p->into, e->d_name);
        if (folder) closedir(folder);
    }
    free(path);
    return st;
}

Status sort_place_open(SortPlace *out, SortPlan *plan, Error *err) {
    struct stat there = {0};
    *out = (SortPlace){.plan = plan};
    const char *given = plan->options->into;
    char *into = future_path(given, &there), *lock = NULL;
    if (!into) return out_of_memory(err);
    Status st = check_place(plan, into, err);
    if (st == OK) st = check_sources(plan, into, &there, err);
    if (st == OK) st = folder_make(given, err);
    if (st == OK && !(out->into = realpath(given, NULL)))
        st = fail(err, ERR_IO, "sort: %s: %s", given, strerror(errno));
    if (st == OK && access(out->into, W_OK | X_OK) != 0)
        st = fail(err, ERR_IO, "sort: %s: cannot be written into: %s", out->into, strerror(errno));
    if (st == OK) {
        lock = format_text("%s/" MARK ".lock", out->into);
        out->temporary = format_text("%s/" MARK ".tmp", out->into);
        if (!lock || !out->temporary) st = out_of_memory(err);
    }
    if (st == OK) st = check_mark(out, err);
    if (st == OK) st = lock_open(&out->lock, lock, out->into, err);
    if (st == OK && !out->finished) st = sort_mark(out, false, err);
    free(lock);
    free(into);
    if (st != OK) sort_place_close(out);
    return st;
}

void sort_place_close(SortPlace *p) {
    if (!p) return;
    if (p->lock.path && p->temporary) unlink(p->temporary);
    lock_close(&p->lock);
    free(p->into);
    free(p->temporary);
    p->into = p->temporary = NULL;
}
