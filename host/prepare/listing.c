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

/* Writes the size of a file that is there or published, else what its parameters take, else "-". */
static void phi_size(char text[40], const PhiRow *row, int64_t bytes) {
    char size[24];
    const PublishedModel *m = model_find(row->phi);
    if (bytes < 0) bytes = row->size;
    if (bytes >= 0) snprintf(text, 40, "%s", size_text_of(size, bytes));
    else if (m)
        snprintf(text, 40, "%s or more",
                 size_text_of(size, (int64_t)m->parameters * m->bytes_each * 1000000));
    else snprintf(text, 40, "-");
}

static void tell_phi(const char *root, const PhiRow *row, char **text, Json *j) {
    char size[40], *path = format_text("%s/checkpoints/%s", root, row->place);
    const int64_t bytes = file_bytes(path);
    const char *state = bytes >= 0 ? "there" : "missing";
    phi_size(size, row, bytes);
    add_line(text, "%-15s %-8s %-16s checkpoints/%s\n", row->phi, state, size, row->place);
    json_open(j, NULL);
    json_text(j, "name", row->phi);
    json_text(j, "state", state);
    if (bytes >= 0 || row->size >= 0) json_integer(j, "bytes", bytes >= 0 ? bytes : row->size);
    else json_null(j, "bytes");
    json_text(j, "licence", row->licence);
    json_text(j, "gated", row->gated);
    json_close(j);
    free(path);
}

Status listing_tell(const TurtlePrepareOptions *options, char **text, Json *j, Error *err) {
    const char *root = options->common.root_dir;
    PhiTable phis;
    bool more = true;
    Status st = phi_table_open(&phis, err);
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
    if (st == OK) add_line(text, "\n%-15s %-8s %-16s below %s\n", "weights", "", "size", root);
    for (int i = 0; st == OK && i < phis.count; i++) tell_phi(root, &phis.row[i], text, j);
    json_close_array(j);
    phi_table_close(&phis);
    return st;
}
