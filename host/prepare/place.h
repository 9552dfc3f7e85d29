/* place.h - the files of one archive, or of a folder in its stead, brought to their places in a stage.
 *
 * A stage is a folder of its own below the data folder, with the layout that the data set will have. It is
 * moved into place as a whole, once all of it is there and checked.
 */
#ifndef TURTLE_HOST_PREPARE_PLACE_H
#define TURTLE_HOST_PREPARE_PLACE_H

#include "host/prepare/manifest.h"
#include "host/turtle.h"

/* Entries find their places by this. */
typedef struct {
    const ManifestArchive *archive;
    const char *stage;
    const TurtleHooks *hooks;
    int64_t most_bytes; /* bytes that all files may have together; 0: UNPACK_MOST_BYTES */
    int64_t expected;   /* bytes that they will have, about: for the progress; 0: not known */
    /* Returns whether the entry at that place is wanted; NULL: all are. */
    bool (*wanted)(void *context, const char *place);
    /* LAYOUT_CLASSES: returns the class of an entry's last name, or NULL if it has none. */
    const char *(*class_of)(void *context, const char *name);
    void *context; /* of both */
} Placing;

typedef struct {
    int64_t files, bytes; /* that were written */
} Placed;

/* Writes the place of an entry below the stage to `place`. Returns false if the entry is not wanted: junk of
 * file managers, and what the archive's rules pass over. */
bool place_of(char place[4096], const Placing *p, const char *name);

/* Unpacks the archive at `path`; its kind is told by its first bytes. .rar goes to unrar, bsdtar or 7z, as
 * standard input. ERR_IO: none is installed; the message has the line to run. */
Status place_archive(const Placing *p, const char *path, Placed *placed, Error *err);
/* Copies the files below <folder>/<name>, which stand for the unpacked archive; with `move` they are moved.
 * Symbolic links that lead to files are followed, for people link to data sets; those to folders, and devices, are
 * passed over. With `move`, which is for what another program unpacked, both are refused. */
Status place_folder(const Placing *p, const char *folder, const char *name, bool move,
                    Placed *placed, Error *err);
/* Copies one file to <stage>/<place>, whole or not at all. */
Status place_file(const Placing *p, const char *path, const char *place, Placed *placed,
                  Error *err);
/* Removes a folder and all that is in it; links are not followed. A missing one is fine. */
Status remove_tree(const char *path, Error *err);

#endif
