/* sort.h - pictures into folders by cluster: a run is read, every file's place is planned, then files are placed.
 *
 * Nothing is placed before everything is planned and checked. The plan depends on the run and the options
 * alone, so that a call that was killed and one that continues it make the same tree.
 */
#ifndef TURTLE_HOST_SORT_SORT_H
#define TURTLE_HOST_SORT_SORT_H

#include "host/turtle.h"
#include "io/datasets/sources.h"
#include "io/files/lock.h"
#include "io/text/cluster_names.h"

/* --- the run (sort_run.c) --------------------------------------------------------------------------- */

/* A split whose predictions lie in the run directory. Texts are owned. */
typedef struct {
    const char *name;  /* "train" or "val" */
    char *predictions; /* the CSV */
    char *features;    /* features of the first space, as run.json has them */
    char *images;      /* folder that names are relative to; NULL: names are records, or absolute */
    char *list;        /* list of images beside the features; NULL: there are no pictures */
    int64_t first, n;  /* its samples in the plan */
} SortSplit;

typedef struct {
    char *dataset; /* owned; NULL: unknown */
    int64_t classes;
    bool finished;
    SortSplit split[2]; /* (splits) train first */
    int splits;
} SortRun;

/* Reads <folder>/run.json. ERR_ARG: there is no finished run, or it has no pictures. */
Status sort_run_read(SortRun *out, const char *folder, Error *err);
void sort_run_free(SortRun *run); /* NULL and twice are fine */

/* --- the plan (plan.c) ------------------------------------------------------------------------------ */

typedef enum {
    SORT_WAITING,
    SORT_PLACED,    /* by this call */
    SORT_THERE,     /* by an earlier call with the same plan */
    SORT_MISSING,   /* the picture cannot be read */
    SORT_IN_THE_WAY /* another file has the place; it stays */
} SortState;

typedef struct {
    char *source;   /* name in the predictions; owned */
    char *file;     /* name in its folder, where that is not the source's own; owned, or NULL */
    int64_t folder; /* index of its folder; -1: its cluster is left out */
    int32_t cluster;
    float confidence, margin;
    SortState state;
} SortItem;

typedef struct {
    char *name; /* safe name of the folder; owned */
    const char
        *label;     /* name that people gave the clusters; NULL: the folder of doubtful pictures */
    int64_t wanted; /* samples that the predictions give it */
} SortFolder;

typedef struct {
    const TurtleSortOptions *options;
    SortRun run;
    ClusterNames names;
    SortItem *item; /* (n) in the order of the predictions; owned */
    int64_t n, capacity;
    SortFolder *folder;               /* (folders) owned */
    int64_t folders, doubtful_folder; /* doubtful_folder: index, or -1 */
    SourceSplits records; /* lists of a data set whose pictures lie inside larger files */
    bool has_records;
    int64_t clashes, doubtful, left_out;
} SortPlan;

/* Reads the predictions and decides folder and file name of every sample. */
Status sort_plan(SortPlan *p, Error *err);
void sort_plan_free(SortPlan *p); /* NULL and twice are fine */
/* Returns the file's name in its folder. */
const char *sort_file_name(const SortItem *item);
/* Returns whether the sample is a record of a larger file, "digits#17". */
bool sort_is_record(const SortSplit *split, const char *source);
/* Returns the split of sample i. */
const SortSplit *sort_split_of(const SortPlan *p, int64_t i);
/* Returns the path of the picture of sample i in fresh memory, NULL without memory; not for records. */
char *sort_source_path(const SortPlan *p, int64_t i);

/* --- placing (place.c) ------------------------------------------------------------------------------ */

typedef struct {
    SortPlan *plan;
    char *into;      /* real path of the folder; owned */
    char *temporary; /* the one temporary name; owned */
    Lock lock;
    bool finished;     /* an earlier call with the same plan placed everything */
    int64_t count[5];  /* samples by state */
    int64_t strangers; /* files in our folders that no sample has */
    Error first;       /* about the first sample that could not be placed */
} SortPlace;

/* Refuses what cannot be served before a file is placed: pictures that are all missing, hard links across file
 * systems, a folder inside that of the pictures, one that holds other files or was sorted otherwise. Then locks
 * the folder and marks it as ours. */
Status sort_place_open(SortPlace *out, SortPlan *plan, Error *err);
/* Places every file. A full disk and ERR_STOPPED end it; the next call goes on. */
Status sort_place_all(SortPlace *p, Error *err);
/* Puts the temporary file in the place of `name` below the folder: another file is replaced only while the
 * folder is not finished, else it must be equal. */
Status sort_place_table(SortPlace *p, const char *name, Error *err);
/* Compares the folders with the plan; marks the folder as finished if every file is there. */
Status sort_place_finish(SortPlace *p, Error *err);
void sort_place_close(SortPlace *p); /* NULL and twice are fine */

/* --- tables beside (tables.c) ----------------------------------------------------------------------- */

/* Writes manifest.csv, labels.csv, label_studio.json and label_studio.xml. */
Status sort_tables_write(SortPlace *p, Error *err);

#endif
