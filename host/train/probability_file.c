/* probability_file.c - soft labels, taken piece by piece: as .npy, in memory, or both. */
#include "host/train/probability_file.h"

#include <stdlib.h>
#include <string.h>

#include "io/arrays/npy.h"

Status probability_file_check(const char *path, Error *err) {
    static const char *const others[] = {".csv", ".tsv", ".txt", ".npz", ".json"};
    const size_t n = path ? strlen(path) : 0;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        const size_t m = strlen(others[i]);
        if (n > m && strcmp(path + n - m, others[i]) == 0)
            return fail(err, ERR_USAGE,
                        "--probabilities %s: soft labels are written as .npy: expected a name that "
                        "ends in .npy",
                        path);
    }
    return OK;
}

static Status take_piece(void *context, const float *Y, int64_t n, Error *err) {
    ProbabilityFile *p = context;
    const size_t count = (size_t)(n * p->C);
    if (p->memory) memcpy(p->memory + p->taken, Y, count * sizeof *Y);
    p->taken += n * p->C;
    if (!p->to_file) return OK;
    return fwrite(Y, sizeof *Y, count, p->file.stream) == count
               ? OK
               : fail(err, ERR_IO, "probabilities: %s: could not be written: is the disk full?",
                      p->file.path);
}

Status probability_file_open(ProbabilityFile *out, Predictor *predictor, const char *path,
                             bool in_memory, int64_t N, Error *err) {
    char header[NPY_MAX_HEADER];
    const int64_t shape[] = {N, predictor->C};
    *out = (ProbabilityFile){.C = predictor->C};
    if (!path && !in_memory) return OK;
    if (in_memory && !(out->memory = malloc((size_t)(N * predictor->C) * sizeof *out->memory)))
        return fail(err, ERR_MEMORY, "probabilities: out of memory for (%lld, %lld)", (long long)N,
                    (long long)predictor->C);
    if (path) {
        const int64_t bytes = npy_header(header, DTYPE_F32, 2, shape);
        const Status st = bytes < 0 ? fail(err, ERR_ARG, "probabilities: %s: no .npy here", path)
                                    : atomic_open(&out->file, path, err);
        if (st != OK) {
            free(out->memory);
            out->memory = NULL;
            return st;
        }
        fwrite(header, 1, (size_t)bytes, out->file.stream);
        out->to_file = true;
    }
    out->predictor = predictor;
    predictor->take = take_piece;
    predictor->take_context = out;
    return OK;
}

static void let_go(ProbabilityFile *p) {
    p->predictor->take = NULL;
    p->predictor->take_context = NULL;
    p->predictor = NULL;
}

Status probability_file_commit(ProbabilityFile *p, float **memory, Error *err) {
    *memory = NULL;
    if (!p->predictor) return OK;
    let_go(p);
    *memory = p->memory;
    p->memory = NULL;
    return p->to_file ? atomic_commit(&p->file, err) : OK;
}

void probability_file_abort(ProbabilityFile *p) {
    if (!p->predictor) return;
    let_go(p);
    free(p->memory);
    p->memory = NULL;
    if (p->to_file) atomic_abort(&p->file);
}
