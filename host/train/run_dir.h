/* run_dir.h - what a training run leaves on the disk, and where.
 *
 * The checkpoint's path follows the published implementation; the run directory is that path
 * without `.pt`, or everything goes to --out:
 *   run.json      all resolved options, inputs, and at the end the results
 *   log.jsonl     one line per evaluation: iteration loss entropy clusters_found cluster_acc
 *                 seconds
 *   resume.pt     the state of an unfinished run; removed at the end
 *   predictions_{train,val}.csv   path,cluster,confidence,margin
 */
#ifndef TURTLE_HOST_TRAIN_RUN_DIR_H
#define TURTLE_HOST_TRAIN_RUN_DIR_H

#include "host/inputs/inputs.h"
#include "host/tell/made.h"
#include "io/files/lock.h"

typedef struct {
    char *folder; /* NULL: nothing is written, the inputs are in memory and there is no `out` */
    char *checkpoint;
    char *resume;  /* folder/resume.pt */
    char *options; /* `name value` lines of all that a resumed run must share */
    Made made;     /* with what; run.json keeps it */
    Lock lock;     /* other calls stay out until run_dir_close */
    FILE *log;
} RunDir;

/* Decides the paths, makes the folder and locks it; the checkpoint's name has the precision where it
 * is not `usual`, the device's own, and `prior` (its name, prior.h) where it is not uniform. ERR_ARG:
 * another call is at work there; an unfinished run is there and options say neither resume nor
 * restart; a finished run, or a checkpoint of another program, is there that this call would not
 * make again (but for the seed), and options do not say restart. The latter removes the state of an
 * unfinished run. */
Status run_dir_open(RunDir *out, const TurtleTrainOptions *options, const char *usual,
                    const char *prior, const Inputs *in, Error *err);
/* Returns everything but T that an interrupted run and its continuation must share, as `name value`
 * lines in fresh memory. */
char *run_options(const TurtleTrainOptions *options, const Inputs *in, const char *prior);
/* Writes the lines of run_options as the member "options", an object of numbers and texts. */
void run_options_json(Json *j, const char *lines);
/* Lists the features of the training split, which a run that is continued must share, too. */
void run_features_made(Made *m, const Inputs *in);
/* Returns whether the features that run.json records are others than those of `now`, which may have
 * more items; text says which. A file that is missing or damaged, or has no record, tells nothing. */
bool run_features_differ(char text[MADE_TEXT], const char *run_json, const Made *now);
/* Opens the log; with `iterations` > 0 keeps the lines up to that iteration. */
Status run_dir_open_log(RunDir *dir, int64_t iterations, Error *err);
Status run_dir_log(RunDir *dir, const TurtleProgress *p, Error *err);
/* Locks a folder of results, as run_dir_open does. */
Status run_dir_lock(Lock *out, const char *folder, Error *err);
void run_dir_close(RunDir *dir); /* NULL and twice are fine */

#endif
