/* encode_resize_test.c - pictures that the device resizes, beside those of the host: every byte is equal. */
#include "host/encode/picture.h"
#include "tests/support/golden.h"
#include "tests/support/operation.h"

enum { BESIDE = 64 };

static int runs(void) {
    return getenv("TURTLE_TEST_FULL") ? 10 : 3;
}

static Image noise(int width, int height, int stream) {
    const int64_t n = 3LL * width * height;
    Image image = {malloc((size_t)n), width, height};
    cr_assert(image.rgb);
    for (int64_t i = 0; i < n; i++)
        image.rgb[i] = (uint8_t)(philox_at(7, 15, stream, 0, i / 16).word[i / 4 % 4] >> i % 4 * 8);
    return image;
}

/* Resizes B pictures in one call on the device, and compares every byte with the host's. Returns the pictures that came
 * as squares, for they have no room. */
static int judge(const Image *pictures, int64_t B, const ResizeRule *rule, int run) {
    const int64_t bytes = resize_bytes(rule);
    Ops ops;
    Queue *q;
    Error err;
    Resizer resizer = {0};
    int squares = 0;
    int64_t all = 0;
    open_backend(&ops, &q, "cuda", run);
    uint8_t *in = array(B * PICTURE_BYTES), *rows = scratch(B * PICTURE_BYTES),
            *out = scratch(B * bytes + BESIDE), *expected = malloc((size_t)bytes);
    for (int64_t b = 0; b < B; b++) {
        PictureHead head;
        uint8_t *slot = in + b * PICTURE_BYTES;
        ASSERT_OK(picture_write(&resizer, slot, &pictures[b], rule, &err), err);
        memcpy(&head, slot, sizeof head);
        all += head.bytes;
        cr_assert(head.bytes <= PICTURE_BYTES && head.bytes % 16 == 0);
        squares += head.width == rule->crop && head.height == rule->crop;
    }
    ops.encode.resize(q, out, rows, in, PICTURE_BYTES, all, B, rule->crop);
    finish(&ops, q);
    for (int64_t b = 0; b < B; b++) {
        ASSERT_OK(resize_image(&resizer, expected, &pictures[b], rule, &err), err);
        cr_expect(memcmp(out + b * bytes, expected, (size_t)bytes) == 0,
                  "%d x %d to %d, crop %d, run %d: other bytes", pictures[b].width,
                  pictures[b].height, rule->resize, rule->crop, run);
    }
    for (int i = 0; i < BESIDE; i++) cr_expect(out[B * bytes + i] == 0xff, "beside the squares");
    free(expected);
    resizer_free(&resizer);
    close_backend(&ops, q);
    free_arrays();
    return squares;
}

static const ResizeRule rules[] = {
    {.resize = 28, .crop = 28},
    {.resize = 32, .crop = 28},
    {.resize = 31, .crop = 27}, /* rows of 81 bytes */
    {.resize = 30, .crop = 27, .crop_down = true},
    {.resize = 19, .crop = 28}, /* black margins */
    {.resize = 30, .crop = 30, .squash = true},
    {.resize = 26, .crop = 26, .squash = true, .filter = RESIZE_BILINEAR},
    {.resize = 28, .crop = 24, .filter = RESIZE_BILINEAR},
    {.resize = 28, .crop = 28, .weights = RESIZE_TORCHVISION},
    {.resize = 24,
     .crop = 24,
     .squash = true,
     .filter = RESIZE_BILINEAR,
     .weights = RESIZE_TORCHVISION},
};

/* One call has pictures of every size: smaller, larger by 2.3 and by 20, of one row or column. */
Test(encode_resize, every_byte_is_the_hosts, .timeout = 300) {
    static const int sizes[][2] = {{1, 1},   {1, 37},  {40, 1},    {7, 5},   {28, 28},
                                   {27, 64}, {65, 64}, {560, 561}, {31, 77}, {230, 100}};
    enum { SIZES = sizeof sizes / sizeof *sizes };
    Image pictures[SIZES];
    for (int i = 0; i < SIZES; i++) pictures[i] = noise(sizes[i][0], sizes[i][1], i);
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++)
        for (int run = 0; run < runs(); run++) judge(pictures, SIZES, &rules[r], run);
    for (int i = 0; i < SIZES; i++) free(pictures[i].rgb);
}

/* Windows of more than PICTURE_BYTES, and many rows of few pixels, come as squares between pictures that do not. */
Test(encode_resize, pictures_without_room_are_resized_before, .timeout = 300) {
    Image pictures[] = {noise(60, 50, 1), noise(1000, 700, 2), noise(2, 40000, 3),
                        noise(50, 60, 4)};
    const ResizeRule crop = {.resize = 32, .crop = 28},
                     squash = {.resize = 28, .crop = 28, .squash = true};
    cr_expect(judge(pictures, 4, &crop, 0) == 1, "the crop of 2 x 40000 has room");
    cr_expect(judge(pictures, 4, &squash, 1) == 2, "2 x 40000 has no room when it is squashed");
    for (int i = 0; i < 4; i++) free(pictures[i].rgb);
}

/* The bytes that torchvision made of the photographs. */
Test(encode_resize, recorded_crops_are_pillows_to_the_bit, .timeout = 300) {
    FILE *f = fopen("tests/goldens/images/resized.txt", "r");
    char name[64], path[96];
    int w, h, n, crop, cases = 0;
    unsigned crc;
    Resizer resizer = {0};
    Error err;
    Ops ops;
    Queue *q;
    cr_assert(f);
    open_backend(&ops, &q, "cuda", 0);
    uint8_t *in = array(PICTURE_BYTES), *rows = scratch(PICTURE_BYTES);
    while (fscanf(f, "%63s %d %d %d %d %x", name, &w, &h, &n, &crop, &crc) == 6) {
        const ResizeRule rule = {.resize = n, .crop = crop};
        uint8_t *out = scratch(resize_bytes(&rule));
        snprintf(path, sizeof path, "images/%s_rgb.npy", name);
        const Image image = {(uint8_t *)golden(path, DTYPE_U8, (int64_t)w * h * 3), w, h};
        ASSERT_OK(picture_write(&resizer, in, &image, &rule, &err), err);
        ops.encode.resize(q, out, rows, in, PICTURE_BYTES, PICTURE_BYTES, 1, crop);
        finish(&ops, q);
        cr_expect(crc32_of(out, (size_t)resize_bytes(&rule)) == crc, "%s to %d, crop %d", name, n,
                  crop);
        cases++;
    }
    fclose(f);
    cr_expect(cases == 27, "%d cases", cases);
    resizer_free(&resizer);
    close_backend(&ops, q);
    free_arrays();
}

/* Rules of floats, and squares without room, stay the host's. */
Test(encode_resize, rules_that_the_host_keeps) {
    const ResizeRule floats = {.resize = 8, .crop = 8, .weights = RESIZE_FLOATS};
    cr_expect(picture_has_room(&(ResizeRule){.resize = 512, .crop = 512}));
    cr_expect(!picture_has_room(&(ResizeRule){.resize = 600, .crop = 600}));
    cr_expect(!picture_has_room(&floats));
    Resizer resizer = {0};
    ResizeTaps taps[2];
    Error err;
    cr_expect(resize_taps(&resizer, taps, 4, 4, &floats, &err) == ERR_ARG, "%s", err.text);
    cr_expect(resize_taps(&resizer, taps, 0, 4, &rules[0], &err) == ERR_ARG, "%s", err.text);
    resizer_free(&resizer);
}
