/* shrink.c - names, pictures and samples are taken from a page until it keeps its size. */
#include <stdlib.h>
#include <string.h>

#include "host/report/gather.h"

enum {
    NAME_TEXT = 12,  /* bytes around a name in its list: quotes, comma, confidence */
    LEAST_PLANE = 60 /* samples that the plane keeps before other parts are cut */
};

/* --- what is taken -------------------------------------------------------------------------------------- */

/* Returns the bytes that the lists have beyond `most` names each. */
static int64_t names_beyond(const Report *r, int64_t most) {
    int64_t bytes = 0;
    for (int64_t c = 0; c < r->classes; c++)
        for (int64_t i = most; i < r->clusters[c].names_count; i++)
            bytes += (int64_t)strlen(r->clusters[c].names[i]) + NAME_TEXT;
    return bytes;
}

/* Shortens the longest lists by about `excess` bytes. Returns the bytes that the page has less. */
static int64_t take_names(Report *r, int64_t excess) {
    int64_t least = 0, most = REPORT_NAMES;
    while (least < most) { /* the longest lists that save enough */
        const int64_t middle = (least + most + 1) / 2;
        if (names_beyond(r, middle) >= excess) least = middle;
        else most = middle - 1;
    }
    const int64_t bytes = names_beyond(r, least);
    for (int64_t c = 0; c < r->classes; c++) {
        ReportCluster *cluster = &r->clusters[c];
        if (cluster->names_count <= least) continue;
        r->left_out.names += cluster->names_count - least;
        cluster->names_count = least;
    }
    return bytes;
}

static void mark(bool *listed, const int64_t *samples, int count) {
    for (int i = 0; i < count; i++) listed[samples[i]] = true;
}

void mark_listed(const Report *r, bool *listed) {
    for (int64_t c = 0; c < r->classes; c++) {
        mark(listed, r->clusters[c].typical, r->clusters[c].typical_count);
        mark(listed, r->clusters[c].doubtful, r->clusters[c].doubtful_count);
    }
    for (int i = 0; i < r->confusion_count; i++)
        mark(listed, r->confusions[i].samples, r->confusions[i].samples_count);
    mark(listed, r->doubtful, r->doubtful_count);
}

/* Takes pictures, first those that the plane alone shows. Returns the bytes that the page has less. */
static int64_t take_pictures(Report *r, int64_t excess) {
    int64_t bytes = 0;
    bool *listed = calloc((size_t)r->sample_count + 1, sizeof *listed);
    if (listed) mark_listed(r, listed); /* without memory the last samples go first */
    for (int pass = listed ? 0 : 1; pass < 2; pass++)
        for (int64_t i = r->sample_count - 1; i >= 0 && bytes < excess; i--) {
            ReportPicture *picture = &r->samples[i].picture;
            if (!picture->size || (pass == 0 && listed[i])) continue;
            bytes += (int64_t)(picture->size + 2) / 3 * 4;
            free(picture->bytes);
            *picture = (ReportPicture){0};
            r->left_out.pictures++;
        }
    free(listed);
    return bytes;
}

/* Halves a number of samples that are shown. */
static void take_half(Report *r, int *count) {
    r->left_out.samples += *count - *count / 2;
    *count /= 2;
}

/* Takes every second sample of the plane: its rows ascend, and neighbours may share a class. */
static void thin_plane(Report *r) {
    take_half(r, &r->scatter_count);
    for (int i = 0; i < r->scatter_count; i++) r->scatter[i] = r->scatter[2 * i];
}

static bool take_samples(Report *r) {
    const int64_t before = r->left_out.samples;
    for (int64_t c = 0; c < r->classes; c++) {
        take_half(r, &r->clusters[c].typical_count);
        take_half(r, &r->clusters[c].doubtful_count);
    }
    for (int i = 0; i < r->confusion_count; i++) take_half(r, &r->confusions[i].samples_count);
    take_half(r, &r->doubtful_count);
    thin_plane(r);
    return r->left_out.samples > before;
}

