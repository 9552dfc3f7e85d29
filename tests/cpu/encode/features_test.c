/* features_test.c - images to representations: the demo's recorded features, and the calls
 * `features` and `labels` with their files, interruptions and bad input. */
#include "host/encode/encoder.h"
#include "io/datasets/sources.h"
#include "tests/support/check.h"
#include "tests/support/golden.h"
#include "tests/support/weights_file.h"

#define IMAGES "tests/goldens/images"
#define VIT "data/demo/checkpoints/demo_vit.pth"
#define RN "data/demo/checkpoints/demo_rn.pth"

/* --- the demo's encoders ---------------------------------------------------------------------- */

/* Recorded: the first 256 images of each split, by the program that trained these encoders
 * (data/README.md), float32. */
Test(features, demo_encoders_give_their_recorded_features, .timeout = 120) {
    enum { N = 256, D = 128, BATCH = 64 };
    static const struct { const char *weights, *name; } models[] = {{VIT, "vit"}, {RN, "rn"}};
    Error err;
    Ops ops;
    SourceSplits splits;
    ASSERT_OK(ops_open(&ops, "cpu", 2, NULL, &err), err);
    ASSERT_OK(sources_dataset(&splits, "digits", "data/demo/datasets", NULL, &err), err);
    for (int m = 0; m < 2; m++) {
        Encoder *e;
        Resizer resizer = {0};
        int resize, side;
        ASSERT_OK(
            encoder_open(&e, &ops, models[m].weights, &(EncoderOptions){.batch = BATCH}, &err),
            err);
        encoder_image_size(e, &resize, &side);
        cr_assert(resize == (m ? 64 : 28) && side == resize && encoder_features(e) == D);
        for (int split = 0; split < 2; split++) {
            const SourceList *list = split ? &splits.val : &splits.train;
            uint8_t *pixels = malloc((size_t)BATCH * 3 * (size_t)(side * side));
            float *found = malloc(N * D * sizeof *found);
            for (int i = 0; i < N; i++) {
                Image image;
                ASSERT_OK(source_image(list, i, &image, &err), err);
                ASSERT_OK(resize_crop(&resizer, pixels + i % BATCH * 3 * side * side, &image,
                                      resize, side, &err),
                          err);
                image_free(&image);
                if (i % BATCH == BATCH - 1)
                    ASSERT_OK(encoder_run(e, found + (i + 1 - BATCH) * D, pixels, BATCH, &err),
                              err);
            }
            char path[64];
            snprintf(path, sizeof path, "demo/features_%s_%s.npy", models[m].name,
                     split ? "val" : "train");
            EXPECT_CLOSE(relative_error(found, golden(path, DTYPE_F32, N * D), N * D), 1e-4, "%s",
                         path);
            free(pixels);
            free(found);
        }
        resizer_free(&resizer);
        encoder_close(e);
    }
    sources_close(&splits);
    ops_close(&ops);
}

/* The way from pictures to classes is that of `make demo`. The accuracies are those of the
 * published implementation on these encoders' features, seed 42, T 1000 (data/README.md), within
 * one point. */
Test(features, demo_finds_the_digits, .timeout = 600) {
    if (slow_build()) cr_skip_test("slow under the sanitizers: TURTLE_TEST_FULL=1");
    static const struct {
        const char *phis;
        double accuracy;
    } runs[] = {{"demo_vit", 0.9800}, {"demo_rn", 0.9865}, {"demo_vit demo_rn", 0.9870}};
    Ran ran;
    char *root = temporary_folder();
    const bool all = getenv("TURTLE_TEST_FULL") != NULL;
    char *command = format_text("cp -r data/demo/datasets data/demo/checkpoints %s", root);
    cr_assert(system(command) == 0);
    run_turtle(&ran, "features --root_dir %s --dataset digits --phis demo_vit %s --json", root,
               all ? "demo_rn" : "");
    cr_assert(ran.status == 0, "%s", ran.err);
    cr_expect(json_number(ran.out, "images") == (all ? 20000 : 10000));
    run_turtle(&ran, "labels --root_dir %s --dataset digits", root);
    cr_assert(ran.status == 0, "%s", ran.err);
    for (int i = 0; i < (all ? 3 : 1); i++) {
        run_turtle(&ran,
                   "train --root_dir %s --dataset digits --phis %s --T 1000 --rng torch --json",
                   root, runs[i].phis);
        cr_assert(ran.status == 0, "%s", ran.err);
        const double found = json_number(ran.out, "cluster_acc");
        EXPECT_CLOSE(fabs(found - runs[i].accuracy), 0.01, "%s: %.4f", runs[i].phis, found);
    }
    free(command);
    remove_folder(root);
}

