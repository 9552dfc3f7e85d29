/* loader.c - threads that take sources one by one until none is left. */
#include "loader.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

typedef struct {
    uint8_t *pixels;
    Loaded *loaded;
    const SourceList *list;
    int64_t first, n;
    ResizeRule rule;
    atomic_llong next;
} Load;

static void *work(void *context) {
    Load *l = context;
    Resizer resizer = {0};
    for (int64_t i; (i = atomic_fetch_add(&l->next, 1)) < l->n;) {
        Image image;
        Loaded *loaded = &l->loaded[i];
        loaded->status = source_image(l->list, l->first + i, &image, &loaded->err);
        if (loaded->status == OK)
            loaded->status = resize_image(&resizer, l->pixels + i * 3 * l->rule.crop * l->rule.crop,
                                          &image, &l->rule, &loaded->err);
        image_free(&image);
    }
    resizer_free(&resizer);
    return NULL;
}

void load_images(uint8_t *pixels, Loaded *loaded, const SourceList *list, int64_t first, int64_t n,
                 const ResizeRule *rule, int threads) {
    enum { MOST = 256 };
    Load l = {
        .pixels = pixels, .loaded = loaded, .list = list, .first = first, .n = n, .rule = *rule};
    pthread_t helper[MOST];
    int helpers = 0;
    while (helpers < threads - 1 && helpers < MOST && helpers + 1 < n &&
           pthread_create(&helper[helpers], NULL, work, &l) == 0)
        helpers++; /* too few threads is slower, not wrong */
    work(&l);
    for (int i = 0; i < helpers; i++) pthread_join(helper[i], NULL);
}
