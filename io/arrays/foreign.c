/* foreign.c - refuses files that are no arrays: names their kind and the line that converts them. */
#include "io/arrays/foreign.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "io/files/known.h"

/* --- by their first bytes --------------------------------------------------------------------- */

/* A pickle begins with PROTO n and ends with STOP. */
static bool is_pickle(const FileMap *map) {
    return map->bytes > 2 && map->data[0] == 0x80 && map->data[1] >= 2 && map->data[1] <= 5 &&
           map->data[map->bytes - 1] == '.';
}

/* --- messages --------------------------------------------------------------------------------- */

/* Writes the path as a Python literal inside "..." of a shell. FILE stands for a path that needs
 * quoting, or that would crowd the message. */
static const char *quoted(char text[96], const char *path, const char *ending) {
    enum { MOST = 80 };
    if (strlen(path) > MOST || strpbrk(path, "'\"\\$`!\n")) path = "FILE";
    const char *dot = strrchr(path, '.'), *slash = strrchr(path, '/');
    if (dot && ((slash && dot < slash) || dot == path || dot[-1] == '/')) dot = NULL;
    if (ending && dot && strcmp(dot, ".npy") == 0) ending = "_array.npy";
    snprintf(text, 96, "'%.*s%s'", ending && dot ? (int)(dot - path) : MOST, path,
             ending ? ending : "");
    return text;
}

static const char read_ones[] = "expected .npy, .npz, .pt or .safetensors";

/* Refuses a file with a line that converts it. `python` is an expression with %s for the path in
 * quotes. */
static Status refuse_with_line(const char *path, const char *is, const char *python, Error *err) {
    char from[96], to[96], expression[256], module[32];
    quoted(from, path, NULL);
    quoted(to, path, ".npy");
    const char *at = strstr(python, "%s");
    snprintf(expression, sizeof expression, "%.*s%s%s", (int)(at - python), python, from, at + 2);
    size_t n = strcspn(python, ".(");
    if (strncmp(python, "scipy.io", 8) == 0) n = 8;
    if (strncmp(python, "astropy", 7) == 0) n = strlen("astropy.io.fits");
    snprintf(module, sizeof module, "%.*s", (int)(n < 30 ? n : 30), python);
    const bool numpys = strcmp(module, "numpy") == 0;
    const bool json = strstr(python, "json.load"), pickle = strstr(python, "pickle.load");
    return fail(err, ERR_FORMAT,
                "array: %s: is %s; %s: convert it: python3 -c \"import numpy%s%s; numpy.save(%s, "
                "%s)\"",
                path, is, read_ones, numpys && !json && !pickle ? "" : ", ",
                json     ? "json"
                : pickle ? "pickle"
                : numpys ? ""
                         : module,
                to, expression);
}

/* --- text ------------------------------------------------------------------------------------- */

enum { LOOKED_AT = 65536 };

static bool is_text(const FileMap *map) {
    const int64_t n = map->bytes < LOOKED_AT ? map->bytes : LOOKED_AT;
    for (int64_t i = 0; i < n; i++) {
        const uint8_t c = map->data[i];
        if (c < 32 && !strchr("\t\n\r\f\v", c)) return false;
        if (c == 0 || c == 127) return false;
    }
    return n > 0;
}

/* A line that holds something and is no comment. */
typedef struct {
    const char *at, *end;
} Line;

static bool next_line(const FileMap *map, int64_t *at, Line *line) {
    while (*at < map->bytes) {
        const char *start = (const char *)map->data + *at;
        const char *newline = memchr(start, '\n', (size_t)(map->bytes - *at));
        const char *end = newline ? newline : (const char *)map->data + map->bytes;
        *at += end - start + 1;
        while (end > start && isspace((unsigned char)end[-1])) end--;
        if (end == start || *start == '#') continue;
        *line = (Line){start, end};
        return true;
    }
    return false;
}

static int64_t count_of(const Line *line, char wanted) {
    int64_t n = 0;
    for (const char *c = line->at; c < line->end; c++) n += *c == wanted;
    return n;
}

static bool is_number(const char *at, const char *end) {
    char text[64], *stop;
    while (at < end && (isspace((unsigned char)*at) || *at == '"')) at++;
    while (end > at && (isspace((unsigned char)end[-1]) || end[-1] == '"')) end--;
    if (end == at || end - at >= (int64_t)sizeof text) return false;
    memcpy(text, at, (size_t)(end - at));
    text[end - at] = '\0';
    strtod(text, &stop);
    return *stop == '\0';
}

/* Returns how many fields of a line, cut at `delimiter`, are no numbers. *first tells whether the
 * first field is none. */
