/* weights.c - tensors of a file, checked by name and shape and handed to the device. */
#include "host/encode/weights.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/sizes.h"

enum { MAX_NAME = 256, MAX_NOTICE = 1000, CHUNK_FLOATS = 1 << 20 };

/* Vectors lie one after the other in a few large buffers, of which the first has room left. What would fill a good part of
 * one has a buffer of its own, behind the first. */
struct ParameterChunk {
    ParameterChunk *next;
    Buffer buffer;
    int64_t used, floats;
};

static Status no_memory(const Weights *w) {
    return fail(w->err, ERR_MEMORY, "weights: %s: out of memory", w->path);
}

/* A folder stands for the file of weights in it. */
static Status find_file(Weights *w, const char *path) {
    struct stat s;
    if (stat(path, &s) != 0 || !S_ISDIR(s.st_mode)) return OK;
    w->own_path = tensor_file_in(path);
    if (!w->own_path)
        return fail(w->err, ERR_IO,
                    "weights: %s: a folder without model.safetensors, its index or "
                    "pytorch_model.bin: name the file of weights in it",
                    path);
    w->path = w->own_path;
    weights_say(w, "weights: %s: the file in the folder is read", w->path);
    return w->status;
}

static Status copy_names(Weights *w) {
    w->used = calloc((size_t)w->file.count + 1, sizeof *w->used);
    w->name = calloc((size_t)w->file.count + 1, sizeof *w->name);
    if (!w->used || !w->name) return no_memory(w);
    for (int i = 0; i < w->file.count; i++)
        if (!(w->name[i] = strdup(w->file.tensor[i].name))) return no_memory(w);
    return OK;
}

Status weights_open(Weights *out, const Ops *ops, Queue *queue, const char *path, Error *err) {
    *out = (Weights){.path = path, .ops = ops, .queue = queue, .err = err};
    Status st = find_file(out, path);
    if (st == OK) st = tensor_file_open(&out->file, out->path, err);
    if (st == OK) st = copy_names(out);
    if (st != OK) weights_close(out);
    return st;
}

void weights_close(Weights *w) {
    if (!w) return;
    while (w->chunks) {
        ParameterChunk *next = w->chunks->next;
        w->ops->mem.free(w->ops->device, &w->chunks->buffer);
        free(w->chunks);
        w->chunks = next;
    }
    for (int i = 0; w->name && i < w->file.count; i++) free(w->name[i]);
    free(w->name);
    free(w->front);
    free(w->own_path);
    free(w->said);
    free(w->used);
    tensor_file_close(&w->file);
    *w = (Weights){0};
}

/* --- notices ---------------------------------------------------------------------------------- */

