/* rows.c - features of the rows that a page needs: second clusters of samples, places in the plane. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/report/gather.h"
#include "host/report/pca.h"
#include "host/train/predict.h"
#include "io/arrays/array_file.h"

enum { CHUNK = 1024 }; /* rows at a time */

typedef struct {
    Gather *g;
    ArrayFile file[MAX_SPACES];
    int64_t d[MAX_SPACES];
    int64_t first;  /* sample that the next soft labels belong to */
    int64_t differ; /* samples whose cluster is not the one that was written */
} Rows;

/* Opens the features of the split. *there is false, with a line that says why, where they cannot serve. */
static Status rows_open(Rows *r, bool *there, Error *err) {
    const RunRecord *run = &r->g->run;
    Error why = {""};
    *there = run->K > 0;
    Status st = OK;
    for (int k = 0; st == OK && k < run->K; k++) {
        ArrayFile *f = &r->file[k];
        st = array_open(f, run->features[k], &why);
        if (st == OK && (f->axes < 2 || f->shape[0] != r->g->found.n))
            st = fail(&why, ERR_FORMAT, "%s: expected %lld rows", run->features[k],
                      (long long)r->g->found.n);
        if (st == OK) r->d[k] = f->count / f->shape[0];
        if (st == OK && (r->d[k] < 1 || r->d[k] > INT32_MAX))
            st = fail(&why, ERR_FORMAT, "%s: no matrix", run->features[k]);
    }
    if (st == ERR_MEMORY) return fail(err, st, "%s", why.text);
    if (st != OK)
        report_say(
            r->g,
            "The features are not here (%s): the second cluster of samples and the plane are "
            "unknown.",
            why.text);
    *there = *there && st == OK;
    return OK;
}

static Status row_read(const ArrayFile *f, int64_t row, int64_t d, float *out, Error *err) {
    if (dtype_is_float(f->type)) return array_read_f32(f, row * d, d, out, err);
    double value;
    Status st = OK;
    for (int64_t i = 0; st == OK && i < d; i++) {
        st = array_read_f64(f, row * d + i, 1, &value, err);
        if (st == OK) out[i] = (float)value;
    }
    return st;
}

/* Gives the memory of a file's pages back: rows lie apart, and the system maps many pages for one. */
static void forget(const ArrayFile *f) {
    file_forget(f->npy.map.data ? &f->npy.map : &f->map);
}

/* --- second clusters ------------------------------------------------------------------------------------ */

/* Takes soft labels (n,C): the second cluster is the most probable one beside the sample's own. */
static Status take_soft(void *context, const float *Y, int64_t n, Error *err) {
    Rows *r = context;
    Report *out = r->g->out;
    const int64_t C = out->classes;
    (void)err;
    for (int64_t i = 0; i < n; i++, Y += C) {
        ReportSample *s = &out->samples[r->first++];
        int64_t best = 0, second = -1;
        for (int64_t c = 1; c < C; c++)
            if (Y[c] > Y[best]) best = c;
        for (int64_t c = 0; c < C; c++)
            if (c != s->cluster && (second < 0 || Y[c] > Y[second])) second = c;
        r->differ += best != s->cluster;
        s->second = second;
    }
    return OK;
}

static Status label_chunks(Rows *r, const TaskEncoder *task, Predictor *p, Error *err) {
    const Report *out = r->g->out;
    const int K = task->K;
    Features features[MAX_SPACES] = {{0}};
    Predictions found = {0};
    float *Z[MAX_SPACES] = {NULL};
    Status st = OK;
    for (int k = 0; st == OK && k < K; k++)
        if (!(Z[k] = malloc((size_t)(CHUNK * r->d[k]) * sizeof **Z)))
            st = fail(err, ERR_MEMORY, "report: out of memory for rows of features");
    for (int64_t first = 0; st == OK && first < out->sample_count; first += CHUNK) {
        const int64_t left = out->sample_count - first, n = left < CHUNK ? left : CHUNK;
        for (int k = 0; st == OK && k < K; k++) {
            for (int64_t i = 0; st == OK && i < n; i++)
                st = row_read(&r->file[k], out->samples[first + i].row, r->d[k], Z[k] + i * r->d[k],
                              err);
            forget(&r->file[k]);
            features[k] = (Features){.data = Z[k], .type = DTYPE_F32, .N = n, .d = r->d[k]};
        }
        if (st == OK) st = predictor_run(p, task, features, n, &found, err);
    }
    predictions_free(&found);
    for (int k = 0; k < K; k++) free(Z[k]);
    return st;
}

