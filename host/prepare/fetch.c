/* fetch.c - curl as a child, its .part watched, digests in C. */
#include "host/prepare/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "host/images/child.h"
#include "host/tell/clock.h"
#include "host/tell/lines.h"
#include "host/tell/notify.h"
#include "io/files/file.h"
#include "io/files/md5.h"
#include "io/files/sha256.h"

extern char **environ;

const char *size_text_of(char text[24], int64_t bytes) {
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    double n = (double)bytes;
    int unit = 0;
    while (n >= 1000.0 && unit < 4) n /= 1000.0, unit++;
    snprintf(text, 24, unit ? "%.1f %s" : "%.0f %s", n, units[unit]);
    return text;
}

Status check_free_space(const char *folder, int64_t bytes, const char *what, Error *err) {
    struct statvfs s;
    char need[24], have[24];
    if (bytes <= 0 || statvfs(folder, &s) != 0)
        return OK; /* a system that does not say is believed */
    const double free_bytes = (double)s.f_bavail * (double)s.f_frsize;
    if (free_bytes >= (double)bytes) return OK;
    return fail(err, ERR_IO,
                "prepare: %s needs about %s more below %s, and %s are free: make room, or choose "
                "another --root_dir",
                what, size_text_of(need, bytes), folder, size_text_of(have, (int64_t)free_bytes));
}

/* --- progress in megabytes --------------------------------------------------------------------- */

bool progress_of_bytes(const TurtleHooks *hooks, int64_t first, int64_t now, int64_t whole,
                       double started) {
    enum { MEGA = 1000000 };
    if (whole < MEGA) return stop_asked(hooks);
    const TurtleProgress p = {.unit = "MB",
                              .first = first / MEGA,
                              .iteration = now / MEGA,
                              .iterations = (now > whole ? now : whole) / MEGA,
                              .seconds = now_seconds() - started,
                              .loss = NAN,
                              .entropy = NAN,
                              .cluster_acc = NAN};
    return progress_tell(hooks, &p);
}

typedef struct {
    const TurtleHooks *hooks;
    const char *part;     /* file that grows; NULL: `now` is told */
    int64_t first, whole; /* bytes at the beginning; of the whole file, -1: unknown */
    double started;
} Watch;

static bool show(const Watch *w, int64_t now) {
    return progress_of_bytes(w->hooks, w->first, now, w->whole, w->started);
}

static int64_t size_of(const char *path) {
    struct stat s;
    return stat(path, &s) == 0 && S_ISREG(s.st_mode) ? (int64_t)s.st_size : -1;
}

static bool watch(void *context) {
    const Watch *w = context;
    const int64_t now = size_of(w->part);
    return now >= 0 ? !show(w, now) : !stop_asked(w->hooks);
}

/* --- the check ---------------------------------------------------------------------------------- */

typedef union {
    Md5 md5;
    Sha256 sha256;
} Digest;

/* Reads the file once and writes its digest: MD5 or SHA-256. */
static Status digest_of(char hex[SHA256_HEX + 1], const PublishedFile *file, const char *at,
                        bool md5, Error *err) {
    enum { PIECE = 1 << 20 };
    Digest d;
    Watch w = {file->hooks, NULL, 0, size_of(at), now_seconds()};
    int64_t done = 0;
    Status st = OK;
    FILE *f = fopen(at, "rb");
    uint8_t *piece = malloc(PIECE);
    if (!f) st = fail(err, ERR_IO, "prepare: %s: %s", at, strerror(errno));
    else if (!piece) st = fail(err, ERR_MEMORY, "prepare: out of memory");
    if (md5) md5_init(&d.md5);
    else sha256_init(&d.sha256);
    while (st == OK) {
        const size_t n = fread(piece, 1, PIECE, f);
        if (n == 0) break;
        if (md5) md5_update(&d.md5, piece, (int64_t)n);
        else sha256_update(&d.sha256, piece, (int64_t)n);
        done += (int64_t)n;
        if (show(&w, done))
            st = fail(err, ERR_STOPPED, "prepare: stopped while %s was checked", file->name);
    }
    if (st == OK && ferror(f)) st = fail(err, ERR_IO, "prepare: %s: %s", at, strerror(errno));
    if (st == OK && md5) md5_finish(&d.md5, hex);
    else if (st == OK) sha256_finish(&d.sha256, hex);
    free(piece);
    if (f) fclose(f);
    return st;
}

