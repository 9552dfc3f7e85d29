/* images.c - images per second of decoding, resizing and cropping on one thread, one JSON object.
 * usage: bench-images RESIZE CROP REPEATS FILE...
 * The same object as bench/reference/images_pillow.py prints. */
#include <stdlib.h>
#include <time.h>

#include "../io/file.h"
#include "../io/image.h"

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static Status one_image(Resizer *r, uint8_t *out, const FileMap *map, const char *name, int resize,
                        int crop, Error *err) {
    Image image;
    Status st = image_decode(&image, map->data, map->bytes, name, err);
    if (st == OK) st = resize_crop(r, out, &image, resize, crop, err);
    image_free(&image);
    return st;
}

/* Seconds of `repeats` passes over one file. */
static Status measure(const char *path, int resize, int crop, int repeats, Error *err) {
    FileMap map;
    Resizer resizer = {0};
    Status st = file_map(&map, path, err);
    uint8_t *out = malloc((size_t)crop * (size_t)crop * 3);
    if (st == OK && !out) st = fail(err, ERR_MEMORY, "bench-images: out of memory");
    if (st == OK) st = one_image(&resizer, out, &map, path, resize, crop, err); /* warms up */
    const double start = now();
    for (int i = 0; st == OK && i < repeats; i++)
        st = one_image(&resizer, out, &map, path, resize, crop, err);
    if (st == OK)
        printf("{\"program\": \"turtle\", \"file\": \"%s\", \"images_per_s\": %.1f}\n", path,
               repeats / (now() - start));
    resizer_free(&resizer);
    free(out);
    file_unmap(&map);
    return st;
}

int main(int argc, char **argv) {
    Error err;
    const long resize = argc > 4 ? strtol(argv[1], NULL, 10) : 0,
               crop = argc > 4 ? strtol(argv[2], NULL, 10) : 0,
               repeats = argc > 4 ? strtol(argv[3], NULL, 10) : 0;
    if (resize < 1 || resize > 4096 || crop < 1 || crop > 4096 || repeats < 1 ||
        repeats > 1000000) {
        fputs("usage: bench-images RESIZE CROP REPEATS FILE...\n", stderr);
        return 2;
    }
    for (int i = 4; i < argc; i++)
        if (measure(argv[i], (int)resize, (int)crop, (int)repeats, &err) != OK) {
            fprintf(stderr, "bench-images: %s\n", err.text);
            return 1;
        }
    return 0;
}
