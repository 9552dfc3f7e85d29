/* unread.h - pictures of kinds that our readers do not know: counted, and told once per kind. */
#ifndef TURTLE_HOST_IMAGES_UNREAD_H
#define TURTLE_HOST_IMAGES_UNREAD_H

#include "host/images/loader.h"
#include "host/turtle.h"

typedef struct {
    const char *kind; /* name of the kind, from ImageFacts.unread */
    int64_t count;
    char first[256]; /* the path of its first picture */
} UnreadKind;

typedef struct {
    UnreadKind item[48]; /* more than there are kinds; others are counted with the last */
    int kinds;
    int64_t decoded; /* pictures that another program made pixels of */
} Unread;

/* Counts what became of one picture; `path` is for the example. */
void unread_count(Unread *u, const Loaded *loaded, const char *path);
/* Gives the notices: one line per kind that was left out, with what converts it, and one of what
 * the other program read. */
void unread_tell(const Unread *u, const Decoder *decoder, const char *folder,
                 const TurtleHooks *hooks);

#endif
