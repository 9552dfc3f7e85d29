/* published.h - the published encoders: their names as representations, their files and where these come
 * from. */
#ifndef TURTLE_HOST_INPUTS_PUBLISHED_H
#define TURTLE_HOST_INPUTS_PUBLISHED_H

typedef struct {
    const char *phi;   /* "clipvitL14" */
    const char *model; /* name of the network, as encoder_describe writes it */
    const char *file;  /* below <root>/checkpoints/ */
    const char *url;
    int parameters; /* millions */
    int bytes_each; /* bytes of most parameters in the file */
} PublishedModel;

/* Writes the SHA-256 digest that the source states to `hex`, and returns it; for CLIP's files it is a
 * part of the address. Returns NULL where the source states none. */
const char *model_digest(char hex[65], const PublishedModel *model);

/* Returns the row of that phi, or NULL. */
const PublishedModel *model_find(const char *phi);
/* Returns the first row, and the row behind another; NULL behind the last. */
const PublishedModel *model_first(void);
const PublishedModel *model_next(const PublishedModel *model);

#endif
