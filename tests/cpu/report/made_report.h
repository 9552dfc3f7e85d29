/* made_report.h - reports made up for tests: digits with pictures, 1000 classes, one that lacks everything, a hostile one. */
#ifndef TURTLE_TESTS_CPU_REPORT_MADE_REPORT_H
#define TURTLE_TESTS_CPU_REPORT_MADE_REPORT_H

#include "host/report/report.h"

typedef enum {
    MADE_DIGITS, /* 10 clusters of MNIST's digits, labels, pictures, three runs, a sweep */
    MADE_WIDE,   /* 1000 clusters with labels and their matrix, no pictures */
    MADE_BARE, /* features alone: no labels, names, pictures, curves or runs; NaN wherever it may stand */
    MADE_HOSTILE, /* every text tries to be markup, script or a mark of direction */
} MadeKind;

typedef struct {
    Report report;
    void **blocks; /* all memory of the report */
    int block_count;
} MadeReport;

/* Makes a report; fails the test if it cannot. */
void made_report(MadeReport *out, MadeKind kind);
void made_report_free(MadeReport *made);

/* Texts of the hostile report, ended by NULL. */
extern const char *const hostile_text[];

#endif
