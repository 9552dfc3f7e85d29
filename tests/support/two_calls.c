/* two_calls.c - two threads train, evaluate, cluster and fit at once, on arrays; tests/library runs it. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <turtle.h>

enum { N = 60, D = 4, C = 3 };
static float Z[N][D];
static int64_t y_true[N];

typedef struct {
    TurtleResult trained, evaluated;
    TurtleKmeansResult clusters;
    TurtleProbeResult fitted;
    TurtleError err;
    int failed;
} Calls;

static void *all_calls(void *calls) {
    Calls *c = calls;
    const TurtleMatrix features = {Z, N, D, TURTLE_FLOAT32};
    const TurtleInputs inputs = {.Z = {&features, 1}, .y_true = y_true, .classes = C};
    TurtleTrainOptions train;
    TurtleEvaluateOptions evaluate;
    TurtleKmeansOptions kmeans;
    TurtleProbeOptions probe;
    turtle_train_defaults(&train);
    turtle_evaluate_defaults(&evaluate);
    turtle_kmeans_defaults(&kmeans);
    turtle_probe_defaults(&probe);
    train.inputs = evaluate.inputs = kmeans.inputs = probe.inputs = inputs;
    train.common.threads = evaluate.common.threads = kmeans.common.threads = probe.common.threads =
        2;
    train.T = 5;
    train.soft_labels = evaluate.soft_labels = true;
    evaluate.model = &c->trained.model;
    kmeans.n_init = 2;
    probe.max_iter = 3;
    c->failed = turtle_train(&train, &c->trained, &c->err) ||
                turtle_evaluate(&evaluate, &c->evaluated, &c->err) ||
                turtle_kmeans(&kmeans, &c->clusters, &c->err) ||
                turtle_probe(&probe, &c->fitted, &c->err);
    return NULL;
}

int main(void) {
    static Calls calls[2];
    pthread_t thread[2];
    int wrong = 0;
    for (int i = 0; i < N; i++) {
        y_true[i] = i / (N / C);
        for (int j = 0; j < D; j++)
            Z[i][j] = (float)(j == y_true[i]) + 0.01f * (float)((7 * i + 3 * j) % 10);
    }
    for (int i = 0; i < 2; i++)
        if (pthread_create(&thread[i], NULL, all_calls, &calls[i])) return 2;
    for (int i = 0; i < 2; i++) {
        pthread_join(thread[i], NULL);
        if (calls[i].failed) fprintf(stderr, "%s\n", calls[i].err.text);
        wrong |= calls[i].failed;
    }
    if (!wrong)
        wrong = memcmp(calls[0].trained.probability, calls[1].evaluated.probability,
                       sizeof(float) * N * C) != 0 ||
                calls[0].trained.loss != calls[1].trained.loss ||
                calls[0].clusters.inertia != calls[1].clusters.inertia ||
                calls[0].fitted.objective != calls[1].fitted.objective;
    for (int i = 0; i < 2; i++) {
        turtle_result_free(&calls[i].trained);
        turtle_result_free(&calls[i].evaluated);
        turtle_kmeans_result_free(&calls[i].clusters);
        turtle_probe_result_free(&calls[i].fitted);
    }
    return wrong;
}
