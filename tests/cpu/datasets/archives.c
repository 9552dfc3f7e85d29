/* archives.c - bytes that grow, and tar archives. */
#include "tests/cpu/datasets/archives.h"

#include "tests/support/check.h"

/* --- bytes ------------------------------------------------------------------------------------ */

void bytes_add(Bytes *b, const void *data, size_t size) {
    if (b->size + size > b->capacity) {
        b->capacity = 2 * (b->size + size) + 256;
        b->data = realloc(b->data, b->capacity);
        cr_assert(b->data, "out of memory");
    }
    if (size) memcpy(b->data + b->size, data, size);
    b->size += size;
}

void bytes_string(Bytes *b, const char *text) {
    bytes_add(b, text, strlen(text));
}

void bytes_print(Bytes *b, const char *format, ...) {
    char text[4096];
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    cr_assert(n >= 0 && n < (int)sizeof text, "a text is too long");
    bytes_add(b, text, (size_t)n);
}

void bytes_zeros(Bytes *b, size_t count) {
    static const uint8_t zeros[512];
    for (; count > sizeof zeros; count -= sizeof zeros) bytes_add(b, zeros, sizeof zeros);
    bytes_add(b, zeros, count);
}

void bytes_little(Bytes *b, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) bytes_add(b, &(uint8_t){(uint8_t)(value >> 8 * i)}, 1);
}

void bytes_big(Bytes *b, uint64_t value, int bytes) {
    for (int i = bytes - 1; i >= 0; i--) bytes_add(b, &(uint8_t){(uint8_t)(value >> 8 * i)}, 1);
}

void bytes_set(Bytes *b, size_t at, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) b->data[at + (size_t)i] = (uint8_t)(value >> 8 * i);
}

void bytes_free(Bytes *b) {
    free(b->data);
    *b = (Bytes){0};
}

void bytes_save(Bytes *b, const char *folder, const char *name) {
    char *path = format_text("%s/%s", folder, name);
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0777);
        *slash = '/';
    }
    write_bytes(path, b->data ? b->data : (const uint8_t *)"", b->size);
    free(path);
    bytes_free(b);
}

/* --- tar -------------------------------------------------------------------------------------- */

static void tar_header(Bytes *tar, const char *name, size_t size, char kind, const char *target) {
    uint8_t h[512] = {0};
    char *at = (char *)h;
    unsigned sum = 0;
    const size_t length = strlen(name);
    size_t cut = 0; /* characters that go to the prefix */
    if (length > 100)
        for (size_t i = 1; i < length && i <= 155; i++)
            if (name[i] == '/' && length - i - 1 <= 100) cut = i + 1;
    memcpy(h, name + cut, length - cut > 100 ? 100 : length - cut);
    if (cut) memcpy(h + 345, name, cut - 1);
    snprintf(at + 100, 8, "%07o", kind == '5' ? 0755U : 0644U);
    snprintf(at + 108, 8, "%07o", 1000U);
    snprintf(at + 116, 8, "%07o", 1000U);
    snprintf(at + 124, 12, "%011lo", (unsigned long)size);
    snprintf(at + 136, 12, "%011o", 0U);
    memset(h + 148, ' ', 8);
    h[156] = (uint8_t)kind;
    if (target) memcpy(h + 157, target, strlen(target) < 100 ? strlen(target) : 100);
    memcpy(h + 257,
           "ustar\0"
           "00",
           8);
    for (int i = 0; i < 512; i++) sum += h[i];
    snprintf(at + 148, 8, "%06o", sum);
    h[155] = ' ';
    bytes_add(tar, h, sizeof h);
}

static void tar_body(Bytes *tar, const void *data, size_t size) {
    bytes_add(tar, data, size);
    bytes_zeros(tar, (512 - size % 512) % 512);
}

/* Returns whether a name needs a record of its own: it has other characters than ASCII, or is too
 * long for 155 + 100 characters. */
static bool needs_record(const char *name) {
    const char *slash = strrchr(name, '/');
    for (const char *c = name; *c; c++)
        if ((unsigned char)*c >= 0x80) return true;
    return strlen(slash ? slash + 1 : name) > 100 || strlen(name) > 255;
}

/* Adds "LENGTH path=NAME", whose length counts its own digits. */
static void tar_record(Bytes *tar, const char *name) {
    char record[1200];
    size_t length = strlen(name) + strlen(" path=\n") + 1;
    while (true) {
        const size_t n = (size_t)snprintf(record, sizeof record, "%zu path=%s\n", length, name);
        if (n == length) break;
        length = n;
    }
    tar_header(tar, "PaxHeaders/record", length, 'x', NULL);
    tar_body(tar, record, length);
}

void tar_file(Bytes *tar, const char *name, const void *data, size_t size) {
    if (needs_record(name)) tar_record(tar, name);
    tar_header(tar, needs_record(name) ? "named-by-the-record" : name, size, '0', NULL);
    tar_body(tar, data, size);
}

void tar_text(Bytes *tar, const char *name, const char *text) {
    tar_file(tar, name, text, strlen(text));
}

void tar_take(Bytes *tar, const char *name, Bytes file) {
    tar_file(tar, name, file.data, file.size);
    bytes_free(&file);
}

void tar_folder(Bytes *tar, const char *name) {
    tar_header(tar, name, 0, '5', NULL);
}

void tar_link(Bytes *tar, const char *name, const char *target) {
    tar_header(tar, name, 0, '2', target);
}

void tar_end(Bytes *tar) {
    bytes_zeros(tar, 1024);
    bytes_zeros(tar, (10240 - tar->size % 10240) % 10240);
}
