/* sets_seeded.c - miniatures of sets whose splits are drawn, and of the two sets of videos. */
#include "tests/cpu/datasets/sets.h"

#include "tests/support/check.h"

static void save_zip(ZipFile *zip, const char *from, const char *name) {
    Bytes b = zipped_end(zip);
    bytes_save(&b, from, name);
}

/* --- numpy's draws ---------------------------------------------------------------------------- */

/* The outer zip holds a tar.gz. BACKGROUND_Google/tmp is a file without ending. */
void write_caltech101(const char *from) {
    static const struct {
        const char *name;
        int images;
    } classes[3] = {{"accordion", 40}, {"Leopards", 31}, {"BACKGROUND_Google", 31}};
    Bytes t = {0};
    ZipFile z = {0};
    tar_folder(&t, "101_ObjectCategories/");
    for (int c = 0; c < 3; c++)
        for (int i = classes[c].images; i >= 1; i--) {
            char name[64];
            snprintf(name, sizeof name, "101_ObjectCategories/%s/image_%04d.jpg", classes[c].name,
                     i);
            tar_take(&t, name, picture_jpeg(8, 6 * i));
        }
    tar_text(&t, "101_ObjectCategories/BACKGROUND_Google/tmp", "junk");
    tar_text(&t, "101_ObjectCategories/._accordion", "junk of a Mac");
    tar_end(&t);
    gzip_in_place(&t);
    zipped_text(&z, "caltech-101/.DS_Store", "junk", 0);
    zipped_text(&z, "__MACOSX/caltech-101/._.DS_Store", "junk", 0);
    zipped_take(&z, "caltech-101/101_ObjectCategories.tar.gz", t, ZIPPED_DEFLATED);
    zipped_text(&z, "__MACOSX/caltech-101/._101_ObjectCategories.tar.gz", "junk", 0);
    zipped_text(&z, "caltech-101/show_annotation.m", "junk", 0);
    save_zip(&z, from, "caltech-101.zip");
}

/* As many images a class as the split needs, at least: 1500. */
void write_eurosat(const char *from) {
    ZipFile z = {0};
    Bytes shades[8];
    for (int i = 0; i < 8; i++) shades[i] = picture_png(8, 31 * i);
    for (int c = 0; c < 2; c++)
        for (int i = c ? 1500 : 2000; i >= 1; i--) {
            char name[64];
            snprintf(name, sizeof name,
                     c ? "2750/AnnualCrop/AnnualCrop_%d.jpg" : "2750/Pasture/Pasture_%d.jpg", i);
            zipped_file(&z, name, shades[i % 8].data, shades[i % 8].size, 0);
        }
    for (int i = 0; i < 8; i++) bytes_free(&shades[i]);
    save_zip(&z, from, "EuroSAT.zip");
}

/* --- Python's draws --------------------------------------------------------------------------- */

static void resisc45_below(const char *from) {
    static const struct {
        const char *name;
        int images;
    } classes[3] = {{"beach", 7}, {"airplane", 23}, {"Airport", 7}};
    for (int c = 0; c < 3; c++)
        for (int i = 1; i <= classes[c].images; i++) {
            char name[96];
            Bytes b = picture_jpeg(8, 8 * i);
            snprintf(name, sizeof name, "NWPU-RESISC45/%s/%s_%03d.jpg", classes[c].name,
                     classes[c].name, i);
            bytes_save(&b, from, name);
        }
}

void write_resisc45(const char *from) {
    resisc45_below(from);
}

/* The stand-in for the archive names the folder that the test's `unrar` copies. */
void write_resisc45_rar(const char *from) {
    Bytes b = {0};
    char *hidden = format_text("%s/unpacked", from);
    resisc45_below(hidden);
    bytes_string(&b, "Rar!\x1a\x07");
    bytes_add(&b, "\0", 1);
    bytes_save(&b, from, "NWPU-RESISC45.rar");
    free(hidden);
}

