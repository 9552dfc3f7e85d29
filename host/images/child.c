/* child.c - fork, exec, and a parent that listens with a clock in its hand. */
#include "host/images/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

#include "host/tell/clock.h"
#include "io/files/file.h"

/* --- programs ---------------------------------------------------------------------------------- */

char *program_find(const char *name) {
    const char *path = getenv("PATH");
    for (const char *from = path ? path : "/usr/local/bin:/usr/bin:/bin"; *from;) {
        const size_t n = strcspn(from, ":");
        char *whole = *from == '/' ? format_text("%.*s/%s", (int)n, from, name) : NULL;
        struct stat s;
        if (whole && stat(whole, &s) == 0 && S_ISREG(s.st_mode) && access(whole, X_OK) == 0)
            return whole;
        free(whole);
        from += n + (from[n] == ':');
    }
    return NULL;
}

/* --- the child, between fork and exec: only calls that are safe there -------------------------- */

static void limit(int resource, int64_t most) {
    const struct rlimit r = {.rlim_cur = (rlim_t)most, .rlim_max = (rlim_t)most};
    setrlimit(resource, &r); /* a lower limit that is there already stays */
}

static void close_from(int first) {
#ifdef SYS_close_range
    if (syscall(SYS_close_range, first, ~0u, 0) == 0) return;
#endif
    enum { MOST = 1 << 16 };
    const long open_max = sysconf(_SC_OPEN_MAX);
    const int end = open_max > 0 && open_max < MOST ? (int)open_max : MOST;
    for (int fd = first; fd < end; fd++) close(fd);
}

_Noreturn static void become(const char *const *argv, const char *const *environment,
                             const int stream[3], const ChildLimits *limits) {
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGCHLD};
    struct sigaction usual = {.sa_handler = SIG_DFL};
    sigset_t none;
    int moved[3];
    setpgid(0, 0);
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaction(signals[i], &usual, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    /* above 2 first: one of them may be where another has to go */
    for (int i = 0; i < 3; i++) moved[i] = fcntl(stream[i], F_DUPFD, 3);
    for (int i = 0; i < 3; i++)
        if (moved[i] < 0 || dup2(moved[i], i) < 0) _exit(127);
    close_from(3);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_CPU, (int64_t)limits->seconds + 1);
    limit(RLIMIT_FSIZE, limits->most_file ? limits->most_file : limits->most_memory);
    limit(RLIMIT_AS, limits->most_memory);
    if (chdir("/") != 0) _exit(127);
    execve(argv[0], (char *const *)argv, (char *const *)environment);
    _exit(127);
}

/* --- the parent ------------------------------------------------------------------------------- */

typedef struct {
    pid_t pid;
    int out, err; /* our ends of its output and error; -1: closed */
    double end;   /* clock at which its time is over */
    int64_t capacity, said;
    bool seen; /* said holds its first whole line */
    bool flooded, no_memory, stopped;
} Child;

static Status start(Child *c, const char *const *argv, const char *const *environment, int input,
                    const ChildLimits *limits, Error *err) {
    int out[2] = {-1, -1}, said[2] = {-1, -1};
    c->pid = -1;
    if (pipe(out) == 0 && pipe(said) == 0) {
        const int all[4] = {out[0], out[1], said[0], said[1]};
        for (int i = 0; i < 4; i++) fcntl(all[i], F_SETFD, FD_CLOEXEC);
        c->pid = fork();
    }
    if (c->pid == 0) become(argv, environment, (const int[3]){input, out[1], said[1]}, limits);
    const int why = errno;
    close(out[1]);
    close(said[1]);
    if (c->pid < 0) {
        close(out[0]);
        close(said[0]);
        return fail(err, ERR_IO, "child: %s: cannot be started: %s", argv[0], strerror(why));
    }
    setpgid(c->pid, c->pid); /* whoever comes first: parent or child */
    fcntl(out[0], F_SETFL, O_NONBLOCK);
    fcntl(said[0], F_SETFL, O_NONBLOCK);
    c->out = out[0];
    c->err = said[0];
    c->end = now_seconds() + limits->seconds;
    return OK;
}

