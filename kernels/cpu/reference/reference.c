/* reference.c - every operation in the plainest code: the judge of the shipped ones, and the place
 * to read what an operation computes. README.md in this folder has the equations. TURTLE_ISA=reference
 * runs the whole program on it.
 *
 * There is one thread and no blocking; every sum is in double and rounded to float32 once, at its end. */
#include <math.h>

#include "kernels/cpu/cpu.h"
#include "kernels/philox.h"

/* --- matrix ----------------------------------------------------------------------------------- */

/* Returns element j of row i. */
static float at(const Batch *Z, int64_t i, int64_t j) {
    float x;
    dtype_to_f32(&x, (const uint8_t *)Z->data + (i * Z->row + j) * dtype_bytes(Z->type), Z->type,
                 false, 1);
    return x;
}

/* Returns x as it multiplies an element of the batch: rounded where products are of bfloat16. */
static double factor(const Batch *Z, float x) {
    return Z->type == DTYPE_BF16 ? f32_from_bf16(bf16_from_f32(x)) : x;
}

static Status matmul(Queue *q, MatmulForm form, float *out, const Batch *A, const float *B,
                     const float *bias, int64_t rows, int64_t cols, int64_t depth, void *scratch) {
    REQUIRE(q, out && batch_servable(A) && B && rows >= 1 && cols >= 1 && depth >= 1, "matmul");
    REQUIRE(q, A->d == (form == MATMUL_TN ? rows : depth), "matmul");
    (void)scratch;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) {
            double sum = bias ? bias[j] : 0.0;
            for (int64_t k = 0; k < depth; k++) {
                const float a = form == MATMUL_TN ? at(A, k, i) : at(A, i, k);
                const float b = form == MATMUL_NT ? B[j * depth + k] : B[k * cols + j];
                sum += a * factor(A, b);
            }
            out[i * cols + j] = (float)sum;
        }
    return OK;
}

static int64_t matmul_scratch_bytes(MatmulForm form, int64_t rows, int64_t cols, int64_t depth) {
    (void)form, (void)rows, (void)cols, (void)depth;
    return 0;
}

static Status gather(Queue *q, const Batch *out, const Features *f, const int64_t *rows,
                     int64_t B) {
    REQUIRE(q, batch_servable(out) && f && f->data && f->d == out->d && rows && B >= 1, "gather");
    REQUIRE(q, dtype_is_float(f->type), "gather");
    for (int64_t b = 0; b < B; b++) {
        REQUIRE(q, rows[b] >= 0 && rows[b] < f->N, "gather");
        /* rows of bfloat16 are zero behind their d elements */
        for (int64_t j = 0; j < (out->type == DTYPE_BF16 ? out->row : f->d); j++) {
            float x = 0.0f;
            const int64_t i = b * out->row + j, from = rows[b] * f->d + j;
            if (j < f->d)
                dtype_to_f32(&x, (const uint8_t *)f->data + from * dtype_bytes(f->type), f->type,
                             f->swapped, 1);
            if (out->type == DTYPE_F32) ((float *)out->data)[i] = x;
            else if (out->type == DTYPE_F16) ((uint16_t *)out->data)[i] = f16_from_f32(x);
            else ((uint16_t *)out->data)[i] = bf16_from_f32(x);
        }
    }
    return OK;
}

static Status argmax(Queue *q, int32_t *index, float *top, float *margin, const float *X,
                     int64_t rows, int64_t cols) {
    REQUIRE(q, index && X && rows >= 1 && cols >= 2, "argmax");
    for (int64_t r = 0; r < rows; r++) {
        const float *x = X + r * cols;
        int64_t best = 0;
        float second = -INFINITY;
        for (int64_t c = 1; c < cols; c++) {
            if (x[c] > x[best]) {
                second = x[best];
                best = c;
            } else if (x[c] > second) {
                second = x[c];
            }
        }
        index[r] = (int32_t)best;
        if (top) top[r] = x[best];
        if (margin) margin[r] = x[best] - second;
    }
    return OK;
}

/* --- the task encoder ------------------------------------------------------------------------- */

