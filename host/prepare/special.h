/* special.h - data sets whose files need more than rules of places. */
#ifndef TURTLE_HOST_PREPARE_SPECIAL_H
#define TURTLE_HOST_PREPARE_SPECIAL_H

#include "host/prepare/set.h"

/* Brings one archive of the set into the stage as its rules say. */
Status special_place(SetJob *job, int archive, Placed *placed, Error *err);
/* Is called when all archives are in the stage, and again by a call that continues. */
Status special_finish(SetJob *job, Error *err);

/* UCF101: videos that were unpacked by hand are read where they are, others lie in <stage>/.videos until their
 * frames are in <stage>/ucf101/{train,val}/<class>/. */
Status ucf101_place(SetJob *job, int archive, Placed *placed, Error *err);
Status ucf101_finish(SetJob *job, Error *err);
/* Kinetics-700: archive after archive of <from>/{train,val} becomes frames in <stage>/k700/. */
Status kinetics_finish(SetJob *job, Error *err);

/* Returns whether stage_note was called with that word for this stage, by this call or an earlier one. */
bool stage_has(const SetJob *job, const char *word);
Status stage_note(const SetJob *job, const char *word, Error *err);

#endif
