/* crossval.h - the generalisation score of a labelling: how well linear classifiers that learn it
 * on nine tenths of the samples predict it on the others (10-fold cross-validation per space).
 *
 * It needs no label but the found ones, and high scores go with high cluster accuracy: it ranks
 * runs, seeds and options. Protocol of the published implementation: a permutation of the N
 * samples from numpy's stream of seed 42, cut into 10 folds of which the first N mod 10 are one
 * sample longer; logistic regression with C = 1 (logreg.h) on the other nine; the share of the
 * fold that it labels right; mean over folds, then over spaces.
 */
#ifndef TURTLE_HOST_SCORE_CROSSVAL_H
#define TURTLE_HOST_SCORE_CROSSVAL_H

#include "host/turtle.h"
#include "kernels/ops.h"

enum { CROSSVAL_FOLDS = 10, CROSSVAL_SEED = 42 };

/* Returns the published number of iterations of each fit: 400 for imagenet, pcam and kinetics700,
 * else 1000. */
int crossval_iterations(const char *dataset); /* NULL: no known data set */

/* Computes the score. features are (N,d_k) of the K spaces, on the device of `ops` (features_open);
 * labels are (N) in [0, C), in host memory. A class that no sample of the other nine folds has is
 * never predicted; one class in all of them is predicted everywhere. ERR_ARG: fewer samples than
 * folds, a label out of range. Progress is told in fits, with a notice per space; ERR_STOPPED where
 * hooks, which may be NULL, say stop. Beside the features it needs a copy of one space, 4 N d bytes
 * (2 of float16 features). */
Status generalization_score(const Ops *ops, int K, const Features features[], const int64_t *labels,
                            int64_t C, int max_iter, const TurtleHooks *hooks, double *score,
                            Error *err);

#endif
