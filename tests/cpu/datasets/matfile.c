/* matfile.c - MATLAB's MAT-files of level 5, as MATLAB 7 saves them: every variable is compressed. */
#include <string.h>

#include "tests/cpu/datasets/archives.h"

enum {
    MI_INT8 = 1,
    MI_UINT8 = 2,
    MI_UINT16 = 4,
    MI_INT32 = 5,
    MI_UINT32 = 6,
    MI_MATRIX = 14,
    MI_COMPRESSED = 15,
    MX_CELL = 1,
    MX_STRUCT = 2,
    MX_CHAR = 4,
    MX_DOUBLE = 6,
    FIELD_NAME = 32,
};

Bytes mat_header(void) {
    Bytes b = {0};
    char text[116];
    memset(text, ' ', sizeof text);
    memcpy(text, "MATLAB 5.0 MAT-file, Platform: GLNX86", 37);
    bytes_add(&b, text, sizeof text);
    bytes_zeros(&b, 8);
    bytes_little(&b, 0x0100, 2);
    bytes_string(&b, "IM");
    return b;
}

/* Adds one element; up to four bytes stand in the tag itself. */
static void element(Bytes *b, int type, const void *data, size_t size) {
    if (size > 0 && size <= 4) {
        bytes_little(b, (uint64_t)type | (uint64_t)size << 16, 4);
        bytes_add(b, data, size);
        bytes_zeros(b, 4 - size);
        return;
    }
    bytes_little(b, (uint64_t)type, 4);
    bytes_little(b, size, 4);
    bytes_add(b, data, size);
    bytes_zeros(b, (8 - size % 8) % 8);
}

/* Begins a matrix (rows,columns); matrix_end sets its size. */
static size_t matrix(Bytes *b, int kind, const char *name, int64_t rows, int64_t columns) {
    Bytes part = {0};
    bytes_little(b, MI_MATRIX, 4);
    bytes_little(b, 0, 4);
    const size_t at = b->size;
    bytes_little(&part, (uint64_t)kind, 8);
    element(b, MI_UINT32, part.data, part.size);
    bytes_free(&part);
    bytes_little(&part, (uint64_t)rows, 4);
    bytes_little(&part, (uint64_t)columns, 4);
    element(b, MI_INT32, part.data, part.size);
    bytes_free(&part);
    element(b, MI_INT8, name, strlen(name));
    return at;
}

static void matrix_end(Bytes *b, size_t at) {
    bytes_set(b, at - 4, b->size - at, 4);
}

static void numbers_in(Bytes *b, const char *name, const int64_t *value, int64_t n) {
    int64_t largest = 0;
    for (int64_t i = 0; i < n; i++) largest = value[i] > largest ? value[i] : largest;
    const int bytes = largest < 256 ? 1 : largest < 65536 ? 2 : 4;
    Bytes part = {0};
    for (int64_t i = 0; i < n; i++) bytes_little(&part, (uint64_t)value[i], bytes);
    const size_t at = matrix(b, MX_DOUBLE, name, 1, n);
    element(b, bytes == 1 ? MI_UINT8 : bytes == 2 ? MI_UINT16 : MI_INT32, part.data, part.size);
    matrix_end(b, at);
    bytes_free(&part);
}

static void text_in(Bytes *b, const char *text) {
    Bytes part = {0};
    for (const char *c = text; *c; c++) bytes_little(&part, (uint8_t)*c, 2);
    const size_t at = matrix(b, MX_CHAR, "", 1, (int64_t)strlen(text));
    element(b, MI_UINT16, part.data, part.size);
    matrix_end(b, at);
    bytes_free(&part);
}

static void compressed(Bytes *mat, Bytes *variable) {
    Bytes packed = zlib_of(variable->data, variable->size);
    bytes_little(mat, MI_COMPRESSED, 4);
    bytes_little(mat, packed.size, 4);
    bytes_add(mat, packed.data, packed.size); /* the next variable follows without padding */
    bytes_free(&packed);
    bytes_free(variable);
}

void mat_row(Bytes *mat, const char *name, const int64_t *value, int64_t n) {
    Bytes b = {0};
    numbers_in(&b, name, value, n);
    compressed(mat, &b);
}

void mat_structs(Bytes *mat, const char *name, const MatField *field, int fields, int64_t n) {
    Bytes b = {0}, names = {0};
    const size_t at = matrix(&b, MX_STRUCT, name, 1, n);
    element(&b, MI_INT32, (const uint8_t[4]){FIELD_NAME, 0, 0, 0}, 4);
    for (int i = 0; i < fields; i++) {
        bytes_string(&names, field[i].name);
        bytes_zeros(&names, FIELD_NAME - strlen(field[i].name));
    }
    element(&b, MI_INT8, names.data, names.size);
    for (int64_t i = 0; i < n * fields; i++)
        if (field[i].text) text_in(&b, field[i].text);
        else numbers_in(&b, "", &field[i].number, 1);
    matrix_end(&b, at);
    bytes_free(&names);
    compressed(mat, &b);
}

void mat_cells(Bytes *mat, const char *name, const char *const *text, int64_t n) {
    Bytes b = {0};
    const size_t at = matrix(&b, MX_CELL, name, 1, n);
    for (int64_t i = 0; i < n; i++) text_in(&b, text[i]);
    matrix_end(&b, at);
    compressed(mat, &b);
}