static Status find_seconds(Rows *r, Error *err) {
    Gather *g = r->g;
    TaskEncoder task = {0};
    Error why;
    char *own = format_text("%s/checkpoint.pt", g->run.folder);
    const char *path = own && file_exists(own) ? own : g->run.checkpoint;
    Status st =
        path ? checkpoint_load(&task, path, &why) : fail(&why, ERR_IO, "no checkpoint is known");
    bool fits = st == OK && task.K == g->run.K && task.C == g->out->classes;
    for (int k = 0; fits && k < task.K; k++) fits = task.d[k] == r->d[k];
    if (st == ERR_MEMORY || !own) {
        st = fail(err, ERR_MEMORY, "report: out of memory for the checkpoint");
    } else if (!fits) {
        report_say(g, "The second cluster of samples is unknown: %s",
                   st == OK ? "the checkpoint does not fit the features." : why.text);
        st = OK;
    } else {
        Ops ops = {0};
        Predictor p = {0};
        st = ops_open(&ops, "cpu", g->threads, NULL, err);
        if (st == OK) st = predictor_open(&p, &ops, task.K, task.C, task.d, NULL, err);
        p.take = take_soft;
        p.take_context = r;
        if (st == OK) st = label_chunks(r, &task, &p, err);
        predictor_close(&p);
        ops_close(&ops);
        if (st == OK && r->differ > r->first / 100) {
            report_say(
                g,
                "The second cluster of samples is unknown: the checkpoint gives %lld of %lld "
                "samples another cluster than %s has. Were features or checkpoint made anew?",
                (long long)r->differ, (long long)r->first, g->found.path);
            for (int64_t i = 0; i < g->out->sample_count; i++) g->out->samples[i].second = -1;
        }
    }
    task_encoder_free(&task);
    free(own);
    return st;
}

/* --- the plane ------------------------------------------------------------------------------------------ */

/* Reads the rows of the plane, spaces beside one another; each is scaled so that its variance counts alike. */
static Status read_plane(const Rows *r, float *X, int64_t D, Error *err) {
    const Gather *g = r->g;
    Status st = OK;
    for (int64_t k = 0, at = 0; st == OK && k < g->run.K; at += r->d[k++]) {
        const int64_t d = r->d[k];
        double sum = 0.0, squares = 0.0;
        double *mean = calloc((size_t)d, sizeof *mean);
        if (!mean) return fail(err, ERR_MEMORY, "report: out of memory for the plane");
        for (int64_t i = 0; st == OK && i < g->planes; i++) {
            float *x = X + i * D + at;
            st = row_read(&r->file[k], g->plane[i], d, x, err);
            if (i % (CHUNK / 4) == 0) forget(&r->file[k]);
            for (int64_t c = 0; st == OK && c < d; c++) {
                if (!isfinite(x[c]))
                    x[c] = 0.0f; /* training refuses them: the file is another one */
                mean[c] += (double)x[c];
                squares += (double)x[c] * (double)x[c];
            }
        }
        for (int64_t c = 0; c < d; c++) sum += mean[c] * mean[c] / (double)g->planes;
        free(mean);
        const double variance = squares - sum;
        const float scale = variance > 0.0 ? (float)(sqrt((double)g->planes / variance)) : 1.0f;
        for (int64_t i = 0; st == OK && g->run.K > 1 && isfinite(scale) && i < g->planes; i++)
            for (int64_t c = 0; c < d; c++) X[i * D + at + c] *= scale;
    }
    return st;
}

/* Gives samples their places, scaled by the same factor in both directions, so that the farthest lies at 1. */
static void place_samples(Gather *g, const double *xy) {
    double most = 0.0;
    for (int64_t i = 0; i < g->planes; i++) {
        if (g->sample_of[g->plane[i]] < 0) continue;
        for (int j = 0; j < 2; j++)
            if (fabs(xy[2 * i + j]) > most) most = fabs(xy[2 * i + j]);
    }
    for (int64_t i = 0; i < g->planes; i++) {
        const int32_t s = g->sample_of[g->plane[i]];
        if (s < 0) continue;
        g->out->samples[s].x = most > 0.0 ? (float)(xy[2 * i] / most) : 0.0f;
        g->out->samples[s].y = most > 0.0 ? (float)(xy[2 * i + 1] / most) : 0.0f;
    }
}

static Status find_places(Rows *r, Error *err) {
    Gather *g = r->g;
    int64_t D = 0;
    for (int k = 0; k < g->run.K; k++) D += r->d[k];
    if (D < 1) return OK;
    float *X = malloc((size_t)(g->planes * D) * sizeof *X);
    double *xy = malloc((size_t)g->planes * 2 * sizeof *xy);
    Status st = X && xy ? read_plane(r, X, D, err)
                        : fail(err, ERR_MEMORY, "report: out of memory for the plane");
    if (st == OK) st = pca_plane(xy, g->out->variance, X, g->planes, D, g->threads, err);
    if (st == OK) place_samples(g, xy);
    free(X);
    free(xy);
    return st;
}

Status rows_read(Gather *g, Error *err) {
    Rows r = {.g = g};
    bool there;
    Status st = rows_open(&r, &there, err);
    if (st == OK && there) st = find_seconds(&r, err);
    if (st == OK && there) st = find_places(&r, err);
    if (st == OK && !there) g->out->scatter_count = 0;
    for (int k = 0; k < MAX_SPACES; k++) array_close(&r.file[k]);
    return st;
}
