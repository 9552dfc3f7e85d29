/* train.c - TURTLE's training loop.
 *
 * Gadetsky, Jiang, Brbic: Let Go of Your Labels with Unsupervised Transfer, ICML 2024, section 3.
 * K representation spaces, a weight-normalised linear task encoder theta_k and a plain linear head
 * W_k in each. Start reading at outer_iteration: what stands before it is a batch and two lists of
 * arguments. */
#include "host/train/train.h"

#include "host/train/train_memory.h"
#include "host/train/train_random.h"

/* --- a batch ---------------------------------------------------------------------------------- */

/* Draws B distinct rows and gathers their features in every space. */
static void gather_batch(Train *r, Queue *q, const Batch *Z) {
    const TrainConfig *c = &r->config;
    train_draw_rows(r, q);
    for (int k = 0; k < c->K; k++) r->ops->matrix.gather(q, &Z[k], &r->features[k], r->rows, c->B);
}

/* Gathers the next iteration's batch, on a queue of its own that end_iteration joins. */
static void gather_ahead(Train *r, Queue *q) {
    gather_batch(r, q, r->next_Z);
    r->ops->mem.count(q, r->drawn, 1);
}

/* Takes the features that were gathered beside the iteration before, for they come over a bus; the
 * next ones are gathered beside this iteration. */
static void take_batch(Train *r, Queue *q) {
    for (int k = 0; k < r->config.K; k++)
        r->ops->mem.copy(q, r->Z[k].data, r->next_Z[k].data,
                         train_batch_bytes(&r->Z[k], r->config.B));
    gather_ahead(r, r->ops->mem.branch(q));
}

/* --- the algorithm ---------------------------------------------------------------------------- */

static TaskSteps task_steps(const Train *r) {
    const TrainConfig *c = &r->config;
    TaskSteps s = {.K = c->K,
                   .P = r->P,
                   .Y = r->Y,
                   .P_bar = r->P_bar,
                   .entropy = r->entropy,
                   .loss = r->loss,
                   .B = c->B,
                   .C = c->C,
                   .gamma = c->gamma,
                   .lr = c->outer_lr,
                   .step = r->iteration,
                   .scratch = r->scratch};
    for (int k = 0; k < c->K; k++)
        s.space[k] = (TaskSpace){r->Z[k], r->task[k], r->task_m1[k], r->task_m2[k]};
    return s;
}

static InnerSteps inner_steps(const Train *r) {
    const TrainConfig *c = &r->config;
    InnerSteps s = {.K = c->K,
                    .Y = r->Y,
                    .B = c->B,
                    .C = c->C,
                    .M = c->M,
                    .tier = c->tier,
                    .lr = c->inner_lr,
                    .step = r->head_step,
                    .losses = r->inner_losses,
                    .scratch = r->scratch,
                    .beside = c->beside};
    for (int k = 0; k < c->K; k++)
        s.space[k] = (InnerSpace){r->Z[k], r->head[k], r->head_m1[k], r->head_m2[k]};
    return s;
}

static Status end_iteration(Train *r) {
    if (r->ahead) r->ops->mem.join(r->queue);
    return r->ops->mem.count(r->queue, r->iteration, 1);
}

/* Enqueues one outer iteration. What changes from one to the next is in device memory, so that a
 * queue may record this once and replay it. */
static Status outer_iteration(void *run) {
    Train *r = run;
    const TrainConfig *c = &r->config;
    const TrainOps *train = &r->ops->train;
    const DeviceOps *mem = &r->ops->mem;
    Queue *q = r->queue;
    const TaskSteps tasks = task_steps(r);
    const InnerSteps heads = inner_steps(r);

    /* 1. Draw B distinct rows; Z_k are their features in space k. */
    mem->phase(q, "gather");
    if (r->ahead) take_batch(r, q);
    else gather_batch(r, q, r->Z);

    /* 2. P_k = softmax(theta_k(Z_k)), labels Y = mean_k P_k (Eq. 9), and the mean of P_k over the
     *    batch. With a prior the outer loss has + gamma sum_k KL(mean_b P_k || prior) in place of the
     *    entropy. */
    mem->phase(q, "encode");
    train->task_labels(q, &tasks);
    if (r->prior) train->prior_ratio(q, r->P_bar, r->prior, c->K, c->C);

    /* 3. A cold start takes fresh heads and fresh Adam state; a warm start keeps both. */
    mem->phase(q, "inner");
    if (!c->warm_start && !c->torch_rng) train->random_heads(q, &heads, c->seed, r->iteration);

    /* 4. M Adam steps of every head on CE(W_k(Z_k), Y), Y held constant (Eq. 13). */
    train->inner_steps(q, &heads);
    if (c->warm_start) mem->count(q, r->head_step, c->M);

    /* 5. The outer loss is sum_k CE(W_k(Z_k), Y) - gamma sum_k H(mean_b P_k), heads held constant
     *    (Eq. 12, first order): its gradient reaches theta through Y and P_k and through weight norm;
     *    one Adam step. */
    mem->phase(q, "hypergrad");
    train->task_step(q, &tasks, &heads);
    return end_iteration(r);
}

/* Enqueues the five steps of outer_iteration, up to rounding, for a device that has steps 1, 2, 4 and 5 of such
 * heads as one operation. */
