/* unpack.c - an archive's files below a folder, and nothing anywhere else.
 *
 * Every folder on the way to a file is opened from the one above it and never through a symbolic
 * link, so that neither names nor links that lie there lead out of the root.
 */
#include "io/archives/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/archives/archive.h"
#include "io/archives/place.h"
#include "io/files/file.h"
#include "io/sizes.h"

enum { PIECE = 1 << 18, ASK_EVERY = 4 << 20, MOST_LINK = 4096, TEMPORARY_NAME = 200 };

typedef struct {
    const UnpackOptions *options;
    UnpackCounts counts;
    const char *folder;
    int64_t most_bytes, most_entries, entries;
    int64_t asked; /* bytes when go_on was last called */
    int root;      /* the folder, open */
    int here;      /* folder of the last file, open; -1: none */
    char *place;   /* of that folder below the root; owned */
    uint8_t *piece;
} Unpacker;

/* The state of an archive whose entries are written. */
typedef struct {
    Archive *archive;
    const char *name;   /* of the archive, for messages */
    const char *prefix; /* goes before names for the hooks: "" or "inner.tar/" */
    const char *beside; /* goes before places: "" or the folder of the inner archive and '/' */
    int depth;
} Level;

static Status no_memory(const Level *l, Error *err) {
    return fail(err, ERR_MEMORY, "unpack: %s: out of memory", l->name);
}

static Status go_on(Unpacker *u, const Level *l, Error *err) {
    if (!u->options->go_on) return OK;
    u->asked = u->counts.bytes;
    if (u->options->go_on(u->options->context, &u->counts)) return OK;
    return fail(err, ERR_STOPPED, "unpack: %s: stopped after %lld files", l->name,
                (long long)u->counts.files);
}

/* --- folders ---------------------------------------------------------------------------------- */

/* Opens the folder `name` of the folder `parent`, making it if it is missing. */
static int enter_folder(int parent, const char *name) {
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(parent, name, flags);
    if (fd >= 0 || errno != ENOENT) return fd;
    if (mkdirat(parent, name, 0777) != 0 && errno != EEXIST) return -1;
    return openat(parent, name, flags);
}

/* Opens the folder at `place`, "" for the root, as u->here. `place` is safe. */
static Status open_place(Unpacker *u, const Level *l, const char *place, Error *err) {
    if (u->here >= 0 && strcmp(place, u->place) == 0) return OK;
    char *partial = format_text("%s", place);
    int fd = dup(u->root);
    Status st = partial ? OK : no_memory(l, err);
    for (char *at = partial; st == OK && fd >= 0 && *at;) {
        char *end = at + strcspn(at, "/");
        const bool last = !*end;
        *end = '\0';
        const int next = enter_folder(fd, at);
        const int why = errno;
        close(fd);
        fd = next;
        errno = why;
        if (fd < 0 && (why == ELOOP || why == ENOTDIR))
            st = fail(err, ERR_FORMAT,
                      "unpack: %s: %s/%s passes through a link or a file that is there: remove it",
                      l->name, u->folder, partial);
        if (!last) *end = '/';
        at = last ? end : end + 1;
    }
    if (st == OK && fd < 0)
        st = fail(err, ERR_IO, "unpack: %s: %s/%s: %s", l->name, u->folder, place, strerror(errno));
    if (st != OK) {
        if (fd >= 0) close(fd);
        free(partial);
        return st;
    }
    if (u->here >= 0) close(u->here);
    free(u->place);
    u->here = fd;
    u->place = partial;
    return OK;
}

/* --- files ------------------------------------------------------------------------------------ */

static Status too_much(const Unpacker *u, const Level *l, Error *err) {
    return fail(err, ERR_FORMAT,
                "unpack: %s: holds more than %lld bytes, the most that it should have: refused",
                l->name, (long long)u->most_bytes);
}

