/* image_jpeg.c - JPEG (ITU-T T.81, annex B): its segments found here, decoded by stb_image. */
#include "io/images/image_jpeg.h"

enum { SOF0 = 0xc0, DHT = 0xc4, SOF15 = 0xcf, RST0 = 0xd0, RST7 = 0xd7, SOI, EOI, SOS, DQT, DNL };
enum { DRI = 0xdd, APP0 = 0xe0, APP1 = 0xe1, APP14 = 0xee, COM = 0xfe, TEM = 0x01 };

/* --- segments --------------------------------------------------------------------------------- */

typedef struct {
    int marker;     /* EOI for the last segment */
    int64_t at, n;  /* bytes from the segment's length on; SOS includes the entropy-coded data */
    int64_t header; /* bytes before the entropy-coded data */
} Segment;

static bool is_frame(int marker) { /* SOF0 .. SOF15, but for DHT, JPG and DAC */
    return marker >= SOF0 && marker <= SOF15 && marker != DHT && marker != 0xc8 && marker != 0xcc;
}

static bool has_segment(int marker) {
    return marker >= SOF0 && marker != SOI && !(marker >= RST0 && marker <= RST7);
}

/* Returns the place of the marker that ends the entropy-coded data at `at`, or f->bytes. */
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

/* Returns true if the n bytes of a DHT segment are whole Huffman tables of at most 256 codes. The
 * decoder trusts the counts: stb_image 2.27 writes past its tables otherwise. */
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

/* --- which tables there are ------------------------------------------------------------------- */

/* Huffman tables of T.81, K.3.3, as a DHT segment from its length on. Cameras that send Motion JPEG
 * leave them out of their frames. */
/* clang-format off */
static const uint8_t standard_tables[] = {
    0x01, 0xa2, /* 418 bytes, these two included */
    0x00, /* luminance, DC: how many codes have 1 to 16 bits; their values */
    0x00, 0x01, 0x05, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b,
    0x01, /* chrominance, DC: how many codes have 1 to 16 bits; their values */
    0x00, 0x03, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b,
    0x10, /* luminance, AC: how many codes have 1 to 16 bits; their values */
    0x00, 0x02, 0x01, 0x03, 0x03, 0x02, 0x04, 0x03, 0x05, 0x05, 0x04, 0x04, 0x00, 0x00, 0x01, 0x7d,
    0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07,
    0x22, 0x71, 0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0,
    0x24, 0x33, 0x62, 0x72, 0x82, 0x09, 0x0a, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x25, 0x26, 0x27, 0x28,
    0x29, 0x2a, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49,
    0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69,
    0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89,
    0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7,
    0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3, 0xc4, 0xc5,
    0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2,
    0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8,
    0xf9, 0xfa,
    0x11, /* chrominance, AC: how many codes have 1 to 16 bits; their values */
    0x00, 0x02, 0x01, 0x02, 0x04, 0x04, 0x03, 0x04, 0x07, 0x05, 0x04, 0x04, 0x00, 0x01, 0x02, 0x77,
    0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71,
    0x13, 0x22, 0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33, 0x52, 0xf0,
    0x15, 0x62, 0x72, 0xd1, 0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25, 0xf1, 0x17, 0x18, 0x19, 0x1a, 0x26,
    0x27, 0x28, 0x29, 0x2a, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48,
    0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68,
    0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87,
    0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5,
    0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3,
    0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda,
    0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8,
    0xf9, 0xfa,
};
/* clang-format on */

typedef struct {
    const uint8_t *frame; /* its components: name, sampling, number of the quantization table */
    int components, marker;
    unsigned dc, ac, quantization; /* bit t: table t is there */
} Tables;

