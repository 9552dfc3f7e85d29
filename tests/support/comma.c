/* comma.c - a program whose locale writes 1,5 calls the library: numbers stay as the C locale has them, hooks see its own.
 * usage: comma LOCALE      tests/library makes the locale and runs it */
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <turtle.h>

enum { N = 40, D = 2 };
static float Z[N][D];

static int comma(void) {
    return strcmp(localeconv()->decimal_point, ",") == 0;
}

static int progress(void *wrong, const TurtleProgress *p) {
    (void)p;
    if (!comma()) *(int *)wrong += 1;
    return 0;
}

static void notice(void *wrong, const char *line) {
    (void)line;
    if (!comma()) *(int *)wrong += 1;
}

int main(int argc, char **argv) {
    int wrong = 0;
    if (argc != 2 || !setlocale(LC_ALL, argv[1]) || !comma()) return 2;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < D; j++)
            Z[i][j] = (float)(j == i % 2) + 0.01f * (float)((7 * i + 3 * j) % 10);
    const TurtleMatrix features = {Z, N, D, TURTLE_FLOAT32};
    TurtleTrainOptions train;
    TurtleResult found;
    TurtleError err;
    turtle_train_defaults(&train);
    train.inputs = (TurtleInputs){.Z = {&features, 1}, .classes = 2};
    train.T = 3;
    train.prior = "power:0.5"; /* a locale that wants a comma here would refuse it */
    train.common.hooks = (TurtleHooks){.progress = progress, .notice = notice, .context = &wrong};
    if (turtle_train(&train, &found, &err)) return fprintf(stderr, "%s\n", err.text), 1;
    if (!strstr(found.json, "\"loss\": 0.") || !strstr(found.json, "\"inner_lr\": 0.001")) wrong++;
    if (wrong) fprintf(stderr, "%s\n", found.json);
    if (!comma()) wrong++;
    turtle_result_free(&found);
    return wrong != 0;
}
