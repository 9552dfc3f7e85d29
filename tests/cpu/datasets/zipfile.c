/* zipfile.c - zip archives: stored and deflated, with descriptors behind the data and with zip64. */
#include <string.h>

#include "tests/cpu/datasets/archives.h"

void zipped_file(ZipFile *zip, const char *name, const void *data, size_t size, int how) {
    const bool deflated = how & ZIPPED_DEFLATED, behind = how & ZIPPED_DESCRIPTOR,
               wide = how & ZIPPED_64;
    Bytes packed = {0};
    if (deflated) packed = deflate_of(data, size);
    else bytes_add(&packed, data, size);
    const uint64_t offset = zip->file.size, crc = crc_of(data, size);
    const int flags = (behind ? 8 : 0) | 0x800; /* names are UTF-8 */
    zip->zip64 |= wide;
    zip->count++;

    Bytes *f = &zip->file;
    bytes_little(f, 0x04034b50, 4);
    bytes_little(f, wide ? 45 : 20, 2);
    bytes_little(f, (uint64_t)flags, 2);
    bytes_little(f, deflated ? 8 : 0, 2);
    bytes_little(f, 0x5a210000, 4); /* time and date */
    bytes_little(f, behind ? 0 : crc, 4);
    bytes_little(f, wide ? 0xffffffff : behind ? 0 : packed.size, 4);
    bytes_little(f, wide ? 0xffffffff : behind ? 0 : size, 4);
    bytes_little(f, strlen(name), 2);
    bytes_little(f, wide ? 20 : 0, 2);
    bytes_string(f, name);
    if (wide) {
        bytes_little(f, 1, 2);
        bytes_little(f, 16, 2);
        bytes_little(f, behind ? 0 : size, 8);
        bytes_little(f, behind ? 0 : packed.size, 8);
    }
    bytes_add(f, packed.data, packed.size);
    if (behind) {
        bytes_little(f, 0x08074b50, 4);
        bytes_little(f, crc, 4);
        bytes_little(f, packed.size, wide ? 8 : 4);
        bytes_little(f, size, wide ? 8 : 4);
    }

    Bytes *d = &zip->directory;
    bytes_little(d, 0x02014b50, 4);
    bytes_little(d, 3 << 8 | 45,
                 2); /* made by Unix, so the upper half of the attributes is a mode */
    bytes_little(d, wide ? 45 : 20, 2);
    bytes_little(d, (uint64_t)flags, 2);
    bytes_little(d, deflated ? 8 : 0, 2);
    bytes_little(d, 0x5a210000, 4);
    bytes_little(d, crc, 4);
    bytes_little(d, wide ? 0xffffffff : packed.size, 4);
    bytes_little(d, wide ? 0xffffffff : size, 4);
    bytes_little(d, strlen(name), 2);
    bytes_little(d, wide ? 28 : 0, 2);
    bytes_little(d, 0, 2);
    bytes_little(d, 0, 2);
    bytes_little(d, 0, 2);
    bytes_little(d, (uint64_t)(how & ZIPPED_LINK ? 0120777 : 0100644) << 16, 4);
    bytes_little(d, wide ? 0xffffffff : offset, 4);
    bytes_string(d, name);
    if (wide) {
        bytes_little(d, 1, 2);
        bytes_little(d, 24, 2);
        bytes_little(d, size, 8);
        bytes_little(d, packed.size, 8);
        bytes_little(d, offset, 8);
    }
    bytes_free(&packed);
}

void zipped_text(ZipFile *zip, const char *name, const char *text, int how) {
    zipped_file(zip, name, text, strlen(text), how);
}

void zipped_take(ZipFile *zip, const char *name, Bytes file, int how) {
    zipped_file(zip, name, file.data, file.size, how);
    bytes_free(&file);
}

Bytes zipped_end(ZipFile *zip) {
    Bytes b = zip->file;
    const uint64_t at = b.size, bytes = zip->directory.size, count = (uint64_t)zip->count;
    bytes_add(&b, zip->directory.data, zip->directory.size);
    if (zip->zip64) {
        const uint64_t record = b.size;
        bytes_little(&b, 0x06064b50, 4);
        bytes_little(&b, 44, 8);
        bytes_little(&b, 45, 2);
        bytes_little(&b, 45, 2);
        bytes_little(&b, 0, 8); /* numbers of disks */
        bytes_little(&b, count, 8);
        bytes_little(&b, count, 8);
        bytes_little(&b, bytes, 8);
        bytes_little(&b, at, 8);
        bytes_little(&b, 0x07064b50, 4);
        bytes_little(&b, 0, 4);
        bytes_little(&b, record, 8);
        bytes_little(&b, 1, 4);
    }
    bytes_little(&b, 0x06054b50, 4);
    bytes_little(&b, 0, 4);
    bytes_little(&b, zip->zip64 ? 0xffff : count, 2);
    bytes_little(&b, zip->zip64 ? 0xffff : count, 2);
    bytes_little(&b, zip->zip64 ? 0xffffffff : bytes, 4);
    bytes_little(&b, zip->zip64 ? 0xffffffff : at, 4);
    bytes_little(&b, 0, 2);
    bytes_free(&zip->directory);
    *zip = (ZipFile){0};
    return b;
}
