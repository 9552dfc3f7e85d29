/* text_lines_test.c - the reader of text files, and bytes made fit to be shown. */
#include "io/text/printable.h"
#include "io/text/text_lines.h"
#include "io/text/utf8.h"
#include "tests/support/check.h"

/* Expects these lines: "1:cat|2!|3:dog" are numbers and texts, with ! for blank lines and ~ behind
 * a line without an end. */
static void expect_lines(const char *bytes, size_t n, const char *expected) {
    char *folder = temporary_folder(), *path = format_text("%s/t.txt", folder), text[512] = "";
    TextLines t;
    TextLine line;
    Error err;
    write_bytes(path, bytes, n);
    ASSERT_OK(text_lines_open(&t, "test", path, &err), err);
    int64_t end = 0;
    while (text_lines_next(&t, &line)) {
        const size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s%d%s%s%s", used ? "|" : "", (int)line.number,
                 line.blank ? "!" : ":", line.blank ? "" : line.text, line.ended ? "" : "~");
        cr_expect(line.end > end && strlen(line.text) == (size_t)line.bytes);
        end = line.end;
    }
    cr_expect(end == (int64_t)n, "the last line ends at %d of %d", (int)end, (int)n);
    cr_expect_str_eq(text, expected);
    text_lines_close(&t);
    text_lines_close(&t);
    free(path);
    remove_folder(folder);
}

Test(text_lines, line_ends_of_every_system) {
#define LINES(text, expected) expect_lines(text, sizeof text - 1, expected)
    LINES("", "");
    LINES("a", "1:a~");
    LINES("a\nb\n", "1:a|2:b");
    LINES("a\nb", "1:a|2:b~");
    LINES("a\r\nb\r\n", "1:a|2:b");
    LINES("a\r\nb", "1:a|2:b~");
    LINES("a\r\nb\n", "1:a|2:b");       /* two editors */
    LINES("a\r\r\nb\r\r\n", "1:a|2:b"); /* converted twice */
    LINES("a\rb\r", "1:a|2:b");
    LINES("a\rb", "1:a|2:b~");
    LINES("\r", "1!");
    LINES("\n\n", "1!|2!");
    LINES("a\n\n \t\nb", "1:a|2!|3!|4:b~");
    LINES("a\n\r", "1:a|2!~");
    LINES(" a \t\n", "1: a \t"); /* blanks around are the caller's */
    LINES("\xef\xbb\xbf"
          "a\nb",
          "1:a|2:b~");
    LINES("\xef\xbb\xbf", "1!~");
    LINES("a\n\xef\xbb\xbf"
          "b\n",
          "1:a|2:b");                 /* two files joined */
    LINES("\xef\xbb", "1:\xef\xbb~"); /* a mark that is cut is no mark */
#undef LINES
}

Test(text_lines, bytes_that_are_no_text_are_refused_with_their_line) {
    static const struct {
        const char *bytes, *says;
        size_t n;
    } cases[] = {{"\0", "test: ", 1},
                 {"\0", "line 1: a zero byte", 1},
                 {"a\nb\nc\0", "line 3: a zero byte", 6},
                 {"a\rb\0\r", "line 2: a zero byte", 5},
                 {"a\0\n\0b\0\n\0", "it looks like UTF-16", 8},
                 {"\xff\xfe"
                  "a\0",
                  "is UTF-16LE text: expected UTF-8: iconv -f UTF-16LE", 4},
                 {"\xfe\xff\0a", "is UTF-16BE text", 4},
                 {"\xff\xfe\0\0"
                  "a\0\0\0",
                  "is UTF-32LE text", 8},
                 {"\0\0\xfe\xff\0\0\0a", "is UTF-32BE text", 8},
                 {"a\nb\rc\n", "line 2: a carriage return", 6},
                 {"a\rb\n", "line 1: a carriage return", 4},
                 {"a\n\rb", "line 2: a carriage return", 4}};
    char *folder = temporary_folder(), *path = format_text("%s/t.txt", folder);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        TextLines t;
        Error err;
        write_bytes(path, cases[i].bytes, cases[i].n);
        cr_expect(text_lines_open(&t, "test", path, &err) == ERR_FORMAT, "%d", (int)i);
        cr_expect(strstr(err.text, cases[i].says), "expected '%s' in: %s", cases[i].says, err.text);
        cr_expect(t.text == NULL);
    }
    TextLines t;
    Error err;
    cr_expect(text_lines_open(&t, "test", folder, &err) == ERR_IO);
    free(path);
    remove_folder(folder);
}

/* --- what is shown ---------------------------------------------------------------------------- */

Test(printable, nothing_moves_the_cursor) {
    static const struct {
        const char *text, *shown, *lines; /* lines: NULL where line feeds change nothing */
    } cases[] = {{"cat.png", "cat.png", NULL},
                 {"a\nb\tc\rd", "a\\nb\\tc\\rd", "a\nb\tc\\rd"},
                 {"\x1b[2J\x07\x7f", "\\x1b[2J\\x07\\x7f", NULL},
                 {"\xc2\x9b"
                  "31m",
                  "\\x9b31m", NULL}, /* the one-byte form of ESC [ */
                 {"caf\xe9 \xc3\xa9", "caf\\xe9 \xc3\xa9", NULL},
                 {"\xe2\x80\xae"
                  "gnp.exe",
                  "\\u{202e}gnp.exe", NULL},
                 {"\xe2\x81\xa6", "\\u{2066}", NULL},
                 {"\xf0\x9f\x90\xa2", "\xf0\x9f\x90\xa2", NULL},
                 {"\xf0\x9f\x90", "\\xf0\\x9f\\x90", NULL}};
    char to[64];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cr_expect_str_eq(printable(to, sizeof to, cases[i].text, false), cases[i].shown);
        char *copy = printable_copy(cases[i].text, true);
        cr_expect_str_eq(copy, cases[i].lines ? cases[i].lines : cases[i].shown);
        free(copy);
    }
}

/* Cut texts end with three dots, at the end of a character, within their bytes. */
Test(printable, long_texts_are_cut_whole) {
    char to[40];
    for (int64_t capacity = 4; capacity <= 40; capacity++) {
        memset(to, 'x', sizeof to);
        printable(to, capacity,
                  "\xc3\xa9t\xc3\xa9\n\x1b\xff"
                  "abcdefghijklmnopqrst",
                  false);
        const int64_t n = (int64_t)strlen(to);
        cr_assert(n < capacity);
        cr_expect(utf8_prefix(to, n) == n, "%s", to);
        cr_expect(capacity > 35 || strcmp(to + n - 3, "...") == 0, "%d: %s", (int)capacity, to);
        for (int64_t i = capacity; i < 40; i++) cr_expect(to[i] == 'x');
    }
}
