/* file_write.c - whole files out: atomically replaced, behind links too; pipes and devices directly. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/files/file.h"

enum { MOST_LINKS = 40, MOST_TEMPORARIES = 1000, TEMPORARY_NAME = 200 };

/* Returns the folder part of a path, "." without one, in fresh memory. */
static char *parent_of(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash) return format_text(".");
    return slash == path ? format_text("/") : format_text("%.*s", (int)(slash - path), path);
}

static Status out_of_memory(const char *path, Error *err) {
    return fail(err, ERR_MEMORY, "file: %s: out of memory", path);
}

static Status make_parent(const char *path, Error *err) {
    char *parent = parent_of(path);
    const Status st = parent ? folder_make(parent, err) : out_of_memory(path, err);
    free(parent);
    return st;
}

/* --- where a path leads ----------------------------------------------------------------------- */

/* The end of the links of a path that is written to. */
typedef struct {
    char *path;      /* path itself, or the target of its links; owned */
    int descriptor;  /* open descriptor that the path stands for, or -1 */
    bool there;      /* whether the target exists */
    struct stat now; /* kind and mode of a target that exists */
} Target;

/* Returns the N of /dev/fd/N and /proc/<this process>/fd/N, else -1. Such a link is not read: it
 * would say "pipe:[7]", or name a file that another program has open and that must not be
 * replaced. */
static int descriptor_of(const char *path) {
    char own[64];
    snprintf(own, sizeof own, "/proc/%ld/fd/", (long)getpid());
    const char *const folders[] = {"/dev/fd/", "/proc/self/fd/", "/proc/thread-self/fd/", own};
    for (int i = 0; i < 4; i++) {
        const size_t n = strlen(folders[i]);
        const char *digits = path + n;
        if (strncmp(path, folders[i], n) != 0 || !*digits || strlen(digits) > 9 ||
            digits[strspn(digits, "0123456789")])
            continue;
        return atoi(digits);
    }
    return strcmp(path, "-") == 0 ? STDOUT_FILENO : -1;
}

/* Returns where a link leads, in fresh memory, or NULL with the reason in errno. */
static char *read_link(const char *path) {
    char to[PATH_MAX];
    const ssize_t n = readlink(path, to, sizeof to - 1);
    if (n < 0) return NULL;
    to[n] = '\0';
    if (to[0] == '/') return format_text("%s", to);
    char *parent = parent_of(path), *whole = parent ? format_text("%s/%s", parent, to) : NULL;
    free(parent);
    if (!whole) errno = ENOMEM;
    return whole;
}

/* Follows the links of `path`. A link whose target is missing leads to where the target would
 * be. */
static Status follow(Target *out, const char *path, Error *err) {
    struct stat s;
    *out = (Target){.path = format_text("%s", path), .descriptor = -1};
    for (int links = 0; out->path; links++) {
        out->descriptor = descriptor_of(out->path);
        if (out->descriptor >= 0) break;
        if (lstat(out->path, &s) != 0) {
            if (errno == ENOENT) return OK; /* a new file */
            return fail(err, ERR_IO, "file: %s: %s", path, strerror(errno));
        }
        if (!S_ISLNK(s.st_mode)) {
            out->there = true;
            out->now = s;
            return OK;
        }
        if (links == MOST_LINKS)
            return fail(err, ERR_IO, "file: %s: its links lead in a circle: expected a file", path);
        char *next = read_link(out->path);
        if (!next) return fail(err, ERR_IO, "file: %s: %s", path, strerror(errno));
        free(out->path);
        out->path = next;
    }
    if (!out->path) return out_of_memory(path, err);
    out->there = fstat(out->descriptor, &out->now) == 0;
    return out->there
               ? OK
               : fail(err, ERR_IO, "file: %s: %s: nothing is open there", path, strerror(errno));
}

