/* train_random.h - the random numbers of a training run: initial weights, fresh heads, rows of batches.
 *
 * By default the device draws them (Philox, kernels/train.h): a number follows from seed, stream and
 * iteration alone. With --rng torch the host draws what the published implementation draws (rng.h); for
 * many samples a thread draws the next batch's rows while this batch is trained.
 */
#ifndef TURTLE_HOST_TRAIN_TRAIN_RANDOM_H
#define TURTLE_HOST_TRAIN_TRAIN_RANDOM_H

#include "host/train/train.h"

/* Draws every theta_k, then every head W_k, as the published implementation does. Waits for the device. */
Status train_draw_weights(Train *r, Error *err);
/* Draws fresh heads of a cold start, and sets their Adam moments to zero. */
void train_draw_heads(Train *r);

/* Enqueues B distinct rows of the training split into r->rows. Where the host draws them it does nothing:
 * train_draw_rows_on_host has put them there. */
void train_draw_rows(Train *r, Queue *q);
/* Draws the rows of a batch on the host and copies them to r->rows: the first B of a permutation, as
 * numpy.random.choice(N, B, replace=False). */
void train_draw_rows_on_host(Train *r);

/* Ends the thread that draws ahead. Returns whether there was one; its rows are complete then. */
bool train_end_drawing(Train *r);

#endif
