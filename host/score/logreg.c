/* logreg.c - multinomial logistic regression: a linear head fitted to known classes.
 *
 * Nearly all time is head_grad, 4 n C d flops an evaluation, at the rate of the inner loop's
 * products; evaluations are 1.05 times the iterations.
 * Tried and dropped: features whitened by (s S + I/C)^-1/2, S their scatter, the obvious
 * preconditioner: evaluations to 1e-6 of the minimum 257 -> 175 with the best s on the demo's
 * patches, but 306 with three times that s. 40 pairs of L-BFGS instead of 10: 671 -> 576
 * evaluations on both demo spaces, 123 -> 120 on bench/programs/probe.c's, for 60 more vectors. */
#include "host/score/logreg.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/tell/clock.h"
#include "host/tell/notify.h"
#include "kernels/pieces.h"

#define NEVER (-1e30f) /* the bias of a class that does not occur */

/* --- samples ---------------------------------------------------------------------------------- */

static int64_t aligned(int64_t bytes) {
    return round_up(bytes, 64);
}

static int64_t batch_bytes(const Batch *Z, int64_t rows) {
    return aligned(rows * Z->row * dtype_bytes(Z->type));
}

/* Returns the batch from sample `first` on. */
static Batch batch_from(const Batch *Z, int64_t first) {
    Batch rest = *Z;
    rest.data = (char *)Z->data + first * Z->row * dtype_bytes(Z->type);
    return rest;
}

/* Gathers in pieces: their row numbers take a megabyte, not eight bytes a sample. */
static Status gather_rows(Logreg *r, const Features *features, const int64_t *rows, Error *err) {
    enum { PIECE = 1 << 17 };
    const DeviceOps *mem = &r->ops->mem;
    const int64_t most = r->N < PIECE ? r->N : PIECE;
    Buffer piece;
    Status st = mem->alloc(r->ops->device, &piece, most * (int64_t)sizeof *rows, err);
    for (int64_t first = 0; st == OK && first < r->N; first += most) {
        const int64_t n = r->N - first < most ? r->N - first : most;
        const Batch to = batch_from(&r->Z, first);
        mem->to_device(r->queue, piece.data, rows + first, n * (int64_t)sizeof *rows);
        r->ops->matrix.gather(r->queue, &to, features, piece.data, n);
        st = mem->wait(r->queue, err);
    }
    mem->free(r->ops->device, &piece);
    return st;
}

Status logreg_open(Logreg *out, const Ops *ops, const Features *features, const int64_t *rows,
                   int64_t N, const int64_t *labels, int64_t C, Error *err) {
    const bool as_it_is = features->type == DTYPE_F16 && !features->swapped && !ops->f16_products;
    const DType type = as_it_is ? DTYPE_F16 : DTYPE_F32;
    Logreg *r = out;
    *r = (Logreg){.ops = ops,
                  .N = N,
                  .C = C,
                  .Z = {NULL, type, features->d, batch_row(type, features->d), false, 0}};
    Status st = OK;
    if (N < 1 || C < 2)
        st = fail(err, ERR_ARG, "logistic regression: %lld samples, %lld classes: not a problem",
                  (long long)N, (long long)C);
    for (int64_t i = 0; st == OK && i < N; i++)
        if (labels[rows[i]] < 0 || labels[rows[i]] >= C)
            st = fail(err, ERR_ARG,
                      "logistic regression: label %lld of sample %lld: expected 0 to %lld",
                      (long long)labels[rows[i]], (long long)rows[i], (long long)C - 1);
    if (st != OK) goto out;
    r->y_true = malloc((size_t)N * sizeof *r->y_true);
    if (!r->y_true) {
        st = fail(err, ERR_MEMORY, "logistic regression: out of memory");
        goto out;
    }
    for (int64_t i = 0; i < N; i++) r->y_true[i] = labels[rows[i]];
    st = ops->mem.queue_open(ops->device, &r->queue, err);
    const int64_t Z_bytes = batch_bytes(&r->Z, N);
    if (st == OK)
        st = ops->mem.alloc(ops->device, &r->memory, Z_bytes + N * (int64_t)sizeof *r->y, err);
    if (st != OK) goto out;
    r->Z.data = r->memory.data;
    r->y = (int32_t *)(void *)((char *)r->memory.data + Z_bytes);
    st = gather_rows(r, features, rows, err);
out:
    if (st != OK) logreg_close(r);
    return st;
}

void logreg_close(Logreg *r) {
    if (!r || !r->ops) return;
    r->ops->mem.queue_close(r->queue);
    r->ops->mem.free(r->ops->device, &r->memory);
    free(r->y_true);
    *r = (Logreg){0};
}

/* --- one fit ---------------------------------------------------------------------------------- */

typedef struct {
    int64_t first, n;
} Range;

typedef struct {
    Logreg *r;
    const LogregOptions *options;
    Range part[2];      /* samples before and behind the held ones; one may be empty */
    int64_t n, P;       /* samples in both, classes that occur there */
    int32_t *code, *y;  /* (C) number of each class, -1 if it does not occur; (N) of each sample */
    double penalty;     /* F holds penalty/2 |W|^2 */
    float *x;           /* (linear_size(P,d)) */
    Buffer memory;      /* on the device: */
    double *loss;       /* (1) */
    float *head, *grad; /* like x */
    void *scratch;
} Fit;

