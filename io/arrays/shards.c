/* shards.c - an index of shards, checked against what the shards hold. */
#include "io/arrays/shards.h"

#include <stdlib.h>
#include <string.h>

#include "io/files/grow.h"
#include "io/text/json_reader.h"

enum { MAX_NAME = 4096, MAX_SHARDS = 4096, MAX_INDEX = 1 << 26, SHARD_DIGITS = 5 };

/* A tensor as the index lists it. */
typedef struct {
    char *name; /* owned */
    int shard;
} Entry;

typedef struct {
    const char *path;
    Error *err;
    Entry *entry; /* sorted by name once all are read */
    int64_t entries, capacity;
    char *shard[MAX_SHARDS]; /* files as the index names them; owned */
    int shards;
} Index;

bool shards_is_index(const FileMap *map) {
    if (map->bytes == 0) return false;
    JsonReader r = json_reader(map->data, map->bytes);
    return json_peek(&r) == '{';
}

static Status no_memory(const Index *x) {
    return fail(x->err, ERR_MEMORY, "shards: %s: out of memory", x->path);
}

/* --- the index -------------------------------------------------------------------------------- */

/* Returns true if a file lies in the index's folder or below it, as far as its name says. */
static bool stays_below(const char *file) {
    if (!*file || *file == '/' || strchr(file, '\\')) return false;
    for (const char *at = file; at; at = strchr(at, '/')) {
        at += *at == '/';
        const size_t n = strcspn(at, "/");
        if (n == 0 || (n == 2 && memcmp(at, "..", 2) == 0)) return false;
    }
    return true;
}

/* Finds the number of a shard, which may be new. */
static Status find_shard(Index *x, const char *file, int *shard) {
    for (int i = x->shards - 1; i >= 0; i--) /* names of one shard mostly stand together */
        if (strcmp(x->shard[i], file) == 0) {
            *shard = i;
            return OK;
        }
    if (!stays_below(file))
        return fail(x->err, ERR_FORMAT,
                    "shards: %s: shard '%s': expected a file in the folder of the index", x->path,
                    file);
    if (x->shards == MAX_SHARDS)
        return fail(x->err, ERR_FORMAT, "shards: %s: over %d shards", x->path, MAX_SHARDS);
    x->shard[x->shards] = strdup(file);
    if (!x->shard[x->shards]) return no_memory(x);
    *shard = x->shards++;
    return OK;
}

static Status add_entry(Index *x, const char *name, const char *file) {
    int shard = 0;
    const Status st = find_shard(x, file, &shard);
    if (st != OK) return st;
    Entry *larger = grown(x->entry, x->entries, &x->capacity, sizeof *larger);
    if (!larger) return no_memory(x);
    x->entry = larger;
    Entry *entry = &x->entry[x->entries];
    *entry = (Entry){strdup(name), shard};
    if (!entry->name) return no_memory(x);
    x->entries++;
    return OK;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const Entry *)a)->name, ((const Entry *)b)->name);
}

static Status read_map(Index *x, JsonReader *r) {
    char *name = malloc(2 * MAX_NAME), *file = name ? name + MAX_NAME : NULL;
    Status st = name ? OK : no_memory(x);
    if (st == OK) json_enter(r, '{');
    while (st == OK && json_next_key(r, name, MAX_NAME))
        if (json_text_value(r, file, MAX_NAME)) st = add_entry(x, name, file);
    free(name);
    return st;
}

static Status read_index(Index *x, const FileMap *map) {
    JsonReader r = json_reader(map->data, map->bytes);
    char key[MAX_NAME];
    int maps = 0;
    Status st = OK;
    if (map->bytes > MAX_INDEX)
        return fail(x->err, ERR_FORMAT, "shards: %s: an index of over %d MB", x->path,
                    MAX_INDEX >> 20);
    json_enter(&r, '{');
    while (st == OK && json_next_key(&r, key, sizeof key)) {
        if (strcmp(key, "weight_map") != 0) json_skip(&r);
        else if (maps++) r.bad = true;
        else st = read_map(x, &r);
    }
    if (st != OK) return st;
    if (!json_finished(&r))
        return fail(x->err, ERR_FORMAT, "shards: %s: not the JSON that an index of shards is",
                    x->path);
    if (!x->entries)
        return fail(x->err, ERR_FORMAT,
                    "shards: %s: JSON without a weight_map: expected a file of weights, or the "
                    "index of its shards (model.safetensors.index.json)",
                    x->path);
    qsort(x->entry, (size_t)x->entries, sizeof *x->entry, by_name);
    for (int64_t i = 1; i < x->entries; i++)
        if (strcmp(x->entry[i].name, x->entry[i - 1].name) == 0)
            return fail(x->err, ERR_FORMAT, "shards: %s: tensor %s stands there twice", x->path,
                        x->entry[i].name);
    return OK;
}

