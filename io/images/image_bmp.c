/* image_bmp.c - Windows and OS/2 bitmaps: palettes, 16 to 32 bits with any masks, run lengths.
 *
 * Headers have 12 bytes (OS/2 1.x), 16 to 64 (OS/2 2.x) or 40, 52, 56, 108, 124 (Windows). An index
 * beyond the palette is black; pixels that run lengths leave out have index 0; alpha is dropped.
 */
#include "io/images/image_reader.h"

enum { FILE_HEADER = 14, COLOURS = 256 };
enum { PLAIN, RLE8, RLE4, MASKS, JPEG_INSIDE, PNG_INSIDE, ALPHA_MASKS }; /* compression */

/* Fields of a header, which bmp_look and bmp_decode each read afresh. */
typedef struct {
    int64_t header, pixels_at, palette_at, width, height;
    int64_t colours;              /* colours in the palette */
    int bits, compression, entry; /* entry: bytes of a colour in the palette */
    bool top_first;
} Bmp;

/* Returns the n bytes at `at` of the header, or 0 where the header is shorter. */
static uint32_t field(const Look *f, int64_t header, int at, int n) {
    return at + n <= header ? little(f->data + FILE_HEADER + at, n) : 0;
}

static Bmp bmp_header(const Look *f) {
    Bmp b = {.header = little(f->data + FILE_HEADER, 4), .pixels_at = little(f->data + 10, 4)};
    const bool old = b.header == 12;
    b.width = old ? (int64_t)field(f, 12, 4, 2) : (int32_t)field(f, b.header, 4, 4);
    b.height = old ? (int64_t)field(f, 12, 6, 2) : (int32_t)field(f, b.header, 8, 4);
    b.top_first = b.height < 0;
    if (b.top_first) b.height = -b.height;
    b.bits = (int)field(f, b.header, old ? 10 : 14, 2);
    b.compression = old ? PLAIN : (int)(field(f, b.header, 16, 4) & 0xff);
    b.entry = old ? 3 : 4;
    b.colours = old ? 0 : field(f, b.header, 32, 4);
    if (b.bits <= 8 && b.colours == 0) b.colours = 1 << b.bits;
    b.palette_at = FILE_HEADER + b.header;
    if (b.header == 40 && (b.compression == MASKS || b.compression == ALPHA_MASKS))
        b.palette_at += b.compression == MASKS ? 12 : 16;
    /* some writers forget that a palette lies before the pixels */
    if (b.bits <= 8 && b.pixels_at == FILE_HEADER + b.header)
        b.pixels_at += b.entry * (b.colours < COLOURS ? b.colours : COLOURS);
    return b;
}

static int64_t row_bytes(const Bmp *b) {
    return (b->width * b->bits + 31) / 32 * 4;
}

static bool has_runs(const Bmp *b) {
    return b->compression == RLE8 || b->compression == RLE4;
}

/* --- what the header says --------------------------------------------------------------------- */

static const char *unread_coding(const Bmp *b) {
    const bool os2 = b->header < 40 || b->header == 64;
    if (os2 && b->compression == 3 && b->bits == 1) return "BMP of Huffman coding (OS/2)";
    if (os2 && b->compression == 4) return "BMP of 24-bit run lengths (OS/2)";
    if (b->compression == JPEG_INSIDE) return "BMP with a JPEG inside";
    if (b->compression == PNG_INSIDE) return "BMP with a PNG inside";
    return b->compression > ALPHA_MASKS ? "BMP of CMYK or an unknown compression" : NULL;
}

/* Returns true if depth and compression go together. */
static bool is_known(const Bmp *b) {
    const int n = b->bits;
    if (b->compression == RLE8) return n == 8;
    if (b->compression == RLE4) return n == 4;
    if (b->compression == MASKS || b->compression == ALPHA_MASKS)
        return n == 16 || n == 24 || n == 32;
    return n == 1 || n == 2 || n == 4 || n == 8 || n == 16 || n == 24 || n == 32;
}