/* Cuts the memory, NULL to count it. Returns its bytes. */
static int64_t lay_out(Fit *f, void *memory) {
    const Ops *ops = f->r->ops;
    const int64_t d = f->r->Z.d, size = linear_size(f->P, d);
    int64_t scratch = 0;
    for (int i = 0; i < 2; i++)
        if (f->part[i].n > 0)
            scratch =
                most(scratch, ops->train.scratch_bytes(f->r->Z.type, 1, f->part[i].n, f->P, d, d));
    Pieces pieces = {memory, 0};
    f->loss = take_f64(&pieces, 1);
    f->head = take_f32(&pieces, size);
    f->grad = take_f32(&pieces, size);
    f->scratch = take(&pieces, scratch);
    return pieces.bytes;
}

/* Computes loss and gradient of both ranges. */
static Status sums_of(Fit *f, double *loss, float *gradient, Error *err) {
    Logreg *r = f->r;
    const Ops *ops = r->ops;
    bool add = false;
    for (int i = 0; i < 2; i++) {
        const Range range = f->part[i];
        const HeadGrad in = {.Z = batch_from(&r->Z, range.first),
                             .y = r->y + range.first,
                             .head = f->head,
                             .B = range.n,
                             .C = f->P,
                             .scratch = f->scratch};
        if (range.n == 0) continue;
        ops->train.head_grad(r->queue, f->loss, f->grad, &in, add);
        add = true;
    }
    ops->mem.to_host(r->queue, loss, f->loss, sizeof *loss);
    ops->mem.to_host(r->queue, gradient, f->grad,
                     linear_size(f->P, r->Z.d) * (int64_t)sizeof *gradient);
    return ops->mem.wait(r->queue, err);
}

/* Tells how far the fit is, by evaluations, which line searches make a few more than iterations. Returns whether to stop. */
static bool tell(const LogregOptions *o) {
    TurtleProgress *p = o->progress;
    if (!p || p->iteration == p->iterations) return false;
    p->iteration++;
    p->seconds = now_seconds() - o->started;
    return progress_tell(o->hooks, p);
}

/* Computes F and its gradient, which L-BFGS minimises. */
static Status objective(void *context, const float *x, double *value, float *gradient, Error *err) {
    Fit *f = context;
    const Ops *ops = f->r->ops;
    const TurtleHooks *hooks = f->options->hooks;
    const int64_t weights = f->P * f->r->Z.d;
    if (stop_asked(hooks) || tell(f->options))
        return fail(err, ERR_STOPPED, "logistic regression: stopped");
    ops->mem.to_device(f->r->queue, f->head, x, (weights + f->P) * (int64_t)sizeof *x);
    const Status st = sums_of(f, value, gradient, err);
    if (st != OK) return st;
    double square = 0.0;
    const float penalty = (float)f->penalty;
    for (int64_t i = 0; i < weights; i++) {
        square += (double)x[i] * x[i];
        gradient[i] += penalty * x[i];
    }
    *value += 0.5 * f->penalty * square;
    return OK;
}

/* Numbers the classes that occur outside of the held samples. */
static Status code_classes(Fit *f, Error *err) {
    Logreg *r = f->r;
    f->code = malloc((size_t)r->C * sizeof *f->code);
    f->y = malloc((size_t)r->N * sizeof *f->y);
    if (!f->code || !f->y) return fail(err, ERR_MEMORY, "logistic regression: out of memory");
    for (int64_t c = 0; c < r->C; c++) f->code[c] = -1;
    for (int i = 0; i < 2; i++)
        for (int64_t j = 0; j < f->part[i].n; j++) f->code[r->y_true[f->part[i].first + j]] = 0;
    for (int64_t c = 0; c < r->C; c++)
        if (f->code[c] == 0) f->code[c] = (int32_t)f->P++;
    for (int64_t i = 0; i < r->N; i++)
        f->y[i] = f->code[r->y_true[i]] < 0 ? 0 : f->code[r->y_true[i]]; /* held: not looked at */
    if (f->P < 1) return fail(err, ERR_ARG, "logistic regression: no samples to fit");
    r->ops->mem.to_device(r->queue, r->y, f->y, r->N * (int64_t)sizeof *f->y);
    return r->ops->mem.wait(r->queue, err);
}

static Status allocate(Fit *f, Error *err) {
    const Ops *ops = f->r->ops;
    const int64_t size = linear_size(f->P, f->r->Z.d);
    f->x = calloc((size_t)size, sizeof *f->x);
    if (!f->x) return fail(err, ERR_MEMORY, "logistic regression: out of memory");
    const Status st = ops->mem.alloc(ops->device, &f->memory, lay_out(f, NULL), err);
    if (st == OK) lay_out(f, f->memory.data);
    return st;
}

