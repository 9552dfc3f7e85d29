/* encode_memory_test.c - turtle_encode: pictures in memory have the features of the same pictures as files. */
#include "io/arrays/npy.h"
#include "io/images/image.h"
#include "tests/support/check.h"

#define IMAGES "tests/goldens/images"
#define VIT "data/demo/checkpoints/demo_vit.pth"

enum { N = 12, D = 128 };
/* The golden pictures, in the order in which `features` lists them. */
static const char *const names[N] = {"cmyk120x90.jpg",    "exif6_161x110.jpg", "grey150x113.jpg",
                                     "grey16_97x131.png", "line64x1.png",      "palette190x126.png",
                                     "photo320x241.jpg",  "prog211x229.jpg",   "rgba170x97.png",
                                     "square150.jpg",     "square302.png",     "tall37x150.jpg"};

typedef struct {
    FileMap map[N];
    TurtleBytes file[N];
} Pictures;

static void pictures_open(Pictures *p) {
    Error err;
    for (int i = 0; i < N; i++) {
        char path[128];
        snprintf(path, sizeof path, IMAGES "/%s", names[i]);
        ASSERT_OK(file_map(&p->map[i], path, &err), err);
        p->file[i] = (TurtleBytes){p->map[i].data, p->map[i].bytes};
    }
}

static void pictures_close(Pictures *p) {
    for (int i = 0; i < N; i++) file_unmap(&p->map[i]);
}

static void set_encode(TurtleEncodeOptions *o, const Pictures *p, void *features) {
    turtle_encode_defaults(o);
    o->common.device = "cpu";
    o->common.threads = 2;
    o->weights = VIT;
    if (p) o->pictures = (TurtlePictures){.count = N, .file = p->file};
    o->features = features;
    o->dims = D;
}

Test(encode_memory, files_in_memory_have_the_bits_of_the_command, .timeout = 120) {
    static const struct {
        const char *flags, *orient, *feature;
        bool normalize;
        int dims;
    } cases[] = {{"", "none", "cls", false, D},
                 {"--orient exif --feature cls+mean --normalize", "exif", "cls+mean", true, 2 * D}};
    static float found[N * 2 * D], again[N * 2 * D];
    Pictures p;
    pictures_open(&p);
    for (int c = 0; c < 2; c++) {
        Ran ran;
        Error err;
        Npy npy;
        TurtleEncodeOptions o;
        TurtleEncodeResult r;
        const int dims = cases[c].dims;
        char *root = temporary_folder();
        run_turtle(&ran, "features --root_dir %s --images " IMAGES " --weights " VIT " %s", root,
                   cases[c].flags);
        cr_assert(ran.status == 0, "%s", ran.err);
        char *path = format_text("%s/representations/demo_vit/images_train.npy", root);
        ASSERT_OK(npy_open(&npy, path, &err), err);
        cr_assert(npy.shape[0] == N && npy.shape[1] == dims && npy.type == DTYPE_F32);

        set_encode(&o, &p, NULL);
        o.orient = cases[c].orient;
        o.feature = cases[c].feature;
        o.normalize = cases[c].normalize;
        ASSERT_OK(turtle_encode(&o, &r, &err), err);
        cr_expect(r.dims == dims && r.images == 0, "without an array the dimension is told");
        turtle_encode_result_free(&r);
        o.features = found;
        o.dims = dims;
        ASSERT_OK(turtle_encode(&o, &r, &err), err);
        cr_expect(r.dims == dims && r.images == N);
        cr_expect(memcmp(found, npy.data, (size_t)(N * dims) * sizeof *found) == 0);
        turtle_encode_result_free(&r);
        o.features = again;
        o.batch_size = 5;
        o.common.threads = 1;
        ASSERT_OK(turtle_encode(&o, &r, &err), err);
        cr_expect(memcmp(found, again, (size_t)(N * dims) * sizeof *found) == 0);
        turtle_encode_result_free(&r);
        npy_close(&npy);
        free(path);
        remove_folder(root);
    }
    pictures_close(&p);
}

Test(encode_memory, pixels_have_the_bits_of_their_file_and_float16_is_rounded, .timeout = 60) {
    enum { COUNT = 3, PHOTO = 6 };
    static float of_file[N * D], of_pixels[COUNT * D];
    static uint16_t half[COUNT * D];
    Pictures p;
    Error err;
    Image image;
    TurtleEncodeOptions o;
    TurtleEncodeResult r;
    pictures_open(&p);
    set_encode(&o, &p, of_file);
    ASSERT_OK(turtle_encode(&o, &r, &err), err);
    turtle_encode_result_free(&r);
    ASSERT_OK(image_decode(&image, p.map[PHOTO].data, p.map[PHOTO].bytes, names[PHOTO], &err), err);
    const size_t bytes = 3 * (size_t)image.width * (size_t)image.height;
    uint8_t *rgb = calloc(COUNT, bytes); /* the first one is black */
    memcpy(rgb + bytes, image.rgb, bytes);
    memcpy(rgb + 2 * bytes, image.rgb, bytes);
    set_encode(&o, NULL, of_pixels);
    o.pictures =
        (TurtlePictures){.count = COUNT, .rgb = rgb, .height = image.height, .width = image.width};
    ASSERT_OK(turtle_encode(&o, &r, &err), err);
    turtle_encode_result_free(&r);
    cr_expect(memcmp(of_pixels + D, of_file + PHOTO * D, D * sizeof(float)) == 0);
    cr_expect(memcmp(of_pixels + 2 * D, of_pixels + D, D * sizeof(float)) == 0);
    cr_expect(memcmp(of_pixels, of_pixels + D, D * sizeof(float)) != 0, "black is a photograph");
    o.features = half;
    o.type = TURTLE_FLOAT16;
    ASSERT_OK(turtle_encode(&o, &r, &err), err);
    turtle_encode_result_free(&r);
    for (int i = 0; i < COUNT * D; i++) cr_assert(half[i] == f16_from_f32(of_pixels[i]));
    image_free(&image);
    free(rgb);
    pictures_close(&p);
}

