/* features_pictures_test.c - `features` as users run it on what cameras and the web give: turned
 * photographs, and kinds that are not read or go through another program. */
#include "io/images/image.h"
#include "tests/support/check.h"
#include "tests/support/golden.h"

#define EDGES "tests/goldens/images_edges/"
#define VIT "data/demo/checkpoints/demo_vit.pth"

enum { SIDE = 28, PIXELS = SIDE * SIDE * 3 }; /* of the demo's encoder */

/* Returns the n pictures that the encoder saw, of a --dump. */
static const uint8_t *dumped(const char *path, int64_t n) {
    Npy npy = {0};
    Error err;
    ASSERT_OK(npy_open(&npy, path, &err), err);
    cr_assert(npy.type == DTYPE_U8 && npy.count == n * PIXELS, "%lld elements",
              (long long)npy.count);
    return npy.data;
}

/* Decodes, turns and resizes one file. */
static void expected_pixels(uint8_t out[PIXELS], const char *path, bool turned) {
    FileMap map;
    Image image;
    ImageFacts facts;
    Error err;
    Resizer resizer = {0};
    ASSERT_OK(file_map(&map, path, &err), err);
    ASSERT_OK(image_read(&image, &facts, map.data, map.bytes, path, &err), err);
    if (turned) ASSERT_OK(image_orient(&image, facts.orientation, &err), err);
    ASSERT_OK(resize_crop(&resizer, out, &image, SIDE, SIDE, &err), err);
    resizer_free(&resizer);
    image_free(&image);
    file_unmap(&map);
}

Test(features_pictures, photographs_are_turned_only_when_asked, .timeout = 60) {
    Ran ran;
    char *root = temporary_folder(), *list = format_text("%s/l.txt", root);
    char *dump = format_text("%s/d.npy", root);
    static const char *const ways[] = {"", "--orient none", "--orient exif"};
    FILE *f = fopen(list, "w");
    cr_assert(f);
    char here[1024];
    cr_assert(getcwd(here, sizeof here));
    for (int n = 1; n <= 8; n++) fprintf(f, "train\t-\t%s/" EDGES "orient%d.png\n", here, n);
    fclose(f);
    for (int way = 0; way < 3; way++) {
        run_turtle(&ran, "features --root_dir %s --list %s --weights " VIT " --dump %s --quiet %s",
                   root, list, dump, ways[way]);
        cr_assert(ran.status == 0, "%s", ran.err);
        const uint8_t *found = dumped(dump, 8);
        for (int n = 1; n <= 8; n++) {
            char path[128];
            uint8_t expected[PIXELS];
            snprintf(path, sizeof path, EDGES "orient%d.png", n);
            expected_pixels(expected, path, way == 2);
            cr_expect(memcmp(found + (n - 1) * PIXELS, expected, PIXELS) == 0, "%s: %d", ways[way],
                      n);
        }
    }
    run_turtle(&ran, "features --root_dir %s --list %s --weights " VIT " --orient left", root,
               list);
    cr_expect(ran.status == 2 && strstr(ran.err, "none|exif"), "%s", ran.err);
    free(list), free(dump);
    remove_folder(root);
}

/* Lists two WebPs, one under another name, a 12-bit JPEG and a good PNG. */
static char *mixed_list(const char *root) {
    char *list = format_text("%s/l.txt", root), here[1024];
    cr_assert(getcwd(here, sizeof here));
    char *command = format_text(
        "cd %s && printf 'RIFF\\020\\0\\0\\0WEBPVP8 ....' >a.webp && cp a.webp b.jpg && printf "
        "'train\\t-\\t%%s\\n' a.webp b.jpg %s/" EDGES "twelve_bits.jpg %s/" EDGES
        "orient1.png >l.txt",
        root, here, here);
    cr_assert(system(command) == 0);
    free(command);
    return list;
}

static int count_of(const char *text, const char *part) {
    int n = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at++) n++;
    return n;
}

