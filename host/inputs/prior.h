/* prior.h - how the classes are expected to be distributed (`train --prior`). */
#ifndef TURTLE_HOST_INPUTS_PRIOR_H
#define TURTLE_HOST_INPUTS_PRIOR_H

#include <stdint.h>

#include "io/status.h"

typedef struct {
    float *pi;     /* (C) positive, sums to 1; NULL: uniform; owned */
    int64_t blank; /* the first blank line in front of a number of the file, which the caller is to
                     * say; 0: none */
    char name[48]; /* "uniform", "power:0.5", "file:1a2b3c4d" (CRC-32 of pi): the same name, the
                      same prior */
} Prior;

/* Reads `text`: "uniform"; "power:A", pi_c ~ (c + 1)^-A; or the name of a file of C positive numbers,
 * separated by white space, commas or line ends. ERR_FORMAT names file, line and number. On failure
 * *out is zeroed. */
Status prior_open(Prior *out, const char *text, int64_t C, Error *err);
void prior_free(Prior *p); /* NULL and twice are fine */

#endif
