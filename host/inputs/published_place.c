/* published_place.c - where the weights of a published encoder lie: in their place, or as a hub's download. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "host/inputs/published.h"
#include "io/arrays/tensor_file.h"
#include "io/files/file.h"

static Status no_memory(Error *err) {
    return fail(err, ERR_MEMORY, "weights: out of memory");
}

char *weights_named(const char *folder, const char *name) {
    static const char *const endings[] = {".pth", ".pt", ".safetensors", ".bin"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        char *path = format_text("%s/%s%s", folder, name, endings[i]);
        if (path && file_exists(path)) return path;
        free(path);
    }
    return NULL;
}

/* --- a hub's cache ---------------------------------------------------------------------------- */

/* Reads the name of the main snapshot from <cache>/refs/main into `hash`; "" if it is not said. */
static void main_snapshot(char hash[80], const char *cache) {
    char *path = format_text("%s/refs/main", cache);
    FILE *f = path ? fopen(path, "rb") : NULL;
    const size_t n = f ? fread(hash, 1, 79, f) : 0;
    hash[n] = '\0';
    hash[strspn(hash, "0123456789abcdefABCDEF")] = '\0';
    if (f) fclose(f);
    free(path);
}

/* Finds the weights in <cache>/snapshots/<hash>: in the main snapshot, else in the only one with weights. */
static Status in_cache(char **path, const char *cache, Error *err) {
    char hash[80], *folder = format_text("%s/snapshots", cache), *first = NULL;
    Status st = folder ? OK : no_memory(err);
    DIR *all = st == OK ? opendir(folder) : NULL;
    if (all) main_snapshot(hash, cache);
    for (struct dirent *e; st == OK && all && (e = readdir(all));) {
        if (e->d_name[0] == '.') continue;
        const bool is_main = *hash && strcmp(e->d_name, hash) == 0;
        char *snapshot = format_text("%s/%s", folder, e->d_name);
        char *found = snapshot ? tensor_file_in(snapshot) : NULL;
        free(snapshot);
        if (!found) continue;
        if (is_main) {
            free(first);
            first = found;
            break;
        }
        if (!first) {
            first = found;
            continue;
        }
        free(found);
        if (!*hash)
            st = fail(err, ERR_ARG,
                      "weights: %s: several snapshots, and no refs/main that says which: name the "
                      "folder of one with --weights",
                      folder);
    }
    if (all) closedir(all);
    free(folder);
    if (st == OK) *path = first;
    else free(first);
    return st;
}

/* Finds a download of the repository "org/name" below `base`. */
static Status in_base(char **path, const char *base, const char *hub, Error *err) {
    const char *slash = strchr(hub, '/');
    const int org = slash ? (int)(slash - hub) : 0;
    const char *name = slash ? slash + 1 : hub;
    Status st = OK;
    for (int i = 0; st == OK && !*path && i < 4; i++) {
        char *folder = i == 0   ? format_text("%s/%s", base, name)
                       : i == 1 ? format_text("%s/%s", base, hub)
                       : i == 2 ? format_text("%s/models--%.*s--%s", base, org, hub, name)
                                : format_text("%s/hub/models--%.*s--%s", base, org, hub, name);
        if (!folder) st = no_memory(err);
        else if (i < 2) *path = tensor_file_in(folder);
        else st = in_cache(path, folder, err);
        free(folder);
    }
    return st;
}

/* --- all places ------------------------------------------------------------------------------- */

bool model_in_place(const char *path, const char *root, const PublishedModel *m) {
    char *place = format_text("%s/checkpoints/%s", root, m->file);
    const bool same = place && strcmp(place, path) == 0;
    free(place);
    return same;
}

Status model_locate(char **path, const char *root, const PublishedModel *m, Error *err) {
    char *place = format_text("%s/checkpoints/%s", root, m->file);
    char *all = format_text("%s/checkpoints", root);
    char *family = format_text("%s/checkpoints/%.*s", root, (int)strcspn(m->file, "/"), m->file);
    Status st = place && all && family ? OK : no_memory(err);
    *path = NULL;
    if (st == OK && file_exists(place)) {
        *path = place;
        place = NULL;
    }
    if (st == OK && !*path && m->hub) st = in_base(path, family, m->hub, err);
    if (st == OK && !*path && m->hub) st = in_base(path, all, m->hub, err);
    if (st == OK && !*path) *path = weights_named(all, m->phi);
    if (st == OK && !*path) *path = weights_named(family, m->phi);
    free(place);
    free(all);
    free(family);
    return st;
}
