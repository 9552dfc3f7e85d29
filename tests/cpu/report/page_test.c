/* page_test.c - the page of `turtle report`: its parts, what is missing, hostile texts, its policy, its markup, its colours. */
#include <ctype.h>

#include "io/files/embedded.h"
#include "io/files/sha256.h"
#include "io/text/utf8.h"
#include "tests/cpu/report/made_report.h"
#include "tests/support/check.h"

/* tests/browser opens these pages. */
#define PAGES TURTLE_BUILD "/report-pages"

/* Writes the page of a report and returns its text. */
static char *page_of(MadeKind kind, const char *name) {
    MadeReport made;
    Error err;
    FileMap map;
    made_report(&made, kind);
    char *path = format_text(PAGES "/%s.html", name);
    ASSERT_OK(report_page_write(&made.report, path, &err), err);
    ASSERT_OK(file_map(&map, path, &err), err);
    char *text = calloc(1, (size_t)map.bytes + 1);
    cr_assert(text != NULL);
    memcpy(text, map.data, (size_t)map.bytes);
    cr_expect(strlen(text) == (size_t)map.bytes, "%s: a zero byte lies in the page", name);
    cr_expect(utf8_prefix(text, map.bytes) == map.bytes, "%s: byte %lld is no UTF-8", name,
              (long long)utf8_prefix(text, map.bytes));
    file_unmap(&map);
    made_report_free(&made);
    free(path);
    return text;
}

static int count_of(const char *text, const char *part) {
    int n = 0;
    for (const char *at = text; (at = strstr(at, part)); at += strlen(part)) n++;
    return n;
}

/* --- markup ------------------------------------------------------------------------------------- */

typedef struct {
    const char *name; /* of the page */
    char open[64][16];
    int depth;
    char **ids;
    int id_count, heading;
    int faults;
} Checker;

static void fault(Checker *k, const char *what, const char *at) {
    if (k->faults++ < 5) cr_expect(false, "%s: %s at: %.80s", k->name, what, at);
}

/* Reads one attribute behind `at`: name="value". Returns its end. */
static const char *read_attribute(Checker *k, const char *at, char name[32], char **value) {
    int n = 0;
    while (isalnum((unsigned char)*at) || *at == '-' || *at == ':') {
        if (n < 31) name[n++] = *at;
        at++;
    }
    name[n] = '\0';
    *value = NULL;
    if (n == 0) return fault(k, "no attribute", at), NULL;
    if (*at != '=') return at;
    if (*++at != '"') return fault(k, "an attribute without quotes", at), NULL;
    const char *end = strchr(++at, '"');
    if (!end) return fault(k, "a quote that does not end", at), NULL;
    *value = strndup(at, (size_t)(end - at));
    return end + 1;
}

