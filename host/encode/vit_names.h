/* vit_names.h - names of the tensors of vision transformers around the blocks, in each library's
 * files. */
#ifndef TURTLE_HOST_ENCODE_VIT_NAMES_H
#define TURTLE_HOST_ENCODE_VIT_NAMES_H

#include "host/encode/encoder.h"
#include "host/encode/pooling_head.h"

/* A name that is NULL is of a tensor that such a network has not. */
typedef struct {
    const char *first, *position, *patch, *norm_pre, *blocks, *norm_post, *projection;
    const char *registers;
    const char *class_norm; /* norm of class token and registers, where a file has one; or NULL */
    const char *periods;    /* of rotary positions, where the file has them; or NULL */
    const char *unused[4];  /* prefixes of tensors that belong into such a file */
    bool projection_transposed; /* stored (in,out) */
    bool patch_bias;
    const BlockNames *block;
    const PoolingHeadNames *head; /* in place of a class token, which `first` names; or NULL */
} VitNames;

/* Returns the names of a shape's kind and naming, which are all that it looks at. */
const VitNames *vit_names(const EncoderShape *shape);

#endif
