/* feature_options.h - words of options that files and memory share, and the size of a batch. */
#ifndef TURTLE_HOST_IMAGES_FEATURE_OPTIONS_H
#define TURTLE_HOST_IMAGES_FEATURE_OPTIONS_H

#include "host/encode/encoder.h"

enum { MOST_BATCH = 4096 };

/* Reads "cls", "patchmean" or "cls+mean". */
Status feature_kind_parse(FeatureKind *out, const char *text, Error *err);
/* Reads "none" or "exif": whether pictures are turned as EXIF says. */
Status orient_parse(bool *out, const char *text, Error *err);

#endif
