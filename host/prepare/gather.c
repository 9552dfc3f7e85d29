/* gather.c - the archives of a data set: found, chosen, fetched. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "host/prepare/fetch.h"
#include "host/prepare/set.h"
#include "host/tell/lines.h"
#include "host/tell/notify.h"
#include "io/files/file.h"

/* --- what is there ------------------------------------------------------------------------------ */

static bool is_file(const char *path) {
    struct stat s;
    return stat(path, &s) == 0 && S_ISREG(s.st_mode);
}

static bool is_there(const char *path) {
    struct stat s;
    return stat(path, &s) == 0;
}

/* Takes <folder>/<name> if it is a file. Returns whether it is. */
static bool take_file(Found *f, const char *folder, const char *name, bool own) {
    char *path = folder ? format_text("%s/%s", folder, name) : NULL;
    if (path && is_file(path)) {
        *f = (Found){.kind = FOUND_FILE, .path = path, .own = own};
        return true;
    }
    free(path);
    return false;
}

/* Returns the name of the folder that stands for an archive, or NULL. */
static const char *folder_of(const ManifestArchive *a) {
    return a->folder ? a->folder : a->begins ? a->begin[0] : NULL;
}

/* Takes what the archive would unpack to, below --from. */
static bool take_folder(Found *f, const SetJob *job, const ManifestArchive *a) {
    const char *name = folder_of(a);
    char *path = job->from && name ? format_text("%s/%s", job->from, name) : NULL;
    if (path && is_there(path))
        *f = (Found){.kind = FOUND_FOLDER,
                     .path = format_text("%s", job->from),
                     .name = format_text("%s", name)};
    free(path);
    return f->path && f->name;
}

/* Looks below --from, then among what was downloaded, then where torchvision leaves archives. A .rar that was
 * unpacked by hand lies beside its folder: that is taken. */
static void look(Found *f, const SetJob *job, const ManifestArchive *a) {
    const size_t n = strlen(a->name);
    const bool rar = n > 4 && strcmp(a->name + n - 4, ".rar") == 0;
    if (rar && take_folder(f, job, a)) return;
    if (take_file(f, job->from, a->name, false) || take_folder(f, job, a)) return;
    if (take_file(f, job->archives, a->name, true) || job->from || !(a->md5 || a->sha256)) return;
    char *inside = format_text("%s/%s", job->base, a->into);
    if (!take_file(f, job->base, a->name, false)) take_file(f, inside, a->name, false);
    free(inside);
}

/* --- ways --------------------------------------------------------------------------------------- */

static bool belongs(const ManifestArchive *a, const char *way) {
    return !a->way || !way || strcmp(a->way, way) == 0;
}

bool set_needs(const SetJob *job, int archive) {
    return belongs(&job->manifest.archive[archive], job->way);
}

/* Counts archives of a way that are not there, and those of them that no address is known of. */
static int lacking(const SetJob *job, const char *way, int *walled) {
    int n = 0;
    *walled = 0;
    for (int i = 0; i < job->manifest.archives; i++) {
        const ManifestArchive *a = &job->manifest.archive[i];
        if (!belongs(a, way) || job->found[i].kind != FOUND_NOT) continue;
        n++;
        *walled += a->urls == 0;
    }
    return n;
}

/* Chooses the way of which all is there, else the first that can be downloaded, else the one that lacks least. */
static void choose_way(SetJob *job) {
    int least = MANIFEST_ARCHIVES + 1;
    const char *chosen = NULL;
    for (int i = 0; i < job->manifest.archives; i++) {
        int walled;
        const char *way = job->manifest.archive[i].way;
        if (!way) continue;
        const int lacks = lacking(job, way, &walled);
        const int cost = lacks == 0 ? -1 : !job->from && walled == 0 ? 0 : lacks;
        if (cost < least) {
            least = cost;
            chosen = way;
        }
    }
    job->way = chosen;
}

/* --- what is not there ---------------------------------------------------------------------------- */

static void add_missing(char **names, const ManifestArchive *a, bool or_folder) {
    const char *folder = or_folder ? folder_of(a) : NULL;
    add_line(names, "%s%s%s%s%s", *names ? ", " : "", a->name, folder ? " (or the folder " : "",
             folder ? folder : "", folder ? ")" : "");
}

