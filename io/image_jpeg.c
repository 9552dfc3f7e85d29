/* image_jpeg.c - JPEG (ITU-T T.81, annex B): its segments found here, decoded by stb_image. */
#include "image_jpeg.h"

enum { SOF0 = 0xc0, DHT = 0xc4, SOF15 = 0xcf, RST0 = 0xd0, RST7 = 0xd7, SOI, EOI, SOS, DQT, DNL };
enum { DRI = 0xdd, APP0 = 0xe0, APP1 = 0xe1, APP14 = 0xee, COM = 0xfe, TEM = 0x01 };

/* --- segments --------------------------------------------------------------------------------- */

typedef struct {
    int marker;     /* EOI: the last one */
    int64_t at, n;  /* from the segment's length on; of SOS with the entropy-coded data */
    int64_t header; /* bytes of that before entropy-coded data */
} Segment;

static bool is_frame(int marker) { /* SOF0 .. SOF15 without DHT, JPG and DAC */
    return marker >= SOF0 && marker <= SOF15 && marker != DHT && marker != 0xc8 && marker != 0xcc;
}

static bool has_segment(int marker) {
    return marker >= SOF0 && marker != SOI && !(marker >= RST0 && marker <= RST7);
}

/* The marker that ends the entropy-coded data at `at`; f->bytes if none does. */
static int64_t after_scan(const Look *f, int64_t at) {
    for (; at + 1 < f->bytes; at++) {
        const uint8_t *p = memchr(f->data + at, 0xff, (size_t)(f->bytes - at - 1));
        if (!p) break;
        at = p - f->data;
        const int next = p[1];
        if (next != 0xff && has_segment(next)) return at;
    }
    return f->bytes;
}

/* Takes the next segment behind `*at`. Stray bytes before its marker are passed over, as libjpeg
 * does: cameras and old editors leave some, also behind the entropy-coded data. Returns false where
 * the file ends first. */
