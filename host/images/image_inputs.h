/* image_inputs.h - what `features` and `labels` begin with: the lists of images and their name. */
#ifndef TURTLE_HOST_IMAGES_IMAGE_INPUTS_H
#define TURTLE_HOST_IMAGES_IMAGE_INPUTS_H

#include "host/turtle.h"
#include "io/datasets/sources.h"

typedef struct {
    SourceSplits splits;
    char *name;       /* name of the outputs; owned */
    const char *from; /* the folder, list or data set that the user gave; not owned */
} ImageInputs;

/* Opens what `wanted` names, which must be exactly one thing. `options` NULL: none is set. On failure
 * *out is zeroed. */
Status image_inputs_open(ImageInputs *out, const TurtleImages *wanted, const char *root,
                         const ListingOptions *options, Error *err);
void image_inputs_close(ImageInputs *in); /* NULL and twice are fine */

/* Returns <root>/representations/<phi>/<name>_<split> without an ending, and without _<split> where
 * that is NULL, in fresh memory; NULL: out of memory. */
char *representation_stem(const char *root, const char *phi, const char *name, const char *split);

#endif
