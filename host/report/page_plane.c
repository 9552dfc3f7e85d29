/* page_plane.c - the features in two dimensions: a dot for each sample, coloured by its cluster or its label. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "host/report/page.h"

enum { SIDE = 640, EDGE = 18 }; /* of the SVG, in its own units */

bool page_has_plane(const Report *r) {
    return r->scatter_count > 0;
}

static double across(float x) {
    return EDGE + 0.5 * (1.0 + (double)x) * (SIDE - 2 * EDGE);
}
static double down(float y) {
    return SIDE - across(y);
}

static int by_value(const void *a, const void *b) {
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Writes the number or name of a group at the median of its dots. */
static void put_group(Page *p, int64_t group, bool labels, float *xs, float *ys) {
    const Report *r = p->report;
    int n = 0;
    for (int i = 0; i < r->scatter_count; i++) {
        const ReportSample *s = &r->samples[r->scatter[i]];
        if ((labels ? s->label : s->cluster) != group || !isfinite(s->x) || !isfinite(s->y))
            continue;
        xs[n] = s->x;
        ys[n++] = s->y;
    }
    if (n == 0) return;
    qsort(xs, (size_t)n, sizeof *xs, by_value);
    qsort(ys, (size_t)n, sizeof *ys, by_value);
    put(p, "<text class=\"for-%s\" x=\"%.0f\" y=\"%.0f\">", labels ? "label" : "cluster",
        across(xs[n / 2]), down(ys[n / 2]) + 5.0);
    if (labels) put_label_text(p, group);
    else if (r->clusters[group].name && *r->clusters[group].name)
        put_text(p, r->clusters[group].name);
    else put(p, "%" PRId64, group);
    put(p, "</text>");
}

void page_plane(Page *p) {
    const Report *r = p->report;
    if (!page_has_plane(r)) return;
    bool labels = false;
    int64_t most = -1;
    for (int i = 0; i < r->scatter_count; i++) {
        const int64_t label = r->samples[r->scatter[i]].label;
        labels |= label >= 0;
        if (label > most) most = label;
    }
    put(p, "<section id=\"plane\" aria-labelledby=\"h-plane\"><h2 id=\"h-plane\">Features in two "
           "dimensions</h2>\n<p class=\"hint\">");
    put_count(p, r->scatter_count);
    put(p, " samples on the first two principal components");
    if (isfinite(r->variance[0]) && isfinite(r->variance[1]))
        put(p, ", which hold %.1f and %.1f per cent of the variance", 100.0 * r->variance[0],
            100.0 * r->variance[1]);
    put(p,
        ".%s The pointer or the arrow keys show a sample.</p>\n<div class=\"body\"><div "
        "class=\"tools\">",
        r->classes > COLOURS ? " Colours repeat: choose a group to see it alone." : "");
    if (labels)
        put(p, "<fieldset><legend>Colour by</legend><label><input type=\"radio\" name=\"colour\" "
               "value=\"cluster\" checked>cluster</label>"
               "<label><input type=\"radio\" name=\"colour\" "
               "value=\"label\">label</label></fieldset>");
    put(p,
        "<label>Show <select id=\"only\"><option "
        "value=\"\">all</option></select></label></div>\n<div class=\"plot\"><svg id=\"plot\" "
        "class=\"by-cluster\" viewBox=\"0 0 %d %d\" tabindex=\"0\" role=\"img\" "
        "aria-label=\"Scatter plot of %d samples, coloured by "
        "cluster\">\n",
        SIDE, SIDE, r->scatter_count);
    for (int i = 0; i < r->scatter_count; i++) {
        const ReportSample *s = &r->samples[r->scatter[i]];
        const bool there = isfinite(s->x) && isfinite(s->y);
        put(p, "<circle class=\"d");
        if (s->cluster >= 0) put(p, " c%d", (int)(s->cluster % COLOURS));
        if (s->label >= 0) put(p, " t%d", (int)(s->label % COLOURS));
        put(p, "\" cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"/>\n", there ? across(s->x) : -9.0,
            there ? down(s->y) : -9.0,
            !there                    ? 0.0
            : r->scatter_count > 1500 ? 2.6
                                      : 3.6);
    }
    float *xs = malloc(2 * (size_t)r->scatter_count * sizeof *xs);
    for (int64_t g = 0; xs && g < r->classes && r->classes <= LEGEND_MOST; g++)
        put_group(p, g, false, xs, xs + r->scatter_count);
    for (int64_t g = 0; xs && g <= most && most < LEGEND_MOST; g++)
        put_group(p, g, true, xs, xs + r->scatter_count);
    p->failed |= !xs;
    free(xs);
    put(p, "<circle class=\"picked\" r=\"8\" cx=\"0\" cy=\"0\" visibility=\"hidden\"/></svg>\n<div "
           "class=\"point\" id=\"point\" aria-live=\"polite\">"
           "<p class=\"muted\">A sample's picture and name appear "
           "here.</p></div></div></div></section>\n");
}