Test(features_pictures, what_is_not_read_is_told_once_per_kind, .timeout = 60) {
    Ran ran;
    char *root = temporary_folder(), *list = mixed_list(root);
    run_turtle(&ran, "features --root_dir %s --list %s --weights " VIT, root, list);
    cr_expect(ran.status == 1 && strstr(ran.err, "WebP is not read") &&
                  strstr(ran.err, "--decoder magick"),
              "%s", ran.err);
    run_turtle(&ran, "features --root_dir %s --list %s --weights " VIT " --skip_bad --json", root,
               list);
    cr_assert(ran.status == 0, "%s", ran.err);
    cr_expect(json_number(ran.out, "images") == 1 && json_number(ran.out, "skipped") == 3);
    cr_expect(count_of(ran.err, "not read: 2 x WebP") == 1 &&
                  count_of(ran.err, "-iname '*.webp' -exec mogrify") == 1 &&
                  count_of(ran.err, "not read: 1 x 12-bit JPEG") == 1,
              "%s", ran.err);
    free(list);
    remove_folder(root);
}

/* A program of ours stands under ImageMagick's name: it makes one red pixel of a WebP and fails on
 * the rest. */
Test(features_pictures, another_program_decodes_what_is_not_read, .timeout = 60) {
    static const char lines[] = "#!/bin/sh\ncase $1 in webp:*) printf 'P6 1 1 255 \\377\\0\\0';; "
                                "*) echo no such depth >&2; exit 1;; esac\n";
    Ran ran;
    char *root = temporary_folder(), *list = mixed_list(root),
         *dump = format_text("%s/d.npy", root);
    char *program = format_text("%s/magick", root),
         *path = format_text("%s:%s", root, getenv("PATH"));
    write_bytes(program, lines, sizeof lines - 1);
    cr_assert(chmod(program, 0755) == 0);
    setenv("PATH", path, 1);
    run_turtle(&ran,
               "features --root_dir %s --list %s --weights " VIT
               " --skip_bad --json --decoder magick --threads 2 --dump %s",
               root, list, dump);
    cr_assert(ran.status == 0, "%s", ran.err);
    cr_expect(json_number(ran.out, "images") == 3 && json_number(ran.out, "decoded") == 2 &&
              json_number(ran.out, "skipped") == 1);
    cr_expect(strstr(ran.err, "decoded by magick: 2 images") &&
                  strstr(ran.err, "magick cannot read this 12-bit JPEG: no such depth"),
              "%s", ran.err);
    const uint8_t *found = dumped(dump, 3);
    for (int i = 0; i < 2 * PIXELS; i++) cr_assert(found[i] == (i % 3 ? 0 : 255), "%d", i);
    setenv("PATH", root, 1);
    cr_assert(remove(program) == 0);
    run_turtle(&ran, "features --root_dir %s --list %s --weights " VIT " --decoder magick", root,
               list);
    cr_expect(ran.status == 1 && strstr(ran.err, "magick is not installed") &&
                  !strstr(ran.err, "images/s"),
              "%s", ran.err);
    free(list), free(dump), free(program), free(path);
    remove_folder(root);
}

/* The real programs give a TIFF's and a WebP's pixels back as they went in. */
Test(features_pictures, the_real_programs_give_the_same_pixels, .timeout = 120) {
    static const char *const programs[] = {"magick", "ffmpeg"};
    Ran ran;
    char *root = temporary_folder(), *list = format_text("%s/l.txt", root);
    char *dump = format_text("%s/d.npy", root);
    char *command = format_text(
        "M=$(command -v magick || command -v convert) && cp " EDGES
        "bits24.bmp %s/a.bmp && cd %s && "
        "$M a.bmp a.tif && $M a.bmp -define webp:lossless=true a.webp && printf "
        "'train\\t-\\ta.bmp\\ntrain\\t-\\ta.tif\\ntrain\\t-\\ta.webp\\n' >l.txt 2>/dev/null",
        root, root);
    int tried = 0;
    const bool made = system(command) == 0;
    for (int i = 0; made && i < 2; i++) {
        run_turtle(&ran,
                   "features --root_dir %s --list %s --weights " VIT
                   " --quiet --dump %s --decoder %s",
                   root, list, dump, programs[i]);
        if (strstr(ran.err, "is not installed")) continue;
        cr_assert(ran.status == 0, "%s", ran.err);
        const uint8_t *found = dumped(dump, 3);
        cr_expect(memcmp(found, found + PIXELS, PIXELS) == 0, "%s: TIFF", programs[i]);
        cr_expect(memcmp(found, found + 2 * PIXELS, PIXELS) == 0, "%s: WebP", programs[i]);
        tried++;
    }
    free(list), free(dump), free(command);
    remove_folder(root);
    if (!tried) cr_skip_test("neither ImageMagick nor ffmpeg, or no TIFF and WebP in ImageMagick");
}
