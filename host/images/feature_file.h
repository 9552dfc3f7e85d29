/* feature_file.h - a representation while it is written batch by batch: the matrix and, beside it,
 * the list of its images and what it was made with.
 *
 * Rows go to <stem>.npy.part, names to <stem>.txt.part, and what they are made with (made.h) to
 * <stem>.json.part; commit gives all three their final names, the matrix last. A call that was
 * stopped, or killed, leaves the parts. A later one with `resume` takes every row that is there
 * already, in the parts, in finished files and in shards, and is told which images lack one. What it
 * leaves is what one call would have left, bit for bit.
 */
#ifndef TURTLE_HOST_IMAGES_FEATURE_FILE_H
#define TURTLE_HOST_IMAGES_FEATURE_FILE_H

#include <stdio.h>

#include "host/images/earlier_rows.h"
#include "host/tell/made.h"

/* Describes the file that is to be written. The caller owns all of it until feature_file_close. */
typedef struct {
    const char *stem; /* <root>/representations/<phi>/<name>_<split>[.<I>of<N>] */
    /* Lock files of shards begin so and end with ".<I>of<N>.lock". NULL: this is a shard itself, and no
     * other is looked for. */
    const char *shard_lock;
    int64_t d; /* numbers per row */
    const Made *made;
    const char *record; /* JSON object with the member made_with, without line feed at its end */
    bool resume;
    /* Without resume, too, finished shards that were made with the same are taken where the file itself
     * is not there. */
    bool join;
    const SourceList *list;
    int64_t first, end; /* sources of the list */
} FeaturePlan;

typedef struct {
    FeaturePlan plan;
    char *path, *names_path, *record_path; /* final names */
    char *part, *names_part, *record_part;
    FILE *rows, *names;
    int64_t count; /* rows in the part */
    EarlierRows earlier;
    int part_bank, final_bank; /* banks of the part and of the finished file, or -1 */
    int joined;                /* shards that were put together */
    RowPlace *place;           /* (end - first) where the row of each source lies */
    int64_t missing;           /* sources that had no row when the file was opened */
} FeatureFile;

/* Looks at what earlier calls left; no row is written yet. ERR_ARG: an unfinished part is there and
 * plan->resume is not set, or what is there was made with something else, which is named; or another
 * call is at work on a shard. */
Status feature_file_open(FeatureFile *out, const FeaturePlan *plan, Error *err);
/* Returns whether an earlier call finished just this file. */
bool feature_file_finished(const FeatureFile *f);
/* Opens the parts, behind the whole rows of earlier calls. */
Status feature_file_begin(FeatureFile *f, Error *err);
/* Returns the first source from `from` on that lacks a row, or plan.end; *n is the number of those
 * that follow each other there, at most `most`. */
int64_t feature_file_next(const FeatureFile *f, int64_t from, int64_t most, int64_t *n);
/* Adds the row of source i: features (d). Write errors are found by flush and commit. */
void feature_file_add(FeatureFile *f, const float *features, int64_t i);
Status feature_file_flush(FeatureFile *f, Error *err);
/* Returns the number of rows that the finished file has. */
int64_t feature_file_rows(const FeatureFile *f);
Status feature_file_commit(FeatureFile *f, Error *err);
/* Closes the parts, removing them unless `keep`. After a commit it only frees. */
void feature_file_close(FeatureFile *f, bool keep);

#endif
