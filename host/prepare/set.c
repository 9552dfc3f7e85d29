/* set.c - from archives to a stage, and from the stage into place. */
#include "host/prepare/special.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/prepare/fetch.h"
#include "host/tell/lines.h"
#include "host/tell/notify.h"
#include "io/datasets/sources.h"
#include "io/files/file.h"

static bool is_checkpoints(const Manifest *m) {
    return strcmp(m->set, "checkpoints") == 0;
}

/* --- counts --------------------------------------------------------------------------------------- */

static Status compare(const Manifest *m, const char *what, int64_t found, int64_t published,
                      const char *folder, Error *err) {
    if (published < 0 || found == published) return OK;
    return fail(err, ERR_FORMAT,
                "prepare: %s: %lld %s below %s: expected %lld; --unverified takes them as they are",
                m->set, (long long)found, what, folder, (long long)published);
}

/* Counts the pictures of <folder>/<class>/ and the classes that have any, by torchvision's endings. A list of a
 * million pictures would take more memory than all the rest of the work. */
static Status count_classes(const char *folder, int64_t *images, int64_t *classes, Error *err) {
    static const char *const endings[] = {".jpg", ".jpeg", ".png",  ".ppm", ".bmp",
                                          ".pgm", ".tif",  ".tiff", ".webp"};
    DIR *all = opendir(folder);
    Status st = all ? OK : fail(err, ERR_IO, "prepare: %s: %s", folder, strerror(errno));
    *images = *classes = 0;
    for (struct dirent *c; st == OK && (c = readdir(all)) != NULL;) {
        const int64_t before = *images;
        char *inside = c->d_name[0] != '.' ? format_text("%s/%s", folder, c->d_name) : NULL;
        DIR *class = inside ? opendir(inside) : NULL; /* a file beside the classes is none */
        for (struct dirent *e; class && (e = readdir(class)) != NULL;) {
            const char *dot = e->d_name[0] != '.' ? strrchr(e->d_name, '.') : NULL;
            for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++)
                *images += strcasecmp(dot, endings[i]) == 0;
        }
        *classes += *images > before;
        if (class) closedir(class);
        free(inside);
    }
    if (all) closedir(all);
    return st;
}

/* Counts the sets of a million pictures without listing them. *known: the set is one of those. */
static Status count_large(SetCounts *out, bool *known, const Manifest *m, const char *folder,
                          Error *err) {
    static const struct {
        const char *set, *train, *val;
    } large[] = {{"imagenet", "imagenet/train", "imagenet/val"},
                 {"kinetics700", "k700/train_images", "k700/val_images"}};
    Status st = OK;
    *known = false;
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
        if (strcmp(large[i].set, m->set) != 0) continue;
        int64_t val_classes = 0;
        char *train = format_text("%s/%s", folder, large[i].train),
             *val = format_text("%s/%s", folder, large[i].val);
        *known = true;
        st = train && val ? count_classes(train, &out->train, &out->classes, err)
                          : fail(err, ERR_MEMORY, "prepare: out of memory");
        if (st == OK) st = count_classes(val, &out->val, &val_classes, err);
        if (val_classes > out->classes) out->classes = val_classes;
        free(train);
        free(val);
    }
    return st;
}

static Status count_listed(SetCounts *out, const Manifest *m, const char *folder, Error *err) {
    SourceSplits splits = {0};
    const ListingOptions options = {.exact = true};
    const Status st = sources_dataset(&splits, m->set, folder, &options, err);
    if (st == OK) {
        out->train = splits.train.count;
        out->val = splits.val.count;
        out->classes =
            splits.train.classes > splits.val.classes ? splits.train.classes : splits.val.classes;
    }
    sources_close(&splits);
    return st;
}

Status set_count(SetCounts *out, const Manifest *m, const char *folder, bool unverified,
                 Error *err) {
    bool large;
    Status st = count_large(out, &large, m, folder, err);
    if (!large) st = count_listed(out, m, folder, err);
    if (st == OK && out->train + out->val == 0)
        st = fail(err, ERR_FORMAT, "prepare: %s: no image below %s", m->set, folder);
    if (st == OK && !unverified) st = compare(m, "classes", out->classes, m->classes, folder, err);
    if (st == OK && !unverified)
        st = compare(m, "training images", out->train, m->train, folder, err);
    if (st == OK && !unverified)
        st = compare(m, "validation images", out->val, m->val, folder, err);
    return st;
}

/* --- the stage ------------------------------------------------------------------------------------- */

/* Returns a line that names the archive as it is now, in fresh memory; a changed one has another line. */
static char *identity(const SetJob *job, int i) {
    const Found *f = &job->found[i];
    struct stat s;
    char *path = f->name ? format_text("%s/%s", f->path, f->name) : format_text("%s", f->path);
    char *line = NULL;
    if (path && stat(path, &s) == 0)
        line = format_text("%s\t%s\t%lld\t%lld", job->manifest.archive[i].name, path,
                           (long long)s.st_size, (long long)s.st_mtime);
    free(path);
    return line;
}

