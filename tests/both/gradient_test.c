/* gradient_test.c - the gradients of training against finite differences in double, on every backend. */
#include "tests/support/operation.h"

enum { FB = 6, FC = 4, FD = 5, FK = 2 };

/* CE(softmax(Z W^T + b), Y) in double. */
static double inner_loss_f64(const double *head, const float *Z, const double *Y, int64_t B,
                             int64_t C, int64_t d) {
    double total = 0.0;
    for (int64_t b = 0; b < B; b++) {
        double x[16], top = -INFINITY, sum = 0.0;
        for (int64_t c = 0; c < C; c++) {
            x[c] = head[C * d + c];
            for (int64_t j = 0; j < d; j++) x[c] += head[c * d + j] * Z[b * d + j];
            if (x[c] > top) top = x[c];
        }
        for (int64_t c = 0; c < C; c++) sum += exp(x[c] - top);
        for (int64_t c = 0; c < C; c++) total -= Y[b * C + c] * (x[c] - top - log(sum));
    }
    return total / (double)B;
}

/* The outer loss (Eq. 12) in double as a function of the task parameters; heads constant. With a
 * prior (FC): its divergence from the mean label in place of the entropy. */
static double outer_loss_f64(double *const *task, float *const *Z, float *const *head, double gamma,
                             const float *prior) {
    double P[FK][FB * FC], Y[FB * FC] = {0}, loss = 0.0;
    for (int k = 0; k < FK; k++)
        for (int b = 0; b < FB; b++) {
            double x[FC], sum = 0.0;
            for (int c = 0; c < FC; c++) {
                const double *v = task[k] + c * FD;
                double square = 0.0, dot = 0.0;
                for (int j = 0; j < FD; j++) square += v[j] * v[j], dot += v[j] * Z[k][b * FD + j];
                x[c] = task[k][FC * FD + FC + c] * dot / sqrt(square) + task[k][FC * FD + c];
                sum += exp(x[c]);
            }
            for (int c = 0; c < FC; c++) {
                P[k][b * FC + c] = exp(x[c]) / sum;
                Y[b * FC + c] += P[k][b * FC + c] / FK;
            }
        }
    for (int k = 0; k < FK; k++) {
        double h[FC * FD + FC];
        for (int i = 0; i < FC * FD + FC; i++) h[i] = head[k][i];
        loss += inner_loss_f64(h, Z[k], Y, FB, FC, FD);
        for (int c = 0; c < FC; c++) {
            double p = 0.0;
            for (int b = 0; b < FB; b++) p += P[k][b * FC + c] / FB;
            loss += gamma * p * log(p); /* - gamma H */
            if (prior) loss -= gamma * p * log((double)prior[c]);
        }
    }
    return loss;
}

/* Central differences, step 1e-5: error h^2 = 1e-10 and 1e-16/1e-5 = 1e-11; float32 gradients
 * 1e-6. */
#define DIFFERENCE_STEP 1e-5
#define DIFFERENCE_LIMIT 2e-6

static void inner_gradient(const char *backend) {
    Ops ops;
    Queue *q;
    enum { n = FC * FD + FC };
    double h[n], y[FB * FC], slope[n];
    open_backend(&ops, &q, backend, 0);
    float *Z = numbers(FB * FD, 1), *Y = probabilities(FB, FC, 2), *head = numbers(n, 3);
    float *logits = floats(FB * FC), *grad = floats(n), *loss = floats(1);
    void *work = scratch(ops.train.scratch_bytes(DTYPE_F32, 1, FB, FC, 1, FD));
    const Batch batch = batch_f32(Z, FD);
    ops.matrix.matmul(q, MATMUL_NT, logits, &batch, head, head + FC * FD, FB, FC, FD, work);
    ops.train.cross_entropy(q, loss, logits, NULL, false, logits, Y, FB, FC, work);
    ops.train.linear_grad(q, grad, logits, &batch, FB, FC, work);
    finish(&ops, q);
    for (int i = 0; i < n; i++) h[i] = head[i];
    for (int i = 0; i < FB * FC; i++) y[i] = Y[i];
    cr_expect(fabs(*loss - inner_loss_f64(h, Z, y, FB, FC, FD)) < 1e-6);
    for (int i = 0; i < n; i++) {
        h[i] = head[i] + DIFFERENCE_STEP;
        slope[i] = inner_loss_f64(h, Z, y, FB, FC, FD);
        h[i] = head[i] - DIFFERENCE_STEP;
        slope[i] = (slope[i] - inner_loss_f64(h, Z, y, FB, FC, FD)) / (2 * DIFFERENCE_STEP);
        h[i] = head[i];
    }
    EXPECT_CLOSE(relative_error_f64(grad, slope, n), DIFFERENCE_LIMIT, "%s: inner gradient",
                 backend);

    /* and every tier of the loop takes the very step: Adam's first moves against this slope */
    for (InnerTier tier = INNER_AUTO; tier <= INNER_MEGA; tier++) {
        float *m1 = floats(n);
        InnerSteps in = {.K = 1,
                         .space = {{batch, copy_of(head, n * 4), m1, floats(n)}},
                         .Y = Y,
                         .B = FB,
                         .C = FC,
                         .M = 1,
                         .tier = tier,
                         .lr = 0.001,
                         .step = counting(0, 1),
                         .scratch = work};
        ops.train.inner_steps(q, &in);
        finish(&ops, q);
        for (int i = 0; i < n; i++) m1[i] /= 0.1f; /* (1 - beta1) g */
        EXPECT_CLOSE(relative_error_f64(m1, slope, n), DIFFERENCE_LIMIT,
                     "%s: gradient inside inner_steps, tier %d", backend, (int)tier);
    }
    close_backend(&ops, q);
    free_arrays();
}

