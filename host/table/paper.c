/* paper.c - the figures that the paper publishes, out of data/manifests/paper.tsv. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/table/table.h"

/* Returns the field `number` of a line of tabs, or NULL; *length is its length. */
static const char *field_of(const char *line, const char *end, int number, size_t *length) {
    for (; number > 0; number--) {
        line = memchr(line, '\t', (size_t)(end - line));
        if (!line++) return NULL;
    }
    const char *tab = memchr(line, '\t', (size_t)(end - line));
    *length = (size_t)((tab ? tab : end) - line);
    return line;
}

static bool is_field(const char *line, const char *end, int number, const char *word) {
    size_t n = 0;
    const char *field = field_of(line, end, number, &n);
    return field && n == strlen(word) && memcmp(field, word, n) == 0;
}

double paper_accuracy(const char *text, int64_t bytes, const char *dataset, const char *method,
                      const char *phi) {
    const char *const last = text + bytes;
    for (const char *line = text, *end; line < last; line = end + 1) {
        end = memchr(line, '\n', (size_t)(last - line));
        if (!end) end = last;
        if (*line == '#' || !is_field(line, end, 0, dataset) || !is_field(line, end, 1, method) ||
            !is_field(line, end, 2, phi))
            continue;
        char number[16] = {0};
        size_t n = 0;
        const char *field = field_of(line, end, 3, &n);
        if (!field || n == 0 || n >= sizeof number) return NAN;
        memcpy(number, field, n);
        char *rest = NULL;
        const double percent = strtod(number, &rest);
        return *rest || rest == number ? NAN : percent / 100.0;
    }
    return NAN;
}
