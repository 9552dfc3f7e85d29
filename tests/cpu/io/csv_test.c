/* csv_test.c - rows of tables: separators, quotes, line ends; JSON of many values, pulled
 * without a tree. */
#include "io/text/csv.h"
#include "io/text/json_reader.h"
#include "tests/support/check.h"

/* Writes all rows as [field][field]| into `said`. */
static Status rows(char *said, const char *text, int64_t bytes, char separator, Error *err) {
    Csv c;
    bool more;
    Status st = csv_of(&c, "test", "x.csv", text, bytes, separator, err);
    *said = '\0';
    while (st == OK && (st = csv_next(&c, &more, err)) == OK && more) {
        for (int64_t i = 0; i < c.fields; i++) {
            cr_expect(c.field[i].bytes == (int64_t)strlen(c.field[i].text));
            said += sprintf(said, "[%s]", c.field[i].text);
        }
        said += sprintf(said, "|");
    }
    csv_close(&c);
    return st;
}

Test(csv, fields_are_what_was_meant) {
    static const char *const cases[][2] = {{"", ""},
                                           {"\n\r\n", ""},
                                           {"a", "[a]|"},
                                           {"a,b\nc,d\n", "[a][b]|[c][d]|"},
                                           {"a,b\r\nc,d\r\n", "[a][b]|[c][d]|"},
                                           {"a,b\rc,d", "[a][b]|[c][d]|"},
                                           {",\n", "[][]|"},
                                           {"a,\n,b", "[a][]|[][b]|"},
                                           {"\"a\",\"b,c\"", "[a][b,c]|"},
                                           {"\"a\"\"b\",\"\"\n", "[a\"b][]|"},
                                           {"\"two\nlines\",x", "[two\nlines][x]|"},
                                           {"a\"b,c", "[a\"b][c]|"},
                                           {"\xef\xbb\xbf"
                                            "a;b,c;d\n1;2;3",
                                            "[a][b,c][d]|[1][2][3]|"},
                                           {"\"\"\"\"", "[\"]|"},
                                           {" a , b ", "[ a ][ b ]|"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char said[256];
        Error err = {""};
        ASSERT_OK(rows(said, cases[i][0], (int64_t)strlen(cases[i][0]), 0, &err), err);
        cr_expect_str_eq(said, cases[i][1], "%zu", i);
    }
    char said[64];
    Error err = {""};
    ASSERT_OK(rows(said, "a,b;c", 5, ';', &err), err);
    cr_expect_str_eq(said, "[a,b][c]|");
}

Test(csv, what_is_no_table_is_refused_with_its_line) {
    static const struct {
        const char *text, *word;
        int64_t bytes;
    } cases[] = {{"a\nb,\"c\nd", "line 2: a quote", 8},
                 {"a\n\nb,\"c\"d\n", "line 3: text behind", 10},
                 {"a\nb\0c", "line 2: a zero", 5},
                 {"a,\"\0\"", "line 1: a zero", 5},
                 {"\xff\xfe"
                  "a\0",
                  "UTF-16", 4}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char said[256];
        Error err = {""};
        cr_expect(rows(said, cases[i].text, cases[i].bytes, 0, &err) == ERR_FORMAT &&
                      strstr(err.text, cases[i].word),
                  "%zu: %s", i, err.text);
    }
}

/* Rows as fer2013 has them, 9 KB each, of a file; columns are found by their names. */
Test(csv, long_rows_of_a_file) {
    enum { ROWS = 2000, PIXELS = 48 * 48 };
    char *folder = temporary_folder(), *path = format_text("%s/x.csv", folder);
    FILE *f = fopen(path, "wb");
    Error err = {""};
    Csv c;
    bool more;
    cr_assert(f && fputs("emotion, Usage , pixels\r\n", f) >= 0);
    for (int r = 0; r < ROWS; r++) {
        fprintf(f, "%d,Training,", r % 7);
        for (int i = 0; i < PIXELS; i++) fprintf(f, "%s%d", i ? " " : "", (r + i) % 256);
        fputs("\r\n", f);
    }
    fclose(f);
    ASSERT_OK(csv_open(&c, "test", path, 0, &err), err);
    ASSERT_OK(csv_next(&c, &more, &err), err);
    const int64_t pixels = csv_column(&c, "pixels"), usage = csv_column(&c, "Usage");
    cr_assert(more && pixels == 2 && usage == 1 && csv_column(&c, "pixel") == -1 &&
              csv_column(&c, "Usages") == -1);
    int seen = 0;
    for (; csv_next(&c, &more, &err) == OK && more; seen++) {
        char *end;
        cr_assert(c.fields == 3 && c.line == seen + 2);
        cr_expect(strtol(c.field[pixels].text, &end, 10) == seen % 256 && *end == ' ');
        const char *last = strrchr(c.field[pixels].text, ' ');
        cr_expect(last && atoi(last) == (seen + PIXELS - 1) % 256, "row %d", seen);
    }
    cr_expect(seen == ROWS, "%s", err.text);
    csv_close(&c);
    free(path);
    remove_folder(folder);
}

/* The scenes of clevr: 70 000 nested objects. What is not asked for is skipped; memory is that
 * of the text. */
Test(csv, json_is_pulled_without_a_tree) {
    enum { SCENES = 70000 };
    static const char object[] =
        "{\"color\":\"brown\",\"3d_coords\":[1.5,-2e0,0.3],\"deep\":[[[{\"a\":[]}]]]}";
    char *text = malloc((size_t)SCENES * 1200), *at = text;
    at += sprintf(at, "{\"info\":{\"split\":\"train\"},\"scenes\": [");
    for (int s = 0; s < SCENES; s++) {
        at += sprintf(at, "%s{\"objects\":[", s ? ", " : "");
        for (int i = 0; i < 3 + s % 8; i++) at += sprintf(at, "%s%s", i ? "," : "", object);
        at += sprintf(at, "],\"image_filename\":\"CLEVR_train_%06d.png\"}", s);
    }
    at += sprintf(at, "]}");
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    JsonReader r = json_reader(text, at - text);
    char key[64], name[64], expected[64];
    int scenes = 0, wrong = 0;
    json_enter(&r, '{');
    while (json_next_key(&r, key, sizeof key)) {
        if (strcmp(key, "scenes") != 0) {
            json_skip(&r);
            continue;
        }
        json_enter(&r, '[');
        for (; json_next(&r); scenes++) {
            int objects = 0;
            json_enter(&r, '{');
            while (json_next_key(&r, key, sizeof key)) {
                if (strcmp(key, "image_filename") == 0) {
                    json_text_value(&r, name, sizeof name);
                } else {
                    json_enter(&r, '[');
                    for (; json_next(&r); objects++) json_skip(&r);
                }
            }
            snprintf(expected, sizeof expected, "CLEVR_train_%06d.png", scenes);
            wrong += strcmp(name, expected) != 0 || objects != 3 + scenes % 8;
        }
    }
    getrusage(RUSAGE_SELF, &after);
    cr_expect(json_finished(&r) && scenes == SCENES && wrong == 0, "%d scenes, %d wrong", scenes,
              wrong);
    cr_expect(after.ru_maxrss - before.ru_maxrss < 1 << 10, "%ld KiB more",
              after.ru_maxrss - before.ru_maxrss);
    free(text);
    char nested[400]; /* deeper than any file: refused, not followed */
    memset(nested, '[', sizeof nested);
    r = json_reader(nested, sizeof nested);
    cr_expect(!json_skip(&r));
}