/* --- calls ------------------------------------------------------------------------------------ */

/* Makes features of the golden images with the demo's transformer, into `folder`/<name>. */
static void run_features(Ran *ran, const char *root, const char *more) {
    run_turtle(ran, "features --root_dir %s --images " IMAGES " --weights " VIT " %s", root, more);
}

static char *below(const char *root, const char *name) {
    return format_text("%s/%s", root, name);
}

static bool same_below(const char *root, const char *a, const char *z) {
    char *x = below(root, a), *y = below(root, z);
    const bool same = same_files(x, y);
    free(x);
    free(y);
    return same;
}

Test(features, a_folder_of_images_becomes_a_matrix_and_a_list, .timeout = 120) {
    static const char *const variants[] = {"--batch_size 1", "--batch_size 5 --threads 1",
                                           "--threads 3 --batch_size 7"};
    Ran ran;
    Error err;
    Npy npy;
    char *root = temporary_folder();
    run_features(&ran, root, "--json");
    cr_assert(ran.status == 0, "%s", ran.err);
    cr_expect(json_number(ran.out, "images") == 12 && json_number(ran.out, "skipped") == 0);
    char *path = below(root, "representations/demo_vit/images_train.npy"),
         *list = below(root, "representations/demo_vit/images_train.txt"), text[1024];
    cr_expect(strstr(ran.out, path), "%s", ran.out);
    ASSERT_OK(npy_open(&npy, path, &err), err);
    cr_expect(npy.axes == 2 && npy.shape[0] == 12 && npy.shape[1] == 128 && npy.type == DTYPE_F32);
    npy_close(&npy);
    read_text(text, sizeof text, list);
    cr_expect(strncmp(text, "cmyk120x90.jpg\nexif6_161x110.jpg\n", 33) == 0, "%s", text);
    cr_expect(count_files(root, "part") == 0 && count_files(root, "tmp") == 0);
    for (int i = 0; i < 3; i++) { /* the same bits whatever runs beside an image */
        char *more = format_text("%s --name v%d", variants[i], i);
        char *name = format_text("representations/demo_vit/v%d_train.npy", i);
        run_features(&ran, root, more);
        cr_expect(ran.status == 0 &&
                      same_below(root, "representations/demo_vit/images_train.npy", name),
                  "%s", variants[i]);
        free(more);
        free(name);
    }
    free(path);
    free(list);
    remove_folder(root);
}

Test(features, dumped_pixels_are_the_recorded_crops, .timeout = 60) {
    Ran ran;
    Error err;
    Npy npy;
    char *root = temporary_folder(), *path = below(root, "pixels.npy"),
         *more = format_text("--image_size 224 --dump %s", path), *list = below(root, "l.tsv"),
         *at = realpath(IMAGES "/square302.png", NULL), *line = format_text("train\t-\t%s\n", at);
    write_bytes(list, line, strlen(line));
    run_turtle(&ran, "features --root_dir %s --list %s --weights " VIT " %s", root, list, more);
    cr_assert(ran.status == 0, "%s", ran.err);
    ASSERT_OK(npy_open(&npy, path, &err), err);
    cr_assert(npy.axes == 4 && npy.shape[0] == 1 && npy.count == 224 * 224 * 3);
    char text[8192], wanted[64];
    read_text(text, sizeof text, IMAGES "/resized.txt");
    snprintf(wanted, sizeof wanted, "square302 302 302 224 224 %08x",
             (unsigned)crc32_of(npy.data, 224 * 224 * 3));
    cr_expect(strstr(text, wanted), "%s is not among the recorded ones", wanted);
    npy_close(&npy);
    free(path), free(more), free(list), free(at), free(line);
    remove_folder(root);
}