static double norm(const float *v, int64_t d) {
    double square = 0.0;
    for (int64_t j = 0; j < d; j++) square += (double)v[j] * v[j];
    return sqrt(square);
}

static Status weight_norm(Queue *q, float *W, const float *task, int64_t C, int64_t d) {
    REQUIRE(q, W && task && C >= 1 && d >= 1, "weight_norm");
    const float *g = task + linear_size(C, d);
    for (int64_t c = 0; c < C; c++) {
        const float *v = task + c * d;
        const double scale = g[c] / norm(v, d);
        for (int64_t j = 0; j < d; j++) W[c * d + j] = (float)(scale * v[j]);
    }
    return OK;
}

static Status weight_norm_grad(Queue *q, float *grad, const float *grad_linear, const float *task,
                               int64_t C, int64_t d) {
    REQUIRE(q, grad && grad_linear && task && C >= 1 && d >= 1, "weight_norm_grad");
    const float *g = task + linear_size(C, d);
    float *grad_g = grad + linear_size(C, d);
    for (int64_t c = 0; c < C; c++) {
        const float *v = task + c * d, *grad_W = grad_linear + c * d;
        const double length = norm(v, d);
        double dot = 0.0;
        for (int64_t j = 0; j < d; j++) dot += (double)grad_W[j] * v[j];
        grad_g[c] = (float)(dot / length);
        for (int64_t j = 0; j < d; j++)
            grad[c * d + j] = (float)(g[c] / length * (grad_W[j] - dot / (length * length) * v[j]));
        grad[C * d + c] = grad_linear[C * d + c];
    }
    return OK;
}

/* --- labels ----------------------------------------------------------------------------------- */

/* Returns sum_c exp(x_c - top), where *top receives the largest logit: so exp cannot overflow. */
static double exp_sum(const float *x, int64_t C, double *top) {
    double sum = 0.0;
    *top = x[0];
    for (int64_t c = 1; c < C; c++) *top = x[c] > *top ? x[c] : *top;
    for (int64_t c = 0; c < C; c++) sum += exp(x[c] - *top);
    return sum;
}

static Status softmax(Queue *q, float *P, const float *logits, int64_t rows, int64_t C) {
    REQUIRE(q, P && logits && rows >= 1 && C >= 1, "softmax");
    for (int64_t r = 0; r < rows; r++) {
        double top;
        const double sum = exp_sum(logits + r * C, C, &top);
        for (int64_t c = 0; c < C; c++) P[r * C + c] = (float)(exp(logits[r * C + c] - top) / sum);
    }
    return OK;
}

static Status label_mean(Queue *q, float *Y, const float *P, int K, int64_t B, int64_t C) {
    REQUIRE(q, Y && P && K >= 1 && B >= 1 && C >= 1, "label_mean");
    for (int64_t i = 0; i < B * C; i++) {
        double sum = 0.0;
        for (int k = 0; k < K; k++) sum += P[k * B * C + i];
        Y[i] = (float)(sum / K);
    }
    return OK;
}

static Status batch_entropy(Queue *q, float *P_bar, float *entropy, const float *P, int K,
                            int64_t B, int64_t C, void *scratch) {
    REQUIRE(q, P_bar && entropy && P && K >= 1 && B >= 1 && C >= 1, "batch_entropy");
    (void)scratch;
    for (int k = 0; k < K; k++) {
        double H = 0.0;
        for (int64_t c = 0; c < C; c++) {
            double sum = 0.0;
            for (int64_t b = 0; b < B; b++) sum += P[(k * B + b) * C + c];
            const double p = sum / (double)B;
            P_bar[k * C + c] = (float)p;
            if (p > 0.0) H -= p * log(p); /* 0 ln 0 = 0 */
        }
        entropy[k] = (float)H;
    }
    return OK;
}

/* --- losses and gradients --------------------------------------------------------------------- */

