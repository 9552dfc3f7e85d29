/* unserved.h - networks whose names are those of a network that is read, and which compute something else. */
#ifndef TURTLE_HOST_ENCODE_UNSERVED_H
#define TURTLE_HOST_ENCODE_UNSERVED_H

#include "host/encode/weights.h"

/* Looks for tensors of CLIP-like networks that no encoder here serves. One that is found is ERR_FORMAT
 * with the reason, which sticks to the weights and is said. Needs names without wrappers. */
Status unserved_refuse(Weights *w);

/* Refuses, in the same way, a vision transformer in DINOv2's names that has no LayerScale in any block. */
Status unserved_plain_vit(Weights *w);

#endif
