/* place.c - files into their folders: linked, copied or made; nothing is overwritten, an earlier call is continued. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/sort/place.h"
#include "io/images/png_write.h"

static Status out_of_memory(Error *err) {
    return fail(err, ERR_MEMORY, "sort: out of memory");
}

/* Ends the call at what another picture would meet as well: a full disk, a folder without permission. */
static Status cannot_go_on(const SortPlace *p, const char *target, int why, Error *err) {
    return fail(err, ERR_IO,
                "sort: %s: %s: %lld of %lld files are placed; the same call goes on once that is "
                "mended",
                target, strerror(why), (long long)(p->count[SORT_PLACED] + p->count[SORT_THERE]),
                (long long)(p->plan->n - p->plan->left_out));
}

/* --- one file ----------------------------------------------------------------------------------------- */

/* Returns whether a regular file holds these bytes. */
static bool holds(const char *path, const void *bytes, int64_t n) {
    FileMap map;
    struct stat s;
    if (lstat(path, &s) != 0 || !S_ISREG(s.st_mode) || s.st_size != n) return false;
    if (file_map(&map, path, NULL) != OK) return false;
    const bool same = map.bytes == n && (n == 0 || memcmp(map.data, bytes, (size_t)n) == 0);
    file_unmap(&map);
    return same;
}

/* Gives the temporary file its name unless another file has it. File systems without hard links get a
 * rename; our lock keeps other calls away. Returns 0 or an errno. */
static int name_temporary(const SortPlace *p, const char *target) {
    struct stat s;
    if (link(p->temporary, target) == 0) return unlink(p->temporary) == 0 ? 0 : errno;
    if (errno == EEXIST) return EEXIST;
    if (errno != EPERM && errno != ENOTSUP && errno != ENOSYS && errno != EMLINK) return errno;
    if (lstat(target, &s) == 0) return EEXIST;
    return rename(p->temporary, target) == 0 ? 0 : errno;
}

static int write_temporary(const SortPlace *p, const void *bytes, int64_t n,
                           const struct stat *like) {
    unlink(p->temporary);
    const int fd = open(p->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) return errno;
    int why = 0;
    for (int64_t done = 0; !why && done < n;) {
        const ssize_t wrote = write(fd, (const char *)bytes + done, (size_t)(n - done));
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote < 0) why = errno;
        else if (wrote == 0) why = ENOSPC;
        else done += wrote;
    }
    if (!why && like) {
        const struct timespec times[2] = {like->st_atim, like->st_mtim};
        if (futimens(fd, times) != 0) {} /* some file systems keep no times */
        if (fchmod(fd, like->st_mode & 0777) != 0) {}
    }
    if (close(fd) != 0 && !why) why = errno;
    return why;
}

/* Places bytes as a file. `like` has mode and times, or is NULL. */
static Status place_bytes(const SortPlace *p, const void *bytes, int64_t n, const struct stat *like,
                          const char *target, SortState *state, Error *err) {
    struct stat s;
    if (lstat(target, &s) == 0) {
        *state = holds(target, bytes, n) ? SORT_THERE : SORT_IN_THE_WAY;
        return OK;
    }
    int why = write_temporary(p, bytes, n, like);
    if (!why) why = name_temporary(p, target);
    if (why) unlink(p->temporary);
    *state = why == EEXIST ? SORT_IN_THE_WAY : SORT_PLACED;
    return why && why != EEXIST ? cannot_go_on(p, target, why, err) : OK;
}

static Status place_copy(const SortPlace *p, const char *source, const char *target,
                         SortState *state, Error *err, Error *why) {
    FileMap map;
    struct stat like;
    if (stat(source, &like) != 0 || file_map(&map, source, why) != OK) {
        *state = SORT_MISSING;
        return OK;
    }
    const Status st = place_bytes(p, map.data, map.bytes, &like, target, state, err);
    file_unmap(&map);
    return st;
}