Status published_check(const PublishedFile *file, const char *at, Error *err) {
    char hex[SHA256_HEX + 1];
    const int64_t size = size_of(at);
    if (size < 0) return fail(err, ERR_IO, "prepare: %s: no such file", at);
    if (file->unverified) return OK;
    if (file->size >= 0 && size != file->size)
        return fail(err, ERR_FORMAT, "prepare: %s has %lld bytes, the published file has %lld", at,
                    (long long)size, (long long)file->size);
    const char *expected = file->sha256 ? file->sha256 : file->md5;
    if (!expected) {
        notice(file->hooks, "prepare: %s: no digest is published, so none is checked", file->name);
        return OK;
    }
    const Status st = digest_of(hex, file, at, !file->sha256, err);
    if (st != OK || strcmp(hex, expected) == 0) return st;
    return fail(err, ERR_FORMAT, "prepare: %s: its %s digest is %s, the published one is %s", at,
                file->sha256 ? "SHA-256" : "MD5", hex, expected);
}

/* --- the child ---------------------------------------------------------------------------------- */

char **child_environment(void) {
    static const char *const kept[] = {
        "PATH=",        "HOME=",          "TMPDIR=",       "LD_LIBRARY_PATH=", "http_proxy=",
        "https_proxy=", "HTTPS_PROXY=",   "all_proxy=",    "ALL_PROXY=",       "no_proxy=",
        "NO_PROXY=",    "SSL_CERT_FILE=", "SSL_CERT_DIR=", "CURL_CA_BUNDLE="};
    size_t n = 0, count = 0;
    while (environ && environ[n]) n++;
    char **all = calloc(n + 2, sizeof *all);
    for (size_t i = 0; all && i < n; i++)
        for (size_t k = 0; k < sizeof kept / sizeof *kept; k++)
            if (strncmp(environ[i], kept[k], strlen(kept[k])) == 0 &&
                (all[count] = strdup(environ[i])) != NULL)
                count++;
    if (all && (all[count] = strdup("LC_ALL=C")) == NULL) {
        child_environment_free(all);
        return NULL;
    }
    return all;
}

void child_environment_free(char **environment) {
    for (size_t i = 0; environment && environment[i]; i++) free(environment[i]);
    free(environment);
}

typedef enum {
    TRY_DONE,     /* the .part is complete, as far as curl knows */
    TRY_AGAIN,    /* the connection broke: the .part can be continued */
    TRY_ANEW,     /* the .part is of no use to this server */
    TRY_NEXT,     /* this address does not have it */
    TRY_HOPELESS, /* nothing can be written here */
} Try;