Test(features, shards_are_pieces_of_the_whole, .timeout = 60) {
    Ran ran;
    char *root = temporary_folder(), whole[65536] = "", pieces[65536] = "";
    run_features(&ran, root, "");
    for (int i = 1; i <= 3; i++) {
        char *more = format_text("--shard %d/3", i);
        run_features(&ran, root, more);
        cr_assert(ran.status == 0, "%s", ran.err);
        free(more);
    }
    char *command = format_text("cd %s/representations/demo_vit && tail -c +129 images_train.npy | "
                                "cksum && for i in 1 2 3; do tail -c +129 "
                                "images_train.${i}of3.npy; done | cksum && cat images_train.txt | "
                                "cksum && cat images_train.[123]of3.txt | cksum",
                                root);
    FILE *f = popen(command, "r");
    cr_assert(f && fgets(whole, sizeof whole, f) && fgets(pieces, sizeof pieces, f));
    cr_expect(strcmp(whole, pieces) == 0, "rows: %s and %s", whole, pieces);
    cr_assert(fgets(whole, sizeof whole, f) && fgets(pieces, sizeof pieces, f));
    cr_expect(strcmp(whole, pieces) == 0, "names: %s and %s", whole, pieces);
    pclose(f);
    free(command);
    remove_folder(root);
}

/* --- interruptions ---------------------------------------------------------------------------- */

static volatile sig_atomic_t stop;

static int stop_after_six(void *context, const TurtleProgress *p) {
    (void)context;
    if (p->iteration >= 6) stop = 1;
    return 0;
}

Test(features, a_stopped_call_is_resumed_to_the_same_bits, .timeout = 60) {
    Ran ran;
    Error err;
    TurtleFeaturesOptions o;
    TurtleFilesResult r;
    char *root = temporary_folder(),
         *part = below(root, "representations/demo_vit/stopped_train.npy.part");
    run_features(&ran, root, "");
    turtle_features_defaults(&o);
    o.common.root_dir = root;
    o.common.device = "cpu";
    o.common.hooks = (TurtleHooks){.progress = stop_after_six, .stop = &stop};
    o.images = (TurtleImages){.images = IMAGES, .name = "stopped"};
    o.weights = VIT;
    o.batch_size = "3";
    cr_assert(turtle_features(&o, &r, &err) == ERR_STOPPED);
    cr_expect(strstr(err.text, "6 of 12 images") && strstr(err.text, "--resume"), "%s", err.text);
    cr_expect(file_exists(part));
    stop = 0;
    o.common.hooks = (TurtleHooks){0};

    cr_expect(turtle_features(&o, &r, &err) == ERR_ARG && strstr(err.text, "--resume"), "%s",
              err.text);
    o.resume = true;
    o.normalize = true;
    cr_expect(turtle_features(&o, &r, &err) == ERR_ARG &&
                  strstr(err.text, "--normalize no (now yes)"),
              "%s", err.text);
    o.normalize = false;
    char *half = format_text("truncate -s -100 %s", part); /* killed in the middle of a row */
    cr_assert(system(half) == 0);
    ASSERT_OK(turtle_features(&o, &r, &err), err);
    turtle_files_result_free(&r);
    cr_expect(!file_exists(part));
    cr_expect(same_below(root, "representations/demo_vit/images_train.npy",
                         "representations/demo_vit/stopped_train.npy"));
    cr_expect(same_below(root, "representations/demo_vit/images_train.txt",
                         "representations/demo_vit/stopped_train.txt"));
    ASSERT_OK(turtle_features(&o, &r, &err), err); /* finished: nothing is repeated */
    cr_expect(r.images == 0);
    turtle_files_result_free(&r);
    free(part);
    free(half);
    remove_folder(root);
}