/* Copies the classes that occur from the head of all C classes into the variables. */
static void start_from_head(Fit *f, const float *head) {
    const int64_t C = f->r->C, d = f->r->Z.d;
    for (int64_t c = 0; c < C; c++) {
        const int32_t p = f->code[c];
        if (p < 0) continue;
        memcpy(f->x + p * d, head + c * d, (size_t)d * sizeof *head);
        f->x[f->P * d + p] = head[C * d + c] == NEVER ? 0.0f : head[C * d + c];
    }
}

static void write_head(const Fit *f, float *head) {
    const int64_t C = f->r->C, d = f->r->Z.d;
    for (int64_t c = 0; c < C; c++) {
        const int32_t p = f->code[c];
        if (p < 0) memset(head + c * d, 0, (size_t)d * sizeof *head);
        else memcpy(head + c * d, f->x + p * d, (size_t)d * sizeof *head);
        head[C * d + c] = p < 0 ? NEVER : f->x[f->P * d + p];
    }
}

static Status check_options(const Logreg *r, const LogregOptions *o, Error *err) {
    if (!(o->strength > 0.0) || !isfinite(o->strength) || !(o->tol >= 0.0) || o->max_iter < 0)
        return fail(err, ERR_ARG,
                    "logistic regression: C %g, tolerance %g, %d iterations: expected a positive, "
                    "finite C and nothing below 0",
                    o->strength, o->tol, o->max_iter);
    if (o->held_first < 0 || o->held_n < 0 || o->held_first + o->held_n > r->N || o->held_n == r->N)
        return fail(err, ERR_ARG, "logistic regression: %lld of %lld samples held back: none left",
                    (long long)o->held_n, (long long)r->N);
    return OK;
}

Status logreg_fit(Logreg *r, const LogregOptions *o, float *head, LogregResult *out, Error *err) {
    const int64_t behind = o->held_first + o->held_n;
    Fit f = {.r = r,
             .options = o,
             .part = {{0, o->held_first}, {behind, r->N - behind}},
             .n = r->N - o->held_n};
    LbfgsResult found = {.reason = LBFGS_GRADIENT};
    Status st = check_options(r, o, err);
    if (st == OK) st = code_classes(&f, err);
    if (st == OK) st = allocate(&f, err);
    if (st == OK && o->warm) start_from_head(&f, head);
    f.penalty = (f.P == 2 ? 2.0 : 1.0) / o->strength;
    const LbfgsProblem problem = {.function = objective,
                                  .context = &f,
                                  .n = linear_size(f.P, r->Z.d),
                                  .history = 10,
                                  .max_iterations = o->max_iter,
                                  .gradient_tolerance = o->tol * (double)f.n,
                                  .decrease_tolerance = LOGREG_DECREASE,
                                  .rounding = 0x1p-24};
    if (st == OK && f.P > 1) st = lbfgs_minimise(&problem, f.x, &found, err);
    if (st == OK) {
        write_head(&f, head);
        *out = (LogregResult){found.f, found.gradient_norm, found.iterations, found.evaluations,
                              f.P,     found.reason};
    }
    r->ops->mem.free(r->ops->device, &f.memory);
    free(f.x);
    free(f.y);
    free(f.code);
    return st;
}

/* --- scores ----------------------------------------------------------------------------------- */

Status logreg_correct(Logreg *r, const float *head, int64_t first, int64_t n, int64_t *correct,
                      Error *err) {
    enum { ROWS = 1024 };
    const Ops *ops = r->ops;
    const int64_t C = r->C, d = r->Z.d, size = linear_size(C, d) * (int64_t)sizeof *head,
                  logits_bytes = ROWS * C * (int64_t)sizeof(float);
    int32_t index[ROWS];
    Buffer memory;
    const int64_t scratch = ops->matrix.matmul_scratch_bytes(MATMUL_NT, ROWS, C, d);
    Status st = ops->mem.alloc(
        ops->device, &memory,
        aligned(size) + aligned(logits_bytes) + aligned(sizeof index) + scratch, err);
    *correct = 0;
    if (st != OK) return st;
    float *W = memory.data;
    float *logits = (float *)(void *)((char *)memory.data + aligned(size));
    int32_t *index_dev = (int32_t *)(void *)((char *)logits + aligned(logits_bytes));
    void *work = (char *)index_dev + aligned(sizeof index);
    ops->mem.to_device(r->queue, W, head, size);
    for (int64_t at = first; st == OK && at < first + n; at += ROWS) {
        const int64_t rows = first + n - at < ROWS ? first + n - at : ROWS;
        const Batch Z = batch_from(&r->Z, at);
        ops->matrix.matmul(r->queue, MATMUL_NT, logits, &Z, W, W + C * d, rows, C, d, work);
        ops->matrix.argmax(r->queue, index_dev, NULL, NULL, logits, rows, C);
        ops->mem.to_host(r->queue, index, index_dev, rows * (int64_t)sizeof *index);
        st = ops->mem.wait(r->queue, err);
        for (int64_t i = 0; st == OK && i < rows; i++) *correct += index[i] == r->y_true[at + i];
    }
    ops->mem.free(ops->device, &memory);
    return st;
}