/* Reads a start tag: attributes are quoted, none is a handler or a style, ids are unique, pictures have alternative texts. */
static const char *read_start(Checker *k, const char *at) {
    static const char *const empty[] = {"meta", "link", "img", "br", "input", NULL};
    const char *const from = at;
    char tag[16] = "", name[32], *value;
    int n = 0;
    bool alt = false;
    while (isalnum((unsigned char)*at)) {
        if (n < 15) tag[n++] = *at;
        at++;
    }
    while (at && *at != '>' && *at != '/') {
        if (*at++ != ' ') return fault(k, "no space before an attribute", at), NULL;
        at = read_attribute(k, at, name, &value);
        if (!strncmp(name, "on", 2) || !strcmp(name, "style"))
            fault(k, "a handler or a style", from);
        if (!strcmp(name, "alt") && value) alt = true;
        if ((!strcmp(name, "src") || !strcmp(name, "href")) && value &&
            strncmp(value, "data:", 5) != 0 && value[0] != '#')
            fault(k, "an address that leaves the file", from);
        if (!strcmp(name, "id") && value) {
            k->ids = realloc(k->ids, (size_t)(k->id_count + 1) * sizeof *k->ids);
            k->ids[k->id_count++] = strdup(value);
        }
        free(value);
    }
    if (!at) return NULL;
    if (!strcmp(tag, "img") && !alt) fault(k, "a picture without alt", from);
    if (tag[0] == 'h' && tag[1] >= '1' && tag[1] <= '6') {
        if (tag[1] - '0' > k->heading + 1) fault(k, "a level of headings is left out", from);
        k->heading = tag[1] - '0';
    }
    if (*at == '/') return at[1] == '>' ? at + 2 : NULL;
    for (int i = 0; empty[i]; i++)
        if (!strcmp(empty[i], tag)) return at + 1;
    if (k->depth == 64) return fault(k, "too deep", from), NULL;
    strcpy(k->open[k->depth++], tag);
    if (strcmp(tag, "script") != 0 && strcmp(tag, "style") != 0) return at + 1;
    char end[32];
    snprintf(end, sizeof end, "</%s>", tag);
    return strstr(at, end);
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Returns the number of ids; fails where tags are not balanced or a character reference is broken. */
static int check_markup(const char *name, const char *html) {
    Checker k = {.name = name};
    const char *at = html;
    if (strncmp(at, "<!DOCTYPE html>\n", 16) != 0) fault(&k, "no document type", at);
    else at += 16;
    while (at && *at) {
        if (*at == '&') {
            const char *end = strchr(at, ';');
            if (!end || end - at > 6) fault(&k, "a bare &", at);
        } else if (*at == '>') fault(&k, "a bare >", at);
        if (*at != '<') {
            at++;
        } else if (at[1] == '/') {
            const char *end = strchr(at, '>');
            const size_t n = end ? (size_t)(end - at - 2) : 0;
            if (k.depth == 0 || n != strlen(k.open[k.depth - 1]) ||
                strncmp(k.open[k.depth - 1], at + 2, n) != 0) {
                fault(&k, "an end without its beginning", at);
                break;
            }
            k.depth--;
            at = end + 1;
        } else at = read_start(&k, at + 1);
    }
    cr_expect(at != NULL && k.depth == 0, "%s: %d tags stay open, the last is %s", name, k.depth,
              k.depth ? k.open[k.depth - 1] : "none");
    qsort(k.ids, (size_t)k.id_count, sizeof *k.ids, by_text);
    for (int i = 1; i < k.id_count; i++)
        cr_expect(strcmp(k.ids[i - 1], k.ids[i]) != 0, "%s: the id %s occurs twice", name,
                  k.ids[i]);
    /* every reference leads to an id */
    for (const char *link = html; (link = strstr(link, "href=\"#")); link++) {
        const char *from = link + 7, *end = strchr(from, '"');
        char *wanted = strndup(from, (size_t)(end - from));
        bool found = false;
        for (int i = 0; i < k.id_count; i++) found |= !strcmp(k.ids[i], wanted);
        cr_expect(found, "%s: nothing has the id %s", name, wanted);
        free(wanted);
    }
    const int ids = k.id_count;
    for (int i = 0; i < k.id_count; i++) free(k.ids[i]);
    free(k.ids);
    return ids;
}

static void expect_parts(const char *name, const char *html, const char *const *parts) {
    for (int i = 0; parts[i]; i++)
        cr_expect(strstr(html, parts[i]) != NULL, "%s: %s is not there", name, parts[i]);
}

Test(page, every_part_is_there) {
    char *html = page_of(MADE_DIGITS, "digits");
    static const char *const parts[] = {"<title>digits in 10 clusters",
                                        "<html lang=\"en\">",
                                        "<nav ",
                                        "<main ",
                                        "<header ",
                                        "<footer>",
                                        "id=\"run\"",
                                        "id=\"curves\"",
                                        "id=\"clusters\"",
                                        "id=\"doubtful\"",
                                        "id=\"confusion\"",
                                        "id=\"confusions\"",
                                        "id=\"plane\"",
                                        "id=\"runs\"",
                                        "id=\"sweep\"",
                                        "id=\"names\"",
                                        "data-curve=\"loss\"",
                                        "data-curve=\"entropy\"",
                                        "data-curve=\"found\"",
                                        "data-curve=\"accuracy\"",
                                        ">three<",
                                        "The next best name is <bdi>eight</bdi>",
                                        "Most confident",
                                        "Most doubtful",
                                        "t10k-images-idx3-ubyte.gz#8000",
                                        "class=\"matrix\"",
                                        "value=\"label\"",
                                        "k-means on both spaces",
                                        "Agreement of the runs",
                                        "10 classes</text>",
                                        "--rng torch",
                                        "98.75",
                                        ">damaged</span>",
                                        NULL};
    expect_parts("digits", html, parts);
    check_markup("digits", html);
    cr_expect(count_of(html, "<article class=\"card\"") == 10);
    cr_expect(count_of(html, "data-cluster=\"3\" placeholder") == 1,
              "a cluster has one field for its name");
    cr_expect(count_of(html, "<circle class=\"d ") == 1000, "each sample of the plane has a dot");
    cr_expect(strlen(html) < 3000000, "the page of the digits has %zu bytes", strlen(html));
    free(html);
}

Test(page, a_picture_is_embedded_once) {
    char *html = page_of(MADE_DIGITS, "once");
    MadeReport made;
    made_report(&made, MADE_DIGITS);
    const int64_t sample = made.report.doubtful[0];
    char *first = format_text("id=\"p%lld\" src=\"data:image/jpeg;base64,", (long long)sample),
         *again = format_text("data-of=\"%lld\"", (long long)sample);
    cr_expect(count_of(html, first) == 1);
    cr_expect(count_of(html, again) >= 1);
    /* base64 of a JPEG begins with /9j/ ; a page holds one of each picture */
    int pictures = 0;
    for (int64_t i = 0; i < made.report.sample_count; i++)
        pictures += made.report.samples[i].picture.size > 0;
    cr_expect(count_of(html, "/9j/") <= pictures &&
              count_of(html, "/9j/") >= made.report.scatter_count - 1);
    made_report_free(&made);
    free(first), free(again), free(html);
}

Test(page, a_thousand_classes_have_a_matrix_to_zoom) {
    char *html = page_of(MADE_WIDE, "wide");
    static const char *const parts[] = {"<canvas id=\"matrix\" tabindex=\"0\"",
                                        "id=\"closer\"",
                                        "\"confusion\": [[",
                                        "id=\"c999\"",
                                        "Colours repeat",
                                        NULL};
    expect_parts("wide", html, parts);
    cr_expect(!strstr(html, "<table class=\"matrix\">"));
    check_markup("wide", html);
    free(html);
}

Test(page, what_is_not_known_leaves_the_rest) {
    char *html = page_of(MADE_BARE, "bare");
    static const char *const parts[] = {
        "id=\"run\"", "id=\"clusters\"", "id=\"c3\"", "id=\"names\"", "row 12", "0 samples", NULL};
    static const char *const absent[] = {"id=\"curves\"",
                                         "id=\"confusion\"",
                                         "id=\"runs\"",
                                         "id=\"sweep\"",
                                         "id=\"plane\"",
                                         "id=\"doubtful\"",
                                         "<img",
                                         "nan",
                                         "inf",
                                         "-1",
                                         NULL};
    expect_parts("bare", html, parts);
    const char *const style = strstr(html, "<style>"), *const body = strstr(html, "<body>"),
                      *const script = strstr(html, "<script>");
    cr_assert(style && body && script);
    char *own = strndup(body, (size_t)(script - body)); /* the data too */
    for (int i = 0; absent[i]; i++)
        if (strcmp(absent[i], "-1") != 0)
            cr_expect(!strstr(own, absent[i]), "bare: %s is there", absent[i]);
    check_markup("bare", html);
    free(own);
    free(html);
}

Test(page, an_empty_report_is_a_page) {
    Report r = {.title = "nothing", .variance = {NAN, NAN}};
    Error err;
    char *folder = temporary_folder(), *path = format_text("%s/sub/a.html", folder);
    ASSERT_OK(report_page_write(&r, path, &err), err);
    FileMap map;
    ASSERT_OK(file_map(&map, path, &err), err);
    char *html = strndup((const char *)map.data, (size_t)map.bytes);
    check_markup("empty", html);
    file_unmap(&map);
    cr_expect(count_files(folder, "") == 1, "nothing lies beside the page");
    cr_expect(report_page_write(&r, folder, &err) == ERR_IO, "a folder is no page");
    free(html), free(path);
    remove_folder(folder);
}

/* --- hostile texts ------------------------------------------------------------------------------ */

Test(page, hostile_texts_stay_texts) {
    char *html = page_of(MADE_HOSTILE, "hostile");
    check_markup("hostile", html);
    cr_expect(count_of(html, "<script") == 2, "the data and the script alone are scripts");
    cr_expect(count_of(html, "</script") == 2);
    cr_expect(count_of(html, "<img") == 0);
    cr_expect(count_of(html, "<!--") == 0);
    cr_expect(strstr(html, "&lt;script&gt;console.log(&#39;ran&#39;)&lt;/script&gt;") != NULL);
    cr_expect(strstr(html, "&amp;lt;b&amp;gt; &amp;amp;") != NULL);
    cr_expect(strstr(html, "bad \xef\xbf\xbd\xef\xbf\xbd utf-8 \xef\xbf\xbd<") != NULL);
    cr_expect(strstr(html, "control \xef\xbf\xbd\xef\xbf\xbd[31m \xef\xbf\xbd \xef\xbf\xbd end") !=
              NULL);
    /* marks of direction are shown; they stand as they are in fields and in the data alone */
    cr_expect(strstr(html, "\\u{202e}gnp.exe \\u{202b}") != NULL);
    const char *data = strstr(html, "id=\"data\"");
    for (const char *at = html; (at = strstr(at, "\xe2\x80\xae")) && at < data; at++) {
        const char *quote = at;
        while (*quote != '<' && *quote != '"') quote--;
        cr_expect(!strncmp(quote - 6, "value=", 6), "a mark turns the text: %.60s", quote);
    }
    char wide[256];
    memset(wide, 'w', 255);
    wide[255] = '\0';
    cr_expect(strstr(html, wide) != NULL, "a name of 255 bytes is whole");
    for (const char *c = html; *c; c++)
        cr_expect((unsigned char)*c >= 0x20 || *c == '\n', "a control character 0x%02x", *c);
    free(html);
}

/* --- policy ------------------------------------------------------------------------------------- */

/* Returns the base64 of a text's SHA-256, written here anew. */
static char *hash_of(const char *text, size_t bytes) {
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char hex[SHA256_HEX + 1], bits[8 * 33], *out = calloc(1, 45);
    sha256_hex(hex, text, (int64_t)bytes);
    memset(bits, 0, sizeof bits);
    for (int i = 0; i < 64; i++) {
        const int value = (int)(strchr("0123456789abcdef", hex[i]) - "0123456789abcdef");
        for (int b = 0; b < 4; b++) bits[4 * i + b] = (char)(value >> (3 - b) & 1);
    }
    for (int i = 0; i < 43; i++) {
        int value = 0;
        for (int b = 0; b < 6; b++) value = 2 * value + bits[6 * i + b];
        out[i] = digit[value];
    }
    out[43] = '=';
    return out;
}

static void expect_hash(const char *html, const char *begin, const char *end,
                        const char *directive) {
    const char *from = strstr(html, begin), *to = from ? strstr(from, end) : NULL;
    cr_assert(from && to);
    from += strlen(begin);
    char *hash = hash_of(from, (size_t)(to - from)),
         *wanted = format_text("%s 'sha256-%s';", directive, hash);
    cr_expect(strstr(html, wanted) != NULL, "the policy does not say %s", wanted);
    free(hash), free(wanted);
}

Test(page, the_policy_names_this_style_and_this_script) {
    char *html = page_of(MADE_BARE, "policy");
    const char *policy = strstr(html, "Content-Security-Policy"), *style = strstr(html, "<style>");
    cr_assert(policy && style && policy < style, "the policy stands before all that it rules");
    cr_expect(strstr(html, "default-src 'none'; img-src data:; ") != NULL);
    cr_expect(!strstr(html, "unsafe"));
    expect_hash(html, "<style>", "</style>", "style-src");
    expect_hash(html, "<script>", "</script>", "script-src");
    free(html);
}

Test(page, nothing_names_another_place) {
    static const MadeKind kind[] = {MADE_DIGITS, MADE_WIDE, MADE_BARE};
    for (int i = 0; i < 3; i++) {
        char *html = page_of(kind[i], "places");
        cr_expect(!strstr(html, "http:") && !strstr(html, "https:") && !strstr(html, "//cdn") &&
                  !strstr(html, "url(") && !strstr(html, "@import"));
        free(html);
    }
}

/* --- colours: contrast of WCAG 2.2, 1.4.3 and 1.4.11 --------------------------------------------- */

static double luminance(const char *colour) {
    double sum = 0.0;
    static const double weight[] = {0.2126, 0.7152, 0.0722};
    for (int i = 0; i < 3; i++) {
        const char two[3] = {colour[1 + 2 * i], colour[2 + 2 * i], '\0'};
        const double c = (double)strtol(two, NULL, 16) / 255.0;
        sum += weight[i] * (c <= 0.04045 ? c / 12.92 : pow((c + 0.055) / 1.055, 2.4));
    }
    return sum;
}

/* Returns the value of a colour behind `theme`, as "#1c2226". */
static const char *colour_of(const char *theme, const char *name) {
    char wanted[24];
    snprintf(wanted, sizeof wanted, "--%s: #", name);
    const char *at = strstr(theme, wanted);
    cr_assert(at != NULL, "page.css has no --%s", name);
    return at + strlen(wanted) - 1;
}

static void expect_contrast(const char *theme, const char *title, const char *front,
                            const char *back, double least) {
    const double a = luminance(colour_of(theme, front)), b = luminance(colour_of(theme, back));
    const double ratio = (fmax(a, b) + 0.05) / (fmin(a, b) + 0.05);
    cr_expect(ratio >= least, "%s: --%s on --%s has a contrast of %.2f, not %.1f", title, front,
              back, ratio, least);
}

Test(page, colours_keep_their_contrast) {
    char *css = strndup((const char *)embedded_page_css.data, (size_t)embedded_page_css.bytes);
    const char *const start[] = {":root", "prefers-color-scheme: dark", "@media print"};
    for (int t = 0; t < 3; t++) {
        const char *theme = strstr(css, start[t]);
        cr_assert(theme != NULL);
        static const char *const text[] = {"ink", "muted", "accent", "warn"}, *const ground[] = {
                                                                                  "paper", "card"};
        for (int i = 0; i < 4; i++)
            for (int g = 0; g < 2; g++) expect_contrast(theme, start[t], text[i], ground[g], 4.5);
        for (int i = 0; i < 10; i++) {
            const char name[3] = {'k', (char)('0' + i), '\0'};
            expect_contrast(theme, start[t], "chip", name, 4.5); /* the number on its chip */
            for (int g = 0; g < 2; g++) expect_contrast(theme, start[t], name, ground[g], 3.0);
        }
        for (int i = 1; i <= 5; i++)
            for (int e = 0; e < 2; e++) {
                const char name[3] = {e ? 'e' : 'g', (char)('0' + i), '\0'};
                expect_contrast(theme, start[t], i <= 3 ? "ink" : "on", name, 4.5);
            }
        expect_contrast(theme, start[t], "on", "accent", 4.5);
        if (t < 2) expect_contrast(theme, start[t], "focus", "paper", 3.0);
    }
    free(css);
}
