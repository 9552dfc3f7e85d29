/* manifest.h - data/manifests/: where each data set comes from, and where its files go.
 *
 * The texts are compiled into the program. data/README.md describes their lines. Facts that no source states
 * are NULL or -1 here and `-` there.
 */
#ifndef TURTLE_HOST_PREPARE_MANIFEST_H
#define TURTLE_HOST_PREPARE_MANIFEST_H

#include <stdbool.h>
#include <stdint.h>

#include "io/status.h"

enum { MANIFEST_URLS = 4, MANIFEST_BEGINS = 8, MANIFEST_ARCHIVES = 12, MANIFEST_STEPS = 12 };

typedef enum {
    LAYOUT_TREE,    /* entries stand at `into`/<their path from a name of `begin` on> */
    LAYOUT_PLAIN,   /* the file itself stands at `into`/<its name> */
    LAYOUT_LONE,    /* a gzip of one file, which stands at `into` */
    LAYOUT_CLASSES, /* entries stand at `into`/<class that imagenet_val.gz says>/<their name> */
    LAYOUT_FOLDERS, /* entries of inner archives X.tar stand at `into`/X/<their name> */
} ManifestLayout;

/* One published file. */
typedef struct {
    const char *name;
    const char *way; /* name of the way that it belongs to; NULL: every way needs it */
    int64_t size;    /* bytes */
    const char *md5, *sha256;
    const char *url[MANIFEST_URLS];
    int urls;
    ManifestLayout layout;
    const char *into; /* below the folder of data sets; "." is that folder itself */
    const char
        *begin[MANIFEST_BEGINS]; /* where the places of entries begin; others are passed over */
    int begins;
    const char *folder; /* what `--from DIR` may hold in place of it: DIR/<folder>, unpacked */
    const char *nested; /* last name of an archive inside, which is opened in place */
} ManifestArchive;

typedef struct {
    const char *set, *title, *home, *licence, *how;
    const char *store; /* name under which archives are kept: cifar100 for cifar10020, else `set` */
    int64_t train, val, classes;
    int64_t unpacked;                 /* bytes of the data set on the disk, about */
    const char *step[MANIFEST_STEPS]; /* what a person does where a file cannot be fetched */
    int steps;
    ManifestArchive archive[MANIFEST_ARCHIVES];
    int archives;
    char *text; /* what all of these point into; owned */
} Manifest;

/* Finds the manifest of a data set; `cifar10020` has that of cifar100. ERR_USAGE names the nearest one. */
Status manifest_find(Manifest *out, const char *set, Error *err);
/* Reads manifest `index`, in the order of their names. *more is false behind the last one. */
Status manifest_at(Manifest *out, int index, bool *more, Error *err);
void manifest_free(Manifest *m); /* NULL and twice are fine */

#endif
