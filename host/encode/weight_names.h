/* weight_names.h - the tensors of a file under the names that its network asks for.
 *
 * Files of weights come wrapped: in the dictionaries of a checkpoint ("state_dict/..."), behind the
 * prefixes of DataParallel, of a compiler or of a larger model ("module.", "_orig_mod.", "backbone."),
 * beside a student, an optimizer, heads. One tensor that every network of a kind has, its class token
 * for instance, shows what stands in front of all the others, so any wrapper is found, not a list.
 *
 * A wrapper that is taken off, a choice and a tensor that is passed over become lines of weights_say. A
 * name that is not understood is refused: a tensor outside the wrapper that is no known head, or two networks of the same rank.
 */
#ifndef TURTLE_HOST_ENCODE_WEIGHT_NAMES_H
#define TURTLE_HOST_ENCODE_WEIGHT_NAMES_H

#include "host/encode/weights.h"

/* Gives each tensor its name without wrappers, once; a later call does nothing. A file in which no
 * network is found keeps its names. Failures stick to the weights. */
Status weights_unwrap(Weights *w);

/* Names the tensor of that index <front><rest>. Running out of memory sticks to the weights. */
void weights_rename(Weights *w, int tensor, const char *front, const char *rest);
/* weight_chunks.c: names blocks.<chunk>.<index> become blocks.<n>, if all blocks are in chunks. */
void weights_join_chunks(Weights *w);

#endif
