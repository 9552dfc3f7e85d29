/* zip.c - zip archives. Section numbers are those of PKWARE's APPNOTE 6.3.10. */
#include "io/files/zip.h"

#include <stdlib.h>
#include <string.h>

#include "io/files/bytes.h"
#include "io/files/crc32.h"
#include "io/files/grow.h"
#include "io/files/inflate.h"

enum {
    LOCAL_BYTES = 30,   /* 4.3.7 local file header; name and extra field follow */
    CENTRAL_BYTES = 46, /* 4.3.12 central directory header; name, extra field and comment follow */
    END_BYTES = 22,     /* 4.3.16 end of central directory record; a comment follows */
    END64_BYTES = 56,   /* 4.3.14 zip64 end of central directory record */
    LOCATOR_BYTES = 20, /* 4.3.15 zip64 end of central directory locator */
    MAX_COMMENT = 65535,
    PAYLOAD_ALIGN = 64,
    ZIP64_EXTRA = 1,
    UNIX = 3, /* 4.4.2: the system that made an entry */
    DARWIN = 19,
};
static const uint32_t local_magic = 0x04034b50, central_magic = 0x02014b50, end_magic = 0x06054b50,
                      end64_magic = 0x06064b50, locator_magic = 0x07064b50;

/* --- reading ---------------------------------------------------------------------------------- */

bool zip_is(const FileMap *map) {
    return map->bytes >= 4 &&
           (little(map->data, 4) == local_magic || little(map->data, 4) == end_magic);
}

/* Place of the central directory. */
typedef struct {
    uint64_t offset, bytes, count;
} Directory;

static Status damaged(const char *path, const char *what, Error *err) {
    return fail(err, ERR_FORMAT, "zip: %s: damaged or truncated: %s", path, what);
}

static Status find_directory(Directory *out, const FileMap *map, const char *path, Error *err) {
    const int64_t lowest =
        map->bytes > END_BYTES + MAX_COMMENT ? map->bytes - END_BYTES - MAX_COMMENT : 0;
    int64_t end = map->bytes - END_BYTES;
    while (end >= lowest &&
           !(little(map->data + end, 4) == end_magic &&
             (int64_t)little(map->data + end + 20, 2) == map->bytes - end - END_BYTES))
        end--;
    if (end < lowest) return damaged(path, "no end of directory", err);
    const uint8_t *e = map->data + end;
    *out = (Directory){little(e + 16, 4), little(e + 12, 4), little(e + 10, 2)};
    if (little(e + 4, 2) != 0 && little(e + 4, 2) != 0xffff)
        return fail(err, ERR_FORMAT, "zip: %s: split over several files: join them", path);
    /* a zip64 record, if its locator precedes (PyTorch always writes one) */
    if (end >= LOCATOR_BYTES && little(e - LOCATOR_BYTES, 4) == locator_magic) {
        const uint64_t at = little64(e - LOCATOR_BYTES + 8);
        if (map->bytes < END64_BYTES || at > (uint64_t)(map->bytes - END64_BYTES) ||
            little(map->data + at, 4) != end64_magic)
            return damaged(path, "its zip64 record is not where its locator says", err);
        const uint8_t *e64 = map->data + at;
        *out = (Directory){little64(e64 + 48), little64(e64 + 40), little64(e64 + 32)};
    }
    if (out->offset > (uint64_t)map->bytes || out->bytes > (uint64_t)map->bytes - out->offset ||
        out->count > out->bytes / CENTRAL_BYTES)
        return damaged(path, "its directory lies outside the file", err);
    return OK;
}

/* Reads sizes and offset from the zip64 extra field of a directory header, where the header has
 * 0xffffffff instead. */
static bool read_zip64(const uint8_t *extra, int64_t extra_bytes, uint64_t *values[3]) {
    while (extra_bytes >= 4) {
        const int64_t id = (int64_t)little(extra, 2), n = (int64_t)little(extra + 2, 2);
        if (n > extra_bytes - 4) return false;
        if (id == ZIP64_EXTRA) {
            const uint8_t *p = extra + 4;
            for (int i = 0; i < 3;
                 i++) { /* the field holds, in this order, only those that overflowed */
                if (*values[i] != 0xffffffffu) continue;
                if (p + 8 > extra + 4 + n) return false;
                *values[i] = little64(p);
                p += 8;
            }
            return true;
        }
        extra += 4 + n;
        extra_bytes -= 4 + n;
    }
    return true;
}

