/* pictures.c - pictures of one colour in every format that data sets hold, and uncompressed video. */
#include "tests/cpu/datasets/archives.h"
#include "tests/support/check.h"

/* Returns (side,side,3) of one colour in fresh memory. */
static uint8_t *pixels_of(int side, int shade) {
    const uint8_t rgb[3] = {(uint8_t)(255 - shade), (uint8_t)(255 - shade / 2), (uint8_t)shade};
    uint8_t *p = malloc((size_t)(side * side) * 3);
    cr_assert(p, "out of memory");
    for (int i = 0; i < side * side * 3; i++) p[i] = rgb[i % 3];
    return p;
}

/* --- JPEG: baseline, no subsampling. Blocks of one colour have no coefficient but the first ------ */

typedef struct {
    Bytes *out;
    unsigned held;
    int bits;
} JpegBits;

static void jpeg_put(JpegBits *s, unsigned value, int bits) {
    for (int i = bits - 1; i >= 0; i--) {
        s->held = s->held << 1 | (value >> i & 1);
        if (++s->bits < 8) continue;
        bytes_little(s->out, s->held & 255, 1);
        if ((s->held & 255) == 255) bytes_little(s->out, 0, 1); /* no marker */
        s->held = 0;
        s->bits = 0;
    }
}

/* Codes of the table that write_tables gives, by the number of bits of the difference. */
static void jpeg_difference(JpegBits *s, int difference) {
    static const uint8_t code[9] = {0, 2, 3, 4, 5, 6, 14, 30, 62},
                         length[9] = {2, 3, 3, 3, 3, 3, 4, 5, 6};
    const int size = difference < 0 ? -difference : difference;
    int bits = 0;
    while (size >> bits) bits++;
    cr_assert(bits < 9);
    jpeg_put(s, code[bits], length[bits]);
    jpeg_put(s, (unsigned)(difference < 0 ? difference + (1 << bits) - 1 : difference), bits);
    jpeg_put(s, 0, 1); /* end of the block: the one code of the second table */
}

static void jpeg_tables(Bytes *b, int side) {
    bytes_add(b, "\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0", 20);
    bytes_add(b, "\xff\xdb\0\x43\0", 5);
    for (int i = 0; i < 64; i++) bytes_little(b, 8, 1); /* the first coefficient counts levels */
    bytes_add(b, "\xff\xc0\0\x11\x08", 5);
    bytes_big(b, (uint64_t)side, 2);
    bytes_big(b, (uint64_t)side, 2);
    bytes_add(b, "\3\1\x11\0\2\x11\0\3\x11\0", 10);
    bytes_add(b, "\xff\xc4\0\x1f\0", 5);
    bytes_add(b, "\0\1\5\1\1\1\1\1\1\0\0\0\0\0\0\0", 16);
    for (int i = 0; i < 12; i++) bytes_little(b, (uint64_t)i, 1);
    bytes_add(b, "\xff\xc4\0\x14\x10", 5);
    bytes_little(b, 1, 1);
    bytes_zeros(b, 16);
    bytes_add(b, "\xff\xda\0\x0c\3\1\0\2\0\3\0\0\x3f\0", 14);
}

Bytes picture_jpeg(int side, int shade) {
    Bytes b = {0};
    const double red = 255 - shade, green = 255 - shade / 2, blue = shade,
                 light = 0.299 * red + 0.587 * green + 0.114 * blue;
    const int level[3] = {(int)lround(light) - 128, (int)lround((blue - light) / 1.772),
                          (int)lround((red - light) / 1.402)};
    JpegBits bits = {.out = &b};
    const int blocks = (side + 7) / 8;
    jpeg_tables(&b, side);
    for (int i = 0; i < blocks * blocks; i++)
        for (int k = 0; k < 3; k++) jpeg_difference(&bits, i ? 0 : level[k]);
    while (bits.bits) jpeg_put(&bits, 1, 1);
    bytes_add(&b, "\xff\xd9", 2);
    return b;
}