/* --- the shards ------------------------------------------------------------------------------- */

static char *path_of_shard(const Index *x, int shard) {
    const char *slash = strrchr(x->path, '/');
    const int folder = slash ? (int)(slash + 1 - x->path) : 0;
    return format_text("%.*s%s", folder, x->path, x->shard[shard]);
}

/* Moves a shard's tensors into *out. `seen` marks the entries of the index that were found. */
static Status take_tensors(Index *x, TensorFile *out, TensorFile *part, int shard, bool *seen) {
    Tensor *longer = realloc(out->tensor, (size_t)(out->count + part->count + 1) * sizeof *longer);
    if (!longer) return no_memory(x);
    out->tensor = longer;
    for (int i = 0; i < part->count; i++) {
        const Entry wanted = {.name = part->tensor[i].name};
        const Entry *e = bsearch(&wanted, x->entry, (size_t)x->entries, sizeof *e, by_name);
        if (!e || e->shard != shard)
            return fail(x->err, ERR_FORMAT,
                        "shards: %s: %s holds tensor %s, which the index %s%s: they are not of one "
                        "model, fetch all again",
                        x->path, x->shard[shard], wanted.name, e ? "says to be in " : "lacks",
                        e ? x->shard[e->shard] : "");
        seen[e - x->entry] = true;
    }
    memcpy(out->tensor + out->count, part->tensor, (size_t)part->count * sizeof *longer);
    out->count += part->count;
    part->count = 0; /* names moved with the tensors */
    return OK;
}

static Status open_shards(Index *x, TensorFile *out) {
    bool *seen = calloc((size_t)x->entries, sizeof *seen);
    out->shard = calloc((size_t)x->shards, sizeof *out->shard);
    Status st = seen && out->shard ? OK : no_memory(x);
    for (int i = 0; st == OK && i < x->shards; i++) {
        char *path = path_of_shard(x, i);
        if (!path) st = no_memory(x);
        else if (!file_exists(path))
            st = fail(x->err, ERR_IO,
                      "shards: %s: shard %d of %d is missing: fetch %s too and put it beside the "
                      "index",
                      x->path, i + 1, x->shards, x->shard[i]);
        else st = tensor_file_open_one(&out->shard[i], path, x->err);
        free(path);
        if (st == OK) {
            out->shards = i + 1;
            st = take_tensors(x, out, &out->shard[i], i, seen);
        }
    }
    for (int64_t i = 0; st == OK && i < x->entries; i++)
        if (!seen[i])
            st = fail(x->err, ERR_FORMAT,
                      "shards: %s: tensor %s is not in %s, where the index says it is: they are "
                      "not of one model, fetch all again",
                      x->path, x->entry[i].name, x->shard[x->entry[i].shard]);
    free(seen);
    return st;
}

Status shards_open(TensorFile *out, const char *path, Error *err) {
    FileMap map;
    *out = (TensorFile){0};
    Index *x = calloc(1, sizeof *x);
    if (!x) return fail(err, ERR_MEMORY, "shards: %s: out of memory", path);
    x->path = path;
    x->err = err;
    Status st = file_map(&map, path, err);
    if (st == OK) {
        st = read_index(x, &map);
        file_unmap(&map);
    }
    if (st == OK) st = open_shards(x, out);
    if (st != OK) tensor_file_close(out);
    for (int64_t i = 0; i < x->entries; i++) free(x->entry[i].name);
    for (int i = 0; i < x->shards; i++) free(x->shard[i]);
    free(x->entry);
    free(x);
    return st;
}

/* --- names of shards -------------------------------------------------------------------------- */

static bool five_digits(const char *at, int *number) {
    *number = 0;
    for (int i = 0; i < SHARD_DIGITS; i++) {
        if (at[i] < '0' || at[i] > '9') return false;
        *number = 10 * *number + (at[i] - '0');
    }
    return true;
}

/* Returns where "-NNNNN-of-NNNNN." begins in a file's name, or NULL. */
static const char *shard_mark(const char *path, int *number, int *count) {
    enum { SECOND = 1 + SHARD_DIGITS + 4, LENGTH = SECOND + SHARD_DIGITS };
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    for (const char *at = strchr(name, '-'); at; at = strchr(at + 1, '-'))
        if (strlen(at) > LENGTH && five_digits(at + 1, number) &&
            memcmp(at + 1 + SHARD_DIGITS, "-of-", 4) == 0 && five_digits(at + SECOND, count) &&
            at[LENGTH] == '.')
            return at;
    return NULL;
}

bool shard_of(const char *path, int *number, int *count) {
    return shard_mark(path, number, count) != NULL;
}

char *shard_index(const char *path) {
    int number, count;
    const char *at = shard_mark(path, &number, &count);
    if (!at) return NULL;
    return format_text("%.*s%s.index.json", (int)(at - path), path, at + 1 + 2 * SHARD_DIGITS + 4);
}