/* Judges how curl ended: the numbers are those of its manual. */
static Try judge(const ChildResult *r, const char *part, const PublishedFile *file, char why[240]) {
    enum {
        RANGE = 33,
        PARTIAL = 18,
        WRITE = 23,
        TIMEOUT = 28,
        RECEIVE = 56,
        EMPTY = 52,
        HTTP2 = 92,
        HTTP2_FRAME = 16,
        SEND = 55,
        RETURNED = 22,
        CONNECT = 7
    };
    const bool wanted_range =
        r->code == RETURNED && r->bytes == 3 && memcmp(r->output, "416", 3) == 0;
    snprintf(why, 240, "%s", r->end == CHILD_EXITED && r->said[0] ? r->said : "curl was killed");
    if (r->end != CHILD_EXITED) return TRY_NEXT;
    if (r->code == 0) return TRY_DONE;
    if (wanted_range || r->code == RANGE) {
        /* nothing lies behind the end of a whole file */
        if (wanted_range && (file->unverified || (file->size < 0 && (file->md5 || file->sha256))))
            return TRY_DONE;
        snprintf(why, 240, "the server cannot continue %s", part);
        return TRY_ANEW;
    }
    switch (r->code) {
    case WRITE:
        if (!file->unverified && file->size >= 0 && size_of(part) >= file->size) {
            snprintf(why, 240, "the server's file is longer than the %lld bytes published",
                     (long long)file->size);
            if (file->md5 || file->sha256) return TRY_DONE; /* the digest decides */
            unlink(part);
            return TRY_NEXT;
        }
        snprintf(why, 240, "%s cannot be written: the disk is full, or files may not be longer",
                 part);
        return TRY_HOPELESS;
    case PARTIAL:
    case TIMEOUT:
    case RECEIVE:
    case EMPTY:
    case HTTP2:
    case HTTP2_FRAME:
    case SEND:
    case CONNECT: return TRY_AGAIN;
    default: return TRY_NEXT;
    }
}

/* Runs curl once. */
static Status run_curl(Try *out, const PublishedFile *file, const char *curl, char **environment,
                       const char *part, const char *url, char why[240], Error *err) {
    const char *const argv[] = {curl,
                                "-q",
                                "--fail",
                                "--location",
                                "--silent",
                                "--show-error",
                                "--globoff",
                                "--proto",
                                "=http,https",
                                "--proto-redir",
                                "=http,https",
                                "--connect-timeout",
                                "20",
                                "--speed-limit",
                                "1",
                                "--speed-time",
                                "60",
                                "--continue-at",
                                "-",
                                "--output",
                                part,
                                "--write-out",
                                "%{http_code}",
                                "--url",
                                url,
                                NULL};
    const int64_t size = size_of(part);
    Watch w = {file->hooks, part, size < 0 ? 0 : size, file->unverified ? -1 : file->size,
               now_seconds()};
    const ChildLimits limits = {.seconds = 30.0 * 24 * 3600,
                                .most_memory = (int64_t)1 << 36,
                                .most_output = 64,
                                .most_file = file->unverified || file->size < 0 ? (int64_t)1 << 42
                                                                                : file->size,
                                .go_on = watch,
                                .context = &w};
    ChildResult r;
    const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (nothing < 0) return fail(err, ERR_IO, "prepare: /dev/null: %s", strerror(errno));
    const Status st = child_run(&r, argv, (const char *const *)environment, nothing, &limits, err);
    close(nothing);
    if (st != OK) return st;
    *out = judge(&r, part, file, why);
    const bool stopped = r.end == CHILD_STOPPED;
    child_result_free(&r);
    if (!stopped) return OK;
    return fail(err, ERR_STOPPED, "prepare: stopped: %s stays, and the next call continues it",
                part);
}

/* --- the download ------------------------------------------------------------------------------- */

static void wait_a_second(const TurtleHooks *hooks) {
    for (int i = 0; i < 10 && !stop_asked(hooks); i++) usleep(100000);
}

