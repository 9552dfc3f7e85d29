/* hdf5.c - one array of bytes of an HDF5 file. Section numbers are those of the HDF5 File Format
 * Specification 3.0.
 *
 * Addresses lead from the superblock to the root group, through its B-tree of names to the array's
 * header, and through a B-tree of chunks to the bytes. A hostile file may let them lead in circles:
 * levels of a B-tree must fall by one a step, and every walk has a budget of nodes.
 */
#include "io/arrays/hdf5.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "io/files/bytes.h"
#include "io/sizes.h"

enum { SUPERBLOCK_MOST = 104, TREE_HEAD = 24, ENTRY = 40, MOST_MESSAGES = 1024, MOST_BLOCKS = 64 };
enum { MOST_NODES = 4096, MOST_LISTED = 200, BLOCK_BYTES_MOST = 1 << 20 };
enum { DATASPACE = 1, DATATYPE = 3, LAYOUT = 8, FILTERS = 11, CONTINUATION = 16, SYMBOLS = 17 };
enum { CONTIGUOUS = 1, CHUNKED = 2 };
static const uint64_t undefined = UINT64_MAX;

/* A file being read. */
typedef struct {
    const uint8_t *data;
    uint64_t bytes;
    const char *path;
    Error *err;
    int64_t nodes; /* nodes of B-trees that may still be visited */
} H5;

static Status damaged(const H5 *h, const char *what) {
    return fail(h->err, ERR_FORMAT, "hdf5: %s: damaged or truncated: %s: fetch it again", h->path,
                what);
}

static Status other(const H5 *h, const char *what, int64_t found, const char *expected) {
    return fail(h->err, ERR_FORMAT, "hdf5: %s: %s %lld, expected %s as h5py writes by default",
                h->path, what, (long long)found, expected);
}

/* Returns the bytes [at, at + n), or NULL if they do not lie in the file. */
static const uint8_t *bytes_at(const H5 *h, uint64_t at, uint64_t n) {
    return at <= h->bytes && n <= h->bytes - at ? h->data + at : NULL;
}

bool hdf5_is(const FileMap *map) {
    return map->bytes >= 8 && memcmp(map->data, "\x89HDF\r\n\x1a\n", 8) == 0;
}

/* --- object headers --------------------------------------------------------------------------- */

/* Messages of an object header that are of use; offset 0: there is none. */
typedef struct {
    const uint8_t *data;
    int64_t bytes;
} Message;

typedef struct {
    Message dataspace, datatype, layout, filters, symbols;
} Header;

/* IV.A.1.a: reads an object header of version 1, whose messages lie in one block or in more. */
static Status read_header(const H5 *h, uint64_t at, Header *out) {
    struct {
        uint64_t at, bytes;
    } block[MOST_BLOCKS];
    const uint8_t *p = bytes_at(h, at, 16);
    int blocks = 1, messages = 0;
    *out = (Header){0};
    if (!p) return damaged(h, "an object header lies outside of the file");
    if (memcmp(p, "OHDR", 4) == 0) return other(h, "an object header of version", 2, "1");
    if (p[0] != 1) return damaged(h, "an object header has an unknown version");
    block[0].at = at + 16;
    block[0].bytes = little(p + 8, 4);
    for (int b = 0; b < blocks; b++) {
        const uint64_t n = block[b].bytes;
        const uint8_t *m = bytes_at(h, block[b].at, n);
        if (!m) return damaged(h, "a block of an object header lies outside of the file");
        for (uint64_t i = 0; n - i >= 8;) {
            const unsigned type = little(m + i, 2), size = little(m + i + 2, 2);
            const Message message = {m + i + 8, size};
            Message *to = type == DATASPACE  ? &out->dataspace
                          : type == DATATYPE ? &out->datatype
                          : type == LAYOUT   ? &out->layout
                          : type == FILTERS  ? &out->filters
                          : type == SYMBOLS  ? &out->symbols
                                             : NULL;
            if (size > n - i - 8) return damaged(h, "a message of an object header is cut off");
            if (++messages > MOST_MESSAGES)
                return damaged(h, "an object header has too many messages");
            if (to && m[i + 4] & 2)
                return fail(h->err, ERR_FORMAT,
                            "hdf5: %s: an array shares its type with others: not read here",
                            h->path);
            if (to) *to = message;
            if (type == CONTINUATION) {
                if (size < 16 || blocks == MOST_BLOCKS)
                    return damaged(h, "an object header has too many blocks");
                block[blocks].at = little64(message.data);
                block[blocks++].bytes = little64(message.data + 8);
            }
            i += 8 + size;
        }
    }
    return OK;
}

