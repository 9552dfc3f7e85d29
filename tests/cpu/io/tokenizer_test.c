/* tokenizer_test.c - token ids against those of the original CLIP tokenizer
 * (tests/goldens/tokenizer/MANIFEST). */
#include <time.h>

#include "io/text/html.h"
#include "io/text/json_reader.h"
#include "io/text/tokenizer.h"
#include "io/text/unicode.h"
#include "io/text/utf8.h"
#include "tests/support/check.h"
#include "tests/support/golden.h"

enum { CONTEXT = 77 };

static Tokenizer *opened(void) {
    Tokenizer *t;
    Error err;
    ASSERT_OK(tokenizer_open(&t, &err), err);
    return t;
}

static void text_of_hex(char *text, const char *hex) {
    size_t n = 0;
    for (; hex[0] != '-' && hex[2 * n]; n++) {
        unsigned byte;
        cr_assert(sscanf(hex + 2 * n, "%2x", &byte) == 1);
        text[n] = (char)byte;
    }
    text[n] = '\0';
}

Test(tokenizer, ids_are_the_recorded_ones) {
    enum { LINE = 1 << 16 };
    Tokenizer *t = opened();
    FILE *f = fopen("tests/goldens/tokenizer/texts.txt", "r");
    char *line = malloc(LINE), *text = malloc(LINE);
    int cases = 0, too_long = 0;
    cr_assert(f);
    while (fgets(line, LINE, f)) {
        Error err;
        int tokens, error, used;
        int64_t count;
        int32_t ids[CONTEXT];
        char *hex = strtok(line, " ");
        text_of_hex(text, hex);
        char *rest = hex + strlen(hex) + 1;
        cr_assert(sscanf(rest, "%d %d%n", &tokens, &error, &used) == 2);
        rest += used;
        const Status plain = tokenizer_encode(t, text, false, ids, CONTEXT, &count, &err);
        cr_expect(plain == (error ? ERR_ARG : OK), "'%s': %s", text, plain == OK ? "" : err.text);
        ASSERT_OK(tokenizer_encode(t, text, true, ids, CONTEXT, &count, &err), err);
        cr_expect(count == (tokens < CONTEXT ? tokens : CONTEXT), "'%s': %d tokens, expected %d",
                  text, (int)count, tokens);
        for (int i = 0; i < CONTEXT; i++) {
            int expected = 0;
            if (sscanf(rest, "%d%n", &expected, &used) == 1) rest += used;
            cr_expect(ids[i] == expected, "'%s': id %d is %d, expected %d", text, i, ids[i],
                      expected);
        }
        cases++;
        too_long += error;
    }
    fclose(f);
    free(line);
    free(text);
    tokenizer_close(t);
    cr_expect(cases == 208 && too_long > 5, "%d cases, %d too long", cases, too_long);
}

/* The prompts are those of the recorded zero-shot weights, in a JSON file. */
Test(tokenizer, prompts_are_the_recorded_rows) {
    static const char *const models[] = {"clip_vit_tiny", "clip_rn_tiny"};
    Tokenizer *t = opened();
    for (int m = 0; m < 2; m++) {
        FileMap map;
        Error err;
        char path[128], key[64], text[256];
        int rows = 0;
        snprintf(path, sizeof path, "encoders/%s_tokens.npy", models[m]);
        const int32_t *expected = golden(path, DTYPE_I32, 20 * CONTEXT);
        snprintf(path, sizeof path, "tests/goldens/encoders/%s_prompts.json", models[m]);
        ASSERT_OK(file_map(&map, path, &err), err);
        JsonReader json = json_reader(map.data, map.bytes);
        json_enter(&json, '{');
        while (json_next_key(&json, key, sizeof key)) {
            if (strcmp(key, "texts") != 0) {
                json_skip(&json);
                continue;
            }
            json_enter(&json, '[');
            while (json_next(&json) && json_text_value(&json, text, sizeof text)) {
                int32_t ids[CONTEXT];
                int64_t count;
                ASSERT_OK(tokenizer_encode(t, text, false, ids, CONTEXT, &count, &err), err);
                cr_expect(memcmp(ids, expected + rows * CONTEXT, sizeof ids) == 0, "%s", text);
                rows++;
            }
        }
        cr_expect(json_finished(&json) && rows == 15, "%d rows", rows);
        file_unmap(&map);
    }
    tokenizer_close(t);
}

Test(tokenizer, bad_and_long_texts) {
    Tokenizer *t = opened();
    Error err;
    int32_t ids[CONTEXT];
    int64_t count;
    static const char *const bad[] = {"\xff",
                                      "a\x80z",
                                      "\xc3",
                                      "\xe2\x82",
                                      "\xc0\xaf",
                                      "\xed\xa0\x80",
                                      "\xf4\x90\x80\x80",
                                      "\xf8\x88\x80\x80\x80"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_expect(tokenizer_encode(t, bad[i], true, ids, CONTEXT, &count, &err) == ERR_FORMAT,
                  "case %zu", i);
        cr_expect(strstr(err.text, "is not UTF-8"), "%s", err.text);
    }
    char text[512];
    memset(text, '!', sizeof text);
    for (int i = 0; i < 200; i++) text[2 * i] = 'a';
    text[400] = '\0';
    cr_expect(tokenizer_encode(t, text, false, ids, CONTEXT, &count, &err) == ERR_ARG);
    cr_expect(strstr(err.text, "tokens, at most 77 fit"), "%s", err.text);
    ASSERT_OK(tokenizer_encode(t, text, true, ids, CONTEXT, &count, &err), err);
    cr_expect(count == CONTEXT && ids[0] == TOKEN_START && ids[CONTEXT - 1] == TOKEN_END);
    tokenizer_close(t);
}

