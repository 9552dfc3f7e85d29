/* example.c - the library in twenty lines: three groups of samples are found from their features. */
#include <stdio.h>
#include <turtle.h>

int main(void) {
    static float Z[300][4]; /* 100 samples of each group, a little apart */
    for (int i = 0; i < 300; i++)
        for (int j = 0; j < 4; j++)
            Z[i][j] = (j == i / 100) + 0.001f * (float)((7 * i + 3 * j) % 10);
    TurtleMatrix features = {Z, 300, 4, TURTLE_FLOAT32};
    TurtleTrainOptions options;
    TurtleResult found;
    TurtleError err;
    turtle_train_defaults(&options);
    options.inputs.Z = (TurtleMatrices){&features, 1};
    options.inputs.classes = 3;
    options.T = 300;
    options.inner_lr = options.outer_lr = 0.01;
    if (turtle_train(&options, &found, &err) != TURTLE_OK)
        return fprintf(stderr, "%s\n", err.text), 1;
    for (int i = 50; i < 300; i += 100)
        printf("sample %d: cluster %d\n", i, (int)found.cluster_of[i]);
    const int apart = found.cluster_of[50] != found.cluster_of[150] && found.clusters_found == 3;
    turtle_result_free(&found);
    return !apart;
}
