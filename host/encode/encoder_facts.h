/* encoder_facts.h - what an encoder is beside its tensors, and where each of these facts comes from.
 *
 * The first that says a fact is believed: a flag; the file of --config; configuration files beside
 * the weights (config_files.h); the file's own kind, where it is the published one or an archive that
 * only OpenAI writes; the published network of these widths, which is an assumption and is said. A
 * flag that overrules another source says so too. A fact that nobody knows is a failure that names
 * its flag.
 */
#ifndef TURTLE_HOST_ENCODE_ENCODER_FACTS_H
#define TURTLE_HOST_ENCODE_ENCODER_FACTS_H

#include "host/encode/weights.h"
#include "host/inputs/published.h"
#include "host/turtle.h"
#include "io/images/resize.h"

struct EncoderShape;

typedef enum {
    FACT_HEADS,
    FACT_ACTIVATION,
    FACT_EPS,
    FACT_ROPE, /* base of the periods of rotary positions */
    FACT_MEAN,
    FACT_STD,
    FACT_FIT,    /* crop or squash */
    FACT_FILTER, /* interpolation */
    FACT_SIZE,
    FACTS
} Fact;

typedef enum { TOWER_IMAGE, TOWER_TEXT } Tower;

/* Sources of facts beside files; zeros mean that there is no other. */
typedef struct {
    TurtleEncoder given;             /* the flags */
    int64_t image_size;              /* 0: not given */
    const PublishedModel *published; /* the published encoder whose file it is, or NULL */
} FactOptions;

typedef struct {
    int64_t width; /* width of the tower */
    int64_t heads;
    Activation activation; /* activation of the blocks' MLPs */
    double eps;            /* epsilon of the blocks' norms */
    double rope_base;      /* base of the periods; 0: they are stored */
    float mean[3], std[3];
    ResizeRule rule;
    int64_t end_token; /* a text ends at the first of these ids; 0: at the first of the largest */
    /* a residual network has no norm, DINOv2's SwiGLU no choice, a text no picture */
    bool used[FACTS];
    char source[FACTS][200];
} EncoderFacts;

/* Finds the facts of one tower and tells the weights' notices (weights_say) what was assumed and
 * overruled. ERR_FORMAT: a configuration that says what cannot be done, or is of another network;
 * ERR_ARG: a fact that nobody says; ERR_USAGE: a flag that cannot be read. */
Status encoder_facts(EncoderFacts *out, const struct EncoderShape *shape, Tower tower, Weights *w,
                     const FactOptions *options, Error *err);

/* Returns the name of the fact, "heads" or "norm_eps", as notices and JSON members have it. */
const char *fact_name(Fact fact);
const char *fact_flag(Fact fact); /* "--norm_eps" */
/* Writes the value in words: "12 of 64", "QuickGELU", "224 of 256". */
void fact_text(char text[96], const EncoderFacts *facts, Fact fact);

#endif
