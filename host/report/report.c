/* report.c - turtle_report: what a run found becomes one HTML file. */
#include "host/report/report.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "host/report/gather.h"
#include "host/tell/clock.h"
#include "host/tell/common.h"
#include "host/tell/locale.h"
#include "host/tell/notify.h"
#include "io/files/file.h"

void turtle_report_defaults(TurtleReportOptions *o) {
    *o = (TurtleReportOptions){.common = common_defaults(), .max_size = 20.0};
}

void turtle_report_result_free(TurtleReportResult *r) {
    if (!r) return;
    free(r->path);
    free(r->json);
    *r = (TurtleReportResult){0};
}

/* Writes the page, and again with less in it while it is too large. */
static Status write_page(Report *report, const TurtleReportOptions *o, const char *path,
                         int64_t *bytes, Error *err) {
    const int64_t most = (int64_t)(o->max_size * 1e6);
    for (;;) {
        struct stat s;
        const Status st = report_page_write(report, path, err);
        if (st != OK) return st;
        *bytes = stat(path, &s) == 0 && S_ISREG(s.st_mode) ? (int64_t)s.st_size : 0;
        if (*bytes <= most) return OK;
        if (!report_shrink(report, *bytes - most)) {
            notice(&o->common.hooks,
                   "report: %s takes %lld bytes, and nothing is left to leave out", path,
                   (long long)*bytes);
            return OK;
        }
    }
}

static char *report_json(const TurtleReportOptions *o, const Report *report,
                         const TurtleReportResult *r) {
    Json j = {0};
    json_open(&j, NULL);
    json_common(&j, "report", &o->common, "cpu", "fp32");
    json_real(&j, "seconds", r->seconds);
    json_text(&j, "report", r->path);
    json_integer(&j, "bytes", r->bytes);
    json_integer(&j, "samples", r->samples);
    json_integer(&j, "classes", r->classes);
    json_integer(&j, "pictures", r->pictures);
    json_integer(&j, "damaged", r->damaged);
    json_open_array(&j, "runs");
    for (int i = 0; i < report->run_count; i++) json_text(&j, NULL, report->runs[i].directory);
    json_close_array(&j);
    json_open_array(&j, "notices");
    for (int i = 0; i < report->notice_count; i++) json_text(&j, NULL, report->notices[i]);
    json_close_array(&j);
    json_close(&j);
    return json_take(&j);
}

/* Any other name may be that of a run's own file, which the page would replace. */
static Status check_out(const char *path, Error *err) {
    const char *end = strrchr(path, '.');
    const Status st = file_check_output(path, err);
    if (st != OK || (end && (strcmp(end, ".html") == 0 || strcmp(end, ".htm") == 0))) return st;
    return fail(err, ERR_ARG, "report: --out %s: expected a name that ends in .html", path);
}

Status turtle_report(const TurtleReportOptions *o, TurtleReportResult *out, Error *err) {
    PLAIN_LOCALE;
    const double started = now_seconds();
    Report report = {0};
    *out = (TurtleReportResult){0};
    Status st = o->out ? check_out(o->out, err) : OK;
    if (st == OK) st = report_gather(o, &report, err);
    if (st != OK) return st;
    out->path = o->out ? format_text("%s", o->out)
                       : format_text("%s/report.html", report.runs[0].directory);
    st = out->path ? write_page(&report, o, out->path, &out->bytes, err)
                   : fail(err, ERR_MEMORY, "report: out of memory");
    if (st == OK) {
        for (int i = 0; i < report.notice_count; i++)
            notice(&o->common.hooks, "report: %s", report.notices[i]);
        for (int64_t c = 0; c < report.classes; c++) out->samples += report.clusters[c].size;
        for (int64_t i = 0; i < report.sample_count; i++) {
            out->pictures += report.samples[i].picture.size > 0;
            out->damaged += report.samples[i].damaged;
        }
        out->classes = report.classes;
        out->seconds = now_seconds() - started;
        out->json = report_json(o, &report, out);
        if (!out->json) st = fail(err, ERR_MEMORY, "report: out of memory");
    }
    report_free(&report);
    if (st != OK) turtle_report_result_free(out);
    return st;
}
