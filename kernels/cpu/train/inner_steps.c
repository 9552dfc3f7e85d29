/*
 * inner_steps.c - M Adam steps of every space's head towards the labels Y (paper Eq. 13)
 *
 *     logits = Z W^T + b,    R = (softmax(logits) sum_c Y - Y)/B,
 *     (W, b) <- Adam(R^T Z, column sums of R)
 *
 * Shapes   Z (B,d), Y (B,C), head (C,d) then (C); losses (M) before each step, summed over spaces.
 * Cost     4BCd flops and one pass over Z per step and space: 4Bd bytes from memory (half of it
 *          where the batch is of 16 bits), for a panel stays in the second-level cache from its
 *          logits to its gradient.
 * Mapping  rows cut into groups with a private gradient each, groups over threads:
 *
 *              group 0           group 1           ...     then, elements over threads:
 *              panel panel ...   panel panel ...           gradient = sum of groups, in order;
 *              | logits          |                         Adam, in the same visit
 *              | residual        |
 *              | R^T Z           |
 *
 * Needs    scratch (cpu_inner_scratch): packed W, a gradient and a panel of logits per group.
 *          Same bits for any number of threads.
 * History  GFLOP/s of a step, 4BCd, median of 9, AMD EPYC (Zen 5), gcc 12.2, 1 thread (2 threads):
 *                                       v1 AVX2     v1 AVX-512   v2 AVX-512
 *              B 10000 d 768   C 10     67 (133)    80           158
 *              B 10000 d 768   C 100    93 (179)    170          201
 *              B 10000 d 768   C 1000   92 (175)    180          202
 *          v1: every class count padded to whole tiles; a batch's rows one after the other. Tiles
 *          of 12 x 16 lost to 12 x 32 (37, 114, 119): one broadcast per multiply-add.
 *          v2, predicted from the micro-kernel alone, which reaches 250: 200, 230, 220. Classes
 *          beyond whole tiles by dot products (C 10: 10 of 32 columns counted before); rows an odd
 *          number of cache lines apart, for a column of 768 floats met 4 sets of 64; gradients of
 *          groups added in runs, which begin by storing instead of zeros.
 *          v3, for a Xeon (Ice Lake, peak 176, memory 9 GB/s, pages of 4 KiB), where v2 was at 80 to
 *          90: a panel's products from cache 125 and 95 of logits and gradient at C 100, 105 and 62
 *          at C 1000; from memory a third less. Tiles of 6 x 64 instead of 12 x 32 (150 -> 170 in
 *          cache); residuals and columns of Z packed, for each row of a column is a page of its own
 *          (95 -> 140); W in runs of 192 features (107 -> 138 at C 1000); no masked loads in dot
 *          products (80 -> 120); the next panel fetched line by line inside the gradient's tiles
 *          (predicted 108 -> 140, measured 131 to 139; the same lines fetched in one burst before
 *          each tile: nothing gained, they block the first-level cache's misses).
 *          v4, for an EPYC (Zen 4, peak 117, memory 27 GB/s) at C 10, where a panel's products from cache reach
 *          109 and 106 and memory was waited for in the logits: these fetch half of the next panel too
 *          (predicted 39 -> 31 ms for M 10, measured 36.4; one product alone, as in matmul: 2.9 -> 1.8);
 *          rows' residuals pass by pass over eight of them (36.4 -> 35.0: 33 -> 25 ns a row).
 *          v5, on the same EPYC, from cache and per row at C 10 (peak: 131 ns for either product): logits 141 -> 134 ns,
 *          for sums of dot products are folded sixteen vectors at once; gradient 146 -> 139, for residuals of up to
 *          16 classes are read where they lie, and nobody divides. At C 20, 100 and 1000 gradients 340 -> 298,
 *          1455 -> 1402 and 14090 -> 13860: the first tile of a strip packs it (predicted: the copy's 53 ns).
 *          v6, few classes, sixteen rows side by side: residuals 25 -> 13 ns a row (predicted 8), for the lanes of one
 *          row's sums waited for each other. With v5 ten steps take 33.7 -> 30.4 ms, 86 % of the peak; whole
 *          iterations 46.4 -> 41.8 (C 10), 843 -> 811 (C 100, d 768 and 1024), in bfloat16 40.3 -> 26.2 and
 *          482 -> 443 (gemm_avx512bf16.c).
 *          v7, operands of tiles passed member by member (gemm.h): whole iterations 842 -> 819 ms (C 100, d 768 and
 *          1024, predicted 823), on a machine that others shared.
 *          v8, on the same EPYC, GFLOP/s of a panel's products at C 1000 (peak 117, a tile in cache 115): gradient
 *          103 -> 108, logits 109 -> 111. A tile fetched the lines of its sums in one burst of 24, as many as misses can
 *          wait, and its operands waited behind them: one line in a step (predicted 110). W's next run is fetched with the
 *          one before. Whole iterations at C 1000 3.42 -> 3.29 s, with two threads 1.73 -> 1.67, in bfloat16, whose tiles
 *          fetched nothing, 1.99 -> 1.85 (predicted 1.8); at C 100 0.815 -> 0.797. Labels are read where they lie, and
 *          residuals of up to 112 classes: equal, with a buffer less, and 0.4038 -> 0.4018 s with two threads.
 *          v9, few classes: panels of 64 rows, and samples that arrive within the first step (iteration.c).
 *          v10, ns a row of residuals at C 100 and 1000 70 -> 44 and 480 -> 330 (row_math.h), and groups' gradients added
 *          in blocks (sum_groups): whole iterations at C 100 785 -> 766 ms (predicted 773), with two threads 400 -> 392.
 *          Groups differ by 12 rows instead of a panel (predicted 0.8 % for two threads): 1.67 -> 1.65 s at C 1000, 400 ->
 *          398 ms at C 100.
 *          v11, 19 to 144 classes: columns of Z are read where they lie. The tile that packed them ran at 70 % of the peak,
 *          the others at 97, and since v3 pages are large (kernels/cpu/device.c; on small ones it is as fast). Lower
 *          quartiles of whole iterations at C 20, 48 and 100: 223.2 -> 215.9, 329.0 -> 323.0 and 766.3 -> 762.0 ms
 *          (predicted 1 %), with two threads 391.7 -> 384.4; for 200 classes and more AVX2 loses 2 %. W in runs of 384
 *          features instead of 192: strips of logits at 97.7 % of the peak instead of 96.8, whole iterations 768.0 -> 766.3
 *          ms, with two threads 389.8 -> 387.2, with AVX2 194.0 -> 192.0.
 *          v12, 49 to 63 classes, or as many behind whole strips: dot products, which were slower once, instead of a padded
 *          strip. Whole iterations at C 50, 56, 60 and 120 388.9 -> 342.2 (predicted 350), 408.4 -> 380.3, 422.8 -> 407.8
 *          and 818.8 -> 788.8 ms, the best of each; at C 63 1 % less.
 *          Tried and dropped: every second step from the last group to the first, so that it begins with what the
 *          third-level cache still holds (equal: 34.4 and 34.2 ms); panels of 48, 60 and 96 rows (equal), of 72 to 132 rows
 *          at C 100 (equal); W in runs of 512 and 768 features (equal to 384); residuals packed in blocks of 72 to 504
 *          classes (equal or slower); the next tile's residuals fetched (equal); the next rows' labels fetched (equal at C
 *          100 and 1000); all spaces' groups in one loop, with half of the waits (equal with two threads at C 100); the
 *          steps of all spaces as one list of stages, of which a thread takes the next while another has the last group of
 *          the one before (there threads wait 0.9 % of the time instead of 1.7, and groups take that much longer: equal);
 *          last groups of a half and a quarter of the others' rows (equal); dot products with AVX2 (61 against 70); tiles
 *          of 8 x 48 (equal to 6 x 64, and no whole number of them in a head of attention) and, on the EPYC, of 12 x 32 (8
 *          % slower at C 100, 12 at C 1000); the next columns of Z fetched by the last two tiles (equal); panels of 240
 *          rows (equal); gradients kept as whole tiles (equal).
 */