/* 2600 scenes, of which 2500 are drawn; scene i has 3 + i mod 8 objects. */
void write_clevr(const char *from) {
    ZipFile z = {0};
    Bytes scenes = {0}, shades[8];
    for (int i = 0; i < 8; i++) shades[i] = picture_png(8, 31 * i);
    bytes_string(&scenes, "{\"info\": {\"split\": \"train\", \"objects\": 3}, \"scenes\": [");
    for (int i = 0; i < 2600; i++) {
        bytes_print(&scenes, "%s{\"image_index\": %d, \"objects\": [", i ? ", " : "", i);
        for (int k = 0; k < 3 + i % 8; k++)
            bytes_print(
                &scenes,
                "%s{\"color\": \"red\", \"3d_coords\": [1.5, -2e-1, 0.35], \"objects\": []}",
                k ? ", " : "");
        bytes_print(&scenes,
                    "], \"relationships\": {\"right\": [[1], []]}, \"image_filename\": "
                    "\"CLEVR_train_%06d.png\", \"split\": \"train\"}",
                    i);
    }
    bytes_string(&scenes, "]}");
    zipped_text(&z, "CLEVR_v1.0/README.txt", "junk", 0);
    for (int i = 2599; i >= 0; i--) {
        char name[64];
        snprintf(name, sizeof name, "CLEVR_v1.0/images/train/CLEVR_train_%06d.png", i);
        zipped_file(&z, name, shades[i % 8].data, shades[i % 8].size, 0);
    }
    zipped_file(&z, "CLEVR_v1.0/images/val/CLEVR_val_000000.png", shades[0].data, shades[0].size,
                0);
    zipped_text(&z, "CLEVR_v1.0/scenes/CLEVR_val_scenes.json", "{\"scenes\": []}", 0);
    zipped_take(&z, "CLEVR_v1.0/scenes/CLEVR_train_scenes.json", scenes,
                ZIPPED_DEFLATED | ZIPPED_64);
    for (int i = 0; i < 8; i++) bytes_free(&shades[i]);
    save_zip(&z, from, "CLEVR_v1.0.zip");
}

/* Image i is as far as its file of labels says: none, 7.5, 8, 8.01, 20, 21 metres, in turns; a
 * pedestrian nearby, and a car of unknown distance, do not count. */
void write_kitti(const char *from) {
    ZipFile images = {0}, labels = {0};
    static const char *const lines[6] = {
        "Pedestrian 0.00 0 1.9 1 1 2 2 1.8 0.5 0.9 1.2 1.5 3.00 0.2\n"
        "DontCare -1 -1 -10 1 1 2 2 -1 -1 -1 -1000 -1000 -1000 -10\n",
        "Car 0.00 0 1.9 1 1 2 2 1.8 0.5 0.9 1.2 1.5 31.40 0.2\n"
        "Van 0.00 0 1.9 1 1 2 2 1.8 0.5 0.9 1.2 1.5 7.50 0.2\n",
        "Truck 0.00 0 1.9 1 1 2 2 1.8 0.5 0.9 1.2 1.5 8.00 0.2\n",
        "Car 0.00 0 1.9 1 1 2 2 1.8 0.5 0.9 1.2 1.5 8.01 0.2\n",
        "Car 0.00 0 1.9 1 1 2 2 1.8 0.5 0.9 1.2 1.5 20.00 0.2\n",
        "Cyclist 0.00 0 1.9 1 1 2 2 1.8 0.5 0.9 1.2 1.5 4.00 0.2\n"
        "Car 0.00 0 1.9 1 1 2 2 1.8 0.5 0.9 1.2 1.5 21.00 0.2\n",
    };
    for (int i = 19; i >= 0; i--) {
        char name[64];
        snprintf(name, sizeof name, "training/image_2/%06d.png", i);
        zipped_take(&images, name, picture_png(16, 12 * i), ZIPPED_64);
        snprintf(name, sizeof name, "training/label_2/%06d.txt", i);
        zipped_text(&labels, name, lines[i % 6], ZIPPED_DEFLATED);
    }
    zipped_take(&images, "testing/image_2/000000.png", picture_png(16, 1), ZIPPED_64);
    save_zip(&images, from, "data_object_image_2.zip");
    save_zip(&labels, from, "data_object_label_2.zip");
}

/* --- videos ----------------------------------------------------------------------------------- */

