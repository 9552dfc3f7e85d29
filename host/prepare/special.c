/* special.c - data sets whose files need more than rules of places. */
#include <stdlib.h>
#include <string.h>

#include "host/prepare/set.h"

/* Returns the bytes that the files of a set may have together: an archive that says more is no published one. */
static int64_t most_bytes(const Manifest *m) {
    return m->unpacked > 0 ? 2 * m->unpacked + ((int64_t)1 << 26) : 0;
}

Status special_place(SetJob *job, int archive, Placed *placed, Error *err) {
    const Placing p = {.archive = &job->manifest.archive[archive],
                       .stage = job->stage,
                       .hooks = job->hooks,
                       .most_bytes = most_bytes(&job->manifest)};
    const Found *f = &job->found[archive];
    return f->kind == FOUND_FOLDER ? place_folder(&p, f->path, f->name, false, placed, err)
                                   : place_archive(&p, f->path, placed, err);
}

Status special_finish(SetJob *job, Error *err) {
    (void)job, (void)err;
    return OK;
}
