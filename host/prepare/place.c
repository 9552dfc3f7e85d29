/* place.c - rules of places, archives and folders. */
#include "host/prepare/place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/images/child.h"
#include "host/prepare/fetch.h"
#include "host/tell/clock.h"
#include "host/tell/notify.h"
#include "io/archives/unpack.h"
#include "io/files/file.h"

enum { PLACE = 4096 };

/* --- rules ------------------------------------------------------------------------------------- */

static bool is_junk(const char *component, size_t n) {
    return (n == 8 && memcmp(component, "__MACOSX", 8) == 0) ||
           (n > 1 && memcmp(component, "._", 2) == 0) ||
           (n == 9 && memcmp(component, ".DS_Store", 9) == 0);
}

static bool is_named(const char *component, size_t n, const char *name) {
    return strlen(name) == n && memcmp(component, name, n) == 0;
}

/* Returns where the last component begins that is a name of `begin`; the whole name if there is no such rule;
 * NULL for junk, and where no component is one. */
static const char *beginning(const ManifestArchive *a, const char *name) {
    const char *from = a->begins ? NULL : name;
    for (const char *c = name; *c;) {
        const size_t n = strcspn(c, "/");
        if (is_junk(c, n)) return NULL;
        for (int i = 0; i < a->begins; i++)
            if (is_named(c, n, a->begin[i])) from = c;
        c += n + (c[n] == '/');
    }
    return from;
}

static const char *last_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool place_of(char place[PLACE], const Placing *p, const char *name) {
    const ManifestArchive *a = p->archive;
    const char *from = beginning(a, name), *class;
    const bool below = strcmp(a->into, ".") != 0;
    int n = -1;
    if (!from) return false;
    switch (a->layout) {
    case LAYOUT_PLAIN:
    case LAYOUT_TREE:
        n = snprintf(place, PLACE, "%s%s%s", below ? a->into : "", below ? "/" : "", from);
        break;
    case LAYOUT_LONE: n = snprintf(place, PLACE, "%s", a->into); break;
    case LAYOUT_CLASSES:
        class = p->class_of ? p->class_of(p->context, last_name(name)) : NULL;
        if (class) n = snprintf(place, PLACE, "%s/%s/%s", a->into, class, last_name(name));
        break;
    case LAYOUT_FOLDERS: {
        const char *end = strstr(name, ".tar/");
        const char *inner = end ? end + 5 : NULL;
        while (end && end > name && memchr(name, '/', (size_t)(end - name)))
            name = strchr(name, '/') + 1;
        if (end) n = snprintf(place, PLACE, "%s/%.*s/%s", a->into, (int)(end - name), name, inner);
        else n = snprintf(place, PLACE, "%s/%s", a->into, from);
        break;
    }
    }
    if (n < 0 || n >= PLACE) return false;
    return !p->wanted || p->wanted(p->context, place);
}

/* --- archives ---------------------------------------------------------------------------------- */

typedef struct {
    const Placing *placing;
    double started; /* clock */
    char place[PLACE];
} Unpacking;

