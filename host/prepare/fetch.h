/* fetch.h - one published file: its bytes checked, and fetched by curl where it is not there.
 *
 * A file is downloaded under <path>.part, which a later call continues, is checked, and gets its name last.
 */
#ifndef TURTLE_HOST_PREPARE_FETCH_H
#define TURTLE_HOST_PREPARE_FETCH_H

#include <stdbool.h>
#include <stdint.h>

#include "host/turtle.h"
#include "io/status.h"

typedef struct {
    const char *path; /* final name */
    const char *name; /* name in messages and behind the mirror's address: "mnist/t10k-labels.gz" */
    const char *const *url; /* (urls) addresses, the first one is tried first */
    int urls;
    int64_t size;             /* bytes; -1: not published */
    const char *md5, *sha256; /* lower-case digits; NULL: not published */
    bool unverified;          /* neither size nor digest is looked at */
    const TurtleHooks *hooks;
} PublishedFile;

/* Checks size and digest of the file at `at`, which may lie elsewhere than file->path. ERR_FORMAT says what
 * differs. ERR_STOPPED: hooks->stop was set. */
Status published_check(const PublishedFile *file, const char *at, Error *err);

/* Downloads the file to file->path: TURTLE_MIRROR first if it is set, then its addresses in turn. ERR_IO names
 * what was tried. ERR_STOPPED: the .part stays. */
Status published_fetch(const PublishedFile *file, Error *err);

/* Tells the progress hook how many of `whole` bytes are done, in megabytes; `first` of them were before `started`
 * (host/tell/clock.h). Less than a megabyte, and an unknown `whole`, are not told. Returns
 * whether the hooks ask to stop. */
bool progress_of_bytes(const TurtleHooks *hooks, int64_t first, int64_t now, int64_t whole,
                       double started);

/* Refuses with ERR_IO if the file system of `folder`, which is there, has not `bytes` bytes free. `what` is for
 * the message. */
Status check_free_space(const char *folder, int64_t bytes, const char *what, Error *err);

/* Writes "5.0 GB" and the like. Returns `text`. */
const char *size_text_of(char text[24], int64_t bytes);

/* The environment of children: PATH, places of certificates, addresses of proxies. Returns NULL without memory;
 * the array and its texts are fresh memory: child_environment_free. */
char **child_environment(void);
void child_environment_free(char **environment);

#endif