static Status cross_entropy(Queue *q, float *loss, float *grad_logits, float *grad_Y,
                            bool add_grad_Y, const float *logits, const float *Y, int64_t B,
                            int64_t C, void *scratch) {
    REQUIRE(q, loss && logits && Y && B >= 1 && C >= 1, "cross_entropy");
    (void)scratch;
    double total = 0.0;
    for (int64_t b = 0; b < B; b++) {
        double top, mass = 0.0;
        const double log_sum = log(exp_sum(logits + b * C, C, &top));
        for (int64_t c = 0; c < C; c++) mass += Y[b * C + c];
        for (int64_t c = 0; c < C; c++) {
            const int64_t i = b * C + c;
            const double log_p = logits[i] - top - log_sum;
            total -= Y[i] * log_p;
            if (grad_Y) grad_Y[i] = (float)((add_grad_Y ? grad_Y[i] : 0.0) - log_p / (double)B);
            if (grad_logits) grad_logits[i] = (float)((exp(log_p) * mass - Y[i]) / (double)B);
        }
    }
    loss[0] = (float)(total / (double)B);
    return OK;
}

static Status prior_ratio(Queue *q, float *P_bar, const float *prior, int K, int64_t C) {
    REQUIRE(q, P_bar && prior && K >= 1 && C >= 1, "prior_ratio");
    for (int k = 0; k < K; k++)
        for (int64_t c = 0; c < C; c++) P_bar[k * C + c] /= prior[c];
    return OK;
}

static Status task_grad(Queue *q, float *P, const float *grad_Y, const float *P_bar, int K,
                        double gamma, int64_t B, int64_t C, void *scratch) {
    REQUIRE(q, P && grad_Y && P_bar && K >= 1 && B >= 1 && C >= 1, "task_grad");
    (void)scratch;
    for (int64_t b = 0; b < B; b++) {
        float *p = P + b * C;
        double mean = 0.0;
        for (int pass = 0; pass < 2; pass++) /* first sum_c P q, then P (q - mean) */
            for (int64_t c = 0; c < C; c++) {
                double slope = grad_Y[b * C + c] / (double)K;
                if (P_bar[c] > 0.0f) slope += gamma * (log(P_bar[c]) + 1.0) / (double)B;
                if (pass == 0) mean += p[c] * slope;
                else p[c] = (float)(p[c] * (slope - mean));
            }
    }
    return OK;
}

static Status linear_grad(Queue *q, float *grad, const float *grad_logits, const Batch *Z,
                          int64_t B, int64_t C, void *scratch) {
    REQUIRE(q, grad && grad_logits && batch_servable(Z) && B >= 1 && C >= 1, "linear_grad");
    (void)scratch;
    const int64_t d = Z->d;
    for (int64_t c = 0; c < C; c++) {
        for (int64_t j = 0; j < d; j++) {
            double sum = 0.0;
            for (int64_t b = 0; b < B; b++) sum += factor(Z, grad_logits[b * C + c]) * at(Z, b, j);
            grad[c * d + j] = (float)sum;
        }
        double sum = 0.0;
        for (int64_t b = 0; b < B; b++) sum += grad_logits[b * C + c];
        grad[C * d + c] = (float)sum;
    }
    return OK;
}

static Status head_grad(Queue *q, double *loss, float *grad, const HeadGrad *in, bool add) {
    REQUIRE(q, loss && grad && in && batch_servable(&in->Z) && in->y && in->head, "head_grad");
    REQUIRE(q, in->B >= 1 && in->C >= 1 && in->scratch, "head_grad");
    const int64_t B = in->B, C = in->C, d = in->Z.d;
    const float *bias = in->head + C * d;
    float *residual = in->scratch; /* (B,C); first the logits */
    for (int64_t b = 0; b < B; b++) REQUIRE(q, in->y[b] >= 0 && in->y[b] < C, "head_grad");
    matmul(q, MATMUL_NT, residual, &in->Z, in->head, bias, B, C, d, NULL);
    double sum = 0.0;
    for (int64_t b = 0; b < B; b++) {
        float *x = residual + b * C;
        double top;
        const double log_sum = log(exp_sum(x, C, &top));
        sum += top + log_sum - x[in->y[b]];
        for (int64_t c = 0; c < C; c++)
            x[c] = (float)(exp(x[c] - top - log_sum) - (c == in->y[b] ? 1.0 : 0.0));
    }
    float *fresh = residual + B * C; /* (linear_size) */
    linear_grad(q, fresh, residual, &in->Z, B, C, NULL);
    loss[0] = add ? loss[0] + sum : sum;
    for (int64_t i = 0; i < linear_size(C, d); i++) grad[i] = add ? grad[i] + fresh[i] : fresh[i];
    return OK;
}