/* Notes the tables of a DHT or DQT segment of `n` bytes. */
static void note_tables(Tables *t, int marker, const uint8_t *at, int64_t n) {
    while (n > 0) {
        int64_t bytes = at[0] >> 4 ? 129 : 65;
        if (marker == DHT) {
            bytes = 17;
            for (int i = 1; i < 17 && n >= 17; i++) bytes += at[i];
        }
        if (n < bytes) return;
        if (marker == DQT) t->quantization |= 1u << (at[0] & 15);
        else if (at[0] >> 4) t->ac |= 1u << (at[0] & 15);
        else t->dc |= 1u << (at[0] & 15);
        at += bytes;
        n -= bytes;
    }
}

/* Returns a fault if a scan needs a table that the file has not brought: the decoder would take one
 * of zeros. */
static Fault look_scan(const Tables *t, const uint8_t *p, int64_t n) {
    const int count = n >= 6 ? p[2] : 0;
    if (count < 1 || n < 6 + 2 * count) return "its scan header is too short: damaged";
    const bool progressive = t->marker == 0xc2;
    const int first = p[3 + 2 * count], high = p[5 + 2 * count] >> 4;
    const bool dc = !progressive || (first == 0 && high == 0), ac = !progressive || first > 0;
    const unsigned standard = progressive ? 0 : 3;
    for (int i = 0; i < count; i++) {
        const int name = p[3 + 2 * i], tables = p[4 + 2 * i];
        if ((dc && !((t->dc | standard) >> (tables >> 4) & 1)) ||
            (ac && !((t->ac | standard) >> (tables & 15) & 1)))
            return "a Huffman table that it uses is not in it: damaged";
        for (int k = 0; k < t->components; k++)
            if (t->frame[3 * k] == name && !(t->quantization >> (t->frame[3 * k + 2] & 15) & 1))
                return "a quantization table that it uses is not in it: damaged";
    }
    return NULL;
}

/* --- what the header says --------------------------------------------------------------------- */

enum { JFIF = 1, ADOBE = 2 }; /* bits of Look.detail[0]: application segments that there are */

static const char *unread_coding(int marker) {
    if (marker <= 0xc2) return NULL;
    if (marker == 0xc3) return "lossless JPEG";
    if (marker == 0xc9 || marker == 0xca) return "arithmetic-coded JPEG";
    return marker < 0xc8 || marker > 0xcb ? "hierarchical JPEG" : "lossless arithmetic-coded JPEG";
}

/* Returns true if a sampling factor does not divide the largest one. */
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
    Tables tables = {0};
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
            if (!f->fault)
                tables.frame = f->data + s.at + 8, tables.components = (int)f->detail[2],
                tables.marker = s.marker;
        }
        if (s.marker == SOS) {
            scans++;
            if (!f->unread && !f->fault) f->fault = look_scan(&tables, f->data + s.at, s.header);
        }
        if (s.marker >= APP0 && s.marker <= APP14) look_application(f, &s);
        if (s.marker == DHT && !are_huffman_tables(f->data + s.at + 2, s.n - 2))
            f->fault = "a Huffman table that is none: damaged";
        if (s.marker == DHT || s.marker == DQT)
            note_tables(&tables, s.marker, f->data + s.at + 2, s.n - 2);
    }
    if (!f->fault) f->fault = "it ends before its end marker: truncated";
}

/* --- decoding --------------------------------------------------------------------------------- */

/* Returns libjpeg's choice: JFIF's and Adobe's segments decide, else the components' names. */
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
    bool good = stb_jpeg_segment(jpeg, DHT, standard_tables, sizeof standard_tables);
    for (int64_t at = 2; good && next_segment(&s, f, &at) && s.marker != EOI;)
        if (is_decoded(s.marker)) good = stb_jpeg_segment(jpeg, s.marker, f->data + s.at, s.n);
    const int count = good ? stb_jpeg_planes(jpeg, planes) : 0;
    const Fault fault =
        count == (int)f->detail[2] ? jpeg_pixels(out, planes, colour_of(f)) : damaged;
    stb_jpeg_close(jpeg);
    return fault;
}

const ImageReader jpeg_reader = {jpeg_look, jpeg_decode};
