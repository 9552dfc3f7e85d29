/* thumbnails.c - small JPEGs of the samples that a page shows, from files or from records of larger files. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "host/report/gather.h"
#include "io/datasets/sources.h"
#include "io/images/image.h"
#include "io/images/jpeg_write.h"

enum { QUALITY = 75 };

typedef struct {
    Gather *g;
    const char
        *folder; /* folder that names are relative to; NULL: names are whole paths, or of records */
    SourceSplits splits; /* the data set's list, where pictures are records */
    const SourceList *list;
    bool *wanted;            /* (sample_count) the page shows the sample: it may have no plane */
    pthread_mutex_t lock;    /* guards all below */
    int64_t damaged, memory; /* pictures that could not be read; calls that lacked memory */
    int64_t
        first; /* least sample that is damaged, so that the line is the same for any number of threads */
    Error why;
} Thumbnails;

/* --- where pictures are --------------------------------------------------------------------------------- */

static bool is_record(const char *name) {
    const char *mark = name ? strrchr(name, '#') : NULL;
    return mark && mark[1] && strspn(mark + 1, "0123456789") == strlen(mark + 1);
}

/* Opens the data set's own list, as `features` did; its root lies above the representations. */
static Status open_list(Thumbnails *t, Error *err) {
    Gather *g = t->g;
    const char *features = g->run.K ? g->run.features[0] : NULL;
    const char *place = features ? strstr(features, "representations/") : NULL;
    Error why;
    if (!place || !g->run.dataset) {
        report_say(g, "The pictures lie in files of records, whose data set is not known.");
        return OK;
    }
    const char *folder = report_text(g->memory, "%.*sdatasets", (int)(place - features), features);
    if (!folder) return fail(err, ERR_MEMORY, "report: out of memory");
    const ListingOptions options = {.skip_bad = true, .magick = true, .ffmpeg = true};
    const Status st = sources_dataset(&t->splits, g->run.dataset, folder, &options, &why);
    if (st == ERR_MEMORY) return fail(err, st, "%s", why.text);
    if (st != OK) report_say(g, "The pictures are not here: %s", why.text);
    else t->list = strcmp(g->run.split, "val") == 0 ? &t->splits.val : &t->splits.train;
    return OK;
}

/* Returns the source of a sample: at its row, or behind it where bad pictures were left out; -1: none. */
static int64_t find_source(const Thumbnails *t, const ReportSample *s) {
    for (int64_t i = s->row; i < t->list->count; i++)
        if (strcmp(t->list->source[i].name, s->name) == 0) return i;
    return -1;
}

static Status read_picture(const Thumbnails *t, const ReportSample *s, Image *out, Error *err) {
    *out = (Image){0};
    if (is_record(s->name) && t->list) {
        const int64_t i = find_source(t, s);
        return i < 0 ? fail(err, ERR_FORMAT, "%s: no picture of the data set", s->name)
                     : source_image(t->list, i, out, err);
    }
    if (s->name[0] != '/' && !t->folder)
        return fail(err, ERR_IO, "%s: the folder of the images is not known", s->name);
    char *path =
        s->name[0] == '/' ? format_text("%s", s->name) : format_text("%s/%s", t->folder, s->name);
    FileMap map;
    ImageFacts facts;
    Status st = path ? file_map(&map, path, err) : fail(err, ERR_MEMORY, "report: out of memory");
    if (st == OK) {
        st = image_read(out, &facts, map.data, map.bytes, path, err);
        file_unmap(&map);
        if (st == OK && facts.unread) st = image_unread(&facts, path, err);
        if (st == OK) st = image_orient(out, facts.orientation, err);
    }
    free(path);
    return st;
}

/* --- thumbnails ----------------------------------------------------------------------------------------- */

/* Makes a picture small; one that is small already keeps its size. */
static Status shrink(ReportPicture *out, const Image *in, int side, Error *err) {
    const int longest = in->width > in->height ? in->width : in->height;
    Image small = {.width = in->width, .height = in->height};
    Resizer resizer = {0};
    int64_t bytes;
    if (longest > side) {
        small.width = (int)(((int64_t)in->width * side + longest / 2) / longest);
        small.height = (int)(((int64_t)in->height * side + longest / 2) / longest);
        if (small.width < 1) small.width = 1;
        if (small.height < 1) small.height = 1;
    }
    small.rgb = malloc(3 * (size_t)small.width * (size_t)small.height);
    Status st = small.rgb ? resize_whole(&resizer, small.rgb, in, small.width, small.height, err)
                          : fail(err, ERR_MEMORY, "report: out of memory for a picture");
    if (st == OK) st = jpeg_bytes(&out->bytes, &bytes, &small, QUALITY, err);
    if (st == OK) {
        out->size = (size_t)bytes;
        out->width = small.width;
        out->height = small.height;
    }
    image_free(&small);
    resizer_free(&resizer);
    return st;
}

static void make_one(void *context, int64_t i) {
    Thumbnails *t = context;
    ReportSample *s = &t->g->out->samples[i];
    Image image;
    Error why;
    if (!s->name || !t->wanted[i]) return;
    Status st = read_picture(t, s, &image, &why);
    if (st == OK) st = shrink(&s->picture, &image, t->g->side, &why);
    image_free(&image);
    if (st == OK) return;
    s->damaged = true;
    pthread_mutex_lock(&t->lock);
    t->damaged++;
    t->memory += st == ERR_MEMORY;
    if (t->first < 0 || i < t->first) {
        t->first = i;
        t->why = why;
    }
    pthread_mutex_unlock(&t->lock);
}

Status thumbnails_make(Gather *g, Error *err) {
    Thumbnails t = {.g = g, .folder = g->run.images, .first = -1};
    const Report *r = g->out;
    int64_t records = 0, absolute = 0, wanted = 0;
    t.wanted = calloc((size_t)r->sample_count + 1, sizeof *t.wanted);
    if (!t.wanted) return fail(err, ERR_MEMORY, "report: out of memory for pictures");
    mark_listed(r, t.wanted);
    for (int i = 0; i < r->scatter_count; i++) t.wanted[r->scatter[i]] = true;
    for (int64_t i = 0; i < r->sample_count; i++) {
        wanted += t.wanted[i];
        records += !t.folder && is_record(r->samples[i].name);
        absolute += r->samples[i].name && r->samples[i].name[0] == '/';
    }
    Status st = records ? open_list(&t, err) : OK;
    if (st == OK && g->found.numbered)
        report_say(g,
                   "The samples have no names, so that the page has no pictures: there is no list "
                   "of images beside the features.");
    else if (st == OK && !records && !absolute && !t.folder)
        report_say(g, "The folder of the images is not known, so that the page has no pictures.");
    if (st == OK && (t.list || t.folder || absolute)) {
        pthread_mutex_init(&t.lock, NULL);
        report_parallel(g->threads, r->sample_count, make_one, &t);
        pthread_mutex_destroy(&t.lock);
        if (t.memory) st = fail(err, ERR_MEMORY, "report: out of memory for pictures");
        if (st == OK && t.damaged)
            report_say(g, "%lld of %lld pictures could not be read; the first: %s",
                       (long long)t.damaged, (long long)wanted, t.why.text);
    }
    sources_close(&t.splits);
    free(t.wanted);
    return st;
}
