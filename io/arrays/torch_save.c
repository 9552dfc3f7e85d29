/* torch_save.c - PyTorch's .pt files, written. */
#include <stdlib.h>
#include <string.h>

#include "io/arrays/torch_file.h"
#include "io/files/zip.h"

/* A pickle being written in protocol 2, without a memo: every object is written out once. */
typedef struct {
    uint8_t *bytes;
    size_t count, capacity;
    bool failed;
} PickleWriter;

static void put(PickleWriter *w, const void *bytes, size_t n) {
    if (n == 0) return;
    if (w->count + n > w->capacity) {
        const size_t capacity = 2 * (w->count + n);
        uint8_t *larger = realloc(w->bytes, capacity);
        if (!larger) {
            w->failed = true;
            return;
        }
        w->bytes = larger;
        w->capacity = capacity;
    }
    memcpy(w->bytes + w->count, bytes, n);
    w->count += n;
}

static void put_code(PickleWriter *w, const char *codes) {
    put(w, codes, strlen(codes));
}

static void put_text(PickleWriter *w, const char *text, size_t n) {
    const uint8_t head[5] = {'X', (uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16),
                             (uint8_t)(n >> 24)};
    put(w, head, sizeof head);
    put(w, text, n);
}

static void put_int(PickleWriter *w, int64_t x) { /* LONG1 of eight bytes */
    uint8_t bytes[10] = {0x8a, 8};
    for (int i = 0; i < 8; i++) bytes[2 + i] = (uint8_t)((uint64_t)x >> 8 * i);
    put(w, bytes, sizeof bytes);
}

static const char *storage_class(DType type) {
    static const char *const names[DTYPE_COUNT] = {"Half", "BFloat16", "Float", "Double", "Bool",
                                                   "Char", "Byte",     "Short", NULL,     "Int",
                                                   NULL,   "Long",     NULL};
    return names[type];
}

/* Writes torch._utils._rebuild_tensor_v2(('storage', torch.FloatStorage, '0', 'cpu', n), 0, size,
 * stride, False, OrderedDict()). */
static void put_tensor(PickleWriter *w, const Tensor *t, int number) {
    char text[64];
    put_code(w, "ctorch._utils\n_rebuild_tensor_v2\n((");
    put_text(w, "storage", 7);
    snprintf(text, sizeof text, "ctorch\n%sStorage\n", storage_class(t->type));
    put_code(w, text);
    put_text(w, text, (size_t)snprintf(text, sizeof text, "%d", number));
    put_text(w, "cpu", 3);
    put_int(w, t->count);
    put_code(w, "tQ");
    put_int(w, 0);
    put_code(w, "(");
    for (int i = 0; i < t->axes; i++) put_int(w, t->shape[i]);
    put_code(w, "t(");
    for (int i = 0; i < t->axes; i++) {
        int64_t stride = 1;
        for (int j = i + 1; j < t->axes; j++) stride *= t->shape[j];
        put_int(w, stride);
    }
    put_code(w, "t\x89"
                "ccollections\nOrderedDict\n)RtR");
}

/* Returns how many tensors from `first` on share the level that its name opens; 1 for a plain
 * name. */
static int level_count(const Tensor *tensors, int first, int count, size_t level) {
    int n = first;
    while (n < count && strncmp(tensors[n].name, tensors[first].name, level + 1) == 0) n++;
    return n - first;
}

/* Writes tensors first .. first+count as an OrderedDict. Keys leave out the first `skip` characters
 * of the names, which the levels above have said. */
static void put_dict(PickleWriter *w, const Tensor *tensors, int first, int count, size_t skip) {
    put_code(w, "ccollections\nOrderedDict\n)R(");
    for (int i = first; i < first + count;) {
        const char *name = tensors[i].name + skip, *slash = strchr(name, '/');
        if (slash) {
            const size_t level = (size_t)(slash - tensors[i].name);
            const int n = level_count(tensors, i, first + count, level);
            put_text(w, name, (size_t)(slash - name));
            put_dict(w, tensors, i, n, level + 1);
            i += n;
        } else {
            put_text(w, name, strlen(name));
            put_tensor(w, &tensors[i], i);
            i++;
        }
    }
    put_code(w, "u");
}

static Status check_names(const Tensor *tensors, int count, Error *err) {
    for (int i = 0; i < count; i++) {
        if (!storage_class(tensors[i].type))
            return fail(err, ERR_ARG, "torch: %s: PyTorch has no storage of %s", tensors[i].name,
                        dtype_name(tensors[i].type));
        if (!*tensors[i].name || strlen(tensors[i].name) >= TORCH_MAX_NAME)
            return fail(err, ERR_ARG,
                        "torch: a tensor without a name, or with one of over %d bytes",
                        TORCH_MAX_NAME);
        for (int j = 0; j < i; j++) {
            if (strcmp(tensors[i].name, tensors[j].name) == 0)
                return fail(err, ERR_ARG, "torch: two tensors are called %s", tensors[i].name);
            const char *slash = strchr(tensors[i].name, '/');
            const size_t level = slash ? (size_t)(slash - tensors[i].name) + 1 : 0;
            if (slash && j < i - 1 && strncmp(tensors[i].name, tensors[j].name, level) == 0 &&
                strncmp(tensors[i].name, tensors[i - 1].name, level) != 0)
                return fail(err, ERR_ARG, "torch: %s stands apart from the others of its level",
                            tensors[i].name);
        }
    }
    return OK;
}

static Status write_entries(ZipWriter *zip, const char *stem, const PickleWriter *pickle,
                            const Tensor *tensors, int count, Error *err) {
    char *name = format_text("%s/data.pkl", stem);
    Status st = name ? zip_add(zip, name, pickle->bytes, (int64_t)pickle->count, err) : ERR_MEMORY;
    free(name);
    for (int i = 0; st == OK && i < count; i++) {
        name = format_text("%s/data/%d", stem, i);
        st = name ? zip_add(zip, name, tensors[i].data,
                            tensors[i].count * dtype_bytes(tensors[i].type), err)
                  : ERR_MEMORY;
        free(name);
    }
    if (st == OK) {
        name = format_text("%s/version", stem);
        st = name ? zip_add(zip, name, "3\n", 2, err) : ERR_MEMORY;
        free(name);
    }
    return st == ERR_MEMORY ? fail(err, st, "torch: out of memory") : st;
}

Status torch_save(const char *path, const Tensor *tensors, int count, Error *err) {
    AtomicFile file;
    ZipWriter zip = {0};
    PickleWriter pickle = {0};
    Status st = check_names(tensors, count, err);
    if (st == OK) st = atomic_open(&file, path, err);
    if (st != OK) return st;
    zip.stream = file.stream;
    put_code(&pickle, "\x80\x02");
    put_dict(&pickle, tensors, 0, count, 0);
    put_code(&pickle, ".");

    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path,
               *dot = strrchr(base, '.');
    char *stem =
        format_text("%.*s", (int)(dot && dot > base ? (size_t)(dot - base) : strlen(base)), base);
    if (pickle.failed || !stem) st = fail(err, ERR_MEMORY, "torch: %s: out of memory", path);
    if (st == OK) st = write_entries(&zip, stem, &pickle, tensors, count, err);
    if (st == OK) {
        zip_finish(&zip);
        st = atomic_commit(&file, err);
    }
    atomic_abort(&file);
    zip_writer_free(&zip);
    free(pickle.bytes);
    free(stem);
    return st;
}