/* --- the others ------------------------------------------------------------------------------- */

static void png_chunk(Bytes *png, const char *tag, const Bytes *data) {
    bytes_big(png, data->size, 4);
    const size_t at = png->size;
    bytes_add(png, tag, 4);
    bytes_add(png, data->data, data->size);
    bytes_big(png, crc_of(png->data + at, png->size - at), 4);
}

Bytes picture_png(int side, int shade) {
    Bytes b = {0}, header = {0}, rows = {0}, none = {0};
    uint8_t *p = pixels_of(side, shade);
    bytes_add(&b, "\x89PNG\r\n\x1a\n", 8);
    bytes_big(&header, (uint64_t)side, 4);
    bytes_big(&header, (uint64_t)side, 4);
    bytes_add(&header, "\x08\x02\0\0\0", 5); /* 8 bits, colour */
    png_chunk(&b, "IHDR", &header);
    for (int y = 0; y < side; y++) {
        bytes_little(&rows, 0, 1); /* no filter */
        bytes_add(&rows, p + 3 * side * y, (size_t)(3 * side));
    }
    Bytes packed = zlib_of(rows.data, rows.size);
    png_chunk(&b, "IDAT", &packed);
    png_chunk(&b, "IEND", &none);
    bytes_free(&header);
    bytes_free(&rows);
    bytes_free(&packed);
    free(p);
    return b;
}

Bytes picture_bmp(int side, int shade) {
    Bytes b = {0};
    uint8_t *p = pixels_of(side, shade);
    const uint64_t s = (uint64_t)side, bytes = 3 * s * s, fields[4] = {54 + bytes, 0, 54, 40};
    cr_assert(side % 4 == 0, "rows of a bitmap end at a multiple of four bytes");
    bytes_string(&b, "BM");
    for (int i = 0; i < 4; i++) bytes_little(&b, fields[i], 4);
    bytes_little(&b, s, 4);
    bytes_little(&b, s, 4);
    bytes_little(&b, 24 << 16 | 1, 4);
    bytes_zeros(&b, 24);
    for (int i = 0; i < side * side; i++)
        for (int k = 2; k >= 0; k--) bytes_little(&b, p[3 * i + k], 1);
    free(p);
    return b;
}

Bytes picture_ppm(int side, int shade) {
    Bytes b = {0};
    uint8_t *p = pixels_of(side, shade);
    bytes_print(&b, "P6\n%d %d\n255\n", side, side);
    bytes_add(&b, p, (size_t)(side * side) * 3);
    free(p);
    return b;
}

/* Adds an image block whose pixels are all `index`. Codes have 8 bits; a clear code before every
 * 100 of them keeps them from growing. */
static void gif_frame(Bytes *b, int side, int index) {
    Bytes codes = {0};
    unsigned held = 0, bits = 0;
    const int all = side * side;
    for (int i = 0; i <= all; i++) {
        const bool clear = i % 100 == 0 && i < all;
        for (int k = clear ? 0 : 1; k < 2; k++) {
            held |= (unsigned)(k == 0 ? 128 : i < all ? index : 129) << bits;
            for (bits += 8; bits >= 8; bits -= 8, held >>= 8)
                bytes_add(&codes, &(uint8_t){(uint8_t)held}, 1);
        }
    }
    bytes_add(b, "\x2c\0\0\0\0", 5);
    bytes_little(b, (uint64_t)side, 2);
    bytes_little(b, (uint64_t)side, 2);
    bytes_add(b, "\0\x07", 2); /* no table of its own; codes begin with 8 bits */
    for (size_t at = 0; at < codes.size; at += 255) {
        const size_t n = codes.size - at < 255 ? codes.size - at : 255;
        bytes_little(b, n, 1);
        bytes_add(b, codes.data + at, n);
    }
    bytes_little(b, 0, 1);
    bytes_free(&codes);
}

