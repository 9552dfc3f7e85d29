/* phi_hint.c - what to do where a representation is not there: another spelling, or the call that makes it. */
#include "host/inputs/phi_hint.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "host/inputs/published.h"
#include "host/tell/words.h"
#include "io/datasets/datasets.h"
#include "io/files/file.h"

void phi_nearest(char name[PHI_NAME], const char *root, const char *phi) {
    enum { MOST = 256 };
    const char *candidates[MOST];
    char *own[MOST];
    int count = 0, owned = 0;
    name[0] = '\0';
    for (const PublishedModel *m = model_first(); m; m = model_next(m))
        candidates[count++] = m->phi;
    char *path = format_text("%s/representations", root);
    DIR *folder = path ? opendir(path) : NULL;
    for (struct dirent *e; folder && count < MOST && (e = readdir(folder));) {
        if (e->d_name[0] == '.' || strlen(e->d_name) >= PHI_NAME) continue;
        if (!(own[owned] = format_text("%s", e->d_name))) break;
        candidates[count++] = own[owned++];
    }
    const char *near = strlen(phi) < PHI_NAME ? nearest_word(phi, candidates, count) : NULL;
    if (near && strcmp(near, phi) != 0) snprintf(name, PHI_NAME, "%s", near);
    if (folder) closedir(folder);
    for (int i = 0; i < owned; i++) free(own[i]);
    free(path);
}

Status phi_missing(const char *path, const char *root, const char *dataset, const char *phi,
                   Error *err) {
    char near[PHI_NAME];
    phi_nearest(near, root, phi);
    const bool other_root = strcmp(root, "data") != 0, known = dataset_find(dataset);
    return fail(
        err, ERR_IO,
        "features: %s: no such file: %s%s%srun `turtle features %s%s --phis %s%s%s%s` first", path,
        *near ? "did you mean --phis " : "", near, *near ? "? Else " : "",
        known ? "--dataset " : "--images DIR --name ", dataset, phi,
        model_find(phi) ? "" : " --weights FILE", other_root ? " --root_dir " : "",
        other_root ? root : "");
}
