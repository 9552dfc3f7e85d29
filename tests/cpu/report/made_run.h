/* made_run.h - a finished run directory made by hand, small enough to know what a report of it must say. */
#ifndef TURTLE_TESTS_REPORT_MADE_RUN_H
#define TURTLE_TESTS_REPORT_MADE_RUN_H

#include "host/report/report.h"
#include "host/train/checkpoint.h"
#include "tests/support/check.h"

enum { RUN_N = 90, RUN_C = 3, RUN_K = 2, RUN_D = 4 };

/* Soft labels follow from features and checkpoint as Eq. 9 says, computed here in float64. */
typedef struct {
    char *folder; /* temporary; <folder>/root is a root_dir, <folder>/root/run the run directory */
    char *run;    /* the run directory */
    char *pictures; /* folder of the pictures */
    float Z[RUN_K][RUN_N][RUN_D];
    double soft[RUN_N][RUN_C];
    int64_t cluster[RUN_N], second[RUN_N], label[RUN_N];
    double confidence[RUN_N], margin[RUN_N];
    char name[RUN_N][300];
} MadeRun;

/* Writes all of it but the pictures. Labels are the clusters renamed, but for every tenth sample. */
void made_run(MadeRun *m);
/* Writes small JPEGs under the names of all samples. */
void made_run_pictures(const MadeRun *m);
/* Writes <folder>/<name> with this text in it. */
void made_file(const char *folder, const char *name, const char *text);
/* Writes predictions_train.csv into a folder, with clusters mapped by `map`. */
void made_predictions(const MadeRun *m, const char *folder, const int map[RUN_C]);
void made_run_free(MadeRun *m);

/* Returns whether a notice of the report holds the text. */
bool made_says(const Report *r, const char *text);

#endif
