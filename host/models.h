/* models.h - the published encoders: their names as representations, files and origins. */
#ifndef TURTLE_HOST_MODELS_H
#define TURTLE_HOST_MODELS_H

#include "../io/status.h"

typedef struct {
    const char *phi;   /* "clipvitL14" */
    const char *model; /* as encoder_describe says it */
    const char *file;  /* below <root>/checkpoints/ */
    const char *url;
} PublishedModel;

/* The row of that phi, or NULL. */
const PublishedModel *model_find(const char *phi);

/* Where the weights of `phi` lie; fresh memory. `weights` NULL: the published place of a published
 * model, else <root>/checkpoints/<phi>.{pth,pt,safetensors}. A missing file is ERR_IO, with what to
 * get from where. */
Status model_weights(char **path, const char *root, const char *phi, const char *weights,
                     Error *err);

#endif
