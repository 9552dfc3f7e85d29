/* image_edges_test.c - every variety of every format against Pillow's pixels
 * (tests/goldens/images_edges/MANIFEST); unread kinds are refused by name. */
#include "io/images/image.h"
#include "io/images/image_kinds.h"
#include "kernels/philox.h"
#include "tests/support/check.h"
#include "tests/support/golden.h"

#define EDGES "tests/goldens/images_edges/"

static uint8_t *edge_bytes(const char *name, int64_t *n) {
    FileMap map;
    Error err;
    char path[160];
    snprintf(path, sizeof path, EDGES "%s", name);
    ASSERT_OK(file_map(&map, path, &err), err);
    uint8_t *bytes = malloc((size_t)map.bytes);
    memcpy(bytes, map.data, (size_t)map.bytes);
    *n = map.bytes;
    file_unmap(&map);
    return bytes;
}

static void expect_words(const void *bytes, int64_t n, const char *words) {
    Image image;
    Error err = {""};
    cr_expect(image_decode(&image, bytes, n, "x.jpg", &err) == ERR_FORMAT, "%s", words);
    cr_expect(strstr(err.text, words) != NULL, "expected '%s' in: %s", words, err.text);
    cr_expect(!image.rgb);
    image_free(&image);
}

/* --- pixels ----------------------------------------------------------------------------------- */

/* PNG, BMP and GIF leave no room for rounding. */
Test(image_edges, lossless_pixels_are_pillows_to_the_bit) {
    FILE *f = fopen(EDGES "exact.txt", "r");
    char name[64];
    int turned, w, h, cases = 0;
    unsigned expected;
    cr_assert(f);
    while (fscanf(f, "%63s %d %d %d %x", name, &turned, &w, &h, &expected) == 5) {
        Image image;
        ImageFacts facts;
        Error err = {""};
        int64_t n;
        uint8_t *bytes = edge_bytes(name, &n);
        cr_expect(image_read(&image, &facts, bytes, n, name, &err) == OK && !facts.unread, "%s",
                  err.text);
        if (turned) ASSERT_OK(image_orient(&image, facts.orientation, &err), err);
        const bool same = image.rgb && image.width == w && image.height == h &&
                          crc32_of(image.rgb, (size_t)w * (size_t)h * 3) == expected;
        cr_expect(same, "%s: other pixels", name);
        image_free(&image);
        free(bytes);
        cases++;
    }
    fclose(f);
    cr_expect(cases == 61, "%d cases", cases);
}

/* Two inverse transforms that round differently are at most 1 apart per component, and chroma counts
 * up to 1.772 times: 1 + 1.772, rounded. Scaling up mixes with weights that sum to 1 and adds no error
 * of its own, for its roundings are the same. */
Test(image_edges, jpeg_pixels_are_within_three_of_libjpegs_to_the_last_column) {
    FILE *f = fopen(EDGES "near.txt", "r");
    char stem[64], path[128];
    int w, h, cases = 0;
    cr_assert(f);
    while (fscanf(f, "%63s %d %d", stem, &w, &h) == 3) {
        Image image;
        Error err = {""};
        int64_t n;
        snprintf(path, sizeof path, "%s.jpg", stem);
        uint8_t *bytes = edge_bytes(path, &n);
        cr_expect(image_decode(&image, bytes, n, path, &err) == OK, "%s", err.text);
        cr_assert(image.width == w && image.height == h, "%s", stem);
        snprintf(path, sizeof path, "images_edges/%s.npy", stem);
        const uint8_t *expected = golden(path, DTYPE_U8, (int64_t)w * h * 3);
        int most = 0;
        for (int i = 0; i < w * h * 3; i++) {
            const int off = abs(image.rgb[i] - expected[i]);
            if (off > most) most = off;
        }
        EXPECT_CLOSE(most, 3, "%s: most", stem);
        image_free(&image);
        free(bytes);
        cases++;
    }
    fclose(f);
    cr_expect(cases == 39, "%d cases", cases);
}

/* A sample v of maximum m becomes 255 v / m, rounded, for every magic number and for maxima of one
 * and two bytes. */
