/* two_calls.c - two threads train, evaluate, cluster, fit, encode and score at once, on arrays; tests/library runs it.
 * usage: two_calls WEIGHTS [race]      race: the threads share a counter without a lock, for a detector to find */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <turtle.h>

enum { N = 60, D = 4, C = 3, PICTURES = 2, SIDE = 9, FEATURES = 128 };
static float Z[N][D];
static int64_t y_true[N], counter;
static uint8_t rgb[PICTURES][SIDE][SIDE][3];
static const char *weights;
static int race;

typedef struct {
    TurtleResult trained, evaluated;
    TurtleKmeansResult clusters, again;
    TurtleProbeResult fitted;
    TurtleEncodeResult encoded;
    TurtleScores scores;
    float features[PICTURES][FEATURES];
    TurtleError err;
    int failed, told;
} Calls;

static int progress(void *context, const TurtleProgress *progress) {
    (void)progress;
    ((Calls *)context)->told++;
    if (race) counter++;
    return 0;
}

static void *all_calls(void *calls) {
    Calls *c = calls;
    const TurtleMatrix features = {Z, N, D, TURTLE_FLOAT32};
    const TurtleInputs inputs = {.Z = {&features, 1}, .y_true = y_true, .classes = C};
    TurtleTrainOptions train;
    TurtleEvaluateOptions evaluate;
    TurtleKmeansOptions kmeans;
    TurtleProbeOptions probe;
    TurtleEncodeOptions encode;
    turtle_train_defaults(&train);
    turtle_evaluate_defaults(&evaluate);
    turtle_kmeans_defaults(&kmeans);
    turtle_probe_defaults(&probe);
    turtle_encode_defaults(&encode);
    train.inputs = evaluate.inputs = kmeans.inputs = probe.inputs = inputs;
    train.common.threads = evaluate.common.threads = kmeans.common.threads = probe.common.threads =
        encode.common.threads = 2;
    train.common.hooks = (TurtleHooks){.progress = progress, .context = c};
    train.T = 5;
    train.soft_labels = evaluate.soft_labels = true;
    evaluate.model = &c->trained.model;
    kmeans.n_init = 2;
    probe.max_iter = 3;
    encode.weights = weights;
    encode.pictures =
        (TurtlePictures){.count = PICTURES, .rgb = &rgb[0][0][0][0], .height = SIDE, .width = SIDE};
    encode.features = c->features;
    encode.dims = FEATURES;
    c->failed = turtle_train(&train, &c->trained, &c->err) ||
                turtle_evaluate(&evaluate, &c->evaluated, &c->err) ||
                turtle_kmeans(&kmeans, &c->clusters, &c->err) ||
                turtle_probe(&probe, &c->fitted, &c->err) ||
                turtle_encode(&encode, &c->encoded, &c->err) ||
                turtle_scores(c->trained.cluster_of, y_true, N, &c->scores, &c->err);
    kmeans.centers = &c->clusters.centers;
    if (!c->failed) c->failed = turtle_kmeans(&kmeans, &c->again, &c->err);
    return NULL;
}

int main(int argc, char **argv) {
    static Calls calls[2];
    pthread_t thread[2];
    int wrong = 0;
    weights = argc > 1 ? argv[1] : "";
    race = argc > 2 && strcmp(argv[2], "race") == 0;
    for (int i = 0; i < (int)sizeof rgb; i++) (&rgb[0][0][0][0])[i] = (uint8_t)(37 * i);
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
                calls[0].fitted.objective != calls[1].fitted.objective ||
                memcmp(calls[0].features, calls[1].features, sizeof calls[0].features) != 0 ||
                memcmp(calls[0].clusters.cluster_of, calls[1].again.cluster_of,
                       sizeof(int64_t) * N) != 0 ||
                calls[0].scores.cluster_acc != calls[1].trained.cluster_acc || calls[0].told != 5 ||
                calls[1].told != 5;
    for (int i = 0; i < 2; i++) {
        turtle_result_free(&calls[i].trained);
        turtle_result_free(&calls[i].evaluated);
        turtle_kmeans_result_free(&calls[i].clusters);
        turtle_kmeans_result_free(&calls[i].again);
        turtle_probe_result_free(&calls[i].fitted);
        turtle_encode_result_free(&calls[i].encoded);
        turtle_scores_free(&calls[i].scores);
    }
    return wrong;
}
