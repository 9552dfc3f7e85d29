/* probability_file.h - soft labels, taken piece by piece: as .npy, in memory, or both. */
#ifndef TURTLE_HOST_TRAIN_PROBABILITY_FILE_H
#define TURTLE_HOST_TRAIN_PROBABILITY_FILE_H

#include "host/train/predict.h"
#include "io/files/file.h"

typedef struct {
    AtomicFile file;
    bool to_file;
    float *memory; /* (N,C), `taken` of its numbers filled in; NULL: not wanted; owned */
    int64_t taken;
    Predictor *predictor; /* NULL: nothing is open */
    int64_t C;
} ProbabilityFile;

/* Refuses a name that promises another kind of file; NULL is fine. */
Status probability_file_check(const char *path, Error *err);

/* Writes what predictor_run is about to find, float32 (N,C), to `path`, or to no file where that is NULL;
 * keeps it in memory too where `in_memory` asks for it. Between this and commit or abort, predictor_run
 * is to be called once. */
Status probability_file_open(ProbabilityFile *out, Predictor *predictor, const char *path,
                             bool in_memory, int64_t N, Error *err);
/* Commits or aborts: the file is whole afterwards, or was never there. Both let go of the predictor, and
 * do nothing where nothing is open. *memory becomes the soft labels that were kept, the caller's to
 * free, or NULL. */
Status probability_file_commit(ProbabilityFile *p, float **memory, Error *err);
void probability_file_abort(ProbabilityFile *p);

#endif
