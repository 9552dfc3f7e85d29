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

/* Implementations of the inner loop. Their results are equal up to rounding. The CPU has one, which serves
 * every name; AUTO alone lets it, and a GPU, run whole iterations at once. */
typedef enum {
    INNER_AUTO,    /* the fastest implementation that serves the shapes */
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
    int beside; /* how many trainings share the device, each planned for its part; 0: this one alone */
} InnerSteps;

/* A device says with it how it would run inner steps of given shapes. */
typedef struct {
    int trainings;  /* how many trainings, side by side, fill the device */
    char note[160]; /* one line for the user if it cannot run the steps as planned, else "" */
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
    float *Y;       /* (B,C) mean of P over spaces; task_step may overwrite it */
    float *P_bar;   /* (K,C) mean of P over the batch */
    float *entropy; /* (K) entropy of P_bar */
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

/* Streams of the counter-based generator: one for each use of random numbers. */
enum { PHILOX_TASK = 1, PHILOX_HEAD = 2, PHILOX_ROWS = 3 };

/* Computes the weight W (C,d) of a task encoder: W[c,:] = g[c] v[c,:]/|v[c,:]|. 8Cd bytes. */
typedef Status WeightNormOp(Queue *queue, float *W, const float *task, int64_t C, int64_t d);
/* Turns the gradient of weight and bias, grad_linear (linear_size), into grad (task_size) of v, bias and g.
 * Both may be the same memory.
 *   grad_g = <grad_W,v>/|v|,  grad_v = g/|v| grad_W - g <grad_W,v>/|v|^3 v. */
typedef Status WeightNormGradOp(Queue *queue, float *grad, const float *grad_linear,
                                const float *task, int64_t C, int64_t d);

/* P[r,:] = softmax(logits[r,:]). P may be logits itself. 8 rows C bytes. */
typedef Status SoftmaxOp(Queue *queue, float *P, const float *logits, int64_t rows, int64_t C);
/* Y = 1/K sum_k P[k] (Eq. 9). P (K,B,C), Y (B,C). */
typedef Status LabelMeanOp(Queue *queue, float *Y, const float *P, int K, int64_t B, int64_t C);
/* P_bar[k,:] = mean over b of P[k,b,:], entropy[k] = -sum_c P_bar ln P_bar (0 ln 0 = 0): the
 * entropy of the mean label, not the mean of the entropies. P_bar (K,C), entropy (K). */
typedef Status BatchEntropyOp(Queue *queue, float *P_bar, float *entropy, const float *P, int K,
                              int64_t B, int64_t C, void *scratch);
/* P_bar[k,c] /= prior[c]. task_grad is given this ratio where the outer loss has + gamma KL(P_bar||prior)
 * in place of - gamma H(P_bar). For a uniform prior the two terms differ by a constant.
 *   P_bar (K,C), prior (C). */
typedef Status PriorRatioOp(Queue *queue, float *P_bar, const float *prior, int K, int64_t C);

/* task_labels and task_step are the two halves of an outer iteration, around the inner one. Each serves all
 * spaces in one operation. */
/* Computes the labels of a batch, P[k] = softmax(theta_k(Z_k)) with weight norm, and from them Y, P_bar and
 * entropy as label_mean and batch_entropy do (Eq. 9). 2BdC flops per space. */
typedef Status TaskLabelsOp(Queue *queue, const TaskSteps *tasks);
/* Takes one Adam step of every task encoder on the outer loss (Eq. 12)
 *     sum_k CE(head_k(Z_k), Y) - gamma sum_k H(P_bar_k).
 * Heads are constant: the gradient, of first order, goes through Y and P_k (label_grad, task_grad) and through
 * weight norm. `loss` receives the cross-entropies. Y, M, lr, step, losses, moments and scratch of `heads` are
 * unused. 4BdC flops per space. */
typedef Status TaskStepOp(Queue *queue, const TaskSteps *tasks, const InnerSteps *heads);
/* Draws fresh heads, random_linear with (PHILOX_HEAD, k, *iteration) for every k, and zeroes their moments. */
typedef Status RandomHeadsOp(Queue *queue, const InnerSteps *heads, uint64_t seed,
                             const int64_t *iteration);

/* Takes M inner steps of all spaces (Eq. 13). 4 M B d C flops per space. */
typedef Status InnerStepsOp(Queue *queue, const InnerSteps *inner);
/* Returns how the device would run `inner`, of which K, B, C, the tier, and types and widths of the batches are
 * read. The operation is NULL where one training at a time fills the backend and there is one way to run it. */
typedef InnerOutlook InnerOutlookOp(const Device *device, const InnerSteps *inner);

/* Returns whether `iteration` serves such heads. It is NULL where `iteration` is. */
typedef bool IterationFitsOp(const Device *device, const InnerSteps *heads);
/* Runs an outer iteration at once: gather of `rows` of `from` (K), task_labels, prior_ratio, inner_steps and
 * task_step. Results are those of the single operations up to rounding. Where rows is NULL, the batch is there
 * already; where prior is NULL, there is no prior_ratio. Batch, P and Y are overwritten. (4M + 6) B C d flops.
 * The operation is NULL where a backend lacks it. */
typedef Status IterationOp(Queue *queue, const TaskSteps *tasks, const InnerSteps *heads,
                           const Features *from, const int64_t *rows, const float *prior);

/* Computes the outer cross-entropies and their gradient with respect to the labels (Eq. 12), heads constant:
 *   loss[k] = CE(head_k(Z_k), Y),   grad_Y = -1/B sum_k log_softmax(head_k(Z_k)).
 * loss (K); grad_Y (B,C) may be Y itself. M, lr, step, losses and moments of `heads` are unused.
 * 2BdC flops per space. */
typedef Status LabelGradOp(Queue *queue, float *loss, float *grad_Y, const InnerSteps *heads);

/* Computes loss[0] = mean over b of -sum_c Y[b,c] log_softmax(logits[b,:])[c], and its gradients
 *   grad_logits (B,C) = (softmax(logits) sum_c Y - Y)/B   or NULL; may be logits itself
 *   grad_Y      (B,C) = -log_softmax(logits)/B            or NULL; is added to if `add_grad_Y`. */
typedef Status CrossEntropyOp(Queue *queue, float *loss, float *grad_logits, float *grad_Y,
                              bool add_grad_Y, const float *logits, const float *Y, int64_t B,
                              int64_t C, void *scratch);
/* Replaces the P (B,C) of one space by the gradient of the outer loss (Eq. 12) with respect to its task
 * logits. It goes through Y, of which P is a K-th, and through the entropy of the batch mean:
 *   q = grad_Y/K + gamma (ln P_bar + 1)/B,   grad_logits = P (q - sum_c P q).
 * P is 0 where P_bar is exactly 0: the limit of P ln P_bar is 0, and nothing is added. */
typedef Status TaskGradOp(Queue *queue, float *P, const float *grad_Y, const float *P_bar, int K,
                          double gamma, int64_t B, int64_t C, void *scratch);
/* grad (linear_size) = (grad_logits^T Z, column sums of grad_logits). 2 B d C flops. */
typedef Status LinearGradOp(Queue *queue, float *grad, const float *grad_logits, const Batch *Z,
                            int64_t B, int64_t C, void *scratch);

/* Computes logistic regression's loss and gradient, sums over the rows (not means):
 *   loss[0] = or += sum_b -log softmax(W z_b + bias)[y_b]   double
 *   grad    = or += (R^T Z, column sums of R)               linear_size
 *   where R = softmax(W z_b + bias) - onehot(y_b). Both are added to if `add`. 4 B d C flops. */
typedef Status HeadGradOp(Queue *queue, double *loss, float *grad, const HeadGrad *in, bool add);

/* Takes one Adam step of n parameters; *step, in device memory, counts the steps done before. Bias corrections
 * are computed in double, as torch does. 28n bytes. */
typedef Status AdamOp(Queue *queue, float *parameters, const float *grad, float *m1, float *m2,
                      int64_t n, double lr, const int64_t *step);

/* Random numbers come from Philox4x32-10 (Salmon et al. 2011) with the seed as key. kernels/philox.h has the
 * arithmetic, so that every backend draws the same bits. */
/* Draws head (linear_size) uniform in +-1/sqrt(d), as torch.nn.Linear; (stream, k, *iteration) choose the
 * numbers. iteration is device memory. */
typedef Status RandomLinearOp(Queue *queue, float *head, int64_t C, int64_t d, uint64_t seed,
                              int stream, int k, const int64_t *iteration);
/* Draws B distinct rows of [0, N): the first B values of a keyed permutation, in O(B). */
typedef Status RandomRowsOp(Queue *queue, int64_t *rows, int64_t B, int64_t N, uint64_t seed,
                            const int64_t *iteration);

/* The operations of training of one backend. An operation that may be NULL says so above. */
typedef struct {
    WeightNormOp *weight_norm;
    WeightNormGradOp *weight_norm_grad;
    SoftmaxOp *softmax;
    LabelMeanOp *label_mean;
    BatchEntropyOp *batch_entropy;
    PriorRatioOp *prior_ratio;
    TaskLabelsOp *task_labels;
    TaskStepOp *task_step;
    RandomHeadsOp *random_heads;
    InnerStepsOp *inner_steps;
    InnerOutlookOp *inner_outlook;
    IterationFitsOp *iteration_fits;
    IterationOp *iteration;
    LabelGradOp *label_grad;
    CrossEntropyOp *cross_entropy;
    TaskGradOp *task_grad;
    LinearGradOp *linear_grad;
    HeadGradOp *head_grad;
    AdamOp *adam;
    RandomLinearOp *random_linear;
    RandomRowsOp *random_rows;

    /* Returns the bytes of scratch that serve any one of these operations, with K spaces of d_least to d_most
     * features whose batches are of this type. For several types take the largest result. */
    int64_t (*scratch_bytes)(DType type, int K, int64_t B, int64_t C, int64_t d_least,
                             int64_t d_most);
} TrainOps;

/* --- checks of arguments, the same for every backend ------------------------------------------ */

/* Returns whether the arguments of task_labels are complete; `servable` is the backend's own check of a
 * batch. */
static inline bool tasks_complete(const TaskSteps *s, bool (*servable)(const Batch *Z)) {
    if (!s || s->K < 1 || s->K > MAX_SPACES || s->B < 1 || s->C < 1 || !s->P || !s->Y ||
        !s->P_bar || !s->entropy || !s->loss || !s->step || !s->scratch)
        return false;
    for (int k = 0; k < s->K; k++)
        if (!servable(&s->space[k].Z) || !s->space[k].task || !s->space[k].m1 || !s->space[k].m2)
            return false;
    return true;
}
/* Returns whether `heads` are heads of the same batch. */
static inline bool heads_match(const TaskSteps *s, const InnerSteps *heads) {
    if (!heads || heads->K != s->K || heads->B != s->B || heads->C != s->C) return false;
    for (int k = 0; k < s->K; k++)
        if (!heads->space[k].head || heads->space[k].Z.data != s->space[k].Z.data ||
            heads->space[k].Z.d != s->space[k].Z.d)
            return false;
    return true;
}
/* Returns whether random_heads can draw them. */
static inline bool heads_drawable(const InnerSteps *heads) {
    if (!heads || heads->K < 1 || heads->K > MAX_SPACES || heads->C < 1) return false;
    for (int k = 0; k < heads->K; k++)
        if (heads->space[k].Z.d < 1 || !heads->space[k].head || !heads->space[k].m1 ||
            !heads->space[k].m2)
            return false;
    return true;
}

#endif
