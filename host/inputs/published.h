/* published.h - the published encoders: names as representations, files, where these come from, and what
 * their tensors do not say. data/manifests/phis.tsv has them all, a line each, and is compiled in.
 */
#ifndef TURTLE_HOST_INPUTS_PUBLISHED_H
#define TURTLE_HOST_INPUTS_PUBLISHED_H

#include <stdbool.h>
#include <stdint.h>

#include "host/turtle.h"
#include "io/status.h"

/* One published encoder. Texts that no source states are NULL, numbers -1. */
typedef struct {
    const char *phi;    /* "clipvitL14" */
    const char *model;  /* name of the network, for messages */
    const char *file;   /* place below <root>/checkpoints/ */
    const char *url;    /* address of that file; NULL: no program fetches it */
    const char *sha256; /* lower-case digits */
    const char *licence;
    const char *hub;  /* repository of the hub that has the weights too, "google/siglip..." */
    const char *home; /* page where a person asks for the file */
    bool gated;       /* its owner gives it to those who accept the licence */
    int64_t bytes;    /* of the file */
    int64_t pixels;   /* side of the square that the encoder sees */
    int64_t width, depth, patch, registers,
        features; /* a residual network's depth: all bottlenecks */
    bool swiglu;
    int parameters;      /* millions, at least */
    int bytes_each;      /* bytes of most parameters in the file */
    TurtleEncoder facts; /* facts as flags have them */
} PublishedModel;

/* The table. */
extern const PublishedModel published_models[];
extern const int published_count;

/* Returns the row of that phi, or NULL. */
const PublishedModel *model_find(const char *phi);
/* Returns the first row, and the row behind another; NULL behind the last. */
const PublishedModel *model_first(void);
const PublishedModel *model_next(const PublishedModel *model);
/* Returns whether a phi is CLIP's by its name: its file has a text encoder too. */
bool phi_is_clip(const char *phi);

/* Writes what the file takes: "at least 302 MB". */
const char *model_size_text(char text[32], const PublishedModel *model);
/* Returns what a person does to get the weights into their place below `root`, in fresh memory, or NULL
 * without memory. */
char *model_steps(const PublishedModel *model, const char *root);

/* published_place.c: finds the weights below <root>/checkpoints. The published place comes first, then a
 * download of the hub's repository, as a folder of its name or as a cache (models--org--name/snapshots),
 * then <phi>.{pth,pt,safetensors,bin}. *path is fresh memory, or NULL where none of them is there.
 * ERR_ARG: a cache has several snapshots and does not say which is the main one. */
Status model_locate(char **path, const char *root, const PublishedModel *model, Error *err);
/* Returns whether `path` is the published place below `root`, the file with the published digest. */
bool model_in_place(const char *path, const char *root, const PublishedModel *model);
/* Returns <folder>/<name> with the first of the endings .pth, .pt, .safetensors and .bin under which a file is
 * there, in fresh memory, or NULL. */
char *weights_named(const char *folder, const char *name);

#endif