/* Refuses a target that cannot be written to, by its kind. */
static Status check_target(const Target *t, const char *path, Error *err) {
    const mode_t mode = t->there ? t->now.st_mode : 0;
    const size_t n = strlen(path);
    if (n == 0) return fail(err, ERR_IO, "file: an empty name: expected that of a file");
    if ((t->there && S_ISDIR(mode)) || path[n - 1] == '/')
        return fail(err, ERR_IO, "file: %s: is a folder, expected a file to write", path);
    if (!t->there || t->descriptor >= 0) return OK;
    if (S_ISSOCK(mode) || S_ISBLK(mode))
        return fail(err, ERR_IO, "file: %s: is a %s, expected a file to write", path,
                    S_ISSOCK(mode) ? "socket" : "block device");
    if (!(mode & 0222) || access(t->path, W_OK) != 0) /* the mode says so to root, too */
        return fail(err, ERR_IO,
                    "file: %s: is read-only: give another name, or allow writing with chmod u+w",
                    path);
    return OK;
}

/* Follows the links, checks the target, and makes the missing folders. */
static Status target_open(Target *out, const char *path, Error *err) {
    Status st = follow(out, path, err);
    if (st == OK) st = check_target(out, path, err);
    if (st == OK && out->descriptor < 0) st = make_parent(out->path, err);
    if (st == OK) return OK;
    free(out->path);
    out->path = NULL;
    return st;
}

bool file_is_stdout(const char *path) {
    Target t;
    const bool is = follow(&t, path, NULL) == OK && t.descriptor == STDOUT_FILENO;
    free(t.path);
    return is;
}

Status file_check_output(const char *path, Error *err) {
    Target t;
    Status st = follow(&t, path, err);
    if (st == OK) st = check_target(&t, path, err);
    char *parent = t.path ? parent_of(t.path) : NULL;
    if (st == OK && !parent) st = out_of_memory(path, err);
    if (st == OK && t.descriptor < 0 && !(t.there && !S_ISREG(t.now.st_mode)) &&
        access(parent, W_OK | X_OK) != 0 && errno != ENOENT)
        st = fail(err, ERR_IO, "file: %s: cannot be written into the folder %s: %s", path, parent,
                  strerror(errno));
    free(parent);
    free(t.path);
    return st;
}

/* --- writing ---------------------------------------------------------------------------------- */

/* Flushes a descriptor to the disk; file systems that cannot are taken at their word. */
static bool flush_to_disk(int fd) {
    return fsync(fd) == 0 || errno == EINVAL || errno == ENOTSUP || errno == EROFS;
}

/* Flushes the folder of `path`: a rename is on the disk once its folder is. */
static void flush_parent(const char *path) {
    char *parent = parent_of(path);
    const int fd = parent ? open(parent, O_RDONLY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        flush_to_disk(fd);
        close(fd);
    }
    free(parent);
}

/* Opens a pipe or a device without waiting for long: open() of a pipe waits for ever where nobody
 * reads. */
static int open_directly(const Target *t) {
    int fd = -1;
    if (t->descriptor >= 0) return fcntl(t->descriptor, F_DUPFD_CLOEXEC, 0);
    for (int waited = 0; fd < 0 && waited <= PIPE_GRACE_MS; waited += 10) {
        fd = open(t->path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0 && errno != ENXIO && errno != EINTR) return -1;
        if (fd < 0) poll(NULL, 0, 10);
    }
    const int flags = fd < 0 ? -1 : fcntl(fd, F_GETFL);
    if (flags >= 0) fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
    if (fd < 0) errno = ENXIO; /* poll may have changed it */
    return fd;
}

/* Opens a fresh file in the target's folder, with the owner and the mode of the file that it will
 * replace. */