/* --- Adam and the inner loop ------------------------------------------------------------------ */

static Status adam(Queue *q, float *parameters, const float *grad, float *m1, float *m2, int64_t n,
                   double lr, const int64_t *step) {
    REQUIRE(q, parameters && grad && m1 && m2 && step && n >= 1, "adam");
    const double t = (double)(*step + 1);
    const double step_size = lr / (1.0 - pow(ADAM_BETA1, t));
    const double root = sqrt(1.0 - pow(ADAM_BETA2, t));
    for (int64_t i = 0; i < n; i++) {
        m1[i] = (float)(ADAM_BETA1 * m1[i] + (1.0 - ADAM_BETA1) * grad[i]);
        m2[i] = (float)(ADAM_BETA2 * m2[i] + (1.0 - ADAM_BETA2) * grad[i] * grad[i]);
        parameters[i] -= (float)(step_size * m1[i] / (sqrt((double)m2[i]) / root + ADAM_EPS));
    }
    return OK;
}

static Status inner_steps(Queue *q, const InnerSteps *s) {
    REQUIRE(q, s && s->K >= 1 && s->K <= MAX_SPACES && s->Y && s->M >= 0 && s->step && s->scratch,
            "inner_steps");
    const int64_t B = s->B, C = s->C;
    for (int64_t m = 0; m < s->M; m++) {
        const int64_t step = *s->step + m;
        double loss = 0.0;
        for (int k = 0; k < s->K; k++) {
            const InnerSpace *space = &s->space[k];
            float *logits = s->scratch, *grad = logits + B * C, space_loss = 0.0f;
            const int64_t d = space->Z.d;
            matmul(q, MATMUL_NT, logits, &space->Z, space->head, space->head + C * d, B, C, d,
                   NULL);
            cross_entropy(q, &space_loss, logits, NULL, false, logits, s->Y, B, C, NULL);
            linear_grad(q, grad, logits, &space->Z, B, C, NULL);
            adam(q, space->head, grad, space->m1, space->m2, linear_size(C, d), s->lr, &step);
            if (q->status != OK) return q->status;
            loss += space_loss;
        }
        if (s->losses) s->losses[m] = (float)loss;
    }
    return OK;
}

static Status label_grad(Queue *q, float *loss, float *grad_Y, const InnerSteps *s) {
    REQUIRE(q, loss && grad_Y && s && s->K >= 1 && s->K <= MAX_SPACES && s->Y && s->scratch,
            "label_grad");
    const int64_t B = s->B, C = s->C;
    float *logits = s->scratch, *sum = logits + B * C;
    for (int k = 0; k < s->K; k++) {
        const InnerSpace *space = &s->space[k];
        matmul(q, MATMUL_NT, logits, &space->Z, space->head, space->head + C * space->Z.d, B, C,
               space->Z.d, NULL);
        cross_entropy(q, loss + k, NULL, sum, k > 0, logits, s->Y, B, C, NULL);
    }
    if (q->status != OK) return q->status;
    for (int64_t i = 0; i < B * C; i++)
        grad_Y[i] = sum[i]; /* grad_Y may be Y: it is read no more */
    return q->status;
}

static int64_t scratch_bytes(DType type, int K, int64_t B, int64_t C, int64_t d_least, int64_t d) {
    (void)type, (void)K, (void)d_least;
    return (2 * B * C + task_size(C, d)) * (int64_t)sizeof(float); /* logits, gradients */
}

/* --- an outer iteration around the inner loop --------------------------------------------------- */

static Status task_labels(Queue *q, const TaskSteps *s) {
    REQUIRE(q, tasks_complete(s, batch_servable), "task_labels");
    const int64_t B = s->B, C = s->C;
    for (int k = 0; k < s->K; k++) {
        const TaskSpace *space = &s->space[k];
        float *W = s->scratch, *P = s->P + k * B * C;
        const int64_t d = space->Z.d;
        weight_norm(q, W, space->task, C, d);
        matmul(q, MATMUL_NT, P, &space->Z, W, space->task + C * d, B, C, d, NULL);
        softmax(q, P, P, B, C);
    }
    label_mean(q, s->Y, s->P, s->K, B, C);
    return batch_entropy(q, s->P_bar, s->entropy, s->P, s->K, B, C, NULL);
}

