/* sets_folders.c - miniatures of sets whose classes are folders or lists of files. */
#include "tests/cpu/datasets/sets.h"

#include "tests/support/check.h"

#define CMYK "tests/goldens/images/cmyk120x90.jpg"

/* --- parts ------------------------------------------------------------------------------------ */

static int next_shade(void) {
    static int shade;
    return shade = (shade + 37) % 256;
}

static const char *next_name(char name[256], const char *names) {
    while (*names == ' ') names++;
    const size_t n = strcspn(names, " ");
    cr_assert(n < 256);
    memcpy(name, names, n);
    name[n] = '\0';
    return n ? names + n : NULL;
}

void tar_photos(Bytes *tar, const char *names) {
    char name[256];
    while ((names = next_name(name, names))) tar_take(tar, name, picture_jpeg(16, next_shade()));
}

void zipped_photos(ZipFile *zip, const char *names, int how) {
    char name[256];
    while ((names = next_name(name, names)))
        zipped_take(zip, name, picture_jpeg(16, next_shade()), how);
}

Bytes bytes_of_file(const char *path) {
    FileMap map;
    Error err;
    Bytes b = {0};
    ASSERT_OK(file_map(&map, path, &err), err);
    bytes_add(&b, map.data, (size_t)map.bytes);
    file_unmap(&map);
    return b;
}

static void save_gzipped_tar(Bytes *tar, const char *from, const char *name) {
    tar_end(tar);
    gzip_in_place(tar);
    bytes_save(tar, from, name);
}

static void save_zip(ZipFile *zip, const char *from, const char *name) {
    Bytes b = zipped_end(zip);
    bytes_save(&b, from, name);
}

/* --- lists ------------------------------------------------------------------------------------ */

/* Keys and lists of the JSON are out of order; the .txt files, which are sorted, must not decide. */
void write_food101(const char *from) {
    Bytes t = {0};
    tar_folder(&t, "food-101/");
    tar_folder(&t, "food-101/images/");
    tar_photos(&t, "food-101/images/waffles/3.jpg food-101/images/apple_pie/10.jpg "
                   "food-101/images/apple_pie/7.jpg food-101/images/waffles/12.jpg "
                   "food-101/images/ramen/5.jpg food-101/images/waffles/44.jpg "
                   "food-101/images/ramen/1.jpg food-101/images/apple_pie/2.jpg");
    tar_text(&t, "food-101/images/.DS_Store", "junk");
    tar_text(&t, "food-101/meta/train.json",
             "{\"waffles\": [\"waffles/12\", \"waffles/3\"], \"apple_pie\": [\"apple_pie/7\", "
             "\"apple_pie/10\"], \"ramen\": [\"ramen\\/5\"]}");
    tar_text(&t, "food-101/meta/test.json",
             "{\"ramen\": [\"ramen/1\"],\n \"waffles\": [\"waffles/44\"],\n"
             " \"apple_pie\": [\"apple_pie/2\"]}\n");
    tar_text(&t, "food-101/meta/classes.txt", "apple_pie\nramen\nwaffles\n");
    tar_text(&t, "food-101/meta/train.txt",
             "apple_pie/10\napple_pie/7\nramen/5\nwaffles/12\nwaffles/3\n");
    tar_text(&t, "food-101/meta/test.txt", "apple_pie/2\nramen/1\nwaffles/44\n");
    save_gzipped_tar(&t, from, "food-101.tar.gz");
}

/* Two classes are called `outdoor`; lists have the line ends of Windows, and no end of the last. */
void write_sun397(const char *from) {
    Bytes t = {0};
    ZipFile z = {0};
    tar_photos(&t, "SUN397/l/library/outdoor/sun_b.jpg "
                   "SUN397/a/apartment_building/outdoor/sun_a.jpg SUN397/a/abbey/sun_c.jpg");
    tar_take(&t, "SUN397/a/abbey/sun_z.jpg", picture_bmp(16, 210));
    tar_take(&t, "SUN397/a/abbey/sun_a.jpg", picture_png(16, 90));
    tar_take(&t, "SUN397/l/library/outdoor/sun_x.jpg", bytes_of_file(CMYK));
    tar_take(&t, "SUN397/a/apartment_building/outdoor/sun_q.jpg", picture_gif(16, 90));
    tar_text(&t, "SUN397/README.txt", "junk");
    tar_text(&t, "SUN397/ClassName.txt",
             "/a/abbey\r\n/a/apartment_building/outdoor\r\n/l/library/outdoor");
    save_gzipped_tar(&t, from, "SUN397.tar.gz");
    zipped_text(&z, "ClassName.txt",
                "/a/abbey\r\n/a/apartment_building/outdoor\r\n/l/library/outdoor", 0);
    zipped_text(&z, "Testing_01.txt",
                "/a/abbey/sun_z.jpg\r\n/a/apartment_building/outdoor/sun_q.jpg\r\n"
                "/l/library/outdoor/sun_b.jpg",
                ZIPPED_DEFLATED);
    zipped_text(&z, "Training_01.txt",
                "/a/abbey/sun_c.jpg\r\n/a/abbey/sun_a.jpg\r\n"
                "/a/apartment_building/outdoor/sun_a.jpg\r\n/l/library/outdoor/sun_x.jpg",
                ZIPPED_DEFLATED);
    zipped_text(&z, "Training_02.txt", "/l/library/outdoor/sun_b.jpg\r\n", ZIPPED_DEFLATED);
    save_zip(&z, from, "Partitions.zip");
}

