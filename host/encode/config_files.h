/* config_files.h - the configuration files of a file of weights: which there are, which is believed,
 * and whether it is of this network. */
#ifndef TURTLE_HOST_ENCODE_CONFIG_FILES_H
#define TURTLE_HOST_ENCODE_CONFIG_FILES_H

#include "host/encode/encoder.h"
#include "io/config/encoder_config.h"

enum { MAX_CONFIG_FILES = 9 }; /* four of a named folder, five beside the weights */

typedef struct {
    EncoderConfig config;
    char name[120]; /* name in messages and notices */
} ConfigFile;

/* The files of one search, in the order in which they are believed. */
typedef struct {
    ConfigFile file[MAX_CONFIG_FILES];
    int count;
    int model; /* index of the one that speaks of the network; -1: none does */
} ConfigFiles;

/* Reads `given` (--config: a file, or a folder of them; NULL: none) and what lies beside the weights
 * under the path by which they were named, links not followed: <stem>.json, config.json and
 * open_clip_config.json (the one of the tensors' naming first), preprocessor_config.json,
 * processor_config.json. Where `given` speaks of the network, only the last two are read there.
 * A file beside the weights that speaks of no encoder, or is of another network behind one that is of
 * this one, is passed over with a notice; else another network's is ERR_FORMAT. */
Status config_files_read(ConfigFiles *out, const EncoderShape *shape, Weights *w, const char *given,
                         Error *err);

#endif