/* Says which files lack, and what to do. Returns the failure. */
static Status refuse(const SetJob *job, Error *err) {
    const Manifest *m = &job->manifest;
    char *names = NULL;
    for (int i = 0; i < m->archives; i++)
        if (set_needs(job, i) && job->found[i].kind == FOUND_NOT &&
            (job->from || m->archive[i].urls == 0))
            add_missing(&names, &m->archive[i], job->from != NULL);
    for (int i = 0; !job->from && i < m->steps; i++)
        notice(job->hooks, "prepare: %s: %d. %s", m->set, i + 1, m->step[i]);
    const Status st = job->from ? fail(err, ERR_IO,
                                       "prepare: %s: %s lacks %s: --from takes the folder in "
                                       "which they lie whole, under their published names",
                                       m->set, job->from, names ? names : "its archives")
                                : fail(err, ERR_IO,
                                       "prepare: %s: %s cannot be fetched without a person: get it "
                                       "from %s, then run `turtle prepare --dataset %s --from DIR`",
                                       m->set, names ? names : "it", m->home, m->set);
    free(names);
    return st;
}

/* Adds up what is to be downloaded and what it unpacks to; -1 parts count nothing. */
static Status check_room(const SetJob *job, Error *err) {
    const Manifest *m = &job->manifest;
    int64_t bytes = m->unpacked > 0 ? m->unpacked : 0;
    struct stat s;
    if (job->options->unverified)
        return OK; /* other files than the published ones: their sizes are not known */
    for (int i = 0; i < m->archives; i++) {
        const ManifestArchive *a = &m->archive[i];
        if (!set_needs(job, i) || job->found[i].kind != FOUND_NOT || a->size < 0) continue;
        char *part = format_text("%s/%s.part", job->archives, a->name);
        bytes +=
            a->size - (part && stat(part, &s) == 0 && s.st_size < a->size ? (int64_t)s.st_size : 0);
        free(part);
    }
    return check_free_space(job->base, bytes, m->set, err);
}

static PublishedFile published(const SetJob *job, const ManifestArchive *a, const char *path,
                               const char *name) {
    return (PublishedFile){.path = path,
                           .name = name,
                           .url = a->url,
                           .urls = a->urls,
                           .size = a->size,
                           .md5 = a->md5,
                           .sha256 = a->sha256,
                           .unverified = job->options->unverified,
                           .hooks = job->hooks};
}

/* Checks the archive that is there, or fetches it. A damaged one of our own is fetched anew. */
static Status bring(SetJob *job, int i, Error *err) {
    const ManifestArchive *a = &job->manifest.archive[i];
    Found *f = &job->found[i];
    char *own = format_text("%s/%s", job->archives, a->name),
         *name = format_text("%s/%s", job->manifest.store, a->name);
    Status st = own && name ? OK : fail(err, ERR_MEMORY, "prepare: out of memory");
    if (st == OK && f->kind == FOUND_FILE) {
        const PublishedFile file = published(job, a, own, name);
        Error inner = {""};
        st = published_check(&file, f->path, &inner);
        if (st == ERR_FORMAT && f->own && a->urls > 0 && !job->from) {
            notice(job->hooks, "%s: it is fetched anew", inner.text);
            remove(f->path);
            free(f->path);
            *f = (Found){0};
            st = OK;
        } else if (st == ERR_FORMAT)
            st = fail(err, st, "%s: get it again, or take it as it is with --unverified",
                      inner.text);
        else if (st != OK) st = fail(err, st, "%s", inner.text);
    }
    if (st == OK && f->kind == FOUND_NOT) {
        const PublishedFile file = published(job, a, own, name);
        st = folder_make(job->archives, err);
        if (st == OK) st = published_fetch(&file, err);
        if (st == OK) {
            *f = (Found){.kind = FOUND_FILE, .path = own, .own = true};
            own = NULL;
        }
    }
    f->checked = st == OK;
    free(own);
    free(name);
    return st;
}

Status set_gather(SetJob *job, Error *err) {
    int walled;
    for (int i = 0; i < job->manifest.archives; i++)
        look(&job->found[i], job, &job->manifest.archive[i]);
    choose_way(job);
    const int lacks = lacking(job, job->way, &walled);
    if (lacks > 0 && (job->from || walled > 0)) return refuse(job, err);
    if (job->manifest.archives == 0 && !job->from) return refuse(job, err);
    Status st = check_room(job, err);
    for (int i = 0; st == OK && i < job->manifest.archives; i++)
        if (set_needs(job, i)) st = bring(job, i, err);
    return st;
}
