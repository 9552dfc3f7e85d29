/* fuzz.c - readers of bytes from outside under libFuzzer (make fuzz TARGET=name SECONDS=n).
 *
 * A target takes any bytes and must come back with a result or with an error. A crash, a report of
 * a sanitizer and memory that is not given back are faults. The table below is the list of targets;
 * the environment's FUZZ_TARGET chooses one.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dirent.h>
#include <ftw.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host/encode/encoder.h"
#include "host/images/earlier_rows.h"
#include "host/inputs/label_file.h"
#include "host/tell/made.h"
#include "io/archives/archive.h"
#include "io/archives/unpack.h"
#include "io/arrays/foreign.h"
#include "io/arrays/hdf5.h"
#include "io/arrays/matlab.h"
#include "io/arrays/npy.h"
#include "io/arrays/tensor_file.h"
#include "io/config/encoder_config.h"
#include "io/datasets/sources.h"
#include "io/files/crc32.h"
#include "io/files/inflate.h"
#include "io/files/inflate_stream.h"
#include "io/files/zip.h"
#include "io/images/image.h"
#include "io/pickle/pickle.h"
#include "io/text/cluster_names.h"
#include "io/text/csv.h"
#include "io/text/prompts.h"

static void read_image(const uint8_t *data, size_t bytes) {
    Image image;
    ImageFacts facts;
    Error err;
    if (image_read(&image, &facts, data, (int64_t)bytes, "fuzz", &err) == OK && image.rgb)
        image_orient(&image, facts.orientation, &err);
    image_free(&image);
}

/* Reads a PNG once more with right checksums: a changed checksum stops any reader at once. */
static void fuzz_image(const uint8_t *data, size_t bytes) {
    read_image(data, bytes);
    if (bytes < 20 || memcmp(data, "\x89PNG", 4) != 0) return;
    uint8_t *copy = malloc(bytes);
    memcpy(copy, data, bytes);
    for (size_t at = 8; bytes - at >= 12;) {
        const size_t n =
            (size_t)copy[at] << 24 | copy[at + 1] << 16 | copy[at + 2] << 8 | copy[at + 3];
        if (n > bytes - at - 12) break;
        const uint32_t crc = crc32_update(0, copy + at + 4, (int64_t)n + 4);
        for (int i = 0; i < 4; i++) copy[at + 8 + n + i] = (uint8_t)(crc >> (24 - 8 * i));
        at += 12 + n;
    }
    read_image(copy, bytes);
    free(copy);
}

/* Returns the path of a file in memory that holds the bytes; the caller closes *fd. */
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

/* Reads names of as many clusters as the first byte says. Groups must be whole. */
static void fuzz_cluster_names(const uint8_t *data, size_t bytes) {
    char path[64];
    int fd;
    Error err;
    ClusterNames n;
    if (bytes == 0) return;
    const int64_t classes = data[0];
    file_of(path, &fd, data + 1, bytes - 1);
    if (cluster_names_read(path, classes, &n, &err) == OK) {
        int64_t out = 0;
        for (int64_t c = 0; c < classes; c++) {
            const int64_t g = n.group[c];
            out += g < 0;
            if (g < -1 || g >= n.groups || (g < 0) != !*n.name[c]) abort();
            if (g >= 0 && strcmp(n.name[n.first[g]], n.name[c]) != 0) abort();
        }
        if (out != n.left_out) abort();
        cluster_names_free(&n);
    }
    close(fd);
}

/* Reads rows that an earlier call left, their names, and the facts that they were made with. */
static void fuzz_rows(const uint8_t *data, size_t bytes) {
    char path[64], text[MADE_TEXT];
    int fd;
    bool added;
    Error err;
    MadeFile made;
    EarlierRows e;
    file_of(path, &fd, data, bytes);
    if (made_read(&made, path, &err) == OK) made_differs(text, &made.made, &(Made){0});
    earlier_open(&e, 2);
    earlier_add_part(&e, path, path, 16, &err);
    earlier_add_file(&e, path, path, &added, &err);
    if (earlier_index(&e, &err) == OK) earlier_find(&e, "a.png");
    earlier_close(&e);
    close(fd);
}

/* Opens an index of shards, or a file of weights of any kind. An index finds no shard beside it. */
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

/* Reads the names of a file's tensors without their wrappers, and the network that they
 * describe. */
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

static void fuzz_list(const uint8_t *data, size_t bytes) {
    char path[64];
    int fd;
    Error err;
    SourceSplits splits;
    if (sources_list(&splits, file_of(path, &fd, data, bytes), &err) == OK) sources_close(&splits);
    close(fd);
}

/* Reads a configuration file of any library. */
static void fuzz_config(const uint8_t *data, size_t bytes) {
    EncoderConfig config;
    Error err;
    encoder_config_parse(&config, data, (int64_t)bytes, "fuzz", &err);
}