static void bmp_look(Look *f) {
    enum { LONGEST = 1 << 16 };
    f->fault = "it ends before its header does: truncated";
    if (f->bytes < FILE_HEADER + 12) return;
    const int64_t header = little(f->data + FILE_HEADER, 4);
    if (header != 12 && (header < 16 || header > LONGEST)) {
        f->fault = "its header has a size that there is not: damaged";
        return;
    }
    if (f->bytes < FILE_HEADER + header) return;
    const Bmp b = bmp_header(f);
    f->width = b.width;
    f->height = b.height;
    f->fault = NULL;
    f->unread = unread_coding(&b);
    if (f->unread || !size_is_fine(b.width, b.height)) return;
    if (!is_known(&b)) f->fault = "its bits per pixel do not go with its compression: damaged";
    else if (b.pixels_at >= f->bytes ||
             (!has_runs(&b) && b.pixels_at + row_bytes(&b) * b.height > f->bytes))
        f->fault = "it ends before its last row: truncated";
}

/* --- palettes --------------------------------------------------------------------------------- */

static void read_palette(uint8_t palette[3 * COLOURS], const Look *f, const Bmp *b) {
    memset(palette, 0, 3 * COLOURS);
    for (int64_t i = 0; i < b->colours && i < COLOURS; i++) {
        const int64_t at = b->palette_at + i * b->entry;
        if (at + 3 > f->bytes) return;
        for (int c = 0; c < 3; c++) palette[3 * i + c] = f->data[at + 2 - c];
    }
}

static uint8_t *row_of(const Image *out, const Bmp *b, int64_t y) {
    return out->rgb + (b->top_first ? y : out->height - 1 - y) * out->width * 3;
}

static void draw_indices(Image *out, const Look *f, const Bmp *b) {
    uint8_t palette[3 * COLOURS];
    const int in_byte = 8 / b->bits, mask = (1 << b->bits) - 1;
    read_palette(palette, f, b);
    for (int64_t y = 0; y < b->height; y++) {
        const uint8_t *from = f->data + b->pixels_at + y * row_bytes(b);
        uint8_t *to = row_of(out, b, y);
        for (int x = 0; x < out->width; x++) {
            const int shift = 8 - b->bits * (x % in_byte + 1);
            memcpy(to + 3 * x, palette + 3 * (from[x / in_byte] >> shift & mask), 3);
        }
    }
}

/* --- run lengths ------------------------------------------------------------------------------ */

/* A pen that moves over the picture. Pixels outside the picture are lost. */
typedef struct {
    Image *out;
    const Bmp *b;
    const uint8_t *palette;
    int64_t x, y;
} Pen;

static void put_index(Pen *p, int index) {
    if (p->x < p->out->width && p->y < p->out->height)
        memcpy(row_of(p->out, p->b, p->y) + 3 * p->x, p->palette + 3 * index, 3);
    p->x++;
}

/* Puts n indices from packed bytes, or from one byte over and over. */
static void put_run(Pen *p, const uint8_t *from, int n, bool one_byte) {
    for (int i = 0; i < n; i++) {
        if (p->b->compression == RLE8) put_index(p, from[one_byte ? 0 : i]);
        else put_index(p, from[one_byte ? 0 : i / 2] >> (i % 2 ? 0 : 4) & 15);
    }
}

/* Takes a pair that begins with 0: the end of a row (0) or of the picture (1), a move (2), or n
 * indices that follow. Returns the bytes that it takes; 0 at the end of the picture; -1 at the end
 * of the file. */
