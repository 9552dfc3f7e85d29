/* train_state.c - a training run saved, and continued with the same bits. */
#include "host/train/train_state.h"

#include <stdlib.h>
#include <string.h>

#include "host/train/train_random.h"
#include "io/arrays/torch_file.h"

enum { MAX_STATE = 6 * MAX_SPACES + 8 };

/* One array that the next iteration depends on. */
typedef struct {
    char name[32];
    DType type;
    int64_t count;
    void *device; /* NULL: the array is in host memory */
    void *host;
} StateArray;

static int state_arrays(Train *r, StateArray *s) {
    const TrainConfig *c = &r->config;
    int n = 0;
    for (int k = 0; k < c->K; k++) {
        const int64_t task = task_size(c->C, r->d[k]), head = linear_size(c->C, r->d[k]);
        const struct {
            const char *name;
            float *at;
            int64_t count;
        } arrays[] = {{"task", r->task[k], task},       {"task_m1", r->task_m1[k], task},
                      {"task_m2", r->task_m2[k], task}, {"head", r->head[k], head},
                      {"head_m1", r->head_m1[k], head}, {"head_m2", r->head_m2[k], head}};
        for (int i = 0; i < 6; i++, n++) {
            s[n] = (StateArray){"", DTYPE_F32, arrays[i].count, arrays[i].at, NULL};
            snprintf(s[n].name, sizeof s[n].name, "%s%d", arrays[i].name, k + 1);
        }
    }
    s[n++] = (StateArray){"iteration", DTYPE_I64, 1, r->iteration, NULL};
    s[n++] = (StateArray){"head_step", DTYPE_I64, 1, r->head_step, NULL};
    s[n++] = (StateArray){"loss", DTYPE_F32, c->K, r->loss, NULL};
    s[n++] = (StateArray){"entropy", DTYPE_F32, c->K, r->entropy, NULL};
    const int64_t words = (int64_t)(sizeof(Mt19937) / sizeof(int32_t));
    /* the run that continues draws again what was drawn ahead */
    Mt19937 *batches = r->begun ? &r->batches_before : &r->batches;
    s[n++] = (StateArray){"rng_weights", DTYPE_I32, words, NULL, &r->weights};
    s[n++] = (StateArray){"rng_batches", DTYPE_I32, words, NULL, batches};
    return n;
}

Status train_save(Train *r, const char *path, const char *options, Error *err) {
    StateArray state[MAX_STATE];
    Tensor tensors[MAX_STATE + 1] = {{0}};
    const int n = state_arrays(r, state);
    Status st = OK;
    for (int i = 0; i < n; i++) {
        void *host = state[i].host;
        const int64_t bytes = state[i].count * dtype_bytes(state[i].type);
        if (state[i].device) {
            host = malloc((size_t)bytes);
            if (!host) {
                st = fail(err, ERR_MEMORY, "training: out of memory while saving %s", path);
                goto out;
            }
            r->ops->mem.to_host(r->queue, host, state[i].device, bytes);
        }
        tensors[i] = (Tensor){.name = state[i].name,
                              .type = state[i].type,
                              .axes = 1,
                              .shape = {state[i].count},
                              .count = state[i].count,
                              .data = host};
    }
    const int64_t length = (int64_t)strlen(options);
    tensors[n] = (Tensor){.name = "options",
                          .type = DTYPE_U8,
                          .axes = 1,
                          .shape = {length},
                          .count = length,
                          .data = options};
    st = r->ops->mem.wait(r->queue, err);
    if (st == OK) st = torch_save(path, tensors, n + 1, err);
out:
    for (int i = 0; i < n; i++)
        if (state[i].device) free((void *)tensors[i].data);
    return st;
}

/* Returns ERR_ARG where two texts of options differ; the message has the first line that does. */
static Status options_differ(const char *path, const char *saved, int64_t length, const char *now,
                             Error *err) {
    const char *end = saved + length;
    while (*now) {
        const size_t line = strcspn(now, "\n");
        const char *newline = memchr(saved, '\n', (size_t)(end - saved));
        const size_t saved_line = (size_t)((newline ? newline : end) - saved);
        if (line != saved_line || memcmp(now, saved, line) != 0)
            return fail(err, ERR_ARG,
                        "resume: %s was saved with `%.*s`, now it is `%.*s`: use the "
                        "options of the interrupted run, or --restart",
                        path, (int)saved_line, saved, (int)line, now);
        now += line + (now[line] == '\n');
        saved += saved_line + (newline != NULL);
    }
    return OK;
}

Status train_restore(Train *r, const char *path, const char *options, Error *err) {
    StateArray state[MAX_STATE];
    r->begun = false; /* the batch gathered ahead, if any, is another run's */
    const int n = state_arrays(r, state);
    TensorFile file;
    Status st = torch_open(&file, path, err);
    if (st != OK) return st;
    const Tensor *saved = tensor_find(&file, "options");
    if (!saved || saved->type != DTYPE_U8) {
        st = fail(err, ERR_FORMAT, "resume: %s: not a state of a training run", path);
        goto out;
    }
    train_end_drawing(r); /* it draws from another stream than the restored one */
    st = options_differ(path, saved->data, saved->count, options, err);
    for (int i = 0; st == OK && i < n; i++) {
        const Tensor *t = tensor_find(&file, state[i].name);
        if (!t || t->type != state[i].type || t->count != state[i].count) {
            st = fail(err, ERR_FORMAT, "resume: %s: %s is missing or has another shape", path,
                      state[i].name);
        } else if (state[i].device) {
            r->ops->mem.to_device(r->queue, state[i].device, t->data,
                                  t->count * dtype_bytes(t->type));
        } else if (state[i].host) {
            memcpy(state[i].host, t->data, (size_t)(t->count * dtype_bytes(t->type)));
        }
    }
    if (st == OK && (r->weights.next < 0 || r->weights.next > 624 || r->batches.next < 0 ||
                     r->batches.next > 624))
        st = fail(err, ERR_FORMAT, "resume: %s: damaged random state", path);
    /* fresh heads have done no steps, whatever an older version counted */
    if (!r->config.warm_start) r->ops->mem.zero(r->queue, r->head_step, sizeof *r->head_step);
    if (st == OK) st = r->ops->mem.wait(r->queue, err);
out:
    tensor_file_close(&file);
    return st;
}
