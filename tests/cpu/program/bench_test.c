/* bench_test.c - what bench/table publishes of measurements, and what it refuses: no README gets a value
 * that scatters. */
#include "tests/support/check.h"

typedef struct {
    const char *seconds;       /* of one round of our second case */
    int rounds;                /* how many rounds it has, all alike */
    double first_peak, others; /* what they measured as the machine's peak: the first, the rest */
} Measured;

/* Two cases, ours and another program's; the second is as asked. */
static void write_rows(const char *path, Measured m) {
    static const char *const row =
        "{\"case\": \"%s\", \"program\": \"%s\", \"threads\": %d, \"work\": 3, \"unit\": \"x/s\", "
        "\"peak\": %g, \"seconds\": [%s]},\n";
    FILE *f = fopen(path, "w");
    cr_assert(f != NULL);
    fputs("{\"processor\": \"P\", \"cores\": 2, \"commit\": \"c\", \"date\": \"d\", \"command\": "
          "\"make\",\n",
          f);
    fprintf(f, row, "steady", "turtle, cpu", 1, 6.0, "1.0, 1.0, 1.1");
    fprintf(f, row, "steady", "other 1", 1, 0.0, "2.0, 4.0, 8.0");
    for (int i = 0; i < m.rounds; i++)
        fprintf(f, row, "asked", "turtle, cpu", 2, i ? m.others : m.first_peak, m.seconds);
    fprintf(f, row, "asked", "other 1", 2, 0.0, "2.0, 2.0, 2.0");
    fclose(f);
}

/* Runs a command with the folder's name in place of %s; what it prints goes to `text`. Returns its status. */
static int run_in(const char *folder, const char *command, char *text, size_t bytes) {
    char *named = format_text(command, folder, folder, folder);
    char *whole = format_text("{ %s; } >%s/out 2>&1", named, folder);
    char *out = format_text("%s/out", folder);
    const int state = system(whole);
    read_text(text, bytes, out);
    free(named), free(whole), free(out);
    return WEXITSTATUS(state);
}

/* The status of bench/table --markdown; the table, or its complaint, goes to `text`. */
static int table_of(char *text, size_t bytes, Measured m) {
    char *folder = temporary_folder(), *path = format_text("%s/rows.json", folder);
    write_rows(path, m);
    const int status = run_in(folder, "bench/table --markdown %s/rows.json", text, bytes);
    free(path);
    remove_folder(folder);
    return status;
}

/* Noise is half the distance from the 10th to the 90th percentile as a share of the median: of three
 * measurements half their range. */
Test(bench, noisy_rows_are_published_without_a_value) {
    char text[4096];
    cr_expect(table_of(text, sizeof text, (Measured){"1.0, 1.0, 1.28", 1, 6, 6}) == 0); /* 14 % */
    cr_expect(strstr(text, "| steady | 1 | 1.000 s | 3.00 x/s, 50 % of peak | noisy |"), "%s",
              text);
    cr_expect(strstr(text, "| asked | 2 | 1.000 s | 3.00 x/s, 50 % of peak | 2.00 x |"), "%s",
              text);
    cr_expect(table_of(text, sizeof text, (Measured){"1.0, 1.0, 1.32", 3, 6, 6}) == 0); /* 16 % */
    cr_expect(strstr(text, "| asked | 2 | noisy | – | noisy |"), "%s", text);
    cr_expect(!strstr(text, "1.32"), "%s", text);
}

/* With fewer than three rounds a row can still be measured again. */
Test(bench, noisy_rows_of_few_rounds_are_refused_by_name) {
    char text[4096];
    for (int rounds = 1; rounds < 3; rounds++) {
        cr_expect(table_of(text, sizeof text, (Measured){"1.0, 1.0, 1.32", rounds, 6, 6}) == 1);
        cr_expect(strstr(text, "table: asked, turtle, cpu: noise 16 % in"), "%s", text);
        cr_expect(!strstr(text, "|"), "a table was printed: %s", text);
    }
}

Test(bench, rounds_that_disagree_about_the_peak_are_refused_by_name) {
    char text[4096];
    cr_expect(table_of(text, sizeof text, (Measured){"1.0, 1.0, 1.0", 2, 6, 6.5}) == 0); /* 8 % */
    cr_expect(table_of(text, sizeof text, (Measured){"1.0, 1.0, 1.0", 2, 6, 6.7}) == 1); /* 12 % */
    cr_expect(strstr(text, "table: asked, turtle, cpu: peaks from 6 to 6.7 x/s in 2"), "%s", text);
    cr_expect(table_of(text, sizeof text, (Measured){"1.0, 1.0, 1.0", 3, 6, 6.7}) == 0);
    cr_expect(strstr(text, "| asked | 2 | noisy | – | noisy |"), "%s", text);
}

/* bench/readme (make results) takes the newest results, and writes nothing where bench/table refuses them. */
Test(bench, a_readme_gets_no_table_that_is_refused) {
    static const char *const readme = "before\n<!-- results: part -->\nold\n<!-- end -->\nafter\n";
    char text[4096], *folder = temporary_folder();
    char *rows = format_text("%s/2026-01-02-P-part.json", folder);
    char *path = format_text("%s/README.md", folder);
    write_bytes(path, readme, strlen(readme));
    write_rows(rows, (Measured){"1.0, 1.0, 1.32", 1, 6, 6});
    cr_expect(run_in(folder, "BENCH_RESULTS=%s bench/readme %s/README.md", text, sizeof text) == 1);
    cr_expect(strstr(text, "asked, turtle") && strstr(text, "no results to publish of part"), "%s",
              text);
    read_text(text, sizeof text, path);
    cr_expect_str_eq(text, readme);
    write_rows(rows, (Measured){"1.0, 1.0, 1.1", 1, 6, 6});
    cr_expect(run_in(folder, "BENCH_RESULTS=%s bench/readme %s/README.md", text, sizeof text) == 0,
              "%s", text);
    read_text(text, sizeof text, path);
    cr_expect(strstr(text, "before\n<!-- results: part -->\n\nP, 2 cores, commit c, d, `make`:"),
              "%s", text);
    cr_expect(strstr(text, "| asked | 2 | 1.000 s |") && strstr(text, "\n<!-- end -->\nafter\n"),
              "%s", text);
    cr_expect(!strstr(text, "old"), "%s", text);
    free(rows), free(path);
    remove_folder(folder);
}