static Status check_crc(const ZipEntry *e, const uint8_t *data, const char *path, Error *err) {
    const uint32_t crc = crc32_update(0, data, e->bytes);
    if (crc == e->crc) return OK;
    return fail(err, ERR_FORMAT,
                "zip: %s: entry %s: its CRC is %08x, the directory says %08x: the "
                "file is damaged, fetch it again",
                path, e->name, (unsigned)crc, (unsigned)e->crc);
}

/* Reads the entry that one directory header describes. *header_bytes receives the header's
 * length. */
static Status read_entry(ZipEntry *out, const FileMap *map, const uint8_t *h, int64_t left,
                         int64_t *header_bytes, const char *path, Error *err) {
    if (left < CENTRAL_BYTES || little(h, 4) != central_magic)
        return damaged(path, "a directory header is missing", err);
    const int64_t name = (int64_t)little(h + 28, 2), extra = (int64_t)little(h + 30, 2);
    *header_bytes = CENTRAL_BYTES + name + extra + (int64_t)little(h + 32, 2);
    if (*header_bytes > left) return damaged(path, "a directory header is cut off", err);
    out->name = format_text("%.*s", (int)name, (const char *)h + CENTRAL_BYTES);
    if (!out->name) return fail(err, ERR_MEMORY, "zip: %s: out of memory", path);
    if ((int64_t)strlen(out->name) != name)
        return damaged(path, "an entry's name holds a zero", err);

    uint64_t packed = little(h + 20, 4), bytes = little(h + 24, 4), offset = little(h + 42, 4);
    uint64_t *values[3] = {&bytes, &packed, &offset}; /* 4.5.3: the order in the extra field */
    if (!read_zip64(h + CENTRAL_BYTES + name, extra, values))
        return damaged(path, "an extra field is cut off", err);
    const unsigned flags = little(h + 8, 2), method = little(h + 10, 2);
    if (flags & 1) return fail(err, ERR_FORMAT, "zip: %s: entry %s is encrypted", path, out->name);

    if (map->bytes < LOCAL_BYTES || offset > (uint64_t)(map->bytes - LOCAL_BYTES))
        return damaged(path, "an entry lies outside the file", err);
    const uint8_t *local = map->data + offset;
    if (little(local, 4) != local_magic || (int64_t)little(local + 26, 2) != name ||
        little(local + 8, 2) != method)
        return damaged(path, "a local header disagrees with the directory", err);
    const uint64_t lead = LOCAL_BYTES + (uint64_t)name + little(local + 28, 2);
    const uint64_t after = (uint64_t)map->bytes - offset;
    if (lead > after || packed > after - lead || (method == 0 && packed != bytes))
        return damaged(path, "an entry's data lies outside the file", err);
    if (memcmp(local + LOCAL_BYTES, out->name, (size_t)name) != 0)
        return damaged(path, "a local header disagrees with the directory", err);
    out->bytes = (int64_t)bytes;
    out->packed = local + lead;
    out->packed_bytes = (int64_t)packed;
    out->method = (int)method;
    out->crc = little(h + 16, 4);
    if (h[5] == UNIX || h[5] == DARWIN) out->mode = (int)little(h + 40, 2); /* 4.4.2, 4.4.15 */
    if (method == 0) out->data = local + lead; /* zip_inflate takes others, or refuses by name */
    return OK;
}

Status zip_walk_open(ZipWalk *out, const FileMap *map, const char *path, Error *err) {
    Directory directory = {0};
    *out = (ZipWalk){0};
    const Status st = map->bytes < END_BYTES ? damaged(path, "too short", err)
                                             : find_directory(&directory, map, path, err);
    if (st == OK)
        *out =
            (ZipWalk){map, map->data + directory.offset, (int64_t)directory.bytes, directory.count};
    return st;
}

Status zip_walk_next(ZipWalk *w, ZipEntry *entry, bool *more, const char *path, Error *err) {
    int64_t header_bytes = 0;
    *entry = (ZipEntry){0};
    *more = w->entries > 0;
    if (!*more) return OK;
    const Status st = read_entry(entry, w->map, w->at, w->left, &header_bytes, path, err);
    w->entries--;
    w->at += header_bytes;
    w->left -= header_bytes;
    return st;
}

