/* loader.h - sources decoded, resized and cropped by several threads. */
#ifndef TURTLE_HOST_IMAGES_LOADER_H
#define TURTLE_HOST_IMAGES_LOADER_H

#include <pthread.h>
#include <stdatomic.h>

#include "host/images/decoder.h"
#include "host/turtle.h"
#include "io/datasets/sources.h"
#include "io/images/resize.h"
#include "kernels/ops.h"

/* The fate of one source. */
typedef struct {
    Status status;
    Error err;
    const char *unread; /* the kind that our readers do not know; NULL: they do */
    bool decoded;       /* another program made pixels of it */
} Loaded;

/* Settings that hold for every picture. */
typedef struct {
    ResizeRule rule;
    int64_t whole; /* encoder_picture_bytes: the device resizes pictures; 0: threads do */
    bool orient;   /* turn it as EXIF says */
    const Decoder *decoder;
    int threads;
    bool ahead; /* threads load while the caller does something else */
} Loading;

/* Returns whether threads of the host can load while the device works: it has memory, and so processors, of its
 * own. */
bool loads_ahead(const Ops *ops);

enum { LOAD_MOST_THREADS = 256 };

/* Returns the bytes from one picture of a load to the next. */
int64_t loading_bytes(const Loading *how);

/* Sources first .. first+n of `list`, or of `pictures`, on their way to pixels (n,crop,crop,3), bytes or
 * floats as the rule makes them, or to n whole pictures; loaded (n) says which are good. The pixels of the others
 * are undefined. */
typedef struct {
    uint8_t *pixels;
    Loaded *loaded;
    const SourceList *list; /* NULL: `pictures` */
    const TurtlePictures *pictures;
    const Loading *how;
    int64_t first, n;
    atomic_llong next; /* the first source that no thread has taken */
    pthread_t helper[LOAD_MOST_THREADS];
    int helpers;
} Load;

/* Begins with a load whose first seven members are set. With how->ahead threads work from now on. */
void load_begin(Load *l);
/* Loads what is left, beside the threads, and waits for them. */
void load_end(Load *l);
/* Leaves out what no thread has taken yet, and waits for the threads. */
void load_cancel(Load *l);

#endif
