/* train.h - the operations of TURTLE's training loop (paper section 3; host/train/train.c calls them).
 *
 * Letters: K spaces (index k), B rows of a batch (b), C classes (c), d features, M inner steps.
 * A linear layer's parameters lie in one buffer: weight (C,d), then bias (C). The task encoder's
 * are v (C,d), bias (C), g (C): weight norm (Salimans & Kingma 2016), W[c,:] = g[c]
 * v[c,:]/|v[c,:]|.
 */
#ifndef TURTLE_KERNELS_TRAIN_H
#define TURTLE_KERNELS_TRAIN_H

#include "kernels/matrix.h"

enum { MAX_SPACES = 16 };

static inline int64_t linear_size(int64_t C, int64_t d) { /* floats of a head */
    return C * d + C;
}
static inline int64_t task_size(int64_t C, int64_t d) { /* floats of a task encoder */
    return C * d + 2 * C;
}

/* Adam (Kingma & Ba 2015) as torch.optim.Adam: eps is added after the root, no weight decay. */
#define ADAM_BETA1 0.9
#define ADAM_BETA2 0.999
#define ADAM_EPS 1e-8

/* Implementations of the inner loop, all of the same results up to rounding; the CPU has one and
 * serves every name with it. */
typedef enum {
    INNER_AUTO,    /* the fastest that serves the shapes */
    INNER_UNFUSED, /* the shipped kernel of every operation, one launch each */
    INNER_FUSED,   /* logits, softmax and residual in one kernel, gradient and Adam in another */
    INNER_MEGA,    /* all M steps of all spaces in one persistent launch */
} InnerTier;

/* One space inside the inner loop. */
typedef struct {
    Batch Z;     /* (B,d) features */
    float *head; /* linear_size(C,d): trained in place */
    float *m1;   /* Adam's moments, like head */
    float *m2;
} InnerSpace;

/* M Adam steps of every space's head towards the labels Y, held constant (Eq. 13). */
typedef struct {
    int K;
    InnerSpace space[MAX_SPACES];
    const float *Y; /* (B,C) soft labels, rows sum to 1 */
    int64_t B, C, M;
    InnerTier tier;
    double lr;
    const int64_t *step; /* Adam steps done before this call, in device memory; read only */
    float *losses;       /* (M) cross-entropy before each step, summed over spaces */
    void *scratch;
    int beside; /* trainings at a time on the device, each planned for its share; 0: this one alone */
} InnerSteps;

/* What a device makes of inner steps of such shapes. */
typedef struct {
    int trainings;  /* that fill it, side by side */
    char note[160]; /* one line for the user, where it cannot run them as planned; else "" */
} InnerOutlook;

/* One space's task encoder theta_k. */
typedef struct {
    Batch Z;     /* (B,d) features */
    float *task; /* task_size(C,d): trained in place */
    float *m1;   /* Adam's moments, like task */
    float *m2;
} TaskSpace;

/* The outer problem on one batch, all spaces. */
typedef struct {
    int K;
    TaskSpace space[MAX_SPACES];
    float *P;       /* (K,B,C) soft labels; task_step leaves the gradients of their logits there */
    float *Y;       /* (B,C) their mean over spaces; task_step may use it up */
    float *P_bar;   /* (K,C) their mean over the batch */
    float *entropy; /* (K) of P_bar */
    float *loss;    /* (K) cross-entropy of the heads */
    int64_t B, C;
    double gamma, lr;
    const int64_t *step; /* Adam steps of the task encoders done before, in device memory */
    void *scratch;
} TaskSteps;

/* A linear head and samples whose classes are known. */
typedef struct {
    Batch Z;           /* (B,d) features */
    const int32_t *y;  /* (B) class of each row, in [0, C) */
    const float *head; /* linear_size(C,d) */
    int64_t B, C;
    void *scratch;
} HeadGrad;

/* Streams of the counter-based generator: which use the random numbers are for. */
enum { PHILOX_TASK = 1, PHILOX_HEAD = 2, PHILOX_ROWS = 3 };

