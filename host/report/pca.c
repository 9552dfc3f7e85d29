/* pca.c - two principal directions without the covariance matrix: V <- orth(X'(X V)) in float64.
 *
 *     X (n,d) centred, V (d,J) orthonormal, J = 6 > 2: the two first converge as (l_7 / l_2)^t
 *     S = X'(X V) (d,J); V'S = sum over rows of (xV)'(xV) is J x J: its eigenvectors order V (Rayleigh-Ritz)
 *
 * Cost     4 n d J flops an iteration, all of it in one pass over X.
 */
#include "host/report/pca.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/report/gather.h"

enum { J = 6, PARTS = 32, MOST_ITERATIONS = 60 };
static const double ENOUGH = 1e-9; /* relative change of both eigenvalues that ends the iteration */

typedef struct {
    const float *X; /* (n,d) */
    int64_t n, d;
    double *V;    /* (d,J) orthonormal columns */
    double *part; /* (PARTS,d,J) sums over the rows of a part */
} Iteration;

/* Sums x'(x V) over the rows of one part: the parts are cut by n alone, so bits do not depend on threads. */
static void sum_part(void *context, int64_t p) {
    Iteration *it = context;
    const int64_t first = it->n * p / PARTS, end = it->n * (p + 1) / PARTS, d = it->d;
    double *sum = it->part + p * d * J;
    memset(sum, 0, (size_t)(d * J) * sizeof *sum);
    for (int64_t i = first; i < end; i++) {
        const float *x = it->X + i * d;
        double y[J] = {0};
        for (int64_t k = 0; k < d; k++)
            for (int j = 0; j < J; j++) y[j] += (double)x[k] * it->V[k * J + j];
        for (int64_t k = 0; k < d; k++)
            for (int j = 0; j < J; j++) sum[k * J + j] += (double)x[k] * y[j];
    }
}

/* Makes the columns of A (d,J) orthonormal (modified Gram-Schmidt, twice). A column without length
 * becomes zero. */
static void orthonormalise(double *A, int64_t d) {
    for (int j = 0; j < J; j++) {
        double before = 0.0, after = 0.0;
        for (int64_t k = 0; k < d; k++) before += A[k * J + j] * A[k * J + j];
        for (int twice = 0; twice < 2; twice++)
            for (int i = 0; i < j; i++) {
                double dot = 0.0;
                for (int64_t k = 0; k < d; k++) dot += A[k * J + i] * A[k * J + j];
                for (int64_t k = 0; k < d; k++) A[k * J + j] -= dot * A[k * J + i];
            }
        for (int64_t k = 0; k < d; k++) after += A[k * J + j] * A[k * J + j];
        const double scale = after > 1e-24 * before && after > 0.0 ? 1.0 / sqrt(after) : 0.0;
        for (int64_t k = 0; k < d; k++) A[k * J + j] *= scale;
    }
}

/* Diagonalises the symmetric A (J,J) by Jacobi rotations: A becomes diagonal, U its eigenvectors in
 * columns, both ordered by falling eigenvalue. */
static void diagonalise(double A[J][J], double U[J][J]) {
    for (int i = 0; i < J; i++)
        for (int j = 0; j < J; j++) U[i][j] = i == j;
    for (int sweep = 0; sweep < 30; sweep++)
        for (int p = 0; p < J; p++)
            for (int q = p + 1; q < J; q++) {
                if (A[p][q] == 0.0) continue;
                const double tau = (A[q][q] - A[p][p]) / (2.0 * A[p][q]);
                const double t = (tau >= 0 ? 1.0 : -1.0) / (fabs(tau) + sqrt(1.0 + tau * tau));
                const double c = 1.0 / sqrt(1.0 + t * t), s = t * c;
                for (int k = 0; k < J; k++) {
                    const double a = A[k][p], b = A[k][q], u = U[k][p], v = U[k][q];
                    A[k][p] = c * a - s * b;
                    A[k][q] = s * a + c * b;
                    U[k][p] = c * u - s * v;
                    U[k][q] = s * u + c * v;
                }
                for (int k = 0; k < J; k++) {
                    const double a = A[p][k], b = A[q][k];
                    A[p][k] = c * a - s * b;
                    A[q][k] = s * a + c * b;
                }
            }
    for (int i = 0; i < J; i++)
        for (int j = i + 1; j < J; j++) {
            if (A[j][j] <= A[i][i]) continue;
            const double value = A[i][i];
            A[i][i] = A[j][j];
            A[j][j] = value;
            for (int k = 0; k < J; k++) {
                const double u = U[k][i];
                U[k][i] = U[k][j];
                U[k][j] = u;
            }
        }
}

