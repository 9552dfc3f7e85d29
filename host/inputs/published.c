/* published.c - the published encoders. published.awk makes their table of data/manifests/phis.tsv. */
#include "host/inputs/published.h"

#include <stdlib.h>
#include <string.h>

#include "io/files/file.h"

const PublishedModel *model_first(void) {
    return published_models;
}

const PublishedModel *model_next(const PublishedModel *m) {
    return m + 1 < published_models + published_count ? m + 1 : NULL;
}

const PublishedModel *model_find(const char *phi) {
    for (const PublishedModel *m = model_first(); m; m = model_next(m))
        if (strcmp(m->phi, phi) == 0) return m;
    return NULL;
}

bool phi_is_clip(const char *phi) {
    return strncmp(phi, "clip", 4) == 0 || strncmp(phi, "openclip", 8) == 0;
}

/* --- words ------------------------------------------------------------------------------------ */

const char *model_size_text(char out[32], const PublishedModel *m) {
    const int64_t megabytes = (int64_t)m->parameters * m->bytes_each;
    if (megabytes < 1000) snprintf(out, 32, "at least %d MB", (int)megabytes);
    else snprintf(out, 32, "at least %.1f GB", (double)megabytes / 1000.0);
    return out;
}

char *model_steps(const PublishedModel *m, const char *root) {
    const char *name = m->hub ? strrchr(m->hub, '/') + 1 : NULL;
    const int family = (int)strcspn(m->file, "/");
    if (m->url)
        return format_text("curl -L --create-dirs -o '%s/checkpoints/%s' %s", root, m->file,
                           m->url);
    char *ask = m->gated ? format_text("it is gated: accept the %s at %s, whose e-mail has the "
                                       "address of this file; or accept it on the hub and ",
                                       m->licence, m->home)
                         : format_text("%s", "");
    if (!ask) return NULL;
    char *steps = format_text("%shf download %s --local-dir '%s/checkpoints/%.*s/%s'", ask, m->hub,
                              root, family, m->file, name);
    free(ask);
    return steps;
}