typedef struct {
    /* Bytes of scratch that any one operation below needs at most with K spaces of at most d, whose
     * batches are of this type; of several types, the most that any of them needs. */
    int64_t (*scratch_bytes)(DType type, int K, int64_t B, int64_t C, int64_t d);

    /* W (C,d) from the task parameters: W[c,:] = g[c] v[c,:]/|v[c,:]|. 8Cd bytes. */
    Status (*weight_norm)(Queue *queue, float *W, const float *task, int64_t C, int64_t d);
    /* grad (task_size: v, bias, g) from grad_linear (linear_size: W, bias), in place if you like:
     *   grad_g = <grad_W,v>/|v|,  grad_v = g/|v| grad_W - g <grad_W,v>/|v|^3 v. */
    Status (*weight_norm_grad)(Queue *queue, float *grad, const float *grad_linear,
                               const float *task, int64_t C, int64_t d);

    /* P[r,:] = softmax(logits[r,:]); in place is allowed. 8 rows C bytes. */
    Status (*softmax)(Queue *queue, float *P, const float *logits, int64_t rows, int64_t C);
    /* Y = 1/K sum_k P[k] (Eq. 9). P (K,B,C), Y (B,C). */
    Status (*label_mean)(Queue *queue, float *Y, const float *P, int K, int64_t B, int64_t C);
    /* P_bar[k,:] = mean over b of P[k,b,:], entropy[k] = -sum_c P_bar ln P_bar (0 ln 0 = 0): the
     * entropy of the mean label, not the mean of the entropies. P_bar (K,C), entropy (K). */
    Status (*batch_entropy)(Queue *queue, float *P_bar, float *entropy, const float *P, int K,
                            int64_t B, int64_t C, void *scratch);
    /* P_bar[k,c] /= prior[c]: what task_grad is given where the outer loss has + gamma KL(P_bar||prior)
     * in place of - gamma H(P_bar). For a uniform prior the two differ by a constant. P_bar (K,C),
     * prior (C). */
    Status (*prior_ratio)(Queue *queue, float *P_bar, const float *prior, int K, int64_t C);

    /* The two halves of an outer iteration, around the inner one; all spaces in one operation each.
     *
     * Labels of a batch: P[k] = softmax(theta_k(Z_k)), weight norm applied, and what label_mean and
     * batch_entropy make of them: Y, P_bar, entropy (Eq. 9). 2BdC flops per space. */
    Status (*task_labels)(Queue *queue, const TaskSteps *tasks);
    /* Outer loss sum_k CE(head_k(Z_k), Y) - gamma sum_k H(P_bar_k), heads constant (Eq. 12, first
     * order): loss, then its gradient through Y and P_k (label_grad, task_grad) and through weight
     * norm, and one step of Adam. Of `heads` Y, M, lr, step, losses, moments and scratch are unused.
     * 4BdC flops per space. */
    Status (*task_step)(Queue *queue, const TaskSteps *tasks, const InnerSteps *heads);
    /* Fresh heads: random_linear with (PHILOX_HEAD, k, *iteration) for every k, moments zero. */
    Status (*random_heads)(Queue *queue, const InnerSteps *heads, uint64_t seed,
                           const int64_t *iteration);

    /* M inner steps of all spaces, in one operation. 4 M B d C flops per space. */
    Status (*inner_steps)(Queue *queue, const InnerSteps *inner);
    /* Reads K, B, C, the batches' types and widths, and the tier. NULL: one training at a time fills
     * the backend, and there is one way to run them. */
    InnerOutlook (*inner_outlook)(const Device *device, const InnerSteps *inner);

    /* An outer iteration at once, but for what is drawn: the gather of `rows` of `from` (rows NULL: the
     * batch has them), task_labels, prior_ratio (prior NULL: none), inner_steps, task_step, the same up to
     * rounding. Batch, P and Y are used up. (4M + 6) B C d flops. For heads that iteration_fits;
     * NULL: no heads. */
    bool (*iteration_fits)(const Device *device, const InnerSteps *heads);
    Status (*iteration)(Queue *queue, const TaskSteps *tasks, const InnerSteps *heads,
                        const Features *from, const int64_t *rows, const float *prior);

    /* Outer cross-entropies and their gradient with respect to the labels (Eq. 12), heads constant:
     *   loss[k] = CE(head_k(Z_k), Y),   grad_Y = -1/B sum_k log_softmax(head_k(Z_k)).
     * loss (K); grad_Y (B,C) may be Y itself. Of `heads` M, lr, step, losses and moments are
     * unused. 2BdC flops per space. */
    Status (*label_grad)(Queue *queue, float *loss, float *grad_Y, const InnerSteps *heads);

    /* loss[0] = mean over b of -sum_c Y[b,c] log_softmax(logits[b,:])[c], and its gradient
     *   grad_logits (B,C) = (softmax(logits) sum_c Y - Y)/B   or NULL, may be logits itself
     *   grad_Y      (B,C) = -log_softmax(logits)/B            or NULL, added if `add_grad_Y`. */
    Status (*cross_entropy)(Queue *queue, float *loss, float *grad_logits, float *grad_Y,
                            bool add_grad_Y, const float *logits, const float *Y, int64_t B,
                            int64_t C, void *scratch);
    /* Gradient of the outer loss (Eq. 12) with respect to one space's task logits, in place of its
     * P (B,C): through Y, of which P is 1/K, and through the entropy of its batch mean.
     *   q = grad_Y/K + gamma (ln P_bar + 1)/B,   grad_logits = P (q - sum_c P q).
     * Where P_bar is exactly 0 so is P, and the limit of P ln P_bar is 0: nothing is added
     * there. */
    Status (*task_grad)(Queue *queue, float *P, const float *grad_Y, const float *P_bar, int K,
                        double gamma, int64_t B, int64_t C, void *scratch);
    /* grad (linear_size) = (grad_logits^T Z, column sums of grad_logits). 2 B d C flops. */
    Status (*linear_grad)(Queue *queue, float *grad, const float *grad_logits, const Batch *Z,
                          int64_t B, int64_t C, void *scratch);

    /* Logistic regression's loss and gradient, sums over the rows (not means):
     *   loss[0] = or += sum_b -log softmax(W z_b + bias)[y_b]   double
     *   grad    = or += (R^T Z, column sums of R)               linear_size
     *   where R = softmax(W z_b + bias) - onehot(y_b). `add` says which. 4 B d C flops.
     * NULL where a backend lacks it: host/score/logreg.c then composes it from matmul, cross_entropy and
     * linear_grad. */
    Status (*head_grad)(Queue *queue, double *loss, float *grad, const HeadGrad *in, bool add);

    /* One Adam step of n parameters; *step counts the steps done before, in device memory.
     *   28n bytes. Bias corrections are computed in double, as torch does. */
    Status (*adam)(Queue *queue, float *parameters, const float *grad, float *m1, float *m2,
                   int64_t n, double lr, const int64_t *step);

    /* Philox4x32-10 (Salmon et al. 2011), key = seed. kernels/philox.h has the arithmetic, so that
     * every backend draws the same bits. */
    /* head (linear_size) uniform in +-1/sqrt(d), as torch.nn.Linear; (stream, k, *iteration)
     * choose the numbers. iteration is device memory. */
    Status (*random_linear)(Queue *queue, float *head, int64_t C, int64_t d, uint64_t seed,
                            int stream, int k, const int64_t *iteration);
    /* B distinct rows of [0, N): the first B values of a keyed permutation, O(B). */
    Status (*random_rows)(Queue *queue, int64_t *rows, int64_t B, int64_t N, uint64_t seed,
                          const int64_t *iteration);
} TrainOps;