Bytes picture_gif(int side, int shade) {
    Bytes b = {0};
    bytes_string(&b, "GIF89a");
    bytes_little(&b, (uint64_t)side, 2);
    bytes_little(&b, (uint64_t)side, 2);
    bytes_add(&b, "\xf6\0\0", 3); /* a table of 128 colours */
    for (int i = 0; i < 128; i++) {
        const uint8_t rgb[3] = {(uint8_t)(255 - shade), (uint8_t)(255 - shade / 2), (uint8_t)shade};
        bytes_add(&b, i == 1 ? rgb : (const uint8_t[3]){0, 0, 0}, 3);
    }
    gif_frame(&b, side, 1);
    gif_frame(&b, side, 0);
    bytes_string(&b, ";");
    return b;
}

/* --- AVI: RIFF with one stream of device-independent bitmaps ------------------------------------ */

static size_t riff_begin(Bytes *b, const char *tag, const char *kind) {
    bytes_add(b, tag, 4);
    bytes_little(b, 0, 4);
    const size_t at = b->size;
    if (kind) bytes_add(b, kind, 4);
    return at;
}

static void riff_end(Bytes *b, size_t at) {
    bytes_set(b, at - 4, b->size - at, 4);
    if (b->size % 2) bytes_zeros(b, 1);
}

static void avi_headers(Bytes *b, int side, int frames) {
    const uint64_t s = (uint64_t)side, frame = 3 * s * s;
    const size_t list = riff_begin(b, "LIST", "hdrl"), main_header = riff_begin(b, "avih", NULL);
    const uint64_t avih[14] = {40000, 25 * frame, 0, 0x10, (uint64_t)frames, 0, 1, frame, s, s};
    for (int i = 0; i < 14; i++) bytes_little(b, avih[i], 4);
    riff_end(b, main_header);
    const size_t stream = riff_begin(b, "LIST", "strl"), header = riff_begin(b, "strh", NULL);
    bytes_add(b, "vidsDIB ", 8);
    const uint64_t strh[10] = {0, 0, 0, 1, 25, 0, (uint64_t)frames, frame, 0, 0};
    for (int i = 0; i < 10; i++) bytes_little(b, strh[i], 4);
    for (int i = 0; i < 4; i++) bytes_little(b, i < 2 ? 0 : s, 2); /* rectangle */
    riff_end(b, header);
    const size_t format = riff_begin(b, "strf", NULL);
    const uint64_t bitmap[3] = {40, s, s};
    for (int i = 0; i < 3; i++) bytes_little(b, bitmap[i], 4);
    bytes_little(b, 1, 2);
    bytes_little(b, 24, 2);
    const uint64_t rest[6] = {0, frame, 0, 0, 0, 0};
    for (int i = 0; i < 6; i++) bytes_little(b, rest[i], 4);
    riff_end(b, format);
    riff_end(b, stream);
    riff_end(b, list);
}

Bytes video_avi(int side, int frames) {
    Bytes b = {0};
    cr_assert(side % 4 == 0, "rows of a bitmap end at a multiple of four bytes");
    const size_t whole = riff_begin(&b, "RIFF", "AVI ");
    avi_headers(&b, side, frames);
    const size_t movie = riff_begin(&b, "LIST", "movi");
    size_t *at = malloc((size_t)(frames + 1) * sizeof *at), bytes = (size_t)(3 * side * side);
    for (int i = 0; i < frames; i++) {
        at[i] = b.size - movie;
        const size_t chunk = riff_begin(&b, "00db", NULL);
        for (size_t k = 0; k < bytes; k++) bytes_little(&b, (uint64_t)(8 * i % 256), 1);
        riff_end(&b, chunk);
    }
    riff_end(&b, movie);
    const size_t index = riff_begin(&b, "idx1", NULL);
    for (int i = 0; i < frames; i++) {
        bytes_add(&b, "00db", 4);
        bytes_little(&b, 0x10, 4);
        bytes_little(&b, at[i], 4);
        bytes_little(&b, bytes, 4);
    }
    riff_end(&b, index);
    riff_end(&b, whole);
    free(at);
    return b;
}