static Status place_link(const SortPlace *p, const char *source, const char *target,
                         SortState *state, Error *err) {
    struct stat a, b;
    *state = SORT_PLACED;
    if (linkat(AT_FDCWD, source, AT_FDCWD, target, AT_SYMLINK_FOLLOW) == 0) return OK;
    const int why = errno;
    if (why == EEXIST) {
        const bool same = stat(source, &a) == 0 && lstat(target, &b) == 0 && a.st_dev == b.st_dev &&
                          a.st_ino == b.st_ino;
        *state = same ? SORT_THERE : SORT_IN_THE_WAY;
        return OK;
    }
    if (stat(source, &a) != 0) {
        *state = SORT_MISSING;
        return OK;
    }
    if (why == EXDEV || why == EPERM || why == EMLINK || why == ENOTSUP)
        return fail(err, ERR_IO,
                    "sort: %s: no hard link can be made of it here (%s): choose --symlink or "
                    "--copy and another folder",
                    source, strerror(why));
    return cannot_go_on(p, target, why, err);
}

static Status place_symlink(const SortPlace *p, const char *source, const char *target,
                            SortState *state, Error *err) {
    struct stat s;
    char *real = realpath(source, NULL), *to = NULL;
    if (!real && errno == ENOMEM) return out_of_memory(err);
    if (!real) {
        *state = SORT_MISSING;
        return OK;
    }
    Status st = OK;
    *state = SORT_PLACED;
    if (symlink(real, target) != 0) {
        const int why = errno;
        const size_t n = strlen(real);
        if (why != EEXIST) {
            st = cannot_go_on(p, target, why, err);
        } else {
            to = calloc(1, n + 2);
            const bool link = to && lstat(target, &s) == 0 && S_ISLNK(s.st_mode) &&
                              readlink(target, to, n + 1) == (ssize_t)n;
            *state = link && memcmp(to, real, n) == 0 ? SORT_THERE : SORT_IN_THE_WAY;
        }
    }
    free(to);
    free(real);
    return st;
}

/* Returns the source of a sample in the list of its data set: at its row, or behind it where bad pictures
 * were left out; -1: none. */
static int64_t find_record(const SortPlan *plan, const SourceList *list, int64_t i) {
    const char *name = plan->item[i].source;
    for (int64_t at = i - sort_split_of(plan, i)->first; at < list->count; at++)
        if (strcmp(list->source[at].name, name) == 0) return at;
    return -1;
}

static Status place_record(const SortPlace *p, int64_t i, const char *target, SortState *state,
                           Error *err, Error *why) {
    const SortPlan *plan = p->plan;
    const bool val = strcmp(sort_split_of(plan, i)->name, "val") == 0;
    const SourceList *list = val ? &plan->records.val : &plan->records.train;
    const int64_t at = find_record(plan, list, i);
    Image image = {0};
    uint8_t *bytes = NULL;
    int64_t n = 0;
    Status st = OK;
    if (at < 0) st = fail(why, ERR_FORMAT, "sort: the data set has no such record");
    else st = source_image(list, at, &image, why);
    if (st == OK) st = png_bytes(&bytes, &n, &image, why);
    image_free(&image);
    if (st == ERR_MEMORY) return out_of_memory(err);
    if (st != OK) {
        *state = SORT_MISSING;
        return OK;
    }
    st = place_bytes(p, bytes, n, NULL, target, state, err);
    free(bytes);
    return st;
}

/* --- all files ---------------------------------------------------------------------------------------- */

static Status make_folders(SortPlace *p, Error *err) {
    Status st = OK;
    for (int64_t f = 0; st == OK && f < p->plan->folders; f++) {
        struct stat s;
        if (!p->plan->folder[f].wanted) continue;
        char *path = format_text("%s/%s", p->into, p->plan->folder[f].name);
        if (!path) return out_of_memory(err);
        if (mkdir(path, 0777) != 0) {
            if (errno != EEXIST) st = cannot_go_on(p, path, errno, err);
            else if (lstat(path, &s) != 0 || !S_ISDIR(s.st_mode))
                st = fail(err, ERR_IO, "sort: %s: another file has the name of a folder", path);
        }
        free(path);
    }
    return st;
}

static Status place_one(SortPlace *p, int64_t i, const char *target, SortState *state, Error *why,
                        Error *err) {
    SortPlan *plan = p->plan;
    *why = (Error){"the picture is not there"};
    if (sort_is_record(sort_split_of(plan, i), plan->item[i].source))
        return place_record(p, i, target, state, err, why);
    char *source = sort_source_path(plan, i);
    if (!source) return out_of_memory(err);
    const char *how = plan->options->how;
    const Status st = strcmp(how, "copy") == 0      ? place_copy(p, source, target, state, err, why)
                      : strcmp(how, "symlink") == 0 ? place_symlink(p, source, target, state, err)
                                                    : place_link(p, source, target, state, err);
    free(source);
    return st;
}

