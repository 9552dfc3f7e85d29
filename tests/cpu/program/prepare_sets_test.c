/* prepare_sets_test.c - archives brought to their places: rules, stages that continue, hostile names, frames of
 * videos, classes of ImageNet, drawn pictures of CLEVR. Orders and labels are the matter of tests/cpu/datasets. */
#include "host/prepare/place.h"
#include "io/images/image.h"
#include "io/images/jpeg_write.h"
#include "tests/cpu/datasets/sets.h"
#include "tests/support/check.h"

typedef struct {
    char *folder, *from, *root;
} Place;

static Place place_open(void) {
    Place p = {.folder = temporary_folder()};
    Error err;
    p.from = format_text("%s/from", p.folder);
    p.root = format_text("%s/data", p.folder);
    ASSERT_OK(folder_make(p.from, &err), err);
    return p;
}

static void place_close(Place *p) {
    free(p->from);
    free(p->root);
    remove_folder(p->folder);
}

static bool there(const Place *p, const char *name) {
    char *path = format_text("%s/datasets/%s", p->root, name);
    struct stat s;
    const bool is = lstat(path, &s) == 0;
    free(path);
    return is;
}

static void run_prepare(Ran *ran, const Place *p, const char *set) {
    run_turtle(ran, "prepare --dataset %s --from %s --unverified --root_dir %s", set, p->from,
               p->root);
}

/* --- rules of places ------------------------------------------------------------------------------------ */

