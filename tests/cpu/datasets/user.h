/* user.h - the folders of somebody who prepares a data set. */
#ifndef TURTLE_TESTS_CPU_DATASETS_USER_H
#define TURTLE_TESTS_CPU_DATASETS_USER_H

#include "tests/support/check.h"

/* A folder with from/, what a user downloaded, and data/, the root. */
typedef struct {
    char *folder, *from, *root;
} Place;

static inline Place place_open(void) {
    Place p = {.folder = temporary_folder()};
    p.from = format_text("%s/from", p.folder);
    p.root = format_text("%s/data", p.folder);
    char *command = format_text("mkdir -p %s %s/checkpoints %s/bin && "
                                "cp data/demo/checkpoints/demo_vit.* %s/checkpoints",
                                p.from, p.root, p.folder, p.root);
    cr_assert(system(command) == 0);
    free(command);
    return p;
}

static inline void place_close(Place *p) {
    free(p->from);
    free(p->root);
    remove_folder(p->folder);
}

#endif