static Status task_step(Queue *q, const TaskSteps *s, const InnerSteps *heads) {
    REQUIRE(q, tasks_complete(s, batch_servable) && heads_match(s, heads), "task_step");
    const int64_t B = s->B, C = s->C;
    InnerSteps in = *heads;
    in.Y = s->Y;
    in.scratch = s->scratch;
    label_grad(q, s->loss, s->Y, &in); /* grad_Y takes the place of Y */
    for (int k = 0; k < s->K; k++) {
        const TaskSpace *space = &s->space[k];
        float *grad_logits = s->P + k * B * C, *grad = s->scratch;
        const int64_t d = space->Z.d;
        task_grad(q, grad_logits, s->Y, s->P_bar + k * C, s->K, s->gamma, B, C, NULL);
        linear_grad(q, grad, grad_logits, &space->Z, B, C, NULL);
        weight_norm_grad(q, grad, grad, space->task, C, d);
        adam(q, space->task, grad, space->m1, space->m2, task_size(C, d), s->lr, s->step);
    }
    return q->status;
}

/* --- random numbers --------------------------------------------------------------------------- */

static Status random_linear(Queue *q, float *head, int64_t C, int64_t d, uint64_t seed, int stream,
                            int k, const int64_t *iteration) {
    REQUIRE(q, head && C >= 1 && d >= 1 && iteration, "random_linear");
    const float bound = (float)(1.0 / sqrt((double)d));
    for (int64_t i = 0; i < linear_size(C, d); i++) {
        const Philox words = philox_at(seed, stream, k, *iteration, i / 4);
        head[i] = philox_uniform(words.word[i % 4], bound);
    }
    return OK;
}

static Status random_heads(Queue *q, const InnerSteps *heads, uint64_t seed,
                           const int64_t *iteration) {
    REQUIRE(q, heads_drawable(heads) && iteration, "random_heads");
    for (int k = 0; k < heads->K; k++) {
        const InnerSpace *space = &heads->space[k];
        const int64_t n = linear_size(heads->C, space->Z.d);
        random_linear(q, space->head, heads->C, space->Z.d, seed, PHILOX_HEAD, k, iteration);
        for (int64_t i = 0; i < n; i++) space->m1[i] = space->m2[i] = 0.0f;
    }
    return q->status;
}

static Status random_rows(Queue *q, int64_t *rows, int64_t B, int64_t N, uint64_t seed,
                          const int64_t *iteration) {
    REQUIRE(q, rows && B >= 1 && N >= B && iteration, "random_rows");
    const RowPermutation p = row_permutation((uint64_t)N, seed, PHILOX_ROWS, *iteration);
    for (int64_t i = 0; i < B; i++) rows[i] = (int64_t)permuted_row(&p, (uint64_t)i);
    return OK;
}

void cpu_table_reference(MatrixOps *matrix, TrainOps *train, EncodeOps *encode,
                         ClusterOps *cluster) {
    cpu_reference_encode(encode);
    cpu_reference_cluster(cluster);
    *matrix = (MatrixOps){matmul, matmul_scratch_bytes, gather, argmax};
    *train = (TrainOps){.scratch_bytes = scratch_bytes,
                        .weight_norm = weight_norm,
                        .weight_norm_grad = weight_norm_grad,
                        .softmax = softmax,
                        .label_mean = label_mean,
                        .batch_entropy = batch_entropy,
                        .prior_ratio = prior_ratio,
                        .task_labels = task_labels,
                        .task_step = task_step,
                        .random_heads = random_heads,
                        .inner_steps = inner_steps,
                        .label_grad = label_grad,
                        .cross_entropy = cross_entropy,
                        .task_grad = task_grad,
                        .linear_grad = linear_grad,
                        .head_grad = head_grad,
                        .adam = adam,
                        .random_linear = random_linear,
                        .random_rows = random_rows};
}