/* Brings the file from one address under its final name. *why is empty if it did, else it says why not. */
static Status fetch_from(const PublishedFile *file, const char *curl, char **environment,
                         const char *part, const char *url, char why[240], Error *err) {
    enum { TRIES = 5 };
    bool continued = size_of(part) > 0;
    int tries = 0;
    why[0] = '\0';
    if (!file->unverified && file->size >= 0 && size_of(part) > file->size) {
        notice(file->hooks, "prepare: %s is longer than the published file: it is thrown away",
               part);
        unlink(part);
        continued = false;
    }
    for (;;) {
        Try end = TRY_DONE;
        const int64_t before = size_of(part);
        Status st = OK;
        if (file->unverified || file->size < 0 || before != file->size)
            st = run_curl(&end, file, curl, environment, part, url, why, err);
        if (st != OK) return st;
        if (end == TRY_HOPELESS)
            return fail(err, ERR_IO, "prepare: %s: %s: make room and run again, which continues it",
                        file->name, why);
        if (end == TRY_DONE) {
            Error inner = {""};
            st = published_check(file, part, &inner);
            if (st == OK && rename(part, file->path) != 0)
                return fail(err, ERR_IO, "prepare: %s: %s", file->path, strerror(errno));
            if (st == OK) why[0] = '\0';
            if (st == OK) return OK;
            if (st == ERR_STOPPED) return fail(err, st, "%s", inner.text);
            unlink(part);
            const char *cut = strstr(inner.text, ".part");
            snprintf(why, 240, "%.230s", cut ? cut + 5 + strspn(cut + 5, ": ") : inner.text);
            end = continued ? TRY_ANEW : TRY_NEXT; /* pieces of two versions may have been joined */
        }
        if (end == TRY_NEXT) return OK;
        if (end == TRY_ANEW) {
            if (!continued) return OK;
            notice(file->hooks, "prepare: %s: %s: from its beginning again", url, why);
            unlink(part);
            continued = false;
            continue;
        }
        if (size_of(part) > before) tries = 0;
        if (++tries == TRIES) return OK;
        notice(file->hooks, "prepare: %s: %s: tried again", url, why);
        continued = size_of(part) > 0;
        wait_a_second(file->hooks);
    }
}

/* Returns address `i` of the file in fresh memory: those of TURTLE_MIRROR, between blanks, come first. NULL:
 * there is none, or no memory. */
static char *address(const PublishedFile *file, int i) {
    const char *mirrors = getenv("TURTLE_MIRROR");
    for (const char *at = mirrors ? mirrors : ""; *(at += strspn(at, " ")); at += strcspn(at, " "))
        if (i-- == 0) {
            const size_t n = strcspn(at, " ");
            return format_text("%.*s%s%s", (int)n, at, at[n - 1] == '/' ? "" : "/", file->name);
        }
    return i < file->urls ? format_text("%s", file->url[i]) : NULL;
}

/* Tries address after address. *tried becomes their list; *why says what the last one lacked, "" for success. */
static Status try_all(const PublishedFile *file, const char *curl, char **environment,
                      const char *part, char **tried, char why[240], Error *err) {
    Status st = OK;
    char *url;
    snprintf(why, 240, "no address is known");
    for (int i = 0; st == OK && *why && (url = address(file, i)) != NULL; i++) {
        if (i > 0) notice(file->hooks, "prepare: %s: the next address is tried", why);
        notice(file->hooks, "prepare: %s from %s", file->name, url);
        st = fetch_from(file, curl, environment, part, url, why, err);
        add_line(tried, "%s%s", *tried ? ", " : "", url);
        free(url);
    }
    return st;
}

Status published_fetch(const PublishedFile *file, Error *err) {
    char why[240] = "", *curl = program_find("curl"), **environment = child_environment();
    char *part = format_text("%s.part", file->path), *tried = NULL;
    Status st = part && environment ? OK : fail(err, ERR_MEMORY, "prepare: out of memory");
    if (st == OK && !curl)
        st = fail(err, ERR_IO,
                  "prepare: curl is not installed (looked in PATH): expected it, for example from "
                  "`apt-get install curl`; or "
                  "bring the files with --from DIR");
    if (st == OK) st = try_all(file, curl, environment, part, &tried, why, err);
    if (st == OK && *why)
        st = fail(err, ERR_IO, "prepare: %s cannot be had from %s: %s", file->name,
                  tried ? tried : "anywhere", why);
    free(part);
    free(tried);
    free(curl);
    child_environment_free(environment);
    return st;
}
