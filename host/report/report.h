/* report.h - everything that the page of a run shows, gathered before a byte of it is written.
 *
 * report_gather reads run directories, features, labels and pictures; report_page_write only lays out.
 * Samples that the page shows stand once in `samples`; all other places hold indices into that array.
 * Texts come from files and are hostile: they may be no UTF-8 and hold any markup. The page escapes them.
 */
#ifndef TURTLE_HOST_REPORT_REPORT_H
#define TURTLE_HOST_REPORT_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/turtle.h"
#include "io/status.h"

enum {
    REPORT_NAMES = 2000,     /* names of a cluster that the page lists */
    REPORT_POINTS = 600,     /* points of the curves over iterations */
    REPORT_SCATTER = 1000,   /* samples that the plane shows */
    REPORT_NAME_BYTES = 1024 /* bytes of a name that the page shows; the CSV has the rest */
};

typedef struct {
    unsigned char *bytes; /* (size) a JPEG; NULL: there is no picture */
    size_t size;
    int width, height;
} ReportPicture;

typedef struct {
    int64_t row;      /* row in the split */
    const char *name; /* path, file#index or line of a list; NULL: the row is all that is known */
    int64_t cluster, second; /* the found cluster and the next probable one; -1: unknown */
    int64_t label;           /* number of the true class; -1: unknown */
    float confidence, margin;
    float x, y;            /* coordinates in the plane, -1 .. 1; NaN: not in it */
    ReportPicture picture; /* thumbnail, or none */
    bool damaged;          /* there is a picture, and it could not be read */
} ReportSample;

typedef struct {
    int64_t size;
    double mean_confidence;       /* NaN for an empty cluster */
    const char *name, *runner_up; /* NULL: unknown; name "": the user leaves the cluster out */
    int64_t matched_label;        /* class that the matching gives it; -1: none */
    double
        accuracy; /* share of its labelled samples that have the matched class; NaN: none is labelled */
    const int64_t *typical,
        *doubtful; /* (…_count) samples: most confident first, least margin first */
    int typical_count, doubtful_count;
    const char *const *names;      /* (names_count) names of its samples, most confident first */
    const float *names_confidence; /* (names_count) */
    int64_t names_count; /* at most REPORT_NAMES; the predictions' CSV has all `size` of them */
} ReportCluster;

/* One line of log.jsonl; NaN and -1 where unknown. */
typedef struct {
    int64_t iteration;
    double loss, entropy;
    int64_t clusters_found;
    double accuracy;
} ReportPoint;

/* Samples of one class that lie in a cluster which is matched with another one. */
typedef struct {
    int64_t cluster, label, count;
    const int64_t *samples; /* (samples_count) examples, most confident first */
    int samples_count;
} ReportConfusion;

/* A row of the table of runs and baselines; NaN and -1 where unknown. */
typedef struct {
    const char *title, *directory; /* directory of the run, or file of a baseline's predictions */
    double cluster_acc, mean_class_acc, nmi, ari, generalization_score, loss, seconds;
    int64_t clusters_found;
} ReportRun;

typedef struct {
    const char *name, *value;
} ReportFact;

/* A number of classes that a sweep tried. */
typedef struct {
    int64_t classes;
    double score; /* mean generalisation score */
    bool recommended;
} ReportSweepPoint;

/* These counts say what a page lacks because it would be too large. */
typedef struct {
    int64_t names, pictures, samples;
    int line; /* 1 + the notice that says so; 0: nothing is left out */
} ReportLeftOut;

/* All pointers are owned by `memory` but for the arrays of pictures' bytes; report_free frees all. */
typedef struct {
    const char *title;
    const ReportFact *facts; /* (fact_count) what was run, in the order to be shown */
    int fact_count;
    ReportRun *runs; /* (run_count) the reported run first */
    int run_count;
    double
        *agreement; /* (run_count,run_count) ARI of their clusters; NaN: other samples; or NULL */
    ReportPoint *points; /* (point_count) of the reported run */
    int64_t point_count;
    ReportSample *samples; /* (sample_count) */
    int64_t sample_count;
    ReportCluster *clusters; /* (classes) */
    int64_t classes;
    const char *const *class_names; /* (label_count) names of the true classes; or NULL */
    int64_t label_count;            /* number of true classes; 0: no label is known */
    int64_t *doubtful;              /* (doubtful_count) samples of least margin of the whole run */
    int doubtful_count;
    int64_t *confusion; /* (classes,label_count) samples of each cluster and class; or NULL */
    ReportConfusion *confusions; /* (confusion_count) the largest */
    int confusion_count;
    int64_t *scatter; /* (scatter_count) samples in the plane */
    int scatter_count;
    double variance[2];      /* shares of the variance that the plane's axes explain */
    ReportSweepPoint *sweep; /* (sweep_count) ascending; 0: no sweep */
    int sweep_count;
    const char *const *notices; /* (notice_count) lines to show: what is missing, and why */
    int notice_count;
    int name_most; /* bytes of a sample's name that are shown */
    ReportLeftOut left_out;
    struct ReportMemory *memory; /* private to report_gather */
} Report;

/* Gathers what the page shows. Missing and unfinished run directories are ERR_ARG, with what to do.
 * Memory follows the samples that are shown, plus 40 bytes for each sample of the split. On failure
 * *out is zeroed. */
Status report_gather(const TurtleReportOptions *options, Report *out, Error *err);
void report_free(Report *report); /* NULL and twice are fine */

/* Writes the page as one HTML file that needs no other, whole or not at all. */
Status report_page_write(const Report *report, const char *path, Error *err);

#endif