/* Says in one line all that was left out so far. */
static void say_what_is_left_out(Report *r) {
    char cut[64] = "";
    if (r->name_most < REPORT_NAME_BYTES)
        snprintf(cut, sizeof cut, "; names are cut to %d bytes", r->name_most);
    char *line =
        report_text(r->memory,
                    "%lld names, %lld pictures and %lld samples were left out, so that the "
                    "page keeps its size%s.",
                    (long long)r->left_out.names, (long long)r->left_out.pictures,
                    (long long)r->left_out.samples, cut);
    const int at = r->left_out.line ? r->left_out.line - 1 : r->notice_count;
    const char **more = report_take(r->memory, r->notice_count + 1, sizeof *more);
    if (!line || !more) return;
    if (r->notice_count) memcpy(more, r->notices, (size_t)r->notice_count * sizeof *more);
    more[at] = line;
    r->notices = more;
    if (at == r->notice_count) r->notice_count++;
    r->left_out.line = at + 1;
}

bool report_shrink(Report *r, int64_t excess) {
    enum { LEAST_NAME = 32 };
    int64_t bytes = take_names(r, excess);
    if (bytes < excess) bytes += take_pictures(r, excess - bytes);
    if (!bytes) { /* a page of long names, or of very many clusters */
        if (r->name_most > LEAST_NAME) r->name_most /= 2;
        else if (!take_samples(r)) return false;
    }
    say_what_is_left_out(r);
    return true;
}

/* --- before the page is written ------------------------------------------------------------------------- */

/* Estimates the bytes of a list of samples without their pictures; a name takes `name` bytes. */
static double list_bytes(const Report *r, const int64_t *samples, int count, double name) {
    double bytes = 0.0;
    for (int i = 0; i < count; i++) {
        const ReportSample *s = &r->samples[samples[i]];
        bytes += s->picture.size ? 200.0 + 2 * name : (s->damaged ? 115.0 : 60.0) + name;
    }
    return bytes;
}

/* Estimates the bytes of all parts of the page but the lists of names. */
static double parts_bytes(const Gather *g) {
    const Report *r = g->out;
    const double name = (double)g->found.name_bytes / (double)g->found.n;
    double bytes = 60e3 + (220.0 + name) * r->scatter_count + 200.0 * r->doubtful_count;
    for (int64_t c = 0; c < r->classes; c++) {
        const ReportCluster *cluster = &r->clusters[c];
        bytes += 1100.0 + list_bytes(r, cluster->typical, cluster->typical_count, name) +
                 list_bytes(r, cluster->doubtful, cluster->doubtful_count, name);
    }
    for (int i = 0; i < r->confusion_count; i++)
        bytes += list_bytes(r, r->confusions[i].samples, r->confusions[i].samples_count, name);
    bytes += list_bytes(r, r->doubtful, r->doubtful_count, name);
    for (int64_t i = 0; i < r->sample_count; i++)
        bytes += (double)r->samples[i].picture.size * 4 / 3;
    for (int64_t i = 0; r->confusion && i < r->classes * r->label_count; i++)
        bytes += r->confusion[i] ? 7.0 : 0.0;
    return bytes;
}

void fit_names(Gather *g) {
    Report *r = g->out;
    const double room = 0.85 * (double)g->budget, excess = parts_bytes(g) - room;
    if (excess > 0.0) take_pictures(r, (int64_t)excess);
    while (r->scatter_count > LEAST_PLANE && parts_bytes(g) > room) thin_plane(r);
    if (r->left_out.pictures || r->left_out.samples)
        report_say(g,
                   "%lld pictures and %lld samples of the plane were left out, so that the page "
                   "keeps its size.",
                   (long long)r->left_out.pictures, (long long)r->left_out.samples);
    r->left_out = (ReportLeftOut){0}; /* the line above tells of them */
    const int64_t most = names_that_fit(g, 0.97 * (double)g->budget - parts_bytes(g));
    int64_t longest = 0;
    if (most < g->names) g->names = most;
    for (int64_t c = 0; c < r->classes; c++) {
        ReportCluster *cluster = &r->clusters[c];
        if (cluster->size > longest) longest = cluster->size;
        if (cluster->names_count > g->names) cluster->names_count = g->names;
    }
    if (g->names == 0)
        report_say(g, "The page has no room for lists of names; %s has all.", g->found.path);
    else if (longest > g->names)
        report_say(g,
                   "Clusters with more than %lld samples list the %lld most confident; %s has all.",
                   (long long)g->names, (long long)g->names, g->found.path);
}
