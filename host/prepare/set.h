/* set.h - one data set on its way from published files to its place. */
#ifndef TURTLE_HOST_PREPARE_SET_H
#define TURTLE_HOST_PREPARE_SET_H

#include "host/prepare/manifest.h"
#include "host/prepare/place.h"
#include "host/turtle.h"
#include "io/files/lock.h"

/* Source of an archive's bytes. */
typedef enum { FOUND_NOT, FOUND_FILE, FOUND_FOLDER } FoundKind;

typedef struct {
    FoundKind kind;
    char *path;   /* the file; for a folder the one that <name> lies in; owned */
    char *name;   /* the folder's name below `path`; owned */
    bool own;     /* it lies in our folder of archives */
    bool checked; /* size and digest were right */
} Found;

typedef struct {
    const TurtlePrepareOptions *options;
    const TurtleHooks *hooks;
    Manifest manifest;
    const char *way; /* the chosen one, or NULL */
    char *base;      /* absolute path of <root>/datasets; owned, as all paths */
    char *archives;  /* <root>/datasets/archives/<set>: what was downloaded */
    char *stage;     /* <base>/.prepare-<set> */
    char *from;      /* absolute path of --from; NULL: none */
    Found found[MANIFEST_ARCHIVES];
    Lock lock;
} SetJob;

typedef struct {
    int64_t train, val, classes; /* -1: not counted */
    bool verified;
    char *place; /* where it lies; owned */
} SetCounts;

/* Brings a data set, or with the manifest `checkpoints` the released labelings, to its place below
 * <root>/<base>. */
Status set_prepare(SetCounts *out, const TurtlePrepareOptions *options, const char *set,
                   const char *base, Error *err);

/* Counts what the loader of the data set finds below `folder`. Unless options->unverified, ERR_FORMAT says which
 * count is not the published one. */
Status set_count(SetCounts *out, const Manifest *m, const char *folder, bool unverified,
                 Error *err);

/* Finds every archive of the manifest, chooses a way, and downloads what lacks. Without --from, a set that
 * cannot be fetched prints its steps through the notice hook. */
Status set_gather(SetJob *job, Error *err);
/* Returns whether the archive belongs to the chosen way. */
bool set_needs(const SetJob *job, int archive);

#endif
