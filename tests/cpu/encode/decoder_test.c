/* decoder_test.c - --decoder: programs that behave and programs that do not, as children; the real
 * ones where they are installed. */
#include <dirent.h>
#include <fcntl.h>
#include <time.h>

#include "host/images/child.h"
#include "host/images/decoder.h"
#include "tests/support/check.h"

/* Makes a folder with a program `name` of these shell lines, first in PATH. Returns it. */
static char *fake(const char *name, const char *lines) {
    char *folder = temporary_folder(), *path = format_text("%s/%s", folder, name);
    char *text = format_text("#!/bin/sh\n%s\n", lines), *with;
    write_bytes(path, text, strlen(text));
    cr_assert(chmod(path, 0755) == 0);
    with = format_text("%s:%s", folder, getenv("PATH"));
    setenv("PATH", with, 1);
    free(path), free(text), free(with);
    return folder;
}

/* Writes a WebP, as far as its first bytes tell, below `folder`. Returns its path in fresh memory. */
static char *webp(const char *folder) {
    char *path = format_text("%s/-x y.webp", folder);
    write_bytes(path, "RIFF\x10\0\0\0WEBPVP8 ....", 20);
    return path;
}

/* Decodes one picture by a `magick` of these lines. */
static Status decode_by(const char *lines, double seconds, Image *image, Error *err) {
    char *folder = fake("magick", lines), *path = webp(folder);
    Decoder d;
    ASSERT_OK(decoder_open(&d, "magick", false, err), *err);
    d.seconds = seconds;
    const ImageFacts facts = {1, "WebP", picture_kind_of_name("x.webp")};
    const Status st = decoder_image(&d, image, &facts, path, err);
    decoder_close(&d);
    free(path);
    remove_folder(folder);
    return st;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

Test(decoder, pixels_come_back_and_the_file_goes_through_standard_input) {
    Image image;
    Error err = {""};
    /* the input's bytes 8 to 10 become the one pixel; the file's name is not among the arguments */
    ASSERT_OK(decode_by("case \"$*\" in *x\\ y*) exit 3;; esac; printf 'P6 1 1 255 '; "
                        "dd bs=1 skip=8 count=3 2>/dev/null",
                        20, &image, &err),
              err);
    cr_expect(image.width == 1 && image.height == 1 && memcmp(image.rgb, "WEB", 3) == 0);
    image_free(&image);
}

/* A TIFF header of one entry, the orientation 6, behind what some writers put before it. */
#define TURNED "II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0"

/* The program is not asked to turn a TIFF or a WebP, for not all of its versions can: what comes
 * back is turned by the file's own EXIF. */
Test(decoder, tiff_and_webp_are_turned_by_their_own_exif) {
    static const struct {
        const char *bytes;
        int n, orientation;
    } files[] = {{TURNED, 26, 6},
                 {"RIFF\x3a\0\0\0WEBPVP8 \3\0\0\0abc\0EXIF\x1a\0\0\0" TURNED, 58, 6},
                 {"RIFF\x40\0\0\0WEBPVP8 \3\0\0\0abc\0EXIF\x20\0\0\0"
                  "Exif\0\0" TURNED,
                  64, 6},
                 {"RIFF\x3a\0\0\0WEBPVP8 \3\0\0\0abc\0EXIF\xff\0\0\0" TURNED, 58, 1},
                 {"RIFF\x3a\0\0\0WEBPVP8 \xff\xff\xff\xff"
                  "abc\0EXIF\x1a\0\0\0" TURNED,
                  58, 1}};
    char *folder = fake("magick", "case \"$*\" in *orient*) exit 3;; esac; printf 'P5 2 1 255 ab'");
    char *path = webp(folder);
    Error err = {""};
    Decoder d;
    ASSERT_OK(decoder_open(&d, "magick", true, &err), err);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        Image image;
        ImageFacts facts;
        ASSERT_OK(
            image_read(&image, &facts, (const uint8_t *)files[i].bytes, files[i].n, "x", &err),
            err);
        cr_expect(facts.unread && facts.orientation == files[i].orientation, "%zu", i);
        ASSERT_OK(decoder_image(&d, &image, &facts, path, &err), err);
        const bool turned = files[i].orientation == 6;
        cr_expect(image.width == (turned ? 1 : 2) && image.height == (turned ? 2 : 1), "%zu", i);
        image_free(&image);
    }
    decoder_close(&d);
    free(path);
    remove_folder(folder);
}

