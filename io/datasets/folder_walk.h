/* folder_walk.h - the images and folders below a folder, and the fate of everything else. */
#ifndef TURTLE_IO_DATASETS_FOLDER_WALK_H
#define TURTLE_IO_DATASETS_FOLDER_WALK_H

#include <sys/types.h>

#include "io/datasets/left_out.h"
#include "io/datasets/sources.h"

typedef struct {
    char **name; /* owned */
    int64_t count, capacity;
} Names;

Status names_add(Names *n, const char *name, Error *err);
void names_free(Names *n);

enum { WALK_DEPTH = 64 };

/* A walk below `root`. It follows links, but not to a folder that holds them. */
typedef struct {
    const char *root;
    const ListingOptions *options;
    LeftOut *left;
    int split;          /* split to which left out entries belong: 0 train, 1 val, -1 neither */
    int64_t by_content; /* images whose names have no ending, recognised by their first bytes */
    char *content_name; /* the first such image, below root; owned */
    char *inner_split;  /* a folder such as cat/train, below root, or NULL; owned */
    struct {
        dev_t device;
        ino_t number;
    } above[WALK_DEPTH + 4]; /* folders that hold the current one */
    int depth;
    int64_t folders; /* folders visited */
} Walk;

/* Lets <root>/<inside> count, until walk_exit, as a folder that holds the listed ones. */
void walk_enter(Walk *w, const char *inside);
void walk_exit(Walk *w);
/* Lists the folders and images of <root>/<inside> ("": root itself), both sorted by code point.
 * Every other entry goes to walk->left. A folder that cannot be opened is ERR_IO. */
Status walk_folder(Walk *w, const char *inside, Names *folders, Names *images, Error *err);
/* Lists all images of <root>/<inside> and of the folders below it, as paths below <root>/<base>.
 * Their order is that of torchvision's ImageFolder: folders sorted by their whole path, names
 * inside each. A folder that cannot be opened is left out if options->skip_bad, else it is
 * ERR_IO. */
Status walk_tree(Walk *w, const char *base, const char *inside, Names *images, Error *err);
/* Leaves out every file of the folder <root>/<inside>. */
Status walk_leave(Walk *w, const char *inside, LeftWhy why, const char *detail, Error *err);
void walk_close(Walk *w);

/* Returns "a/b", or "b" where a is "", in fresh memory; NULL without memory. */
char *walk_join(const char *a, const char *b);

#endif