static int open_temporary(AtomicFile *out, const Target *t) {
    char *parent = parent_of(t->path);
    const char *slash = strrchr(t->path, '/'), *name = slash ? slash + 1 : t->path;
    int fd = -1;
    errno = ENOMEM;
    for (int i = 0; parent && fd < 0 && i < MOST_TEMPORARIES; i++) {
        free(out->temporary); /* a name may be left by a program that was killed */
        out->temporary =
            i ? format_text("%s/.%.*s.%ld.%d.tmp", parent, TEMPORARY_NAME, name, (long)getpid(), i)
              : format_text("%s/.%.*s.%ld.tmp", parent, TEMPORARY_NAME, name, (long)getpid());
        if (!out->temporary) break;
        fd = open(out->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd < 0 && errno != EEXIST) break;
    }
    free(parent);
    if (fd < 0) {
        const int why = errno;
        free(out->temporary); /* the file is not ours to remove */
        out->temporary = NULL;
        errno = why;
    } else if (t->there) {
        const bool owned = fchown(fd, t->now.st_uid, t->now.st_gid) == 0;
        (void)owned; /* only root can give a file away; the mode counts all the same */
        if (fchmod(fd, t->now.st_mode & 07777) != 0) {} /* some file systems have no modes */
    }
    return fd;
}

Status atomic_open(AtomicFile *out, const char *path, Error *err) {
    Target t;
    *out = (AtomicFile){0};
    Status st = target_open(&t, path, err);
    if (st != OK) return st;
    out->direct = t.descriptor >= 0 || (t.there && !S_ISREG(t.now.st_mode));
    out->path = format_text("%s", path);
    const int fd = out->direct ? open_directly(&t) : open_temporary(out, &t);
    const int why = errno;
    out->target = t.path;
    if (fd >= 0 && out->path) out->stream = fdopen(fd, "wb");
    if (fd >= 0 && !out->stream) close(fd);
    if (!out->path || (fd >= 0 && !out->stream)) st = out_of_memory(path, err);
    else if (fd < 0 && out->direct && why == ENXIO)
        st = fail(err, ERR_IO, "file: %s: is a pipe, and nobody reads from this pipe", path);
    else if (fd < 0) st = fail(err, ERR_IO, "file: %s: %s", path, strerror(why));
    if (st != OK) atomic_abort(out);
    return st;
}

Status atomic_commit(AtomicFile *file, Error *err) {
    Status st = OK;
    errno = 0;
    if (fflush(file->stream) != 0 || ferror(file->stream) ||
        (!file->direct && !flush_to_disk(fileno(file->stream))))
        st = fail(err, ERR_IO, "file: %s: could not be written: %s", file->path,
                  errno ? strerror(errno) : "an earlier write failed");
    if (fclose(file->stream) != 0 && st == OK)
        st = fail(err, ERR_IO, "file: %s: could not be written: %s", file->path, strerror(errno));
    file->stream = NULL;
    if (st == OK && !file->direct) {
        if (rename(file->temporary, file->target) != 0) {
            st = fail(err, ERR_IO, "file: %s: %s", file->path, strerror(errno));
        } else {
            flush_parent(file->target);
            free(file->temporary); /* there is nothing to remove any more */
            file->temporary = NULL;
        }
    }
    atomic_abort(file);
    return st;
}

void atomic_abort(AtomicFile *file) {
    if (!file) return;
    if (file->stream) fclose(file->stream);
    if (file->temporary) unlink(file->temporary);
    free(file->path);
    free(file->target);
    free(file->temporary);
    *file = (AtomicFile){0};
}

Status file_write_text(const char *path, const char *text, Error *err) {
    AtomicFile file;
    const Status st = atomic_open(&file, path, err);
    if (st != OK) return st;
    fputs(text, file.stream);
    fputc('\n', file.stream);
    return atomic_commit(&file, err);
}

Status file_append_line(const char *path, const char *line, Error *err) {
    Status st = make_parent(path, err);
    if (st != OK) return st;
    char *text = format_text("%s\n", line);
    if (!text) return out_of_memory(path, err);
    const size_t n = strlen(text);
    const int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0 || write(fd, text, n) != (ssize_t)n)
        st = fail(err, ERR_IO, "file: %s: could not be written: %s", path, strerror(errno));
    if (fd >= 0 && close(fd) != 0 && st == OK)
        st = fail(err, ERR_IO, "file: %s: could not be written: %s", path, strerror(errno));
    free(text);
    return st;
}
