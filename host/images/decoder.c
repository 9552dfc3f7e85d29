/* decoder.c - command lines for ImageMagick and ffmpeg, and what their children made of a picture. */
#include "host/images/decoder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/images/child.h"
#include "io/files/file.h"

extern char **environ;

enum { SECONDS = 30 };
static const int64_t most_memory = (int64_t)4 << 30;
static const int64_t most_output = 3 * (int64_t)IMAGE_MAX_PIXELS + 64;

/* --- opening ---------------------------------------------------------------------------------- */

/* Returns the variables that children keep of this program's environment, and those that are set:
 * one thread each, for several run at once, messages in English, and ImageMagick's own limits. */
static char **make_environment(void) {
    static const char *const kept[] = {"PATH=", "HOME=", "TMPDIR=", "LD_LIBRARY_PATH=", "MAGICK_"};
    static const char *const set[] = {"LC_ALL=C", "OMP_NUM_THREADS=1", "MAGICK_THREAD_LIMIT=1",
                                      "MAGICK_MEMORY_LIMIT=2GiB", "MAGICK_DISK_LIMIT=2GiB"};
    enum { SET = sizeof set / sizeof *set, KEPT = sizeof kept / sizeof *kept };
    size_t n = 0, count = 0;
    while (environ && environ[n]) n++;
    char **all = calloc(n + SET + 1, sizeof *all);
    for (size_t i = 0; all && i < n; i++)
        for (int k = 0; k < KEPT; k++)
            if (strncmp(environ[i], kept[k], strlen(kept[k])) == 0)
                if ((all[count] = strdup(environ[i])) != NULL) count++;
    for (int i = 0; all && i < SET; i++)
        if ((all[count] = strdup(set[i])) != NULL) count++;
    return all;
}

Status decoder_open(Decoder *out, const char *name, bool orient, Error *err) {
    *out = (Decoder){.orient = orient, .seconds = SECONDS};
    if (!name) return OK;
    const bool magick = strcmp(name, "magick") == 0;
    if (!magick && strcmp(name, "ffmpeg") != 0)
        return fail(err, ERR_USAGE, "--decoder: '%s': expected magick or ffmpeg", name);
    out->program = magick ? DECODER_MAGICK : DECODER_FFMPEG;
    out->path = program_find(name);
    if (!out->path && magick) out->path = program_find("convert"); /* version 6 */
    if (!out->path) {
        *out = (Decoder){0};
        return fail(err, ERR_IO,
                    "--decoder: %s is not installed (looked in PATH%s): expected it, for example "
                    "from `apt-get install %s`",
                    name, magick ? " for magick and convert" : "",
                    magick ? "imagemagick" : "ffmpeg");
    }
    out->environment = make_environment();
    if (out->environment) return OK;
    decoder_close(out);
    return fail(err, ERR_MEMORY, "--decoder: out of memory");
}

void decoder_close(Decoder *d) {
    if (!d) return;
    for (size_t i = 0; d->environment && d->environment[i]; i++) free(d->environment[i]);
    free(d->environment);
    free(d->path);
    *d = (Decoder){0};
}

bool decoder_takes(const Decoder *d, const PictureKind *kind) {
    if (!kind || kind->film) return false;
    return d->program == DECODER_MAGICK   ? kind->magick != NULL
           : d->program == DECODER_FFMPEG ? kind->ffmpeg != NULL
                                          : false;
}

/* --- a picture -------------------------------------------------------------------------------- */

enum { MOST_ARGUMENTS = 32, LONGEST = 32 };

/* Returns whether pictures of this kind are turned here: the programs turn a TIFF or WebP by its
 * EXIF in some versions only. */
static bool is_turned_here(const PictureKind *kind) {
    return strcmp(kind->name, "WebP") == 0 || strcmp(kind->name, "TIFF") == 0;
}

/* Writes the command line; `input` holds the argument that is made up. Alpha is dropped, not mixed
 * with a colour, as our own readers do. */
