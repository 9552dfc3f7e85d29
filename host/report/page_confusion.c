/* page_confusion.c - clusters against labels: a table of few classes, a canvas of many, the largest confusions. */
#include <inttypes.h>
#include <stdlib.h>

#include "host/report/page.h"

bool page_has_confusion(const Report *r) {
    return r->confusion != NULL && r->classes > 0 && r->label_count > 0;
}

bool page_has_canvas(const Report *r) {
    return page_has_confusion(r) && (r->classes > TABLE_MOST || r->label_count > TABLE_MOST);
}

int64_t *page_columns(const Report *r) {
    const int64_t n = r->label_count;
    int64_t *order = calloc((size_t)n, sizeof *order), count = 0;
    bool *placed = calloc((size_t)n, sizeof *placed);
    for (int64_t i = 0; order && placed && i < r->classes + n;
         i++) { /* matched labels, then the others */
        const int64_t label = i < r->classes ? r->clusters[i].matched_label : i - r->classes;
        if (label < 0 || label >= n || placed[label]) continue;
        placed[label] = true;
        order[count++] = label;
    }
    if (!placed) {
        free(order);
        order = NULL;
    }
    free(placed);
    return order;
}

/* Returns the class of a cell's shade, 0 to 5. Shares of a row are even steps where they agree with the matching;
 * errors are small, and their steps finer. */
static int shade(int64_t count, int64_t row, bool matched) {
    if (count == 0 || row == 0) return 0;
    const int step = (int)((double)count / (double)row * (matched ? 5.0 : 12.0));
    return step > 4 ? 5 : step + 1;
}

static void put_row(Page *p, int64_t i, const int64_t *columns) {
    const Report *r = p->report;
    const int64_t *row = r->confusion + i * r->label_count;
    int64_t sum = 0;
    for (int64_t j = 0; j < r->label_count; j++) sum += row[j];
    put(p, "<tr><th scope=\"row\">");
    put_chip(p, i);
    if (r->clusters[i].name) {
        put(p, " ");
        put_name(p, r->clusters[i].name);
    }
    put(p, "</th>");
    for (int64_t j = 0; j < r->label_count; j++) {
        const bool matched = r->clusters[i].matched_label == columns[j];
        const int64_t count = row[columns[j]];
        const int step = shade(count, sum, matched);
        if (step) put(p, "<td class=\"%c%d\">%" PRId64 "</td>", matched ? 'g' : 'e', step, count);
        else put(p, "<td>·</td>");
    }
    put(p, "</tr>\n");
}

static void put_table(Page *p, const int64_t *columns) {
    const Report *r = p->report;
    put(p,
        "<div class=\"wide\" role=\"region\" tabindex=\"0\" aria-labelledby=\"h-confusion\"><table "
        "class=\"matrix\"><thead><tr><th scope=\"col\"><span class=\"hidden\">cluster</span></th>");
    for (int64_t j = 0; j < r->label_count; j++) {
        put(p, "<th scope=\"col\">");
        put(p, "<bdi>");
        put_label_text(p, columns[j]);
        put(p, "</bdi></th>");
    }
    put(p, "</tr></thead>\n<tbody>\n");
    for (int64_t i = 0; i < r->classes; i++) put_row(p, i, columns);
    put(p, "</tbody></table></div>\n");
}

static void put_canvas(Page *p) {
    put(p,
        "<div class=\"zoom\"><div class=\"tools\"><button type=\"button\" "
        "id=\"closer\">Closer</button> <button type=\"button\" id=\"farther\">Farther"
        "</button> <button type=\"button\" id=\"whole\">Whole</button></div>\n<canvas "
        "id=\"matrix\" tabindex=\"0\" role=\"application\" "
        "aria-label=\"Confusion matrix of %" PRId64
        " clusters: arrow keys move from cell to cell, plus and minus zoom\" "
        "aria-describedby=\"matrix-said\"></canvas>\n<output id=\"matrix-said\" "
        "class=\"muted\">Arrow keys move, with shift by ten; + and − zoom, 0 shows the whole, Home "
        "goes to the "
        "diagonal.</output></div>\n",
        p->report->classes);
}

static void put_pair(Page *p, const ReportConfusion *c) {
    put(p, "<li class=\"pair\"><p>");
    put_count(p, c->count);
    put(p, c->count == 1 ? " sample of label <bdi>" : " samples of label <bdi>");
    put_label_text(p, c->label);
    put(p, "</bdi> in cluster ");
    put_chip(p, c->cluster);
    if (p->report->clusters[c->cluster].name) {
        put(p, " ");
        put_name(p, p->report->clusters[c->cluster].name);
    }
    put(p, "</p><ul class=\"thumbs\">");
    for (int i = 0; i < c->samples_count; i++) {
        put(p, "<li>");
        put_picture(p, c->samples[i]);
        put(p, "</li>");
    }
    put(p, "</ul></li>\n");
}

void page_confusion(Page *p) {
    const Report *r = p->report;
    if (!page_has_confusion(r)) return;
    put(p, "<section id=\"confusion\" aria-labelledby=\"h-confusion\"><h2 "
           "id=\"h-confusion\">Clusters and labels</h2>\n<p class=\"hint\">Labels were "
           "matched to clusters so that most samples agree. Rows are clusters, columns are labels "
           "in the order of their clusters. "
           "Green cells agree, the others show where clusters and labels differ.</p>\n<div "
           "class=\"body\">\n");
    int64_t *columns = page_columns(r);
    p->failed |= !columns;
    if (page_has_canvas(r)) put_canvas(p);
    else if (columns) put_table(p, columns);
    free(columns);
    put(p, "</div></section>\n");
    if (r->confusion_count == 0) return;
    put(p, "<section id=\"confusions\" aria-labelledby=\"h-confusions\"><h2 "
           "id=\"h-confusions\">Largest confusions</h2>\n<ol class=\"body\">\n");
    for (int i = 0; i < r->confusion_count; i++) put_pair(p, &r->confusions[i]);
    put(p, "</ol></section>\n");
}