static void save_video(const char *from, const char *name, int frames) {
    Bytes b = video_avi(16, frames);
    bytes_save(&b, from, name);
}

/* The folder is HandstandPushups, the files are v_HandStandPushups. */
void write_ucf101(const char *from) {
    ZipFile z = {0};
    Bytes rar = {0};
    save_video(from, "unpacked/UCF-101/YoYo/v_YoYo_g01_c01.avi", 10);
    save_video(from, "unpacked/UCF-101/YoYo/v_YoYo_g09_c02.avi", 9);
    save_video(from, "unpacked/UCF-101/HandstandPushups/v_HandStandPushups_g01_c01.avi", 4);
    save_video(from, "unpacked/UCF-101/HandstandPushups/v_HandStandPushups_g10_c03.avi", 7);
    save_video(from, "unpacked/UCF-101/Archery/v_Archery_g08_c01.avi", 5);
    bytes_string(&rar, "Rar!\x1a\x07");
    bytes_add(&rar, "\0", 1);
    bytes_save(&rar, from, "UCF101.rar");
    zipped_text(&z, "ucfTrainTestlist/classInd.txt",
                "1 Archery\r\n2 HandstandPushups\r\n3 YoYo\r\n", ZIPPED_DEFLATED);
    zipped_text(&z, "ucfTrainTestlist/testlist01.txt",
                "HandstandPushups/v_HandStandPushups_g01_c01.avi\r\nYoYo/v_YoYo_g01_c01.avi\r\n",
                ZIPPED_DEFLATED);
    zipped_text(&z, "ucfTrainTestlist/trainlist01.txt",
                "YoYo/v_YoYo_g09_c02.avi 3\r\nArchery/v_Archery_g08_c01.avi 1\r\n"
                "HandstandPushups/v_HandStandPushups_g10_c03.avi 2",
                ZIPPED_DEFLATED);
    zipped_text(&z, "ucfTrainTestlist/trainlist02.txt", "YoYo/v_YoYo_g01_c01.avi 3\r\n",
                ZIPPED_DEFLATED);
    save_zip(&z, from, "UCF101TrainTestSplits-RecognitionTask.zip");
}

static void save_kinetics(const char *from, const char *split, const char *const *names,
                          const int *frames, int n) {
    Bytes t = {0}, lines = {0};
    char *archive = format_text("%s/k700_%s_001.tar.gz", split, split),
         *list = format_text("%s/k700_2020_%s_path.txt", split, split),
         *table = format_text("%s/%s.csv", split, split);
    for (int i = 0; i < n; i++) tar_take(&t, names[i], video_avi(16, frames[i]));
    tar_end(&t);
    gzip_in_place(&t);
    bytes_save(&t, from, archive);
    bytes_print(&lines, "https://s3.amazonaws.com/kinetics/700_2020/%s/k700_%s_001.tar.gz\n", split,
                split);
    bytes_save(&lines, from, list);
    bytes_string(&lines, "label,youtube_id,time_start,time_end,split\n");
    for (int i = 0; i < n; i++) {
        const char *slash = strchr(names[i], '/');
        bytes_print(&lines, "%.*s,%.11s,1,11,%s\n", (int)(slash - names[i]), names[i], slash + 1,
                    split);
    }
    bytes_save(&lines, from, table);
    free(archive);
    free(list);
    free(table);
}

/* A label has blanks and brackets, an id begins with '-'; a video of one frame has no frame 1. */
void write_kinetics700(const char *from) {
    static const char *const train[] = {"tying knot (not on a tie)/-bcdefghijk_000001_000011.mp4",
                                        "abseiling/Zbcdefghijk_000001_000011.mp4",
                                        "abseiling/1bcdefghijk_000001_000011.mp4",
                                        "abseiling/shortvideo1_000001_000011.mp4"},
                             *const val[] = {
                                 "abseiling/_bcdefghijk_000004_000014.mp4",
                                 "tying knot (not on a tie)/0bcdefghijk_000001_000011.mp4"};
    save_kinetics(from, "train", train, (const int[]){8, 5, 6, 1}, 4);
    save_kinetics(from, "val", val, (const int[]){4, 5}, 2);
}