/* Rows of another precision are other rows: the record says which, and no file has both. */
Test(features, rows_of_another_precision_are_refused, .timeout = 60) {
    Ran ran;
    char *root = temporary_folder(), text[4096],
         *record = below(root, "representations/demo_vit/half_train.json");
    run_features(&ran, root, "");
    run_features(&ran, root, "--name half --precision bf16 --json");
    cr_assert(ran.status == 0, "%s", ran.err);
    cr_expect(strstr(ran.out, "\"precision\": \"bf16\""), "%s", ran.out);
    cr_expect(!same_below(root, "representations/demo_vit/images_train.npy",
                          "representations/demo_vit/half_train.npy"));
    read_text(text, sizeof text, record);
    cr_expect(strstr(text, "\"--precision\": \"bf16\""), "%s", text);
    run_features(&ran, root, "--name half --resume");
    cr_expect(ran.status == 1 && strstr(ran.err, "--precision bf16 (now fp32)"), "%s", ran.err);
    run_features(&ran, root, "--resume --precision fp16");
    cr_expect(ran.status == 1 && strstr(ran.err, "--precision fp32 (now fp16)"), "%s", ran.err);
    char *plain = below(root, "representations/demo_vit/images_train.json");
    /* Rows without a record are float32's, as earlier versions' are. */
    cr_assert(remove(plain) == 0);
    run_features(&ran, root, "--resume --precision bf16");
    cr_expect(ran.status == 1 && strstr(ran.err, "what it was made with is not known"), "%s",
              ran.err);
    run_features(&ran, root, "--resume");
    cr_expect(ran.status == 0, "%s", ran.err);
    free(plain);
    run_features(&ran, root, "--precision tf32");
    cr_expect(ran.status == 2 && strstr(ran.err, "encoders have fp32, fp16 and bf16"), "%s",
              ran.err);
    free(record);
    remove_folder(root);
}

/* A weight beyond 65504 is infinite in float16. */
Test(features, numbers_beyond_float16_name_the_image, .timeout = 60) {
    Ran ran;
    char *root = temporary_folder(), *large = below(root, "large.safetensors");
    TensorSet set = read_tensors(TURTLE_BUILD "/goldens/encoders/dinov2_mlp_tiny.pth", "");
    Tensor *layer = set_find(&set, "blocks.1.mlp.fc1.weight");
    const float beyond = 1e5f;
    cr_assert(layer->type == DTYPE_F32);
    memcpy((void *)layer->data, &beyond, sizeof beyond);
    write_safetensors(large, &set);
    set_free(&set);
    char *fp16 = format_text("features --root_dir %s --images " IMAGES
                             " --device cpu --weights %s --precision fp16",
                             root, large),
         *bf16 = format_text("%.*sbf16", (int)strlen(fp16) - 4, fp16);
    run_turtle(&ran, "%s", fp16);
    cr_expect(ran.status == 1 && strstr(ran.err, "is not finite in fp16: try --precision bf16") &&
                  strstr(ran.err, "feature 0 of "),
              "%s", ran.err);
    run_turtle(&ran, "%s", bf16);
    cr_expect(ran.status == 0, "%s", ran.err);
    free(fp16), free(bf16), free(large);
    remove_folder(root);
}

/* An image that was skipped before a stop is still listed after the resumed call. */
Test(features, skipped_images_are_listed_across_a_stop, .timeout = 60) {
    Error err;
    TurtleFeaturesOptions o;
    TurtleFilesResult r;
    char *root = temporary_folder(), text[1024];
    char *command = format_text("cp -r " IMAGES " %s/p && : >%s/p/a.png && : >%s/p/z.png", root,
                                root, root),
         *pictures = below(root, "p"),
         *skipped = below(root, "representations/demo_vit/p_train.skipped.txt");
    cr_assert(system(command) == 0);
    turtle_features_defaults(&o);
    o.common.root_dir = root;
    o.common.device = "cpu";
    o.common.hooks = (TurtleHooks){.progress = stop_after_six, .stop = &stop};
    o.images = (TurtleImages){.images = pictures};
    o.weights = VIT;
    o.batch_size = "3";
    o.skip_bad = true;
    cr_assert(turtle_features(&o, &r, &err) == ERR_STOPPED, "%s", err.text);
    stop = 0;
    o.common.hooks = (TurtleHooks){0};
    o.resume = true;
    ASSERT_OK(turtle_features(&o, &r, &err), err);
    cr_expect(r.images == 12 && r.skipped == 2);
    read_text(text, sizeof text, skipped);
    cr_expect(strstr(text, "a.png: the file is empty\n") &&
                  strstr(text, "z.png: the file is empty"),
              "%s", text);
    turtle_files_result_free(&r);
    free(command), free(pictures), free(skipped);
    remove_folder(root);
}

