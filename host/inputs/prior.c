/* prior.c - how the classes are expected to be distributed (`train --prior`). */
#include "host/inputs/prior.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/tell/json.h"
#include "io/files/crc32.h"
#include "io/text/text_lines.h"

/* A share this large stays positive and finite in float32 beside the other classes. */
#define LEAST_SHARE 1e-30

void prior_free(Prior *p) {
    if (!p) return;
    free(p->pi);
    *p = (Prior){0};
}

/* Sets pi = weight / sum of all weights. */
static Status normalise(Prior *out, const double *weight, int64_t C, const char *text, Error *err) {
    double sum = 0.0;
    for (int64_t c = 0; c < C; c++) sum += weight[c];
    for (int64_t c = 0; c < C; c++) {
        const double share = weight[c] / sum;
        if (!(share >= LEAST_SHARE))
            return fail(err, ERR_ARG,
                        "prior: %s: class %lld would have a share of %g of the samples: expected "
                        "at least %g",
                        text, (long long)c, share, LEAST_SHARE);
        out->pi[c] = (float)share;
    }
    return OK;
}

static Status power_law(double *weight, char name[48], const char *text, int64_t C, Error *err) {
    char *end, number[REAL_TEXT];
    const char *from = text + strlen("power:");
    const double A = strtod(from, &end);
    if (end == from || *end || !isfinite(A) || A < 0)
        return fail(err, ERR_USAGE, "--prior: '%s': expected power:A with A of 0 or more", text);
    for (int64_t c = 0; c < C; c++) weight[c] = pow((double)(c + 1), -A);
    snprintf(name, 48, "power:%s", format_real(number, A));
    return OK;
}

static bool separates(char c) {
    return c == ' ' || c == '\t' || c == ',';
}

/* Takes the numbers of a line; the first C of all go to weight, *count is how many there are. */
static Status parse_line(double *weight, int64_t *count, const TextLines *t, const TextLine *line,
                         int64_t C, Error *err) {
    for (const char *text = line->text;; ++*count) {
        char *end;
        while (separates(*text)) text++;
        if (!*text) return OK;
        const double x = strtod(text, &end);
        if (end == text || (*end && !separates(*end)) || !(x > 0) || !isfinite(x))
            return text_line_bad(t, line->number, err,
                                 "number %lld: '%.20s': expected a positive number",
                                 (long long)*count + 1, text);
        if (*count < C) weight[*count] = x;
        text = end;
    }
}

/* Reads all numbers of a file; *blank is the first blank line that stands in front of one, or 0. */
static Status read_numbers(double *weight, int64_t *blank, const char *path, int64_t C,
                           Error *err) {
    TextLines t;
    TextLine line;
    int64_t count = 0, seen = 0;
    Status st = text_lines_open(&t, "prior", path, err);
    if (st != OK && strcmp(path, "-") != 0 && !file_exists(path))
        st = fail(
            err, ERR_IO,
            "--prior: '%s': no such file: expected uniform, power:A, or a file of %lld numbers",
            path, (long long)C);
    while (st == OK && text_lines_next(&t, &line)) {
        if (line.blank && !seen) seen = line.number;
        if (!line.blank) *blank = seen;
        st = parse_line(weight, &count, &t, &line, C, err);
    }
    text_lines_close(&t);
    if (st == OK && count != C)
        st = fail(err, ERR_FORMAT, "prior: %s: expected %lld numbers, one per class, got %lld",
                  path, (long long)C, (long long)count);
    return st;
}

Status prior_open(Prior *out, const char *text, int64_t C, Error *err) {
    *out = (Prior){.name = "uniform"};
    if (strcmp(text, "uniform") == 0) return OK;
    double *weight = malloc((size_t)C * sizeof *weight);
    out->pi = malloc((size_t)C * sizeof *out->pi);
    Status st = weight && out->pi ? OK : fail(err, ERR_MEMORY, "prior: out of memory");
    const bool power = strncmp(text, "power:", 6) == 0;
    if (st == OK)
        st = power ? power_law(weight, out->name, text, C, err)
                   : read_numbers(weight, &out->blank, text, C, err);
    if (st == OK) st = normalise(out, weight, C, text, err);
    if (st == OK && !power)
        snprintf(out->name, sizeof out->name, "file:%08x",
                 (unsigned)crc32_update(0, (const uint8_t *)out->pi, C * (int64_t)sizeof *out->pi));
    free(weight);
    if (st != OK) prior_free(out);
    return st;
}
