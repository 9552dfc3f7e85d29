/* gather.h - what the files of gathering share: memory, the record of a run, labellings, samples that are wanted. */
#ifndef TURTLE_HOST_REPORT_GATHER_H
#define TURTLE_HOST_REPORT_GATHER_H

#include "host/report/report.h"
#include "kernels/train.h"

/* --- memory that lives as long as the report (memory.c) --------------------------------------------- */

typedef struct ReportMemory {
    void **block; /* (count) */
    int64_t count, capacity;
} ReportMemory;

/* Returns zeroed memory for `count` elements of `bytes` bytes; NULL: out of memory. */
void *report_take(ReportMemory *m, int64_t count, size_t bytes);
/* Returns a formatted text, or NULL without memory. */
char *report_text(ReportMemory *m, const char *format, ...) PRINTF_LIKE(2, 3);
/* Returns a copy of `bytes` bytes with a zero byte behind, or NULL without memory. */
char *report_copy(ReportMemory *m, const char *text, int64_t bytes);
void report_memory_free(ReportMemory *m);

/* Runs part(context, 0) .. part(context, parts - 1) on several threads, in any order. */
void report_parallel(int threads, int64_t parts, void (*part)(void *context, int64_t i),
                     void *context);

/* --- the record of a run (run_record.c) --------------------------------------------------------------- */

enum { RECORD_FACTS = 40 };

/* This record holds what run.json says. Texts belong to the report's memory and are NULL where unknown. */
typedef struct {
    const char *folder, *split; /* the split that was scored: "val" or "train" */
    const char *directory;      /* where the run was called: its relative paths begin there */
    const char *checkpoint, *dataset, *phis, *images, *labels;
    const char *features[MAX_SPACES]; /* (K) files of that split */
    int K;
    int64_t classes;
    ReportRun scores;
    ReportFact fact[RECORD_FACTS];
    int facts;
} RunRecord;

/* Returns a row of the table of runs of which only the directory is known. */
ReportRun run_unknown(const char *directory);
/* Reads <folder>/run.json. A run that is missing or not finished is ERR_ARG. */
Status run_record_read(RunRecord *out, ReportMemory *m, const char *folder, Error *err);
/* Reads <folder>/log.jsonl, thinned evenly to REPORT_POINTS lines; a missing one has none. */
Status run_points_read(Report *out, ReportMemory *m, const char *folder, Error *err);

/* A sweep's sweep.json. */
typedef struct {
    ReportSweepPoint *point;
    int points;
    const char *best;     /* directory of the best run; NULL: there is none */
    const char *other[8]; /* directories of the next runs */
    int others;
} SweepRecord;
Status sweep_record_read(SweepRecord *out, ReportMemory *m, const char *folder, Error *err);

/* --- labellings (labelling.c) -------------------------------------------------------------------------- */

/* A file of predictions without its names. */
typedef struct {
    const char *path;
    int64_t n, classes; /* classes: 1 + the largest cluster */
    int64_t *cluster;   /* (n) owned, as all below */
    float *confidence, *margin;
    uint64_t names; /* hash of all names: equal for the same samples in the same order */
    int64_t name_bytes;
    bool numbered; /* names are just the numbers of the rows */
} Labelling;

Status labelling_read(Labelling *out, const char *path, Error *err);
void labelling_free(Labelling *l); /* NULL and twice are fine */
/* Calls take(context, row, name, bytes) for every row; it returns false to stop at a failure of its own. */
Status labelling_names(const Labelling *l,
                       bool (*take)(void *context, int64_t row, const char *name, int64_t bytes),
                       void *context, Error *err);

/* --- gathering ------------------------------------------------------------------------------------------ */

typedef struct {
    const TurtleReportOptions *options;
    Report *out;
    ReportMemory *memory;
    RunRecord run;
    Labelling found;
    int64_t *y;         /* (n) true classes, or NULL; owned */
    int64_t *order;     /* (n) rows by cluster, most confident first; owned */
    int64_t *begin;     /* (classes + 1) where a cluster begins in `order`; owned */
    int32_t *sample_of; /* (n) index of a row in out->samples, -1: not shown; owned */
    int64_t sample_capacity;
    int64_t
        *plane; /* (planes) rows of the sample that the plane is computed of, ascending; owned */
    int64_t planes;
    int64_t budget;  /* bytes that the page may have */
    int64_t names;   /* names of a cluster that the page lists */
    int side;        /* long side of thumbnails */
    int per_cluster; /* typical samples of a cluster, and doubtful ones */
    int threads;
    const char **notice; /* (notices) */
    int64_t notices, notice_capacity;
} Gather;

/* Adds a line to the report's notices; without memory it is lost. */
void report_say(Gather *g, const char *format, ...) PRINTF_LIKE(2, 3);
/* Returns the index of the sample of `row`, which is shown from now on; -1: out of memory. */
int64_t report_sample(Gather *g, int64_t row);

/* choose.c: orders rows, decides how much is shown, and chooses the samples of clusters, of the whole run and of
 * the plane. */
Status choose_samples(Gather *g, Error *err);
/* truth.c: labels, matching, the confusion matrix, and examples of the largest confusions. */
Status truth_read(Gather *g, Error *err);
/* names.c: names of shown samples, of the clusters' lists, and of the true classes. */
Status names_read(Gather *g, Error *err);
/* cluster_titles.c: names of clusters from `zeroshot --clusters` and from the user's file. */
Status cluster_titles_read(Gather *g, Error *err);
/* rows.c: second clusters of shown samples, and their places in the plane. */
Status rows_read(Gather *g, Error *err);
/* thumbnails.c: pictures of the shown samples. */
Status thumbnails_make(Gather *g, Error *err);
/* compare.c: the table of runs and their agreement. */
Status compare_runs(Gather *g, const char *const *others, int count, Error *err);

/* Returns the largest number of names a cluster for which all lists together stay within `bytes`. */
int64_t names_that_fit(const Gather *g, double bytes);
/* Marks the samples (sample_count) that stand in a list; the others are in the plane alone. */
void mark_listed(const Report *r, bool *listed);
/* shrink.c: takes pictures until names have room too, cuts the lists of names to that room, and says both. */
void fit_names(Gather *g);
/* Takes names and pictures away until the page is `excess` bytes shorter; of a page without them it cuts names of
 * samples, and halves the samples. A notice says so. Returns false where nothing is left to take. */
bool report_shrink(Report *report, int64_t excess);

#endif
