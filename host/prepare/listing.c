/* listing.c - states and sizes of data sets and weights below the data folder. */
#include "host/prepare/listing.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "host/inputs/published.h"
#include "host/prepare/fetch.h"
#include "host/prepare/set.h"
#include "host/tell/lines.h"
#include "io/files/file.h"

static int64_t file_bytes(const char *path) {
    struct stat s;
    return path && stat(path, &s) == 0 && S_ISREG(s.st_mode) ? (int64_t)s.st_size : -1;
}

/* Bytes of the archives of a set's first way: those to fetch, and those that are here. */
typedef struct {
    int64_t lacking, here;
    bool unknown; /* the size of one that lacks is not published */
} Archives;

static Archives archives_of(const char *root, const Manifest *m) {
    Archives n = {0};
    const char *way = NULL;
    for (int i = 0; i < m->archives; i++) {
        const ManifestArchive *a = &m->archive[i];
        if (!way) way = a->way;
        if (a->way && strcmp(a->way, way) != 0) continue;
        char *path = format_text("%s/datasets/archives/%s/%s", root, m->store, a->name);
        char *part = format_text("%s/datasets/archives/%s/%s.part", root, m->store, a->name);
        const int64_t whole = file_bytes(path), some = file_bytes(part);
        if (whole >= 0) n.here += whole;
        else {
            n.here += some > 0 ? some : 0;
            n.unknown |= a->size < 0;
            n.lacking += a->size > 0 ? a->size - (some > 0 && some < a->size ? some : 0) : 0;
        }
        free(path);
        free(part);
    }
    n.unknown |= m->archives == 0;
    return n;
}

/* Writes what lacks: "5.0 GB", "5.0 GB or more", "-" if nothing is known. */
static const char *lacking_text(char text[40], const Archives *n) {
    char size[24];
    if (n->lacking == 0 && n->unknown) snprintf(text, 40, "-");
    else snprintf(text, 40, "%s%s", size_text_of(size, n->lacking), n->unknown ? " or more" : "");
    return text;
}

static void tell_set(const char *root, const Manifest *m, char **text, Json *j) {
    SetCounts counts = {.train = -1, .val = -1, .classes = -1};
    Error why = {""};
    char size[40], *base = format_text("%s/datasets", root);
    const bool whole = base && set_count(&counts, m, base, false, &why) == OK;
    const bool other =
        !whole && counts.train >= 0; /* the loader found something, but not the published counts */
    const Archives n = archives_of(root, m);
    const char *state = whole ? "there" : other ? "other counts" : n.here ? "in part" : "missing";
    add_line(text, "%-12s %-13s %9lld %7lld %5lld  %-16s %-10s %s\n", m->set, state,
             (long long)m->train, (long long)m->val, (long long)m->classes,
             whole ? "" : lacking_text(size, &n), m->how, m->title);
    json_open(j, NULL);
    json_text(j, "name", m->set);
    json_text(j, "state", state);
    json_integer(j, "train", m->train);
    json_integer(j, "val", m->val);
    json_integer(j, "classes", m->classes);
    if (whole) json_integer(j, "missing_bytes", 0);
    else if (n.unknown) json_null(j, "missing_bytes");
    else json_integer(j, "missing_bytes", n.lacking);
    json_text(j, "how", m->how);
    json_text(j, "licence", m->licence);
    json_close(j);
    free(base);
}

/* Writes the size of a file that is there or published, else what its parameters take. */
static void phi_size(char text[40], const PublishedModel *m, int64_t bytes) {
    char size[24];
    if (bytes < 0) bytes = m->bytes;
    if (bytes >= 0) snprintf(text, 40, "%s", size_text_of(size, bytes));
    else
        snprintf(text, 40, "%s or more",
                 size_text_of(size, (int64_t)m->parameters * m->bytes_each * 1000000));
}

/* Says in one word how the weights are had. */
static const char *phi_how(const PublishedModel *m) {
    return m->gated ? "gated" : m->url ? "direct" : "by hand";
}

static Status tell_phi(const char *root, const PublishedModel *m, char **text, Json *j,
                       Error *err) {
    char size[40], *path = NULL, *place = format_text("%s/checkpoints/%s", root, m->file);
    Status st =
        place ? model_locate(&path, root, m, err) : fail(err, ERR_MEMORY, "prepare: out of memory");
    if (st == ERR_ARG) st = OK; /* several snapshots: weights are there, and features asks which */
    if (st == OK) {
        const int64_t bytes = file_bytes(path);
        phi_size(size, m, bytes);
        add_line(text, "%-26s %-8s %-16s %-8s %s\n", m->phi, path ? "there" : "missing", size,
                 phi_how(m), (path ? path : place) + strlen(root) + 1);
        json_open(j, NULL);
        json_text(j, "name", m->phi);
        json_text(j, "state", path ? "there" : "missing");
        if (bytes >= 0 || m->bytes >= 0) json_integer(j, "bytes", bytes >= 0 ? bytes : m->bytes);
        else json_null(j, "bytes");
        json_text(j, "licence", m->licence);
        json_text(j, "gated", m->gated ? "yes" : "no");
        json_text(j, "how", phi_how(m));
        json_close(j);
    }
    free(path);
    free(place);
    return st;
}

Status listing_tell(const TurtlePrepareOptions *options, char **text, Json *j, Error *err) {
    const char *root = options->common.root_dir;
    bool more = true;
    Status st = OK;
    add_line(text, "%-12s %-13s %9s %7s %5s  %-16s %-10s\n", "data set", "", "train", "val", "C",
             "to fetch", "how");
    json_open_array(j, "datasets");
    for (int i = 0; st == OK && more; i++) {
        Manifest m;
        st = manifest_at(&m, i, &more, err);
        if (st == OK && more && strcmp(m.set, "checkpoints") != 0) tell_set(root, &m, text, j);
        if (st == OK) manifest_free(&m);
    }
    json_close_array(j);
    json_open_array(j, "phis");
    if (st == OK)
        add_line(text, "\n%-26s %-8s %-16s %-8s below %s\n", "weights", "", "size", "how", root);
    for (const PublishedModel *m = model_first(); st == OK && m; m = model_next(m))
        st = tell_phi(root, m, text, j, err);
    json_close_array(j);
    if (st == OK)
        add_line(text,
                 "turtle prepare --phis NAME says how weights that are gated or by hand are had\n");
    return st;
}