static void fuzz_npy(const uint8_t *data, size_t bytes) {
    Npy npy;
    Error err;
    if (npy_view(&npy, data, (int64_t)bytes, "fuzz", &err) != OK) return;
    float number;
    int64_t whole;
    if (npy.count) {
        (void)npy_read_f32(&npy, npy.count - 1, 1, &number, &err);
        (void)npy_read_i64(&npy, npy.count - 1, 1, &whole, &err);
    }
    npy_close(&npy);
}

/* Reads every member of an archive as .npy. */
static void fuzz_npz(const uint8_t *data, size_t bytes) {
    const FileMap map = {.data = data, .bytes = (int64_t)bytes};
    Zip zip;
    Error err;
    if (zip_open(&zip, &map, "fuzz", &err) != OK) return;
    for (int64_t i = 0; i < zip.count; i++) {
        const ZipEntry *e = &zip.entry[i];
        uint8_t *own = NULL;
        if (e->data) fuzz_npy(e->data, (size_t)e->bytes);
        else if (e->bytes < 1 << 24 && zip_inflate(&own, e, "fuzz", &err) == OK)
            fuzz_npy(own, (size_t)e->bytes);
        free(own);
    }
    zip_close(&zip);
}

/* Inflates into as many bytes as the first two say. */
static void fuzz_inflate(const uint8_t *data, size_t bytes) {
    if (bytes < 2) return;
    const int64_t most = data[0] | data[1] << 8;
    uint8_t *out = malloc((size_t)most + 1);
    if (out) (void)inflate_whole(out, most, data + 2, (int64_t)bytes - 2);
    free(out);
}

/* Reads an archive to its end, as many bytes at a time as `step`. */
static void walk_archive(Archive *a, int64_t step) {
    static uint8_t piece[256];
    ArchiveEntry e;
    bool more = true;
    Error err;
    while (archive_next(a, &e, &more, &err) == OK && more)
        for (int64_t got = 1, all = 0; got > 0 && all < 1 << 22; all += got)
            if (archive_read(a, piece, step, &got, &err) != OK) break;
}

/* Makes the checksums of tar's headers right: a changed one stops any reader at once. */
static void mend_tar(uint8_t *data, size_t bytes) {
    for (size_t at = 0; bytes - at >= 512; at += 512) {
        uint8_t *h = data + at;
        unsigned sum = 8 * ' ';
        if (memcmp(h + 257, "ustar", 5) != 0) continue;
        for (int i = 0; i < 512; i++) sum += i >= 148 && i < 156 ? 0 : h[i];
        snprintf((char *)h + 148, 8, "%06o", sum & 0777777);
        if (bytes - at == 512) break;
    }
}

/* Reads an archive of any kind from a file, and from memory in small pieces. */
static void fuzz_archive(const uint8_t *data, size_t bytes) {
    char path[64];
    int fd;
    Archive *a;
    Error err;
    if (bytes == 0) return;
    uint8_t *copy = malloc(bytes);
    memcpy(copy, data, bytes);
    mend_tar(copy, bytes);
    if (archive_open(&a, file_of(path, &fd, copy, bytes), &err) == OK) walk_archive(a, 256);
    archive_close(a);
    PullMemory memory = {copy, copy + bytes};
    if (archive_open_from(&a, pull_memory, &memory, "fuzz.gz", &err) == OK)
        walk_archive(a, 1 + bytes % 256);
    archive_close(a);
    free(copy);
    close(fd);
}

static int remove_it(const char *path, const struct stat *s, int kind, struct FTW *walk) {
    (void)s, (void)kind, (void)walk;
    return remove(path);
}

/* Unpacks into a folder, beside which nothing may appear. */
static void fuzz_unpack(const uint8_t *data, size_t bytes) {
    char outer[] = "/dev/shm/turtle-fuzz-XXXXXX", in[64], path[64];
    int fd, beside = 0;
    Error err;
    const UnpackOptions options = {.most_bytes = 1 << 16, .most_entries = 40, .nested = true};
    if (bytes == 0) return;
    if (!mkdtemp(outer)) abort();
    snprintf(in, sizeof in, "%s/in", outer);
    uint8_t *copy = malloc(bytes);
    memcpy(copy, data, bytes);
    mend_tar(copy, bytes);
    unpack(file_of(path, &fd, copy, bytes), in, &options, NULL, &err);
    free(copy);
    close(fd);
    DIR *folder = opendir(outer);
    for (const struct dirent *e; folder && (e = readdir(folder));)
        beside += strcmp(e->d_name, "in") != 0;
    if (!folder || beside != 2) abort(); /* "." and ".." */
    closedir(folder);
    nftw(outer, remove_it, 16, FTW_DEPTH | FTW_PHYS);
}

/* Inflates in pieces: the first byte says the wrapper, the second the pieces. */
static void fuzz_stream(const uint8_t *data, size_t bytes) {
    static uint8_t out[1 << 16];
    InflateStream *f;
    Error err;
    if (bytes < 2) return;
    PullMemory memory = {data + 2, data + bytes};
    if (inflate_open(&f, (InflateWrap)(data[0] % 3), pull_memory, &memory, "fuzz", &err) != OK)
        return;
    for (int64_t got = 1, all = 0; got > 0 && all < 1 << 24; all += got)
        if (inflate_read(f, out, 1 + data[1] * 257, &got, &err) != OK) break;
    inflate_close(f);
}

