/* listing.h - `prepare --list`: every data set and every encoder, and whether it is there. */
#ifndef TURTLE_HOST_PREPARE_LISTING_H
#define TURTLE_HOST_PREPARE_LISTING_H

#include "host/tell/json.h"
#include "host/turtle.h"
#include "io/status.h"

/* Appends a line for each data set and each encoder to *text, and the members `datasets` and `phis`. */
Status listing_tell(const TurtlePrepareOptions *options, char **text, Json *j, Error *err);

#endif
