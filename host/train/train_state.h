/* train_state.h - a training run saved, and continued with the same bits. */
#ifndef TURTLE_HOST_TRAIN_TRAIN_STATE_H
#define TURTLE_HOST_TRAIN_TRAIN_STATE_H

#include "host/train/train.h"

/* Writes all that the next iteration depends on as named tensors, a file of torch_save. `options` is a
 * text of what a continued run must share, one `name value` a line; it is kept in the file. Waits for
 * the device. */
Status train_save(Train *r, const char *path, const char *options, Error *err);

/* Reads the state back into an open run of the same shapes: continued from it, the run is bit-identical
 * to one that was not interrupted. ERR_ARG: the file was saved with other options, and the message
 * names the first; ERR_FORMAT: the file is no such state. */
Status train_restore(Train *r, const char *path, const char *options, Error *err);

#endif
