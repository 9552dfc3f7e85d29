/* lock.c - one call at a time in a place: a lock on a file that says who holds it. */
#include "io/files/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "io/files/file.h"

enum { TEXT = 400, MOST_TRIES = 100 };

/* We lock the open file where the system can. A lock of the process would end with any of its
 * descriptors of the file, and would not keep two threads apart. */
#ifdef F_OFD_SETLK
#define SET_LOCK F_OFD_SETLK
#else
#define SET_LOCK F_SETLK
#endif

typedef enum { GOT, HELD, IMPOSSIBLE } Outcome;

static Outcome try_lock(int fd) {
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, SET_LOCK, &whole) == 0) return GOT;
    return errno == EAGAIN || errno == EACCES ? HELD : IMPOSSIBLE;
}

/* Reads the holder's line: "process 12 on host since 2026-01-31 12:00:00", or nothing. */
static void read_holder(char text[TEXT], int fd) {
    const ssize_t n = pread(fd, text, TEXT - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
}

static void write_holder(int fd) {
    char host[128] = "", text[TEXT], since[32] = "";
    const time_t now = time(NULL);
    struct tm parts;
    if (gethostname(host, sizeof host - 1) != 0) host[0] = '\0';
    if (localtime_r(&now, &parts)) strftime(since, sizeof since, "%Y-%m-%d %H:%M:%S", &parts);
    const int n =
        snprintf(text, sizeof text, "process %ld on %s since %s\n", (long)getpid(), host, since);
    /* the text only informs: a full disk must not keep a call from running */
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)n, 0) != n || fsync(fd) != 0) return;
}

/* Tells, where nothing can be locked, whether the process that the file names runs on this
 * machine. */
static bool still_runs(const char *holder) {
    char host[128] = "", named[128];
    long pid;
    if (gethostname(host, sizeof host - 1) != 0) return false;
    return sscanf(holder, "process %ld on %127s since", &pid, named) == 2 &&
           strcmp(host, named) == 0 && pid > 0 && pid != (long)getpid() &&
           (kill((pid_t)pid, 0) == 0 || errno == EPERM);
}

/* Returns true if the descriptor is still that of the file under the path. The last holder may have
 * removed the file between our open and our lock. */
static bool still_there(int fd, const char *path) {
    struct stat open_one, named;
    return fstat(fd, &open_one) == 0 && stat(path, &named) == 0 &&
           open_one.st_dev == named.st_dev && open_one.st_ino == named.st_ino;
}

/* Removes the file of another user, which we may read only, unless it is locked. */
static bool remove_foreign(const char *path) {
#ifdef F_OFD_GETLK
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    const bool idle = fd >= 0 && fcntl(fd, F_OFD_GETLK, &whole) == 0 && whole.l_type == F_UNLCK;
    if (fd >= 0) close(fd);
    return idle && unlink(path) == 0;
#else
    (void)path;
    return false;
#endif
}

Status lock_open(Lock *out, const char *path, const char *guarded, Error *err) {
    char holder[TEXT];
    *out = (Lock){0};
    for (int tries = 0; tries < MOST_TRIES; tries++) {
        const int fd =
            open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY, 0666);
        if (fd < 0 && errno == EACCES && remove_foreign(path)) continue;
        if (fd < 0) return fail(err, ERR_IO, "lock: %s: %s", path, strerror(errno));
        const Outcome outcome = try_lock(fd);
        read_holder(holder, fd);
        if (outcome == HELD || (outcome == IMPOSSIBLE && still_runs(holder))) {
            close(fd);
            return fail(err, ERR_ARG,
                        "%s: another call is at work there%s%s: wait for its end, or write "
                        "elsewhere",
                        guarded, *holder ? ": " : "", holder);
        }
        if (still_there(fd, path)) {
            write_holder(fd);
            *out = (Lock){.descriptor = fd, .path = strdup(path)};
            if (out->path) return OK;
        }
        close(fd);
    }
    return fail(err, ERR_IO, "lock: %s: cannot be locked", path);
}

void lock_close(Lock *lock) {
    if (!lock || !lock->path) return;
    unlink(lock->path); /* before others can lock it: they see that it is gone and make their own */
    close(lock->descriptor);
    free(lock->path);
    *lock = (Lock){0};
}
