/* file.c - whole files in: read-only mappings, texts from pipes; folders. */
#include "io/files/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
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

/* Returns the kind of an entry that is not a regular file. */
static const char *kind_of(mode_t mode) {
    return S_ISDIR(mode)    ? "a folder"
           : S_ISFIFO(mode) ? "a pipe"
           : S_ISSOCK(mode) ? "a socket"
                            : "a device";
}

/* Opens for reading without waiting for anybody, and says in *s what was opened. `-` is standard
 * input if `standard_input`. Returns -1 with the reason in err on failure. */
static int open_input(const char *path, bool standard_input, struct stat *s, Error *err) {
    const bool dash = strcmp(path, "-") == 0;
    const int fd = dash && standard_input
                       ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
                       : open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    const int why = errno;
    if (fd >= 0 && fstat(fd, s) == 0) return fd;
    if (fd >= 0) close(fd);
    if (dash && standard_input)
        error_write(err, "file: -: standard input is closed: expected a text there");
    else if (dash && why == ENOENT)
        error_write(err, "file: -: this input is not read from standard input: expected the name "
                         "of a regular file");
    else if (fd < 0 && stat(path, s) == 0 && S_ISSOCK(s->st_mode))
        error_write(err, "file: %s: is a socket, expected a regular file", path);
    else error_write(err, "file: %s: %s", path, strerror(why));
    return -1;
}

static Status map_bytes(FileMap *out, int fd, int64_t bytes, const char *path, Error *err) {
    if (bytes == 0) return OK;
    void *data = mmap(NULL, (size_t)bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED)
        return fail(err, ERR_IO, "file: %s: cannot be mapped: %s", path, strerror(errno));
    *out = (FileMap){.data = data, .bytes = bytes};
    return OK;
}

Status file_map(FileMap *out, const char *path, Error *err) {
    struct stat s;
    *out = (FileMap){0};
    const int fd = open_input(path, false, &s, err);
    if (fd < 0) return ERR_IO;
    const Status st = S_ISREG(s.st_mode)
                          ? map_bytes(out, fd, s.st_size, path, err)
                          : fail(err, ERR_IO, "file: %s: is %s, expected a regular file", path,
                                 kind_of(s.st_mode));
    close(fd);
    return st;
}

/* Waits until a pipe opened without waiting has a writer. A read returns 0 both before the first
 * writer and after the last, so the two are told apart by what was seen in between. Returns the
 * bytes read into *byte, 0 or 1, or -1 if nobody came. */
static int wait_for_writer(int fd, uint8_t *byte) {
    for (int waited = 0; waited <= PIPE_GRACE_MS; waited += 10) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        const ssize_t n = read(fd, byte, 1);
        if (n == 1) return 1;
        if (n < 0 && errno == EAGAIN) return 0;
        if (n == 0 && poll(&p, 1, 0) > 0 && (p.revents & POLLHUP))
            return 0; /* a writer came and left */
        poll(NULL, 0, 10);
    }
    return -1;
}

/* Reads to the end, waiting for a slow writer. *first, `used` bytes, stands before the rest. */
static Status read_to_end(FileMap *out, int fd, const uint8_t *first, size_t used, const char *path,
                          Error *err) {
    size_t room = 1 << 16;
    uint8_t *data = malloc(room), *more;
    Status st = data ? OK : fail(err, ERR_MEMORY, "file: %s: out of memory", path);
    if (data && used) data[0] = *first;
    for (ssize_t n = 1; st == OK && n != 0;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        n = read(fd, data + used, room - used);
        if (n > 0) used += (size_t)n;
        else if (n < 0 && errno == EAGAIN) poll(&p, 1, -1);
        else if (n < 0 && errno != EINTR)
            st = fail(err, ERR_IO, "file: %s: cannot be read: %s", path, strerror(errno));
        if (st != OK || used < room) continue;
        if (room >= FILE_TEXT_MOST) {
            st = fail(err, ERR_IO,
                      "file: %s: %d bytes and more come from it: write them to a file first", path,
                      FILE_TEXT_MOST);
        } else if ((more = realloc(data, 2 * room)) != NULL) {
            data = more;
            room *= 2;
        } else {
            st = fail(err, ERR_MEMORY, "file: %s: out of memory", path);
        }
    }
    if (st == OK && used) *out = (FileMap){.data = data, .bytes = (int64_t)used, .owned = true};
    else free(data);
    return st;
}

Status file_read_text(FileMap *out, const char *path, Error *err) {
    struct stat s;
    uint8_t byte = 0;
    int read_already = 0;
    Status st = OK;
    const bool dash = strcmp(path, "-") == 0;
    *out = (FileMap){0};
    const int fd = open_input(path, true, &s, err);
    if (fd < 0) return ERR_IO;
    const bool device = S_ISBLK(s.st_mode) || (S_ISCHR(s.st_mode) && !dash && !isatty(fd));
    if (S_ISFIFO(s.st_mode) && !dash) read_already = wait_for_writer(fd, &byte);
    if (S_ISDIR(s.st_mode) || device)
        st = fail(err, ERR_IO, "file: %s: is %s, expected a file of text or a pipe", path,
                  kind_of(s.st_mode));
    else if (read_already < 0)
        st = fail(err, ERR_IO, "file: %s: is a pipe, and nobody writes to this pipe", path);
    else if (S_ISREG(s.st_mode) && s.st_size > 0 && !dash)
        st = map_bytes(out, fd, s.st_size, path, err);
    else /* standard input, and files of the kernel, which have size 0, are regular files too */
        st = read_to_end(out, fd, &byte, (size_t)read_already, path, err);
    close(fd);
    return st;
}

void file_forget(const FileMap *map) {
    if (map->data && !map->owned) madvise((void *)map->data, (size_t)map->bytes, MADV_DONTNEED);
}

void file_unmap(FileMap *map) {
    if (!map) return;
    if (map->owned) free((void *)map->data);
    else if (map->data) munmap((void *)map->data, (size_t)map->bytes);
    *map = (FileMap){0};
}

/* --- folders ---------------------------------------------------------------------------------- */

Status folder_make(const char *path, Error *err) {
    if (strcmp(path, "-") == 0)
        return fail(err, ERR_IO, "folder: -: is standard output, expected a folder (or ./-)");
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