static int64_t escape(Pen *p, const uint8_t *at, int64_t left) {
    const int n = at[1];
    if (n == 1) return 0;
    if (n == 0) {
        p->x = 0;
        p->y++;
        return 2;
    }
    if (n == 2) {
        if (left < 4) return -1;
        p->x += at[2];
        p->y += at[3];
        return 4;
    }
    const int64_t bytes = p->b->compression == RLE8 ? n : (n + 1) / 2;
    if (left < 2 + bytes) return -1;
    put_run(p, at + 2, n, false);
    return 2 + bytes + (bytes & 1);
}

static Fault draw_runs(Image *out, const Look *f, const Bmp *b) {
    uint8_t palette[3 * COLOURS];
    Pen pen = {.out = out, .b = b, .palette = palette};
    read_palette(palette, f, b);
    for (int64_t i = 0; i < b->width * b->height; i++) memcpy(out->rgb + 3 * i, palette, 3);
    for (int64_t at = b->pixels_at; at + 2 <= f->bytes && pen.y < b->height;) {
        const uint8_t *p = f->data + at;
        int64_t taken = 2;
        if (p[0]) put_run(&pen, p + 1, p[0], true);
        else taken = escape(&pen, p, f->bytes - at);
        if (taken == 0) return NULL;
        if (taken < 0) break;
        at += taken;
    }
    const bool whole = pen.y >= b->height || (pen.y == b->height - 1 && pen.x >= b->width);
    return whole ? NULL : "it ends before its last row: truncated";
}

/* --- 16 to 32 bits ---------------------------------------------------------------------------- */

/* Bits of a pixel that make one colour. */
typedef struct {
    uint32_t most; /* the mask, shifted to the right; 0: the colour is not stored */
    int shift;
} Channel;

static Fault read_channels(Channel channel[3], const Look *f, const Bmp *b) {
    static const uint32_t usual[2][3] = {{0x7c00, 0x3e0, 0x1f}, {0xff0000, 0xff00, 0xff}};
    uint32_t mask[3];
    const bool given = b->compression == MASKS || b->compression == ALPHA_MASKS;
    const int64_t at = FILE_HEADER + 40;
    if (given && at + 12 > f->bytes) return "it ends before its masks: truncated";
    for (int c = 0; c < 3; c++) mask[c] = given ? little(f->data + at + 4 * c, 4) : 0;
    if (!(mask[0] | mask[1] | mask[2])) memcpy(mask, usual[b->bits > 16], sizeof mask);
    for (int c = 0; c < 3; c++) {
        channel[c] = (Channel){.most = mask[c]};
        while (channel[c].most && !(channel[c].most & 1)) {
            channel[c].most >>= 1;
            channel[c].shift++;
        }
        if (channel[c].most & (channel[c].most + 1)) return "a mask has a gap: damaged";
    }
    return NULL;
}

static Fault draw_masked(Image *out, const Look *f, const Bmp *b) {
    Channel channel[3];
    const Fault fault = read_channels(channel, f, b);
    const int bytes = b->bits / 8;
    for (int64_t y = 0; !fault && y < b->height; y++) {
        const uint8_t *from = f->data + b->pixels_at + y * row_bytes(b);
        uint8_t *to = row_of(out, b, y);
        for (int x = 0; x < out->width; x++, from += bytes) {
            const uint32_t pixel = little(from, bytes);
            for (int c = 0; c < 3; c++) {
                const uint64_t most = channel[c].most, v = pixel >> channel[c].shift & most;
                *to++ = most == 255 ? (uint8_t)v : most ? (uint8_t)(v * 255 / most) : 0;
            }
        }
    }
    return fault;
}

static Fault bmp_decode(Image *out, const Look *f) {
    const Bmp b = bmp_header(f);
    if (!image_allocate(out, f)) return image_no_memory;
    if (has_runs(&b)) return draw_runs(out, f, &b);
    if (b.bits > 8) return draw_masked(out, f, &b);
    if (b.bits < 1)
        return "no bits per pixel: damaged"; /* refused before; the linter cannot know */
    draw_indices(out, f, &b);
    return NULL;
}

const ImageReader bmp_reader = {bmp_look, bmp_decode};