Status zip_open(Zip *out, const FileMap *map, const char *path, Error *err) {
    ZipWalk walk;
    bool more = true;
    *out = (Zip){0};
    Status st = zip_walk_open(&walk, map, path, err);
    if (st != OK) return st;
    out->entry = calloc(walk.entries ? walk.entries : 1, sizeof *out->entry);
    if (!out->entry) return fail(err, ERR_MEMORY, "zip: %s: out of memory", path);
    while (st == OK && walk.entries > 0) {
        ZipEntry *e = &out->entry[out->count++];
        st = zip_walk_next(&walk, e, &more, path, err);
        if (st == OK && e->data) st = check_crc(e, e->data, path, err);
    }
    if (st != OK) zip_close(out);
    return st;
}

void zip_close(Zip *zip) {
    if (!zip) return;
    for (int64_t i = 0; i < zip->count; i++) free(zip->entry[i].name);
    free(zip->entry);
    *zip = (Zip){0};
}

const ZipEntry *zip_find(const Zip *zip, const char *name) {
    for (int64_t i = 0; i < zip->count; i++)
        if (strcmp(zip->entry[i].name, name) == 0) return &zip->entry[i];
    return NULL;
}

Status zip_inflate(uint8_t **out, const ZipEntry *e, const char *path, Error *err) {
    *out = NULL;
    if (e->method != 8)
        return fail(err, ERR_FORMAT,
                    "zip: %s: entry %s is packed by method %d: expected stored or deflated: write "
                    "the archive with numpy.savez or zip",
                    path, e->name, e->method);
    /* one bit can stand for 258 bytes at most: a longer claim takes no memory */
    if (e->bytes < 0 || e->bytes / 2064 > e->packed_bytes)
        return damaged(path, "an entry claims more bytes than it can hold", err);
    uint8_t *memory = malloc(e->bytes ? (size_t)e->bytes : 1);
    if (!memory)
        return fail(err, ERR_MEMORY, "zip: %s: entry %s: no memory for its %lld bytes", path,
                    e->name, (long long)e->bytes);
    Status st = inflate_whole(memory, e->bytes, e->packed, e->packed_bytes)
                    ? check_crc(e, memory, path, err)
                    : damaged(path, "a deflated entry does not inflate to its length", err);
    if (st == OK) *out = memory;
    else free(memory);
    return st;
}

/* --- writing ---------------------------------------------------------------------------------- */

static void put(ZipWriter *zip, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) fputc((int)(value >> 8 * i & 255), zip->stream);
    zip->at += bytes;
}

static void put_bytes(ZipWriter *zip, const void *data, int64_t bytes) {
    if (bytes > 0) fwrite(data, 1, (size_t)bytes, zip->stream);
    zip->at += bytes;
}

static uint64_t capped(int64_t value) {
    return value >= 0xffffffff ? 0xffffffffu : (uint64_t)value;
}

/* Writes the fields that local and directory headers share, from "version needed" to the name's
 * length. */
static void put_common(ZipWriter *zip, const ZipWritten *e, bool zip64) {
    put(zip, zip64 ? 45 : 20, 2); /* version needed */
    put(zip, 0x0800, 2);          /* names are UTF-8 */
    put(zip, 0, 2);               /* stored */
    put(zip, 0, 2);               /* time and date 1980-01-01: same tensors, same bytes */
    put(zip, 0x21, 2);
    put(zip, e->crc, 4);
    put(zip, zip64 ? 0xffffffffu : (uint64_t)e->bytes, 4);
    put(zip, zip64 ? 0xffffffffu : (uint64_t)e->bytes, 4);
    put(zip, strlen(e->name), 2);
}

static Status remember(ZipWriter *zip, const char *name, int64_t bytes, uint32_t crc, Error *err) {
    ZipWritten *entry = grown(zip->entry, zip->count, &zip->capacity, sizeof *entry);
    if (!entry) return fail(err, ERR_MEMORY, "zip: out of memory");
    zip->entry = entry;
    char *own = format_text("%s", name);
    if (!own) return fail(err, ERR_MEMORY, "zip: out of memory");
    zip->entry[zip->count++] = (ZipWritten){own, bytes, zip->at, crc};
    return OK;
}