Test(decoder, programs_that_fail_are_refused_with_their_own_words) {
    static const struct {
        const char *lines, *words;
        double seconds;
    } cases[] = {
        {"echo 'no such coder' >&2; exit 1", "magick cannot read this WebP: no such coder", 20},
        {"printf '\\n\\033[1mbad\\n' >&2; exit 1", "?[1mbad", 20},
        {"exit 0", "it said nothing", 20},
        {"echo hello, this is no picture", "no PPM picture", 20},
        {"printf 'P6 9 9 255 short'", "no PPM picture", 20},
        {"printf 'P6 99999 99999 255 x'", "no PPM picture", 20},
        {"kill -SEGV $$", "died of signal 11", 20},
        {"sleep 60", "took longer than 0.3 s", 0.3},
        {"exec >&- 2>&-; sleep 60", "took longer than 0.3 s", 0.3},
        {"trap '' TERM INT; sleep 60 & wait", "took longer than 0.3 s", 0.3},
        {"while :; do :; done", "took longer than 0.3 s", 0.3},
        {"cat <&0 >/dev/null; yes", "took longer than", 0.3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Image image;
        Error err = {""};
        const double before = now();
        const Status st = decode_by(cases[i].lines, cases[i].seconds, &image, &err);
        cr_expect(st == ERR_FORMAT && strstr(err.text, cases[i].words), "case %zu: %s", i,
                  err.text);
        cr_expect(!image.rgb && now() - before < 15, "case %zu: %.1f s", i, now() - before);
        cr_expect(strstr(err.text, "x y.webp") && !strchr(err.text, '\n'));
    }
}

/* --- the child itself ------------------------------------------------------------------------- */

static ChildResult ran(const char *lines, int64_t most_output, double seconds) {
    const char *const argv[] = {"/bin/sh", "-c", lines, NULL};
    const char *const environment[] = {"PATH=/usr/bin:/bin", NULL};
    const ChildLimits limits = {
        .seconds = seconds, .most_memory = (int64_t)1 << 32, .most_output = most_output};
    ChildResult r;
    Error err = {""};
    const int input = open("/dev/null", O_RDONLY);
    ASSERT_OK(child_run(&r, argv, environment, input, &limits, &err), err);
    close(input);
    return r;
}

Test(decoder, a_flood_is_cut_off_at_the_limit) {
    ChildResult r = ran("yes", 1 << 20, 20);
    cr_expect(r.end == CHILD_FLOODED && r.bytes <= (1 << 20) + 1, "%d, %lld bytes", (int)r.end,
              (long long)r.bytes);
    child_result_free(&r);
    r = ran("head -c 1048576 /dev/zero", 1 << 20, 20); /* the limit itself is none too many */
    cr_expect(r.end == CHILD_EXITED && r.code == 0 && r.bytes == 1 << 20, "%d, %lld bytes",
              (int)r.end, (long long)r.bytes);
    child_result_free(&r);
    r = ran("yes >&2", 1 << 20, 0.3); /* words are read and forgotten */
    cr_expect(r.end == CHILD_LATE && strcmp(r.said, "y") == 0);
    child_result_free(&r);
}

/* Memory beyond the limit is not to be had: the program fails, ours does not. */
Test(decoder, memory_is_limited) {
    if (emulated()) cr_skip_test("qemu does not limit the memory of its programs");
    ChildResult r = ran("ulimit -v", 1 << 20, 20);
    cr_assert(r.end == CHILD_EXITED && r.bytes > 1);
    cr_expect(strncmp((char *)r.output, "4194304\n", 8) == 0, "%.*s", (int)r.bytes, r.output);
    child_result_free(&r);
}

/* Open files, ignored signals and the environment stay on this side. */
Test(decoder, the_child_gets_nothing_that_it_was_not_given) {
    const int leak = open("/dev/null", O_RDONLY);
    cr_assert(leak >= 0);
    signal(SIGPIPE, SIG_IGN);
    setenv("SECRET", "x", 1);
    ChildResult r =
        /* without a pipe of the shell's own, which it holds open for a while */
        ran("echo ${SECRET-unset} $(pwd); n=0; for f in /proc/$$/fd/[3-9]; do "
            "[ ! -e $f ] || n=$((n+1)); done; echo $n; yes | head -n 1",
            1 << 20, 20);
    cr_assert(r.end == CHILD_EXITED && r.bytes > 8, "%d %d", (int)r.end, r.code);
    cr_expect(strncmp((char *)r.output, "unset /\n0\ny\n", 12) == 0, "%.*s", (int)r.bytes,
              r.output);
    child_result_free(&r);
    close(leak);
}

/* A program leaves another behind: the group is killed, and the call does not wait for it. */
Test(decoder, grandchildren_end_with_the_call) {
    char *folder = temporary_folder();
    char *lines = format_text("sleep 47 & echo $! >'%s/pid'; echo done", folder);
    char *path = format_text("%s/pid", folder), text[64];
    const double before = now();
    ChildResult r = ran(lines, 1 << 20, 20);
    cr_expect(r.end == CHILD_EXITED && r.bytes == 5 && now() - before < 5, "%.1f s",
              now() - before);
    child_result_free(&r);
    read_text(text, sizeof text, path);
    const pid_t left = (pid_t)atoi(text);
    bool gone = false;
    for (int i = 0; i < 200 && left > 1 && !gone; i++) {
        char *state = format_text("/proc/%d/stat", (int)left), stat[256] = "";
        read_text(stat, sizeof stat, state);
        gone = kill(left, 0) != 0 || strstr(stat, ") Z ");
        free(state);
        usleep(10000);
    }
    cr_expect(left > 1 && gone, "process %d is still there", (int)left);
    free(lines), free(path);
    remove_folder(folder);
}

/* --- opening ---------------------------------------------------------------------------------- */

Test(decoder, programs_are_found_in_path_alone) {
    Decoder d;
    Error err = {""};
    char *folder = temporary_folder();
    ASSERT_OK(decoder_open(&d, NULL, false, &err), err);
    cr_expect(!decoder_takes(&d, picture_kind_of_name("x.webp")));
    decoder_close(&d);
    setenv("PATH", folder, 1);
    cr_expect(decoder_open(&d, "magick", false, &err) == ERR_IO && !d.path);
    cr_expect(strstr(err.text, "magick is not installed") && strstr(err.text, "apt-get install"));
    cr_expect(decoder_open(&d, "ffmpeg", false, &err) == ERR_IO && strstr(err.text, "ffmpeg"));
    cr_expect(decoder_open(&d, "paint", false, &err) == ERR_USAGE);
    char *convert = format_text("%s/convert", folder);
    write_bytes(convert, "#!/bin/sh\n", 10);
    cr_expect(decoder_open(&d, "magick", false, &err) == ERR_IO, "it cannot be executed");
    cr_assert(chmod(convert, 0755) == 0);
    ASSERT_OK(decoder_open(&d, "magick", false, &err), err);
    cr_expect(strcmp(d.path, convert) == 0, "%s", d.path);
    cr_expect(decoder_takes(&d, picture_kind_of_name("x.webp")));
    cr_expect(!decoder_takes(&d, picture_kind_of_name("x.svg")), "a drawing can name other files");
    cr_expect(!decoder_takes(&d, picture_kind_of_name("x.mp4")));
    decoder_close(&d);
    setenv("PATH", ".:relative", 1); /* the working folder may hold anything */
    cr_expect(decoder_open(&d, "magick", false, &err) == ERR_IO);
    free(convert);
    remove_folder(folder);
}
