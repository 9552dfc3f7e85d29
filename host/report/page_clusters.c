/* page_clusters.c - every cluster as a card, the doubtful samples of the whole run, the form that names clusters. */
#include <inttypes.h>
#include <math.h>

#include "host/report/page.h"

/* Returns true if a sample of the page has a picture, or had one that could not be read. */
static bool has_pictures(const Report *r) {
    for (int64_t i = 0; i < r->sample_count; i++)
        if (r->samples[i].picture.size || r->samples[i].damaged) return true;
    return false;
}

/* Writes some samples of a cluster: pictures, or lines where the run has features alone. */
static void put_samples(Page *p, const char *title, const int64_t *samples, int count,
                        bool pictures) {
    if (count == 0) return;
    put(p, "<h4>%s</h4><ul class=\"%s\">", title, pictures ? "thumbs" : "rows");
    for (int i = 0; i < count; i++) {
        const ReportSample *s = &p->report->samples[samples[i]];
        put(p, "<li>");
        if (pictures) put_picture(p, samples[i]);
        else {
            put(p, "<bdi>");
            put_sample_text(p, s);
            put(p, "</bdi>");
            if (isfinite(s->confidence))
                put(p, " <span class=\"muted\">%.3f</span>", (double)s->confidence);
        }
        put(p, "</li>");
    }
    put(p, "</ul>\n");
}

/* Writes "812 samples, confidence 0.982, 99.10 % are label 7". */
static void put_facts(Page *p, const ReportCluster *c) {
    put(p, "<p class=\"meta\">");
    put_count(p, c->size);
    put(p, c->size == 1 ? " sample" : " samples");
    if (isfinite(c->mean_confidence)) put(p, ", mean confidence %.3f", c->mean_confidence);
    if (c->matched_label >= 0 && isfinite(c->accuracy)) {
        put(p, "; ");
        put_percent(p, c->accuracy);
        put(p, " have label <bdi>");
        put_label_text(p, c->matched_label);
        put(p, "</bdi>");
    }
    put(p, "</p>");
    if (c->runner_up) {
        put(p, "<p class=\"meta\">The next best name is ");
        put_name(p, c->runner_up);
        put(p, ".</p>");
    }
}

static void put_naming(Page *p, int64_t i) {
    const char *name = p->report->clusters[i].name; /* "": the cluster is left out */
    put(p,
        "<div class=\"naming screen\"><label for=\"n%" PRId64
        "\"><span>Name<span class=\"hidden\"> of cluster %" PRId64
        "</span></span> <input type=\"text\" id=\"n%" PRId64
        "\" form=\"names-form\" autocomplete=\"off\" spellcheck=\"false\" "
        "dir=\"auto\" data-cluster=\"%" PRId64 "\" placeholder=\"cluster %" PRId64 "\" value=\"",
        i, i, i, i, i);
    put_field_text(p, name);
    put(p,
        "\"></label> <label><input type=\"checkbox\" form=\"names-form\" data-leave=\"%" PRId64
        "\"%s>leave out<span class=\"hidden\"> cluster %" PRId64 "</span></label></div>\n",
        i, name && !*name ? " checked" : "", i);
}

static void put_card(Page *p, int64_t i, int64_t largest, bool pictures) {
    const ReportCluster *c = &p->report->clusters[i];
    put(p,
        "<article class=\"card\" id=\"c%" PRId64 "\" aria-labelledby=\"t%" PRId64
        "\" data-cluster=\"%" PRId64 "\" data-size=\"%" PRId64 "\"",
        i, i, i, c->size);
    if (isfinite(c->mean_confidence)) put(p, " data-confidence=\"%.6f\"", c->mean_confidence);
    if (isfinite(c->accuracy)) put(p, " data-accuracy=\"%.6f\"", c->accuracy);
    put(p, ">\n<h3 id=\"t%" PRId64 "\">", i);
    put_chip(p, i);
    put(p, " <bdi>");
    put_cluster_text(p, i);
    put(p,
        "</bdi></h3>\n<svg class=\"bar\" viewBox=\"0 0 100 5\" preserveAspectRatio=\"none\" "
        "aria-hidden=\"true\"><rect width=\"100\" height=\"5\"/>"
        "<rect width=\"%.1f\" height=\"5\"/></svg>\n",
        largest > 0 ? 100.0 * (double)c->size / (double)largest : 0.0);
    put_facts(p, c);
    put_samples(p, "Most confident", c->typical, c->typical_count, pictures);
    put_samples(p, "Most doubtful", c->doubtful, c->doubtful_count, pictures);
    put_naming(p, i);
    if (c->names_count > 0) {
        put(p, "<details data-names=\"%" PRId64 "\"><summary>", i);
        if (c->names_count < c->size) {
            put(p, "The ");
            put_count(p, c->names_count);
            put(p, " most confident of ");
            put_count(p, c->size);
            put(p, " names");
        } else {
            put(p, "All ");
            put_count(p, c->names_count);
            put(p, c->names_count == 1 ? " name" : " names");
        }
        put(p,
            "</summary><ol class=\"names\" tabindex=\"0\" aria-label=\"Names of cluster %" PRId64
            ", most confident first\"></ol></details>\n",
            i);
    }
    put(p, "</article>\n");
}