static bool has_line(const char *text, const char *word, const char *line) {
    const size_t n = strlen(word) + 1 + strlen(line);
    for (const char *at = text; at && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL)
        if (strcspn(at, "\n") == n && strncmp(at, word, strlen(word)) == 0 &&
            strncmp(at + strlen(word) + 1, line, strlen(line)) == 0)
            return true;
    return false;
}

/* Reads <stage>/.state, fresh memory, "" without one. A stage that was begun with other archives is removed. */
static Status open_stage(SetJob *job, char **state, Error *err) {
    char *path = format_text("%s/.state", job->stage);
    FileMap map = {0};
    *state = NULL;
    Status st = path ? OK : fail(err, ERR_MEMORY, "prepare: out of memory");
    if (st == OK && file_map(&map, path, NULL) == OK)
        *state = strndup((const char *)map.data, (size_t)map.bytes);
    file_unmap(&map);
    int begun = 0, same = 0;
    for (const char *at = *state; at && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL)
        begun += strncmp(at, "begin\t", 6) == 0;
    for (int i = 0; i < job->manifest.archives; i++) {
        char *line = job->found[i].kind != FOUND_NOT && set_needs(job, i) ? identity(job, i) : NULL;
        same += line && *state && has_line(*state, "begin", line);
        free(line);
    }
    if (st == OK && (!*state || begun != same)) {
        free(*state);
        *state = NULL;
        st = remove_tree(job->stage, err);
        if (st == OK) st = folder_make(job->stage, err);
    }
    if (st == OK && !*state) *state = strdup("");
    if (st == OK && !*state) st = fail(err, ERR_MEMORY, "prepare: out of memory");
    free(path);
    return st;
}

static Status write_state(const SetJob *job, const char *word, const char *line, Error *err) {
    char *path = format_text("%s/.state", job->stage), *text = format_text("%s\t%s", word, line);
    const Status st = path && text ? file_append_line(path, text, err)
                                   : fail(err, ERR_MEMORY, "prepare: out of memory");
    free(path);
    free(text);
    return st;
}

bool stage_has(const SetJob *job, const char *word) {
    FileMap map = {0};
    char *path = format_text("%s/.state", job->stage), *text = NULL;
    if (path && file_map(&map, path, NULL) == OK)
        text = strndup((const char *)map.data, (size_t)map.bytes);
    file_unmap(&map);
    const bool has = text && has_line(text, "done", word);
    free(path);
    free(text);
    return has;
}

Status stage_note(const SetJob *job, const char *word, Error *err) {
    return write_state(job, "done", word, err);
}

/* Brings every archive of the way into the stage. What an earlier call finished is kept. */
static Status fill_stage(SetJob *job, Error *err) {
    char *state = NULL;
    Status st = open_stage(job, &state, err);
    for (int i = 0; st == OK && i < job->manifest.archives; i++) {
        Placed placed = {0};
        char size[24];
        if (!set_needs(job, i)) continue;
        char *line = identity(job, i);
        if (!line) st = fail(err, ERR_IO, "prepare: %s: it is gone", job->manifest.archive[i].name);
        else if (!has_line(state, "done", line)) {
            if (!has_line(state, "begin", line)) st = write_state(job, "begin", line, err);
            notice(job->hooks, "prepare: %s is brought to its place",
                   job->manifest.archive[i].name);
            if (st == OK) st = special_place(job, i, &placed, err);
            if (st == OK) st = write_state(job, "done", line, err);
            if (st == OK)
                notice(job->hooks, "prepare: %s: %lld files, %s", job->manifest.archive[i].name,
                       (long long)placed.files, size_text_of(size, placed.bytes));
        }
        free(line);
    }
    free(state);
    if (st == OK) st = special_finish(job, err);
    return st;
}

/* --- into place -------------------------------------------------------------------------------------- */

/* Renames what is there to <path>.before, or .before2 and so on. */
static Status set_aside(const SetJob *job, const char *path, Error *err) {
    struct stat s;
    if (lstat(path, &s) != 0) return OK;
    for (int i = 1; i < 100; i++) {
        char number[16] = "";
        if (i > 1) snprintf(number, sizeof number, "%d", i);
        char *aside = format_text("%s.before%s", path, number);
        if (!aside) return fail(err, ERR_MEMORY, "prepare: out of memory");
        const bool taken = lstat(aside, &s) == 0, moved = !taken && rename(path, aside) == 0;
        if (moved)
            notice(job->hooks, "prepare: %s was there and was not the whole data set: it is %s now",
                   path, aside);
        free(aside);
        if (moved) return OK;
        if (!taken)
            return fail(err, ERR_IO, "prepare: %s: cannot be set aside: %s", path, strerror(errno));
    }
    return fail(err, ERR_IO, "prepare: %s: too many older copies beside it: remove them", path);
}