/* --- bad input -------------------------------------------------------------------------------- */

static void expect_failure(const Ran *ran, int status, const char *words) {
    const char *newline = strrchr(ran->err, '\n');
    cr_expect(ran->status == status, "status %d for '%s': %s", ran->status, words, ran->err);
    cr_expect(strstr(ran->err, words), "expected '%s' in: %s", words, ran->err);
    cr_expect(newline && newline[1] == '\0' && ran->out[0] == '\0', "%s%s", ran->err, ran->out);
}

Test(features, bad_images_stop_the_call_or_are_skipped, .timeout = 60) {
    Ran ran;
    char *root = temporary_folder(), text[4096];
    char *command =
        format_text("mkdir -p %s/pictures/a %s/pictures/b && cd %s/pictures && P=$OLDPWD/" IMAGES
                    " && cp $P/square150.jpg a/1.jpg && head -c 3000 $P/square150.jpg >a/2.jpg && "
                    ": >a/3.png && echo text >b/4.jpg && cp $P/palette190x126.png b/5.jpg && "
                    "printf 'GIF89a' >b/6.gif && printf 'P5 1 1 255 x' >b/7.pgm && { printf "
                    "'P5 1 5000 255 '; head -c 5000 /dev/zero; } >b/8.pgm",
                    root, root, root);
    cr_assert(system(command) == 0);
    run_turtle(&ran, "features --root_dir %s --images %s/pictures --weights " VIT " --quiet", root,
               root);
    expect_failure(&ran, 1, "a/2.jpg: it ends before its end marker: truncated (--skip_bad");
    cr_expect(count_files(root, "train") == 0, "something was written");
    run_turtle(&ran,
               "features --root_dir %s --images %s/pictures --weights " VIT
               " --quiet --skip_bad --json",
               root, root);
    cr_assert(ran.status == 0, "%s", ran.err);
    cr_expect(json_number(ran.out, "images") == 4 && json_number(ran.out, "skipped") == 4);
    char *list = below(root, "representations/demo_vit/pictures_train.txt"),
         *skipped = below(root, "representations/demo_vit/pictures_train.skipped.txt");
    read_text(text, sizeof text, list);
    cr_expect(strcmp(text, "a/1.jpg\nb/5.jpg\nb/7.pgm\nb/8.pgm\n") == 0, "%s", text);
    read_text(text, sizeof text, skipped);
    cr_expect(strstr(text, "a/2.jpg: it ends") && strstr(text, "a/3.png: the file is empty") &&
                  strstr(text, "b/4.jpg: not an image") &&
                  strstr(text, "b/6.gif: it ends before its first picture"),
              "%s", text);
    run_turtle(&ran, "labels --root_dir %s --images %s/pictures --phi demo_vit --json", root, root);
    cr_assert(ran.status == 0, "%s", ran.err);
    cr_expect(json_number(ran.out, "images") == 4);
    Npy npy;
    Error err;
    int64_t labels[4];
    char *path = below(root, "labels/pictures_train.npy");
    ASSERT_OK(npy_open(&npy, path, &err), err);
    ASSERT_OK(npy_read_i64(&npy, 0, 4, labels, &err), err);
    cr_expect(labels[0] == 0 && labels[1] == 1 && labels[2] == 1 && labels[3] == 1);
    npy_close(&npy);
    free(command), free(list), free(skipped), free(path);
    remove_folder(root);
}