Test(image_edges, pnm_of_any_maximum_is_scaled) {
    static const int maxima[] = {1, 2, 15, 100, 254, 255, 256, 1023, 4095, 65534, 65535};
    enum { W = 7, H = 5, LONGEST = 4096 };
    for (int m = 0; m < 11; m++)
        for (int kind = 2; kind <= 7; kind++) {
            if (kind == 4) continue;
            const int most = maxima[m], channels = kind == 3 || kind == 6 ? 3 : kind == 7 ? 4 : 1;
            char file[LONGEST];
            int value[W * H * 4];
            int n = snprintf(file, sizeof file,
                             kind == 7 ? "P7\nWIDTH 7\nHEIGHT 5\nDEPTH 4\n# a comment\nMAXVAL %d\n"
                                         "TUPLTYPE RGB_ALPHA\nENDHDR\n"
                                       : "P%2$d\n# a comment\n7 5\n%1$d\n",
                             most, kind);
            for (int i = 0; i < W * H * channels; i++) {
                const uint32_t word = philox_at(8, kind, most, 0, (uint32_t)i).word[0];
                value[i] = (int)(word % (uint32_t)(most + 1));
                if (kind < 4) n += snprintf(file + n, sizeof file - (size_t)n, "%d\n", value[i]);
                else if (most > 255) file[n++] = (char)(value[i] >> 8);
                if (kind > 4) file[n++] = (char)value[i];
            }
            Image image;
            Error err = {""};
            ASSERT_OK(image_decode(&image, (uint8_t *)file, n, "x.pnm", &err), err);
            cr_assert(image.width == W && image.height == H);
            int bad = 0;
            for (int i = 0; i < W * H * 3; i++) {
                const int v = value[i / 3 * channels + (channels < 3 ? 0 : i % 3)];
                bad += image.rgb[i] != (int)floor(255.0 * v / most + 0.5);
            }
            cr_expect(bad == 0, "P%d of maximum %d: %d of %d differ", kind, most, bad, W * H * 3);
            image_free(&image);
        }
}

Test(image_edges, bitmaps_and_samples_above_the_maximum) {
    static const struct {
        const char *file;
        int bytes;
        uint8_t grey[4];
    } cases[] = {{"P1 2 2\n0110", 11, {255, 0, 0, 255}},
                 {"P1\n2 2 # so\n0 1\n# and so\n1 0", 28, {255, 0, 0, 255}},
                 {"P4 2 2\n\x7f\xbf", 9, {255, 0, 0, 255}},
                 {"P5 2 2 100 \x00\x32\x64\xff", 15, {0, 128, 255, 255}}};
    for (int i = 0; i < 4; i++) {
        Image image;
        Error err = {""};
        ASSERT_OK(image_decode(&image, (const uint8_t *)cases[i].file, cases[i].bytes, "x", &err),
                  err);
        for (int p = 0; p < 12; p++)
            cr_expect(image.rgb[p] == cases[i].grey[p / 3], "case %d: %d at %d", i, image.rgb[p],
                      p);
        image_free(&image);
    }
    expect_words("P2 1 1 100 101", 14, "above its maximum");
    expect_words("P2 2 1 100 10 x", 15, "no number");
    expect_words("P1 2 1 12", 9, "neither 0 nor 1");
    expect_words("P5 1 1 65536 xx", 15, "maximum");
    expect_words("P5 1 1 0 xx", 11, "maximum");
    expect_words("P6 2 2 65535 ......................", 34, "truncated");
    expect_words("P4 9 2 ...", 10, "truncated");
}

/* --- what is refused -------------------------------------------------------------------------- */

Test(image_edges, varieties_that_are_not_read_are_named) {
    int64_t n;
    uint8_t *b = edge_bytes("arithmetic.jpg", &n);
    expect_words(b, n, "arithmetic-coded JPEG");
    free(b);
    b = edge_bytes("twelve_bits.jpg", &n);
    expect_words(b, n, "12-bit JPEG");
    free(b);
    b = edge_bytes("h2v1_6.jpg", &n);
    int64_t at = 0;
    while (b[at] != 0xff || b[at + 1] != 0xc0) at++;
    static const struct {
        int offset, value;
        const char *words;
    } changes[] = {{1, 0xc3, "lossless JPEG"},  {1, 0xc5, "hierarchical JPEG"},
                   {1, 0xcb, "lossless arith"}, {4, 9, "neither 8 nor 12 bits"},
                   {11, 0x30, "fractional"},    {11, 0x02, "fractional"},
                   {9, 2, "two, five or more"}, {8, 0, "0 x 7 pixels"}};
    for (int i = 0; i < 8; i++) {
        uint8_t *byte = b + at + changes[i].offset;
        const uint8_t before = *byte;
        *byte = (uint8_t)changes[i].value;
        expect_words(b, n, changes[i].words);
        *byte = before;
    }
    b[at + 6] = 0;
    expect_words(b, n, "DNL");
    free(b);
    static uint8_t bmp[14 + 40 + 64] = {
        'B', 'M', [10] = 54, [14] = 40, [18] = 1, [22] = 1, [26] = 1, [28] = 24};
    bmp[30] = 4;
    expect_words(bmp, sizeof bmp, "BMP with a JPEG inside");
    bmp[30] = 5;
    expect_words(bmp, sizeof bmp, "BMP with a PNG inside");
    bmp[30] = 1;
    expect_words(bmp, sizeof bmp, "do not go with its compression");
    bmp[30] = 0, bmp[14] = 13;
    expect_words(bmp, sizeof bmp, "header has a size");
}

