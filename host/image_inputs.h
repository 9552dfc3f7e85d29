/* image_inputs.h - what `features` and `labels` begin with: the lists of images and their name. */
#ifndef TURTLE_HOST_IMAGE_INPUTS_H
#define TURTLE_HOST_IMAGE_INPUTS_H

#include "../io/sources.h"
#include "turtle.h"

typedef struct {
    SourceSplits splits;
    char *name; /* of the outputs; owned */
} ImageInputs;

/* Opens what `wanted` names, which must be exactly one thing. On failure *out is zeroed. */
Status image_inputs_open(ImageInputs *out, const TurtleImages *wanted, const char *root,
                         Error *err);
void image_inputs_close(ImageInputs *in); /* NULL and twice are fine */

/* <root>/representations/<phi>/<name>_<split>, without an ending; fresh memory or NULL. */
char *representation_stem(const char *root, const char *phi, const char *name, const char *split);

#endif