static int64_t count_words(const Line *line, char delimiter, bool *first) {
    int64_t words = 0, fields = 0;
    for (const char *at = line->at; at <= line->end; fields++) {
        const char *stop = memchr(at, delimiter, (size_t)(line->end - at));
        if (!stop) stop = line->end;
        const bool word = stop > at && !is_number(at, stop);
        if (fields == 0) *first = word;
        words += word;
        at = stop + 1;
    }
    return words;
}

/* Returns the first of these delimiters that stands in the line. */
static char delimiter_of(const Line *line) {
    static const char delimiters[] = "\t;, ";
    for (const char *d = delimiters; *d; d++)
        if (count_of(line, *d)) return *d;
    return ',';
}

static Status refuse_table(const FileMap *map, const char *path, Error *err) {
    char is[80], python[160], columns[48] = "", cut[24] = "";
    int64_t at = 0;
    bool first_is_word = false, ignored;
    Line line, second;
    if (map->bytes >= 3 && memcmp(map->data, "\xef\xbb\xbf", 3) == 0) at = 3;
    if (!next_line(map, &at, &line))
        return fail(err, ERR_FORMAT, "array: %s: is a text without numbers; %s", path, read_ones);
    const char delimiter = delimiter_of(&line);
    const bool header =
        next_line(map, &at, &second) && /* a header has more words than the line behind it */
        count_words(&line, delimiter, &ignored) > count_words(&second, delimiter, &ignored);
    const Line *row = header ? &second : &line;
    const int64_t words = count_words(row, delimiter, &first_is_word);
    const int64_t fields = count_of(row, delimiter) + 1;
    snprintf(is, sizeof is, "text (%s%s)",
             delimiter == '\t'  ? "TSV"
             : delimiter == ' ' ? "columns between blanks"
                                : "CSV",
             header ? " with a header line" : "");
    if (words > (first_is_word ? 1 : 0))
        return fail(err, ERR_FORMAT,
                    "array: %s: is %s whose columns are not all numbers; %s: save the numbers as "
                    "one array",
                    path, is, read_ones);
    if (first_is_word)
        snprintf(columns, sizeof columns, ", usecols=range(1, %lld)", (long long)fields);
    if (delimiter == '\t') snprintf(cut, sizeof cut, ", delimiter='\\t'");
    else if (delimiter != ' ') snprintf(cut, sizeof cut, ", delimiter='%c'", delimiter);
    snprintf(python, sizeof python, "numpy.loadtxt(%%s%s%s%s)", cut, header ? ", skiprows=1" : "",
             columns);
    return refuse_with_line(path, is, python, err);
}

static Status refuse_text(const FileMap *map, const char *path, Error *err) {
    int64_t at = 0;
    while (at < map->bytes && isspace(map->data[at])) at++;
    const char c = at < map->bytes ? (char)map->data[at] : ' ';
    if (c == '[' || c == '{')
        return refuse_with_line(path, "JSON", "numpy.array(json.load(open(%s)), 'float32')", err);
    if (c == '@' || c == '%')
        return fail(err, ERR_FORMAT,
                    "array: %s: is text (ARFF or MatrixMarket); %s: read it in Python and "
                    "numpy.save the dense matrix",
                    path, read_ones);
    return refuse_table(map, path, err);
}

Status foreign_refuse(const FileMap *map, const char *path, Error *err) {
    const KnownFile *k = known_file(map->data, map->bytes);
    if (map->bytes == 0) return fail(err, ERR_FORMAT, "array: %s: is empty; %s", path, read_ones);
    if (k && k->python) return refuse_with_line(path, k->is, k->python, err);
    if (k)
        return fail(err, ERR_FORMAT, "array: %s: is %s; %s%s%s", path, k->is, read_ones,
                    k->advice ? ": " : "", k->advice ? k->advice : "");
    if (is_pickle(map))
        return refuse_with_line(path, "a pickle", "numpy.asarray(pickle.load(open(%s, 'rb')))",
                                err);
    if (map->bytes >= 4 && memcmp(map->data, "PK", 2) == 0)
        return fail(
            err, ERR_FORMAT,
            "array: %s: is a zip archive without an array (.npy) in it; %s: unpack or export "
            "it first",
            path, read_ones);
    if (map->bytes >= 2 && (!memcmp(map->data, "\xff\xfe", 2) || !memcmp(map->data, "\xfe\xff", 2)))
        return fail(err, ERR_FORMAT, "array: %s: is text in UTF-16; %s: save it as UTF-8 CSV first",
                    path, read_ones);
    if (is_text(map)) return refuse_text(map, path, err);
    return fail(err, ERR_FORMAT,
                "array: %s: %lld bytes of no kind that is known; %s: if they are plain float32: "
                "python3 -c \"import numpy; numpy.save('x.npy', numpy.fromfile('FILE', "
                "'float32').reshape(-1, D))\"",
                path, (long long)map->bytes, read_ones);
}
