/* cluster_table_test.c - the table of clusters: widths, bars, hostile names, pipes and terminals. */
#include <fcntl.h>
#include <sys/ioctl.h>

#include "host/cli/cluster_table.h"
#include "host/score/result.h"
#include "io/text/columns.h"
#include "tests/support/hostile_blobs.h"

/* --- the table ----------------------------------------------------------------------------------- */

/* Makes a result of C clusters with hostile names: cluster c has (c * 37) % 101 samples. */
static TurtleResult result_of(int64_t C, bool listed, bool named) {
    TurtleResult r;
    result_clear(&r);
    r.classes = C;
    r.clusters = calloc((size_t)C, sizeof *r.clusters);
    for (int64_t c = 0; c < C; c++) {
        TurtleCluster *k = &r.clusters[c];
        *k = (TurtleCluster){.size = c * 37 % 101, .confidence = 0.5, .typical = {-1, -1, -1}};
        if (!k->size) k->confidence = NAN;
        for (int t = 0; t < TURTLE_TYPICAL && t < k->size; t++) {
            k->typical[t] = 100 * c + t;
            if (listed) k->typical_name[t] = format_text("%s", hostile[(c + t) % HOSTILE]);
        }
        if (named) k->name = format_text("%s", c % 4 ? hostile[c % HOSTILE] : "");
        r.samples += k->size;
    }
    return r;
}

/* Returns how many # stand together behind the second number of a row. */
static int bar_of(const char *row, int64_t *number, int64_t *size) {
    int used = 0;
    long long n, s;
    cr_assert(sscanf(row, "%lld %lld %n", &n, &s, &used) == 2, "no row: %s", row);
    *number = n, *size = s;
    return (int)strspn(row + used, "#");
}

/* Expects every line of a table to fit and to hold nothing that a terminal obeys. */
static void expect_fit(const char *text, int columns) {
    char *copy = strdup(text), *at = copy;
    for (char *line; (line = next_line(&at));) {
        cr_expect(text_columns(line) <= columns, "%d columns, %d fit: %s", (int)text_columns(line),
                  columns, line);
        for (const char *c = line; *c; c++)
            cr_expect((uint8_t)*c >= ' ' && *c != 127, "a control character: %s", line);
        cr_expect(!strstr(line, "\xe2\x80\xae") && !strstr(line, "\xc2\x9b"), "%s", line);
        cr_expect(!*line || line[strlen(line) - 1] != ' ', "blanks at the end: '%s'", line);
    }
    free(copy);
}

Test(cluster_table, fits_any_width_whatever_the_names_hold) {
    static const int widths[] = {12, 48, 49, 55, 60, 80, 100, 133, 1000};
    for (int kind = 0; kind < 4; kind++) {
        TurtleResult r = result_of(30, kind & 1, kind & 2);
        for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
            char *text = cluster_table(&r, widths[i], false);
            cr_assert(text != NULL);
            expect_fit(text, widths[i] < 48 ? 48 : widths[i]);
            free(text);
        }
        turtle_result_free(&r);
    }
}

Test(cluster_table, bars_are_as_long_as_clusters_are_large) {
    TurtleResult r = result_of(15, true, false);
    char *text = cluster_table(&r, 80, false), *at = text;
    int64_t before = INT64_MAX, number, size, most = 0, all = 0;
    for (int64_t c = 0; c < 15; c++) most = r.clusters[c].size > most ? r.clusters[c].size : most;
    cr_expect(strstr(next_line(&at), "most typical") != NULL);
    for (char *line; (line = next_line(&at));) {
        const int bar = bar_of(line, &number, &size);
        cr_expect(size == r.clusters[number].size && size <= before, "%s", line);
        cr_expect(size ? bar >= 1 && fabs(bar - 10.0 * (double)size / (double)most) <= 1.0 : !bar,
                  "%s", line);
        cr_expect((strstr(line, "  0.5000  ") != NULL) == (size > 0), "%s", line);
        before = size, all += size;
    }
    cr_expect(all == r.samples, "the rows sum to %d of %d", (int)all, (int)r.samples);
    free(text);
    turtle_result_free(&r);
}

Test(cluster_table, twenty_rows_and_a_line_for_the_others) {
    static const struct {
        int C, rows;
    } cases[] = {{1, 1}, {19, 19}, {20, 20}, {21, 20}, {1000, 20}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        TurtleResult r = result_of(cases[i].C, false, false);
        char *text = cluster_table(&r, 80, false), *at = text, *line;
        int64_t all = 0, number, size;
        int rows = 0;
        next_line(&at);
        while ((line = next_line(&at)) && !strstr(line, " more cluster")) {
            bar_of(line, &number, &size);
            all += size, rows++;
        }
        cr_expect(rows == cases[i].rows, "%d rows of %d clusters", rows, cases[i].C);
        cr_expect((line != NULL) == (cases[i].C > 20));
        if (line) {
            long long others, samples;
            cr_assert(sscanf(line, "%lld more %*s %*s %lld samples", &others, &samples) == 2, "%s",
                      line);
            cr_expect(others + rows == cases[i].C && samples + all == r.samples, "%s", line);
            cr_expect(strstr(line, "--json has them all") && !next_line(&at), "%s", line);
        }
        free(text);
        turtle_result_free(&r);
    }
}

