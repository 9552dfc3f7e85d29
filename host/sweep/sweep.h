/* sweep.h - many trainings of the same features, ranked without labels; what its files share. */
#ifndef TURTLE_HOST_SWEEP_SWEEP_H
#define TURTLE_HOST_SWEEP_SWEEP_H

#include "host/turtle.h"

/* sweep_grid.c: the runs that the lists stand for, in the order classes, start, learning rates,
 * gamma, seed; the last changes fastest. `known_classes` serves where no list of classes is given; 0:
 * none. Entries of lists are numbers and, for whole numbers, ranges 20..50 or 20..50..5. *runs is
 * fresh memory, zeroed but for the options. */
Status sweep_grid(TurtleSweepRun **runs, int64_t *count, const TurtleSweepOptions *options,
                  int64_t known_classes, Error *err);

/* sweep_rank.c: what can be said without labels of runs whose `cluster` is known: stability, the
 * corrected score; then the order of the runs, the best first, and one row per number of classes. */
Status sweep_judge(TurtleSweepResult *result, int64_t *const *cluster, int64_t samples, Error *err);

/* sweep_report.c: the tables and the JSON object of a judged sweep. */
Status sweep_write(const TurtleSweepOptions *options, const char *precision,
                   TurtleSweepResult *result, const char *folder, const char *piece, Error *err);

#endif