void weights_say(Weights *w, const char *format, ...) {
    char line[MAX_NOTICE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    for (char *c = line; *c; c++) /* names and paths may hold anything */
        if ((unsigned char)*c < ' ' || *c == 127) *c = '?';
    if (strstr(weights_said(w), line)) return;
    char *longer = format_text("%s%s\n", weights_said(w), line);
    if (longer) {
        free(w->said);
        w->said = longer;
    } else if (w->status == OK) { /* a notice that is lost would be an assumption in silence */
        w->status = no_memory(w);
    }
}

const char *weights_said(const Weights *w) {
    return w->said ? w->said : "";
}

/* --- finding ---------------------------------------------------------------------------------- */

#define NAME_FROM(format)                            \
    char name[MAX_NAME];                             \
    va_list arguments;                               \
    va_start(arguments, format);                     \
    vsnprintf(name, sizeof name, format, arguments); \
    va_end(arguments)

static int index_of(const Weights *w, const char *name) {
    for (int i = 0; i < w->file.count; i++)
        if (w->name[i] && strcmp(w->name[i], name) == 0) return i;
    return -1;
}

bool weights_has(const Weights *w, const char *format, ...) {
    NAME_FROM(format);
    return w->status == OK && index_of(w, name) >= 0;
}

bool weights_holds(const Weights *w, const char *format, ...) {
    NAME_FROM(format);
    const int i = w->status == OK ? index_of(w, name) : -1;
    return i >= 0 && w->file.tensor[i].count > 0;
}

/* Returns a name that the file has with something in front that is not in front of all, or NULL. */
static const char *elsewhere(const Weights *w, const char *name) {
    const size_t n = strlen(name);
    for (int i = 0; i < w->file.count; i++) {
        const char *other = w->file.tensor[i].name;
        const size_t m = strlen(other);
        if (m > n && strcmp(other + m - n, name) == 0 && strchr("./", other[m - n - 1]))
            return other;
    }
    return NULL;
}

static const Tensor *find(Weights *w, const char *name) {
    if (w->status != OK) return NULL;
    const int i = index_of(w, name);
    if (i >= 0) {
        w->used[i] = true;
        return &w->file.tensor[i];
    }
    const char *other = elsewhere(w, name);
    w->status = fail(w->err, ERR_FORMAT, "weights: %s: tensor %s%s is missing%s%s%s", w->path,
                     w->front ? w->front : "", name, other ? " (there is " : "", other ? other : "",
                     other ? ", behind another prefix)" : "");
    return NULL;
}

int64_t weights_extent(Weights *w, int axis, const char *format, ...) {
    NAME_FROM(format);
    const Tensor *t = find(w, name);
    if (!t) return 0;
    if (axis < 0) axis += t->axes;
    if (axis >= 0 && axis < t->axes && t->shape[axis] > 0 && t->shape[axis] <= 1 << 24)
        return t->shape[axis];
    w->status = fail(w->err, ERR_FORMAT, "weights: %s: tensor %s: axis %d is missing or empty",
                     w->path, name, axis);
    return 0;
}

int weights_axes(const Weights *w, const char *format, ...) {
    NAME_FROM(format);
    const int i = w->status == OK ? index_of(w, name) : -1;
    return i < 0 ? 0 : w->file.tensor[i].axes;
}

void weights_pass_over(Weights *w, const char *prefix) {
    for (int i = 0; i < w->file.count; i++)
        if (w->name[i] && strncmp(w->name[i], prefix, strlen(prefix)) == 0) w->used[i] = true;
}

Status weights_finish(Weights *w) {
    for (int i = 0; w->status == OK && i < w->file.count; i++)
        if (!w->used[i])
            w->status =
                fail(w->err, ERR_FORMAT,
                     "weights: %s: tensor %s does not belong to a model of this kind: if the "
                     "encoder does not need it, save the encoder's tensors alone",
                     w->path, w->file.tensor[i].name);
    return w->status;
}

/* --- shapes ----------------------------------------------------------------------------------- */

/* Returns the tensor of that name if it has floats and this shape, axes of extent 1 aside; else
 * NULL and a failure. */
static const Tensor *find_shaped(Weights *w, const int64_t *shape, int axes, const char *name) {
    const Tensor *t = find(w, name);
    char expected[64], got[128];
    int a = 0;
    if (!t) return NULL;
    bool same = dtype_is_float(t->type);
    for (int i = 0; i < t->axes; i++) {
        if (t->shape[i] == 1) continue;
        while (a < axes && shape[a] == 1) a++;
        same = same && a < axes && shape[a] == t->shape[i];
        a++;
    }
    while (a < axes && shape[a] == 1) a++;
    if (same && a == axes) return t;
    const int ones = axes == 2 && shape[0] == 1; /* a vector is shown as one */
    tensor_shape_text(expected, sizeof expected, shape + ones, axes - ones);
    tensor_shape_text(got, sizeof got, t->shape, t->axes);
    w->status = fail(w->err, ERR_FORMAT, "weights: %s: tensor %s: expected floats %s, got %s %s",
                     w->path, name, expected, dtype_name(t->type), got);
    return NULL;
}

/* --- vectors ---------------------------------------------------------------------------------- */

static float *read_table(Weights *w, int64_t rows, int64_t n, const char *name) {
    const int64_t shape[] = {rows, n};
    const Tensor *t = find_shaped(w, shape, 2, name);
    if (!t) return NULL;
    float *values = malloc((size_t)t->count * sizeof *values);
    if (!values) w->status = no_memory(w);
    else w->status = tensor_read_f32(t, values, w->err);
    return values;
}

float *weights_read(Weights *w, int64_t rows, int64_t n, const char *format, ...) {
    NAME_FROM(format);
    return read_table(w, rows, n, name);
}

/* Returns device memory of n floats that lives as long as the weights, or NULL and a failure. */
static float *room_for(Weights *w, int64_t n) {
    enum { ALIGN_FLOATS = 64 }; /* 256 bytes, as bulk copies of GPUs want them */
    const int64_t room = round_up(n, ALIGN_FLOATS);
    ParameterChunk *chunk = w->chunks;
    if (w->status != OK) return NULL;
    const bool alone = room > CHUNK_FLOATS / 4;
    if (alone || !chunk || chunk->floats - chunk->used < room) {
        ParameterChunk *first = w->chunks;
        chunk = calloc(1, sizeof *chunk);
        if (!chunk) {
            w->status = no_memory(w);
            return NULL;
        }
        chunk->floats = alone ? room : CHUNK_FLOATS;
        if (alone && first) {
            chunk->next = first->next;
            first->next = chunk;
        } else {
            chunk->next = first;
            w->chunks = chunk;
        }
        w->status = w->ops->mem.alloc(w->ops->device, &chunk->buffer,
                                      chunk->floats * (int64_t)sizeof(float), w->err);
        if (w->status == ERR_MEMORY) /* whatever the batch is */
            w->status = fail(
                w->err, ERR_MEMORY,
                "weights: %s: %.1f MiB more for them are not to be had: take a smaller encoder, or "
                "another --device",
                w->path, (double)(chunk->floats * (int64_t)sizeof(float)) / (1 << 20));
        if (w->status != OK) return NULL;
    }
    float *to = (float *)chunk->buffer.data + chunk->used;
    chunk->used += room;
    return to;
}

const float *weights_place(Weights *w, const float *values, int64_t n) {
    float *to = room_for(w, n);
    if (to) w->ops->mem.to_device(w->queue, to, values, n * (int64_t)sizeof *values);
    return to;
}

static const float *place_vector(Weights *w, int64_t n, const char *name) {
    float *values = read_table(w, 1, n, name);
    const float *placed = values ? weights_place(w, values, n) : NULL;
    free(values);
    return placed;
}

const float *weights_vector(Weights *w, int64_t n, const char *format, ...) {
    NAME_FROM(format);
    return place_vector(w, n, name);
}

/* --- matrices --------------------------------------------------------------------------------- */

void weights_pack(Weights *w, Weight *weight) {
    if (w->status != OK || !weight->data) return;
    const int64_t bytes = w->ops->encode.pack_bytes(weight);
    if (bytes == 0) return;
    void *packed = room_for(w, ceil_div(bytes, (int64_t)sizeof(float)));
    if (packed) w->status = w->ops->encode.pack(w->queue, packed, weight);
    if (packed && w->status != OK)
        w->ops->mem.wait(w->queue, w->err); /* the queue knows what failed */
    weight->packed = packed;
}

static Weight matrix(Weights *w, int64_t out, int64_t in, const char *name) {
    const int64_t shape[] = {out, in};
    const Tensor *t = find_shaped(w, shape, 2, name);
    return t ? (Weight){t->data, t->type, out, in, 1, in, 1, 1, w->precision, NULL} : (Weight){0};
}

Weight weights_matrix(Weights *w, int64_t out, int64_t in, const char *format, ...) {
    NAME_FROM(format);
    return matrix(w, out, in, name);
}

Weight weights_transposed(Weights *w, int64_t out, int64_t in, const char *format, ...) {
    NAME_FROM(format);
    const int64_t shape[] = {in, out};
    const Tensor *t = find_shaped(w, shape, 2, name);
    return t ? (Weight){t->data, t->type, out, in, 1, 1, out, 1, w->precision, NULL} : (Weight){0};
}

Weight weights_kernel(Weights *w, int64_t out, int64_t in, int64_t kernel, const char *format,
                      ...) {
    NAME_FROM(format);
    const int64_t shape[] = {out, in, kernel, kernel}, taps = kernel * kernel;
    const Tensor *t = find_shaped(w, shape, 4, name);
    return t ? (Weight){t->data, t->type, out, in, taps, in * taps, taps, 1, w->precision, NULL}
             : (Weight){0};
}

static const float *suffixed_vector(Weights *w, int64_t n, const char *name, const char *suffix) {
    char whole[MAX_NAME + 16];
    snprintf(whole, sizeof whole, "%s%s", name, suffix);
    return place_vector(w, n, whole);
}

Layer weights_linear(Weights *w, int64_t out, int64_t in, const char *format, ...) {
    NAME_FROM(format);
    char whole[MAX_NAME + 16];
    snprintf(whole, sizeof whole, "%sweight", name);
    return (Layer){.weight = matrix(w, out, in, whole),
                   .bias = suffixed_vector(w, out, name, "bias")};
}

Norm weights_norm(Weights *w, int64_t d, const char *format, ...) {
    NAME_FROM(format);
    const float *weight = suffixed_vector(w, d, name, "weight");
    return (Norm){weight, suffixed_vector(w, d, name, "bias"), d};
}
