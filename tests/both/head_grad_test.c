/* head_grad_test.c - the operation of logistic regression, on every backend: beside the reference,
 * beside differences of its loss, and far beyond float32's doubt. */
#include "tests/support/operation.h"

static int32_t *classes(int64_t B, int64_t C) {
    int32_t *y = array(B * 4);
    for (int64_t i = 0; i < B; i++) y[i] = (int32_t)(philox_at(7, 15, 9, 0, i).word[0] % C);
    return y;
}

/* Its loss, as float; its gradient; both added to 0.5. */
static void run_head_grad(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    const int64_t size = linear_size(s.C, s.d);
    float *Z = operands(s.B * s.d, 1), *half = floats(size);
    double *loss = array(2 * 8);
    const HeadGrad in = {batch_of(ops, Z, s.B, s.d),
                         classes(s.B, s.C),
                         operands(size, 2),
                         s.B,
                         s.C,
                         scratch(ops->train.scratch_bytes(variant.type, 1, s.B, s.C, 1, s.d))};
    for (int64_t i = 0; i < size; i++) half[i] = 0.5f;
    loss[0] = NAN, loss[1] = 0.5;
    for (int add = 0; add < 2; add++)
        ops->train.head_grad(q, loss + add, output(o, size, add ? half : NULL), &in, add);
    finish(ops, q);
    for (int add = 0; add < 2; add++) *output(o, 1, NULL) = (float)loss[add];
}

static const Shape shapes[] = {{1, 2, 1, 1},       {7, 10, 16, 1},    {119, 17, 8, 1},
                               {241, 100, 64, 1},  {513, 47, 67, 1},  {97, 1000, 31, 1},
                               {1003, 10, 192, 1}, {65, 129, 113, 1}, {129, 65, 225, 1}};
static void judge(double limit) {
    judge_at("head_grad", run_head_grad, shapes, sizeof shapes / sizeof *shapes, limit);
}

/* Limit: a product of depth n in float32 is off by at most 4 sqrt(n) 2^-24 in norm for n <= 1003
 * (ops_test.c): 8e-6. */
Test(head_grad, fp32, .timeout = 600) {
    judge(8e-6);
}

/* On the CPU float16 is widened exactly; on a GPU residuals are rounded, 2^-11 of each at most, and
 * of their sum in norm; tf32 likewise. Logits carry a tensor core's cutting, 1.8e-5 of their norm
 * (product_test.c), and so do residuals: times the logits' size, sqrt(225)/3 = 5, 9e-5 at most. */
Test(head_grad, fp16, .timeout = 600) {
    variant = (Variant){"fp16", DTYPE_F16, false, INNER_AUTO};
#if defined(TEST_CUDA)
    judge(0x1p-11 + 9e-5);
    variant = (Variant){"tf32", DTYPE_F32, true, INNER_AUTO};
    judge(0x1p-11 + 9e-5);
#else
    judge(8e-6);
#endif
}

/* Loss of the head in double, its entry i moved by h. */
static double loss_in_double(const float *Z, const int32_t *y, const float *head, Shape s,
                             int64_t moved, double h) {
    double loss = 0.0, x[64];
    for (int64_t b = 0; b < s.B; b++) {
        double sum = 0.0;
        for (int64_t c = 0; c < s.C; c++) {
            const int64_t bias = s.C * s.d + c;
            x[c] = head[bias] + (bias == moved ? h : 0.0);
            for (int64_t j = 0; j < s.d; j++)
                x[c] += (head[c * s.d + j] + (c * s.d + j == moved ? h : 0.0)) * Z[b * s.d + j];
            sum += exp(x[c]);
        }
        loss += log(sum) - x[y[b]];
    }
    return loss;
}

