/* page.c - the report as one HTML file: its head with the policy, its sections in order, the style and the script. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/report/page.h"
#include "io/files/embedded.h"
#include "io/files/file.h"
#include "io/files/sha256.h"

/* Writes 'sha256-…' of a text, as a Content-Security-Policy names what may run. */
static void put_hash(Page *p, const Embedded *text) {
    char hex[SHA256_HEX + 1];
    unsigned char digest[SHA256_HEX / 2];
    sha256_hex(hex, text->data, text->bytes);
    for (int i = 0; i < SHA256_HEX / 2; i++) {
        const char two[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        digest[i] = (unsigned char)strtoul(two, NULL, 16);
    }
    put(p, "'sha256-");
    put_base64(p, digest, sizeof digest);
    put(p, "'");
}

static void put_embedded(Page *p, const Embedded *text) {
    fwrite(text->data, 1, (size_t)text->bytes, p->to);
}

/* The policy stands before all that it rules. */
static void put_head(Page *p) {
    put(p, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta "
           "http-equiv=\"Content-Security-Policy\" content=\""
           "default-src 'none'; img-src data:; style-src ");
    put_hash(p, &embedded_page_css);
    put(p, "; script-src ");
    put_hash(p, &embedded_page_js);
    put(p, "; base-uri 'none'; form-action 'none'\">\n<meta name=\"viewport\" "
           "content=\"width=device-width, initial-scale=1\">\n"
           "<meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" "
           "content=\"no-referrer\">\n<title>");
    put_text(p, p->report->title);
    put(p, " – turtle report</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>");
    put_embedded(p, &embedded_page_css);
    put(p, "</style>\n</head>\n");
}

static void put_link(Page *p, const char *id, const char *title, bool there) {
    if (there) put(p, "<li><a href=\"#%s\">%s</a></li>", id, title);
}

static void put_contents(Page *p) {
    const Report *r = p->report;
    put(p, "<nav class=\"toc\" aria-label=\"Sections\"><ol>");
    put_link(p, "run", "What was run", true);
    put_link(p, "curves", "Training", page_has_curves(r));
    put_link(p, "clusters", "Clusters", true);
    put_link(p, "doubtful", "Doubtful samples", r->doubtful_count > 0);
    put_link(p, "confusion", "Clusters and labels", page_has_confusion(r));
    put_link(p, "confusions", "Largest confusions",
             page_has_confusion(r) && r->confusion_count > 0);
    put_link(p, "plane", "Two dimensions", page_has_plane(r));
    put_link(p, "runs", "Runs", page_has_runs(r));
    put_link(p, "sweep", "How many classes", page_has_sweep(r));
    put_link(p, "names", "Names", true);
    put(p, "</ol></nav>\n");
}

static Status put_page(Page *p, Error *err) {
    put_head(p);
    put(p, "<body>\n<a class=\"skip\" href=\"#main\">Skip to the report</a>\n<div "
           "class=\"frame\">\n<header class=\"top\"><p class=\"brand\">turtle report"
           "</p><h1>");
    put_name(p, p->report->title);
    put(p, "</h1></header>\n");
    put_contents(p);
    put(p,
        "<main id=\"main\">\n<noscript><p class=\"hint\">Scripts are off: full lists of names, the "
        "zoom of large matrices and the form for names need them. All else is "
        "here.</p></noscript>\n");
    page_run(p);
    page_curves(p);
    page_clusters(p);
    page_doubtful(p);
    page_confusion(p);
    page_plane(p);
    page_runs(p);
    page_sweep(p);
    page_naming(p);
    put(p, "</main>\n<footer>This file is complete in itself: it loads nothing and sends "
           "nothing.</footer>\n</div>\n"
           "<script type=\"application/json\" id=\"data\">");
    const Status st = page_data(p, err);
    put(p, "</script>\n<script>");
    put_embedded(p, &embedded_page_js);
    put(p, "</script>\n</body>\n</html>\n");
    if (st != OK) return st;
    return p->failed ? fail(err, ERR_MEMORY, "report: out of memory for the page") : OK;
}

Status report_page_write(const Report *report, const char *path, Error *err) {
    AtomicFile file = {0};
    Page page = {.report = report};
    page.shown = calloc((size_t)report->sample_count + 1, sizeof *page.shown);
    if (!page.shown)
        return fail(err, ERR_MEMORY, "report: out of memory for %lld samples",
                    (long long)report->sample_count);
    Status st = atomic_open(&file, path, err);
    if (st != OK) goto out;
    page.to = file.stream;
    st = put_page(&page, err);
    if (st == OK) st = atomic_commit(&file, err);
    atomic_abort(&file);
out:
    free(page.shown);
    return st;
}
