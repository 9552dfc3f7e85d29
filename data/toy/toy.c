/* toy.c - trains TURTLE on samples of a plane, and draws what it finds.
 *
 * usage: toy [NAME VALUE]...      (make toy TOY="--gamma 0")
 *   --gamma --classes --T --M --inner_lr --outer_lr --seed    as `turtle train` has them
 *   --spaces 1     trains on the first view alone
 *   --warm 1       keeps the heads from one iteration to the next
 *   --shift x      moves all samples by x, for features of real encoders are not centred
 *   --seeds n      repeats the last iteration's line for n seeds, counts, and draws nothing
 *   --out FOLDER   receives labels_<iteration>.svg; without it nothing is drawn
 *
 * A sample has three hidden bits a, b, c. View 1 shows a and b as four clusters at the corners of a
 * square, view 2 shows a and c likewise, turned by 30 degrees. In view 1 a cut by a is as good as one by
 * b, in view 2 as good as one by c. Only a is easy in both. Nobody tells the program any bit. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/toy/draw.h"
#include "host/train/train.h"
#include "kernels/philox.h"

enum { N = TOY_SAMPLES, VIEWS = TOY_VIEWS, BITS = 3 };

typedef struct {
    double gamma, inner_lr, outer_lr, shift;
    int classes, T, M, seed, spaces, warm, seeds;
    const char *out;
} Settings;

/* --- the samples ------------------------------------------------------------------------------ */

static int bit(int i, int which) { /* of sample i: all eight combinations are equally frequent */
    return i >> which & 1;
}

static float noise(int i,
                   int stream) { /* a sum of four uniform numbers: nearly normal, sigma 0.5 */
    const Philox words = philox_at(1, 15, stream, 0, i);
    float sum = 0.0f;
    for (int w = 0; w < 4; w++) sum += philox_uniform(words.word[w], 1.0f);
    return sum * 0.433f;
}

static void make_views(float Z[VIEWS][N * 2], float shift) {
    static const int shown[VIEWS] = {1, 2};                  /* the bit beside a */
    static const float turn[VIEWS] = {0.0f, 3.1415927f / 6}; /* radians */
    for (int k = 0; k < VIEWS; k++)
        for (int i = 0; i < N; i++) {
            const float x = (bit(i, 0) ? 2.0f : -2.0f) + noise(i, 2 * k);
            const float y = (bit(i, shown[k]) ? 2.0f : -2.0f) + noise(i, 2 * k + 1);
            Z[k][2 * i] = cosf(turn[k]) * x - sinf(turn[k]) * y + shift;
            Z[k][2 * i + 1] = sinf(turn[k]) * x + cosf(turn[k]) * y;
        }
}

/* --- what was found --------------------------------------------------------------------------- */

/* Computes each sample's class: the largest of the mean of softmax over the spaces (Eq. 9). */
static void label(int labels[N], float *const *linear, float Z[VIEWS][N * 2], int K, int C) {
    for (int i = 0; i < N; i++) {
        double Y[TOY_MOST_CLASSES] = {0};
        for (int k = 0; k < K; k++) {
            double p[TOY_MOST_CLASSES], sum = 0.0;
            for (int c = 0; c < C; c++)
                sum += p[c] = exp(toy_logit(linear[k], C, c, Z[k][2 * i], Z[k][2 * i + 1]));
            for (int c = 0; c < C; c++) Y[c] += p[c] / sum / K;
        }
        labels[i] = 0;
        for (int c = 1; c < C; c++)
            if (Y[c] > Y[labels[i]]) labels[i] = c;
    }
}

/* Returns the share of samples whose bit is the one that most of their class have. */
static double purity(const int labels[N], int which, int C) {
    int right = 0;
    for (int c = 0; c < C; c++) {
        int ones = 0, size = 0;
        for (int i = 0; i < N; i++)
            if (labels[i] == c) size++, ones += bit(i, which);
        right += ones > size - ones ? ones : size - ones;
    }
    return right / (double)N;
}

/* Several seeds have found each bit, and an empty class, so often. */
typedef struct {
    int bits[BITS], empty;
} Counts;

static void count(Counts *counts, const int labels[N], int C) {
    for (int b = 0; b < BITS; b++) counts->bits[b] += purity(labels, b, C) > 0.99;
    bool empty = false;
    for (int c = 0; c < C; c++) {
        int i = 0;
        while (i < N && labels[i] != c) i++;
        empty |= i == N;
    }
    counts->empty += empty;
}

static void tell(const char *head, int number, const TrainLosses *losses, const int labels[N],
                 int C) {
    printf("%s %5d  loss %.4f  entropy %.4f  a %.3f  b %.3f  c %.3f  sizes", head, number,
           losses->loss, losses->entropy, purity(labels, 0, C), purity(labels, 1, C),
           purity(labels, 2, C));
    for (int c = 0; c < C; c++) {
        int size = 0;
        for (int i = 0; i < N; i++) size += labels[i] == c;
        printf(" %d", size);
    }
    printf("\n");
}

/* --- the training ----------------------------------------------------------------------------- */

