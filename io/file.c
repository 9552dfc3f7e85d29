/* file.c - whole files only: read-only mappings in, atomically replaced files out. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

char *format_text(const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    const int n = vsnprintf(NULL, 0, format, args);
    char *text = n < 0 ? NULL : malloc((size_t)n + 1);
    if (text) vsnprintf(text, (size_t)n + 1, format, again);
    va_end(again);
    va_end(args);
    return text;
}

bool file_exists(const char *path) {
    struct stat s;
    return stat(path, &s) == 0;
}

/* --- reading ---------------------------------------------------------------------------------- */

Status file_map(FileMap *out, const char *path, Error *err) {
    struct stat s;
    Status st = OK;
    *out = (FileMap){0};
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail(err, ERR_IO, "file: %s: %s", path, strerror(errno));
    if (fstat(fd, &s) != 0) {
        st = fail(err, ERR_IO, "file: %s: %s", path, strerror(errno));
    } else if (S_ISDIR(s.st_mode)) {
        st = fail(err, ERR_IO, "file: %s: is a folder, expected a file", path);
    } else if (!S_ISREG(s.st_mode)) {
        st = fail(err, ERR_IO, "file: %s: is not a regular file: only those can be mapped", path);
    } else if (s.st_size > 0) {
        void *data = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            st = fail(err, ERR_IO, "file: %s: cannot be mapped: %s", path, strerror(errno));
        else *out = (FileMap){.data = data, .bytes = s.st_size};
    }
    close(fd);
    return st;
}

void file_unmap(FileMap *map) {
    if (!map) return;
    if (map->data) munmap((void *)map->data, (size_t)map->bytes);
    *map = (FileMap){0};
}

/* --- folders ---------------------------------------------------------------------------------- */

Status folder_make(const char *path, Error *err) {
    char *partial = format_text("%s", path);
    if (!partial) return fail(err, ERR_MEMORY, "folder: %s: out of memory", path);
    Status st = OK;
    for (char *slash = partial; st == OK && slash;) { /* each parent in turn, then the whole */
        slash = strchr(slash + 1, '/');
        if (slash) *slash = '\0';
        if (*partial && mkdir(partial, 0777) != 0 && errno != EEXIST)
            st = fail(err, ERR_IO, "folder: %s: %s", partial, strerror(errno));
        if (slash) *slash = '/';
    }
    free(partial);
    struct stat s;
    if (st == OK && (stat(path, &s) != 0 || !S_ISDIR(s.st_mode)))
        st = fail(err, ERR_IO, "folder: %s: exists and is not a folder", path);
    return st;
}

/* The folder part of a path, "." without one; fresh memory. */
static char *parent_of(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash) return format_text(".");
    return slash == path ? format_text("/") : format_text("%.*s", (int)(slash - path), path);
}

static Status make_parent(const char *path, Error *err) {
    char *parent = parent_of(path);
    const Status st =
        parent ? folder_make(parent, err) : fail(err, ERR_MEMORY, "file: %s: out of memory", path);
    free(parent);
    return st;
}

/* --- writing ---------------------------------------------------------------------------------- */

/* Flushes a descriptor to the disk; file systems that cannot are taken at their word. */
static bool flush_to_disk(int fd) {
    return fsync(fd) == 0 || errno == EINVAL || errno == ENOTSUP || errno == EROFS;
}

/* A rename is on the disk once its folder is. */
static void flush_parent(const char *path) {
    char *parent = parent_of(path);
    const int fd = parent ? open(parent, O_RDONLY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        flush_to_disk(fd);
        close(fd);
    }
    free(parent);
}

Status atomic_open(AtomicFile *out, const char *path, Error *err) {
    *out = (AtomicFile){0};
    Status st = make_parent(path, err);
    if (st != OK) return st;
    char *parent = parent_of(path);
    const char *slash = strrchr(path, '/');
    if (parent) {
        out->path = format_text("%s", path);
        out->temporary =
            format_text("%s/.%s.%ld.tmp", parent, slash ? slash + 1 : path, (long)getpid());
    }
    free(parent);
    if (!out->path || !out->temporary) {
        st = fail(err, ERR_MEMORY, "file: %s: out of memory", path);
    } else {
        out->stream = fopen(out->temporary, "wb");
        if (!out->stream) st = fail(err, ERR_IO, "file: %s: %s", path, strerror(errno));
    }
    if (st != OK) atomic_abort(out);
    return st;
}

Status atomic_commit(AtomicFile *file, Error *err) {
    Status st = OK;
    errno = 0;
    if (fflush(file->stream) != 0 || ferror(file->stream) || !flush_to_disk(fileno(file->stream)))
        st = fail(err, ERR_IO, "file: %s: could not be written: %s", file->path,
                  errno ? strerror(errno) : "an earlier write failed");
    if (fclose(file->stream) != 0 && st == OK)
        st = fail(err, ERR_IO, "file: %s: could not be written: %s", file->path, strerror(errno));
    file->stream = NULL;
    if (st == OK && rename(file->temporary, file->path) != 0)
        st = fail(err, ERR_IO, "file: %s: %s", file->path, strerror(errno));
    if (st == OK) {
        flush_parent(file->path);
        free(file->temporary); /* there is nothing to remove any more */
        file->temporary = NULL;
    }
    atomic_abort(file);
    return st;
}

void atomic_abort(AtomicFile *file) {
    if (!file) return;
    if (file->stream) fclose(file->stream);
    if (file->temporary) unlink(file->temporary);
    free(file->path);
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
    if (!text) return fail(err, ERR_MEMORY, "file: %s: out of memory", path);
    const size_t n = strlen(text);
    const int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0 || write(fd, text, n) != (ssize_t)n)
        st = fail(err, ERR_IO, "file: %s: could not be written: %s", path, strerror(errno));
    if (fd >= 0 && close(fd) != 0 && st == OK)
        st = fail(err, ERR_IO, "file: %s: could not be written: %s", path, strerror(errno));
    free(text);
    return st;
}
