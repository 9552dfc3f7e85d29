/* pca.h - the two directions of largest variance of a matrix, by orthogonal iteration. */
#ifndef TURTLE_HOST_REPORT_PCA_H
#define TURTLE_HOST_REPORT_PCA_H

#include <stdint.h>

#include "io/status.h"

/* Writes out (n,2), the rows of the centred X (n,d) projected on its first two principal directions, and
 * the shares of the variance that these explain. X is centred in place. The component of largest
 * magnitude of a direction is positive. Same bits for any number of threads. A direction without
 * variance gives zeros. Source: Golub and Van Loan, Matrix Computations, 8.2.4. */
Status pca_plane(double *out, double variance[2], float *X, int64_t n, int64_t d, int threads,
                 Error *err);

#endif