#include <math.h>
#include <string.h>

#include "kernels/cpu/gemm/row_math.h"
#include "kernels/cpu/operations.h"

/* Rows whose residuals are computed together, and the most classes of which so many stay in a first-level cache. */
enum { ROWS_TOGETHER = 8, CLASSES_TOGETHER = 448 };

/* The pieces of the scratch memory. */
typedef struct {
    int64_t groups, ld, width; /* width: classes in whole vectors; ld: floats between rows */
    char *packed_W;            /* as pack_weight lays it */
    float *bias;               /* (width), -1e30 beyond C: those classes get probability 0 */
    float *grad;               /* (groups, linear_size) */
    float *features;           /* (groups, panel_buffer) */
    float *logits;             /* (groups, panel_rows, ld) */
    char *residual;            /* (groups, residual_bytes) */
    double *loss;              /* (groups) */
    int64_t bytes;             /* of all pieces */
} Scratch;

static Scratch lay_out(void *scratch, const Batch *Z, int64_t B, int64_t C) {
    Scratch s = {.groups = gradient_groups(Z->type, B, C, Z->d),
                 .ld = batch_row(DTYPE_F32, C),
                 .width = round_up(C, VEC_FLOATS)};
    Pieces pieces = {scratch, 0};
    s.packed_W = take(&pieces, packed_bytes(Z->type, C, Z->d));
    s.bias = take_f32(&pieces, s.width);
    s.grad = take_f32(&pieces, s.groups * linear_size(C, Z->d));
    s.features = take_f32(&pieces, s.groups * panel_buffer(Z));
    s.logits = take_f32(&pieces, s.groups * panel_rows(Z->type, C) * s.ld);
    s.residual = take(&pieces, s.groups * residual_bytes(Z->type, C));
    s.loss = take_f64(&pieces, s.groups);
    s.bytes = pieces.bytes;
    return s;
}