Test(gradients, inner_gradient_is_the_slope_of_the_inner_loss) {
    for (int i = 0; test_backends()[i]; i++) inner_gradient(test_backends()[i]);
}

static void outer_gradient(const char *backend, const float *prior) {
    Ops ops;
    Queue *q;
    enum { n = FC * FD + 2 * FC };
    const double gamma = 10.0;
    float *task[FK], *head[FK], *Z[FK];
    double *t[FK];
    open_backend(&ops, &q, backend, 0);
    void *work = scratch(ops.train.scratch_bytes(DTYPE_F32, FK, FB, FC, 1, FD));
    float *P = floats(FK * FB * FC), *Y = floats(FB * FC), *W = floats(FC * FD),
          *P_bar = floats(FK * FC), *H = floats(FK), *loss = floats(FK);
    InnerSteps heads = {.K = FK, .Y = Y, .B = FB, .C = FC, .scratch = work};
    for (int k = 0; k < FK; k++) {
        task[k] = numbers(n, 1 + k);
        head[k] = numbers(FC * FD + FC, 3 + k);
        Z[k] = numbers(FB * FD, 5 + k);
        t[k] = malloc(n * sizeof(double));
        for (int i = 0; i < n; i++) t[k][i] = task[k][i];
        heads.space[k] = (InnerSpace){.Z = batch_f32(Z[k], FD), .head = head[k]};
        float *Pk = P + k * FB * FC;
        ops.train.weight_norm(q, W, task[k], FC, FD);
        ops.matrix.matmul(q, MATMUL_NT, Pk, &heads.space[k].Z, W, task[k] + FC * FD, FB, FC, FD,
                          work);
        ops.train.softmax(q, Pk, Pk, FB, FC);
    }
    ops.train.label_mean(q, Y, P, FK, FB, FC);
    ops.train.label_grad(q, loss, Y, &heads);
    ops.train.batch_entropy(q, P_bar, H, P, FK, FB, FC, work);
    finish(&ops, q);
    cr_expect(fabs(loss[0] + loss[1] - gamma * (H[0] + H[1]) -
                   outer_loss_f64(t, Z, head, gamma, NULL)) < 2e-5);
    float *pi = floats(FC);
    for (int c = 0; prior && c < FC; c++) pi[c] = prior[c];
    if (prior) ops.train.prior_ratio(q, P_bar, pi, FK, FC);
    for (int k = 0; k < FK; k++) {
        float *grad_linear = floats(FC * FD + FC), *grad = floats(n);
        double slope[n];
        ops.train.task_grad(q, P + k * FB * FC, Y, P_bar + k * FC, FK, gamma, FB, FC, work);
        ops.train.linear_grad(q, grad_linear, P + k * FB * FC, &heads.space[k].Z, FB, FC, work);
        ops.train.weight_norm_grad(q, grad, grad_linear, task[k], FC, FD);
        finish(&ops, q);
        for (int i = 0; i < n; i++) {
            const double keep = t[k][i];
            t[k][i] = keep + DIFFERENCE_STEP;
            slope[i] = outer_loss_f64(t, Z, head, gamma, prior);
            t[k][i] = keep - DIFFERENCE_STEP;
            slope[i] =
                (slope[i] - outer_loss_f64(t, Z, head, gamma, prior)) / (2 * DIFFERENCE_STEP);
            t[k][i] = keep;
        }
        EXPECT_CLOSE(relative_error_f64(grad, slope, n), DIFFERENCE_LIMIT,
                     "%s: outer gradient, space %d", backend, k);
    }
    for (int k = 0; k < FK; k++) free(t[k]);
    close_backend(&ops, q);
    free_arrays();
}

Test(gradients, outer_gradient_is_the_slope_of_the_outer_loss) {
    static const float prior[FC] = {0.6f, 0.25f, 0.1f, 0.05f};
    for (int i = 0; test_backends()[i]; i++) {
        outer_gradient(test_backends()[i], NULL);
        outer_gradient(test_backends()[i], prior);
    }
}
