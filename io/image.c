/* image.c - what is checked of an image file before stb_image decodes it. */
#include "image.h"

#include <stdlib.h>
#include <string.h>

#include "stb.h"
#include "zip.h"

/* A file being looked at, and what its header says. */
typedef struct {
    const uint8_t *data;
    int64_t bytes;
    int64_t width, height;
    const char *fault; /* why it is refused; NULL: it is not */
} Look;

static uint32_t big(const uint8_t *p, int n) {
    uint32_t x = 0;
    for (int i = 0; i < n; i++) x = x << 8 | p[i];
    return x;
}

static uint32_t little(const uint8_t *p, int n) {
    uint32_t x = 0;
    for (int i = n - 1; i >= 0; i--) x = x << 8 | p[i];
    return x;
}

static bool begins(const Look *f, int64_t at, const char *text) {
    const size_t n = strlen(text);
    return f->bytes >= at + (int64_t)n && memcmp(f->data + at, text, n) == 0;
}

/* --- PNG (ISO/IEC 15948) ---------------------------------------------------------------------- */

static void look_png(Look *f) {
    enum { SIGNATURE = 8, AROUND = 12, HEADER = 13 };
    f->fault = "it ends before its last chunk: truncated";
    for (int64_t at = SIGNATURE; f->bytes - at >= AROUND;) {
        const int64_t n = big(f->data + at, 4);
        if (n > f->bytes - at - AROUND) return;
        const uint8_t *chunk = f->data + at + 4;
        if (crc32_update(0, chunk, 4 + n) != big(chunk + 4 + n, 4)) {
            f->fault = "a checksum does not match: damaged";
            return;
        }
        if (at == SIGNATURE) {
            if (memcmp(chunk, "IHDR", 4) != 0 || n != HEADER) break;
            f->width = big(chunk + 4, 4);
            f->height = big(chunk + 8, 4);
        }
        if (memcmp(chunk, "IEND", 4) == 0) {
            f->fault = NULL;
            return;
        }
        at += AROUND + n;
    }
}

/* --- JPEG (ITU-T T.81, annex B) --------------------------------------------------------------- */

static bool is_frame(int marker) { /* SOF0 .. SOF15 without DHT, JPG and DAC */
    return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
}

/* The marker that ends the entropy-coded data at `at`; f->bytes if none does. */
static int64_t after_scan(const Look *f, int64_t at) {
    for (; at + 1 < f->bytes; at++) {
        const uint8_t *p = memchr(f->data + at, 0xff, (size_t)(f->bytes - at - 1));
        if (!p) break;
        at = p - f->data;
        const int next = p[1];
        if (next != 0 && next != 0xff && !(next >= 0xd0 && next <= 0xd7)) return at;
    }
    return f->bytes;
}

/* True if the n bytes of a DHT segment are whole Huffman tables of at most 256 codes: the decoder
 * trusts the counts (stb_image 2.27 writes past its tables otherwise). */
static bool are_huffman_tables(const uint8_t *at, int64_t n) {
    enum { HEAD = 17, CODES = 256 };
    while (n > 0) {
        int64_t codes = 0;
        for (int i = 1; i < HEAD && n >= HEAD; i++) codes += at[i];
        if (n < HEAD + codes || codes > CODES) return false;
        at += HEAD + codes;
        n -= HEAD + codes;
    }
    return true;
}

static void look_jpeg(Look *f) {
    f->fault = "it ends before its end marker: truncated";
    for (int64_t at = 2; at + 4 <= f->bytes || (at + 2 <= f->bytes && f->data[at + 1] == 0xd9);) {
        const int marker = f->data[at + 1];
        if (f->data[at] != 0xff) {
            f->fault = "no marker where one is due: damaged";
            return;
        }
        if (marker == 0xff) { /* a fill byte */
            at++;
            continue;
        }
        if (marker == 0xd9) {
            f->fault = f->width > 0 ? NULL : "it has no frame: damaged";
            return;
        }
        const int64_t n = big(f->data + at + 2, 2);
        if (n < 2 || at + 2 + n > f->bytes) return;
        if (is_frame(marker)) {
            if (n < 8) break;
            if (marker > 0xc2) {
                f->fault = "a lossless, hierarchical or arithmetic-coded JPEG: convert it to PNG";
                return;
            }
            f->height = big(f->data + at + 5, 2);
            f->width = big(f->data + at + 7, 2);
        }
        if (marker == 0xc4 && !are_huffman_tables(f->data + at + 4, n - 2)) {
            f->fault = "a Huffman table that is none: damaged";
            return;
        }
        at += 2 + n;
        if (marker == 0xda) at = after_scan(f, at);
    }
}

/* --- BMP and PNM ------------------------------------------------------------------------------ */

