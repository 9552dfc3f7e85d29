/* page_charts.c - lines over a horizontal axis, in SVG: the curves of a training, the scores of a sweep. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "host/report/page.h"

/* Places in the SVG's own units; a chart is about 420 pixels wide on a large screen. */
enum { WIDTH = 420, HEIGHT = 190, LEFT = 46, RIGHT = 408, TOP = 12, BOTTOM = 160 };

typedef struct {
    double least, most, step; /* of the axis, in round numbers */
} Axis;

/* Returns an axis of 2 to 5 steps of 1, 2 or 5 times a power of ten that holds least..most. */
static Axis axis_of(double least, double most, bool whole) {
    if (!(most > least)) {
        const double around = least == 0.0 ? 1.0 : 0.1 * fabs(least);
        least -= around;
        most += around;
    }
    const double raw = (most - least) / 4.0, power = pow(10.0, floor(log10(raw)));
    double step = raw / power <= 1.0   ? power
                  : raw / power <= 2.0 ? 2.0 * power
                  : raw / power <= 5.0 ? 5.0 * power
                                       : 10.0 * power;
    if (whole && step < 1.0) step = 1.0;
    return (Axis){floor(least / step + 1e-9) * step, ceil(most / step - 1e-9) * step, step};
}

static int decimals_of(double step) {
    int n = 0;
    while (n < 6 && fabs(step - round(step)) > 1e-6 * step) {
        step *= 10.0;
        n++;
    }
    return n;
}

/* Writes a value of the vertical axis. */
static void put_tick(Page *p, const Chart *c, double value, double step) {
    if (c->share) put(p, "%.*f\xe2\x80\xaf%%", decimals_of(100.0 * step), 100.0 * value);
    else put(p, "%.*f", decimals_of(step), value);
}

static double place(double value, const Axis *a, double from, double to) {
    return from + (value - a->least) / (a->most - a->least) * (to - from);
}

static void put_axes(Page *p, const Chart *c, const Axis *x, const Axis *y) {
    const int64_t steps = llround((y->most - y->least) / y->step);
    for (int64_t i = 0; i <= steps && i < 20; i++) {
        const double value = y->least + (double)i * y->step, at = place(value, y, BOTTOM, TOP);
        put(p,
            "<path class=\"grid\" d=\"M%d %.1fH%d\"/><text x=\"%d\" y=\"%.1f\" "
            "text-anchor=\"end\">",
            LEFT, at, RIGHT, LEFT - 8, at + 4.0);
        put_tick(p, c, fabs(value) < 1e-9 * y->step ? 0.0 : value, y->step);
        put(p, "</text>");
    }
    const Axis ticks = axis_of(x->least, x->most, true);
    const double from = ceil(x->least / ticks.step - 1e-9) * ticks.step;
    const int64_t count = llround(floor((x->most - from) / ticks.step + 1e-9));
    for (int64_t i = 0; i <= count && i < 20; i++) {
        const double value = from + (double)i * ticks.step;
        put(p, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.0f</text>",
            place(value, x, LEFT, RIGHT), BOTTOM + 18, value);
    }
    put(p, "<path class=\"axis\" d=\"M%d %dH%d\"/>", LEFT, BOTTOM, RIGHT);
}

static void put_line(Page *p, const Chart *c, const Axis *x, const Axis *y) {
    bool pen = false;
    put(p, "<path class=\"curve\" d=\"");
    for (int64_t i = 0; i < c->count; i++) {
        if (!isfinite(c->y[i])) continue;
        put(p, "%c%.1f %.1f", pen ? 'L' : 'M', place(c->x[i], x, LEFT, RIGHT),
            place(c->y[i], y, BOTTOM, TOP));
        pen = true;
    }
    put(p, "\"/>");
    int64_t known = 0;
    for (int64_t i = 0; i < c->count; i++) known += isfinite(c->y[i]) != 0;
    for (int64_t i = 0; i < c->count && (c->dots || known == 1); i++)
        if (isfinite(c->y[i]))
            put(p, "<circle class=\"dot\" r=\"4\" cx=\"%.1f\" cy=\"%.1f\"/>",
                place(c->x[i], x, LEFT, RIGHT), place(c->y[i], y, BOTTOM, TOP));
}

