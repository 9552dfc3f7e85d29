/* bench_test.c - what bench/table publishes of measurements: no value where they scatter. */
#include "tests/support/check.h"

/* bench/table --markdown of two cases, ours with these seconds in the second; the rows go to `text`. */
static void table_of(char *text, size_t bytes, const char *seconds) {
    char *folder = temporary_folder(), *path = format_text("%s/rows.json", folder);
    char *rows = format_text("{\"processor\": \"P\", \"cores\": 2, \"commit\": \"c\", \"date\": "
                             "\"d\", \"command\": \"make\",\n"
                             "{\"case\": \"steady\", \"program\": \"turtle, cpu\", \"threads\": 1, "
                             "\"work\": 3, \"unit\": "
                             "\"x/s\", \"seconds\": [1.0, 1.0, 1.1]},\n"
                             "{\"case\": \"steady\", \"program\": \"other 1\", \"threads\": 1, "
                             "\"work\": 3, \"unit\": \"x/s\", "
                             "\"seconds\": [2.0, 4.0, 8.0]},\n"
                             "{\"case\": \"asked\", \"program\": \"turtle, cpu\", \"threads\": 2, "
                             "\"work\": 3, \"unit\": "
                             "\"x/s\", \"seconds\": [%s]},\n"
                             "{\"case\": \"asked\", \"program\": \"other 1\", \"threads\": 2, "
                             "\"work\": 3, \"unit\": \"x/s\", "
                             "\"seconds\": [2.0, 2.0, 2.0]}\n",
                             seconds);
    write_bytes(path, rows, strlen(rows));
    char *command = format_text("bench/table --markdown %s >%s/out 2>&1", path, folder),
         *out = format_text("%s/out", folder);
    cr_assert(system(command) == 0, "%s", command);
    read_text(text, bytes, out);
    free(command), free(out), free(rows), free(path);
    remove_folder(folder);
}

/* Noise is half the distance from the 10th to the 90th percentile as a share of the median: of three
 * measurements half their range. */
Test(bench, noisy_rows_are_published_without_a_value) {
    char text[4096];
    table_of(text, sizeof text, "1.0, 1.0, 1.28"); /* 14 % */
    cr_expect(strstr(text, "| steady | 1 | 1.000 s | 3.00 x/s | noisy |"), "%s", text);
    cr_expect(strstr(text, "| asked | 2 | 1.000 s | 3.00 x/s | 2.00 x |"), "%s", text);
    table_of(text, sizeof text, "1.0, 1.0, 1.32"); /* 16 % */
    cr_expect(strstr(text, "| asked | 2 | noisy | – | noisy |"), "%s", text);
    cr_expect(!strstr(text, "1.32"), "%s", text);
}
