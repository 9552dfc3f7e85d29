/* table.h - the table of accuracies over data sets and encoders, cell by cell. */
#ifndef TURTLE_HOST_TABLE_TABLE_H
#define TURTLE_HOST_TABLE_TABLE_H

#include "host/tell/made.h"
#include "host/turtle.h"
#include "io/status.h"

enum { TABLE_ONE, TABLE_TWO, TABLE_KMEANS, TABLE_PROBE, TABLE_ZEROSHOT, TABLE_METHODS };
extern const char *const table_methods[TABLE_METHODS]; /* names in records, paper.tsv and CSV */

typedef struct {
    const TurtleTableOptions *options;
    const TurtleHooks *hooks;
    TurtleTexts datasets, phis;
    const char *partner; /* the second space of TABLE_TWO; NULL: there is one phi alone */
    TurtleTableResult *result;
} TableCall;

/* Returns the cell of a method, a data set and a phi, by their indices. */
TurtleTableCell *table_cell(const TableCall *call, int method, int dataset, int phi);
/* Returns whether a method has such a cell: two spaces need two, zeroshot needs CLIP. */
bool table_has(const TableCall *call, int method, int phi);

/* paper.c: returns the published accuracy, 0..1, or NaN where `text` has no such line. */
double paper_accuracy(const char *text, int64_t bytes, const char *dataset, const char *method,
                      const char *phi);

/* records.c: a finished cell is <root>/results/table/<method>_<phis>_<dataset>.json. Reads the cell's
 * record into accuracy and seconds, and returns whether there is one. */
bool table_record_read(TurtleTableCell *cell, const char *root, MadeFile *made);
Status table_record_write(const TurtleTableCell *cell, const TurtleTableOptions *options,
                          const Made *made, Error *err);
/* Lists what a cell depends on: options, features and labels. */
Status table_record_made(Made *out, const TurtleTableCell *cell, int method,
                         const TurtleTableOptions *options, Error *err);

/* cells.c: makes features and labels of a data set where they are not there. After a failure *absent says
 * that images or weights are not on the disk, so that nothing could be tried. */
Status table_features(const TableCall *call, const char *dataset, const char *phi, bool *absent,
                      Error *err);
/* Runs one cell and fills its accuracy and seconds in. */
Status table_run(const TableCall *call, int method, TurtleTableCell *cell, Error *err);

/* table_text.c: the table as Markdown or as CSV, and as the object of --json; fresh memory, NULL
 * without memory. */
char *table_markdown(const TableCall *call);
char *table_csv(const TableCall *call);
char *table_json(const TableCall *call);

#endif