static int stop_at_once(void *context, const TurtleProgress *p) {
    *(int64_t *)context = p->iteration;
    return 1;
}

Test(encode_memory, what_cannot_be_encoded_is_refused_by_name, .timeout = 60) {
    static float features[N * D];
    static const uint8_t rgb[12] = {0};
    Pictures p;
    pictures_open(&p);
    TurtleBytes cut[2] = {p.file[0], {p.file[6].data, 300}}, none[2] = {p.file[0], {NULL, 7}};
    const uint8_t webp[] = "RIFF\x24\0\0\0WEBPVP8 ";
    const TurtleBytes strange = {webp, sizeof webp};
    const struct {
        TurtlePictures pictures;
        const char *says;
    } cases[] = {
        {{.count = 2, .file = cut}, "picture 1"},
        {{.count = 2, .file = none}, "picture 1 has no bytes"},
        {{.count = 1, .file = &strange}, "WebP"},
        {{.count = 0, .file = p.file}, "1 picture or more"},
        {{.count = 1}, "neither"},
        {{.count = 1, .file = p.file, .rgb = rgb, .height = 2, .width = 2}, "rgb and files"},
        {{.count = 1, .rgb = rgb, .height = 0, .width = 2}, "expected sides"},
        {{.count = INT64_MAX / 2, .rgb = rgb, .height = 2, .width = 2}, "expected sides"},
        {{.count = 1, .rgb = rgb, .height = INT64_MAX / 2, .width = 4}, "expected sides"},
    };
    Error err;
    TurtleEncodeOptions o;
    TurtleEncodeResult r;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        set_encode(&o, NULL, features);
        o.pictures = cases[i].pictures;
        cr_expect(turtle_encode(&o, &r, &err) != TURTLE_OK, "case %zu", i);
        cr_expect(strstr(err.text, cases[i].says), "case %zu: %s", i, err.text);
    }
    set_encode(&o, &p, features);
    o.dims = D + 1;
    cr_expect(turtle_encode(&o, &r, &err) == TURTLE_ERR_ARG && strstr(err.text, "128 numbers"));
    set_encode(&o, &p, features);
    o.weights = NULL;
    cr_expect(turtle_encode(&o, &r, &err) == TURTLE_ERR_USAGE);
    o.weights = IMAGES "/square150.jpg";
    cr_expect(turtle_encode(&o, &r, &err) != TURTLE_OK);
    set_encode(&o, &p, features);
    o.feature = "all";
    cr_expect(turtle_encode(&o, &r, &err) == TURTLE_ERR_USAGE);
    set_encode(&o, &p, features);
    int64_t seen = 0;
    o.batch_size = 4;
    o.common.hooks = (TurtleHooks){.progress = stop_at_once, .context = &seen};
    cr_expect(turtle_encode(&o, &r, &err) == TURTLE_ERR_STOPPED && seen == 4, "%s", err.text);
    pictures_close(&p);
}

/* The dimension that is told from names and shapes is that of the features, for every kind of network. */
Test(encode_memory, dimensions_are_known_before_weights_are_read, .timeout = 120) {
    static const struct {
        const char *weights, *feature;
        int dims;
    } cases[] = {{TURTLE_BUILD "/goldens/encoders/clip_vit_tiny.pt", "cls", 48},
                 {TURTLE_BUILD "/goldens/encoders/clip_vit_tiny.pt", "cls+mean", 96},
                 {TURTLE_BUILD "/goldens/encoders/clip_rn_tiny.pt", "cls", 40},
                 {TURTLE_BUILD "/goldens/encoders/dinov2_reg_mlp_tiny.pth", "cls", 128},
                 {TURTLE_BUILD "/goldens/encoders/dinov2_swiglu_tiny.pth", "patchmean", 64},
                 {TURTLE_BUILD "/goldens/encoders/dinov2_swiglu_tiny.pth", "cls+mean", 128}};
    static const uint8_t rgb[2 * 20 * 30 * 3] = {255};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float features[2 * 2 * D + 1];
        TurtleEncodeOptions o;
        TurtleEncodeResult r;
        Error err;
        set_encode(&o, NULL, NULL);
        o.weights = cases[i].weights;
        o.feature = cases[i].feature;
        ASSERT_OK(turtle_encode(&o, &r, &err), err);
        cr_assert(r.dims == cases[i].dims, "%s: %lld", cases[i].weights, (long long)r.dims);
        o.pictures = (TurtlePictures){.count = 2, .rgb = rgb, .height = 20, .width = 30};
        o.features = features;
        o.dims = r.dims;
        turtle_encode_result_free(&r);
        for (int j = 0; j <= 2 * 2 * D; j++) features[j] = NAN;
        ASSERT_OK(turtle_encode(&o, &r, &err), err);
        for (int j = 0; j < 2 * cases[i].dims; j++) cr_assert(!isnan(features[j]));
        cr_expect(isnan(features[2 * cases[i].dims]), "a number behind the array was written");
        turtle_encode_result_free(&r);
    }
}
