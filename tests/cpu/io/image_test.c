/* image_test.c - decoding and resizing against Pillow's pixels (tests/goldens/images/MANIFEST), and
 * files that are damaged. */
#include "io/images/image.h"
#include "kernels/philox.h"
#include "tests/support/check.h"
#include "tests/support/golden.h"

#define IMAGES "tests/goldens/images/"

static uint8_t *file_bytes(const char *name, int64_t *n) {
    FileMap map;
    Error err;
    char path[128];
    snprintf(path, sizeof path, IMAGES "%s", name);
    ASSERT_OK(file_map(&map, path, &err), err);
    uint8_t *bytes = malloc((size_t)map.bytes);
    memcpy(bytes, map.data, (size_t)map.bytes);
    *n = map.bytes;
    file_unmap(&map);
    return bytes;
}

static Image decoded(const char *name) {
    Image image;
    Error err;
    int64_t n;
    uint8_t *bytes = file_bytes(name, &n);
    ASSERT_OK(image_decode(&image, bytes, n, name, &err), err);
    free(bytes);
    return image;
}

/* --- resizing --------------------------------------------------------------------------------- */

Test(image, resized_crops_are_pillows_to_the_bit) {
    FILE *f = fopen(IMAGES "resized.txt", "r");
    char name[64], path[96];
    int w, h, n, crop, cases = 0;
    unsigned expected;
    Resizer resizer = {0};
    Error err;
    cr_assert(f);
    while (fscanf(f, "%63s %d %d %d %d %x", name, &w, &h, &n, &crop, &expected) == 6) {
        uint8_t *out = malloc((size_t)crop * (size_t)crop * 3);
        snprintf(path, sizeof path, "images/%s_rgb.npy", name);
        const Image in = {(uint8_t *)golden(path, DTYPE_U8, (int64_t)w * h * 3), w, h};
        ASSERT_OK(resize_crop(&resizer, out, &in, n, crop, &err), err);
        cr_expect(crc32_of(out, (size_t)crop * (size_t)crop * 3) == expected, "%s to %d, crop %d",
                  name, n, crop);
        free(out);
        cases++;
    }
    fclose(f);
    resizer_free(&resizer);
    cr_expect(cases == 27, "%d cases", cases);
}

/* The plainest form of Pillow's resize: it resizes everything, then crops, with double weights
 * rounded to 22 bits, one output byte at a time. */
static double cubic(double x) {
    x = fabs(x);
    return x < 1   ? 1.5 * x * x * x - 2.5 * x * x + 1
           : x < 2 ? -0.5 * x * x * x + 2.5 * x * x - 4 * x + 2
                   : 0;
}

static uint8_t *plain_axis(const uint8_t *in, int64_t before, int n, int64_t after, int to) {
    uint8_t *out = malloc((size_t)(before * to * after));
    const double scale = (double)n / to, wide = scale > 1 ? scale : 1;
    for (int i = 0; i < to; i++) {
        const double centre = (i + 0.5) * scale;
        const int first = (int)fmax(0.0, trunc(centre - 2 * wide + 0.5)),
                  end = (int)fmin(n, trunc(centre + 2 * wide + 0.5));
        double sum = 0;
        for (int k = first; k < end; k++) sum += cubic((k - centre + 0.5) / wide);
        for (int64_t b = 0; b < before; b++)
            for (int64_t a = 0; a < after; a++) {
                int64_t value = 1 << 21;
                for (int k = first; k < end; k++)
                    value += (int64_t)round(cubic((k - centre + 0.5) / wide) / sum * (1 << 22)) *
                             in[(b * n + k) * after + a];
                value >>= 22;
                out[(b * to + i) * after + a] = (uint8_t)(value < 0     ? 0
                                                          : value > 255 ? 255
                                                                        : value);
            }
    }
    return out;
}

