/* fuzz.c - readers of bytes from outside under libFuzzer (make fuzz TARGET=name SECONDS=n).
 *
 * A target takes any bytes and must come back: with a result or with an error, never with a crash,
 * a report of a sanitizer or memory that is not given back. The table below is the list of targets;
 * the environment's FUZZ_TARGET chooses one.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/mman.h>
#include <unistd.h>

#include "../host/encoder.h"
#include "../io/image.h"
#include "../io/prompts.h"
#include "../io/tensor_file.h"

static void fuzz_image(const uint8_t *data, size_t bytes) {
    Image image;
    Error err;
    if (image_decode(&image, data, (int64_t)bytes, "fuzz", &err) == OK) image_free(&image);
}

/* The path of a file in memory that holds the bytes; *fd is to be closed. */
static const char *file_of(char path[64], int *fd, const uint8_t *data, size_t bytes) {
    *fd = memfd_create("fuzz", 0);
    if (*fd < 0 || write(*fd, data, bytes) != (ssize_t)bytes) abort();
    snprintf(path, 64, "/proc/self/fd/%d", *fd);
    return path;
}

static void fuzz_names(const uint8_t *data, size_t bytes) {
    char path[64];
    int fd;
    Error err;
    Prompts p = {0};
    file_of(path, &fd, data, bytes);
    prompts_read_names(&p, path, &err);
    prompts_free(&p);
    prompts_read_templates(&p, path, &err);
    prompts_free(&p);
    close(fd);
}

/* An index of shards or a file of weights of any kind; an index finds no shard beside it. */
static void fuzz_shards(const uint8_t *data, size_t bytes) {
    char path[64];
    int fd;
    Error err;
    TensorFile file;
    file_of(path, &fd, data, bytes);
    tensor_file_open(&file, path, &err);
    tensor_file_close(&file);
    close(fd);
}

/* The names of a file's tensors, without their wrappers, and what network they are of. */
static void fuzz_weights(const uint8_t *data, size_t bytes) {
    char path[64], text[160];
    int fd;
    Error err;
    Weights w;
    EncoderShape shape;
    file_of(path, &fd, data, bytes);
    if (weights_open(&w, NULL, NULL, path, &err) == OK) {
        if (encoder_shape(&shape, &w) == OK) encoder_describe(text, &shape);
        weights_close(&w);
    }
    close(fd);
}

static const struct {
    const char *name;
    void (*run)(const uint8_t *data, size_t bytes);
} targets[] = {
    {"image", fuzz_image},
    {"names", fuzz_names},
    {"shards", fuzz_shards},
    {"weights", fuzz_weights},
};

enum { TARGETS = sizeof targets / sizeof *targets };

static int chosen;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    const char *name = getenv("FUZZ_TARGET");
    for (chosen = 0; chosen < TARGETS; chosen++)
        if (name && !strcmp(name, targets[chosen].name)) return 0;
    fprintf(stderr, "fuzz: TARGET=%s: no such target; there are", name ? name : "");
    for (int i = 0; i < TARGETS; i++) fprintf(stderr, " %s", targets[i].name);
    fputc('\n', stderr);
    exit(2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    targets[chosen].run(data, bytes);
    return 0;
}