static bool write_all(int fd, const uint8_t *data, int64_t bytes) {
    while (bytes > 0) {
        const ssize_t n = write(fd, data, (size_t)bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        data += n;
        bytes -= n;
    }
    return true;
}

/* Writes the bytes of the current entry to an open file. */
static Status write_entry(Unpacker *u, const Level *l, int fd, const char *place, Error *err) {
    Status st = OK;
    for (int64_t got = 1; st == OK && got > 0;) {
        st = archive_read(l->archive, u->piece, PIECE, &got, err);
        if (st != OK) break;
        if (got > u->most_bytes - u->counts.bytes) return too_much(u, l, err);
        if (!write_all(fd, u->piece, got))
            return fail(err, ERR_IO, "unpack: %s: %s/%s: %s", l->name, u->folder, place,
                        strerror(errno));
        u->counts.bytes += got;
        if (u->counts.bytes - u->asked >= ASK_EVERY) st = go_on(u, l, err);
    }
    return st;
}

/* Writes the current entry under a temporary name and gives it its own when it is whole. */
static Status write_file(Unpacker *u, const Level *l, const ArchiveEntry *entry, const char *place,
                         Error *err) {
    char temporary[TEMPORARY_NAME + 40];
    struct stat s;
    const char *slash = strrchr(place, '/'), *name = slash ? slash + 1 : place;
    if (entry->bytes > u->most_bytes - u->counts.bytes) return too_much(u, l, err);
    char *parent = format_text("%.*s", slash ? (int)(slash - place) : 0, place);
    Status st = parent ? open_place(u, l, parent, err) : no_memory(l, err);
    free(parent);
    if (st != OK) return st;
    if (fstatat(u->here, name, &s, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(s.st_mode))
        return fail(err, ERR_FORMAT, "unpack: %s: %s/%s is there and is no regular file: remove it",
                    l->name, u->folder, place);
    const int64_t before = u->counts.bytes;
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    snprintf(temporary, sizeof temporary, ".%.*s.%ld.tmp", TEMPORARY_NAME, name, (long)getpid());
    int fd = openat(u->here, temporary, flags, 0666);
    if (fd < 0 && errno == EEXIST &&
        unlinkat(u->here, temporary, 0) == 0) /* a program was killed */
        fd = openat(u->here, temporary, flags, 0666);
    if (fd < 0)
        return fail(err, ERR_IO, "unpack: %s: %s/%s: %s", l->name, u->folder, place,
                    strerror(errno));
    st = write_entry(u, l, fd, place, err);
    if (close(fd) != 0 && st == OK)
        st = fail(err, ERR_IO, "unpack: %s/%s: %s", u->folder, place, strerror(errno));
    if (st == OK && renameat(u->here, temporary, u->here, name) != 0)
        st = fail(err, ERR_IO, "unpack: %s/%s: %s", u->folder, place, strerror(errno));
    if (st == OK) {
        u->counts.files++;
        return OK;
    }
    unlinkat(u->here, temporary, 0);
    u->counts.bytes = before;
    return st;
}

/* --- entries ---------------------------------------------------------------------------------- */

/* Counts a symbolic link that stays inside, refuses any other link. */
static Status look_at_link(Unpacker *u, const Level *l, const ArchiveEntry *entry,
                           const char *place, Error *err) {
    char target[MOST_LINK + 1];
    int64_t bytes = 0;
    Status st = OK;
    if (entry->hard)
        return fail(err, ERR_FORMAT, "unpack: %s: %s is a hard link: refused", l->name, place);
    if (*entry->link) bytes = snprintf(target, sizeof target, "%s", entry->link);
    else
        for (int64_t got = 1; st == OK && got > 0 && bytes < MOST_LINK; bytes += got)
            st = archive_read(l->archive, target + bytes, MOST_LINK - bytes, &got, err);
    if (st != OK) return st;
    if (bytes < MOST_LINK) target[bytes] = '\0';
    if (bytes >= MOST_LINK || (int64_t)strlen(target) < bytes || !place_link_stays(place, target))
        return fail(err, ERR_FORMAT, "unpack: %s: %s is a symbolic link out of the folder: refused",
                    l->name, place);
    u->counts.links++;
    return OK;
}

static Status unpack_level(Unpacker *u, const Level *l, Error *err);

static Status pull_entry(void *context, uint8_t *to, int64_t most, int64_t *got, Error *err) {
    return archive_read(context, to, most, got, err);
}

/* Unpacks the archive that the current entry is. */
static Status open_inner(Unpacker *u, const Level *l, const char *name, const char *place,
                         Error *err) {
    if (l->depth >= UNPACK_MOST_DEPTH)
        return fail(err, ERR_FORMAT,
                    "unpack: %s: %s: archives stand more than %d deep in one another: refused",
                    l->name, name, UNPACK_MOST_DEPTH);
    const char *slash = strrchr(place, '/');
    char *prefix = format_text("%s/", name), *whole = format_text("%s/%s", l->name, place);
    char *beside = format_text("%.*s", slash ? (int)(slash - place) + 1 : 0, place);
    Level inner = {.name = whole, .prefix = prefix, .beside = beside, .depth = l->depth + 1};
    Status st = prefix && whole && beside
                    ? archive_open_from(&inner.archive, pull_entry, l->archive, whole, err)
                    : no_memory(l, err);
    u->counts.archives++;
    if (st == OK) st = unpack_level(u, &inner, err);
    archive_close(inner.archive);
    free(beside);
    free(whole);
    free(prefix);
    return st;
}

/* Makes what one entry is at `place`, which is safe. */
static Status make_entry(Unpacker *u, const Level *l, const ArchiveEntry *entry, const char *place,
                         Error *err) {
    if (entry->kind == ENTRY_OTHER)
        return fail(err, ERR_FORMAT, "unpack: %s: %s is a device or a pipe: refused", l->name,
                    place);
    if (entry->kind == ENTRY_LINK) return look_at_link(u, l, entry, place, err);
    if (entry->kind == ENTRY_FILE && *place) return write_file(u, l, entry, place, err);
    if (entry->kind == ENTRY_FILE)
        return fail(err, ERR_FORMAT, "unpack: %s: holds a file without a name: refused", l->name);
    u->counts.folders += *place != '\0';
    return open_place(u, l, place, err);
}

/* Finds the place of a wanted entry and makes it. `name` is its name for the hooks, `own` that
 * in its archive. */
static Status take_entry(Unpacker *u, const Level *l, const ArchiveEntry *entry, const char *name,
                         const char *own, Error *err) {
    const UnpackOptions *o = u->options;
    char *clean = format_text("%s", own), *place = NULL;
    Status st = clean ? place_check(clean, l->name, err) : no_memory(l, err);
    const bool inner =
        o->nested && st == OK && entry->kind == ENTRY_FILE && place_is_archive(clean);
    const char *other = NULL;
    if (st == OK && !inner && o->rename) {
        other = o->rename(o->context, name);
        if (!other) {
            u->counts.passed++;
            free(clean);
            return OK;
        }
    }
    if (st == OK) {
        place = other ? format_text("%s", other) : format_text("%s%s", l->beside, clean);
        st = place ? place_check(place, l->name, err) : no_memory(l, err);
    }
    if (st == OK)
        st = inner ? open_inner(u, l, name, place, err) : make_entry(u, l, entry, place, err);
    free(place);
    free(clean);
    return st;
}

static Status unpack_level(Unpacker *u, const Level *l, Error *err) {
    const UnpackOptions *o = u->options;
    ArchiveEntry entry;
    bool more = true;
    Status st = OK;
    while (st == OK) {
        st = archive_next(l->archive, &entry, &more, err);
        if (st != OK || !more) break;
        if (++u->entries > u->most_entries)
            return fail(
                err, ERR_FORMAT,
                "unpack: %s: holds more than %lld entries, the most that it should have: refused",
                l->name, (long long)u->most_entries);
        const char *own = entry.name;
        while (own[0] == '.' && own[1] == '/') own += 1 + strspn(own + 1, "/");
        char *name = format_text("%s%s", l->prefix, own);
        if (!name) return no_memory(l, err);
        if (o->wanted && !o->wanted(o->context, name)) u->counts.passed++;
        else st = take_entry(u, l, &entry, name, own, err);
        free(name);
        if (st == OK) st = go_on(u, l, err);
    }
    return st;
}

Status unpack(const char *archive, const char *folder, const UnpackOptions *options,
              UnpackCounts *counts, Error *err) {
    static const UnpackOptions all = {0};
    Unpacker u = {.options = options ? options : &all, .folder = folder, .root = -1, .here = -1};
    Level top = {.name = archive, .prefix = "", .beside = "", .depth = 1};
    u.most_bytes = u.options->most_bytes > 0 ? u.options->most_bytes : UNPACK_MOST_BYTES;
    u.most_entries = u.options->most_entries > 0 ? u.options->most_entries : UNPACK_MOST_ENTRIES;
    u.piece = malloc(PIECE);
    Status st = u.piece ? archive_open(&top.archive, archive, err) : no_memory(&top, err);
    if (st == OK) st = folder_make(folder, err);
    if (st == OK && (u.root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        st = fail(err, ERR_IO, "unpack: %s: %s", folder, strerror(errno));
    if (st == OK) st = unpack_level(&u, &top, err);
    if (st == OK && syncfs(u.root) != 0)
        st = fail(err, ERR_IO, "unpack: %s: could not be written: %s", folder, strerror(errno));
    if (u.here >= 0) close(u.here);
    if (u.root >= 0) close(u.root);
    archive_close(top.archive);
    free(u.place);
    free(u.piece);
    if (counts) *counts = u.counts;
    return st;
}
