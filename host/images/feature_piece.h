/* feature_piece.h - one split of images under one encoder: from sources to a representation.
 *
 * A call (features.c) has a piece for every phi and split; with --shard a piece is a part of the split.
 */
#ifndef TURTLE_HOST_IMAGES_FEATURE_PIECE_H
#define TURTLE_HOST_IMAGES_FEATURE_PIECE_H

#include "host/encode/encoder.h"
#include "host/images/image_inputs.h"
#include "host/images/loader.h"
#include "host/images/unread.h"
#include "host/tell/shard.h"
#include "io/files/lock.h"

/* Things that all pieces of a call share. */
typedef struct {
    const TurtleFeaturesOptions *options;
    const TurtleHooks *hooks;
    EncoderOptions encoder_options;
    Shard shard;
    ImageInputs in;
    Ops ops;
    TurtleTexts phis;
    Lock *locks;      /* (phis.count) one per phi */
    const char *phi;  /* the current one */
    char *weights;    /* its file */
    Encoder *encoder; /* its encoder */
    Loading loading;
    Decoder decoder;
    Unread unread; /* pictures under the first encoder: the others meet the same */
    bool first_phi;
    TurtleFilesResult *result;
    TurtleProgress progress;
    double started;
    int64_t encoded; /* images that were encoded, for the rate */
    double waited;   /* seconds in which the device had no batch, for pictures were decoded */
} FeatureCall;

/* Writes one split under the current encoder, or what earlier calls left of it to write. ERR_STOPPED: the
 * hooks asked to stop; the rows so far are kept for --resume. */
Status feature_piece_run(FeatureCall *c, const SourceList *list, const char *name, Error *err);

/* Returns in *first and *end the sources first .. end - 1 of a list that belong to this call's
 * shard. */
void feature_piece_range(const FeatureCall *c, const SourceList *list, int64_t *first,
                         int64_t *end);
/* Returns <root>/representations/<phi>/<name>_<split>, with a shard's number behind it, in fresh memory;
 * NULL: out of memory. */
char *feature_piece_stem(const FeatureCall *c, const char *split);
/* Returns <root>/representations/<phi>/.<name><ending> in fresh memory; NULL: out of memory. */
char *feature_lock_path(const FeatureCall *c, const char *phi, const char *ending);

#endif