/* Takes out the segments of one marker in front of the first scan; returns the new size. */
static int64_t without(uint8_t *b, int64_t n, uint8_t marker) {
    for (int64_t at = 2; b[at + 1] != 0xda;) {
        const int64_t size = 2 + (b[at + 2] << 8 | b[at + 3]);
        if (b[at + 1] == marker) {
            memmove(b + at, b + at + size, (size_t)(n - at - size));
            n -= size;
        } else {
            at += size;
        }
    }
    return n;
}

/* Frames of Motion JPEG leave out the standard Huffman tables. No decoder can do without other
 * tables. */
Test(image_edges, jpeg_tables_that_are_left_out) {
    int64_t n;
    Image whole, bare;
    Error err;
    uint8_t *b = edge_bytes("baseline_28.jpg", &n);
    ASSERT_OK(image_decode(&whole, b, n, "x.jpg", &err), err);
    const int64_t less = without(b, n, 0xc4);
    cr_assert(less < n - 400);
    ASSERT_OK(image_decode(&bare, b, less, "x.jpg", &err), err);
    cr_expect(bare.width == whole.width && bare.height == whole.height &&
              memcmp(bare.rgb, whole.rgb, (size_t)(3 * whole.width * whole.height)) == 0);
    image_free(&whole);
    image_free(&bare);
    expect_words(b, without(b, less, 0xdb), "a quantization table");
    free(b);
    b = edge_bytes("progressive_42x56.jpg", &n);
    expect_words(b, without(b, n, 0xc4), "a Huffman table");
    free(b);
    b = edge_bytes("baseline_28.jpg", &n);
    int64_t at = 0;
    while (b[at] != 0xff || b[at + 1] != 0xda) at++;
    b[at + 6] = 0x22; /* the first component names two tables that no segment has brought */
    expect_words(b, n, "a Huffman table");
    free(b);
}

/* An Apple PNG begins with a chunk of its own; one without pixels or palette is damaged. */
Test(image_edges, png_chunks_are_checked) {
    int64_t n;
    uint8_t *b = edge_bytes("short4.png", &n), *longer = malloc((size_t)n + 16);
    static const uint8_t cgbi[] = {0, 0, 0, 4, 'C', 'g', 'B', 'I', 0x50, 0, 0x20, 2};
    memcpy(longer, b, 8);
    memcpy(longer + 8, cgbi, sizeof cgbi);
    const uint32_t crc = crc32_of(cgbi + 4, 8);
    for (int i = 0; i < 4; i++) longer[20 + i] = (uint8_t)(crc >> (24 - 8 * i));
    memcpy(longer + 24, b + 8, (size_t)n - 8);
    expect_words(longer, n + 16, "CgBI");
    static const char *const names[] = {"PLTE", "IDAT"}, *const words[] = {"palette", "no pixels"};
    for (int i = 0; i < 2; i++) {
        memcpy(longer, b, (size_t)n);
        for (int64_t at = 8; at + 12 <= n;) {
            const int64_t size = (int64_t)longer[at + 2] << 8 | longer[at + 3];
            if (memcmp(longer + at + 4, names[i], 4) == 0) {
                memcpy(longer + at + 4, "teXt", 4);
                const uint32_t sum = crc32_of(longer + at + 4, (size_t)size + 4);
                for (int k = 0; k < 4; k++)
                    longer[at + 8 + size + k] = (uint8_t)(sum >> (24 - 8 * k));
            }
            at += 12 + size;
        }
        expect_words(longer, n, words[i]);
    }
    free(b);
    free(longer);
}

