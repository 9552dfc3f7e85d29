/* clusters_test.c - clusters as people look at them: what is gathered, the table, names that people give. */
#include <fcntl.h>
#include <sys/ioctl.h>

#include "host/cli/cluster_table.h"
#include "host/score/clusters.h"
#include "host/score/result.h"
#include "io/arrays/npy.h"
#include "io/text/columns.h"
#include "tests/support/check.h"

/* Names as a hostile folder may have them. */
static const char *const hostile[] = {
    "plain.png",
    "red \x1b[31mred\x1b[0m.png",
    "up\x1b[5A\x1b]0;title\x07.png",
    "\xe2\x80\xaegnp.exe",
    "\xff\xfe.png",
    "\xc2\x9b[31m.png",
    "tab\tbell\x07.png",
    "<script>alert(1)</script>",
    "\xe7\x8c\xab\xe7\x8c\xab/\xe7\x8c\xab.png",
    "a/very/deep/folder/with/a/rather/long/name/below/it/0000001.png"};
enum { HOSTILE = sizeof hostile / sizeof *hostile };

static uint32_t next(uint32_t *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* --- what is gathered ---------------------------------------------------------------------------- */

typedef struct {
    Split split;
    Predictions p;
    char *folder, *list;
} Sample;

/* Makes predictions of n samples; clusters 3 and 5 are empty, and confidences have 8 values alone. */
static Sample sample_open(int64_t n, int64_t C, bool listed) {
    Sample s = {.folder = temporary_folder()};
    Error err;
    uint32_t seed = 7;
    s.split = (Split){.name = "val", .N = n};
    s.split.space[0].path = format_text("%s/x.npy", s.folder);
    s.list = format_text("%s/x.txt", s.folder);
    ASSERT_OK(predictions_alloc(&s.p, n, &err), err);
    FILE *f = listed ? fopen(s.list, "w") : NULL;
    for (int64_t i = 0; i < n; i++) {
        const int64_t c = next(&seed) % C;
        s.p.cluster[i] = c == 3 || c == 5 ? 1 : c;
        s.p.confidence[i] = 0.5f + (float)(next(&seed) % 8) / 16;
        if (f) fprintf(f, "%s%d\n", hostile[i % HOSTILE], (int)i);
    }
    if (f) fclose(f);
    return s;
}

static void sample_close(Sample *s) {
    predictions_free(&s->p);
    free(s->split.space[0].path), free(s->list);
    remove_folder(s->folder);
}

/* Expects what a walk over all samples says of each cluster. */
static void expect_described(const Sample *s, const TurtleCluster *clusters, int64_t C,
                             bool listed) {
    int64_t all = 0;
    for (int64_t c = 0; c < C; c++) {
        const TurtleCluster *k = &clusters[c];
        int64_t size = 0;
        double sum = 0.0;
        for (int64_t i = 0; i < s->p.n; i++)
            if (s->p.cluster[i] == c) size++, sum += (double)s->p.confidence[i];
        cr_expect(k->size == size);
        cr_expect(size ? fabs(k->confidence - sum / (double)size) < 1e-12 : isnan(k->confidence));
        for (int t = 0; t < TURTLE_TYPICAL; t++) {
            int64_t best =
                -1; /* the most confident sample that is not taken, of equal ones the first */
            for (int64_t i = 0; i < s->p.n; i++) {
                bool taken = s->p.cluster[i] != c;
                for (int u = 0; u < t; u++) taken = taken || k->typical[u] == i;
                if (!taken && (best < 0 || s->p.confidence[i] > s->p.confidence[best])) best = i;
            }
            cr_expect(k->typical[t] == best, "cluster %d: %d is row %d, expected %d", (int)c, t,
                      (int)k->typical[t], (int)best);
            cr_expect((k->typical_name[t] != NULL) == (listed && best >= 0));
            if (!k->typical_name[t]) continue;
            char *name = format_text("%s%d", hostile[best % HOSTILE], (int)best);
            cr_expect_str_eq(k->typical_name[t], name);
            free(name);
        }
        all += k->size;
    }
    cr_expect(all == s->p.n, "sizes sum to %d of %d samples", (int)all, (int)s->p.n);
}

Test(clusters, typical_samples_are_the_most_confident_ones) {
    for (int listed = 0; listed < 2; listed++)
        for (int64_t n = 2; n < 1500; n = 5 * n + 1) {
            Sample s = sample_open(n, 7, listed);
            TurtleCluster *clusters;
            Error err;
            ASSERT_OK(clusters_describe(&clusters, 7, &s.split, &s.p, NULL, NULL, &err), err);
            expect_described(&s, clusters, 7, listed);
            clusters_free(clusters, 7);
            sample_close(&s);
        }
}

static void keep(void *context, const char *line) {
    snprintf(context, 1024, "%s", line);
}

/* A list of other images names nobody, and numbers that are none are not typical. */
Test(clusters, a_wrong_list_is_said_and_numbers_that_are_none_come_last) {
    Sample s = sample_open(50, 2, true);
    TurtleCluster *clusters;
    char said[1024] = "";
    const TurtleHooks hooks = {.notice = keep, .context = said};
    Error err;
    write_bytes(s.list, "a.png\n", 6);
    for (int64_t i = 0; i < 10; i++) s.p.confidence[i] = NAN;
    ASSERT_OK(clusters_describe(&clusters, 2, &s.split, &s.p, NULL, &hooks, &err), err);
    cr_expect(strstr(said, "has 1 lines, the features have 50 rows"), "%s", said);
    for (int c = 0; c < 2; c++)
        for (int t = 0; t < TURTLE_TYPICAL; t++)
            cr_expect(clusters[c].typical[t] >= 10 && !clusters[c].typical_name[t]);
    clusters_free(clusters, 2);
    sample_close(&s);
}

/* --- names that people give ---------------------------------------------------------------------- */

/* Five clusters of three classes: 0 and 1 are cats, 2 dogs, 3 eels, 4 anything. */
Test(clusters, groups_are_scored_without_what_is_left_out) {
    static const struct {
        const char *names;
        int groups, left_out;
        double accuracy;
    } cases[] = {{"0\tcat\n1\tcat\n2\tdog\n3\teel\n4\t\n", 3, 30, 1.0},
                 {"0\tcat\n1\tcat\n2\tdog\n3\teel\n", 4, 0, 120.0 / 150},
                 {"", 5, 0, 90.0 / 150},
                 {"0\tx\n1\tx\n2\tx\n3\tx\n4\tx\n", 1, 0, 70.0 / 150},
                 {"0\t\n1\t\n2\t\n3\t\n4\t\n", 0, 150, NAN}};
    int64_t y[150];
    Error err;
    Split split = {.name = "train", .N = 150, .y_true = y};
    Predictions p = {0};
    ASSERT_OK(predictions_alloc(&p, 150, &err), err);
    for (int64_t i = 0; i < 150; i++) {
        const int64_t c = i / 30;
        p.cluster[i] = c;
        y[i] = c < 2 ? 0 : c < 4 ? c - 1 : i % 3;
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *folder = temporary_folder(), *path = format_text("%s/names", folder);
        ClusterNames names;
        TurtleNamedScores scores;
        write_bytes(path, cases[i].names, strlen(cases[i].names));
        ASSERT_OK(cluster_names_read(path, 5, &names, &err), err);
        ASSERT_OK(clusters_score_named(&scores, &split, &p, &names, &err), err);
        cr_expect(scores.groups == cases[i].groups && scores.left_out == cases[i].left_out,
                  "case %d: %d groups, %d left out", (int)i, (int)scores.groups,
                  (int)scores.left_out);
        cr_expect(isnan(cases[i].accuracy) ? isnan(scores.cluster_acc)
                                           : fabs(scores.cluster_acc - cases[i].accuracy) < 1e-12,
                  "case %d: accuracy %.17g", (int)i, scores.cluster_acc);
        cluster_names_free(&names);
        free(path);
        remove_folder(folder);
    }
    predictions_free(&p);
}

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

/* Takes the next line of a text. Returns NULL behind the last. */
static char *next_line(char **at) {
    char *line = *at, *end = strchr(line, '\n');
    if (!*line) return NULL;
    cr_assert(end != NULL, "a line without an end");
    *end = '\0';
    *at = end + 1;
    return line;
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

Test(cluster_table, a_result_without_clusters_has_none) {
    TurtleResult r;
    result_clear(&r);
    char *text = cluster_table(&r, 80, true);
    cr_expect_str_empty(text);
    free(text);
}

/* --- the program --------------------------------------------------------------------------------- */

enum { N = 90 };

/* Writes 90 samples of three blobs with hostile names, and their labels. Trains on them. */
static char *train_blobs(Ran *ran) {
    char *folder = temporary_folder(), *path = format_text("%s/z.npy", folder), names[1 << 13] = "";
    char *list = format_text("%s/z.txt", folder), *labels = format_text("%s/y.npy", folder);
    float z[N * 4];
    int64_t y[N];
    uint32_t seed = 3;
    Error err;
    for (int i = 0; i < N; i++) {
        y[i] = i % 3;
        for (int d = 0; d < 4; d++)
            z[4 * i + d] = (float)(next(&seed) % 1000) / 1000 + (d == i % 3 ? 8 : 0);
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%d\n",
                 hostile[i % HOSTILE], i);
    }
    ASSERT_OK(npy_write(path, DTYPE_F32, 2, (const int64_t[]){N, 4}, z, &err), err);
    ASSERT_OK(npy_write(labels, DTYPE_I64, 1, (const int64_t[]){N}, y, &err), err);
    write_bytes(list, names, strlen(names));
    run_turtle(ran,
               "train --features %s --labels %s --classes 3 --T 40 --device cpu --quiet --out "
               "%s/run",
               path, labels, folder);
    cr_assert(ran->status == 0, "%s", ran->err);
    free(path), free(list), free(labels);
    return folder;
}

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

/* The object has every cluster; sizes sum to the samples, whole names stand there as JSON has them. */
Test(clusters, json_has_all_of_them, .timeout = 60) {
    static Ran ran;
    char *folder = train_blobs(&ran);
    run_turtle(&ran, "evaluate --features %s/z.npy --ckpt_path %s/run --device cpu --quiet --json",
               folder, folder);
    cr_assert(ran.status == 0, "%s", ran.err);
    const char *at = strstr(ran.out, "\"clusters\": [");
    int64_t all = 0;
    cr_assert(at != NULL, "%s", ran.out);
    for (int c = 0; c < 3; c++) {
        char *head = format_text("{\"cluster\": %d, ", c);
        at = strstr(at, head);
        cr_assert(at != NULL, "no cluster %d: %s", c, ran.out);
        all += (int64_t)json_number(at, "size");
        const double confidence = json_number(at, "confidence");
        cr_expect(confidence > 1.0 / 3 && confidence <= 1.0);
        cr_expect(strstr(at, "\"typical\": [\"") != NULL);
        free(head);
    }
    cr_expect(all == N && !strstr(ran.out, "\"named\"") && !strchr(ran.out, '\x1b'));
    remove_folder(folder);
}

/* Names change neither the first line nor the old columns; merged clusters are scored as one. */
Test(clusters, names_are_carried_into_predictions, .timeout = 60) {
    static Ran plain, ran;
    char *folder = train_blobs(&ran), names[200], csv[1 << 14], old[1 << 14];
    char *path = format_text("%s/names.tsv", folder);
    const int n = snprintf(names, sizeof names, "0\ta, \"b\"\r\n1\ta, \"b\"\r\n2\t\r\n");
    write_bytes(path, names, (size_t)n);
    run_turtle(&plain,
               "evaluate --features %s/z.npy --labels %s/y.npy --ckpt_path %s/run --device cpu "
               "--quiet --predictions %s/old.csv",
               folder, folder, folder, folder);
    run_turtle(&ran,
               "evaluate --features %s/z.npy --labels %s/y.npy --ckpt_path %s/run --device cpu "
               "--quiet --predictions %s/new.csv --cluster_names %s",
               folder, folder, folder, folder, path);
    cr_assert(plain.status == 0 && ran.status == 0, "%s%s", plain.err, ran.err);
    cr_expect(strncmp(plain.out, ran.out, strcspn(plain.out, "\n") + 1) == 0, "%s", ran.out);
    cr_expect(strstr(ran.out, "\nnamed            1 name, 30 samples left out   cluster accuracy "
                              "0.5000"),
              "%s", ran.out);
    cr_expect(strstr(ran.out, "(left out)") && strstr(ran.out, "a, \"b\""), "%s", ran.out);
    char *new_path = format_text("%s/new.csv", folder),
         *old_path = format_text("%s/old.csv", folder);
    read_text(csv, sizeof csv, new_path);
    read_text(old, sizeof old, old_path);
    char *a = csv, *b = old, *line, *before;
    for (int row = 0; (line = next_line(&a)) && (before = next_line(&b)); row++) {
        const size_t kept = strlen(before);
        cr_expect(strncmp(line, before, kept) == 0, "%s: %s", before, line);
        const char *added = line + kept;
        cr_expect(strcmp(added, row ? "," : ",name") == 0 ||
                      (row && strcmp(added, ",\"a, \"\"b\"\"\"") == 0),
                  "%s", added);
    }
    cr_expect(!*a && !*b);
    run_turtle(&ran,
               "evaluate --features %s/z.npy --labels %s/y.npy --ckpt_path %s/run --device cpu "
               "--quiet --json --cluster_names %s",
               folder, folder, folder, path);
    const char *named = strstr(ran.out, "\"named\": {");
    cr_assert(named != NULL, "%s", ran.out);
    cr_expect(json_number(named, "groups") == 1 && json_number(named, "left_out") == 30 &&
              json_number(named, "cluster_acc") == 0.5);
    free(path), free(new_path), free(old_path);
    remove_folder(folder);
}

Test(clusters, bad_names_get_one_line, .timeout = 60) {
    Ran ran;
    char *folder = train_blobs(&ran);
    static const struct {
        int status;
        const char *names, *flags, *says;
    } cases[] = {
        {1, "3\tcat\n", "--cluster_names @/n", "line 1: '3' is no cluster: expected 0 to 2"},
        {1, "0 cat\n", "--cluster_names @/n", "has no tab"},
        {1, "", "--cluster_names @/none", "No such file"},
        {2, "", "--cluster_names @/n --predictions @/n", "the file of --cluster_names"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path = format_text("%s/n", folder), flags[512] = "";
        write_bytes(path, cases[i].names, strlen(cases[i].names));
        for (const char *c = cases[i].flags; *c; c++)
            snprintf(flags + strlen(flags), sizeof flags - strlen(flags), *c == '@' ? "%s" : "%.1s",
                     *c == '@' ? folder : c);
        run_turtle(&ran, "evaluate --features %s/z.npy --ckpt_path %s/run --device cpu --quiet %s",
                   folder, folder, flags);
        cr_expect(ran.status == cases[i].status && strstr(ran.err, cases[i].says) &&
                      strchr(ran.err, '\n') == strrchr(ran.err, '\n'),
                  "case %d: %d: %s", (int)i, ran.status, ran.err);
        free(path);
    }
    remove_folder(folder);
}
