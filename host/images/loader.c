/* loader.c - threads that take sources one by one until none is left. */
#include "host/images/loader.h"

#include <stdio.h>
#include <stdlib.h>

#include "host/encode/picture.h"
#include "io/thread.h"

bool loads_ahead(const Ops *ops) {
    MemoryUse use;
    ops->mem.memory(ops->device, &use);
    return use.total > 0;
}

/* Makes pixels of a file's bytes by our readers; *facts says whether they know its kind. */
static Status bytes_image(Loaded *loaded, Image *out, ImageFacts *facts, const uint8_t *data,
                          int64_t bytes, const char *name, const Loading *how) {
    const Status st = image_read(out, facts, data, bytes, name, &loaded->err);
    if (st != OK) return st;
    loaded->unread = facts->unread;
    return how->orient && !facts->unread ? image_orient(out, facts->orientation, &loaded->err) : OK;
}

/* Makes a file's pixels, by our readers or by the other program. */
static Status file_image(Loaded *loaded, Image *out, const char *path, const Loading *how) {
    FileMap map;
    ImageFacts facts;
    Error *err = &loaded->err;
    Status st = file_map(&map, path, err);
    if (st != OK) return st;
    st = bytes_image(loaded, out, &facts, map.data, map.bytes, path, how);
    file_unmap(&map);
    if (st != OK || !facts.unread) return st;
    if (!decoder_takes(how->decoder, facts.kind)) return image_unread(&facts, path, err);
    st = decoder_image(how->decoder, out, &facts, path, err);
    loaded->decoded = st == OK;
    return st;
}

int64_t loading_bytes(const Loading *how) {
    return how->whole ? how->whole : resize_bytes(&how->rule);
}

/* Makes picture i of the load of decoded pixels. */
static Status finish_picture(Load *l, int64_t i, const Image *image, Resizer *resizer) {
    const Loading *how = l->how;
    uint8_t *to = l->pixels + i * loading_bytes(how);
    Error *err = &l->loaded[i].err;
    return how->whole ? picture_write(resizer, to, image, &how->rule, err)
                      : resize_image(resizer, to, image, &how->rule, err);
}

/* Loads a picture of the caller's memory. */
static Status load_picture(Load *l, int64_t i, Resizer *resizer) {
    const Loading *how = l->how;
    const TurtlePictures *p = l->pictures;
    const int64_t n = l->first + i;
    Loaded *loaded = &l->loaded[i];
    *loaded = (Loaded){.status = OK};
    if (p->rgb) {
        const Image whole = {(uint8_t *)p->rgb + n * 3 * p->height * p->width, (int)p->width,
                             (int)p->height};
        return finish_picture(l, i, &whole, resizer);
    }
    char name[48];
    Image image = {0};
    ImageFacts facts;
    snprintf(name, sizeof name, "picture %lld", (long long)n);
    Status st = bytes_image(loaded, &image, &facts, p->file[n].data, p->file[n].bytes, name, how);
    if (st == OK && facts.unread) st = image_unread(&facts, name, &loaded->err);
    if (st == OK) st = finish_picture(l, i, &image, resizer);
    image_free(&image);
    return st;
}

static Status load(Load *l, int64_t i, Resizer *resizer) {
    const Loading *how = l->how;
    Loaded *loaded = &l->loaded[i];
    Image image = {0};
    Status st;
    *loaded = (Loaded){.status = OK};
    if (l->list->source[l->first + i].blob >= 0) {
        st = source_image(l->list, l->first + i, &image, &loaded->err);
    } else {
        char *path = source_path(l->list, l->first + i);
        st = path ? file_image(loaded, &image, path, how)
                  : fail(&loaded->err, ERR_MEMORY, "images: out of memory");
        free(path);
    }
    if (st == OK) st = finish_picture(l, i, &image, resizer);
    image_free(&image);
    return st;
}

static void *work(void *context) {
    Load *l = context;
    Resizer resizer = {0};
    for (int64_t i; (i = atomic_fetch_add(&l->next, 1)) < l->n;)
        l->loaded[i].status = l->list ? load(l, i, &resizer) : load_picture(l, i, &resizer);
    resizer_free(&resizer);
    return NULL;
}

static void start_helpers(Load *l, int most) {
    while (l->helpers < most && l->helpers < LOAD_MOST_THREADS && l->helpers < l->n &&
           start_thread(&l->helper[l->helpers], work, l) == 0)
        l->helpers++; /* too few threads is slower, not wrong */
}

void load_begin(Load *l) {
    atomic_init(&l->next, 0);
    l->helpers = 0;
    if (l->how->ahead) start_helpers(l, l->how->threads);
}

void load_end(Load *l) {
    const int beside = l->n < l->how->threads ? (int)l->n - 1 : l->how->threads - 1;
    if (!l->how->ahead) start_helpers(l, beside);
    work(l);
    while (l->helpers) pthread_join(l->helper[--l->helpers], NULL);
}

void load_cancel(Load *l) {
    atomic_store(&l->next, l->n);
    while (l->helpers) pthread_join(l->helper[--l->helpers], NULL);
}