/* One iteration: V becomes the orthonormal Ritz vectors of X'(XV), `value` their eigenvalues before it. */
static void iterate(Iteration *it, double *sum, double *turned, double value[J], int threads) {
    const int64_t d = it->d;
    double A[J][J], U[J][J];
    report_parallel(threads, PARTS, sum_part, it);
    memset(sum, 0, (size_t)(d * J) * sizeof *sum);
    for (int p = 0; p < PARTS; p++)
        for (int64_t i = 0; i < d * J; i++) sum[i] += it->part[p * d * J + i];
    for (int i = 0; i < J; i++)
        for (int j = 0; j < J; j++) {
            A[i][j] = 0.0;
            for (int64_t k = 0; k < d; k++) A[i][j] += it->V[k * J + i] * sum[k * J + j];
        }
    for (int i = 0; i < J; i++) /* rounding leaves it a little unsymmetric */
        for (int j = 0; j < i; j++) A[i][j] = A[j][i] = 0.5 * (A[i][j] + A[j][i]);
    diagonalise(A, U);
    for (int j = 0; j < J; j++) value[j] = A[j][j];
    for (int64_t k = 0; k < d; k++)
        for (int j = 0; j < J; j++) {
            double s = 0.0;
            for (int i = 0; i < J; i++) s += sum[k * J + i] * U[i][j];
            turned[k * J + j] = s;
        }
    memcpy(it->V, turned, (size_t)(d * J) * sizeof *turned);
    orthonormalise(it->V, d);
}

/* Centres the columns. Returns the sum of all squares then. */
static double centre(float *X, int64_t n, int64_t d, double *mean) {
    double squares = 0.0;
    memset(mean, 0, (size_t)d * sizeof *mean);
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < d; k++) mean[k] += (double)X[i * d + k];
    for (int64_t k = 0; k < d; k++) mean[k] /= (double)n;
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < d; k++) {
            X[i * d + k] = (float)((double)X[i * d + k] - mean[k]);
            squares += (double)X[i * d + k] * (double)X[i * d + k];
        }
    return squares;
}

/* Begins with fixed directions that no data set is likely to be orthogonal to. */
static void begin(double *V, int64_t d) {
    uint64_t state = 42;
    for (int64_t i = 0; i < d * J; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        V[i] = (double)(state >> 11) * 0x1p-53 - 0.5;
    }
    orthonormalise(V, d);
}

static void project(double *out, const Iteration *it) {
    for (int j = 0; j < 2; j++) {
        int64_t most = 0;
        for (int64_t k = 1; k < it->d; k++)
            if (fabs(it->V[k * J + j]) > fabs(it->V[most * J + j])) most = k;
        const double sign = it->V[most * J + j] < 0 ? -1.0 : 1.0;
        for (int64_t i = 0; i < it->n; i++) {
            double dot = 0.0;
            for (int64_t k = 0; k < it->d; k++)
                dot += (double)it->X[i * it->d + k] * it->V[k * J + j];
            out[2 * i + j] = sign * dot;
        }
    }
}

Status pca_plane(double *out, double variance[2], float *X, int64_t n, int64_t d, int threads,
                 Error *err) {
    double *memory = malloc((size_t)(d * J) * (PARTS + 3) * sizeof *memory);
    if (!memory) return fail(err, ERR_MEMORY, "report: out of memory for the plane");
    double *sum = memory, *turned = sum + d * J, value[J] = {0}, before[2] = {0};
    Iteration it = {X, n, d, turned + d * J, turned + 2 * d * J};
    const double squares = centre(X, n, d, sum);
    begin(it.V, d);
    for (int t = 0; squares > 0.0 && t < MOST_ITERATIONS; t++) {
        iterate(&it, sum, turned, value, threads);
        const bool still = t && fabs(value[0] - before[0]) <= ENOUGH * value[0] &&
                           fabs(value[1] - before[1]) <= ENOUGH * value[0];
        before[0] = value[0];
        before[1] = value[1];
        if (still) break;
    }
    for (int j = 0; j < 2; j++)
        variance[j] = squares > 0.0 && value[j] > 0.0 ? value[j] / squares : 0.0;
    if (squares > 0.0) project(out, &it);
    else memset(out, 0, (size_t)n * 2 * sizeof *out);
    free(memory);
    return OK;
}
