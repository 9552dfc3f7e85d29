/* image_png.c - PNG (ISO/IEC 15948): chunks and checksums read here, pixels decoded by stb_image. */
#include <limits.h>
#include <stdlib.h>

#include "io/files/crc32.h"
#include "io/images/image_reader.h"
#include "io/images/stb.h"

enum { SIGNATURE = 8, AROUND = 12, HEADER = 13, PALETTE = 256 };

/* Takes the next chunk: its name and n bytes of data stand at *chunk. Returns false where the file
 * ends. */
static bool next_chunk(const Look *f, int64_t *at, const uint8_t **chunk, int64_t *n) {
    if (f->bytes - *at < AROUND) return false;
    *n = big(f->data + *at, 4);
    if (*n > f->bytes - *at - AROUND) return false;
    *chunk = f->data + *at + 4;
    *at += AROUND + *n;
    return true;
}

static bool is_chunk(const uint8_t *chunk, const char *name) {
    return memcmp(chunk, name, 4) == 0;
}

static int channels(int colour_type) {
    static const int count[7] = {1, 0, 3, 1, 2, 0, 4};
    return colour_type <= 6 ? count[colour_type] : 0;
}

static void look_header(Look *f, const uint8_t *header, int64_t n) {
    if (n != HEADER) {
        f->fault = "its header has another size than 13 bytes: damaged";
        return;
    }
    const int depth = header[8], type = header[9];
    const bool packed =
        depth == 1 || depth == 2 || depth == 4; /* only grey and palettes may be packed */
    f->width = big(header, 4);
    f->height = big(header + 4, 4);
    f->detail[0] = (uint64_t)depth;
    f->detail[1] = (uint64_t)type;
    if (!channels(type) ||
        !(depth == 8 || (depth == 16 && type != 3) || (packed && (type == 0 || type == 3))))
        f->fault = "its header has a depth or colour type that there is not: damaged";
    else if (header[10] || header[11] || header[12] > 1)
        f->fault = "its header has a compression, filter or interlace that there is not: damaged";
}

static void look_chunk(Look *f, const uint8_t *chunk, int64_t n, bool *has_data) {
    if (is_chunk(chunk, "eXIf")) f->orientation = exif_orientation(chunk + 4, n);
    if (is_chunk(chunk, "IDAT")) *has_data = true;
    if (is_chunk(chunk, "PLTE")) {
        f->detail[2] = (uint64_t)n / 3;
        if (f->detail[1] == 3 && (n % 3 || n == 0 || n > 3 * PALETTE))
            f->fault = "its palette has another size than 1 to 256 colours: damaged";
    }
}

static void png_look(Look *f) {
    const uint8_t *chunk;
    int64_t n;
    bool has_data = false;
    for (int64_t at = SIGNATURE, count = 0; !f->fault && next_chunk(f, &at, &chunk, &n); count++) {
        if (count == 0 && is_chunk(chunk, "CgBI")) {
            f->unread = "PNG of Apple's own making (CgBI)";
            count = -1; /* its header is the next chunk */
        }
        if (crc32_update(0, chunk, 4 + n) != big(chunk + 4 + n, 4))
            f->fault = "a checksum does not match: damaged";
        else if (count == 0 && !is_chunk(chunk, "IHDR"))
            f->fault = "its first chunk is not its header: damaged";
        else if (count == 0) look_header(f, chunk + 4, n);
        else if (!is_chunk(chunk, "IEND")) look_chunk(f, chunk, n, &has_data);
        else {
            if (!has_data) f->fault = "it has no pixels: damaged";
            else if (f->detail[1] == 3 && !f->detail[2]) f->fault = "it has no palette: damaged";
            return;
        }
    }
    if (!f->fault) f->fault = "it ends before its last chunk: truncated";
}

/* --- decoding --------------------------------------------------------------------------------- */

static void put_chunk(uint8_t **to, const char *name, const uint8_t *data, int64_t n) {
    for (int i = 0; i < 4; i++) *(*to)++ = (uint8_t)(n >> (24 - 8 * i));
    memcpy(*to, name, 4);
    *to += 4;
    if (n) memcpy(*to, data, (size_t)n);
    *to += n;
    memset(*to, 0, 4); /* the checksum, which stb_image passes over */
    *to += 4;
}

/* Writes the file as stb_image should see it: chunks that it draws wrong or trips over are taken
 * out. A palette is filled up with black, for stb_image would take missing colours from
 * uninitialised memory. Alpha is dropped, so transparency (tRNS) is too. Returns the length. */
static int64_t rewrite(uint8_t *to, const Look *f) {
    const uint8_t *first = to, *chunk;
    uint8_t palette[3 * PALETTE] = {0};
    int64_t n;
    bool has_palette = false;
    memcpy(to, f->data, SIGNATURE);
    to += SIGNATURE;
    for (int64_t at = SIGNATURE; next_chunk(f, &at, &chunk, &n) && !is_chunk(chunk, "IEND");) {
        if (is_chunk(chunk, "IHDR") && to == first + SIGNATURE)
            put_chunk(&to, "IHDR", chunk + 4, n);
        if (is_chunk(chunk, "IDAT")) put_chunk(&to, "IDAT", chunk + 4, n);
        if (is_chunk(chunk, "PLTE") && f->detail[1] == 3 && !has_palette) {
            memcpy(palette, chunk + 4, (size_t)n);
            put_chunk(&to, "PLTE", palette, sizeof palette);
            has_palette = true;
        }
    }
    put_chunk(&to, "IEND", NULL, 0);
    return to - first;
}

/* Returns the largest block that stb_image may take, so that rows that inflate to more than the
 * header says are not inflated to the end. Twice the size is room for the seven passes of an
 * interlaced file and for growing buffers. */
static int64_t most_memory(const Look *f) {
    enum { ROOM = 1 << 16 };
    const int64_t bits = (int64_t)f->detail[0] * channels((int)f->detail[1]),
                  rows = ((f->width * bits + 7) / 8 + 1) * f->height,
                  pixels = 8 * f->width * f->height, file = 2 * f->bytes;
    const int64_t most = 2 * rows > pixels ? 2 * rows : pixels;
    return ROOM + (most > file ? most : file);
}

static Fault png_decode(Image *out, const Look *f) {
    uint8_t *copy = malloc((size_t)f->bytes + AROUND + 3 * PALETTE);
    if (!copy) return image_no_memory;
    const int64_t bytes = rewrite(copy, f);
    int width = 0, height = 0, count = 0;
    stb_limit_memory(most_memory(f));
    out->rgb = bytes > INT_MAX
                   ? NULL
                   : stbi_load_from_memory(copy, (int)bytes, &width, &height, &count, 3);
    stb_limit_memory(INT64_MAX);
    free(copy);
    out->width = width;
    out->height = height;
    return out->rgb ? NULL : "its coded data cannot be decoded: damaged";
}

const ImageReader png_reader = {png_look, png_decode};
