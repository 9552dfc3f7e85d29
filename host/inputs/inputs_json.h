/* inputs_json.h - the inputs of a call as members of its JSON object. */
#ifndef TURTLE_HOST_INPUTS_INPUTS_JSON_H
#define TURTLE_HOST_INPUTS_INPUTS_JSON_H

#include "host/inputs/inputs.h"
#include "host/tell/json.h"

/* Adds `dataset`, `phis`, and `inputs`: of every space and split the file, its shape and type, and where
 * its images are if `turtle features` wrote it. */
void json_inputs(Json *j, const Inputs *in);

#endif