int64_t cpu_inner_scratch(DType type, int64_t B, int64_t C, int64_t d_least, int64_t d) {
    int64_t bytes = 0;
    for (; d >= d_least; d = features_in_more_groups(type, B, C, d))
        bytes = most(bytes, lay_out(NULL, &(Batch){.type = type, .d = d}, B, C).bytes);
    return bytes;
}

/* The parts of each row's cross-entropy: -sum_c y (x - top - ln sum) = mass ln sum - dot. */
typedef struct {
    float sum[BF16_PANEL], mass[BF16_PANEL], dot[BF16_PANEL];
} RowSums;

/* Turns the logits (without bias) of rows first .. first+n of a panel into their residuals. Each pass takes all
 * rows, so that the long chains of one row's maximum, exponential and sum wait beside those of its neighbours. */
static void residual_rows(const Scratch *s, RowSums *sums, float *logits, const float *Y,
                          int64_t first, int64_t n, int64_t C, float scale) {
    float top[ROWS_TOGETHER], *x = logits + first * s->ld;
    float *sum = sums->sum + first, *mass = sums->mass + first, *dot = sums->dot + first;
    for (int64_t i = 0; i < n; i++) top[i] = largest_with_bias(x + i * s->ld, s->bias, s->width);
    for (int64_t i = 0; i < n; i++) {
        float *row = x + i * s->ld;
        const RowSum of = exponentials(row, row, Y + i * C, top[i], C, s->width);
        sum[i] = of.exp, mass[i] = of.mass, dot[i] = of.dot;
    }
    for (int64_t i = 0; i < n; i++)
        residual(x + i * s->ld, Y + i * C, scale * mass[i] / sum[i], scale, C);
}

/* Does so for few classes, LANES rows side by side, whose labels lie C apart. */
static void residual_lanes(const Scratch *s, RowSums *sums, float *logits, const float *Y,
                           int64_t first, int64_t n, int64_t C, float scale) {
    Lanes x, y;
    float top[LANES], sum[LANES] = {0}, mass[LANES] = {0}, dot[LANES] = {0}, share[LANES];
    rows_to_lanes(x, logits + first * s->ld, s->ld, n, C);
    rows_to_lanes(y, Y, C, n, C);
    for (int l = 0; l < LANES; l++) top[l] = -INFINITY;
    for (int64_t c = 0; c < C; c++)
        for (int l = 0; l < LANES; l++) {
            x[c][l] += s->bias[c];
            top[l] = x[c][l] > top[l] ? x[c][l] : top[l];
        }
    for (int64_t c = 0; c < C; c++)
        for (int l = 0; l < LANES; l++) {
            const float shifted = x[c][l] - top[l];
            dot[l] += y[c][l] * shifted;
            mass[l] += y[c][l];
            x[c][l] = exp_f32(shifted);
            sum[l] += x[c][l];
        }
    for (int l = 0; l < LANES; l++) share[l] = scale * mass[l] / sum[l];
    for (int64_t c = 0; c < C; c++)
        for (int l = 0; l < LANES; l++) x[c][l] = x[c][l] * share[l] - y[c][l] * scale;
    lanes_to_rows(logits + first * s->ld, s->ld, x, n, C);
    memcpy(sums->sum + first, sum, (size_t)n * sizeof *sum);
    memcpy(sums->mass + first, mass, (size_t)n * sizeof *mass);
    memcpy(sums->dot + first, dot, (size_t)n * sizeof *dot);
}

static double cross_entropy_sum(const RowSums *s, int64_t n) {
    double loss = 0.0;
    SIMD(reduction(+ : loss))
    for (int64_t i = 0; i < n; i++) loss += (double)(s->mass[i] * log_f32(s->sum[i]) - s->dot[i]);
    return loss;
}

/* One step of one space. */
typedef struct {
    const Device *device;
    const InnerSteps *in;
    const InnerSpace *space;
    const Scratch *s;
    AdamStep adam;
    PanelArrival *arrive; /* NULL where the batch is complete */
    const void *context;
} Step;