static Status iteration_at_once(void *run) {
    Train *r = run;
    const TrainConfig *c = &r->config;
    const TrainOps *train = &r->ops->train;
    const DeviceOps *mem = &r->ops->mem;
    Queue *q = r->queue;
    const TaskSteps tasks = task_steps(r);
    const InnerSteps heads = inner_steps(r);
    mem->phase(q, "gather");
    if (r->ahead) take_batch(r, q);
    else train_draw_rows(r, q);
    mem->phase(q, "iteration");
    if (!c->warm_start && !c->torch_rng) train->random_heads(q, &heads, c->seed, r->iteration);
    train->iteration(q, &tasks, &heads, r->features, r->ahead ? NULL : r->rows, r->prior);
    if (c->warm_start) mem->count(q, r->head_step, c->M);
    return end_iteration(r);
}

/* Gathers the first batch of a run whose batches are gathered one iteration ahead. */
static void begin_ahead(Train *r) {
    r->ops->mem.copy(r->queue, r->drawn, r->iteration, sizeof *r->iteration);
    if (r->config.torch_rng) train_draw_rows_on_host(r);
    gather_ahead(r, r->queue);
    r->begun = true;
}

Status train_iteration(Train *r, Error *err) {
    if (r->ahead && !r->begun) begin_ahead(r);
    if (r->config.torch_rng) { /* the host draws outside of what the queue records */
        train_draw_rows_on_host(r);
        if (!r->config.warm_start) train_draw_heads(r);
    }
    const Status st = r->ops->mem.replay(r->queue, &r->graph,
                                         r->at_once ? iteration_at_once : outer_iteration, r);
    return st == OK ? OK : r->ops->mem.wait(r->queue, err); /* wait tells what failed */
}

InnerOutlook train_outlook(const Ops *ops, const TrainConfig *c) {
    InnerSteps s = {.K = c->K, .B = c->B, .C = c->C, .M = c->M, .tier = c->tier};
    for (int k = 0; k < c->K; k++) s.space[k].Z = train_batch(c, ops, k);
    return ops->train.inner_outlook ? ops->train.inner_outlook(ops->device, &s)
                                    : (InnerOutlook){.trainings = 1};
}

/* --- a run's life ----------------------------------------------------------------------------- */

/* Makes the features readable on the device: what fits beside the arrays is resident. */
static Status open_features(Train *r, Error *err) {
    const TrainConfig *c = &r->config;
    Status st = OK;
    for (int k = 0; st == OK && k < c->K; k++) {
        if (c->on_device) r->features[k] = c->on_device[k];
        else st = r->ops->mem.features_open(r->ops->device, &r->features[k], c->features[k], err);
        r->ahead |= st == OK && r->ops->mem.features_remote(r->ops->device, &r->features[k]);
    }
    return st;
}

Status train_open(Train *out, const Ops *ops, const TrainConfig *config, Error *err) {
    Train *r = out;
    *r = (Train){0};
    if (config->K < 1 || config->K > MAX_SPACES || config->C < 2 || config->M < 0 ||
        config->B < 1 || config->B > config->features[0]->N)
        return fail(err, ERR_ARG,
                    "training: %d spaces, %lld classes, batches of %lld: not a problem", config->K,
                    (long long)config->C, (long long)config->B);
    *r = (Train){.config = *config, .ops = ops, .N = config->features[0]->N};
    for (int k = 0; k < config->K; k++) r->d[k] = config->features[k]->d;
    Status st = ops->mem.queue_open(ops->device, &r->queue, err);
    if (st == OK) st = train_allocate(r, err);
    if (st == OK) st = open_features(r, err);
    if (st == OK && r->ahead) st = train_allocate_ahead(r, err);
    if (st == OK) {
        const InnerSteps heads = inner_steps(r);
        r->at_once = ops->train.iteration && ops->train.iteration_fits(ops->device, &heads);
        if (r->prior)
            ops->mem.to_device(r->queue, r->prior, config->prior,
                               config->C * (int64_t)sizeof *r->prior);
        st = train_draw_weights(r, err);
    }
    if (st != OK) train_close(r);
    return st;
}

void train_close(Train *r) {
    if (!r || !r->ops) return;
    train_end_drawing(r);
    r->ops->mem.graph_free(r->graph);
    r->ops->mem.queue_close(r->queue);
    train_free_arrays(r);
    for (int k = 0; !r->config.on_device && k < r->config.K; k++)
        r->ops->mem.features_close(r->ops->device, &r->features[k]);
    *r = (Train){0};
}

Status train_losses(Train *r, TrainLosses *out, Error *err) {
    float loss[MAX_SPACES], entropy[MAX_SPACES];
    const int64_t bytes = r->config.K * (int64_t)sizeof(float);
    r->ops->mem.to_host(r->queue, loss, r->loss, bytes);
    r->ops->mem.to_host(r->queue, entropy, r->entropy, bytes);
    const Status st = r->ops->mem.wait(r->queue, err);
    *out = (TrainLosses){0};
    for (int k = 0; st == OK && k < r->config.K; k++) {
        out->loss += loss[k];
        out->entropy += entropy[k];
    }
    return st;
}

Status train_read_task(Train *r, float *const *linear, Error *err) {
    Status st = OK;
    for (int k = 0; st == OK && k < r->config.K; k++) {
        const int64_t C = r->config.C, d = r->d[k];
        r->ops->train.weight_norm(r->queue, r->W, r->task[k], C, d);
        r->ops->mem.to_host(r->queue, linear[k], r->W, C * d * (int64_t)sizeof(float));
        r->ops->mem.to_host(r->queue, linear[k] + C * d, r->task[k] + C * d,
                            C * (int64_t)sizeof(float));
        st = r->ops->mem.wait(r->queue, err); /* W serves the next space */
    }
    return st;
}