/* A class in device memory that is none a GPU reads when it is too late to refuse. */
static void expect_refused(const Ops *ops, Queue *q, const HeadGrad *in, double *loss,
                           float *grad) {
    Error err;
    ops->train.head_grad(q, loss, grad, in, false);
    const Status st = ops->mem.wait(q, &err);
    if (on_cuda(ops)) cr_expect(st == OK && !isfinite(*loss), "%s: %g", ops->kind, *loss);
    else cr_expect(st == ERR_ARG && strstr(err.text, "head_grad"));
}

/* Central differences, h = 1e-4: third derivatives below 0.1 B are worth h^2/6 0.1 B = 1e-8 here,
 * rounding of the loss, 200, is worth 2^-53 200 / h = 2e-10. What is left is float32's: 2e-6. */
Test(head_grad, is_the_derivative_of_its_loss, .timeout = 120) {
    const Shape s = {60, 7, 9, 1};
    const int64_t size = linear_size(s.C, s.d);
    const char *const *backends = test_backends();
    for (int i = 0; backends[i]; i++) {
        Ops ops;
        Queue *q;
        open_backend(&ops, &q, backends[i], 0);
        float *Z = numbers(s.B * s.d, 1), *head = numbers(size, 2), *grad = floats(size);
        double *loss = array(8), *expected = array(size * 8);
        int32_t *y = classes(s.B, s.C);
        for (int64_t j = 0; j < size; j++)
            expected[j] =
                (loss_in_double(Z, y, head, s, j, 1e-4) - loss_in_double(Z, y, head, s, j, -1e-4)) /
                2e-4;
        const HeadGrad in = {batch_f32(Z, s.d),
                             y,
                             head,
                             s.B,
                             s.C,
                             scratch(ops.train.scratch_bytes(DTYPE_F32, 1, s.B, s.C, 1, s.d))};
        ops.train.head_grad(q, loss, grad, &in, false);
        finish(&ops, q);
        EXPECT_CLOSE(relative_error_f64(grad, expected, size), 2e-6, "%s: gradient", backends[i]);
        const double exact = loss_in_double(Z, y, head, s, -1, 0.0);
        EXPECT_CLOSE(fabs(*loss - exact) / exact, 1e-6, "%s: loss", backends[i]);
        y[3] = (int32_t)s.C;
        expect_refused(&ops, q, &in, loss, grad);
        free_arrays();
        close_backend(&ops, q);
    }
}

/* A row that is classified far beyond float32's doubt: loss and residuals keep their digits. */
Test(head_grad, keeps_the_digits_of_small_losses, .timeout = 120) {
    const char *const *backends = test_backends();
    for (int i = 0; backends[i]; i++) {
        Ops ops;
        Queue *q;
        open_backend(&ops, &q, backends[i], 0);
        float *Z = copy_of((float[]){1.0f}, 4), *grad = floats(6),
              *head = copy_of((float[]){20.0f, 0.0f, -3.0f, 0.0f, 0.0f, 0.0f}, 24);
        double *loss = array(8);
        const HeadGrad in = {batch_f32(Z, 1),
                             array(4),
                             head,
                             1,
                             3,
                             scratch(ops.train.scratch_bytes(DTYPE_F32, 1, 1, 3, 1, 1))};
        ops.train.head_grad(q, loss, grad, &in, false);
        finish(&ops, q);
        const double others = exp(-20.0) + exp(-23.0), share = 1.0 / (1.0 + others);
        if (strcmp(backends[i], "reference") != 0) /* 1 - p in double, which is enough there too */
            EXPECT_CLOSE(fabs(*loss / log1p(others) - 1.0), 1e-6, "%s: loss", backends[i]);
        EXPECT_CLOSE(fabs(grad[0] / (-others * share) - 1.0), 1e-6, "%s: residual", backends[i]);
        EXPECT_CLOSE(fabs(grad[1] / (exp(-20.0) * share) - 1.0), 1e-6, "%s: residual", backends[i]);
        free_arrays();
        close_backend(&ops, q);
    }
}