Test(features, bad_calls_get_one_line, .timeout = 60) {
    Ran ran;
    char *root = temporary_folder();
    static const struct {
        const char *arguments, *words;
        int status;
    } cases[] = {
        {"features --weights " VIT, "expected one of --dataset, --images and --list, got 0", 2},
        {"features --images " IMAGES " --dataset mnist --weights " VIT, "got 2", 2},
        {"features --images " IMAGES, "Name it with --phis or --weights", 2},
        {"features --images " IMAGES " --phis a b --weights " VIT, "expected one --phis, got 2", 2},
        {"features --images " IMAGES " --phis clipvitL14",
         "data/nowhere/checkpoints/clip/ViT-L-14.pt is missing (at least 856 MB): curl -L "
         "--create-dirs -o 'data/nowhere/checkpoints/clip/ViT-L-14.pt' "
         "https://openaipublic.azureedge.net/clip/models/",
         1},
        {"features --images " IMAGES " --phis clipRN50 dinov2 clipvitB32",
         "3 of 3 files are missing", 1},
        {"features --images " IMAGES " --phis clipRN50 dinov2 clipvitB32",
         "clipRN50: its SHA-256 digest is "
         "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762",
         1},
        {"features --images " IMAGES " --phis clipRN50 dinov2 clipvitB32",
         "dinov2_vitg14_pretrain.pth is missing (at least 4.4 GB)", 1},
        {"features --images " IMAGES " --phis dinov2",
         "curl -L --create-dirs -o "
         "'data/nowhere/checkpoints/dinov2/checkpoints/dinov2_vitg14_pretrain.pth' "
         "https://dl.fbaipublicfiles.com/dinov2/dinov2_vitg14/dinov2_vitg14_pretrain.pth",
         1},
        {"features --images " IMAGES " --phis mine", "mine.pth, .pt or .safetensors", 1},
        {"features --images " IMAGES " --phis clipvitL14 --weights " VIT,
         "clipvitL14 is CLIP ViT-L/14, but this file holds DINOv2 vision transformer", 1},
        {"features --images " IMAGES " --weights " IMAGES "/square150.jpg", "square150.jpg", 1},
        {"features --images " IMAGES " --weights data/nothing.pt", "data/nothing.pt: no such file",
         1},
        {"features --images tests/planted --weights " VIT, "tests/planted: no images", 1},
        {"features --images nowhere --weights " VIT, "nowhere: No such file", 1},
        {"features --dataset mnist --weights " VIT, "ossci-datasets.s3.amazonaws.com/mnist/", 1},
        {"features --images " IMAGES " --weights " VIT " --image_size 30", "a multiple of 7", 1},
        {"features --images " IMAGES " --weights " RN " --feature patchmean", "only --feature cls",
         1},
        {"features --images " IMAGES " --weights " VIT " --feature mean", "expected cls|patchmean",
         2},
        {"features --images " IMAGES " --weights " VIT " --shard 0/3", "1 <= I <= N", 2},
        {"features --images " IMAGES " --weights " VIT " --shard 4/3", "1 <= I <= N", 2},
        {"features --images " IMAGES " --weights " VIT " --shard 3", "1 <= I <= N", 2},
        {"features --images " IMAGES " --weights " VIT " --batch_size 0", "expected auto or 1", 2},
        {"features --images " IMAGES " --weights " VIT " --batch_size many", "expected auto", 2},
        {"labels --images " IMAGES, "is known: class folders or a list", 1},
        {"labels --images " IMAGES " --name a/b", "cannot be a file's name", 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        run_turtle(&ran, "%s --root_dir data/nowhere --device cpu", cases[i].arguments);
        expect_failure(&ran, cases[i].status, cases[i].words);
    }
    cr_expect(!file_exists("data/nowhere"), "a failed call left something");
    remove_folder(root);
}

Test(features, info_says_what_a_weights_file_holds) {
    Ran ran;
    run_turtle(&ran, "info " RN);
    cr_expect(strstr(ran.out, "CLIP residual network") && strstr(ran.out, "trained at 64 x 64"));
    run_turtle(&ran, "info " TURTLE_BUILD "/goldens/encoders/dinov2_swiglu_tiny.pth");
    cr_expect(strstr(ran.out, "SwiGLU") && strstr(ran.out, "trained at 518 x 518"));
    run_turtle(&ran, "info " TURTLE_BUILD "/goldens/encoders/clip_vit_smallvocab.pt --json");
    cr_expect(strstr(ran.out, "\"encoder\": \"CLIP vision transformer\""));
}