static void shut(int *fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

/* Takes what has arrived on standard output; grows by doubling up to the limit. */
static void take_output(Child *c, ChildResult *r, int64_t most) {
    enum { FIRST = 1 << 16 };
    for (;;) {
        if (r->bytes == c->capacity) {
            int64_t capacity = c->capacity ? 2 * c->capacity : FIRST;
            if (capacity > most + 1) capacity = most + 1;
            uint8_t *longer = capacity > c->capacity ? realloc(r->output, (size_t)capacity) : NULL;
            c->flooded = capacity <= c->capacity;
            c->no_memory = !c->flooded && !longer;
            if (!longer) return;
            r->output = longer;
            c->capacity = capacity;
        }
        const ssize_t n = read(c->out, r->output + r->bytes, (size_t)(c->capacity - r->bytes));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
        if (n <= 0) {
            shut(&c->out);
            return;
        }
        r->bytes += n;
        if (r->bytes > most) {
            c->flooded = true;
            return;
        }
    }
}

/* Takes what has arrived on standard error and keeps the first line. */
static void take_words(Child *c, ChildResult *r) {
    char text[512];
    const ssize_t n = read(c->err, text, sizeof text);
    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK))
        shut(&c->err);
    for (ssize_t i = 0; i < n && !c->seen; i++) {
        const char letter = text[i];
        if (letter == '\n' || letter == '\r') c->seen = c->said > 0;
        else if (c->said + 1 < (int64_t)sizeof r->said)
            r->said[c->said++] = letter >= ' ' && letter < 127 ? letter : '?';
    }
}

/* Returns whether the child has ended; it stays a zombie, so that its group can still be named. */
static bool has_ended(const Child *c) {
    siginfo_t info = {0};
    const int st = waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG | WNOWAIT);
    return (st == 0 && info.si_pid == c->pid) || (st < 0 && errno == ECHILD);
}

/* Listens until both streams are closed and the child has ended, or one of the limits is met. A
 * grandchild that holds the streams open is waited for one more tick only. Returns whether the child
 * ended by itself. */
static bool listen_to(Child *c, ChildResult *r, const ChildLimits *limits) {
    enum { TICK_MS = 20 };
    static const double ASK_SECONDS = 0.1;
    double asked = now_seconds();
    bool ended = false;
    while (!c->flooded && !c->no_memory) {
        struct pollfd p[2] = {{.fd = c->out, .events = POLLIN}, {.fd = c->err, .events = POLLIN}};
        const bool open = c->out >= 0 || c->err >= 0;
        const int ready = poll(p, 2, open ? TICK_MS : 1); /* a negative fd is passed over */
        if (ready > 0 && p[0].revents) take_output(c, r, limits->most_output);
        if (ready > 0 && p[1].revents) take_words(c, r);
        if (ready <= 0 && (ended || !open) && has_ended(c)) return true;
        if (ready <= 0) ended = has_ended(c);
        if (now_seconds() > c->end) return false;
        if (limits->go_on && now_seconds() > asked + ASK_SECONDS) {
            asked = now_seconds();
            c->stopped = !limits->go_on(limits->context);
            if (c->stopped) return false;
        }
    }
    return false;
}

Status child_run(ChildResult *out, const char *const *argv, const char *const *environment,
                 int input, const ChildLimits *limits, Error *err) {
    Child c = {.out = -1, .err = -1};
    *out = (ChildResult){0};
    const Status st = start(&c, argv, environment, input, limits, err);
    if (st != OK) return st;
    const bool ended = listen_to(&c, out, limits);
    int state = 0;
    kill(-c.pid, SIGKILL); /* the whole group; of one that ended, whoever is left */
    while (waitpid(c.pid, &state, 0) < 0 && errno == EINTR) continue;
    shut(&c.out);
    shut(&c.err);
    if (c.no_memory) {
        child_result_free(out);
        return fail(err, ERR_MEMORY, "child: %s: out of memory for its output", argv[0]);
    }
    out->end = c.flooded                                                      ? CHILD_FLOODED
               : c.stopped                                                    ? CHILD_STOPPED
               : !ended || (WIFSIGNALED(state) && WTERMSIG(state) == SIGXCPU) ? CHILD_LATE
               : WIFSIGNALED(state)                                           ? CHILD_KILLED
                                                                              : CHILD_EXITED;
    out->code = WIFSIGNALED(state) ? WTERMSIG(state) : WEXITSTATUS(state);
    return OK;
}

void child_result_free(ChildResult *result) {
    if (!result) return;
    free(result->output);
    *result = (ChildResult){0};
}
