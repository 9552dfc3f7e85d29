/* page.h - what the files of the page share: the file that is written, escaped text, pictures that are embedded once.
 *
 * The page is one HTML file that loads nothing. Its Content-Security-Policy allows images of data: alone, and the one
 * style and the one script whose SHA-256 it states. So no style attribute and no handler in markup has any effect, and
 * no text can become either. Every text from outside goes through put_text, put_name or put_data.
 */
#ifndef TURTLE_HOST_REPORT_PAGE_H
#define TURTLE_HOST_REPORT_PAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "host/report/report.h"
#include "host/tell/json.h"

enum {
    COLOURS = 10,     /* colours of clusters in page.css; cluster i has colour i % COLOURS */
    TABLE_MOST = 24,  /* classes of a confusion matrix that is a table; beyond, it is a canvas */
    LEGEND_MOST = 30, /* groups whose numbers stand in the plane */
};

typedef struct {
    FILE *to; /* errors are left to atomic_commit */
    const Report *report;
    bool *shown; /* (sample_count): the picture is embedded already */
    bool failed; /* memory ran out: the page is not kept */
} Page;

/* Writes markup of our own: no text from outside may be an argument. */
PRINTF_LIKE(2, 3) void put(Page *p, const char *format, ...);
/* Writes a text for an element or for an attribute in double quotes: & < > " ' are escaped, U+FFFD stands for bytes that
 * are no UTF-8 and for control characters, \u{202e} for a mark that turns the direction. At most REPORT_NAME_BYTES bytes
 * are written, then "…". NULL writes nothing. */
void put_text(Page *p, const char *text);
/* Writes the whole text as the value of a field, whose marks of direction stay as they are. */
void put_field_text(Page *p, const char *text);
/* Writes put_text inside <bdi>, so that marks of direction turn nothing outside of it. */
void put_name(Page *p, const char *text);
/* Returns how many bytes of a sample's name are shown. */
int page_name_most(const Report *r);
/* Writes "name" of a sample, or "row N", without markup. */
void put_sample_text(Page *p, const ReportSample *s);
/* Writes a cluster's name, or "cluster N", without markup; "no cluster" below 0. */
void put_cluster_text(Page *p, int64_t cluster);
/* Writes a label's name, or its number, without markup. */
void put_label_text(Page *p, int64_t label);
/* Writes a number with thin spaces between thousands. */
void put_count(Page *p, int64_t n);
/* Writes a share as "98.75 %", or "–" for NaN. */
void put_percent(Page *p, double share);
/* Writes a real with so many decimals, or "–" for NaN. */
void put_real(Page *p, double value, int decimals);
/* Writes the chip with the number of a cluster in its colour. */
void put_chip(Page *p, int64_t cluster);
/* Writes the picture of a sample with its alternative text: embedded where it stands first, else a reference that
 * page.js follows. A placeholder names a damaged picture, or the row where there is none. */
void put_picture(Page *p, int64_t sample);
/* Writes bytes in base64. */
void put_base64(Page *p, const unsigned char *bytes, size_t size);
/* Writes a finished JSON text for <script type="application/json">: `<`, `>` and `&` are written as \u00XX. */
void put_data(Page *p, const char *json);

/* Parts of the page, in its order. Each writes a whole section, or nothing where the report has nothing for it. */
void page_run(Page *p);
void page_curves(Page *p);
void page_clusters(Page *p);
void page_doubtful(Page *p);
void page_confusion(Page *p);
void page_plane(Page *p);
void page_runs(Page *p);
void page_sweep(Page *p);
void page_naming(Page *p);
/* Writes the JSON that page.js reads. */
Status page_data(Page *p, Error *err);

/* Returns true if a section has something to show; the list of sections asks it. */
bool page_has_curves(const Report *r);
bool page_has_confusion(const Report *r);
bool page_has_canvas(const Report *r); /* the matrix is too large for a table */
bool page_has_plane(const Report *r);
bool page_has_runs(const Report *r);
bool page_has_sweep(const Report *r);

/* Returns the order of the matrix's columns, (label_count) labels in fresh memory: that of the clusters which they are
 * matched with, then the other labels. Returns NULL without memory. */
int64_t *page_columns(const Report *r);

/* One chart of a line that joins the points with finite values. */
typedef struct {
    const char *id, *title; /* our own words */
    const char *key;        /* name of its points in the JSON; NULL: no readout */
    const char *unit;       /* what the horizontal axis counts */
    const double *x, *y;    /* (count) */
    int64_t count;
    bool share;  /* values are shares, written as per cent */
    bool whole;  /* values are whole numbers */
    bool dots;   /* points get dots, for there are few */
    double mark; /* a place on the horizontal axis that is marked as recommended; NaN: none */
} Chart;
void put_chart(Page *p, const Chart *c);

#endif
