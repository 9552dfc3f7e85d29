/*
 * inner_steps.cu - M Adam steps of every space's head towards the labels Y (paper Eq. 13)
 *
 *     logits = Z W^T + b,   R = (softmax(logits) sum_c Y - Y)/B,   (W, b) <- Adam(R^T Z, sums of R)
 *
 * Shapes   Z_k (B,d_k), Y (B,C), head (C,d_k) then (C); losses (M) before each step, summed over k.
 * Cost     4BCd flops per step and space; Z twice, R and the partial gradients through L2.
 * Tiers    have the same result up to rounding:
 *
 *              unfused   per step and space matmul, cross_entropy, linear_grad, adam: the shipped
 *                        kernel of every operation, 4 to 8 launches
 *              fused     per step, all spaces together, two launches:
 *
 *                  residual.cuh   Z, W -> logits -> R            (a block: 64 rows, all classes)
 *                  gradient.cuh   R, Z -> gradient -> Adam -> W  (a block: a tile of W, a piece of B)
 *
 *              In the second launch the share of the gradient that a block has summed goes through Adam
 *              at once: gradients are never in memory as a whole. Where operands are of 16 bits the block
 *              also rounds the new W for the next step's products; the master stays float32.
 *
 *              mega      all steps in one persistent launch, of the form that plan.h says: slab, wgmma or
 *                        tiled (inner_forms.cuh)
 *
 * Needs    scratch (cuda_inner_scratch). Fused and mega want spaces of one operand type; others are unfused.
 */
#include "kernels/cuda/inner/inner_forms.cuh"
#include "kernels/cuda/inner/inner_phases.cuh"

/* --- unfused ---------------------------------------------------------------------------------- */

/* *now = *step + m, which adam reads. */
__global__ void step_number(int64_t *now, const int64_t *step, int64_t m) {
    *now = *step + m;
}

/* *loss (+)= own. */
__global__ void add_loss(float *loss, const float *own, int first) {
    *loss = first ? *own : *loss + *own;
}

struct UnfusedScratch {
    int64_t *now;
    float *own_loss, *logits, *grad;
    void *work;
    int64_t bytes;
};
static UnfusedScratch lay_out_unfused(void *scratch, DType type, int64_t B, int64_t C, int64_t d) {
    UnfusedScratch s = {};
    Pieces pieces = {scratch, 0};
    s.now = take_i64(&pieces, 1);
    s.own_loss = take_f32(&pieces, 1);
    s.logits = take_f32(&pieces, B * C);
    s.grad = take_f32(&pieces, linear_size(C, d));
    int64_t work = most(cuda_matmul_scratch(MATMUL_NT, B, C, d), cuda_cross_entropy_scratch(B));
    s.work = take(&pieces, most(work, cuda_linear_grad_scratch(type, B, C, d)));
    s.bytes = pieces.bytes;
    return s;
}

static Status unfused_steps(Queue *q, const InnerSteps *in) {
    for (int64_t m = 0; m < in->M; m++)
        for (int k = 0; k < in->K; k++) {
            const InnerSpace *space = &in->space[k];
            const int64_t B = in->B, C = in->C, d = space->Z.d;
            const UnfusedScratch s = lay_out_unfused(in->scratch, space->Z.type, B, C, d);
            launch(q, step_number, dim3(1), 1, 0, s.now, in->step, m);
            cuda_matmul(q, MATMUL_NT, s.logits, &space->Z, space->head, space->head + C * d, B, C,
                        d, s.work);
            cuda_cross_entropy(q, s.own_loss, s.logits, NULL, false, s.logits, in->Y, B, C, s.work);
            if (in->losses) launch(q, add_loss, dim3(1), 1, 0, in->losses + m, s.own_loss, k == 0);
            cuda_linear_grad(q, s.grad, s.logits, &space->Z, B, C, s.work);
            cuda_adam(q, space->head, s.grad, space->m1, space->m2, linear_size(C, d), in->lr,
                      s.now);
        }
    return q->status;
}

/* --- fused ------------------------------------------------------------------------------------ */

template <class T> static Status fused_steps(Queue *q, const InnerSteps *in) {
    const FusedScratch scratch =
        lay_out_fused(in->scratch, in->space[0].Z.type, in->K, in->B, in->C, largest_d(in));
    InnerPhases<T> p = inner_phases<T>(in, scratch);
    for (int k = 0; k < in->K; k++)
        operand<T>(q, in->space[k].head, in->C, in->space[k].Z.d, batch_unit(&in->space[k].Z),
                   scratch.space[k].W);
    return with_gradient_tile(in->C, [&](auto shape) {
        using S = decltype(shape);
        if (q->status == OK)
            gradient_plan<S>(q, &p.gradient, gradient_resident<S, T, AdamEpilogue<T>>(q->device),
                             scratch.gradient);
        for (int64_t m = 0; m < in->M; m++) {
            residual_launch(q, p.residual, in->K);
            p.gradient.m = m;
            gradient_launch<S>(q, p.gradient, p.adam);
        }
        return q->status;
    });
}

