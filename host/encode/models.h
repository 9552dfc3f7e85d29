/* models.h - the published encoders: their names as representations, files and origins. */
#ifndef TURTLE_HOST_ENCODE_MODELS_H
#define TURTLE_HOST_ENCODE_MODELS_H

#include "host/encode/encoder.h"

typedef struct {
    const char *phi;   /* "clipvitL14" */
    const char *model; /* as encoder_describe says it */
    const char *file;  /* below <root>/checkpoints/ */
    const char *url;
    int parameters; /* millions */
    int bytes_each; /* of most parameters in the file */
} PublishedModel;

/* The SHA-256 digest that the source states, which for CLIP's files is a part of the address; NULL where
 * the source states none. Writes it to `hex`. */
const char *model_digest(char hex[65], const PublishedModel *model);

/* The row of that phi, or NULL. */
const PublishedModel *model_find(const char *phi);
/* The rows one after the other; NULL behind the last. */
const PublishedModel *model_first(void);
const PublishedModel *model_next(const PublishedModel *model);

/* Facts of a published network that its tensors do not say. */
typedef struct {
    EncoderKind kind;
    int64_t width, depth, patch; /* of exactly these */
    const char *name;            /* "CLIP ViT-B/32" */
    const char *origin;          /* whose weights the facts below are true of */
    int64_t head_width;
    Activation activation; /* of both towers' blocks */
} PublishedShape;

/* Returns the published network of exactly this shape, or NULL. */
const PublishedShape *published_shape(const EncoderShape *shape);
/* Returns the width of a head in every published CLIP of this width, else 64. */
int64_t published_head_width(EncoderKind kind, int64_t width);

/* Where the weights of `phi` lie; fresh memory. `weights` NULL: the published place of a published
 * model, else <root>/checkpoints/<phi>.{pth,pt,safetensors}. A missing file is ERR_IO, with what to
 * get from where. */
Status model_weights(char **path, const char *root, const char *phi, const char *weights,
                     Error *err);
/* Whether the weights of all `phis` are below `root`. Where several are missing, each is said through the
 * notice hook: how large it is, the line that fetches it, its digest where the source states one. */
Status models_present(const char *root, const TurtleTexts *phis, const TurtleHooks *hooks,
                      Error *err);

#endif