Status sort_place_all(SortPlace *p, Error *err) {
    SortPlan *plan = p->plan;
    const TurtleHooks *hooks = &plan->options->common.hooks;
    TurtleProgress progress = {.unit = "files", .iterations = plan->n - plan->left_out};
    const double started = now_seconds();
    bool stop = false;
    Status st = make_folders(p, err);
    for (int64_t i = 0; st == OK && i < plan->n; i++) {
        SortItem *item = &plan->item[i];
        Error why;
        if (item->folder < 0) continue;
        if (stop || stop_asked(hooks))
            return fail(err, ERR_STOPPED,
                        "sort: stopped: %lld of %lld files are placed; the same call goes on",
                        (long long)(p->count[SORT_PLACED] + p->count[SORT_THERE]),
                        (long long)progress.iterations);
        char *target =
            format_text("%s/%s/%s", p->into, plan->folder[item->folder].name, sort_file_name(item));
        if (!target) return out_of_memory(err);
        st = place_one(p, i, target, &item->state, &why, err);
        if (st == OK) p->count[item->state]++;
        if (st == OK && !p->first.text[0] && item->state == SORT_MISSING)
            error_write(&p->first, "%s: %s", item->source, why.text);
        if (st == OK && !p->first.text[0] && item->state == SORT_IN_THE_WAY)
            error_write(&p->first, "%s: another file has the place, and stays", target);
        free(target);
        progress.iteration++;
        progress.seconds = now_seconds() - started;
        if (progress.iteration % 64 == 0) stop = progress_tell(hooks, &progress);
    }
    return st;
}

Status sort_place_table(SortPlace *p, const char *name, Error *err) {
    FileMap map;
    SortState state = SORT_PLACED;
    char *target = format_text("%s/%s", p->into, name);
    if (!target) return out_of_memory(err);
    Status st = OK;
    if (!p->finished) {
        if (rename(p->temporary, target) != 0) st = cannot_go_on(p, target, errno, err);
    } else {
        st = file_map(&map, p->temporary, err);
        if (st == OK) {
            const int why = name_temporary(p, target);
            if (why == EEXIST && !holds(target, map.data, map.bytes)) state = SORT_IN_THE_WAY;
            else if (why && why != EEXIST) st = cannot_go_on(p, target, why, err);
            file_unmap(&map);
            unlink(p->temporary);
        }
    }
    if (state == SORT_IN_THE_WAY)
        notice(&p->plan->options->common.hooks,
               "sort: %s was changed since it was written, and stays as it is", target);
    free(target);
    return st;
}

/* Returns how many entries a folder has, or -1. */
static int64_t count_entries(const char *path) {
    DIR *folder = opendir(path);
    int64_t n = folder ? 0 : -1;
    for (const struct dirent *e; folder && (e = readdir(folder));)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    if (folder) closedir(folder);
    return n;
}

Status sort_place_finish(SortPlace *p, Error *err) {
    SortPlan *plan = p->plan;
    int64_t *here = calloc((size_t)plan->folders, sizeof *here);
    if (!here) return out_of_memory(err);
    for (int64_t i = 0; i < plan->n; i++)
        if (plan->item[i].state == SORT_PLACED || plan->item[i].state == SORT_THERE)
            here[plan->item[i].folder]++;
    Status st = OK;
    for (int64_t f = 0; st == OK && f < plan->folders; f++) {
        char *path = format_text("%s/%s", p->into, plan->folder[f].name);
        if (!path) st = out_of_memory(err);
        const int64_t found = path && plan->folder[f].wanted ? count_entries(path) : 0;
        if (st == OK && (found < here[f] || here[f] > plan->folder[f].wanted))
            st = fail(err, ERR_IO, "sort: %s holds %lld files, and %lld were placed there", path,
                      (long long)found, (long long)here[f]);
        else if (st == OK) p->strangers += found - here[f];
        free(path);
    }
    free(here);
    if (st == OK && p->count[SORT_MISSING] + p->count[SORT_IN_THE_WAY] == 0)
        st = sort_mark(p, true, err);
    return st;
}