/* --- persistent: slab, wgmma, tiled -------------------------------------------------------------- */

/* The arguments that a call has for plan.h. */
struct Asked {
    PlanDevice device;
    PlanSpace spaces[PLAN_MAX_SPACES];
    DType type;
    bool tf32;
};
static Asked asked_of(const Device *device, const InnerSteps *in) {
    const Batch &Z = in->space[0].Z;
    const int sms = in->beside > 1 ? device->sms / in->beside : device->sms;
    Asked a = {plan_device_like(sms > 0 ? sms : 1, device->shared_per_block, device->capability),
               {},
               Z.type,
               Z.tf32};
    for (int k = 0; k < in->K; k++) a.spaces[k] = PlanSpace{in->B, in->C, in->space[k].Z.d};
    return a;
}
/* Returns the plan in clusters of which the device holds enough. */
static Status plan_asked(Plan *out, const Asked &a, int K, Error *err) {
    const Status st = plan_inner(out, &a.device, a.spaces, K, a.type, a.tf32, err);
    if (st == OK && out->form == PLAN_WGMMA) plan_held(out, &a.device, wide_clusters(*out));
    return st;
}

InnerOutlook cuda_inner_outlook(const Device *device, const InnerSteps *in) {
    InnerOutlook out = {1, ""};
    const Asked a = asked_of(device, in);
    Plan plan;
    Error err;
    if ((in->tier != INNER_AUTO && in->tier != INNER_MEGA) ||
        plan_asked(&plan, a, in->K, &err) != OK)
        return out;
    out.trainings = plan_trainings(&a.device, a.spaces, in->K, a.type, a.tf32);
    if (plan.form == PLAN_WGMMA && in->tier == INNER_AUTO && wide_clusters(plan) < 1)
        snprintf(out.note, sizeof out.note,
                 "the device holds no cluster of %d blocks at once (a part of a GPU?): the inner "
                 "loop runs in tiles",
                 plan.cluster);
    return out;
}

Status inner_plan(Plan *out, const Device *device, const InnerSteps *in, Error *err) {
    const Asked a = asked_of(device, in);
    return plan_asked(out, a, in->K, err);
}

/* Runs all steps in one persistent launch, of the form that the plan says. */
static Status persistent_steps(Queue *q, const InnerSteps *in) {
    Plan plan;
    const Status st = inner_plan(&plan, q->device, in, &q->error);
    if (st != OK) return q->status = st;
    if (plan.form == PLAN_SLAB) return slab_steps(q, in, plan);
    /* --inner mega fails where a device holds no cluster; auto takes tiles */
    if (plan.form == PLAN_WGMMA && wide_sizes(in) &&
        (in->tier == INNER_MEGA || wide_clusters(plan) >= 1))
        return wide_steps(q, in, plan);
    return tiled_steps(q, in);
}

/* --- all tiers -------------------------------------------------------------------------------- */

int64_t cuda_inner_scratch(DType type, int K, int64_t B, int64_t C, int64_t d) {
    const int64_t unfused = lay_out_unfused(NULL, type, B, C, d).bytes;
    const int64_t fused = lay_out_fused(NULL, type, K, B, C, d).bytes;
    const int64_t slab = slab_scratch(type, K, B, C, d), most = unfused > fused ? unfused : fused;
    return most > slab ? most : slab;
}

static bool servable(const InnerSteps *in) {
    if (in->K < 1 || in->K > MAX_SPACES || !in->Y || in->B < 1 || in->C < 1 || in->M < 0 ||
        !in->step || !in->scratch)
        return false;
    for (int k = 0; k < in->K; k++)
        if (!batch_servable(&in->space[k].Z) || !in->space[k].head || !in->space[k].m1 ||
            !in->space[k].m2)
            return false;
    return true;
}

Status cuda_inner_steps(Queue *q, const InnerSteps *in) {
    REQUIRE(q, in && servable(in), "inner_steps");
    const bool asked = in->tier == INNER_FUSED || in->tier == INNER_MEGA;
    REQUIRE(q, !asked || one_type(in),
            "inner_steps (spaces of several precisions: --inner unfused)");
    if (in->tier == INNER_UNFUSED || !one_type(in) || q->device->naive) return unfused_steps(q, in);
    if (in->tier != INNER_FUSED) return persistent_steps(q, in);
    return with_type(&in->space[0].Z,
                     [&](auto type) { return fused_steps<decltype(type)>(q, in); });
}
