/* pipeline.h - pictures on their way through an encoder: threads load them, the device encodes them, the caller takes
 * their features, all in the order of the pictures.
 *
 * Where the loader works ahead (Loading.ahead) three portions are on their way, else one at a time:
 *
 *     threads    load n + 1          load n + 2
 *     device     encodes n           encodes n + 1
 *     caller     takes n - 1         takes n          */
#ifndef TURTLE_HOST_IMAGES_PIPELINE_H
#define TURTLE_HOST_IMAGES_PIPELINE_H

#include "host/encode/encoder.h"
#include "host/images/loader.h"

enum { MOST_PORTIONS = 3 };

/* Sources that are loaded, encoded and taken together. */
typedef struct {
    int64_t first, n; /* the first source, and how many */
    int64_t good;     /* how many of them are encoded */
    int64_t mark;     /* the encoder's: features are there */
    Loaded *loaded;   /* (n) */
    uint8_t *pixels;  /* squares of the good ones, one after the other; or whole pictures (n) */
    const uint8_t **whole; /* (good) the good ones, where the device resizes them */
    float *features;       /* (good,encoder_features) */
    Load load;
} Portion;

typedef struct {
    Encoder *encoder;
    const Loading *how;
    const SourceList *list; /* NULL: `pictures` */
    const TurtlePictures *pictures;
    void *context; /* of the three functions, which the caller's thread calls */
    /* Returns the first source that is to be encoded next; *n, at most encoder_batch, says how many. *n 0
     * ends the run. */
    int64_t (*next)(void *context, int64_t *n);
    /* Looks at a source that was loaded. One that is bad is left out if this returns OK. */
    Status (*check)(void *context, const Loaded *loaded, int64_t source, Error *err);
    /* Takes the features of a portion. */
    Status (*take)(void *context, const Portion *p, Error *err);

    Portion portion[MOST_PORTIONS]; /* number n of the run is portion[n % portions] */
    int portions;
    double
        waited; /* seconds of waiting for pictures at whose end the device had nothing to encode */
} Pipeline;

/* Allocates memory of portions; the members before `portion` are set. */
Status pipeline_open(Pipeline *p, Error *err);
/* Runs all sources. A failure is the first one in their order; portions before it have been taken. */
Status pipeline_run(Pipeline *p, Error *err);
void pipeline_close(Pipeline *p); /* zeroed and twice are fine */

#endif