Test(image, resize_equals_the_plain_form_at_random_sizes) {
    enum { CASES = 60 };
    Resizer resizer = {0};
    Error err;
    for (uint32_t i = 0; i < CASES; i++) {
        const Philox p = philox_at(3, 9, 1, 0, i);
        const int w = 1 + (int)(p.word[0] % 90), h = 1 + (int)(p.word[1] % 90),
                  n = 1 + (int)(p.word[2] % 70), crop = 1 + (int)(p.word[3] % (uint32_t)(n + 6));
        const int least = w < h ? w : h, wide = (int)((int64_t)n * w / least),
                  high = (int)((int64_t)n * h / least);
        Image in = {malloc((size_t)w * (size_t)h * 3), w, h};
        for (int j = 0; j < w * h * 3; j++)
            in.rgb[j] = (uint8_t)philox_at(3, 9, 2, (int)i, (uint32_t)j).word[0];
        uint8_t *across = plain_axis(in.rgb, h, w, 3, wide),
                *whole = plain_axis(across, 1, h, 3 * (int64_t)wide, high),
                *out = malloc((size_t)crop * (size_t)crop * 3);
        memset(out, 77, (size_t)crop * (size_t)crop * 3);
        ASSERT_OK(resize_crop(&resizer, out, &in, n, crop, &err), err);
        const int left = wide >= crop ? (int)nearbyint((wide - crop) / 2.0) : -((crop - wide) / 2),
                  top = high >= crop ? (int)nearbyint((high - crop) / 2.0) : -((crop - high) / 2);
        int bad = 0;
        for (int y = 0; y < crop; y++)
            for (int x = 0; x < crop; x++)
                for (int c = 0; c < 3; c++) {
                    const int sy = y + top, sx = x + left;
                    const bool inside = sy >= 0 && sy < high && sx >= 0 && sx < wide;
                    bad += out[(y * crop + x) * 3 + c] !=
                           (inside ? whole[((int64_t)sy * wide + sx) * 3 + c] : 0);
                }
        cr_expect(bad == 0, "%d x %d to %d, crop %d: %d bytes differ", w, h, n, crop, bad);
        free(in.rgb), free(across), free(whole), free(out);
    }
    resizer_free(&resizer);
}

Test(image, extreme_shapes_are_resized) {
    static const int shapes[][2] = {{1, 1}, {1, 5000}, {5000, 1}, {65500, 1}};
    Resizer resizer = {0};
    Error err;
    uint8_t *out = malloc(224 * 224 * 3);
    for (int i = 0; i < 4; i++) {
        const int w = shapes[i][0], h = shapes[i][1];
        Image in = {malloc((size_t)w * (size_t)h * 3), w, h};
        memset(in.rgb, 93, (size_t)w * (size_t)h * 3);
        ASSERT_OK(resize_crop(&resizer, out, &in, 256, 224, &err), err);
        int bad = 0;
        for (int j = 0; j < 224 * 224 * 3; j++) bad += out[j] != 93;
        cr_expect(bad == 0, "%d x %d: a constant image is not constant", w, h);
        free(in.rgb);
    }
    cr_expect(resizer.bytes < 1 << 26, "%lld bytes of working memory", (long long)resizer.bytes);
    resizer_free(&resizer);
    free(out);
}

/* --- decoding --------------------------------------------------------------------------------- */

typedef struct {
    double mean;
    int most;
} Difference;

static Difference difference(const char *file, const char *stem) {
    char path[96];
    Image image = decoded(file);
    const int64_t n = (int64_t)image.width * image.height * 3;
    snprintf(path, sizeof path, "images/%s_rgb.npy", stem);
    const uint8_t *expected = golden(path, DTYPE_U8, n);
    Difference d = {0};
    for (int64_t i = 0; i < n; i++) {
        const int off = abs(image.rgb[i] - expected[i]);
        d.mean += (double)off / (double)n;
        if (off > d.most) d.most = off;
    }
    image_free(&image);
    return d;
}

Test(image, png_pixels_are_exact) {
    static const char *const stems[] = {"line64x1", "palette190x126", "rgba170x97", "square302"};
    for (size_t i = 0; i < sizeof stems / sizeof *stems; i++) {
        char file[64];
        snprintf(file, sizeof file, "%s.png", stems[i]);
        cr_expect(difference(file, stems[i]).most == 0, "%s", file);
    }
}

/* The recorded decoder clips 16-bit grey to 255. Where it did not clip, for values up to 255, the
 * high byte is 0. */
Test(image, sixteen_bit_grey_keeps_the_high_byte) {
    enum { N = 97 * 131 };
    Image image = decoded("grey16_97x131.png");
    const uint8_t *clipped = golden("images/grey16_97x131_rgb.npy", DTYPE_U8, N * 3);
    int low = 0, grey = 0, largest = 0;
    for (int i = 0; i < N; i++) {
        low += (clipped[3 * i] < 255) != (image.rgb[3 * i] == 0) && clipped[3 * i] < 255;
        grey +=
            image.rgb[3 * i] != image.rgb[3 * i + 1] || image.rgb[3 * i] != image.rgb[3 * i + 2];
        if (image.rgb[3 * i] > largest) largest = image.rgb[3 * i];
    }
    cr_expect(low == 0 && grey == 0);
    cr_expect(largest > 64 && largest < 128, "values reach 32767, so bytes 127; got %d", largest);
    image_free(&image);
}

Test(image, jpeg_pixels_are_within_three_of_libjpegs) {
    static const char *const stems[] = {"exif6_161x110", "grey150x113", "photo320x241",
                                        "prog211x229",   "square150",   "tall37x150",
                                        "cmyk120x90"};
    for (size_t i = 0; i < sizeof stems / sizeof *stems; i++) {
        char file[64];
        snprintf(file, sizeof file, "%s.jpg", stems[i]);
        const Difference d = difference(file, stems[i]);
        EXPECT_CLOSE(d.mean, 0.1, "%s: mean", file);
        EXPECT_CLOSE(d.most, 3, "%s: most", file);
    }
}