/* Computes the gradient and loss of one group of panels. */
static void run_group(const Step *step, int64_t g) {
    const InnerSteps *in = step->in;
    const InnerSpace *space = step->space;
    const Scratch *s = step->s;
    const DType type = space->Z.type;
    const int64_t B = in->B, C = in->C, d = space->Z.d, height = panel_rows(type, C);
    const GroupRows rows = group_rows(g, s->groups, B, height, panel_unit(type, C));
    float *grad = s->grad + g * linear_size(C, d), *logits = s->logits + g * height * s->ld;
    float *features = s->features + g * panel_buffer(&space->Z);
    const float scale = 1.0f / (float)B;
    double loss = 0.0;
    RowSums sums;
    Arriving arriving;
    memset(logits, 0, (size_t)(height * s->ld) * sizeof *logits);
    for (int64_t p = 0; p < rows.panels; p++) {
        const int64_t first = panel_first(&rows, p), n = panel_first(&rows, p + 1) - first;
        Panel Z = panel_features(step->device, &space->Z, first, n, features);
        if (step->arrive) {
            step->arrive(step->context, first, n, &arriving);
            Z.arriving = &arriving;
        }
        panel_logits(logits, s->ld, fetching_first_half(Z), s->packed_W, space->head, n, C, d);
        const bool lanes = LANE_CLASSES > 0 && C <= LANE_CLASSES;
        for (int64_t i = 0; lanes && i < n; i += LANES)
            residual_lanes(s, &sums, logits, in->Y + (first + i) * C, i, least(n - i, LANES), C,
                           scale);
        const int64_t together = C <= CLASSES_TOGETHER ? ROWS_TOGETHER : 1;
        for (int64_t i = 0; !lanes && i < n; i += together)
            residual_rows(s, &sums, logits, in->Y + (first + i) * C, i, least(n - i, together), C,
                          scale);
        loss += cross_entropy_sum(&sums, n);
        panel_gradient(grad, p > 0, logits, s->ld, fetching_second_half(Z), n, C, d,
                       s->residual + g * residual_bytes(type, C));
    }
    s->loss[g] = loss;
}

static void run_groups(const void *loop, int64_t first, int64_t end, int thread) {
    const Step *step = loop;
    (void)thread;
    for (int64_t g = first; g < end; g++) run_group(step, g);
}

/* Adds the groups' gradients, in order, and takes one Adam step. Passes are runs of elements. */
static void reduce_and_step(const void *loop, int64_t begin, int64_t end, int thread) {
    const Step *step = loop;
    const InnerSpace *space = step->space;
    const Scratch *s = step->s;
    const AdamStep a = step->adam;
    const int64_t n = linear_size(step->in->C, space->Z.d);
    (void)thread;
    for (int64_t first = begin * ELEMENT_RUN; first < end * ELEMENT_RUN && first < n;
         first += ELEMENT_RUN) {
        float grad[ELEMENT_RUN];
        const int64_t count = least(n - first, ELEMENT_RUN);
        float *head = space->head + first, *m1 = space->m1 + first, *m2 = space->m2 + first;
        sum_groups(grad, s->grad, s->groups, n, first, count);
        SIMD()
        for (int64_t i = 0; i < count; i++) adam_update(a, head + i, grad[i], m1 + i, m2 + i);
    }
}

static bool servable(const InnerSteps *in) {
    if (!heads_complete(in) || in->M < 0 || !in->step) return false;
    for (int k = 0; k < in->K; k++)
        if (!in->space[k].m1 || !in->space[k].m2) return false;
    return true;
}

Status cpu_inner_steps_arriving(Queue *q, const InnerSteps *in, PanelArrival *arrive,
                                const void *context) {
    REQUIRE(q, in && in->scratch && servable(in), "inner_steps");
    Threads *pool = q->device->pool;
    char *scratch = in->scratch;
    for (int64_t m = 0; m < in->M; m++) {
        const AdamStep a = adam_step(in->lr, *in->step + m);
        double loss = 0.0;
        for (int k = 0; k < in->K; k++) {
            const InnerSpace *space = &in->space[k];
            const int64_t d = space->Z.d;
            const Scratch s = lay_out(scratch, &space->Z, in->B, in->C);
            const bool first = m == 0 && k == 0;
            const Step step = {q->device, in, space, &s, a, first ? arrive : NULL, context};
            pack_weight(s.packed_W, q->device, space->Z.type, space->head, in->C, d);
            bias_of_rows(s.bias, space->head + in->C * d, in->C, s.width);
            threads_loop(pool, s.groups, 1, run_groups, &step);
            for (int64_t g = 0; g < s.groups; g++) loss += s.loss[g];
            threads_loop(pool, element_runs(linear_size(in->C, d)),
                         rows_run(ELEMENT_RUN * s.groups), reduce_and_step, &step);
        }
        if (in->losses) in->losses[m] = (float)(loss / (double)in->B);
    }
    return OK;
}

Status cpu_inner_steps(Queue *q, const InnerSteps *in) {
    return cpu_inner_steps_arriving(q, in, NULL, NULL);
}