Test(prepare_sets, entries_go_to_their_places, .timeout = 60) {
    static const struct {
        const char *set;
        int archive;
        const char *entry, *place; /* NULL: passed over */
    } cases[] = {
        {"food101", 0, "food-101/images/ramen/5.jpg", "food-101/images/ramen/5.jpg"},
        {"food101", 0, "elsewhere/food-101/meta/train.json", "food-101/meta/train.json"},
        {"food101", 0, "README.txt", NULL},
        {"food101", 0, "food-101/images/.DS_Store", NULL},
        {"pets", 0, "images/._Abyssinian_100.jpg", NULL},
        {"pets", 0, "images/Abyssinian_100.jpg", "pets/images/Abyssinian_100.jpg"},
        {"dtd", 0, "dtd/images/banded/banded_0009.jpg", "dtd/dtd/images/banded/banded_0009.jpg"},
        {"caltech101", 0,
         "caltech-101/101_ObjectCategories.tar.gz/101_ObjectCategories/ant/image_0001.jpg",
         "caltech-101/101_ObjectCategories/ant/image_0001.jpg"},
        {"caltech101", 0, "__MACOSX/caltech-101/101_ObjectCategories/ant/image_0001.jpg", NULL},
        {"cars", 3, "cars_train/cars_train/00001.jpg", "stanford_cars/cars_train/00001.jpg"},
        {"cars", 3, "car_devkit/devkit/cars_meta.mat", "stanford_cars/devkit/cars_meta.mat"},
        {"cars", 3, "cars_annos.mat", NULL},
        {"sun397", 1, "Partitions/Training_01.txt", "SUN397/Training_01.txt"},
        {"sun397", 1, "Partitions/Training_02.txt", NULL},
        {"stl10", 0, "stl10_binary/unlabeled_X.bin", NULL},
        {"stl10", 0, "stl10_binary/train_X.bin", "stl10_binary/train_X.bin"},
        {"imagenet", 1, "n01440764.tar/n01440764_1.JPEG",
         "imagenet/train/n01440764/n01440764_1.JPEG"},
        {"hatefulmemes", 0, "data/img/42953.png", "hatefulmemes/img/42953.png"},
        {"hatefulmemes", 0, "data/test.jsonl", NULL},
        {"mnist", 0, "train-images-idx3-ubyte.gz", "MNIST/raw/train-images-idx3-ubyte.gz"},
        {"pcam", 1, "whatever", "pcam/camelyonpatch_level_2_split_train_y.h5"},
        {"kitti", 0, "testing/image_2/000000.png", NULL},
        {"checkpoints", 0, "turtle_tasks/2space/clipvitL14_dinov2/cifar100.pt",
         "turtle_tasks/2space/clipvitL14_dinov2/cifar100.pt"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Manifest m;
        Error err;
        char place[4096] = "";
        ASSERT_OK(manifest_find(&m, cases[i].set, &err), err);
        const Placing p = {.archive = &m.archive[cases[i].archive], .stage = "/nowhere"};
        const bool wanted = place_of(place, &p, cases[i].entry);
        cr_expect(wanted == (cases[i].place != NULL), "%s: %s", cases[i].set, cases[i].entry);
        if (wanted && cases[i].place)
            cr_expect(strcmp(place, cases[i].place) == 0, "%s: %s goes to %s", cases[i].set,
                      cases[i].entry, place);
        manifest_free(&m);
    }
}

/* --- stages ------------------------------------------------------------------------------------------------ */

/* The second of three archives is cut short: nothing is in place. While archives stay as they are, a call keeps
 * what an earlier one unpacked of the others; a changed archive empties the stage. */
Test(prepare_sets, a_stage_is_continued_and_never_taken_as_whole, .timeout = 60) {
    Place p = place_open();
    Ran ran;
    write_gtsrb(p.from);
    char *images = format_text("%s/GTSRB_Final_Test_Images.zip", p.from);
    Bytes whole = bytes_of_file(images);
    write_bytes(images, whole.data, whole.size / 2);
    for (int call = 0; call < 2; call++) {
        run_prepare(&ran, &p, "gtsrb");
        cr_expect(ran.status == 1 && strstr(ran.err, "GTSRB_Final_Test_Images.zip"), "%s", ran.err);
        cr_expect((strstr(ran.err, "GTSRB-Training_fixed.zip is brought to its place") != NULL) ==
                      (call == 0),
                  "%s", ran.err);
        cr_expect(!there(&p, "gtsrb") &&
                  there(&p, ".prepare-gtsrb/gtsrb/GTSRB/Training/00014/00001_00000.ppm"));
        char *mine = format_text("%s/datasets/.prepare-gtsrb/gtsrb/stale.ppm", p.root);
        write_bytes(mine, "stale", 5);
        free(mine);
    }
    cr_expect(there(&p, ".prepare-gtsrb/gtsrb/stale.ppm"));
    write_bytes(images, whole.data, whole.size);
    run_prepare(&ran, &p, "gtsrb");
    cr_expect(ran.status == 0, "%s", ran.err);
    cr_expect(there(&p, "gtsrb/GTSRB/Training/00014/00001_00000.ppm") &&
              there(&p, "gtsrb/GT-final_test.csv") && !there(&p, "gtsrb/stale.ppm"));
    free(images);
    bytes_free(&whole);
    place_close(&p);
}

Test(prepare_sets, a_folder_that_was_there_is_set_aside, .timeout = 60) {
    Place p = place_open();
    Ran ran;
    Error err;
    write_cifar10(p.from);
    char *old = format_text("%s/datasets/cifar-10-batches-bin", p.root),
         *mine = format_text("%s/mine.bin", old);
    ASSERT_OK(folder_make(old, &err), err);
    write_bytes(mine, "kept", 4);
    run_prepare(&ran, &p, "cifar10");
    cr_expect(ran.status == 0 && strstr(ran.err, "was there and was not the whole data set"), "%s",
              ran.err);
    cr_expect(there(&p, "cifar-10-batches-bin.before/mine.bin") &&
              there(&p, "cifar-10-batches-bin/test_batch.bin"));
    cr_expect(!there(&p, ".prepare-cifar10") && !there(&p, "cifar-10-batches-bin/mine.bin"));
    free(old);
    free(mine);
    place_close(&p);
}

/* A folder that DIR holds in place of its archive is copied, and stays. */
Test(prepare_sets, an_unpacked_folder_stands_for_its_archive, .timeout = 60) {
    Place p = place_open();
    Ran ran;
    write_cifar10(p.from);
    char *command = format_text(
        "cd %s && tar xzf cifar-10-binary.tar.gz && rm cifar-10-binary.tar.gz && "
        "ln -s /etc/passwd cifar-10-batches-bin/link && ln -s / cifar-10-batches-bin/root",
        p.from);
    cr_assert(system(command) == 0);
    run_prepare(&ran, &p, "cifar10");
    cr_expect(ran.status == 0 &&
                  strstr(ran.out, "10 images to train on, 3 to score, 10 classes, not verified"),
              "%s%s", ran.out, ran.err);
    char *batch = format_text("%s/cifar-10-batches-bin/test_batch.bin", p.from);
    cr_expect(file_exists(batch) && !there(&p, "cifar-10-batches-bin/root"));
    free(command);
    free(batch);
    place_close(&p);
}

/* Counts of the published data set are asked for unless --unverified is given; its digest is, too. */
Test(prepare_sets, other_counts_are_refused, .timeout = 60) {
    Place p = place_open();
    Ran ran;
    write_cifar10(p.from);
    run_turtle(&ran, "prepare --dataset cifar10 --from %s --root_dir %s --quiet", p.from, p.root);
    cr_expect(ran.status == 1 && strstr(ran.err, "the published file has 170052171"), "%s",
              ran.err);
    cr_expect(!there(&p, "cifar-10-batches-bin"));
    char *command =
        format_text("mkdir -p %s/datasets && tar xzf %s/cifar-10-binary.tar.gz -C %s/datasets",
                    p.root, p.from, p.root);
    cr_assert(system(command) == 0);
    run_turtle(&ran, "prepare --list --root_dir %s", p.root);
    cr_expect(strstr(ran.out, "cifar10      other counts"), "%s", ran.out);
    free(command);
    place_close(&p);
}

Test(prepare_sets, hostile_names_write_nothing_outside, .timeout = 60) {
    static const char *const names[] = {"food-101/../../../../outside.jpg",
                                        "../food-101/outside.jpg", "/tmp/food-101/outside.jpg"};
    for (int i = 0; i < 3; i++) {
        Place p = place_open();
        Ran ran;
        Bytes t = {0};
        tar_text(&t, "food-101/meta/train.json", "{}");
        tar_text(&t, names[i], "outside");
        tar_end(&t);
        gzip_in_place(&t);
        bytes_save(&t, p.from, "food-101.tar.gz");
        run_prepare(&ran, &p, "food101");
        cr_expect(ran.status == 1, "%s: %s", names[i], ran.err);
        cr_expect(count_files(p.folder, "outside.jpg") == 0 &&
                      !file_exists("/tmp/food-101/outside.jpg"),
                  "%s was written", names[i]);
        cr_expect(!there(&p, "food-101"));
        place_close(&p);
    }
}

Test(prepare_sets, an_archive_of_something_else_is_refused, .timeout = 60) {
    Place p = place_open();
    Ran ran;
    Bytes t = {0};
    tar_text(&t, "other/file.txt", "text");
    tar_end(&t);
    gzip_in_place(&t);
    bytes_save(&t, p.from, "food-101.tar.gz");
    run_prepare(&ran, &p, "food101");
    cr_expect(ran.status == 1 && strstr(ran.err, "holds nothing that belongs to the data set"),
              "%s", ran.err);
    place_close(&p);
}

Test(prepare_sets, without_unrar_the_line_to_run_is_said, .timeout = 60) {
    Place p = place_open();
    Ran ran;
    write_resisc45_rar(p.from);
    setenv("PATH", "/nowhere", 1);
    run_prepare(&ran, &p, "resisc45");
    setenv("PATH", "/usr/local/bin:/usr/bin:/bin", 1);
    cr_expect(ran.status == 1 && strstr(ran.err, "neither unrar nor bsdtar nor 7z is installed") &&
                  strstr(ran.err, "unrar x /"),
              "%s", ran.err);
    place_close(&p);
}

/* --- sets with rules of their own ------------------------------------------------------------------------------ */

Test(prepare_sets, imagenets_validation_images_find_their_classes, .timeout = 60) {
    Place p = place_open();
    Ran ran;
    write_imagenet(p.from);
    run_prepare(&ran, &p, "imagenet");
    cr_expect(ran.status == 0, "%s", ran.err);
    cr_expect(there(&p, "imagenet/val/n01751748/ILSVRC2012_val_00000001.JPEG") &&
              there(&p, "imagenet/val/n09193705/ILSVRC2012_val_00000002.JPEG") &&
              there(&p, "imagenet/val/n02105855/ILSVRC2012_val_00000003.JPEG"));
    cr_expect(there(&p, "imagenet/train/n09193705/n09193705_9.JPEG") &&
              !there(&p, "imagenet/train/n09193705.tar"));
    place_close(&p);
}

/* The split draws 2 500 of the training pictures, 2 600 here and 70 000 in truth; they alone are unpacked. */
Test(prepare_sets, of_clevr_the_drawn_pictures_alone_are_unpacked, .timeout = 120) {
    Place p = place_open();
    Ran ran;
    write_clevr(p.from);
    run_prepare(&ran, &p, "clevr");
    cr_expect(ran.status == 0 &&
                  strstr(ran.out, "2000 images to train on, 500 to score, 8 classes"),
              "%s%s", ran.out, ran.err);
    cr_expect(count_files(p.root, "CLEVR_train_00") == 2500 &&
              count_files(p.root, "CLEVR_val") == 0);
    cr_expect(ran.peak_kib < 64 * 1024, "%ld KiB", ran.peak_kib);
    place_close(&p);
}

static bool is_here(const char *program) {
    char *command = format_text("command -v %s >/dev/null", program);
    const bool here = system(command) == 0;
    free(command);
    return here;
}

/* Frame i of the videos is grey, 8 i. */
static void expect_grey(const Place *p, const char *name, int grey) {
    FileMap map;
    Image image;
    Error err;
    char *path = format_text("%s/datasets/ucf101/%s", p->root, name);
    ASSERT_OK(file_map(&map, path, &err), err);
    ASSERT_OK(image_decode(&image, map.data, map.bytes, path, &err), err);
    cr_expect(image.width == 16 && abs(image.rgb[0] - grey) <= 1, "%s: %d instead of %d", name,
              image.rgb[0], grey);
    image_free(&image);
    file_unmap(&map);
    free(path);
}

/* Frame n / 2 + 1 of n is taken, counted from 0. The folder of videos is read where it is. */
Test(prepare_sets, the_frame_of_a_video_is_the_published_one, .timeout = 60) {
    if (!is_here("ffmpeg") || !is_here("ffprobe")) cr_skip_test("ffmpeg is not here");
    Place p = place_open();
    Ran ran;
    write_ucf101(p.from);
    char *command =
        format_text("mv %s/unpacked/UCF-101 %s/ && rm %s/UCF101.rar", p.from, p.from, p.from);
    cr_assert(system(command) == 0);
    run_prepare(&ran, &p, "ucf101");
    cr_expect(ran.status == 0, "%s", ran.err);
    expect_grey(&p, "train/YoYo/v_YoYo_g09_c02.jpg", 8 * 5);                       /* 9 frames */
    expect_grey(&p, "val/YoYo/v_YoYo_g01_c01.jpg", 8 * 6);                         /* 10 */
    expect_grey(&p, "train/Archery/v_Archery_g08_c01.jpg", 8 * 3);                 /* 5 */
    expect_grey(&p, "val/HandstandPushups/v_HandStandPushups_g01_c01.jpg", 8 * 3); /* 4 */
    cr_expect(!there(&p, "ucf101/UCF-101") && !there(&p, ".prepare-ucf101"));
    free(command);
    place_close(&p);
}

/* A video that is missing or is none is listed, and the others are there. */
Test(prepare_sets, a_video_without_a_frame_is_listed, .timeout = 60) {
    if (!is_here("ffmpeg") || !is_here("ffprobe")) cr_skip_test("ffmpeg is not here");
    Place p = place_open();
    Ran ran;
    char said[4096];
    write_ucf101(p.from);
    char *command = format_text("mv %s/unpacked/UCF-101 %s/ && rm %s/UCF101.rar && cd "
                                "%s/UCF-101/YoYo && rm v_YoYo_g01_c01.avi && "
                                "echo none >v_YoYo_g09_c02.avi",
                                p.from, p.from, p.from, p.from);
    cr_assert(system(command) == 0);
    run_prepare(&ran, &p, "ucf101");
    cr_expect(ran.status == 0 && strstr(ran.err, "2 of 5 videos have no middle frame"), "%s",
              ran.err);
    char *list = format_text("%s/datasets/ucf101/skipped.txt", p.root);
    read_text(said, sizeof said, list);
    cr_expect(strstr(said, "v_YoYo_g01_c01.avi\t") && strstr(said, "v_YoYo_g09_c02.avi\t"), "%s",
              said);
    cr_expect(there(&p, "ucf101/train/Archery/v_Archery_g08_c01.jpg"));
    free(list);
    free(command);
    place_close(&p);
}

/* --- JPEG ---------------------------------------------------------------------------------------------------- */

/* A smooth picture comes back within three levels on average; sides are odd, so edges are repeated. */
Test(prepare_sets, a_written_jpeg_is_read_back, .timeout = 60) {
    enum { WIDTH = 61, HEIGHT = 37 };
    Place p = place_open();
    FileMap map;
    Image in = {malloc(3 * WIDTH * HEIGHT), WIDTH, HEIGHT}, out;
    Error err;
    double sum = 0.0;
    for (int i = 0; i < WIDTH * HEIGHT; i++) {
        in.rgb[3 * i] = (uint8_t)(40 + 3 * (i % WIDTH));
        in.rgb[3 * i + 1] = (uint8_t)(200 - 4 * (i / WIDTH));
        in.rgb[3 * i + 2] = (uint8_t)(90 + i % WIDTH + i / WIDTH);
    }
    char *path = format_text("%s/picture.jpg", p.folder);
    ASSERT_OK(jpeg_write(path, &in, 75, &err), err);
    ASSERT_OK(file_map(&map, path, &err), err);
    ASSERT_OK(image_decode(&out, map.data, map.bytes, path, &err), err);
    cr_assert(out.width == WIDTH && out.height == HEIGHT);
    for (int i = 0; i < 3 * WIDTH * HEIGHT; i++) sum += abs(out.rgb[i] - in.rgb[i]);
    EXPECT_CLOSE(sum / (3 * WIDTH * HEIGHT), 3.0, "mean difference %.3f",
                 sum / (3 * WIDTH * HEIGHT));
    /* quality 75 halves the tables: 16 11 12 14 12 10 of the first coefficients become 8 6 6 7 6 5 */
    cr_expect(memmem(map.data, (size_t)map.bytes, "\xff\xdb\x00\x43\x00\x08\x06\x06\x07\x06\x05",
                     11) != NULL);
    cr_expect(jpeg_write(path, &in, 0, &err) == ERR_ARG &&
              jpeg_write(path, &(Image){0}, 75, &err) == ERR_ARG);
    image_free(&in);
    image_free(&out);
    file_unmap(&map);
    free(path);
    place_close(&p);
}
