/* models.h - the networks of the published encoders, and where the weights of an encoder lie. */
#ifndef TURTLE_HOST_ENCODE_MODELS_H
#define TURTLE_HOST_ENCODE_MODELS_H

#include "host/encode/encoder.h"
#include "host/inputs/published.h"

/* Facts of a published network that its tensors do not say. */
typedef struct {
    EncoderKind kind;
    int64_t width, depth, patch; /* sizes, which a file must have exactly */
    const char *name;            /* "CLIP ViT-B/32" */
    const char *origin;          /* owner of the weights that have the facts below */
    int64_t head_width;
    Activation activation; /* activation of both towers' blocks */
} PublishedShape;

/* Returns the published network of exactly this shape, or NULL. */
const PublishedShape *published_shape(const EncoderShape *shape);
/* Returns the width of a head in every published CLIP or SigLIP of this width, else 64. */
int64_t published_head_width(EncoderKind kind, int64_t width);

/* Returns whether a network of this shape may be the published one. */
bool model_is(const PublishedModel *model, const EncoderShape *shape);

/* Finds the weights of `phi`; *path is fresh memory. With `weights` NULL they lie where model_locate finds
 * those of a published model, else at <root>/checkpoints/<phi>.{pth,pt,safetensors,bin},
 * or in the folder <phi> there. A missing file
 * is ERR_IO, with what to get from where. */
Status model_weights(char **path, const char *root, const char *phi, const char *weights,
                     Error *err);
/* Returns OK if the weights of all `phis` are below `root`, else ERR_IO. Where several are missing,
 * a notice for each says how large it is, the line that fetches it, and its digest where the source
 * states one. */
Status models_present(const char *root, const TurtleTexts *phis, const TurtleHooks *hooks,
                      Error *err);

#endif