/* Lists have the line ends of Windows. The class is a variant whose '/' and ' ' became '-', and
 * ranks follow that name: 'BAE-125' comes before 'BAE 146-200', which is written 'BAE-146-200'. */
void write_aircraft(const char *from) {
#define TOP "fgvc-aircraft-2013b/data/"
    Bytes t = {0};
    tar_photos(&t, TOP "images/0034309.jpg " TOP "images/0000003.jpg " TOP "images/0000100.jpg " TOP
                       "images/0000020.jpg " TOP "images/0000007.jpg " TOP "images/0000001.jpg " TOP
                       "images/0000055.jpg");
    tar_text(&t, TOP "variants.txt", "BAE 146-200\nBAE-125\nF/A-18\n");
    tar_text(&t, TOP "images_variant_train.txt", "0034309 BAE 146-200\n0000003 F/A-18\n");
    tar_text(&t, TOP "images_variant_val.txt", "0000020 BAE-125\n0000100 BAE 146-200\n");
    tar_text(&t, TOP "images_variant_trainval.txt",
             "0034309 BAE 146-200\r\n0000003 F/A-18\r\n0000020 BAE-125\r\n0000100 BAE 146-200\r\n");
    tar_text(&t, TOP "images_variant_test.txt",
             "0000055 F/A-18\r\n0000007 BAE-125\r\n0000001 BAE 146-200");
    save_gzipped_tar(&t, from, "fgvc-aircraft-2013b.tar.gz");
#undef TOP
}

void write_dtd(const char *from) {
    Bytes t = {0};
    tar_photos(&t, "dtd/images/zigzagged/zigzagged_0002.jpg dtd/images/banded/banded_0009.jpg "
                   "dtd/images/banded/banded_0002.jpg dtd/images/lined/lined_0004.jpg "
                   "dtd/images/zigzagged/zigzagged_0001.jpg dtd/images/lined/lined_0001.jpg "
                   "dtd/images/banded/banded_0005.jpg dtd/images/lined/lined_0003.jpg");
    tar_text(&t, "dtd/images/banded/.directory", "junk");
    tar_text(&t, "dtd/imdb/imdb.mat", "junk");
    tar_text(&t, "dtd/labels/labels_joint_anno.txt", "junk\n");
    tar_text(&t, "dtd/labels/test1.txt",
             "lined/lined_0003.jpg\r\nbanded/banded_0005.jpg\r\nzigzagged/zigzagged_0001.jpg\r\n");
    tar_text(&t, "dtd/labels/train1.txt", "zigzagged/zigzagged_0002.jpg\nbanded/banded_0009.jpg\n");
    tar_text(&t, "dtd/labels/train2.txt", "banded/banded_0002.jpg\n");
    tar_text(&t, "dtd/labels/val1.txt",
             "lined/lined_0004.jpg\nbanded/banded_0002.jpg\nlined/lined_0001.jpg\n");
    save_gzipped_tar(&t, from, "dtd-r1.0.1.tar.gz");
}

/* The class ids of the lists count without regard to case; the published loader sorts by code
 * point. Lists name Egyptian_Mau_145, which is a GIF. */
