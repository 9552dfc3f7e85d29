/* main.c - runs the ladder: one step on a small problem, for a debugger; or the table of all steps.
 * usage: ladder STEP       150 rows, 10 classes, 128 features, 3 inner steps
 *        ladder            one line a step: number, idea, kernels, then predicted and measured us of an inner step for
 *                          8192 rows, 768 features and 10 or 64 classes; tabs between, `-` where nothing was measured */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/ladder/ladder.h"

static int fails(const char *what, const char *fault) {
    fprintf(stderr, "ladder: %s: %s\n", what, fault);
    return 1;
}

/* Returns how many rows have their largest logit where their largest label is. */
static int right(const Ladder *a) {
    int count = 0;
    for (int b = 0; b < a->B; b++) {
        int best = 0, own = 0;
        double most = -INFINITY;
        for (int c = 0; c < a->C; c++) {
            double x = a->head[a->C * a->d + c];
            for (int j = 0; j < a->d; j++) x += (double)a->Z[b * a->d + j] * a->head[c * a->d + j];
            if (x > most) most = x, best = c;
            if (a->Y[b * a->C + c] > a->Y[b * a->C + own]) own = c;
        }
        count += best == own;
    }
    return count;
}

static int run_one(const char *number) {
    char *end;
    const long n = strtol(number, &end, 10);
    if (*end || n < 1 || n > LADDER_STEPS) return fails(number, "expected a step, 1 to 8");
    const LadderStep *step = ladder_step((int)n - 1);
    Ladder a;
    if (!ladder_open(&a, 150, 10, 128)) return fails("memory", "there is no device, or too little");
    const char *fault = step->run(&a, 3);
    if (!ladder_wait() && !fault) fault = "a kernel has failed";
    if (!fault)
        printf("step %ld, %s: 3 inner steps, then %d of %d rows have their own class\n", n,
               step->idea, right(&a), a.B);
    ladder_close(&a);
    return fault ? fails(step->idea, fault) : 0;
}

enum { B = 8192, D = 768, M = 10, REPEATS = 20, TEXT = 16 };

/* Writes the microseconds of an inner step, or what is wrong. Its result is compared with step 1's by first moments. */
static void measure(char text[TEXT], const LadderStep *step, Ladder *a, const float *expected) {
    float most = 0.0f, off = 0.0f;
    ladder_restart(a);
    const char *fault = step->run(a, 1);
    if (fault || !ladder_wait()) {
        snprintf(text, TEXT, "refused");
        return;
    }
    for (int i = 0; i < a->C * (a->d + 1); i++) {
        most = fmaxf(most, fabsf(expected[i]));
        off = fmaxf(off, fabsf(a->m1[i] - expected[i]));
    }
    if (!(off <= 0.01f * most)) snprintf(text, TEXT, "differs");
    else snprintf(text, TEXT, "%.1f", 1e3 * ladder_time(step, a, M, REPEATS) / M);
}

/* Measures all steps with C classes. Texts stay "-" where memory is short. */
static void measure_all(char text[LADDER_STEPS][TEXT], int C) {
    const size_t bytes = (size_t)C * (D + 1) * sizeof(float);
    float *expected = malloc(bytes);
    Ladder a;
    if (expected && ladder_open(&a, B, C, D)) {
        if (!ladder_step(0)->run(&a, 1) && ladder_wait()) {
            memcpy(expected, a.m1, bytes);
            for (int n = 0; n < LADDER_STEPS; n++) measure(text[n], ladder_step(n), &a, expected);
        }
        ladder_close(&a);
    }
    free(expected);
}

static int print_table(void) {
    static const int classes[2] = {10, 64};
    char measured[2][LADDER_STEPS][TEXT];
    for (int i = 0; i < 2; i++) {
        for (int n = 0; n < LADDER_STEPS; n++) snprintf(measured[i][n], TEXT, "-");
        if (ladder_gpus() > 0) measure_all(measured[i], classes[i]);
    }
    for (int n = 0; n < LADDER_STEPS; n++) {
        const LadderStep *step = ladder_step(n);
        printf("%d\t%s\t%s", n + 1, step->idea, step->kernels);
        for (int i = 0; i < 2; i++)
            printf("\t%.1f\t%s", 1e6 * step->seconds(plan_device("h200"), B, classes[i], D),
                   measured[i][n]);
        printf("\n");
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc > 2) return fails("arguments", "expected a step, or nothing for the table");
    return argc == 2 ? run_one(argv[1]) : print_table();
}
