/* text.h - CLIP's text encoder: token ids in, features in the space of its image encoder out. */
#ifndef TURTLE_HOST_ENCODE_TEXT_H
#define TURTLE_HOST_ENCODE_TEXT_H

#include "host/encode/encoder.h"

/* Reads depth, width, vocabulary and context of the text encoder into *shape; they are zeros if
 * there is none. */
void text_shape(EncoderShape *shape, Weights *w);
/* Passes over the text encoder's tensors, which belong into the file of an image encoder. */
void text_pass_over(Weights *w, const EncoderShape *shape);

typedef struct TextEncoder TextEncoder;

/* Opens the text encoder of a CLIP file, in float32; `batch` prompts at a time. `ops` and `path` must outlive
 * *out. */
Status text_open(TextEncoder **out, const Ops *ops, const char *path, int64_t batch, Error *err);
/* Opens it with facts that the caller knows, and products of a precision. */
Status text_open_as(TextEncoder **out, const Ops *ops, const char *path, int64_t batch,
                    const FactOptions *options, Precision precision, Error *err);
void text_close(TextEncoder *t); /* NULL is fine */
int64_t text_features(const TextEncoder *t);
int64_t text_context(const TextEncoder *t);
/* Returns what the user has to be told of the file, lines as of weights_said. */
const char *text_said(const TextEncoder *t);

/* Computes features (B,text_features) of ids (B,context), both in host memory: the projected state
 * at the end token: the largest id, or the one that a configuration names. B may be any number. */
Status text_run(TextEncoder *t, float *features, const int32_t *ids, int64_t B, Error *err);
/* Enqueues the same, and returns in *mark when it is done. The ids are read before it returns; the features are
 * written when text_reach returns for the mark. */
void text_start(TextEncoder *t, float *features, const int32_t *ids, int64_t B, int64_t *mark);
Status text_reach(TextEncoder *t, int64_t mark, Error *err);
/* Waits for all texts that were started and whose features nobody wants any more. */
void text_drop(TextEncoder *t);

/* Makes one class vector from its prompts: each feature is normalised, their mean is taken and
 * normalised again (Radford et al. 2021, section 3.1.4). */
void text_class_vector(float *out, const float *features, int64_t prompts, int64_t d);

#endif
