/* image_pnm.c - portable anymaps: P1 to P6 and P7 (PAM), text and binary, any maximum.
 *
 * A sample v of maximum m becomes the byte 255 v / m, rounded. A binary sample above the maximum is
 * white, as in Pillow; a text sample above it is refused.
 */
#include "io/images/image_reader.h"

enum {
    DATA_AT,
    MOST,
    CHANNELS
}; /* Look.detail: place of the samples, their maximum, samples of a pixel */

static bool is_space(int c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void skip_line(const Look *f, int64_t *at) {
    while (*at < f->bytes && f->data[*at] != '\n' && f->data[*at] != '\r') ++*at;
}

/* Takes a whole number behind white space and comments. Returns -1 if there is none. A number
 * beyond 2^24, which is refused later, loses its last digits. */
static int64_t number(const Look *f, int64_t *at) {
    for (; *at < f->bytes; ++*at) {
        if (f->data[*at] == '#') skip_line(f, at);
        else if (!is_space(f->data[*at])) break;
    }
    int64_t x = -1;
    for (; *at < f->bytes && f->data[*at] >= '0' && f->data[*at] <= '9'; ++*at)
        if (x < 1 << 24) x = (x < 0 ? 0 : x) * 10 + (f->data[*at] - '0');
    return x;
}

/* Takes the lines "WIDTH 12" of a PAM up to ENDHDR. */
static void look_pam(Look *f, int64_t *at) {
    static const char *const names[] = {"WIDTH", "HEIGHT", "DEPTH", "MAXVAL"};
    int64_t value[4] = {-1, -1, -1, -1};
    while (*at < f->bytes && !begins(f, *at, "ENDHDR")) {
        for (int i = 0; i < 4; i++)
            if (begins(f, *at, names[i])) {
                *at += (int64_t)strlen(names[i]);
                value[i] = number(f, at);
            }
        if (begins(f, *at, "TUPLTYPE CMYK")) f->unread = "PAM of CMYK";
        skip_line(f, at);
        while (*at < f->bytes && is_space(f->data[*at])) ++*at;
    }
    *at += 6;
    f->width = value[0];
    f->height = value[1];
    f->detail[MOST] = value[3] > 0 ? (uint64_t)value[3] : 0;
    f->detail[CHANNELS] = value[2] > 0 ? (uint64_t)value[2] : 0;
    if (f->detail[CHANNELS] > 4 && !f->unread) f->unread = "PAM of more than four channels";
}

static bool is_text(const Look *f) {
    return f->data[1] <= '3';
}

static bool is_bitmap(const Look *f) {
    return f->data[1] == '1' || f->data[1] == '4';
}

/* Returns the least number of bytes that the samples can take. */
static int64_t least_bytes(const Look *f) {
    const int64_t samples = f->width * f->height * (int64_t)f->detail[CHANNELS];
    if (f->data[1] == '4') return (f->width + 7) / 8 * f->height;
    if (is_bitmap(f)) return samples;
    return is_text(f) ? 2 * samples - 1 : f->detail[MOST] > 255 ? 2 * samples : samples;
}

static void pnm_look(Look *f) {
    int64_t at = 2;
    const int kind = f->data[1];
    if (kind == '7') {
        look_pam(f, &at);
    } else {
        f->width = number(f, &at);
        f->height = number(f, &at);
        const int64_t most = is_bitmap(f) ? 1 : number(f, &at);
        f->detail[MOST] = most > 0 ? (uint64_t)most : 0;
        f->detail[CHANNELS] = kind == '3' || kind == '6' ? 3 : 1;
    }
    f->detail[DATA_AT] = (uint64_t)at + 1; /* samples begin behind one white space */
    if (f->width < 1 || f->height < 1 || f->detail[CHANNELS] < 1)
        f->fault = "its header is not one of a PNM: damaged";
    else if (f->detail[MOST] < 1 || f->detail[MOST] > 65535)
        f->fault = "its maximum is not 1 to 65535: damaged";
    else if (size_is_fine(f->width, f->height) && !f->unread && at + 1 + least_bytes(f) > f->bytes)
        f->fault = "it ends before its last row: truncated";
}

/* --- samples ---------------------------------------------------------------------------------- */

/* The samples of a file, read one after the other. */
typedef struct {
    const Look *f;
    int64_t at, most;
    bool text, wide;
    Fault fault;
} Samples;

/* Takes one digit of a P1, whose digits need no white space between them. */
static int bit_of_text(Samples *s) {
    const Look *f = s->f;
    for (; s->at < f->bytes && f->data[s->at] != '0' && f->data[s->at] != '1'; s->at++) {
        if (f->data[s->at] == '#') skip_line(f, &s->at);
        else if (!is_space(f->data[s->at])) break;
    }
    if (s->at < f->bytes && (f->data[s->at] == '0' || f->data[s->at] == '1'))
        return f->data[s->at++] == '0';
    s->fault = "a sample is neither 0 nor 1: damaged or truncated";
    return 0;
}

/* Returns the next sample as a byte. */
static uint8_t next_sample(Samples *s) {
    int64_t v;
    if (s->text) {
        v = number(s->f, &s->at);
        if (v < 0 || v > s->most) {
            s->fault = v < 0 ? "a sample is no number: damaged or truncated"
                             : "a sample is above its maximum: damaged";
            return 0;
        }
    } else {
        v = big(s->f->data + s->at, s->wide ? 2 : 1);
        s->at += s->wide ? 2 : 1;
        if (v > s->most) v = s->most;
    }
    return s->most == 255 ? (uint8_t)v : (uint8_t)((2 * 255 * v + s->most) / (2 * s->most));
}

static Fault decode_bits(Image *out, Samples *s) {
    const int64_t row_bytes = (out->width + 7) / 8;
    for (int y = 0; y < out->height && !s->fault; y++)
        for (int x = 0; x < out->width && !s->fault; x++) {
            const bool white =
                s->text ? bit_of_text(s)
                        : !(s->f->data[s->at + y * row_bytes + x / 8] >> (7 - x % 8) & 1);
            memset(out->rgb + ((int64_t)y * out->width + x) * 3, white ? 255 : 0, 3);
        }
    return s->fault;
}

static Fault pnm_decode(Image *out, const Look *f) {
    Samples s = {.f = f,
                 .at = (int64_t)f->detail[DATA_AT],
                 .most = (int64_t)f->detail[MOST],
                 .text = is_text(f),
                 .wide = f->detail[MOST] > 255};
    const int channels = (int)f->detail[CHANNELS];
    const int64_t n = f->width * f->height;
    if (!image_allocate(out, f)) return image_no_memory;
    if (is_bitmap(f)) return decode_bits(out, &s);
    if (!s.text && s.most == 255 && channels == 3) {
        memcpy(out->rgb, f->data + s.at, (size_t)(3 * n));
        return NULL;
    }
    for (int64_t i = 0; i < n && !s.fault; i++) {
        uint8_t pixel[4] = {0};
        for (int c = 0; c < channels; c++) pixel[c] = next_sample(&s);
        for (int c = 0; c < 3; c++) out->rgb[3 * i + c] = pixel[channels < 3 ? 0 : c];
    }
    return s.fault;
}

const ImageReader pnm_reader = {pnm_look, pnm_decode};