/* Writes "0.034 at 1000": a value where it was. */
static void put_value(Page *p, const Chart *c, int64_t i) {
    if (c->share) put_percent(p, c->y[i]);
    else put(p, "%.*f", c->whole ? 0 : 4, c->y[i]);
    put(p, " at %.0f", c->x[i]);
}

void put_chart(Page *p, const Chart *c) {
    double least = INFINITY, most = -INFINITY;
    int64_t first = -1, last = -1;
    for (int64_t i = 0; i < c->count; i++) {
        if (!isfinite(c->y[i])) continue;
        least = fmin(least, c->y[i]);
        most = fmax(most, c->y[i]);
        if (first < 0) first = i;
        last = i;
    }
    put(p, "<figure class=\"chart%s\"><figcaption><b>%s</b> ", c->dots ? " single" : "", c->title);
    if (first < 0) {
        put(p, "<span class=\"muted\">was not recorded</span></figcaption></figure>\n");
        return;
    }
    put(p, "<output class=\"muted\">");
    if (isfinite(c->mark)) put(p, "%.0f is recommended", c->mark);
    else put_value(p, c, last);
    put(p, "</output></figcaption>");
    const Axis y = axis_of(least, most, c->whole);
    const double from = c->x[0], to = c->x[c->count - 1] > from ? c->x[c->count - 1] : from + 1.0;
    const Axis x = {from, to, 1.0};
    put(p, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s over %s: ", WIDTH, HEIGHT,
        c->title, c->unit);
    put_value(p, c, first);
    put(p, ", ");
    put_value(p, c, last);
    if (isfinite(c->mark)) put(p, "; %.0f is recommended", c->mark);
    put(p, "\"");
    if (c->key)
        put(p, " tabindex=\"0\" data-curve=\"%s\" data-span=\"%d %d %.10g %.10g\"", c->key, LEFT,
            RIGHT, from, to);
    put(p, ">");
    put_axes(p, c, &x, &y);
    if (isfinite(c->mark) && c->mark >= from && c->mark <= to) {
        const double at = place(c->mark, &x, LEFT, RIGHT);
        put(p,
            "<path class=\"mark\" d=\"M%.1f %dV%d\"/><text class=\"said\" x=\"%.1f\" y=\"%d\" "
            "text-anchor=\"%s\">%.0f classes</text>",
            at, TOP, BOTTOM, at + (at > RIGHT - 90 ? -6 : 6), TOP + 4,
            at > RIGHT - 90 ? "end" : "start", c->mark);
    }
    put_line(p, c, &x, &y);
    if (c->key)
        put(p,
            "<line class=\"cross\" y1=\"%d\" y2=\"%d\" x1=\"0\" x2=\"0\" visibility=\"hidden\"/>",
            TOP, BOTTOM);
    put(p, "</svg></figure>\n");
}

bool page_has_curves(const Report *r) {
    return r->point_count > 0;
}

void page_curves(Page *p) {
    const Report *r = p->report;
    if (!page_has_curves(r)) return;
    const int64_t n = r->point_count;
    double *x = malloc(2 * (size_t)n * sizeof *x), *y = x ? x + n : NULL;
    put(p,
        "<section id=\"curves\" aria-labelledby=\"h-curves\"><h2 id=\"h-curves\">Training</h2>\n"
        "<p class=\"hint\">The values over the iterations%s. Arrow keys or the pointer read a "
        "curve.</p>\n<div class=\"body charts\">\n",
        r->run_count > 1 ? " of the first run" : "");
    for (int which = 0; which < 4 && x; which++) {
        static const char *const title[] = {"Loss", "Entropy", "Clusters found",
                                            "Cluster accuracy"};
        static const char *const key[] = {"loss", "entropy", "found", "accuracy"};
        for (int64_t i = 0; i < n; i++) {
            const ReportPoint *point = &r->points[i];
            x[i] = (double)point->iteration;
            y[i] = which == 0   ? point->loss
                   : which == 1 ? point->entropy
                   : which == 2
                       ? (point->clusters_found < 0 ? (double)NAN : (double)point->clusters_found)
                       : point->accuracy;
        }
        put_chart(p, &(Chart){.id = key[which],
                              .title = title[which],
                              .key = key[which],
                              .unit = "iterations",
                              .x = x,
                              .y = y,
                              .count = n,
                              .share = which == 3,
                              .whole = which == 2,
                              .mark = NAN});
    }
    put(p, "</div></section>\n");
    p->failed |= !x;
    free(x);
}
