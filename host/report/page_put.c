/* page_put.c - pieces of markup: escaped text, numbers, pictures that are embedded once. */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "host/report/page.h"
#include "io/text/printable.h"
#include "io/text/utf8.h"

void put(Page *p, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vfprintf(p->to, format, args);
    va_end(args);
}

/* Returns true for characters that no page may hold or that would show as nothing: HTML forbids most controls. */
static bool unfit(uint32_t code) {
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || (code & 0xfffe) == 0xfffe ||
           (code >= 0xfdd0 && code <= 0xfdef);
}

static void put_escaped(Page *p, const char *text, int64_t most, bool show_turns) {
    if (!text) return;
    const int64_t bytes = (int64_t)strlen(text);
    for (int64_t at = 0; at < bytes;) {
        uint32_t code = 0;
        const int n = utf8_length(text + at, bytes - at, &code);
        if (at >= most) {
            fputs("…", p->to);
            return;
        }
        if (n == 0 || unfit(code)) fputs("\xef\xbf\xbd", p->to);
        else if (show_turns && turns_direction(code)) put(p, "\\u{%04x}", (unsigned)code);
        else if (code == '&') fputs("&amp;", p->to);
        else if (code == '<') fputs("&lt;", p->to);
        else if (code == '>') fputs("&gt;", p->to);
        else if (code == '"') fputs("&quot;", p->to);
        else if (code == '\'') fputs("&#39;", p->to);
        else fwrite(text + at, 1, (size_t)n, p->to);
        at += n ? n : 1;
    }
}

void put_text(Page *p, const char *text) {
    put_escaped(p, text, REPORT_NAME_BYTES, true);
}

void put_field_text(Page *p, const char *text) {
    put_escaped(p, text, INT64_MAX, false);
}

void put_name(Page *p, const char *text) {
    put(p, "<bdi>");
    put_text(p, text);
    put(p, "</bdi>");
}

int page_name_most(const Report *r) {
    return r->name_most > 0 ? r->name_most : REPORT_NAME_BYTES;
}

void put_sample_text(Page *p, const ReportSample *s) {
    if (s->name) put_escaped(p, s->name, page_name_most(p->report), true);
    else put(p, "row %" PRId64, s->row);
}

void put_cluster_text(Page *p, int64_t cluster) {
    const Report *r = p->report;
    if (cluster < 0 || cluster >= r->classes) put(p, "no cluster");
    else if (r->clusters[cluster].name && *r->clusters[cluster].name)
        put_text(p, r->clusters[cluster].name);
    else put(p, "cluster %" PRId64, cluster);
}

void put_label_text(Page *p, int64_t label) {
    const Report *r = p->report;
    if (r->class_names && label >= 0 && label < r->label_count && r->class_names[label])
        put_text(p, r->class_names[label]);
    else put(p, "%" PRId64, label);
}

void put_count(Page *p, int64_t n) {
    char digits[32];
    const int length = snprintf(digits, sizeof digits, "%" PRId64, n);
    for (int i = 0; i < length; i++) {
        if (i > 0 && digits[i - 1] != '-' && (length - i) % 3 == 0) fputs("\xe2\x80\xaf", p->to);
        fputc(digits[i], p->to);
    }
}

void put_percent(Page *p, double share) {
    if (isfinite(share)) put(p, "%.2f\xe2\x80\xaf%%", 100.0 * share);
    else put(p, "–");
}

void put_real(Page *p, double value, int decimals) {
    if (isfinite(value)) put(p, "%.*f", decimals, value);
    else put(p, "–");
}

void put_chip(Page *p, int64_t cluster) {
    if (cluster < 0) put(p, "<span class=\"chip\">?</span>");
    else put(p, "<span class=\"chip c%d\">%" PRId64 "</span>", (int)(cluster % COLOURS), cluster);
}

void put_base64(Page *p, const unsigned char *bytes, size_t size) {
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        const uint32_t three = (uint32_t)bytes[i] << 16 |
                               (i + 1 < size ? (uint32_t)bytes[i + 1] << 8 : 0u) |
                               (i + 2 < size ? bytes[i + 2] : 0u);
        const char four[4] = {digit[three >> 18], digit[three >> 12 & 63],
                              i + 1 < size ? digit[three >> 6 & 63] : '=',
                              i + 2 < size ? digit[three & 63] : '='};
        fwrite(four, 1, 4, p->to);
    }
}

/* Writes what is known of a sample, for its title: "name; confidence 0.98; cat or dog". */
static void put_about(Page *p, const ReportSample *s) {
    put_sample_text(p, s);
    if (isfinite(s->confidence)) put(p, "; confidence %.3f", (double)s->confidence);
    if (s->second >= 0) {
        put(p, "; next ");
        put_cluster_text(p, s->second);
    }
    if (s->label >= 0) {
        put(p, "; label ");
        put_label_text(p, s->label);
    }
}

void put_picture(Page *p, int64_t sample) {
    const ReportSample *s = &p->report->samples[sample];
    if (!s->picture.size) {
        put(p, "<span class=\"pic none\" title=\"");
        put_about(p, s);
        if (s->damaged) put(p, "; damaged\"><span class=\"hidden\">damaged</span>×</span>");
        else put(p, "\">row %" PRId64 "</span>", s->row);
        return;
    }
    put(p, "<img class=\"pic\" alt=\"");
    put_sample_text(p, s);
    put(p, "\" title=\"");
    put_about(p, s);
    put(p, "\" width=\"%d\" height=\"%d\" decoding=\"async\" ", s->picture.width,
        s->picture.height);
    if (p->shown[sample]) {
        put(p, "data-of=\"%" PRId64 "\" src=\"data:,\">", sample);
        return;
    }
    p->shown[sample] = true;
    put(p, "id=\"p%" PRId64 "\" src=\"data:image/jpeg;base64,", sample);
    put_base64(p, s->picture.bytes, s->picture.size);
    put(p, "\">");
}

void put_data(Page *p, const char *json) {
    for (const char *c = json; *c; c++) {
        if (*c == '<' || *c == '>' || *c == '&') put(p, "\\u%04x", (unsigned)*c);
        else fputc(*c, p->to);
    }
}