static bool next_segment(Segment *s, const Look *f, int64_t *at) {
    *at = after_scan(f, *at);
    if (*at >= f->bytes) return false;
    *s = (Segment){.marker = f->data[*at + 1], .at = *at + 2};
    if (s->marker == EOI) return true;
    if (s->at + 2 > f->bytes) return false;
    s->header = s->n = big(f->data + s->at, 2);
    if (s->n < 2 || s->at + s->n > f->bytes) return false;
    if (s->marker == SOS) s->n = after_scan(f, s->at + s->n) - s->at;
    *at = s->at + s->n;
    return true;
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

/* --- what the header says --------------------------------------------------------------------- */

enum { JFIF = 1, ADOBE = 2 }; /* Look.detail[0]: which application segments there are */

static const char *unread_coding(int marker) {
    if (marker <= 0xc2) return NULL;
    if (marker == 0xc3) return "lossless JPEG";
    if (marker == 0xc9 || marker == 0xca) return "arithmetic-coded JPEG";
    return marker < 0xc8 || marker > 0xcb ? "hierarchical JPEG" : "lossless arithmetic-coded JPEG";
}

/* Sampling factors that do not divide the largest ones. */
static bool is_fractional(const uint8_t *component, int count) {
    int h = 1, v = 1;
    for (int k = 0; k < count; k++) {
        const int q = component[3 * k + 1];
        if (q >> 4 > h) h = q >> 4;
        if ((q & 15) > v) v = q & 15;
    }
    for (int k = 0; k < count; k++) {
        const int q = component[3 * k + 1];
        if (!(q >> 4) || !(q & 15) || h % (q >> 4) || v % (q & 15)) return true;
    }
    return false;
}

static void look_frame(Look *f, const Segment *s) {
    const uint8_t *p = f->data + s->at;
    const int count = s->n >= 8 ? p[7] : 0;
    if (s->n < 8 || s->n < 8 + 3 * count || count < 1) {
        f->fault = "its frame header is too short: damaged";
        return;
    }
    f->height = big(p + 3, 2);
    f->width = big(p + 5, 2);
    for (int k = 0; k < count && k < 4; k++) f->detail[1] |= (uint64_t)p[8 + 3 * k] << (8 * k);
    f->detail[2] = (uint64_t)count;
    if (f->unread) return;
    f->unread = unread_coding(s->marker);
    if (!f->unread && p[2] == 12) f->unread = "12-bit JPEG";
    else if (!f->unread && p[2] != 8) f->fault = "its samples have neither 8 nor 12 bits: damaged";
    if (!f->unread && f->height == 0) f->unread = "JPEG without a height in its header (DNL)";
    if (!f->unread && (count == 2 || count > 4)) f->unread = "JPEG of two, five or more components";
    if (!f->unread && is_fractional(p + 8, count)) f->unread = "JPEG of fractional sampling";
}

static void look_application(Look *f, const Segment *s) {
    const uint8_t *text = f->data + s->at + 2;
    const int64_t n = s->n - 2;
    if (s->marker == APP0 && n >= 5 && memcmp(text, "JFIF", 5) == 0) f->detail[0] |= JFIF;
    if (s->marker == APP1 && n >= 6 && memcmp(text, "Exif\0", 6) == 0 && f->orientation == 1)
        f->orientation = exif_orientation(text + 6, n - 6);
    if (s->marker == APP14 && n >= 12 && memcmp(text, "Adobe", 5) == 0) {
        f->detail[0] |= ADOBE;
        f->detail[3] = text[11];
    }
}

/* A progressive file of a few kilobytes can go over all of its pixels thousands of times. Encoders
 * make 10 scans; 16 of the largest picture and 350 of one of 12 megapixels are let through. */
#define MOST_PIXELS_OF_SCANS ((int64_t)1 << 32)

static void jpeg_look(Look *f) {
    Segment s;
    int frames = 0, scans = 0;
    for (int64_t at = 2; next_segment(&s, f, &at) && !f->fault;) {
        if (s.marker == EOI) {
            if (!frames) f->fault = "it has no frame: damaged";
            else if (scans > MOST_PIXELS_OF_SCANS / (f->width * f->height + 1))
                f->fault = "it has more scans than a picture of its size needs: damaged";
            return;
        }
        if (is_frame(s.marker)) {
            if (frames++) f->fault = "it has two frames: damaged";
            else look_frame(f, &s);
        }
        if (s.marker == SOS) scans++;
        if (s.marker >= APP0 && s.marker <= APP14) look_application(f, &s);
        if (s.marker == DHT && !are_huffman_tables(f->data + s.at + 2, s.n - 2))
            f->fault = "a Huffman table that is none: damaged";
    }
    if (!f->fault) f->fault = "it ends before its end marker: truncated";
}

/* --- decoding --------------------------------------------------------------------------------- */

/* libjpeg's choice: JFIF and Adobe's segment say, else the components' names. */
static JpegColour colour_of(const Look *f) {
    const int transform = (int)f->detail[3];
    const bool adobe = f->detail[0] & ADOBE;
    if (f->detail[2] == 1) return JPEG_GREY;
    if (f->detail[2] == 4) return adobe && transform != 0 ? JPEG_YCCK : JPEG_CMYK;
    if (f->detail[0] & JFIF) return JPEG_YCC;
    if (adobe) return transform == 0 ? JPEG_RGB : JPEG_YCC;
    return f->detail[1] == ('R' | 'G' << 8 | 'B' << 16) ? JPEG_RGB : JPEG_YCC;
}

static bool is_decoded(int marker) {
    return is_frame(marker) || marker == DHT || marker == DQT || marker == DRI || marker == SOS;
}

static Fault jpeg_decode(Image *out, const Look *f) {
    static const char damaged[] = "its coded data cannot be decoded: damaged";
    StbPlane planes[4];
    Segment s;
    StbJpeg *jpeg = stb_jpeg_open();
    if (!jpeg || !image_allocate(out, f)) {
        stb_jpeg_close(jpeg);
        return image_no_memory;
    }
    bool good = true;
    for (int64_t at = 2; good && next_segment(&s, f, &at) && s.marker != EOI;)
        if (is_decoded(s.marker)) good = stb_jpeg_segment(jpeg, s.marker, f->data + s.at, s.n);
    const int count = good ? stb_jpeg_planes(jpeg, planes) : 0;
    const Fault fault =
        count == (int)f->detail[2] ? jpeg_pixels(out, planes, colour_of(f)) : damaged;
    stb_jpeg_close(jpeg);
    return fault;
}

const ImageReader jpeg_reader = {jpeg_look, jpeg_decode};