static bool ends_with(const char *text, const char *end) {
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* An inner archive is asked for by its own name, before its entries are. */
static bool entry_wanted(void *context, const char *name) {
    Unpacking *u = context;
    const ManifestArchive *a = u->placing->archive;
    if (a->nested && strcmp(last_name(name), a->nested) == 0) return true;
    if (a->layout == LAYOUT_FOLDERS && ends_with(name, ".tar") && !strchr(name, ':')) return true;
    return place_of(u->place, u->placing, name);
}

static const char *entry_place(void *context, const char *name) {
    Unpacking *u = context;
    return place_of(u->place, u->placing, name) ? u->place : NULL;
}

static bool entry_go_on(void *context, const UnpackCounts *counts) {
    const Unpacking *u = context;
    const Placing *p = u->placing;
    return !progress_of_bytes(p->hooks, 0, counts->bytes, p->expected, u->started);
}

typedef struct {
    const TurtleHooks *hooks;
} Asking;

static bool ask(void *context) {
    return !stop_asked(((const Asking *)context)->hooks);
}

/* Runs a program that unpacks the .rar, its standard input, into `folder`. *done: it ended well. */
static Status run_unrar(bool *done, char said[240], int which, const char *program, int input,
                        const char *folder, const TurtleHooks *hooks, Error *err) {
    char *into = format_text("%s/", folder), *with_o = format_text("-o%s", folder);
    char **environment = child_environment();
    Asking asking = {hooks};
    const ChildLimits limits = {.seconds = 30.0 * 24 * 3600,
                                .most_memory = (int64_t)1 << 40,
                                .most_output = 1 << 26,
                                .go_on = ask,
                                .context = &asking};
    ChildResult r = {0};
    Status st = OK;
    *done = false;
    if (!into || !with_o || !environment) st = fail(err, ERR_MEMORY, "prepare: out of memory");
    if (st == OK) {
        const char *const unrar[] = {program, "x",          "-idq", "-o+", "-p-",
                                     "-y",    "/dev/stdin", into,   NULL};
        const char *const bsdtar[] = {program,           "-x", "-f", "-", "-C", folder,
                                      "--no-same-owner", NULL};
        const char *const seven[] = {program, "x", "-y", "-bd", with_o, "/dev/stdin", NULL};
        st = child_run(&r,
                       which == 0   ? unrar
                       : which == 1 ? bsdtar
                                    : seven,
                       (const char *const *)environment, input, &limits, err);
    }
    if (st == OK && r.end == CHILD_STOPPED)
        st = fail(err, ERR_STOPPED, "prepare: stopped while %s unpacked", program);
    if (st == OK) {
        *done = r.end == CHILD_EXITED && r.code == 0;
        snprintf(said, 240, "%s", r.said[0] ? r.said : "it said nothing");
    }
    child_result_free(&r);
    child_environment_free(environment);
    free(into);
    free(with_o);
    return st;
}

/* Unpacks a .rar with the first program that can, then moves what it wrote to its places. */
static Status place_rar(const Placing *p, const char *path, Placed *placed, Error *err) {
    static const char *const programs[] = {"unrar", "bsdtar", "7z", "7zz"};
    char said[240] = "", *folder = format_text("%s/.rar", p->stage), *used = NULL;
    bool done = false;
    Status st = folder ? OK : fail(err, ERR_MEMORY, "prepare: out of memory");
    for (int i = 0; st == OK && !done && i < 4; i++) {
        char *program = program_find(programs[i]);
        if (!program) continue;
        free(used);
        used = format_text("%s", programs[i]);
        st = remove_tree(folder, err);
        if (st == OK) st = folder_make(folder, err);
        const int input = st == OK ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        if (st == OK && input < 0) st = fail(err, ERR_IO, "prepare: %s: %s", path, strerror(errno));
        if (st == OK) {
            notice(p->hooks, "prepare: %s is unpacked by %s", p->archive->name, program);
            st = run_unrar(&done, said, i, program, input, folder, p->hooks, err);
        }
        if (input >= 0) close(input);
        free(program);
    }
    if (st == OK && !used)
        st = fail(err, ERR_IO,
                  "prepare: %s: neither unrar nor bsdtar nor 7z is installed (looked in PATH): "
                  "install one, or run `unrar x %s` "
                  "elsewhere and give the folder that it makes with --from",
                  p->archive->name, path);
    if (st == OK && !done)
        st = fail(err, ERR_FORMAT, "prepare: %s: %s could not unpack it: %s", path, used, said);
    if (st == OK) st = place_folder(p, folder, "", true, placed, err);
    if (folder) remove_tree(folder, NULL);
    free(folder);
    free(used);
    return st;
}

static bool is_rar(const char *path) {
    char begin[4] = "";
    FILE *f = fopen(path, "rb");
    const bool is = f && fread(begin, 1, 4, f) == 4 && memcmp(begin, "Rar!", 4) == 0;
    if (f) fclose(f);
    return is || ends_with(path, ".rar");
}

Status place_archive(const Placing *p, const char *path, Placed *placed, Error *err) {
    Unpacking u = {.placing = p, .started = now_seconds()};
    UnpackCounts counts = {0};
    const ManifestArchive *a = p->archive;
    if (a->layout == LAYOUT_PLAIN) {
        char place[PLACE];
        if (!place_of(place, p, a->name))
            return fail(err, ERR_FORMAT, "prepare: %s: its place is too long", a->name);
        return place_file(p, path, place, placed, err);
    }
    if (is_rar(path)) return place_rar(p, path, placed, err);
    const UnpackOptions options = {.most_bytes = p->most_bytes,
                                   .nested = a->nested || a->layout == LAYOUT_FOLDERS,
                                   .wanted = entry_wanted,
                                   .rename = entry_place,
                                   .go_on = entry_go_on,
                                   .context = &u};
    Error inner = {""};
    const Status st = unpack(path, p->stage, &options, &counts, &inner);
    placed->files += counts.files;
    placed->bytes += counts.bytes;
    if (st == ERR_STOPPED)
        return fail(err, st,
                    "prepare: stopped while %s was unpacked: the next call begins with it again",
                    a->name);
    if (st != OK) return fail(err, st, "%s", inner.text);
    if (counts.files > 0) return OK;
    return fail(err, ERR_FORMAT,
                "prepare: %s holds nothing that belongs to the data set: is it the published file?",
                path);
}

/* --- folders and files ---------------------------------------------------------------------------- */

Status place_file(const Placing *p, const char *path, const char *place, Placed *placed,
                  Error *err) {
    enum { PIECE = 1 << 18 };
    AtomicFile out = {0};
    char *to = format_text("%s/%s", p->stage, place);
    uint8_t *piece = malloc(PIECE);
    struct stat s;
    const int in = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    Status st = to && piece ? OK : fail(err, ERR_MEMORY, "prepare: out of memory");
    if (st == OK && in < 0) st = fail(err, ERR_IO, "prepare: %s: %s", path, strerror(errno));
    if (st == OK && (fstat(in, &s) != 0 || !S_ISREG(s.st_mode)))
        st = fail(err, ERR_IO, "prepare: %s is no regular file", path);
    if (st == OK && p->most_bytes && placed->bytes + s.st_size > p->most_bytes)
        st = fail(err, ERR_FORMAT,
                  "prepare: %s: more than the %lld bytes that this data set may have", path,
                  (long long)p->most_bytes);
    if (st == OK) st = atomic_open(&out, to, err);
    while (st == OK) {
        const ssize_t n = read(in, piece, PIECE);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) st = fail(err, ERR_IO, "prepare: %s: %s", path, strerror(errno));
        if (n <= 0) break;
        if (fwrite(piece, 1, (size_t)n, out.stream) != (size_t)n) break; /* commit says why */
        placed->bytes += n;
        if (stop_asked(p->hooks))
            st = fail(err, ERR_STOPPED, "prepare: stopped: the next call continues");
    }
    if (st == OK) st = atomic_commit(&out, err);
    atomic_abort(&out);
    placed->files += st == OK;
    if (in >= 0) close(in);
    free(piece);
    free(to);
    return st;
}

