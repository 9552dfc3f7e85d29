/* fact_sources.h - where the facts of an encoder come from: published networks, configurations, flags.
 *
 * encoder_facts.c asks the three in this order; a later source overrules an earlier one.
 */
#ifndef TURTLE_HOST_ENCODE_FACT_SOURCES_H
#define TURTLE_HOST_ENCODE_FACT_SOURCES_H

#include "host/encode/config_files.h"

/* A search for the facts of one tower. */
typedef struct {
    EncoderFacts *out;
    const EncoderShape *shape;
    Tower tower;
    Weights *w;
    const FactOptions *options;
    ConfigFiles files;
    bool assumed[FACTS];
    char refused[FACTS][400]; /* why the value that stands there cannot be used; "": it can */
    char like[80];            /* "CLIP ViT-B/32 of OpenAI": what assumptions follow */
} FactSearch;

/* Takes the facts of the published network of these widths, or of the one whose layout this is: an
 * assumption, unless the file itself is known. */
void facts_assume(FactSearch *s);
/* Takes what the table of published encoders says of this one. ERR_USAGE: the table is wrong. */
Status facts_from_table(FactSearch *s, Error *err);
/* Takes what configuration files say. ERR_FORMAT: a file says what is not served, or is another's. */
Status facts_from_configs(FactSearch *s, Error *err);
/* Takes the flags; one that overrules a configuration or a published file says so. ERR_USAGE: a flag
 * cannot be read, or the network has no such choice. */
Status facts_from_flags(FactSearch *s, Error *err);

/* An activation as people, and as --activation, call it. */
typedef struct {
    const char *text, *flag;
    Activation activation;
} ActivationName;
enum { ACTIVATIONS = 4 };
extern const ActivationName activation_names[ACTIVATIONS];

#endif
