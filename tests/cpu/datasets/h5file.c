/* h5file.c - HDF5 files in the layout that h5py gives them by default (HDF5 file format 2.0, with
 * superblock 0, version 1 object headers and version 1 B-trees).
 *
 *     0 superblock   96 root group's header   136 its B-tree   680 its heap   800 header of the data set
 *     1072 symbol table node   1400 nodes of the chunks' B-tree, 3656 bytes each, then chunks
 *     2048 data, where the data set is contiguous
 */
#include <string.h>

#include "tests/cpu/datasets/archives.h"

enum { NODE = 3656, CHILDREN = 64, AXES = 4, HEADER = 800, SYMBOLS = 1072, METADATA = 1400 };
static const uint64_t undefined = UINT64_MAX;

static void superblock(Bytes *b) {
    bytes_add(b, "\x89HDF\r\n\x1a\n", 8);
    bytes_add(b, "\0\0\0\0\0\x08\x08\0", 8);
    bytes_little(b, 4, 2);
    bytes_little(b, 16, 2);
    bytes_little(b, 0, 4);
    bytes_little(b, 0, 8);
    bytes_little(b, undefined, 8);
    bytes_little(b, 0, 8); /* end of the file: set when it is known */
    bytes_little(b, undefined, 8);
    bytes_little(b, 0, 8); /* entry of the root group */
    bytes_little(b, 96, 8);
    bytes_little(b, 1, 8);
    bytes_little(b, 136, 8);
    bytes_little(b, 680, 8);
}

static void message(Bytes *b, int type, size_t size, int flags) {
    bytes_little(b, (uint64_t)type, 2);
    bytes_little(b, size, 2);
    bytes_little(b, (uint64_t)flags, 4);
}

static void root_group(Bytes *b, const char *name) {
    bytes_little(b, 1, 2);
    bytes_little(b, 1, 2);
    bytes_little(b, 1, 4);
    bytes_little(b, 24, 8);
    message(b, 0x11, 16, 0);
    bytes_little(b, 136, 8);
    bytes_little(b, 680, 8);
    bytes_string(b, "TREE"); /* B-tree of the group's one node of symbols */
    bytes_little(b, 0, 2);
    bytes_little(b, 1, 2);
    bytes_little(b, undefined, 8);
    bytes_little(b, undefined, 8);
    bytes_little(b, 0, 8);
    bytes_little(b, SYMBOLS, 8);
    bytes_little(b, 8, 8);
    bytes_zeros(b, 680 - b->size);
    bytes_string(b, "HEAP"); /* names: "" and the data set's */
    bytes_little(b, 0, 4);
    bytes_little(b, 88, 8);
    bytes_little(b, 16, 8);
    bytes_little(b, 712, 8);
    bytes_zeros(b, 8);
    bytes_string(b, name);
    bytes_zeros(b, 8 - strlen(name));
    bytes_little(b, 1, 8);
    bytes_little(b, 72, 8);
    bytes_zeros(b, HEADER - b->size);
}

/* Writes the data set's header: dataspace, type, fill value, layout, time, and room left over. */
static void data_header(Bytes *b, int axes, const int64_t *shape, const int64_t *chunk,
                        uint64_t address, uint64_t bytes) {
    const size_t layout = chunk ? 32 : 24, space = (size_t)(8 + 16 * axes);
    bytes_little(b, 1, 2);
    bytes_little(b, 6, 2);
    bytes_little(b, 1, 4);
    bytes_little(b, 256, 8);
    const size_t first = b->size;
    message(b, 1, space, 0);
    bytes_little(b, 1, 1);
    bytes_little(b, (uint64_t)axes, 1);
    bytes_little(b, 1, 6); /* largest lengths follow */
    for (int i = 0; i < 2 * axes; i++) bytes_little(b, (uint64_t)shape[i % axes], 8);
    message(b, 3, 16, 1);
    bytes_little(b, 0x10, 4); /* an unsigned integer of one byte */
    bytes_little(b, 1, 4);
    bytes_little(b, 0x00080000, 8);
    message(b, 5, 8, 1);
    bytes_little(b, chunk ? 0x01020302 : 0x01020202, 4);
    bytes_little(b, 0, 4);
    message(b, 8, layout, 0);
    const size_t at = b->size;
    bytes_little(b, 3, 1);
    bytes_little(b, chunk ? 2 : 1, 1);
    if (chunk) bytes_little(b, (uint64_t)axes + 1, 1);
    bytes_little(b, address, 8);
    if (!chunk) bytes_little(b, bytes, 8);
    for (int i = 0; chunk && i <= axes; i++) bytes_little(b, i < axes ? (uint64_t)chunk[i] : 1, 4);
    bytes_zeros(b, layout - (b->size - at));
    message(b, 0x12, 8, 0);
    bytes_little(b, 1, 4);
    bytes_little(b, 1500000000, 4);
    message(b, 0, 256 - (b->size - first) - 8, 0);
    bytes_zeros(b, SYMBOLS - b->size);
}

