/* probability_file.h - soft labels as .npy, written piece by piece. */
#ifndef TURTLE_HOST_TRAIN_PROBABILITY_FILE_H
#define TURTLE_HOST_TRAIN_PROBABILITY_FILE_H

#include "host/train/predict.h"
#include "io/files/file.h"

typedef struct {
    AtomicFile file;
    Predictor *predictor; /* NULL: nothing is open */
    int64_t C;
} ProbabilityFile;

/* Refuses a name that promises another kind of file; NULL is fine. */
Status probability_file_check(const char *path, Error *err);

/* Writes what predictor_run is about to find, float32 (N,C), to `path`; NULL: to nobody. Between this
 * and commit or abort, predictor_run is to be called once. */
Status probability_file_open(ProbabilityFile *out, Predictor *predictor, const char *path,
                             int64_t N, Error *err);
/* Commits or aborts: the file is whole afterwards, or was never there. Both let go of the
 * predictor, and do nothing where no file is open. */
Status probability_file_commit(ProbabilityFile *p, Error *err);
void probability_file_abort(ProbabilityFile *p);

#endif
