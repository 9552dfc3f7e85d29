/* loader.c - threads that take sources one by one until none is left. */
#include "host/images/loader.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

typedef struct {
    uint8_t *pixels;
    Loaded *loaded;
    const SourceList *list;
    const Loading *how;
    int64_t first, n;
    atomic_llong next;
} Load;

/* Makes a file's pixels, by our readers or by the other program. */
static Status file_image(Loaded *loaded, Image *out, const char *path, const Loading *how) {
    FileMap map;
    ImageFacts facts;
    Error *err = &loaded->err;
    Status st = file_map(&map, path, err);
    if (st != OK) return st;
    st = image_read(out, &facts, map.data, map.bytes, path, err);
    file_unmap(&map);
    if (st != OK) return st;
    loaded->unread = facts.unread;
    if (!facts.unread) return how->orient ? image_orient(out, facts.orientation, err) : OK;
    if (!decoder_takes(how->decoder, facts.kind)) return image_unread(&facts, path, err);
    st = decoder_image(how->decoder, out, &facts, path, err);
    loaded->decoded = st == OK;
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
    if (st == OK)
        st = resize_image(resizer, l->pixels + i * 3 * how->rule.crop * how->rule.crop, &image,
                          &how->rule, &loaded->err);
    image_free(&image);
    return st;
}

static void *work(void *context) {
    Load *l = context;
    Resizer resizer = {0};
    for (int64_t i; (i = atomic_fetch_add(&l->next, 1)) < l->n;)
        l->loaded[i].status = load(l, i, &resizer);
    resizer_free(&resizer);
    return NULL;
}

void load_images(uint8_t *pixels, Loaded *loaded, const SourceList *list, int64_t first, int64_t n,
                 const Loading *how) {
    enum { MOST = 256 };
    Load l = {.pixels = pixels, .loaded = loaded, .list = list, .how = how, .first = first, .n = n};
    pthread_t helper[MOST];
    int helpers = 0;
    while (helpers < how->threads - 1 && helpers < MOST && helpers + 1 < n &&
           pthread_create(&helper[helpers], NULL, work, &l) == 0)
        helpers++; /* too few threads is slower, not wrong */
    work(&l);
    for (int i = 0; i < helpers; i++) pthread_join(helper[i], NULL);
}