/* --- names ------------------------------------------------------------------------------------ */

/* A name that is looked for, and where. */
typedef struct {
    const char *name;
    const uint8_t *heap; /* names of the group, each with a zero byte behind */
    uint64_t heap_bytes;
    uint64_t header; /* address of the object header that was found, or undefined */
    char listed[MOST_LISTED + 80];
} Search;

/* III.C: looks through a symbol table node. */
static Status search_symbols(const H5 *h, Search *s, uint64_t at) {
    const uint8_t *p = bytes_at(h, at, 8);
    if (!p || memcmp(p, "SNOD", 4) != 0) return damaged(h, "a symbol table node is not there");
    const int64_t n = (int64_t)little(p + 6, 2);
    p = bytes_at(h, at + 8, (uint64_t)n * ENTRY);
    if (!p) return damaged(h, "a symbol table node lies outside of the file");
    for (int64_t i = 0; i < n; i++, p += ENTRY) {
        const uint64_t offset = little64(p);
        if (offset >= s->heap_bytes ||
            !memchr(s->heap + offset, '\0', (size_t)(s->heap_bytes - offset)))
            return damaged(h, "a name lies outside of its heap");
        const char *name = (const char *)s->heap + offset;
        const size_t used = strlen(s->listed);
        if (used < MOST_LISTED)
            snprintf(s->listed + used, sizeof s->listed - used, "%s%.64s", used ? ", " : "", name);
        if (strcmp(name, s->name) == 0) s->header = little64(p + 8);
    }
    return OK;
}

/* III.A.1: checks the head of a B-tree node. Returns its first key, or NULL with *st set. *level
 * -1: any. */
static const uint8_t *open_node(H5 *h, uint64_t at, int type, int64_t key_bytes, int *level,
                                int64_t *children, Status *st) {
    const uint8_t *p = bytes_at(h, at, TREE_HEAD);
    *children = 0;
    if (!p || memcmp(p, "TREE", 4) != 0 || p[4] != type)
        *st = damaged(h, "a node of a B-tree is not there");
    else if (--h->nodes < 0) *st = damaged(h, "a B-tree has too many nodes");
    else if (*level >= 0 && p[5] != *level)
        *st = damaged(h, "the levels of a B-tree do not fall by one");
    else *st = OK;
    if (!p || *st != OK) return NULL;
    *level = p[5];
    *children = (int64_t)little(p + 6, 2);
    p = bytes_at(h, at + TREE_HEAD, (uint64_t)(*children * (key_bytes + 8)));
    if (!p) *st = damaged(h, "a node of a B-tree lies outside of the file");
    return p;
}

/* Looks through a B-tree of names below the node at `at`. */
static Status search_tree(H5 *h, Search *s, uint64_t at, int level) {
    int64_t n;
    Status st;
    const uint8_t *p = open_node(h, at, 0, 8, &level, &n, &st);
    for (int64_t i = 0; p && st == OK && i < n; i++) {
        const uint64_t child = little64(p + 16 * i + 8);
        if (level == 0 && --h->nodes < 0) return damaged(h, "a B-tree has too many nodes");
        st = level ? search_tree(h, s, child, level - 1) : search_symbols(h, s, child);
    }
    return st;
}

/* Finds the object header of `name` in the root group. */
static Status find_name(H5 *h, const char *name, uint64_t *header) {
    const uint8_t *p = bytes_at(h, 0, SUPERBLOCK_MOST);
    Header group;
    if (!p || memcmp(p, "\x89HDF\r\n\x1a\n", 8) != 0)
        return damaged(h, "it does not begin like an HDF5 file");
    if (p[8] > 1) return other(h, "a superblock of version", p[8], "0");
    if (p[13] != 8 || p[14] != 8) return other(h, "addresses of bytes", p[13], "8");
    const uint8_t *base = p + (p[8] ? 28 : 24); /* II.A: version 1 has four bytes more */
    if (little64(base) != 0) return other(h, "a base address of", (int64_t)little64(base), "0");
    Status st = read_header(h, little64(base + 40), &group);
    if (st != OK) return st;
    if (group.symbols.bytes < 16) return damaged(h, "its root group has no symbol table");
    const uint64_t tree = little64(group.symbols.data), heap = little64(group.symbols.data + 8);
    p = bytes_at(h, heap, 32);
    if (!p || memcmp(p, "HEAP", 4) != 0)
        return damaged(h, "the names of its root group are not there");
    Search s = {.name = name, .heap_bytes = little64(p + 8), .header = undefined};
    s.heap = bytes_at(h, little64(p + 24), s.heap_bytes);
    if (!s.heap) return damaged(h, "the names of its root group lie outside of the file");
    st = search_tree(h, &s, tree, -1);
    if (st != OK) return st;
    *header = s.header;
    if (s.header != undefined) return OK;
    return fail(h->err, ERR_FORMAT, "hdf5: %s: has no array %s; there are: %s", h->path, name,
                *s.listed ? s.listed : "none");
}