static Status move_one(const SetJob *job, const char *name, SetCounts *out, Error *err) {
    char *from = format_text("%s/%s", job->stage, name),
         *to = format_text("%s/%s", job->base, name);
    Status st =
        from && to ? set_aside(job, to, err) : fail(err, ERR_MEMORY, "prepare: out of memory");
    if (st == OK && rename(from, to) != 0)
        st = fail(err, ERR_IO, "prepare: %s: %s", to, strerror(errno));
    if (st == OK) {
        free(out->place);
        out->place = to;
        to = NULL;
    }
    free(from);
    free(to);
    return st;
}

static Status move_into_place(const SetJob *job, SetCounts *out, Error *err) {
    DIR *folder = opendir(job->stage);
    Status st = OK;
    if (!folder) return fail(err, ERR_IO, "prepare: %s: %s", job->stage, strerror(errno));
    sync(); /* what is renamed is on the disk */
    for (struct dirent *e; st == OK && (e = readdir(folder)) != NULL;)
        if (e->d_name[0] != '.') st = move_one(job, e->d_name, out, err);
    closedir(folder);
    return st == OK ? remove_tree(job->stage, err) : st;
}

/* --- the whole way ------------------------------------------------------------------------------------- */

static Status open_job(SetJob *job, const TurtlePrepareOptions *o, const char *set,
                       const char *base, Error *err) {
    struct stat s;
    *job = (SetJob){.options = o, .hooks = &o->common.hooks};
    Status st = manifest_find(&job->manifest, set, err);
    if (st != OK) return st;
    char *wanted = format_text("%s/%s", o->common.root_dir, base);
    st = wanted ? folder_make(wanted, err) : fail(err, ERR_MEMORY, "prepare: out of memory");
    if (st == OK) job->base = realpath(wanted, NULL);
    if (st == OK && !job->base) st = fail(err, ERR_IO, "prepare: %s: %s", wanted, strerror(errno));
    if (st == OK && o->from) job->from = realpath(o->from, NULL);
    if (st == OK && o->from && !job->from)
        st = fail(err, ERR_IO, "prepare: --from %s: %s", o->from, strerror(errno));
    if (st == OK && job->from && (stat(job->from, &s) != 0 || !S_ISDIR(s.st_mode)))
        st = fail(err, ERR_ARG, "prepare: --from %s is no folder: give the folder that holds it",
                  o->from);
    if (st == OK) {
        job->archives = format_text("%s/archives/%s", job->base, job->manifest.store);
        job->stage = format_text("%s/.prepare-%s", job->base, job->manifest.set);
        char *lock = format_text("%s/.prepare-%s.lock", job->base, job->manifest.set);
        st = job->archives && job->stage && lock ? lock_open(&job->lock, lock, job->base, err)
                                                 : fail(err, ERR_MEMORY, "prepare: out of memory");
        free(lock);
    }
    free(wanted);
    return st;
}

static void close_job(SetJob *job) {
    for (int i = 0; i < MANIFEST_ARCHIVES; i++) {
        free(job->found[i].path);
        free(job->found[i].name);
    }
    lock_close(&job->lock);
    free(job->base);
    free(job->archives);
    free(job->stage);
    free(job->from);
    manifest_free(&job->manifest);
}

/* Says what the archives take, which stay. */
static void tell_archives(const SetJob *job) {
    int64_t bytes = 0;
    struct stat s;
    char size[24];
    for (int i = 0; i < job->manifest.archives; i++)
        if (job->found[i].own && job->found[i].path && stat(job->found[i].path, &s) == 0)
            bytes += (int64_t)s.st_size;
    if (bytes)
        notice(job->hooks, "prepare: the archives stay in %s (%s); nothing reads them any more",
               job->archives, size_text_of(size, bytes));
}

static Status prepare_job(SetJob *job, SetCounts *out, Error *err) {
    const Manifest *m = &job->manifest;
    const bool unverified = job->options->unverified, counted = !is_checkpoints(m);
    Error already = {""};
    if (unverified)
        notice(job->hooks,
               "prepare: --unverified: neither sizes nor digests nor counts are checked");
    if (counted && set_count(out, m, job->base, unverified, &already) == OK) {
        notice(job->hooks, "prepare: %s is there already", m->set);
        out->place = format_text("%s", job->base);
        return out->place ? OK : fail(err, ERR_MEMORY, "prepare: out of memory");
    }
    *out = (SetCounts){.train = -1, .val = -1, .classes = -1};
    Status st = set_gather(job, err);
    if (st == OK) st = fill_stage(job, err);
    if (st == OK && counted) st = set_count(out, m, job->stage, unverified, err);
    if (st == OK) st = move_into_place(job, out, err);
    if (st == OK) tell_archives(job);
    return st;
}

Status set_prepare(SetCounts *out, const TurtlePrepareOptions *options, const char *set,
                   const char *base, Error *err) {
    SetJob job;
    *out = (SetCounts){.train = -1, .val = -1, .classes = -1};
    Status st = open_job(&job, options, set, base, err);
    if (st == OK) st = prepare_job(&job, out, err);
    out->verified = st == OK && !options->unverified;
    close_job(&job);
    return st;
}