Test(image_edges, files_taken_for_pictures_are_named) {
    static const struct {
        const char *bytes, *words;
    } cases[] = {{"version https://git-lfs.github.com/spec/v1\noid", "Git LFS"},
                 {"<!DOCTYPE html><html><head>", "web page"},
                 {"%PDF-1.7 ............", "a PDF"},
                 {"PK\3\4................", "zip"},
                 {"\x1f\x8b\x08..............", "gzip"},
                 {"<?xml version=\"1.0\"?><svg xmlns=''/>", "SVG is not read"},
                 {"8BPS................", "Photoshop is not read"},
                 {"....ftypheic........", "HEIC is not read"},
                 {"....ftypisom........", "video is not read"},
                 {"qoif................", "QOI is not read"},
                 {"\xff\x0a................", "JPEG XL is not read"},
                 {"PF 1 1 -1.0 ........", "PFM is not read"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_words(cases[i].bytes, (int64_t)strlen(cases[i].bytes), cases[i].words);
    static const uint8_t zeros[100];
    expect_words(zeros, sizeof zeros, "zeros");
    expect_words("\0\5\26\7............", 16, "macOS");
}

Test(image_edges, kinds_are_known_by_name_in_any_case) {
    static const struct {
        const char *name, *kind;
    } cases[] = {{"a.JPG", "JPEG"},       {"b/c.jfif", "JPEG"}, {"d.jpe", "JPEG"},
                 {"e.WebP", "WebP"},      {"f.tiff", "TIFF"},   {"g.HEIC", "HEIC"},
                 {"h.nef", "camera raw"}, {"i.mp4", "video"},   {"j.tar.gz", NULL},
                 {"k.jpg/l", NULL},       {"m.", NULL},         {"jpg", NULL},
                 {"n.p", NULL},           {"o.pgmm", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const PictureKind *kind = picture_kind_of_name(cases[i].name);
        cr_expect(cases[i].kind ? kind && strcmp(kind->name, cases[i].kind) == 0 : !kind, "%s",
                  cases[i].name);
    }
    char text[400];
    picture_kind_command(text, sizeof text, picture_kind_of_name("x.tif"), "my pics", "x.tif");
    cr_expect(strcmp(text, "find 'my pics' \\( -iname '*.tif' -o -iname '*.tiff' \\) -exec mogrify "
                           "-format png {} +") == 0,
              "%s", text);
    picture_kind_command(text, sizeof text, picture_kind_of_name("x.webp"), "it's\n", "x.webp");
    cr_expect(strcmp(text, "find FOLDER -iname '*.webp' -exec mogrify -format png {} +") == 0, "%s",
              text);
    picture_kind_command(text, sizeof text, picture_kind_of_name("x.NEF"), "-d", "x.NEF");
    cr_expect(strstr(text, "FOLDER -iname '*.NEF' -exec") != NULL, "%s", text);
    /* first bytes do not show these kinds: the name lets --decoder have them */
    static const char *const named[][2] = {{"x.pcx", "PCX"}, {"x.TGA", "TGA"}};
    for (int i = 0; i < 2; i++) {
        Image image;
        Error err = {""};
        ImageFacts facts;
        cr_expect(image_read(&image, &facts, (const uint8_t *)"\x0a\5\1\10............", 16,
                             named[i][0], &err) == OK &&
                      facts.unread && strcmp(facts.unread, named[i][1]) == 0,
                  "%s: %s", named[i][0], err.text);
    }
}

/* --- hostile files ---------------------------------------------------------------------------- */

/* Sizes that a few bytes announce are refused before memory is asked for. */
Test(image_edges, huge_and_empty_sizes_are_refused) {
    expect_words("P6 65500 65500 255 ", 19, "65500 x 65500");
    expect_words("P6 99999999999 28 255 ", 22, " x 28 pixels");
    expect_words("P5 0 5 255 .", 12, "damaged");
    expect_words("P7\nWIDTH 70000\nHEIGHT 1\nDEPTH 1\nMAXVAL 1\nENDHDR\n", 50, "70000 x 1");
    static uint8_t gif[64] = {'G', 'I', 'F', '8', '9', 'a', 1, 0, 1, 0, 0, 0, 0, ','};
    expect_words(gif, sizeof gif, "0 x 1 pixels"); /* a picture of 0 x 0 */
    gif[18] = gif[20] = 1;
    expect_words(gif, sizeof gif, "code size");
    memset(gif + 6, 0xff, 4);
    expect_words(gif, sizeof gif, "65535 x 65535");
    static uint8_t bmp[64] = {'B', 'M', [10] = 54, [14] = 40, [26] = 1, [28] = 24};
    memset(bmp + 18, 0xff, 8);
    expect_words(bmp, sizeof bmp, "-1 x 1 pixels");
    memset(bmp + 18, 0x7f, 8);
    expect_words(bmp, sizeof bmp, "2139062143 x");
    bmp[25] = 0x80, bmp[22] = bmp[23] = bmp[24] = 0;
    expect_words(bmp, sizeof bmp, "2147483648");
}

/* The progressive JPEG announces 60000 x 4000 pixels and repeats its last scan. */
Test(image_edges, a_jpeg_of_scans_without_end_is_refused) {
    enum { COPIES = 40 };
    int64_t n, scan = 0;
    uint8_t *b = edge_bytes("prog_h2v1.jpg", &n), *longer = malloc((size_t)n * (COPIES + 1));
    for (int64_t at = 0; at + 9 < n; at++) {
        if (b[at] != 0xff) continue;
        if (b[at + 1] == 0xc2) memcpy(b + at + 5, "\x0f\xa0\xea\x60", 4);
        if (b[at + 1] == 0xda) scan = at;
    }
    cr_assert(scan > 0);
    memcpy(longer, b, (size_t)n);
    for (int i = 0; i < COPIES; i++)
        memcpy(longer + n - 2 + i * (n - 2 - scan), b + scan, (size_t)(n - scan));
    expect_words(longer, n + COPIES * (n - 2 - scan), "more scans");
    free(b);
    free(longer);
}

/* The data of a PNG of 8 x 8 pixels inflate to 256 MiB of zeros: the memory stays near what the
 * header announces. */
Test(image_edges, a_png_that_inflates_without_end_is_refused) {
    enum { COPIES = 1000, MATCHES = 1030 };
    /* a deflate block of one zero and matches of 258 zeros, fixed codes: 8 bits, then 13 bits each */
    const size_t most = 4 + (8 + (size_t)MATCHES * COPIES * 13) / 8 + 8;
    uint8_t *idat = calloc(most + 8, 1);
    memcpy(idat, "IDAT\x78\x01", 6);
    size_t bit = 48;
    const int head[] = {1, 1, 0};
    for (int i = 0; i < 3; i++) idat[bit / 8] |= (uint8_t)(head[i] << bit % 8), bit++;
    for (int i = 7; i >= 0; i--) idat[bit / 8] |= (uint8_t)((0x30 >> i & 1) << bit % 8), bit++;
    for (int m = 0; m < MATCHES * COPIES; m++) { /* length 285: 11000101; distance 0: 00000 */
        for (int i = 7; i >= 0; i--) idat[bit / 8] |= (uint8_t)((0xc5 >> i & 1) << bit % 8), bit++;
        bit += 5;
    }
    bit += 7;
    const size_t n = bit / 8 + 1 + 4 - 4;
    uint8_t *png = malloc(n + 100), *to = png;
    static const uint8_t start[] = {0x89, 'P', 'N', 'G', 13, 10, 26, 10, 0, 0, 0, 13, 'I', 'H', 'D',
                                    'R',  0,   0,   0,   8,  0,  0,  0,  8, 8, 0, 0,  0,   0};
    memcpy(to, start, sizeof start);
    to += sizeof start;
    uint32_t crc = crc32_of(png + 12, 17);
    for (int i = 0; i < 4; i++) *to++ = (uint8_t)(crc >> (24 - 8 * i));
    for (int i = 0; i < 4; i++) *to++ = (uint8_t)((n - 4) >> (24 - 8 * i));
    memcpy(to, idat, n);
    crc = crc32_of(to, n);
    to += n;
    for (int i = 0; i < 4; i++) *to++ = (uint8_t)(crc >> (24 - 8 * i));
    memcpy(to, "\0\0\0\0IEND\xae\x42\x60\x82", 12);
    to += 12;
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    expect_words(png, to - png, "cannot be decoded");
    getrusage(RUSAGE_SELF, &after);
    cr_expect(after.ru_maxrss - before.ru_maxrss < 32 << 10, "%ld KiB more",
              after.ru_maxrss - before.ru_maxrss);
    free(idat);
    free(png);
}

/* Files of every format, cut at every length or with bytes changed, cause no crash and no hang,
 * under the sanitizers too. A cut file is refused, unless the cut lies behind the last byte that a
 * reader needs. */
Test(image_edges, cut_and_changed_files_do_no_harm, .timeout = 60) {
    static const char *const files[] = {"runs4_mixed.bmp", "runs8_short.bmp",  "masks_rgba.bmp",
                                        "short4.bmp",      "interlaced.gif",   "animated.gif",
                                        "inside.gif",      "short2_adam7.png", "orient6.png",
                                        "cmyk_bare.jpg",   "prog_h2v1.jpg",    "restart_h2v1.jpg"};
    enum { ROUNDS = 400 };
    int refused = 0, taken = 0;
    for (int i = 0; i < 12; i++) {
        int64_t n;
        uint8_t *bytes = edge_bytes(files[i], &n);
        for (int round = 0; round < ROUNDS; round++) {
            const Philox p = philox_at(6, i, round, 0, 0);
            const int64_t keep = round % 2 ? n : (int64_t)(p.word[0] % (uint32_t)n);
            uint8_t *copy =
                malloc((size_t)keep + 1); /* memory of the file's own size shows overruns */
            memcpy(copy, bytes, (size_t)keep);
            for (uint32_t k = 0; keep && k < (uint32_t)(round % 4); k++) {
                const Philox q = philox_at(6, i, round, 1, k);
                copy[q.word[0] % (uint32_t)keep] = (uint8_t)q.word[1];
            }
            Image image;
            ImageFacts facts;
            Error err;
            const Status st = image_read(&image, &facts, copy, keep, files[i], &err);
            if (st == OK && image.rgb)
                ASSERT_OK(image_orient(&image, facts.orientation, &err), err);
            st == OK ? taken++ : refused++;
            image_free(&image);
            free(copy);
        }
        free(bytes);
    }
    cr_expect(refused > 1000 && taken > 500, "%d refused, %d taken", refused, taken);
}

/* --- EXIF ------------------------------------------------------------------------------------- */

/* Returns the orientation of a JPEG with an APP1 segment of `n` bytes of EXIF behind its first
 * marker. */
static int orientation_of_jpeg(const uint8_t *exif, int64_t n) {
    int64_t size;
    uint8_t *b = edge_bytes("h2v1_6.jpg", &size), *with = malloc((size_t)(size + n + 10));
    memcpy(with, b, 2);
    const uint8_t head[] = {
        0xff, 0xe1, (uint8_t)((n + 8) >> 8), (uint8_t)(n + 8), 'E', 'x', 'i', 'f', 0, 0};
    memcpy(with + 2, head, sizeof head);
    memcpy(with + 12, exif, (size_t)n);
    memcpy(with + 12 + n, b + 2, (size_t)size - 2);
    Image image;
    ImageFacts facts;
    Error err = {""};
    ASSERT_OK(image_read(&image, &facts, with, size + n + 10, "x", &err), err);
    image_free(&image);
    free(b);
    free(with);
    return facts.orientation;
}

Test(image_edges, orientation_is_read_in_both_byte_orders) {
    for (int n = 0; n < 10; n++) {
        const uint8_t small[] = {'I', 'I', '*', 0, 8, 0,          0, 0, 1, 0, 0x12, 1, 3,
                                 0,   1,   0,   0, 0, (uint8_t)n, 0, 0, 0, 0, 0,    0, 0};
        const uint8_t large[] = {'M', 'M', 0, '*', 0, 0, 0,          8, 0, 1, 1, 0x12, 0,
                                 3,   0,   0, 0,   1, 0, (uint8_t)n, 0, 0, 0, 0, 0,    0};
        const int expected = n >= 1 && n <= 8 ? n : 1;
        cr_expect(orientation_of_jpeg(small, sizeof small) == expected, "II, %d", n);
        cr_expect(orientation_of_jpeg(large, sizeof large) == expected, "MM, %d", n);
        for (int64_t cut = 0; cut < 22; cut++) /* the entry is not whole */
            cr_expect(orientation_of_jpeg(small, cut) == 1);
    }
    const uint8_t far_away[] = {'I', 'I', '*', 0, 0xff, 0xff, 0xff, 0xff, 1, 0, 0x12, 1};
    cr_expect(orientation_of_jpeg(far_away, sizeof far_away) == 1);
}