/* Reads every element of a variable, and those of its elements. */
static void walk_matlab(const MatFile *f, const MatArray *a, int depth) {
    MatArray *e = malloc(MAT_MOST_FIELDS * sizeof *e);
    MatWalk w = mat_walk(a);
    bool more = true;
    double x;
    int64_t whole;
    char text[100];
    Error err;
    (void)mat_text(a, text, sizeof text, &err);
    if (a->kind == MAT_NUMBERS && a->count) {
        (void)mat_f64(a, a->count - 1, 1, &x, &err);
        (void)mat_i64(a, a->count - 1, 1, &whole, &err);
    }
    while (depth < 3 && mat_walk_element(f, &w, e, &more, &err) == OK && more)
        for (int i = 0; i < (a->kind == MAT_STRUCT ? a->fields : 1); i++)
            walk_matlab(f, &e[i], depth + 1);
    (void)mat_field(a, "class");
    free(e);
}

static void fuzz_matlab(const uint8_t *data, size_t bytes) {
    static const char *const names[] = {"labels", "setid", "annotations", "class_names", "x", ""};
    const FileMap map = {.data = data, .bytes = (int64_t)bytes};
    MatFile *f;
    MatArray a;
    Error err;
    if (mat_open(&f, &map, "fuzz", &err) != OK) return;
    for (int i = 0; i < 6; i++)
        if (mat_find(f, names[i], &a, &err) == OK) walk_matlab(f, &a, 0);
    mat_close(f);
}

static void fuzz_hdf5(const uint8_t *data, size_t bytes) {
    static const char *const names[] = {"x", "y"};
    static volatile uint8_t last;
    const FileMap map = {.data = data, .bytes = (int64_t)bytes};
    Error err;
    for (int i = 0; i < 2; i++) {
        Hdf5Array a;
        if (hdf5_find(&a, &map, "fuzz", names[i], &err) != OK) continue;
        for (int64_t r = 0; r < a.dim[0] && r < 1000; r++)
            last = data[hdf5_row(&a, r)], last = data[hdf5_row(&a, r) + a.row_bytes - 1];
        last = data[hdf5_row(&a, a.dim[0] - 1) + a.row_bytes - 1];
        (void)last;
        hdf5_close(&a);
    }
}

static void fuzz_csv(const uint8_t *data, size_t bytes) {
    Csv c;
    bool more;
    Error err;
    if (csv_of(&c, "fuzz", "fuzz", data, (int64_t)bytes, 0, &err) != OK) return;
    while (csv_next(&c, &more, &err) == OK && more) {
        (void)csv_column(&c, "ClassId");
        for (int64_t i = 0; i < c.fields; i++)
            if ((int64_t)strlen(c.field[i].text) != c.field[i].bytes) abort();
    }
    csv_close(&c);
}

static void fuzz_pickle(const uint8_t *data, size_t bytes) {
    PickleArena arena = {0};
    Value *value;
    int64_t used;
    Error err;
    (void)pickle_read(&arena, data, (int64_t)bytes, "fuzz", &value, &used, &err);
    pickle_free(&arena);
}

static void fuzz_foreign(const uint8_t *data, size_t bytes) {
    const FileMap map = {.data = data, .bytes = (int64_t)bytes};
    Error err;
    (void)foreign_refuse(&map, "fuzz.dat", &err);
}

/* Reads labels of as many samples as the first byte says. */
static void fuzz_labels(const uint8_t *data, size_t bytes) {
    char path[64];
    int fd;
    int64_t y[256];
    Error err;
    LabelTable table = {0};
    LabelFacts facts;
    if (bytes == 0) return;
    file_of(path, &fd, data + 1, bytes - 1);
    label_file_read(y, data[0], path, "fuzz", &table, &facts, &err);
    label_table_free(&table);
    close(fd);
}

static const struct {
    const char *name;
    void (*run)(const uint8_t *data, size_t bytes);
} targets[] = {
    {"archive", fuzz_archive}, {"cluster_names", fuzz_cluster_names},
    {"config", fuzz_config},   {"csv", fuzz_csv},
    {"foreign", fuzz_foreign}, {"hdf5", fuzz_hdf5},
    {"image", fuzz_image},     {"inflate", fuzz_inflate},
    {"labels", fuzz_labels},   {"list", fuzz_list},
    {"matlab", fuzz_matlab},   {"names", fuzz_names},
    {"npy", fuzz_npy},         {"npz", fuzz_npz},
    {"pickle", fuzz_pickle},   {"rows", fuzz_rows},
    {"shards", fuzz_shards},   {"stream", fuzz_stream},
    {"unpack", fuzz_unpack},   {"weights", fuzz_weights},
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
