/*
 * iteration.c - an outer iteration at once (kernels/train.h, IterationOp)
 *
 * Cost     (4M + 6)BCd flops per space.
 * Mapping  the operations of an iteration one after the other. But samples arrive within the task's logits (gather.c). Of
 *          few classes the first space's arrive panel by panel: each panel is labelled, read by the first inner step and
 *          copied to the batch, while the next one is fetched.
 * Needs    scratch: a task encoder's weight, then the most that a part needs.
 * History  ms of an iteration, B 10000, d 768, C 10, M 10, one thread (two), AMD EPYC (Zen 4), gcc 12.2:
 *          v1: gather and labels in one pass, then the steps: 41.6 (20.8).
 *          v2: samples arrive within the first step (predicted 39.9, for the gather waited 1.7 ms for memory): equal. A
 *          row is in 1.7 pages on average. A fetch waits until its page is found, and all behind it wait too, although
 *          nobody reads the row yet: products of an arriving panel took 820 ns a row, and 410 of a complete one.
 *          v3: the pages of a whole panel are touched together (predicted 120 ns a row less, measured 190), and a panel
 *          has 64 rows instead of 120, so that two of them leave room in the second-level cache: 38.0 (19.7).
 *          An iteration with 48, 20 and 2 classes takes 0.97, 0.98 and 0.89 of v1's time.
 */
#include "kernels/cpu/gemm/gemm.h"
#include "kernels/cpu/operations.h"

/* The pieces of the scratch memory. */
typedef struct {
    float *weight; /* (C,d) of one task encoder */
    void *work;    /* scratch of one part at a time */
    int64_t bytes; /* of all pieces */
} Scratch;

static Scratch lay_out(void *scratch, int64_t C, int64_t d, int64_t work) {
    Scratch s;
    Pieces pieces = {scratch, 0};
    s.weight = take_f32(&pieces, C * d);
    s.work = take(&pieces, work);
    s.bytes = pieces.bytes;
    return s;
}

int64_t cpu_iteration_scratch(DType type, int64_t B, int64_t C, int64_t d_least, int64_t d) {
    int64_t work = cpu_inner_scratch(type, B, C, d_least, d);
    work = most(work, cpu_matmul_scratch(MATMUL_NT, B, C, d));
    return lay_out(NULL, C, d, most(work, cpu_batch_entropy_scratch(C))).bytes;
}

bool cpu_iteration_fits(const Device *device, const InnerSteps *heads) {
    (void)device;
    return heads->tier == INNER_AUTO && DOT_CLASSES > 0 && packed_classes(heads->C) < heads->C &&
           heads->space[0].Z.type == DTYPE_F32 && cpu_gather_streams(&heads->space[0].Z, heads->B);
}

typedef struct {
    const TaskSteps *tasks;
    GatherLinear gather; /* of the first space */
} Arrival;

/* Labels a panel of the first space, and copies half of it. The others' P are there already. */
static void arrive(const void *context, int64_t first, int64_t n, Arriving *panel) {
    const Arrival *a = context;
    const TaskSteps *s = a->tasks;
    const int64_t C = s->C;
    float *P = s->P + first * C;
    cpu_gather_linear_panel(&a->gather, panel, first, n, 2);
    cpu_softmax_rows(P, P, n, C);
    cpu_label_mean_run(s->Y, s->P, s->K, s->B * C, first * C, (first + n) * C);
}

Status cpu_iteration(Queue *q, const TaskSteps *s, const InnerSteps *heads, const Features *from,
                     const int64_t *rows, const float *prior) {
    REQUIRE(q, tasks_complete(s, batch_servable) && heads_match(s, heads) && (from || !rows),
            "iteration");
    const int64_t B = s->B, C = s->C;
    int64_t d = 0;
    for (int k = 0; k < s->K; k++) d = most(d, s->space[k].Z.d);
    const Scratch scratch = lay_out(s->scratch, C, d, 0);
    Arrival a = {.tasks = s};
    bool arrives = false;
    InnerSteps in = *heads;
    in.Y = s->Y;
    in.scratch = scratch.work;
    /* The first space comes last, for its labels may wait until its samples arrive. */
    for (int k = s->K - 1; k >= 0; k--) {
        const TaskSpace *space = &s->space[k];
        float *P = s->P + k * B * C, *W = scratch.weight;
        const int64_t d_k = space->Z.d;
        const float *bias = space->task + C * d_k;
        cpu_weight_norm(q, W, space->task, C, d_k);
        if (rows) {
            a.gather = (GatherLinear){P, &space->Z, &from[k], rows, W, bias, B, C, NULL};
            arrives =
                k == 0 && C <= DOT_CLASSES && heads->M > 0 && cpu_gather_linear_fits(&a.gather);
            if (arrives) break;
            cpu_gather_linear(q, &a.gather, scratch.work);
        } else {
            cpu_matmul(q, MATMUL_NT, P, &space->Z, W, bias, B, C, d_k, scratch.work);
        }
        cpu_softmax(q, P, P, B, C);
    }
    if (!arrives) cpu_label_mean(q, s->Y, s->P, s->K, B, C);
    cpu_inner_steps_arriving(q, &in, arrives ? arrive : NULL, &a);
    cpu_batch_entropy(q, s->P_bar, s->entropy, s->P, s->K, B, C, scratch.work);
    if (prior) cpu_prior_ratio(q, s->P_bar, prior, s->K, C);
    return cpu_task_step(q, s, heads);
}