/* What the operations on all spaces refuse, the same for every backend; `servable` is the backend's
 * own. */
static inline bool tasks_complete(const TaskSteps *s, bool (*servable)(const Batch *Z)) {
    if (!s || s->K < 1 || s->K > MAX_SPACES || s->B < 1 || s->C < 1 || !s->P || !s->Y ||
        !s->P_bar || !s->entropy || !s->loss || !s->step || !s->scratch)
        return false;
    for (int k = 0; k < s->K; k++)
        if (!servable(&s->space[k].Z) || !s->space[k].task || !s->space[k].m1 || !s->space[k].m2)
            return false;
    return true;
}
/* `heads` are heads of the same batch. */
static inline bool heads_match(const TaskSteps *s, const InnerSteps *heads) {
    if (!heads || heads->K != s->K || heads->B != s->B || heads->C != s->C) return false;
    for (int k = 0; k < s->K; k++)
        if (!heads->space[k].head || heads->space[k].Z.data != s->space[k].Z.data ||
            heads->space[k].Z.d != s->space[k].Z.d)
            return false;
    return true;
}
static inline bool heads_drawable(const InnerSteps *heads) {
    if (!heads || heads->K < 1 || heads->K > MAX_SPACES || heads->C < 1) return false;
    for (int k = 0; k < heads->K; k++)
        if (heads->space[k].Z.d < 1 || !heads->space[k].head || !heads->space[k].m1 ||
            !heads->space[k].m2)
            return false;
    return true;
}

#endif
