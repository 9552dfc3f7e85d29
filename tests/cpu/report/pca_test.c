/* pca_test.c - the plane of a report against eigenvectors of the covariance matrix. */
#include "host/report/pca.h"
#include "tests/support/check.h"

enum { N = 300, D = 20 };

/* Fills X (n,d) with numbers whose columns have falling variances, all mixed. */
static void make_rows(float *X, int n, int d, uint64_t seed) {
    double mix[D][D];
    for (int i = 0; i < d; i++)
        for (int j = 0; j < d; j++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            mix[i][j] = (double)(seed >> 11) * 0x1p-53 - 0.5;
        }
    for (int r = 0; r < n; r++) {
        double z[D];
        for (int i = 0; i < d; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            z[i] = ((double)(seed >> 11) * 0x1p-53 - 0.5) * 10.0 / (1 + i);
        }
        for (int j = 0; j < d; j++) {
            double x = 3.0 * j;
            for (int i = 0; i < d; i++) x += z[i] * mix[i][j];
            X[r * d + j] = (float)x;
        }
    }
}

/* Finds direction `which` of the covariance by plain power iteration beside the one found before. */
static double power(double *v, const double *S, int d, const double *before) {
    double w[D], length = 0.0;
    for (int i = 0; i < d; i++) v[i] = 1.0 + 0.1 * i;
    for (int t = 0; t < 20000; t++) {
        double along = 0.0;
        for (int i = 0; before && i < d; i++) along += v[i] * before[i];
        for (int i = 0; before && i < d; i++) v[i] -= along * before[i];
        length = 0.0;
        for (int i = 0; i < d; i++) {
            w[i] = 0.0;
            for (int j = 0; j < d; j++) w[i] += S[i * d + j] * v[j];
            length += w[i] * w[i];
        }
        length = sqrt(length);
        for (int i = 0; i < d; i++) v[i] = w[i] / length;
    }
    return length;
}

Test(pca, agrees_with_the_eigenvectors_of_the_covariance, .timeout = 60) {
    float *X = malloc(N * D * sizeof *X);
    static double S[D * D], V[2][D], mean[D], plane[2 * N];
    double variance[2], trace = 0.0, value[2];
    Error err;
    make_rows(X, N, D, 7);
    for (int i = 0; i < N * D; i++) mean[i % D] += (double)X[i] / N;
    for (int r = 0; r < N; r++)
        for (int i = 0; i < D; i++)
            for (int j = 0; j < D; j++)
                S[i * D + j] += ((double)X[r * D + i] - mean[i]) * ((double)X[r * D + j] - mean[j]);
    for (int i = 0; i < D; i++) trace += S[i * D + i];
    value[0] = power(V[0], S, D, NULL);
    value[1] = power(V[1], S, D, V[0]);
    float *copy = malloc(N * D * sizeof *copy);
    memcpy(copy, X, N * D * sizeof *copy);
    ASSERT_OK(pca_plane(plane, variance, copy, N, D, 2, &err), err);
    for (int j = 0; j < 2; j++) {
        int most = 0;
        for (int i = 1; i < D; i++)
            if (fabs(V[j][i]) > fabs(V[j][most])) most = i;
        const double sign = V[j][most] < 0 ? -1.0 : 1.0;
        double worst = 0.0;
        for (int r = 0; r < N; r++) {
            double dot = 0.0;
            for (int i = 0; i < D; i++) dot += ((double)X[r * D + i] - mean[i]) * V[j][i];
            worst = fmax(worst, fabs(sign * dot - plane[2 * r + j]));
        }
        /* rows have a length of about 10; the centred X is rounded to float32, and the iteration ends when
         * eigenvalues, which are the square of it, stand still to 1e-9 */
        EXPECT_CLOSE(worst, 1e-3, "direction %d: worst row", j);
        EXPECT_CLOSE(fabs(variance[j] - value[j] / trace), 1e-6, "direction %d: share", j);
    }
    free(copy);
    free(X);
}

Test(pca, has_the_same_bits_for_any_number_of_threads, .timeout = 60) {
    float *X = malloc(N * D * sizeof *X);
    static double plane[3][2 * N];
    double variance[2];
    Error err;
    for (int t = 0; t < 3; t++) {
        make_rows(X, N, D, 3);
        ASSERT_OK(pca_plane(plane[t], variance, X, N, D, 1 + 3 * t, &err), err);
    }
    cr_expect(memcmp(plane[0], plane[1], sizeof plane[0]) == 0 &&
              memcmp(plane[0], plane[2], sizeof plane[0]) == 0);
    free(X);
}

Test(pca, its_sign_follows_from_the_directions, .timeout = 60) {
    float *X = malloc(N * D * sizeof *X);
    static double plane[2][2 * N];
    double variance[2];
    Error err;
    for (int t = 0; t < 2; t++) {
        make_rows(X, N, D, 5);
        for (int i = 0; t && i < N * D; i++) X[i] = -X[i];
        ASSERT_OK(pca_plane(plane[t], variance, X, N, D, 2, &err), err);
    }
    double worst = 0.0;
    for (int i = 0; i < 2 * N; i++) worst = fmax(worst, fabs(plane[0][i] + plane[1][i]));
    EXPECT_CLOSE(worst, 1e-3, "rows of -X are those of X on the other side");
    free(X);
}

Test(pca, serves_shapes_with_less_than_two_directions, .timeout = 60) {
    double plane[10], variance[2];
    Error err;
    float one[] = {1, 2, 3}, same[] = {4, 5, 4, 5, 4, 5}, line[] = {1, 2, 3, 4, 5};
    ASSERT_OK(pca_plane(plane, variance, one, 1, 3, 2, &err), err);
    cr_expect(plane[0] == 0.0 && plane[1] == 0.0 && variance[0] == 0.0);
    ASSERT_OK(pca_plane(plane, variance, same, 3, 2, 2, &err), err);
    for (int i = 0; i < 6; i++) cr_expect(plane[i] == 0.0);
    ASSERT_OK(pca_plane(plane, variance, line, 5, 1, 2, &err), err);
    for (int i = 0; i < 5; i++) {
        cr_expect(fabs(plane[2 * i] - (i - 2)) < 1e-6, "row %d lies at %g", i, plane[2 * i]);
        cr_expect(plane[2 * i + 1] == 0.0);
    }
    cr_expect(fabs(variance[0] - 1.0) < 1e-9 && variance[1] == 0.0);
}
