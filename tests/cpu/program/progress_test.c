/* progress_test.c - what a person sees while a call works: one line that fits the terminal; and digests
 * of weights. */
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/cli/progress.h"
#include "host/tell/digest.h"
#include "io/arrays/npy.h"
#include "io/files/sha256.h"
#include "tests/support/check.h"

/* --- lines ------------------------------------------------------------------------------------ */

Test(progress, a_line_keeps_what_is_wanted_most) {
    const TurtleProgress p = {.unit = "it",
                              .iteration = 3000,
                              .iterations = 6000,
                              .seconds = 60.0,
                              .loss = 1.25,
                              .entropy = 4.5,
                              .cluster_acc = 0.9,
                              .clusters_found = 9,
                              .classes = 10};
    static const struct {
        int columns;
        const char *line;
    } cases[] = {
        {200,
         "3000/6000  1:00 < 1:00  50.0 it/s  loss 1.250  acc 0.9000  entropy 4.500  clusters 9/10"},
        {60, "3000/6000  1:00 < 1:00  50.0 it/s  loss 1.250  acc 0.9000"},
        {40, "3000/6000  1:00 < 1:00  50.0 it/s"},
        {9, "3000/6000"},
        {8, ""},
        {0, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char line[512];
        const int n = progress_line(line, sizeof line, &p, cases[i].columns);
        cr_expect_str_eq(line, cases[i].line);
        cr_expect(n == (int)strlen(cases[i].line) && n <= cases[i].columns);
    }
}

/* --- terminals -------------------------------------------------------------------------------- */

/* Returns all that the program writes to a terminal of so many columns. */
static char *on_terminal(const char *const *arguments, int columns) {
    const int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    cr_assert(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
    const int slave = open(ptsname(terminal), O_RDWR | O_NOCTTY);
    const struct winsize size = {.ws_row = 24, .ws_col = (unsigned short)columns};
    cr_assert(slave >= 0 && ioctl(slave, TIOCSWINSZ, &size) == 0);
    const pid_t child = fork();
    if (child == 0) {
        dup2(slave, STDERR_FILENO);
        const int nothing = open("/dev/null", O_WRONLY);
        dup2(nothing, STDOUT_FILENO);
        setenv("TERM", "xterm", 1);
        unsetenv("NO_COLOR");
        execv(TURTLE_PROGRAM, (char *const *)arguments);
        _exit(127);
    }
    close(slave);
    char *text = calloc(1, 1 << 20);
    size_t used = 0;
    for (ssize_t n;
         used < (1 << 20) - 1 && (n = read(terminal, text + used, (1 << 20) - 1 - used)) > 0;)
        used += (size_t)n;
    close(terminal);
    int status;
    waitpid(child, &status, 0);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %d: %s", status, text);
    return text;
}

/* Returns the characters of a line that take a column, and whether it has a bar. */
static int width_of(const char *at, const char *end, bool *bar) {
    int width = 0;
    for (; at < end; at++) {
        if (*at == '\033') { /* to the letter that ends the sequence */
            while (at < end && !(*at >= 'A' && *at <= 'z' && *at != '[')) at++;
            continue;
        }
        if (*at == '#' || *at == '.') *bar = *bar || at[1] == *at;
        width += *at != '\r';
    }
    return width;
}

Test(progress, one_line_whatever_the_width_of_the_terminal, .timeout = 60) {
    static const int widths[] = {40, 60, 80, 130, 12};
    char *folder = temporary_folder(), *features = format_text("%s/z.npy", folder);
    float z[300 * 4];
    Error err;
    for (int i = 0; i < 300 * 4; i++) z[i] = (float)((i * 7919 % 1000) / 1000.0 + (i / 4 % 3) * 3);
    ASSERT_OK(npy_write(features, DTYPE_F32, 2, (const int64_t[]){300, 4}, z, &err), err);
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        char *out = format_text("%s/%d", folder, widths[i]);
        const char *const arguments[] = {
            TURTLE_PROGRAM, "train", "--features",   features, "--classes", "3",
            "--T",          "60",    "--batch_size", "300",    "--device",  "cpu",
            "--threads",    "1",     "--out",        out,      NULL};
        char *text = on_terminal(arguments, widths[i]);
        int shown = 0, bars = 0;
        for (char *at = text; (at = strstr(at, "\r\033[K"));) {
            at += 4;
            char *end = strstr(at, "\r");
            if (!end) end = at + strlen(at);
            bool bar = false;
            const int width = width_of(at, end, &bar);
            cr_expect(width > 0 && width < widths[i], "%d of %d columns: '%.*s'", width, widths[i],
                      (int)(end - at), at);
            shown++;
            bars += bar;
        }
        cr_expect(shown >= 1, "%d columns: nothing was shown: '%s'", widths[i], text);
        cr_expect(widths[i] < 80 || bars == shown, "%d columns: no bar", widths[i]);
        free(text);
        free(out);
    }
    free(features);
    remove_folder(folder);
}

/* --- digests ---------------------------------------------------------------------------------- */

/* NIST's examples (FIPS 180-2, appendix B; a million times "a"), and lengths around a block, by
 * coreutils' sha256sum. */
Test(progress, sha256_of_known_texts) {
    char hex[SHA256_HEX + 1], *million = malloc(1000000);
    memset(million, 'a', 1000000);
    static const struct {
        int64_t bytes; /* of the letter a; -1: the text */
        const char *text, *hex;
    } cases[] = {
        {-1, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {-1, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
        {0, NULL, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {1000000, NULL, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
        {55, NULL, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318"},
        {56, NULL, "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a"},
        {63, NULL, "7d3e74a05d7db15bce4ad9ec0658ea98e3f06eeecf16b4c6fff2da457ddc2f34"},
        {64, NULL, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const bool text = cases[i].bytes < 0;
        sha256_hex(hex, text ? cases[i].text : million,
                   text ? (int64_t)strlen(cases[i].text) : cases[i].bytes);
        cr_expect_str_eq(hex, cases[i].hex);
    }
    free(million);
}

static void keep(void *context, const char *line) {
    snprintf(context, 1024, "%s", line);
}

Test(progress, a_digest_is_read_once_and_a_mismatch_is_said) {
    char *folder = temporary_folder(), *path = format_text("%s/w.pt", folder);
    char *note = format_text("%s/w.pt.sha256", folder), said[1024] = "";
    static const char abc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const TurtleHooks hooks = {.notice = keep, .context = said};
    write_bytes(path, "abc", 3);
    digest_check(path, abc, &hooks);
    cr_expect(strstr(said, "is the published one"), "%s", said);
    said[0] = '\0';
    digest_check(path, abc, &hooks);
    cr_expect_str_empty(said); /* the same size and time: not read again */
    write_bytes(path, "abd!", 4);
    digest_check(path, abc, &hooks);
    cr_expect(strstr(said, "the published one is ba7816bf") && strstr(said, "w.pt"), "%s", said);
    write_bytes(note, "nonsense", 8);
    write_bytes(path, "abc", 3);
    digest_check(path, abc, &hooks);
    cr_expect(strstr(said, "is the published one"), "%s", said);
    free(note), free(path);
    remove_folder(folder);
}
