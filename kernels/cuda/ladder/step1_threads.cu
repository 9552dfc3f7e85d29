/*
 * step1_threads.cu - step 1 of the ladder: a thread per logit, a thread per weight
 *
 *     logits[b,c] = sum_j Z[b,j] W[c,j] + bias[c]      then      grad[c,j] = 1/B sum_b R[b,c] Z[b,j]
 *
 * Idea     The equation is a loop; every result is a thread's. Threads share nothing, so nothing can go wrong.
 * Mapping  thread i computes logit (i / C, i % C); then thread i has row i; then thread i has weight (i % (d+1)) of
 *          class i / (d+1), where weight d is the bias, whose feature is 1.
 * Time     A warp's load takes one clock of its SM's L1 for each line of 128 bytes that it meets. Lanes of different
 *          classes read different rows of W: 10 lines for W and 4 for Z at C 10, where 2 would do. The gradient has only
 *          C (d+1) threads: each waits for the L2 cache once for every four rows.
 *              seconds = BCd/32 (min(C,32) + 32/C + 1) 128 bytes / ports  +  B/4 trips to L2  +  3 launches
 * See      gdb -q -batch -ex 'break logit_of if b == 3 && c == 7' -ex run -ex finish --args build/ladder-emu 1
 *              Breakpoint 1, logit_of (a=..., b=3, c=7)
 *              Value returned is $1 = 0
 * Look at  The head is zero at first, and so is every logit. `-ex 'ignore 1 1'` before `run` stops an inner step later.
 */
#include "kernels/cuda/ladder/ladder.cuh"

__device__ float logit_of(const Ladder &a, int b, int c) {
    const float *z = a.Z + (int64_t)b * a.d, *w = a.head + (int64_t)c * a.d;
    float sum = 0.0f;
    for (int j = 0; j < a.d; j++) sum = fmaf(z[j], w[j], sum);
    return sum + a.head[(int64_t)a.C * a.d + c];
}
__global__ void thread_per_logit(const Ladder a) {
    const int i = (int)(blockIdx.x * blockDim.x + threadIdx.x), b = i / a.C, c = i % a.C;
    if (b < a.B) a.R[i] = logit_of(a, b, c);
}

__global__ void thread_per_row(const Ladder a) {
    const int b = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (b < a.B) residual_row(a.R + (int64_t)b * a.C, a.Y + (int64_t)b * a.C, a.C);
}

__device__ float gradient_of(const Ladder &a, int c, int j) {
    const bool bias = j == a.d;
    const float *r = a.R + c, *z = a.Z + (bias ? 0 : j);
    float sum = 0.0f;
    for (int b = 0; b < a.B; b++, r += a.C, z += a.d) sum = fmaf(*r, bias ? 1.0f : *z, sum);
    return sum;
}
__global__ void thread_per_weight(const Ladder a, int steps_done) {
    const int i = (int)(blockIdx.x * blockDim.x + threadIdx.x), c = i / (a.d + 1),
              j = i % (a.d + 1);
    if (c < a.C) move_weight(a, c, j, gradient_of(a, c, j), steps_done);
}

/* --- on the host ---------------------------------------------------------------------------------- */

const char *launch_residual_rows(const Ladder &a) {
    return ladder_launch(thread_per_row, (a.B + 127) / 128, 128, 0, a);
}

static const char *run(const Ladder *a, int M) {
    const char *fault = NULL;
    for (int m = 0; m < M && !fault; m++) {
        fault = ladder_launch(thread_per_logit, (a->B * a->C + 127) / 128, 128, 0, *a);
        if (!fault) fault = launch_residual_rows(*a);
        if (!fault)
            fault = ladder_launch(thread_per_weight, (a->C * (a->d + 1) + 127) / 128, 128, 0, *a,
                                  a->done + m);
    }
    return fault;
}

static double seconds(const PlanDevice *p, double B, double C, double d) {
    const double lines = (C < 32.0 ? C : 32.0) + 32.0 / C + 1.0;
    return port_seconds(p, B * C * d / 32.0 * lines * 128.0) +
           B / 4.0 * p->l2_clocks / p->clock_hz + 3.0 * p->node_s;
}

extern "C" const LadderStep ladder_step1 = {
    "a thread per logit, a thread per weight", "thread_per_logit thread_per_row thread_per_weight",
    run, seconds, false};