void write_pets(const char *from) {
    Bytes i = {0}, a = {0};
    tar_photos(&i, "images/beagle_116.jpg images/Abyssinian_100.jpg images/yorkshire_terrier_9.jpg "
                   "images/american_bulldog_2.jpg images/Abyssinian_2.jpg images/beagle_1.jpg "
                   "images/american_bulldog_10.jpg");
    tar_take(&i, "images/Egyptian_Mau_145.jpg", picture_gif(16, 40));
    tar_take(&i, "images/Egyptian_Mau_20.jpg", picture_png(16, 200));
    tar_text(&i, "images/Abyssinian_101.mat", "junk");
    tar_text(&i, "images/._Abyssinian_100.jpg", "junk of a Mac");
    save_gzipped_tar(&i, from, "images.tar.gz");
    tar_text(&a, "annotations/README", "junk\n");
    tar_text(&a, "annotations/list.txt",
             "#Image CLASS-ID SPECIES BREED ID\nAbyssinian_100 1 1 1\n");
    tar_text(&a, "annotations/trainval.txt",
             "Abyssinian_2 1 1 1\nbeagle_116 3 2 2\nAbyssinian_100 1 1 1\n"
             "american_bulldog_2 2 2 1\nEgyptian_Mau_145 4 1 2\n");
    tar_text(&a, "annotations/test.txt",
             "yorkshire_terrier_9 5 2 3\r\nbeagle_1 3 2 2\r\namerican_bulldog_10 2 2 1\r\n"
             "Egyptian_Mau_20 4 1 2\r\n");
    tar_text(&a, "annotations/._trainval.txt", "junk of a Mac");
    tar_text(&a, "annotations/trimaps/._Abyssinian_100.png", "junk");
    save_gzipped_tar(&a, from, "annotations.tar.gz");
}

/* --- class folders ---------------------------------------------------------------------------- */

/* Two names of one class look alike: e with an accent is two characters in the first, as a Mac writes
 * it, and one in the second. Both are kept, and sort by their bytes. */
void write_country211(const char *from) {
    Bytes t = {0};
    tar_photos(&t, "country211/train/AD/caf\xc3\xa9.jpg country211/train/AD/cafe\xcc\x81.jpg");
    tar_photos(&t, "country211/valid/AD/z.jpg country211/valid/ZW/1.jpg country211/train/ZW/b.jpg "
                   "country211/train/AD/9.jpg country211/train/AD/10.jpg country211/train/ZW/B.jpg "
                   "country211/test/ZW/q.jpg country211/test/AD/a.jpg");
    tar_text(&t, "country211/train/AD/Thumbs.db", "junk");
    save_gzipped_tar(&t, from, "country211.tgz");
}

void write_sst(const char *from) {
    Bytes t = {0};
    tar_take(&t, "rendered-sst2/valid/positive/7.png", picture_png(16, 10));
    tar_take(&t, "rendered-sst2/valid/negative/1.png", picture_png(16, 20));
    tar_take(&t, "rendered-sst2/test/positive/0.png", picture_png(16, 30));
    tar_take(&t, "rendered-sst2/test/negative/3.png", picture_png(16, 40));
    tar_take(&t, "rendered-sst2/train/positive/100.png", picture_png(16, 50));
    tar_take(&t, "rendered-sst2/train/positive/20.png", picture_png(16, 60));
    tar_take(&t, "rendered-sst2/train/negative/5.png", picture_png(16, 70));
    save_gzipped_tar(&t, from, "rendered-sst2.tgz");
}

static void save_bird(const char *from, const char *name, Bytes b) {
    char *path = format_text("download/images/%s", name);
    bytes_save(&b, from, path);
    free(path);
}

/* Six images a class: five go to the validation split, and one stays. A GIF counts for no split. */
void write_birdsnap(const char *from) {
    for (int i = 0; i < 6; i++) {
        char name[64];
        snprintf(name, sizeof name, "American_Crow/%06d.jpg", 700 + 11 * i);
        save_bird(from, name, picture_jpeg(16, 20 * i));
        snprintf(name, sizeof name, "Zebra_Finch/%d.%s", 99 + i, i % 2 ? "JPG" : "png");
        save_bird(from, name, i % 2 ? picture_jpeg(16, 20 * i) : picture_png(16, 20 * i));
    }
    save_bird(from, "American_Crow/500.gif", picture_gif(16, 10));
}

/* Training archives lie in the archive; one picture is a PNG and one is in CMYK. */
void write_imagenet(const char *from) {
    static const char *const wnids[3] = {"n09193705", "n01751748", "n02105855"};
    Bytes train = {0}, val = {0};
    for (int c = 0; c < 3; c++) {
        Bytes inner = {0};
        char name[64];
        for (int i = 2; i >= 0; i--) {
            snprintf(name, sizeof name, "%s_%d.JPEG", wnids[c], 9 + i);
            tar_take(&inner, name,
                     c == 1 && i == 2   ? bytes_of_file(CMYK)
                     : c == 2 && i == 0 ? picture_png(16, 3)
                                        : picture_jpeg(16, 50 * c + i));
        }
        tar_end(&inner);
        snprintf(name, sizeof name, "%s.tar", wnids[c]);
        tar_take(&train, name, inner);
    }
    tar_end(&train);
    bytes_save(&train, from, "ILSVRC2012_img_train.tar");
    tar_photos(&val, "ILSVRC2012_val_00000003.JPEG ILSVRC2012_val_00000001.JPEG "
                     "ILSVRC2012_val_00000002.JPEG");
    tar_end(&val);
    bytes_save(&val, from, "ILSVRC2012_img_val.tar");
}