/* A word of a megabyte must not take quadratic time, which would be minutes. */
Test(tokenizer, a_megabyte_is_encoded_in_seconds, .timeout = 60) {
    enum { N = 1 << 20 };
    Tokenizer *t = opened();
    Error err;
    int32_t ids[CONTEXT];
    int64_t count;
    char *text = malloc(N + 1);
    for (int i = 0; i < N; i++) text[i] = (char)('a' + i * 7 % 26 * (i % 3) / 2 % 26);
    text[N] = '\0';
    const clock_t start = clock();
    ASSERT_OK(tokenizer_encode(t, text, true, ids, CONTEXT, &count, &err), err);
    const double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    cr_expect(count == CONTEXT && seconds < 20.0, "%.1f s", seconds);
    if (getenv("TURTLE_TEST_SHOW")) fprintf(stderr, "one word of 1 MiB: %.2f s\n", seconds);
    free(text);
    tokenizer_close(t);
}

/* --- its parts -------------------------------------------------------------------------------- */

static void expect_codes(const char *what, const uint32_t *found, int64_t n, const char *expected) {
    char text[256] = "";
    size_t used = 0;
    for (int64_t i = 0; i < n; i++) used += (size_t)utf8_encode(text + used, found[i]);
    text[used] = '\0';
    cr_expect(strcmp(text, expected) == 0, "%s: '%s', expected '%s'", what, text, expected);
}

/* The expected texts follow the rules of the HTML standard (WATWG HTML, 13.2.5.72 to 13.2.5.80). */
Test(tokenizer, character_references_follow_the_standard) {
    static const char *const cases[][2] = {{"&amp;lt;", "&lt;"},
                                           {"&lt", "<"},
                                           {"&notit;", "\xc2\xacit;"},
                                           {"&notin;", "\xe2\x88\x89"},
                                           {"&#65&#x42;", "AB"},
                                           {"&#x80;", "\xe2\x82\xac"},
                                           {"&#0;", "\xef\xbf\xbd"},
                                           {"&#xD800;", "\xef\xbf\xbd"},
                                           {"&#99999999999999999999;", "\xef\xbf\xbd"},
                                           {"&#1;x", "x"},
                                           {"&#;", "&#;"},
                                           {"&unknown;", "&unknown;"},
                                           {"& &&", "& &&"},
                                           {"&acE;", "\xe2\x88\xbe\xcc\xb3"},
                                           {"&zwnj;", "\xe2\x80\x8c"},
                                           {"&AElig", "\xc3\x86"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t *codes, *out;
        int64_t n;
        Error err;
        ASSERT_OK(utf8_decode(&codes, &n, cases[i][0], &err), err);
        out = html_unescape(codes, n, &n);
        expect_codes(cases[i][0], out, n, cases[i][1]);
        free(codes);
        free(out);
    }
}

/* The expected texts follow SpecialCasing.txt and UnicodeData.txt. */
Test(tokenizer, lower_case_follows_unicode) {
    static const char *const cases[][2] = {
        {"ABC xyz", "abc xyz"},
        {"\xc4\xb0", "i\xcc\x87"},                                  /* dotted capital I */
        {"\xce\x91\xce\xa3 \xce\xa3", "\xce\xb1\xcf\x82 \xcf\x83"}, /* final, then alone */
        {"\xce\xa3\xce\x91", "\xcf\x83\xce\xb1"},                   /* initial */
        {"A\xce\xa3.", "a\xcf\x82."},                               /* a full stop is ignored */
        {"A\xce\xa3.b", "a\xcf\x83.b"},
        {"\xc4\x80\xc4\x81\xc5\xbd", "\xc4\x81\xc4\x81\xc5\xbe"}, /* runs of step 2 */
        {"\xe1\xba\x9e", "\xc3\x9f"},                             /* capital sharp s */
        {"\xf0\x90\x90\x80", "\xf0\x90\x90\xa8"},                 /* Deseret */
        {"\xc7\x84\xc7\x85", "\xc7\x86\xc7\x86"}};                /* digraphs and title case */
    Unicode u;
    Error err;
    ASSERT_OK(unicode_open(&u, &err), err);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t *codes, *out;
        int64_t n;
        ASSERT_OK(utf8_decode(&codes, &n, cases[i][0], &err), err);
        out = unicode_lower(&u, codes, n, &n);
        expect_codes(cases[i][0], out, n, cases[i][1]);
        free(codes);
        free(out);
    }
    unicode_close(&u);
}