static void look_bmp(Look *f) {
    f->fault = "it ends before its header does: truncated";
    if (f->bytes < 14 + 12) return;
    const int64_t offset = little(f->data + 10, 4), header = little(f->data + 14, 4);
    if (f->bytes < 14 + header || (header != 12 && header < 40)) return;
    const bool old = header == 12;
    const int32_t width = (int32_t)little(f->data + 18, old ? 2 : 4),
                  height = (int32_t)little(f->data + (old ? 20 : 22), old ? 2 : 4);
    const int64_t bits = little(f->data + (old ? 24 : 28), 2);
    f->width = width;
    f->height = height < 0 ? -(int64_t)height : height; /* negative: top row first */
    const int64_t row = (f->width * bits + 31) / 32 * 4;
    f->fault = f->width > 0 && f->height > 0 && f->width <= IMAGE_MAX_SIDE &&
                       f->height <= IMAGE_MAX_SIDE && offset + row * f->height > f->bytes
                   ? "it ends before its last row: truncated"
                   : NULL;
}

/* A whole number of a PNM header, behind white space and comments; -1 if there is none. */
static int64_t pnm_number(const Look *f, int64_t *at) {
    for (; *at < f->bytes; ++*at) {
        const uint8_t c = f->data[*at];
        if (c == '#')
            while (*at < f->bytes && f->data[*at] != '\n') ++*at;
        else if (c != ' ' && (c < '\t' || c > '\r')) break;
    }
    int64_t x = -1;
    for (; *at < f->bytes && f->data[*at] >= '0' && f->data[*at] <= '9' && x < 1 << 24; ++*at)
        x = (x < 0 ? 0 : x) * 10 + (f->data[*at] - '0');
    return x;
}

static void look_pnm(Look *f) {
    int64_t at = 2;
    const int channels = f->data[1] == '6' ? 3 : 1;
    f->width = pnm_number(f, &at);
    f->height = pnm_number(f, &at);
    const int64_t most = pnm_number(f, &at), size = most > 255 ? 2 : 1;
    f->fault = NULL;
    if (f->width < 1 || f->height < 1 || most < 1 || most > 65535)
        f->fault = "its header is not one of a binary PGM or PPM: damaged";
    else if (f->width <= IMAGE_MAX_SIDE && f->height <= IMAGE_MAX_SIDE &&
             at + 1 + f->width * f->height * channels * size > f->bytes)
        f->fault = "it ends before its last row: truncated";
}

/* --- all of them ------------------------------------------------------------------------------ */

static const char *const ours = "convert it to JPEG or PNG";

/* The name of a format that is known and not read; NULL for others. */
static const char *unread_format(const Look *f) {
    if (begins(f, 0, "GIF8")) return "GIF";
    if (begins(f, 0, "RIFF") && begins(f, 8, "WEBP")) return "WebP";
    if (begins(f, 0, "II*") || begins(f, 0, "MM")) return "TIFF";
    if (begins(f, 4, "ftypavif")) return "AVIF";
    if (begins(f, 4, "ftyphei") || begins(f, 4, "ftypmif1")) return "HEIC";
    if (begins(f, 4, "jP  ") || begins(f, 0, "\xff\x4f\xff\x51")) return "JPEG 2000";
    if (begins(f, 0, "8BPS")) return "Photoshop";
    if (begins(f, 0, "P1") || begins(f, 0, "P2") || begins(f, 0, "P3") || begins(f, 0, "P4"))
        return "text or bitmap PNM";
    return NULL;
}

static bool look(Look *f) {
    if (begins(f, 0, "\x89PNG\r\n\x1a\n")) look_png(f);
    else if (begins(f, 0, "\xff\xd8\xff")) look_jpeg(f);
    else if (begins(f, 0, "BM")) look_bmp(f);
    else if (begins(f, 0, "P5") || begins(f, 0, "P6")) look_pnm(f);
    else return false;
    return true;
}

Status image_decode(Image *out, const uint8_t *data, int64_t bytes, const char *name, Error *err) {
    Look f = {.data = data, .bytes = bytes};
    *out = (Image){0};
    if (bytes == 0) return fail(err, ERR_FORMAT, "image: %s: the file is empty", name);
    if (!look(&f)) {
        const char *format = unread_format(&f);
        if (format)
            return fail(err, ERR_FORMAT, "image: %s: %s is not read: %s", name, format, ours);
        return fail(err, ERR_FORMAT, "image: %s: not an image: expected JPEG, PNG, BMP or PNM",
                    name);
    }
    if (f.fault) return fail(err, ERR_FORMAT, "image: %s: %s", name, f.fault);
    if (f.width < 1 || f.height < 1 || f.width > IMAGE_MAX_SIDE || f.height > IMAGE_MAX_SIDE ||
        f.width * f.height > IMAGE_MAX_PIXELS || bytes > INT32_MAX)
        return fail(
            err, ERR_FORMAT,
            "image: %s: %lld x %lld pixels: expected 1 to %d along a side and at most %d in "
            "all",
            name, (long long)f.width, (long long)f.height, IMAGE_MAX_SIDE, IMAGE_MAX_PIXELS);
    int width = 0, height = 0, channels = 0;
    uint8_t *rgb = stbi_load_from_memory(data, (int)bytes, &width, &height, &channels, 3);
    if (!rgb)
        return fail(err, ERR_FORMAT,
                    "image: %s: damaged, or of a kind that the decoder does not know: %s", name,
                    ours);
    *out = (Image){rgb, width, height};
    return OK;
}

void image_free(Image *image) {
    if (!image) return;
    stbi_image_free(image->rgb);
    *image = (Image){0};
}