/* --- JSON and CSV ----------------------------------------------------------------------------- */

/* Keys come in any order, and a text speaks of "img" and "label". A name is escaped in JSON and
 * stands as UTF-8 in the archive, its accent a character of its own. Sizes stand behind the data. */
void write_hatefulmemes(const char *from) {
    const int how = ZIPPED_DEFLATED | ZIPPED_DESCRIPTOR;
    ZipFile z = {0};
    zipped_photos(&z,
                  "data/img/42953.png data/img/01236.png data/img/00870.png data/img/08291.png "
                  "data/img/46971.png data/img/00001.png data/img/\xe7\x8c\xab"
                  "e\xcc\x81.png",
                  how);
    zipped_text(&z, "data/README.md", "junk", how);
    zipped_text(&z, "data/LICENSE.txt", "junk", how);
    zipped_text(
        &z, "data/train.jsonl",
        "{\"id\":42953,\"img\":\"img/42953.png\",\"label\":0,\"text\":\"its \\\"label\\\":1 "
        "na\\u00efve \\ud83d\\ude00\"}\n"
        "{\"text\":\"\\\"img\\\":\\\"img/00001.png\\\"\",\"label\":1,\"img\":\"img\\/"
        "01236.png\",\"id\":1236}\n"
        "{\"label\":1,\"id\":870,\"text\":\"\",\"img\":\"img/00870.png\"}\n"
        "{\"id\":46971,\"img\":\"img/46971.png\",\"label\":0,\"text\":\"x\"}\n"
        "{\"id\":7,\"img\":\"img/\\u732be\\u0301.png\",\"label\":0,\"text\":\"y\"}",
        how);
    zipped_text(&z, "data/dev.jsonl",
                "{\"id\":8291,\"img\":\"img/08291.png\",\"label\":1,\"text\":\"w\"}\n"
                "{\"id\":1,\"img\":\"img/00001.png\",\"label\":0,\"text\":\"v\"}\n",
                how);
    zipped_text(&z, "data/test.jsonl", "{\"id\":5,\"img\":\"img/00870.png\",\"text\":\"u\"}\n",
                how);
    save_zip(&z, from, "archive.zip");
}

/* Only .ppm counts; labels of the test images lie in a zip of their own. */
void write_gtsrb(const char *from) {
    ZipFile training = {0}, images = {0}, truth = {0};
    static const char *const names[] = {"00014/00001_00000.ppm", "00000/00000_00001.ppm",
                                        "00000/00000_00000.ppm", "00003/00002_00007.ppm"};
    for (int i = 0; i < 4; i++) {
        char *name = format_text("GTSRB/Training/%s", names[i]);
        zipped_take(&training, name, picture_ppm(16, 60 * i), ZIPPED_DEFLATED);
        free(name);
    }
    zipped_text(&training, "GTSRB/Training/00000/GT-00000.csv", "Filename;Width\r\n", 0);
    zipped_text(&training, "GTSRB/Readme.txt", "junk", 0);
    save_zip(&training, from, "GTSRB-Training_fixed.zip");
    for (int i = 3; i >= 0; i--) {
        char *name = format_text("GTSRB/Final_Test/Images/%05d.ppm", i);
        zipped_take(&images, name, picture_ppm(16, 60 * i), ZIPPED_DEFLATED);
        free(name);
    }
    zipped_text(&images, "GTSRB/Final_Test/Images/GT-final_test.test.csv",
                "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2\r\n00000.ppm;16;16;1;1;9;9\r\n",
                0);
    save_zip(&images, from, "GTSRB_Final_Test_Images.zip");
    zipped_text(&truth, "GT-final_test.csv",
                "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\r\n"
                "00002.ppm;16;16;1;1;9;9;14\r\n00000.ppm;16;16;1;1;9;9;0\r\n"
                "00001.ppm;16;16;1;1;9;9;3\r\n00003.ppm;16;16;1;1;9;9;0\r\n",
                ZIPPED_DEFLATED);
    save_zip(&truth, from, "GTSRB_Final_Test_GT.zip");
}