void page_clusters(Page *p) {
    const Report *r = p->report;
    const bool pictures = has_pictures(r);
    int64_t largest = 0, names = 0;
    bool accuracy = false;
    for (int64_t i = 0; i < r->classes; i++) {
        if (r->clusters[i].size > largest) largest = r->clusters[i].size;
        names += r->clusters[i].names_count;
        accuracy |= isfinite(r->clusters[i].accuracy);
    }
    put(p,
        "<section id=\"clusters\" aria-labelledby=\"h-clusters\"><h2 "
        "id=\"h-clusters\">Clusters</h2>\n<p class=\"hint\">The bar compares a "
        "cluster's size with the largest. Doubtful samples are those whose two most probable "
        "clusters are nearly as "
        "probable.</p>\n<div class=\"body\"><div class=\"tools\"><label>Order <select "
        "id=\"order\"><option value=\"cluster\">by number"
        "</option><option value=\"size\">largest first</option><option value=\"confidence\">least "
        "confident first</option>%s"
        "</select></label>",
        accuracy ? "<option value=\"accuracy\">least accurate first</option>" : "");
    if (names > 0)
        put(p, " <label>Find a name <input type=\"search\" id=\"find\" autocomplete=\"off\" "
               "spellcheck=\"false\"></label>");
    put(p, "</div>\n<ul class=\"found\" id=\"found\" aria-live=\"polite\"></ul>\n<div "
           "class=\"cards\" id=\"cards\">\n");
    for (int64_t i = 0; i < r->classes; i++) put_card(p, i, largest, pictures);
    put(p, "</div></div></section>\n");
}

/* Writes the two clusters that a sample lies between, with both probabilities. */
static void put_between(Page *p, const ReportSample *s) {
    put(p, "<span class=\"between\">");
    put_chip(p, s->cluster);
    if (s->second >= 0) {
        put(p, " or ");
        put_chip(p, s->second);
    }
    put(p, "</span>");
    if (isfinite(s->confidence)) put(p, "%.2f", (double)s->confidence);
    if (isfinite(s->confidence) && isfinite(s->margin) && s->second >= 0)
        put(p, " to %.2f", fmax(0.0, (double)s->confidence - (double)s->margin));
}

void page_doubtful(Page *p) {
    const Report *r = p->report;
    if (r->doubtful_count == 0) return;
    const bool pictures = has_pictures(r);
    put(p, "<section id=\"doubtful\" aria-labelledby=\"h-doubtful\"><h2 id=\"h-doubtful\">Doubtful "
           "samples</h2>\n<p class=\"hint\">These lie "
           "between two clusters; the numbers are the probabilities of both.</p>\n<div "
           "class=\"body pairs\">\n");
    for (int i = 0; i < r->doubtful_count; i++) {
        const ReportSample *s = &r->samples[r->doubtful[i]];
        put(p, "<figure>");
        if (pictures) put_picture(p, r->doubtful[i]);
        put(p, "<figcaption>");
        put_between(p, s);
        if (s->label >= 0) {
            put(p, "<br>label <bdi>");
            put_label_text(p, s->label);
            put(p, "</bdi>");
        }
        put(p, "<br><span class=\"muted\"><bdi>");
        put_sample_text(p, s);
        put(p, "</bdi>");
        put(p, "</span></figcaption></figure>\n");
    }
    put(p, "</div></section>\n");
}

void page_naming(Page *p) {
    put(p, "<section id=\"names\" aria-labelledby=\"h-names\"><h2 id=\"h-names\">Names for the "
           "clusters</h2>\n<p class=\"hint\">Each card above has "
           "a field for the cluster's name. This form makes the file for "
           "<code>--cluster_names</code>: its lines hold a number, a tab "
           "and a name. Clusters of one name become one, a cluster without a name keeps its "
           "number. Nothing leaves this "
           "computer.</p>\n<form id=\"names-form\" class=\"body\"><p class=\"row\"><button "
           "class=\"main\" type=\"submit\">"
           "Download cluster_names.tsv</button> <output id=\"names-said\" "
           "class=\"muted\"></output></p><details><summary>Show the file"
           "</summary><label class=\"hidden\" for=\"names-text\">Lines of the "
           "file</label><textarea id=\"names-text\" readonly "
           "spellcheck=\"false\"></textarea></details></form></section>\n");
}
