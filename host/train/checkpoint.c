/* checkpoint.c - task checkpoints in the published layout. */
#include "host/train/checkpoint.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/arrays/torch_file.h"

Status task_encoder_alloc(TaskEncoder *out, int K, int64_t C, const int64_t *d, Error *err) {
    *out = (TaskEncoder){.K = K, .C = C};
    for (int k = 0; k < K; k++) {
        out->d[k] = d[k];
        out->linear[k] = malloc((size_t)linear_size(C, d[k]) * sizeof(float));
        if (out->linear[k]) continue;
        task_encoder_free(out);
        return fail(err, ERR_MEMORY, "checkpoint: out of memory");
    }
    return OK;
}

void task_encoder_free(TaskEncoder *task) {
    if (!task) return;
    for (int k = 0; k < MAX_SPACES; k++) free(task->linear[k]);
    *task = (TaskEncoder){0};
}

Status task_encoder_of(TaskEncoder *out, const TurtleModel *model, const char *who, Error *err) {
    if (model->spaces < 1 || model->spaces > MAX_SPACES || model->classes < 1 || !model->dims ||
        !model->linear)
        return fail(err, ERR_ARG, "%s: the model is empty: %lld spaces, %lld classes", who,
                    (long long)model->spaces, (long long)model->classes);
    for (int64_t k = 0; k < model->spaces; k++)
        if (model->dims[k] < 1 || !model->linear[k] ||
            model->dims[k] >= INT64_MAX / 8 / model->classes)
            return fail(err, ERR_ARG, "%s: space %lld of the model has dimension %lld", who,
                        (long long)k + 1, (long long)model->dims[k]);
    const Status st = task_encoder_alloc(out, (int)model->spaces, model->classes, model->dims, err);
    for (int k = 0; st == OK && k < out->K; k++)
        memcpy(out->linear[k], model->linear[k],
               (size_t)linear_size(out->C, out->d[k]) * sizeof *out->linear[k]);
    return st;
}

enum { NAME_BYTES = 24 };

Status checkpoint_save(const char *path, const TaskEncoder *task, Error *err) {
    Tensor tensors[2 * MAX_SPACES];
    char names[2 * MAX_SPACES][NAME_BYTES];
    const int64_t C = task->C;
    for (int k = 0; k < task->K; k++) {
        const int64_t d = task->d[k];
        snprintf(names[2 * k], NAME_BYTES, "phi%d/bias", k + 1);
        snprintf(names[2 * k + 1], NAME_BYTES, "phi%d/weight", k + 1);
        tensors[2 * k] = (Tensor){.name = names[2 * k],
                                  .type = DTYPE_F32,
                                  .axes = 1,
                                  .shape = {C},
                                  .count = C,
                                  .data = task->linear[k] + C * d};
        tensors[2 * k + 1] = (Tensor){.name = names[2 * k + 1],
                                      .type = DTYPE_F32,
                                      .axes = 2,
                                      .shape = {C, d},
                                      .count = C * d,
                                      .data = task->linear[k]};
    }
    return torch_save(path, tensors, 2 * task->K, err);
}

static Status read_finite(const Tensor *t, const char *path, float *out, Error *err) {
    const Status st = tensor_read_f32(t, out, err);
    for (int64_t i = 0; st == OK && i < t->count; i++)
        if (!isfinite(out[i]))
            return fail(err, ERR_FORMAT, "checkpoint: %s: %s holds a value that is not finite",
                        path, t->name);
    return st;
}

Status checkpoint_load(TaskEncoder *out, const char *path, Error *err) {
    TensorFile file;
    int64_t d[MAX_SPACES], C = 0;
    int K = 0;
    *out = (TaskEncoder){0};
    Status st = torch_open(&file, path, err);
    if (st != OK) return st;

    const Tensor *weight[MAX_SPACES], *bias[MAX_SPACES];
    for (; K < MAX_SPACES; K++) {
        char name[NAME_BYTES];
        snprintf(name, sizeof name, "phi%d/weight", K + 1);
        weight[K] = tensor_find(&file, name);
        snprintf(name, sizeof name, "phi%d/bias", K + 1);
        bias[K] = tensor_find(&file, name);
        if (!weight[K] && !bias[K]) break;
        if (!weight[K] || !bias[K] || weight[K]->axes != 2 || bias[K]->axes != 1 ||
            weight[K]->shape[0] != bias[K]->shape[0] || (K && bias[K]->shape[0] != C) ||
            weight[K]->shape[0] < 2 || weight[K]->shape[1] < 1) {
            st = fail(err, ERR_FORMAT,
                      "checkpoint: %s: phi%d: expected weight (C,d) and bias (C), the same C >= 2 "
                      "in every space",
                      path, K + 1);
            goto out;
        }
        C = bias[K]->shape[0];
        d[K] = weight[K]->shape[1];
    }
    if (K == 0 || file.count != 2 * K) {
        st = fail(err, ERR_FORMAT,
                  "checkpoint: %s: not a task checkpoint: expected phi1/weight, phi1/bias, "
                  "phi2/weight, ... and nothing else; it holds %d tensors, first %s",
                  path, file.count, file.count ? file.tensor[0].name : "(none)");
        goto out;
    }
    st = task_encoder_alloc(out, K, C, d, err);
    for (int k = 0; st == OK && k < K; k++) {
        st = read_finite(weight[k], path, out->linear[k], err);
        if (st == OK) st = read_finite(bias[k], path, out->linear[k] + C * d[k], err);
    }
out:
    if (st != OK) task_encoder_free(out);
    tensor_file_close(&file);
    return st;
}