static void symbols(Bytes *b) {
    bytes_string(b, "SNOD");
    bytes_little(b, 1, 2);
    bytes_little(b, 1, 2);
    bytes_little(b, 8, 8);
    bytes_little(b, HEADER, 8);
    bytes_zeros(b, METADATA - b->size);
}

Bytes h5_contiguous(const char *name, int axes, const int64_t *shape, const uint8_t *data) {
    Bytes b = {0};
    uint64_t bytes = 1;
    for (int i = 0; i < axes; i++) bytes *= (uint64_t)shape[i];
    superblock(&b);
    root_group(&b, name);
    data_header(&b, axes, shape, NULL, 2048, bytes);
    symbols(&b);
    bytes_zeros(&b, 2048 - b.size);
    bytes_add(&b, data, bytes);
    bytes_set(&b, 40, b.size, 8);
    return b;
}

/* Writes the key of the chunk that begins with image `row`. */
static void chunk_key(Bytes *b, uint64_t bytes, int64_t row) {
    bytes_little(b, bytes, 4);
    bytes_little(b, 0, 4); /* no filter is skipped */
    bytes_little(b, (uint64_t)row, 8);
    bytes_zeros(b, 8 * AXES);
}

/* Writes one node over children first .. first + count of the level below. `child` has their
 * addresses, and `span` images lie below each of them. All chunks hold `whole` images, the last key. */
static void chunk_node(Bytes *b, int level, const uint64_t *child, int64_t first, int64_t count,
                       int64_t span, int64_t whole, uint64_t bytes) {
    const size_t at = b->size;
    bytes_string(b, "TREE");
    bytes_little(b, 1, 1);
    bytes_little(b, (uint64_t)level, 1);
    bytes_little(b, (uint64_t)count, 2);
    bytes_little(b, undefined, 8);
    bytes_little(b, undefined, 8);
    for (int64_t i = first; i < first + count; i++) {
        chunk_key(b, bytes, i * span);
        bytes_little(b, child[i], 8);
    }
    const int64_t end = (first + count) * span;
    chunk_key(b, bytes, end < whole ? end : whole);
    bytes_zeros(b, at + NODE - b->size);
}

Bytes h5_chunked(const char *name, const int64_t shape[4], int64_t rows, int fan,
                 const uint8_t *data) {
    enum { MOST = 4096 };
    static uint64_t address[MOST];
    const int64_t n = shape[0], image = shape[1] * shape[2] * shape[3],
                  chunks = (n + rows - 1) / rows;
    const int64_t chunk[AXES] = {rows, shape[1], shape[2], shape[3]};
    int64_t nodes = 0, root = 0;
    for (int64_t count = chunks; nodes == 0 || count > 1; nodes += count)
        count = (count + fan - 1) / fan;
    root = nodes - 1;
    const uint64_t bytes = (uint64_t)(rows * image), begin = METADATA + (uint64_t)nodes * NODE;
    Bytes b = {0};
    superblock(&b);
    root_group(&b, name);
    data_header(&b, AXES, shape, chunk, METADATA + (uint64_t)root * NODE, 0);
    symbols(&b);
    for (int64_t i = 0; i < chunks; i++) /* chunks lie in the file from the last to the first */
        address[i] = begin + (uint64_t)(chunks - 1 - i) * bytes;
    int64_t children = chunks, span = rows, written = 0;
    for (int level = 0; level == 0 || children > 1; level++, span *= fan) {
        uint64_t here[MOST];
        const int64_t count = (children + fan - 1) / fan;
        for (int64_t i = 0; i < count; i++) {
            const int64_t first = i * fan, left = children - first;
            here[i] = METADATA + (uint64_t)written++ * NODE;
            chunk_node(&b, level, address, first, left < fan ? left : fan, span, chunks * rows,
                       bytes);
        }
        memcpy(address, here, (size_t)count * sizeof *here);
        children = count;
    }
    for (int64_t i = chunks - 1; i >= 0; i--) {
        const int64_t some = n - i * rows < rows ? n - i * rows : rows;
        bytes_add(&b, data + i * rows * image, (size_t)(some * image));
        bytes_zeros(&b, (size_t)((rows - some) * image));
    }
    bytes_set(&b, 40, b.size, 8);
    return b;
}
