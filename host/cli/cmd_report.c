/* cmd_report.c - the command `report`. */
#include "host/cli/command.h"

#define FIELD(name) offsetof(TurtleReportOptions, name)
static const Flag report_flags[] = {
    {"run", FLAG_TEXTS, FIELD(runs), "DIR...",
     "directories of runs or of a sweep, and files of predictions to compare"},
    {"dataset", FLAG_TEXT, FIELD(inputs.dataset), "NAME", "or: newest run of this data set"},
    {"phis", FLAG_TEXTS, FIELD(inputs.phis), "P...", "its representation spaces"},
    {"out", FLAG_TEXT, FIELD(out), "FILE.html",
     "the page; else report.html in the run's directory"},
    {"cluster_names", FLAG_TEXT, FIELD(cluster_names), "FILE", "lines cluster<TAB>name"},
    {"max_size", FLAG_REAL, FIELD(max_size), "MB", "the page stays below, with fewer pictures"},
    {0}};

static Status run_report(int argc, char **argv, CommandFlags *flags, Error *err) {
    TurtleReportOptions options;
    TurtleReportResult r;
    turtle_report_defaults(&options);
    const FlagTable tables[] = {{"Report", report_flags, &options},
                                {"Common", common_flags, &options.common},
                                {"Output", command_flags, flags}};
    Status st = command_parse(&command_report, tables, 3, argc, argv, flags, NULL, err);
    if (st == OK && !flags->help) {
        command_hooks(&options.common, flags);
        st = turtle_report(&options, &r, err);
        command_hooks_end();
        if (st == OK && flags->json) puts(r.json);
        else if (st == OK)
            printf("%lld samples in %lld clusters, %lld pictures, %.2f MB in %.1f s\n%s\n",
                   (long long)r.samples, (long long)r.classes, (long long)r.pictures,
                   (double)r.bytes / 1e6, r.seconds, r.path);
        if (st == OK) turtle_report_result_free(&r);
    }
    flags_free(tables, 3);
    return st;
}

const Command command_report = {
    "report", "one HTML page of a run or several: clusters with pictures, curves, doubts",
    "--run DIR... | --dataset NAME --phis P... [--out FILE.html] [flags]", run_report,
    "device precision seed"};