/* --- arrays ----------------------------------------------------------------------------------- */

/* IV.A.2.b: reads the dimensions. */
static Status read_dataspace(const H5 *h, const Message *m, Hdf5Array *out) {
    const int version = m->bytes >= 4 ? m->data[0] : -1, first = version == 1 ? 8 : 4;
    if (version != 1 && version != 2) return damaged(h, "an array has no dimensions");
    out->axes = m->data[1];
    if (out->axes < 1 || out->axes > HDF5_MOST_AXES)
        return other(h, "an array with axes:", out->axes, "1 to 8");
    if (m->bytes < first + 8 * out->axes)
        return damaged(h, "the dimensions of an array are cut off");
    out->row_bytes = 1;
    for (int i = 0; i < out->axes; i++) {
        const uint64_t dim = little64(m->data + first + 8 * i);
        if (dim < 1 || dim > INT64_MAX)
            return damaged(h, "an array has an axis of length 0, or a negative one");
        out->dim[i] = (int64_t)dim;
        if (i && __builtin_mul_overflow(out->row_bytes, out->dim[i], &out->row_bytes))
            return damaged(h, "an array has impossible dimensions");
    }
    return OK;
}

/* IV.A.2.d: checks that the elements are uint8. */
static Status check_datatype(const H5 *h, const Message *m) {
    if (m->bytes < 12) return damaged(h, "an array has no type");
    const unsigned class = m->data[0] & 15, bytes = little(m->data + 4, 4);
    const bool whole = little(m->data + 8, 2) == 0 && little(m->data + 10, 2) == 8;
    if (class == 0 && bytes == 1 && !(m->data[1] & 8) && whole) return OK;
    return fail(h->err, ERR_FORMAT,
                "hdf5: %s: an array of type class %u with %u bytes an element, expected uint8",
                h->path, class, bytes);
}

/* IV.A.2.i, contiguous: the array is one piece. */
static Status read_contiguous(const H5 *h, const Message *m, Hdf5Array *out) {
    if (m->bytes < 18) return damaged(h, "the layout of an array is cut off");
    const uint64_t at = little64(m->data + 2), bytes = little64(m->data + 10);
    int64_t need;
    if (__builtin_mul_overflow(out->dim[0], out->row_bytes, &need) || (uint64_t)need != bytes)
        return damaged(h, "an array has another length than its dimensions say");
    if (at == undefined || !bytes_at(h, at, bytes))
        return damaged(h, "an array lies outside of the file");
    out->chunk_rows = out->dim[0];
    out->chunks = 1;
    out->chunk = malloc(sizeof *out->chunk);
    if (!out->chunk) return fail(h->err, ERR_MEMORY, "hdf5: %s: out of memory", h->path);
    out->chunk[0] = (int64_t)at;
    return OK;
}

/* III.A.1, type 1: notes where the chunks below a node lie. *found counts those that were new. */
static Status walk_chunks(H5 *h, Hdf5Array *out, uint64_t at, int level, int64_t *found) {
    const int64_t key = 8 + 8 * (out->axes + 1), chunk_bytes = out->chunk_rows * out->row_bytes;
    int64_t n;
    Status st;
    const uint8_t *p = open_node(h, at, 1, key, &level, &n, &st);
    for (int64_t i = 0; p && st == OK && i < n; i++, p += key + 8) {
        const uint64_t child = little64(p + key), row = little64(p + 8);
        if (level) {
            st = walk_chunks(h, out, child, level - 1, found);
            continue;
        }
        if ((int64_t)little(p, 4) != chunk_bytes || little(p + 4, 4) != 0)
            return damaged(h, "a chunk has another length, or filters");
        for (int a = 1; a <= out->axes; a++)
            if (little64(p + 8 + 8 * a) != 0) return damaged(h, "a chunk begins inside of a row");
        if (row % (uint64_t)out->chunk_rows || row >= (uint64_t)out->dim[0])
            return damaged(h, "a chunk begins at an impossible row");
        if (!bytes_at(h, child, (uint64_t)chunk_bytes))
            return damaged(h, "a chunk lies outside of the file");
        int64_t *place = &out->chunk[row / (uint64_t)out->chunk_rows];
        if (*place >= 0) return damaged(h, "a chunk is there twice");
        *place = (int64_t)child;
        (*found)++;
    }
    return st;
}

