/* jpeg_write.c - colour, cosine transform, quantisation and Huffman codes of a baseline JPEG. */
#include "io/images/jpeg_write.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/files/file.h"

enum { SIDE = 8, BLOCK = 64 };

/* --- tables of annex K ---------------------------------------------------------------------------- */

/* Order in which the coefficients of a block are coded: natural index of the i-th one. */
static const uint8_t zigzag[BLOCK] = {
    0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,  12, 19, 26, 33, 40, 48,
    41, 34, 27, 20, 13, 6,  7,  14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23,
    30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

/* Tables K.1 and K.2, in natural order. */
static const uint8_t luminance[BLOCK] = {
    16, 11, 10, 16, 24,  40,  51,  61,  12, 12, 14, 19, 26,  58,  60,  55,
    14, 13, 16, 24, 40,  57,  69,  56,  14, 17, 22, 29, 51,  87,  80,  62,
    18, 22, 37, 56, 68,  109, 103, 77,  24, 35, 55, 64, 81,  104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99};
static const uint8_t chrominance[BLOCK] = {
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99,
    99, 99, 47, 66, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99};

/* Codes of each length 1 to 16, then their symbols: tables K.3 to K.6. */
typedef struct {
    uint8_t lengths[16];
    int symbols;
    uint8_t symbol[162];
} HuffmanSpec;

static const HuffmanSpec specs[4] = {
    {{0, 1, 5, 1, 1, 1, 1, 1, 1}, 12, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
    {{0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125},
     162,
     {0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61,
      0x07, 0x22, 0x71, 0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52,
      0xd1, 0xf0, 0x24, 0x33, 0x62, 0x72, 0x82, 0x09, 0x0a, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x25,
      0x26, 0x27, 0x28, 0x29, 0x2a, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45,
      0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64,
      0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x83,
      0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
      0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6,
      0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3,
      0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8,
      0xe9, 0xea, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa}},
    {{0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1}, 12, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
    {{0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 119},
     162,
     {0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61,
      0x71, 0x13, 0x22, 0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33,
      0x52, 0xf0, 0x15, 0x62, 0x72, 0xd1, 0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25, 0xf1, 0x17, 0x18,
      0x19, 0x1a, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44,
      0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63,
      0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a,
      0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97,
      0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4,
      0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca,
      0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7,
      0xe8, 0xe9, 0xea, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa}}};

typedef struct {
    uint16_t code[256];
    uint8_t bits[256];
} HuffmanCodes;

typedef struct {
    FILE *stream;
    uint32_t held; /* bits that are not written yet, the last one lowest */
    int count;
    HuffmanCodes codes[4];   /* direct and alternating of luminance, then of chrominance */
    uint8_t table[2][BLOCK]; /* divisors, natural order */
    double cosine[SIDE][SIDE];
    int last[3]; /* direct coefficients of the blocks before */
} Writer;

/* Codes of one length count upwards; a longer one begins at twice the next (annex C). */
static void make_codes(HuffmanCodes *out, const HuffmanSpec *spec) {
    uint16_t code = 0;
    int k = 0;
    memset(out, 0, sizeof *out);
    for (int length = 1; length <= 16; length++, code = (uint16_t)(code << 1))
        for (int i = 0; i < spec->lengths[length - 1]; i++, k++, code++) {
            out->code[spec->symbol[k]] = code;
            out->bits[spec->symbol[k]] = (uint8_t)length;
        }
}

static void prepare(Writer *w, int quality) {
    const int scale = quality < 50 ? 5000 / quality : 200 - 2 * quality;
    for (int t = 0; t < 2; t++)
        for (int i = 0; i < BLOCK; i++) {
            const int q = ((t ? chrominance : luminance)[i] * scale + 50) / 100;
            w->table[t][i] = (uint8_t)(q < 1 ? 1 : q > 255 ? 255 : q);
        }
    for (int i = 0; i < 4; i++) make_codes(&w->codes[i], &specs[i]);
    for (int u = 0; u < SIDE; u++)
        for (int x = 0; x < SIDE; x++)
            w->cosine[u][x] = (u ? 0.5 : sqrt(0.125)) * cos((2 * x + 1) * u * acos(-1.0) / 16.0);
}

/* --- coded bits ------------------------------------------------------------------------------------- */

/* A byte 255 of the codes is followed by a zero, so that it is no marker. */
static void put_bits(Writer *w, uint32_t bits, int count) {
    w->held = w->held << count | (bits & ((1u << count) - 1));
    w->count += count;
    while (w->count >= 8) {
        const int byte = w->held >> (w->count - 8) & 255;
        putc(byte, w->stream);
        if (byte == 255) putc(0, w->stream);
        w->count -= 8;
    }
}

static int bits_of(int value) {
    int n = 0;
    for (unsigned v = (unsigned)abs(value); v; v >>= 1) n++;
    return n;
}

/* Writes a symbol, then the `size` low bits of the value; of a negative one, those of value - 1. */
static void put_value(Writer *w, const HuffmanCodes *codes, int run, int value) {
    const int size = bits_of(value), symbol = run << 4 | size;
    put_bits(w, codes->code[symbol], codes->bits[symbol]);
    if (size) put_bits(w, (uint32_t)(value < 0 ? value - 1 : value), size);
}

/* --- blocks ------------------------------------------------------------------------------------------ */

/* Transforms 8 x 8 samples, already less 128, and divides: the nearest whole numbers, in natural order. */
static void transform(int out[BLOCK], const Writer *w, const double in[BLOCK],
                      const uint8_t table[BLOCK]) {
    double rows[BLOCK];
    for (int y = 0; y < SIDE; y++)
        for (int u = 0; u < SIDE; u++) {
            double sum = 0.0;
            for (int x = 0; x < SIDE; x++) sum += w->cosine[u][x] * in[SIDE * y + x];
            rows[SIDE * y + u] = sum;
        }
    for (int v = 0; v < SIDE; v++)
        for (int u = 0; u < SIDE; u++) {
            double sum = 0.0;
            for (int y = 0; y < SIDE; y++) sum += w->cosine[v][y] * rows[SIDE * y + u];
            out[SIDE * v + u] = (int)lround(sum / table[SIDE * v + u]);
        }
}

static void put_block(Writer *w, int component, const double samples[BLOCK]) {
    enum { ZEROS_16 = 0xf0, END = 0x00 };
    const int which = component ? 1 : 0;
    const HuffmanCodes *direct = &w->codes[2 * which], *alternating = direct + 1;
    int q[BLOCK], run = 0;
    transform(q, w, samples, w->table[which]);
    put_value(w, direct, 0, q[0] - w->last[component]);
    w->last[component] = q[0];
    for (int i = 1; i < BLOCK; i++) {
        const int value = q[zigzag[i]];
        if (value == 0) {
            run++;
            continue;
        }
        for (; run > 15; run -= 16)
            put_bits(w, alternating->code[ZEROS_16], alternating->bits[ZEROS_16]);
        put_value(w, alternating, run, value);
        run = 0;
    }
    if (run) put_bits(w, alternating->code[END], alternating->bits[END]);
}

/* Returns a byte of YCbCr: component 0 is the luminance. */
static double component_of(const uint8_t *p, int component) {
    const double r = p[0], g = p[1], b = p[2];
    const double value = component == 0   ? 0.299 * r + 0.587 * g + 0.114 * b
                         : component == 1 ? -0.168735892 * r - 0.331264108 * g + 0.5 * b + 128.0
                                          : 0.5 * r - 0.418687589 * g - 0.081312411 * b + 128.0;
    const double rounded = floor(value + 0.5);
    return rounded < 0 ? 0 : rounded > 255 ? 255 : rounded;
}

/* Returns the pixel at (x, y); beyond the edges the last one is repeated. */
static const uint8_t *pixel(const Image *image, int x, int y) {
    if (x >= image->width) x = image->width - 1;
    if (y >= image->height) y = image->height - 1;
    return image->rgb + 3 * ((int64_t)y * image->width + x);
}

/* Codes 16 x 16 pixels: four blocks of luminance, and one of each chrominance, means of 2 x 2. */
static void put_unit(Writer *w, const Image *image, int left, int top) {
    double block[BLOCK];
    for (int part = 0; part < 4; part++) {
        const int x0 = left + SIDE * (part % 2), y0 = top + SIDE * (part / 2);
        for (int i = 0; i < BLOCK; i++)
            block[i] = component_of(pixel(image, x0 + i % SIDE, y0 + i / SIDE), 0) - 128.0;
        put_block(w, 0, block);
    }
    for (int component = 1; component < 3; component++) {
        for (int i = 0; i < BLOCK; i++) {
            const int x = left + 2 * (i % SIDE), y = top + 2 * (i / SIDE);
            /* halves are rounded down and up in turns, so that the mean of many stays */
            const double sum = component_of(pixel(image, x, y), component) +
                               component_of(pixel(image, x + 1, y), component) +
                               component_of(pixel(image, x, y + 1), component) +
                               component_of(pixel(image, x + 1, y + 1), component);
            block[i] = floor((sum + 1.0 + i % 2) / 4.0) - 128.0;
        }
        put_block(w, component, block);
    }
}

/* --- the file ------------------------------------------------------------------------------------------ */

static void put_segment(Writer *w, int marker, const void *data, int bytes) {
    const uint8_t head[4] = {255, (uint8_t)marker, (uint8_t)((bytes + 2) >> 8),
                             (uint8_t)(bytes + 2)};
    fwrite(head, 1, 4, w->stream);
    fwrite(data, 1, (size_t)bytes, w->stream);
}

static void put_headers(Writer *w, const Image *image) {
    static const uint8_t jfif[] = {'J', 'F', 'I', 'F', 0, 1, 1, 0, 0, 1, 0, 1, 0, 0};
    static const uint8_t scan[] = {3, 1, 0x00, 2, 0x11, 3, 0x11, 0, 63, 0};
    uint8_t text[1 + 16 + 162];
    fwrite("\xff\xd8", 1, 2, w->stream);
    put_segment(w, 0xe0, jfif, sizeof jfif);
    for (int t = 0; t < 2; t++) {
        text[0] = (uint8_t)t;
        for (int i = 0; i < BLOCK; i++) text[1 + i] = w->table[t][zigzag[i]];
        put_segment(w, 0xdb, text, 1 + BLOCK);
    }
    const uint8_t frame[] = {8,
                             (uint8_t)(image->height >> 8),
                             (uint8_t)image->height,
                             (uint8_t)(image->width >> 8),
                             (uint8_t)image->width,
                             3,
                             1,
                             0x22,
                             0,
                             2,
                             0x11,
                             1,
                             3,
                             0x11,
                             1};
    put_segment(w, 0xc0, frame, sizeof frame);
    for (int i = 0; i < 4; i++) {
        text[0] = (uint8_t)((i & 1) << 4 | i >> 1);
        memcpy(text + 1, specs[i].lengths, 16);
        memcpy(text + 17, specs[i].symbol, (size_t)specs[i].symbols);
        put_segment(w, 0xc4, text, 17 + specs[i].symbols);
    }
    put_segment(w, 0xda, scan, sizeof scan);
}

static Status check(const char *name, const Image *image, int quality, Error *err) {
    enum { MOST_SIDE = 65500 };
    if (image->rgb && image->width >= 1 && image->height >= 1 && image->width <= MOST_SIDE &&
        image->height <= MOST_SIDE && quality >= 1 && quality <= 100)
        return OK;
    return fail(
        err, ERR_ARG,
        "jpeg: %s: %d x %d pixels, quality %d: expected sides of 1 to %d, quality of 1 to 100",
        name, image->width, image->height, quality, MOST_SIDE);
}

static void put_file(Writer *w, const Image *image, int quality) {
    prepare(w, quality);
    put_headers(w, image);
    for (int y = 0; y < image->height; y += 2 * SIDE)
        for (int x = 0; x < image->width; x += 2 * SIDE) put_unit(w, image, x, y);
    put_bits(w, 0x7f, 7); /* ones up to the end of the byte */
    fwrite("\xff\xd9", 1, 2, w->stream);
}

Status jpeg_write(const char *path, const Image *image, int quality, Error *err) {
    AtomicFile file;
    Status st = check(path, image, quality, err);
    if (st != OK) return st;
    Writer *w = calloc(1, sizeof *w);
    if (!w) return fail(err, ERR_MEMORY, "jpeg: %s: out of memory", path);
    st = atomic_open(&file, path, err);
    if (st == OK) {
        w->stream = file.stream;
        put_file(w, image, quality);
        st = atomic_commit(&file, err);
        atomic_abort(&file);
    }
    free(w);
    return st;
}

Status jpeg_bytes(uint8_t **out, int64_t *bytes, const Image *image, int quality, Error *err) {
    char *memory = NULL;
    size_t size = 0;
    *out = NULL;
    *bytes = 0;
    Status st = check("memory", image, quality, err);
    if (st != OK) return st;
    Writer *w = calloc(1, sizeof *w);
    if (w) w->stream = open_memstream(&memory, &size);
    if (w && w->stream) put_file(w, image, quality);
    bool whole = w && w->stream && !ferror(w->stream);
    if (w && w->stream) whole = fclose(w->stream) == 0 && whole;
    free(w);
    if (!whole) {
        free(memory);
        return fail(err, ERR_MEMORY, "jpeg: out of memory");
    }
    *out = (uint8_t *)memory;
    *bytes = (int64_t)size;
    return OK;
}
