/* image_gif.c - the first picture of a GIF (CompuServe, GIF89a).
 *
 * We follow Pillow's convert("RGB"). The canvas grows to hold the picture; its other pixels have
 * the colour of the transparent index, else of index 0. Transparent pixels keep their colour. An
 * index beyond the palette is black; without any palette an index is a grey.
 */
#include <stdlib.h>

#include "io/images/image_reader.h"

enum { SCREEN = 13, DESCRIPTOR = 10, COLOURS = 256 };
enum { PALETTE_AT, PALETTE_COLOURS, PICTURE_AT, FILL }; /* Look.detail */

/* Returns the place behind the sub-blocks at `at`, or -1 where the file ends first. */
static int64_t after_blocks(const Look *f, int64_t at) {
    while (at < f->bytes && f->data[at]) at += 1 + f->data[at];
    return at < f->bytes ? at + 1 : -1;
}

/* Returns how many colours the flags of a screen or picture announce; 0 if there are none. */
static int palette_colours(int flags) {
    return flags & 0x80 ? 2 << (flags & 7) : 0;
}

static void look_picture(Look *f, int64_t at) {
    const uint8_t *p = f->data + at;
    const int64_t right = (int64_t)little(p + 1, 2) + little(p + 5, 2),
                  bottom = (int64_t)little(p + 3, 2) + little(p + 7, 2);
    if (right > f->width) f->width = right;
    if (bottom > f->height) f->height = bottom;
    if (little(p + 5, 2) == 0 || little(p + 7, 2) == 0)
        f->width = 0; /* an empty picture is refused as a size */
    const int own = palette_colours(p[9]);
    if (own) {
        f->detail[PALETTE_AT] = (uint64_t)at + DESCRIPTOR;
        f->detail[PALETTE_COLOURS] = (uint64_t)own;
    }
    f->detail[PICTURE_AT] = (uint64_t)at;
    if (at + DESCRIPTOR + 3 * own + 1 >= f->bytes)
        f->fault = "it ends before its pixels: truncated";
}

static void gif_look(Look *f) {
    f->fault = "it ends before its first picture: truncated";
    if (f->bytes < SCREEN) return;
    const int colours = palette_colours(f->data[10]);
    f->width = little(f->data + 6, 2);
    f->height = little(f->data + 8, 2);
    f->detail[PALETTE_AT] = SCREEN;
    f->detail[PALETTE_COLOURS] = (uint64_t)colours;
    for (int64_t at = SCREEN + 3 * colours; at >= 0 && at < f->bytes;) {
        const uint8_t *p = f->data + at;
        if (*p == ';') {
            f->fault = "it holds no picture";
            return;
        }
        if (*p == ',') {
            if (at + DESCRIPTOR > f->bytes) return;
            f->fault = NULL;
            look_picture(f, at);
            return;
        }
        if (*p != '!') { /* stray bytes, which decoders pass over */
            at++;
            continue;
        }
        if (at + 7 < f->bytes && p[1] == 0xf9 && p[2] >= 4 && (p[3] & 1)) f->detail[FILL] = p[6];
        at = after_blocks(f, at + 2);
    }
}

/* --- LZW -------------------------------------------------------------------------------------- */

enum { CODES = 4096 };

typedef struct {
    const Look *f;
    int64_t at;    /* next byte */
    int left;      /* bytes of the current sub-block */
    uint32_t bits; /* bits not yet taken, lowest first */
    int count;
} Bits;

/* Returns the next code of `size` bits, or -1 at the end. */
static int next_code(Bits *b, int size) {
    while (b->count < size) {
        if (b->left == 0) {
            b->left = b->at < b->f->bytes ? b->f->data[b->at++] : 0;
            if (b->left == 0) return -1;
        }
        if (b->at >= b->f->bytes) return -1;
        b->bits |= (uint32_t)b->f->data[b->at++] << b->count;
        b->count += 8;
        b->left--;
    }
    const int code = (int)(b->bits & ((1u << size) - 1));
    b->bits >>= size;
    b->count -= size;
    return code;
}

typedef struct {
    uint16_t prefix[CODES];
    uint8_t last[CODES], first[CODES];
    uint16_t length[CODES];
} Strings;

static void add_string(Strings *s, int code, int prefix, int last) {
    s->prefix[code] = (uint16_t)prefix;
    s->last[code] = (uint8_t)last;
    s->first[code] = s->first[prefix];
    s->length[code] = (uint16_t)(s->length[prefix] + 1);
}

