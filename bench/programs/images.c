/* images.c - images per second of decoding, resizing and cropping on one thread.
 * usage: bench-images RESIZE CROP REPEATS FILE...
 * Prints the same rows as reference/images_pillow.py. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/programs/bench.h"
#include "io/files/file.h"
#include "io/images/image.h"

typedef struct {
    const char *path;
    FileMap map;
    Resizer resizer;
    uint8_t *out; /* (crop,crop,3) */
    int resize, crop;
    Status status;
    Error error;
} Picture;

static void load(void *context) {
    Picture *p = context;
    Image image = {0};
    if (p->status == OK)
        p->status = image_decode(&image, p->map.data, p->map.bytes, p->path, &p->error);
    if (p->status == OK)
        p->status = resize_crop(&p->resizer, p->out, &image, p->resize, p->crop, &p->error);
    image_free(&image);
}

static Status measure(Picture *p, int repeats) {
    const char *slash = strrchr(p->path, '/');
    Row row = {.what = slash ? slash + 1 : p->path,
               .program = "turtle",
               .threads = 1,
               .work = 1.0,
               .unit = "images/s",
               .repeats = repeats};
    p->status = file_map(&p->map, p->path, &p->error);
    p->out = malloc((size_t)p->crop * (size_t)p->crop * 3);
    if (p->status == OK && !p->out) p->status = fail(&p->error, ERR_MEMORY, "out of memory");
    if (p->status == OK) row_measure(&row, load, p);
    if (p->status == OK) row_print(&row);
    resizer_free(&p->resizer);
    free(p->out);
    file_unmap(&p->map);
    return p->status;
}

int main(int argc, char **argv) {
    const int resize = (int)argument(argc, argv, 1, 4096),
              crop = (int)argument(argc, argv, 2, 4096),
              repeats = (int)argument(argc, argv, 3, MAX_REPEATS);
    if (argc < 5 || !resize || !crop || !repeats) {
        fputs("usage: bench-images RESIZE CROP REPEATS FILE...\n", stderr);
        return 2;
    }
    for (int i = 4; i < argc; i++) {
        Picture picture = {.path = argv[i], .resize = resize, .crop = crop};
        if (measure(&picture, repeats) != OK) {
            fprintf(stderr, "bench-images: %s\n", picture.error.text);
            return 1;
        }
    }
    return 0;
}