Status zip_add(ZipWriter *zip, const char *name, const void *data, int64_t bytes, Error *err) {
    const int64_t name_bytes = (int64_t)strlen(name);
    if (name_bytes > 65535)
        return fail(err, ERR_ARG, "zip: a name of %lld bytes: at most 65535",
                    (long long)name_bytes);
    const uint32_t crc = crc32_update(0, data, bytes);
    const Status st = remember(zip, name, bytes, crc, err);
    if (st != OK) return st;
    const bool zip64 = bytes >= 0xffffffff;
    put(zip, local_magic, 4);
    put_common(zip, &zip->entry[zip->count - 1], zip64);
    /* an extra field "FB" pads the header so that the data is aligned */
    const int64_t sizes = zip64 ? 20 : 0, unpadded = zip->at + 2 + name_bytes + sizes + 4;
    const int64_t padding = (PAYLOAD_ALIGN - unpadded % PAYLOAD_ALIGN) % PAYLOAD_ALIGN;
    put(zip, (uint64_t)(sizes + 4 + padding), 2);
    put_bytes(zip, name, name_bytes);
    if (zip64) {
        put(zip, ZIP64_EXTRA, 2);
        put(zip, 16, 2);
        put(zip, (uint64_t)bytes, 8);
        put(zip, (uint64_t)bytes, 8);
    }
    put(zip, 'F' | 'B' << 8, 2);
    put(zip, (uint64_t)padding, 2);
    for (int64_t i = 0; i < padding; i++) put(zip, 'Z', 1);
    put_bytes(zip, data, bytes);
    return OK;
}

void zip_finish(ZipWriter *zip) {
    const int64_t start = zip->at;
    for (int64_t i = 0; i < zip->count; i++) {
        const ZipWritten *e = &zip->entry[i];
        const bool large = e->bytes >= 0xffffffff, far = e->offset >= 0xffffffff;
        put(zip, central_magic, 4);
        put(zip, 45, 2); /* made by */
        put_common(zip, e, large);
        put(zip, (large || far ? 4 : 0) + (large ? 16 : 0) + (far ? 8 : 0), 2);
        put(zip, 0, 2); /* comment */
        put(zip, 0, 2); /* disk */
        put(zip, 0, 2); /* attributes */
        put(zip, 0, 4);
        put(zip, capped(e->offset), 4);
        put_bytes(zip, e->name, (int64_t)strlen(e->name));
        if (large || far) {
            put(zip, ZIP64_EXTRA, 2);
            put(zip, (large ? 16 : 0) + (far ? 8 : 0), 2);
            if (large) put(zip, (uint64_t)e->bytes, 8);
            if (large) put(zip, (uint64_t)e->bytes, 8);
            if (far) put(zip, (uint64_t)e->offset, 8);
        }
    }
    const int64_t end = zip->at;
    if (zip->count >= 0xffff || end >= 0xffffffff) {
        put(zip, end64_magic, 4);
        put(zip, END64_BYTES - 12, 8);
        put(zip, 45, 2);
        put(zip, 45, 2);
        put(zip, 0, 4);
        put(zip, 0, 4);
        put(zip, (uint64_t)zip->count, 8);
        put(zip, (uint64_t)zip->count, 8);
        put(zip, (uint64_t)(end - start), 8);
        put(zip, (uint64_t)start, 8);
        put(zip, locator_magic, 4);
        put(zip, 0, 4);
        put(zip, (uint64_t)end, 8);
        put(zip, 1, 4);
    }
    const uint64_t count = zip->count >= 0xffff ? 0xffff : (uint64_t)zip->count;
    put(zip, end_magic, 4);
    put(zip, 0, 2);
    put(zip, 0, 2);
    put(zip, count, 2);
    put(zip, count, 2);
    put(zip, capped(end - start), 4);
    put(zip, capped(start), 4);
    put(zip, 0, 2);
}

void zip_writer_free(ZipWriter *zip) {
    for (int64_t i = 0; i < zip->count; i++) free(zip->entry[i].name);
    free(zip->entry);
    *zip = (ZipWriter){0};
}