static void command_line(const char **argv, char input[LONGEST], const Decoder *d,
                         const PictureKind *kind) {
    int n = 0;
    const bool turn = d->orient && !is_turned_here(kind);
    argv[n++] = d->path;
    if (d->program == DECODER_MAGICK) {
        snprintf(input, LONGEST, "%s:-[0]", kind->magick);
        argv[n++] = input;
        /* which row of a TGA comes first is part of its format, and ImageMagick's reader leaves it */
        if (turn || strcmp(kind->magick, "tga") == 0) argv[n++] = "-auto-orient";
        static const char *const rest[] = {"-alpha", "off", "-colorspace", "sRGB",
                                           "-depth", "8",   "ppm:-",       NULL};
        for (int i = 0; i < 8; i++) argv[n++] = rest[i];
        return;
    }
    /* /dev/stdin is opened as the file that it is: some formats are read by seeking, and the demuxers
     * of pipes cut pictures into packets */
    static const char *const first[] = {
        "-nostdin", "-hide_banner",        "-loglevel", "error", "-threads",
        "1",        "-protocol_whitelist", "file"};
    static const char *const still[] = {"-f", "image2", "-pattern_type", "none", "-c:v"};
    static const char *const rest[] = {"-i",       "/dev/stdin", "-frames:v", "1",
                                       "-f",       "image2pipe", "-c:v",      "ppm",
                                       "-pix_fmt", "rgb24",      "pipe:1"};
    const bool film = strcmp(kind->ffmpeg, "mov") == 0; /* a picture as one track of a film */
    for (int i = 0; i < 8; i++) argv[n++] = first[i];
    if (!turn) argv[n++] = "-noautorotate";
    for (int i = film ? 4 : 0; i < 5; i++) argv[n++] = film ? "-f" : still[i];
    argv[n++] = kind->ffmpeg;
    for (int i = 0; i < 11; i++) argv[n++] = rest[i];
    argv[n] = NULL;
}

/* Returns the program's own words. */
static const char *words_of(const ChildResult *r) {
    return r->said[0] ? r->said : "it said nothing";
}

static Status read_result(const Decoder *d, Image *out, const ChildResult *r, const char *what,
                          const char *path, Error *err) {
    const char *name = strrchr(d->path, '/') + 1;
    Error inner = {""};
    switch (r->end) {
    case CHILD_LATE:
        return fail(err, ERR_FORMAT, "image: %s: %s took longer than %g s for a %s", path, name,
                    d->seconds, what);
    case CHILD_FLOODED:
        return fail(err, ERR_FORMAT, "image: %s: %s made more than %lld bytes of a %s", path, name,
                    (long long)most_output, what);
    case CHILD_STOPPED: /* nobody asks it to */
    case CHILD_KILLED:
        return fail(err, ERR_FORMAT, "image: %s: %s died of signal %d on a %s: %s", path, name,
                    r->code, what, words_of(r));
    case CHILD_EXITED: break;
    }
    if (r->code == 127 && !r->bytes)
        return fail(err, ERR_IO, "image: %s: %s cannot be run", path, d->path);
    if (r->code != 0 || r->bytes == 0)
        return fail(err, ERR_FORMAT, "image: %s: %s cannot read this %s: %s", path, name, what,
                    words_of(r));
    const bool pnm =
        r->bytes > 3 && r->output[0] == 'P' && r->output[1] >= '1' && r->output[1] <= '6';
    const Status st = pnm ? image_decode(out, r->output, r->bytes, path, &inner) : ERR_FORMAT;
    if (st == OK) return OK;
    if (st == ERR_MEMORY) return fail(err, st, "%s", inner.text);
    return fail(err, ERR_FORMAT, "image: %s: what %s made of it is no PPM picture", path, name);
}

Status decoder_image(const Decoder *d, Image *out, const ImageFacts *facts, const char *path,
                     Error *err) {
    const char *argv[MOST_ARGUMENTS + 1];
    char input[LONGEST];
    const ChildLimits limits = {
        .seconds = d->seconds, .most_memory = most_memory, .most_output = most_output};
    ChildResult result;
    *out = (Image){0};
    const int file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (file < 0) return fail(err, ERR_IO, "image: %s: %s", path, strerror(errno));
    command_line(argv, input, d, facts->kind);
    Status st = child_run(&result, argv, (const char *const *)d->environment, file, &limits, err);
    close(file);
    if (st == OK) st = read_result(d, out, &result, facts->unread, path, err);
    child_result_free(&result);
    if (st == OK && d->orient && is_turned_here(facts->kind))
        st = image_orient(out, facts->orientation, err);
    return st;
}