/* --- damaged files ---------------------------------------------------------------------------- */

static void expect_refused(const void *bytes, int64_t n, const char *words) {
    Image image;
    Error err = {""};
    cr_expect(image_decode(&image, bytes, n, "x.jpg", &err) == ERR_FORMAT, "%s", words);
    cr_expect(strstr(err.text, words) && strstr(err.text, "x.jpg"), "expected '%s' in: %s", words,
              err.text);
    cr_expect(!image.rgb);
    image_free(&image);
}

Test(image, files_that_are_no_images_are_refused_by_name) {
    expect_refused("", 0, "empty");
    expect_refused("GIF89a.....", 11, "truncated");
    expect_refused("RIFF....WEBPVP8 ", 16, "WebP is not read");
    expect_refused("II*\0........", 12, "TIFF is not read");
    expect_refused("MM\0*........", 12, "TIFF is not read");
    expect_refused("\0\0\0\x1c"
                   "ftypavif....",
                   16, "AVIF is not read");
    expect_refused("P3 1 1 255 1 2 256", 18, "above its maximum");
    expect_refused("hello, this is text", 19, "not an image");
    expect_refused("P6 2 2 255 ......", 17, "truncated");
    expect_refused("P6 2 x 255 ......", 17, "damaged");
    expect_refused("P5 70000 70000 255 ", 19, "70000 x 70000");
    expect_refused("BM", 2, "truncated");
}

Test(image, truncation_and_flipped_bits_are_found) {
    static const char *const files[] = {"photo320x241.jpg", "prog211x229.jpg", "square302.png",
                                        "palette190x126.png"};
    for (int i = 0; i < 4; i++) {
        int64_t n;
        uint8_t *bytes = file_bytes(files[i], &n);
        for (int64_t keep = 8; keep < n; keep += n / 23 + 1)
            expect_refused(bytes, keep, "truncated");
        expect_refused(bytes, n - 1, "truncated");
        free(bytes);
    }
    int64_t n;
    uint8_t *bytes = file_bytes("square302.png", &n);
    for (int64_t at = 12; at < n - 12; at += n / 37) {
        Image image;
        Error err;
        bytes[at] ^= 16;
        cr_expect(image_decode(&image, bytes, n, "x.png", &err) == ERR_FORMAT, "byte %d", (int)at);
        bytes[at] ^= 16;
    }
    free(bytes);
}

/* The right answer is not known, but no input may make the decoder read or write astray (this runs
 * under the sanitizers too). PNG checksums are mended so that the damage reaches the decoder. */
static void mend_checksums(uint8_t *png, int64_t n) {
    for (int64_t at = 8; at + 12 <= n;) {
        const int64_t size =
            (int64_t)png[at] << 24 | png[at + 1] << 16 | png[at + 2] << 8 | png[at + 3];
        if (size > n - at - 12) return;
        const uint32_t crc = crc32_of(png + at + 4, (size_t)size + 4);
        for (int i = 0; i < 4; i++) png[at + 8 + size + i] = (uint8_t)(crc >> (24 - 8 * i));
        at += 12 + size;
    }
}

Test(image, mutated_files_do_no_harm, .timeout = 120) {
    static const char *const files[] = {"cmyk120x90.jpg", "grey150x113.jpg",    "prog211x229.jpg",
                                        "tall37x150.jpg", "palette190x126.png", "grey16_97x131.png",
                                        "line64x1.png"};
    enum { ROUNDS = 300 };
    int refused = 0, taken = 0;
    for (uint32_t i = 0; i < 7; i++) {
        int64_t n;
        uint8_t *bytes = file_bytes(files[i], &n), *copy = malloc((size_t)n);
        for (uint32_t round = 0; round < ROUNDS; round++) {
            memcpy(copy, bytes, (size_t)n);
            for (uint32_t k = 0; k <= round % 5; k++) {
                const Philox p = philox_at(5, 11, (int)i, (int)round, k);
                copy[p.word[0] % (k % 2      ? (uint32_t)n
                                  : 400u < n ? 400u
                                             : (uint32_t)n)] = (uint8_t)p.word[1];
            }
            if (strstr(files[i], "png")) mend_checksums(copy, n);
            Image image;
            Error err;
            if (image_decode(&image, copy, n, files[i], &err) == OK) {
                taken++;
                image_free(&image);
            } else {
                refused++;
            }
        }
        free(bytes);
        free(copy);
    }
    cr_expect(refused > 300 && taken > 300, "%d refused, %d taken", refused, taken);
}