/* Returns the text without sequences that colour it. */
static char *without_colours(const char *text) {
    char *plain = strdup(text), *to = plain;
    while (*text) {
        if (*text != '\x1b') *to++ = *text++;
        else text += strcspn(text, "m") + 1;
    }
    *to = '\0';
    return plain;
}

Test(cluster_table, colours_change_nothing_else) {
    TurtleResult r = result_of(25, true, true);
    char *plain = cluster_table(&r, 90, false), *colours = cluster_table(&r, 90, true);
    char *same = without_colours(colours);
    cr_expect(!strchr(plain, '\x1b') && strstr(colours, "\x1b[32m#"));
    cr_expect_str_eq(same, plain);
    cr_expect(strstr(plain, "(left out)") != NULL);
    free(plain), free(colours), free(same);
    turtle_result_free(&r);
}

/* A line of an image list may be as long as a file. */
Test(cluster_table, long_names_take_linear_time, .timeout = 10) {
    enum { LONG = 4 << 20 };
    TurtleResult r = result_of(12, true, true);
    char *name = malloc(LONG + 1);
    cr_assert(name != NULL);
    memset(name, 'n', LONG);
    name[LONG] = '\0';
    free(r.clusters[11].name), free(r.clusters[11].typical_name[0]);
    r.clusters[11].name = name;
    r.clusters[11].typical_name[0] = strdup(name);
    char *text = cluster_table(&r, 80, false);
    expect_fit(text, 80);
    free(text);
    turtle_result_free(&r);
}

Test(cluster_table, a_result_without_clusters_has_none) {
    TurtleResult r;
    result_clear(&r);
    char *text = cluster_table(&r, 80, true);
    cr_expect_str_empty(text);
    free(text);
}

/* --- the program --------------------------------------------------------------------------------- */

/* Returns the table in what a call printed. */
static const char *table_in(const char *out) {
    const char *at = strstr(out, "\n\ncluster ");
    cr_assert(at != NULL, "no table: %s", out);
    return at + 2;
}

Test(cluster_table, is_plain_in_a_pipe_and_obeys_columns, .timeout = 60) {
    Ran ran;
    setenv("TERM", "xterm", 1);
    unsetenv("COLUMNS");
    char *folder = train_blobs(&ran);
    cr_expect(strncmp(ran.out, "z", 1) == 0 || strstr(ran.out, "Number of found clusters 3"));
    expect_fit(table_in(ran.out), 80);
    static const char *const columns[] = {"50", "120", "0", "many", "-5", ""};
    static const int fits[] = {50, 120, 80, 80, 80, 80};
    for (int i = 0; i < 6; i++) {
        setenv("COLUMNS", columns[i], 1);
        run_turtle(&ran, "evaluate --features %s/z.npy --ckpt_path %s/run --device cpu --quiet",
                   folder, folder);
        cr_expect(ran.status == 0, "%s", ran.err);
        expect_fit(table_in(ran.out), fits[i]);
    }
    remove_folder(folder);
}

/* Returns what `evaluate` of train_blobs writes to a terminal of so many columns. */
static char *on_terminal(const char *folder, int columns, const char *no_color) {
    const int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    cr_assert(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
    const int slave = open(ptsname(terminal), O_RDWR | O_NOCTTY);
    const struct winsize size = {.ws_row = 24, .ws_col = (unsigned short)columns};
    cr_assert(slave >= 0 && ioctl(slave, TIOCSWINSZ, &size) == 0);
    char *command = format_text("exec " TURTLE_PROGRAM " evaluate --features %s/z.npy --ckpt_path "
                                "%s/run --device cpu --quiet",
                                folder, folder);
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        dup2(slave, STDOUT_FILENO);
        setenv("TERM", "xterm", 1);
        setenv("NO_COLOR", no_color, 1);
        unsetenv("COLUMNS");
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    close(slave);
    char *text = calloc(1, 1 << 16), *to = text;
    for (char c; to < text + (1 << 16) - 1 && read(terminal, &c, 1) == 1;)
        if (c != '\r') *to++ = c; /* the terminal's line ends */
    close(terminal);
    int status;
    cr_assert(waitpid(child, &status, 0) == child && status == 0, "%s", text);
    free(command);
    return text;
}

Test(cluster_table, a_terminal_says_its_width_and_gets_colours, .timeout = 60) {
    Ran ran;
    char *folder = train_blobs(&ran);
    static const int columns[] = {60, 80, 140};
    for (int i = 0; i < 3; i++) {
        char *text = on_terminal(folder, columns[i], ""),
             *grey = on_terminal(folder, columns[i], "1");
        char *plain = without_colours(table_in(text));
        cr_expect(strstr(text, "\x1b[32m#") && !strchr(grey, '\x1b'));
        cr_expect_str_eq(plain, table_in(grey));
        expect_fit(plain, columns[i]);
        free(text), free(grey), free(plain);
    }
    remove_folder(folder);
}