static Status train(const Settings *s, const Ops *ops, float Z[VIEWS][N * 2], int seed,
                    Counts *counts, Error *err) {
    Features view[VIEWS];
    TrainConfig config = {.K = s->spaces,
                          .C = s->classes,
                          .B = N,
                          .M = s->M,
                          .gamma = s->gamma,
                          .inner_lr = s->inner_lr,
                          .outer_lr = s->outer_lr,
                          .warm_start = s->warm,
                          .seed = (uint64_t)seed};
    float linear[VIEWS][3 * TOY_MOST_CLASSES], *layers[VIEWS];
    int labels[N];
    Train run;
    for (int k = 0; k < VIEWS; k++) {
        view[k] = (Features){.data = Z[k], .N = N, .d = 2, .type = DTYPE_F32};
        config.features[k] = &view[k];
        layers[k] = linear[k];
    }
    Status st = train_open(&run, ops, &config, err);
    for (int t = 0; st == OK && t <= s->T; t++) {
        TrainLosses losses = {0};
        if (t > 0) st = train_iteration(&run, err);
        const bool last = t == s->T;
        if (st != OK || !(last || (s->seeds == 0 && (t == 0 || t == 10 || t == 100)))) continue;
        if (t > 0) st = train_losses(&run, &losses, err);
        if (st == OK) st = train_read_task(&run, layers, err);
        if (st != OK) break;
        label(labels, layers, Z, s->spaces, s->classes);
        tell(s->seeds ? "seed" : "iteration", s->seeds ? seed : t, &losses, labels, s->classes);
        if (last) count(counts, labels, s->classes);
        if (s->out && !s->seeds)
            st = toy_draw(s->out, t, Z, labels, layers, s->spaces, s->classes, err);
    }
    train_close(&run);
    return st;
}

/* Reads a number of a setting: whole ones are 0 to 10^9, others finite. Returns whether `text` is one. */
static bool read_number(const char *text, int *whole, double *real) {
    char *end = NULL;
    const double x = strtod(text, &end);
    if (end == text || *end || !isfinite(x)) return false;
    if (!whole) *real = x;
    else if (x < 0.0 || x > 1e9 || x != floor(x)) return false;
    else *whole = (int)x;
    return true;
}

static Status read_settings(Settings *s, int argc, char **argv, Error *err) {
    const struct {
        const char *name;
        int *whole;
        double *real;
    } table[] = {{"--classes", &s->classes, NULL},
                 {"--T", &s->T, NULL},
                 {"--M", &s->M, NULL},
                 {"--seed", &s->seed, NULL},
                 {"--spaces", &s->spaces, NULL},
                 {"--warm", &s->warm, NULL},
                 {"--seeds", &s->seeds, NULL},
                 {"--gamma", NULL, &s->gamma},
                 {"--inner_lr", NULL, &s->inner_lr},
                 {"--outer_lr", NULL, &s->outer_lr},
                 {"--shift", NULL, &s->shift}};
    for (int i = 1; i < argc; i += 2) {
        size_t e = 0;
        if (i + 1 == argc) return fail(err, ERR_USAGE, "%s: expected a value behind it", argv[i]);
        if (strcmp(argv[i], "--out") == 0) {
            s->out = argv[i + 1];
            continue;
        }
        while (e < sizeof table / sizeof *table && strcmp(argv[i], table[e].name) != 0) e++;
        if (e == sizeof table / sizeof *table)
            return fail(err, ERR_USAGE, "%s: data/toy/toy.c names the settings", argv[i]);
        if (!read_number(argv[i + 1], table[e].whole, table[e].real))
            return fail(err, ERR_USAGE, "%s: '%s': expected %s", argv[i], argv[i + 1],
                        table[e].whole ? "a whole number, 0 or more" : "a finite number");
    }
    return s->spaces >= 1 && s->spaces <= VIEWS && s->classes >= 2 && s->classes <= TOY_MOST_CLASSES
               ? OK
               : fail(err, ERR_USAGE, "expected --spaces of 1 to %d and --classes of 2 to %d",
                      VIEWS, TOY_MOST_CLASSES);
}

int main(int argc, char **argv) {
    static float Z[VIEWS][N * 2];
    Settings s = {.gamma = 10.0,
                  .inner_lr = 0.1,
                  .outer_lr = 0.01,
                  .classes = 2,
                  .T = 300,
                  .M = 10,
                  .seed = 42,
                  .spaces = VIEWS};
    Counts counts = {0};
    Ops ops;
    Error err;
    if (read_settings(&s, argc, argv, &err) != OK) {
        fprintf(stderr, "toy: %s\n", err.text);
        return 2;
    }
    make_views(Z, (float)s.shift);
    Status st = ops_open(&ops, "cpu", 1, NULL, &err);
    if (st == OK) {
        for (int r = 0; st == OK && r < (s.seeds ? s.seeds : 1); r++)
            st = train(&s, &ops, Z, s.seed + r, &counts, &err);
        ops_close(&ops);
    }
    if (st == OK && s.seeds)
        printf("found: a %d, b %d, c %d of %d; with an empty class: %d\n", counts.bits[0],
               counts.bits[1], counts.bits[2], s.seeds, counts.empty);
    if (st == OK && (fflush(stdout) != 0 || ferror(stdout)))
        st = fail(&err, ERR_IO, "stdout: the lines could not be written");
    if (st != OK) fprintf(stderr, "toy: %s\n", err.text);
    return st == OK ? 0 : 1;
}