/* IV.A.2.i, chunked: whole rows stand together, chunk after chunk anywhere in the file. */
static Status read_chunks(H5 *h, const Message *m, Hdf5Array *out) {
    const int axes = out->axes;
    if (m->bytes < 11 + 4 * (axes + 1) || m->data[2] != axes + 1)
        return damaged(h, "the layout of an array is cut off, or has other axes");
    const uint8_t *dims = m->data + 11;
    out->chunk_rows = (int64_t)little(dims, 4);
    for (int i = 1; i < axes; i++)
        if ((int64_t)little(dims + 4 * i, 4) != out->dim[i])
            return fail(h->err, ERR_FORMAT,
                        "hdf5: %s: chunks cut through axis %d: expected chunks of whole rows",
                        h->path, i);
    int64_t bytes;
    if (out->chunk_rows < 1 || little(dims + 4 * axes, 4) != 1 ||
        __builtin_mul_overflow(out->chunk_rows, out->row_bytes, &bytes) || bytes > UINT32_MAX)
        return damaged(h, "an array has chunks of an impossible length");
    out->chunks = (out->dim[0] - 1) / out->chunk_rows + 1;
    if ((uint64_t)out->chunks > h->bytes / TREE_HEAD ||
        (uint64_t)out->chunks > h->bytes / (uint64_t)bytes)
        return damaged(h, "it is shorter than its chunks");
    out->chunk = malloc((size_t)out->chunks * sizeof *out->chunk);
    if (!out->chunk) return fail(h->err, ERR_MEMORY, "hdf5: %s: out of memory", h->path);
    for (int64_t i = 0; i < out->chunks; i++) out->chunk[i] = -1;
    h->nodes = 2 * out->chunks + 512; /* a node above the leaves has at least one child */
    int64_t found = 0;
    const Status st = walk_chunks(h, out, little64(m->data + 3), -1, &found);
    if (st != OK || found == out->chunks) return st;
    return damaged(h, "chunks are missing");
}

static Status read_array(H5 *h, uint64_t at, Hdf5Array *out) {
    Header header;
    Status st = read_header(h, at, &header);
    if (st == OK) st = read_dataspace(h, &header.dataspace, out);
    if (st == OK) st = check_datatype(h, &header.datatype);
    if (st != OK) return st;
    if (header.filters.bytes >= 2 && header.filters.data[1] > 0)
        return fail(h->err, ERR_FORMAT,
                    "hdf5: %s: an array with filters (compressed): write it without, as with "
                    "h5repack -f NONE",
                    h->path);
    const Message *m = &header.layout;
    if (m->bytes < 3) return damaged(h, "an array has no layout");
    if (m->data[0] != 3) return other(h, "a layout of version", m->data[0], "3");
    if (m->data[1] == CONTIGUOUS) return read_contiguous(h, m, out);
    if (m->data[1] == CHUNKED) return read_chunks(h, m, out);
    return other(h, "a layout of class", m->data[1], "1 or 2");
}

Status hdf5_find(Hdf5Array *out, const FileMap *map, const char *path, const char *name,
                 Error *err) {
    H5 h = {.data = map->data,
            .bytes = (uint64_t)map->bytes,
            .path = path,
            .err = err,
            .nodes = MOST_NODES};
    uint64_t at = undefined;
    *out = (Hdf5Array){0};
    Status st = find_name(&h, name, &at);
    if (st == OK) st = read_array(&h, at, out);
    if (st != OK) hdf5_close(out);
    return st;
}

int64_t hdf5_row(const Hdf5Array *a, int64_t i) {
    return a->chunk[i / a->chunk_rows] + i % a->chunk_rows * a->row_bytes;
}

void hdf5_close(Hdf5Array *a) {
    if (!a) return;
    free(a->chunk);
    *a = (Hdf5Array){0};
}