/* Moves a file to <stage>/<place>. */
static Status move_file(const Placing *p, const char *path, const char *place, Placed *placed,
                        Error *err) {
    char *to = format_text("%s/%s", p->stage, place);
    Status st = to ? OK : fail(err, ERR_MEMORY, "prepare: out of memory");
    if (st == OK) {
        char *slash = strrchr(to, '/');
        *slash = '\0';
        st = folder_make(to, err);
        *slash = '/';
    }
    if (st == OK && rename(path, to) != 0)
        st = fail(err, ERR_IO, "prepare: %s: %s", to, strerror(errno));
    placed->files += st == OK;
    free(to);
    return st;
}

static Status place_entry(const Placing *p, const char *root, const char *inside, bool move,
                          int depth, Placed *placed, Error *err);

static Status place_inside(const Placing *p, const char *root, const char *inside, bool move,
                           int depth, Placed *placed, Error *err) {
    enum { MOST_DEPTH = 32 };
    char *path = format_text("%s/%s", root, inside);
    DIR *folder = path ? opendir(path) : NULL;
    Status st = OK;
    if (!path) st = fail(err, ERR_MEMORY, "prepare: out of memory");
    else if (!folder) st = fail(err, ERR_IO, "prepare: %s: %s", path, strerror(errno));
    else if (depth > MOST_DEPTH)
        st = fail(err, ERR_FORMAT, "prepare: %s: folders are nested too deep", path);
    for (struct dirent *e; st == OK && (e = readdir(folder)) != NULL;) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        char *name = format_text("%s%s%s", inside, *inside ? "/" : "", e->d_name);
        st = name ? place_entry(p, root, name, move, depth, placed, err)
                  : fail(err, ERR_MEMORY, "prepare: out of memory");
        free(name);
    }
    if (folder) closedir(folder);
    free(path);
    return st;
}

static Status place_entry(const Placing *p, const char *root, const char *inside, bool move,
                          int depth, Placed *placed, Error *err) {
    char place[PLACE], *path = format_text("%s/%s", root, inside);
    struct stat s;
    Status st = OK;
    if (!path) return fail(err, ERR_MEMORY, "prepare: out of memory");
    if (lstat(path, &s) != 0) st = fail(err, ERR_IO, "prepare: %s: %s", path, strerror(errno));
    else if (move && !S_ISREG(s.st_mode) && !S_ISDIR(s.st_mode))
        st = fail(err, ERR_FORMAT, "prepare: %s: the archive holds a link or a device: refused",
                  path);
    else if (S_ISDIR(s.st_mode)) st = place_inside(p, root, inside, move, depth + 1, placed, err);
    else if (stat(path, &s) == 0 && S_ISREG(s.st_mode) && place_of(place, p, inside))
        st =
            move ? move_file(p, path, place, placed, err) : place_file(p, path, place, placed, err);
    free(path);
    return st;
}

Status place_folder(const Placing *p, const char *folder, const char *name, bool move,
                    Placed *placed, Error *err) {
    char *path = format_text("%s/%s", folder, name);
    struct stat s;
    if (!path) return fail(err, ERR_MEMORY, "prepare: out of memory");
    const bool is_folder = stat(path, &s) == 0 &&
                           S_ISDIR(s.st_mode); /* a link to a folder is entered, at the top alone */
    const int64_t before = placed->files;
    Status st = is_folder ? place_inside(p, folder, name, move, 0, placed, err)
                          : place_entry(p, folder, name, move, 0, placed, err);
    if (st == OK && placed->files == before)
        st = fail(err, ERR_FORMAT, "prepare: %s holds nothing that belongs to the data set", path);
    free(path);
    return st;
}

static int remove_one(const char *path, const struct stat *s, int kind, struct FTW *walk) {
    (void)s, (void)kind, (void)walk;
    return remove(path);
}

Status remove_tree(const char *path, Error *err) {
    struct stat s;
    if (lstat(path, &s) != 0) return OK;
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0) return OK;
    return fail(err, ERR_IO, "prepare: %s: cannot be removed: %s", path, strerror(errno));
}