/* Decodes `n` indices. Returns how many there are; fewer where the data ends or is damaged. */
static int64_t inflate_lzw(uint8_t *out, int64_t n, Bits *bits, int least, Strings *s) {
    const int clear = 1 << least, end = clear + 1;
    int size = least + 1, next = end + 1, before = -1;
    int64_t done = 0;
    for (int c = 0; c < clear; c++) {
        s->last[c] = s->first[c] = (uint8_t)c;
        s->length[c] = 1;
    }
    while (done < n) {
        const int code = next_code(bits, size);
        if (code < 0 || code == end) break;
        if (code == clear) {
            size = least + 1;
            next = end + 1;
            before = -1;
            continue;
        }
        if (code > next || (code == next && (before < 0 || next == CODES)) ||
            (before < 0 && code > end))
            break;
        if (before >= 0 && next < CODES) {
            add_string(s, next, before, s->first[code == next ? before : code]);
            next++;
            if (next == 1 << size && size < 12) size++;
        }
        const int length = s->length[code];
        for (int i = length - 1, c = code; i >= 0; i--, c = s->prefix[c])
            if (done + i < n) out[done + i] = s->last[c];
        done += length;
        before = code;
    }
    return done < n ? done : n;
}

/* --- pixels ----------------------------------------------------------------------------------- */

/* Returns the row of the picture that is stored as the i-th of `height`. */
static int interlaced_row(int i, int height) {
    static const int first[] = {0, 4, 2, 1}, step[] = {8, 8, 4, 2};
    for (int pass = 0; pass < 4; pass++) {
        const int rows = height > first[pass] ? (height - first[pass] - 1) / step[pass] + 1 : 0;
        if (i < rows) return first[pass] + i * step[pass];
        i -= rows;
    }
    return height - 1;
}

static void palette_of(uint8_t palette[3 * COLOURS], const Look *f) {
    const int64_t colours = (int64_t)f->detail[PALETTE_COLOURS];
    memset(palette, 0, 3 * COLOURS);
    if (colours) memcpy(palette, f->data + f->detail[PALETTE_AT], 3 * (size_t)colours);
    else
        for (int i = 0; i < 3 * COLOURS; i++) palette[i] = (uint8_t)(i / 3);
}

static void draw(Image *out, const Look *f, const uint8_t *index) {
    const uint8_t *p = f->data + f->detail[PICTURE_AT];
    const int left = (int)little(p + 1, 2), top = (int)little(p + 3, 2);
    const int width = (int)little(p + 5, 2), height = (int)little(p + 7, 2);
    const bool interlaced = p[9] & 0x40;
    uint8_t palette[3 * COLOURS];
    palette_of(palette, f);
    const int64_t n = (int64_t)out->width * out->height;
    for (int64_t i = 0; i < n; i++) memcpy(out->rgb + 3 * i, palette + 3 * f->detail[FILL], 3);
    for (int i = 0; i < height; i++) {
        const int row = top + (interlaced ? interlaced_row(i, height) : i);
        uint8_t *to = out->rgb + ((int64_t)row * out->width + left) * 3;
        for (int x = 0; x < width; x++)
            memcpy(to + 3 * x, palette + 3 * index[(int64_t)i * width + x], 3);
    }
}

static Fault gif_decode(Image *out, const Look *f) {
    const uint8_t *p = f->data + f->detail[PICTURE_AT];
    const int64_t n = (int64_t)little(p + 5, 2) * little(p + 7, 2);
    const int64_t at = (int64_t)f->detail[PICTURE_AT] + DESCRIPTOR + 3 * palette_colours(p[9]);
    const int least = f->data[at];
    if (least < 1 || least > 8) return "its code size is not 1 to 8 bits: damaged";
    Bits bits = {.f = f, .at = at + 1};
    uint8_t *index = calloc((size_t)n, 1);
    Strings *strings = calloc(1, sizeof *strings);
    Fault fault = image_no_memory;
    if (index && strings && image_allocate(out, f)) {
        fault = NULL;
        if (inflate_lzw(index, n, &bits, least, strings) == n) draw(out, f, index);
        else fault = "its coded data end before its last row: truncated or damaged";
    }
    free(index);
    free(strings);
    return fault;
}

const ImageReader gif_reader = {gif_look, gif_decode};
