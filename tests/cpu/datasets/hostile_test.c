/* hostile_test.c - archives that are broken or mean harm: one line says so, nothing is written outside of
 * the data folder, and nothing that is half there counts as a data set. */
#include "tests/cpu/datasets/sets.h"
#include "tests/cpu/datasets/user.h"

/* Changes what a miniature's writer left in `from`. */
typedef void (*Harm)(const Place *p);

static void replace(const Place *p, const char *name, Bytes b) {
    bytes_save(&b, p->from, name);
}

static char *in_from(const Place *p, const char *name) {
    return format_text("%s/%s", p->from, name);
}

/* Cuts a file to a share of its bytes. */
static void cut(const Place *p, const char *name, double share) {
    char *path = in_from(p, name);
    Bytes b = bytes_of_file(path);
    b.size = (size_t)(share * (double)b.size);
    replace(p, name, b);
    free(path);
}

/* Changes one byte in the middle of a file. */
static void flip(const Place *p, const char *name) {
    char *path = in_from(p, name);
    Bytes b = bytes_of_file(path);
    b.data[b.size / 2] ^= 0x10;
    replace(p, name, b);
    free(path);
}

/* --- tar ---------------------------------------------------------------------------------------- */

/* Writes dtd's archive with one more entry, and with lists that name its usual pictures. */
static void tar_with(const Place *p, const char *entry, const char *link) {
    Bytes t = {0};
    tar_photos(&t, "dtd/images/banded/banded_0002.jpg dtd/images/lined/lined_0003.jpg");
    if (link) tar_link(&t, "dtd/images/way", link);
    tar_photos(&t, entry);
    tar_text(&t, "dtd/labels/train1.txt", "banded/banded_0002.jpg\n");
    tar_text(&t, "dtd/labels/val1.txt", "banded/banded_0002.jpg\n");
    tar_text(&t, "dtd/labels/test1.txt", "lined/lined_0003.jpg\n");
    tar_end(&t);
    gzip_in_place(&t);
    replace(p, "dtd-r1.0.1.tar.gz", t);
}

static void tar_dots(const Place *p) {
    tar_with(p, "dtd/../../../evil.jpg", NULL);
}
static void tar_absolute(const Place *p) {
    char *entry = format_text("%s/dtd/evil.jpg", p->folder);
    tar_with(p, entry, NULL);
    free(entry);
}
static void tar_way_out(const Place *p) {
    tar_with(p, "dtd/images/way/evil.jpg", p->folder);
}
static void tar_backslash(const Place *p) {
    tar_with(p, "dtd/images\\..\\..\\evil.jpg", NULL);
}
static void tar_cut(const Place *p) {
    cut(p, "dtd-r1.0.1.tar.gz", 0.6);
}
static void tar_flipped(const Place *p) {
    flip(p, "dtd-r1.0.1.tar.gz");
}
static void tar_text_instead(const Place *p) {
    Bytes b = {0};
    bytes_string(&b, "<!DOCTYPE html><title>404</title>");
    replace(p, "dtd-r1.0.1.tar.gz", b);
}
static void tar_empty(const Place *p) {
    replace(p, "dtd-r1.0.1.tar.gz", (Bytes){0});
}

/* --- zip ---------------------------------------------------------------------------------------- */

static void zip_with(const Place *p, const char *entry, int how) {
    ZipFile z = {0};
    zipped_photos(&z, "2750/A/A_1.jpg 2750/A/A_2.jpg 2750/B/B_1.jpg", 0);
    if (how & ZIPPED_LINK) zipped_text(&z, "2750/A/way", p->folder, how);
    zipped_photos(&z, entry, 0);
    replace(p, "EuroSAT.zip", zipped_end(&z));
}

static void zip_dots(const Place *p) {
    zip_with(p, "2750/../../../../evil.jpg", 0);
}
static void zip_absolute(const Place *p) {
    char *entry = format_text("%s/2750/evil.jpg", p->folder);
    zip_with(p, entry, 0);
    free(entry);
}
static void zip_way_out(const Place *p) {
    zip_with(p, "2750/A/way/evil.jpg", ZIPPED_LINK);
}
static void zip_cut(const Place *p) {
    zip_with(p, "2750/B/B_2.jpg", 0);
    cut(p, "EuroSAT.zip", 0.8);
}
static void zip_flipped(const Place *p) {
    zip_with(p, "2750/B/B_2.jpg", 0);
    char *path = in_from(p, "EuroSAT.zip");
    Bytes b = bytes_of_file(path);
    b.data[60] ^= 1; /* inside the first picture */
    replace(p, "EuroSAT.zip", b);
    free(path);
}

/* --- gzip, records, tables ---------------------------------------------------------------------- */

static void idx_bomb(const Place *p) { /* MNIST is 12 MB, and may be 91 MB at the most */
    replace(p, "train-images-idx3-ubyte.gz", gzip_bomb(200000000));
}
static void idx_cut(const Place *p) {
    cut(p, "train-images-idx3-ubyte.gz", 0.5);
}
static void idx_short(const Place *p) { /* a whole gzip file of an idx file that is cut */
    Bytes b = {0};
    bytes_big(&b, 0x803, 4);
    bytes_big(&b, 10, 4);
    bytes_big(&b, 28, 4);
    bytes_big(&b, 28, 4);
    bytes_zeros(&b, 10 * 784 - 1);
    gzip_in_place(&b);
    replace(p, "train-images-idx3-ubyte.gz", b);
}
static void cifar_short(const Place *p) {
    Bytes t = {0}, record = {0};
    bytes_zeros(&record, 3073 + 5);
    for (int i = 1; i <= 6; i++) {
        char name[64];
        snprintf(name, sizeof name,
                 i < 6 ? "cifar-10-batches-bin/data_batch_%d.bin"
                       : "cifar-10-batches-bin/test_batch.bin",
                 i);
        tar_file(&t, name, record.data, record.size);
    }
    bytes_free(&record);
    tar_end(&t);
    gzip_in_place(&t);
    replace(p, "cifar-10-binary.tar.gz", t);
}
static void mat_cut(const Place *p) {
    cut(p, "imagelabels.mat", 0.9);
}
static void mat_is_text(const Place *p) {
    Bytes b = {0};
    bytes_string(&b, "labels = [1 2 3];\n");
    replace(p, "setid.mat", b);
}
static void h5_cut(const Place *p) {
    const int64_t shape[4] = {4, 1, 1, 1};
    Bytes b = h5_contiguous("y", 4, shape, (const uint8_t[4]){0, 1, 0, 1});
    b.size = 1500;
    gzip_in_place(&b);
    replace(p, "camelyonpatch_level_2_split_test_y.h5.gz", b);
}
static void csv_lacks_a_column(const Place *p) {
    Bytes t = {0};
    tar_text(&t, "fer2013/fer2013.csv", "emotion,Usage\n0,Training\n");
    tar_end(&t);
    gzip_in_place(&t);
    replace(p, "fer2013.tar.gz", t);
}
static void csv_of_few_pixels(const Place *p) {
    Bytes t = {0};
    tar_text(&t, "fer2013/fer2013.csv", "emotion,pixels,Usage\n0,1 2 3,Training\n");
    tar_end(&t);
    gzip_in_place(&t);
    replace(p, "fer2013.tar.gz", t);
}
static void json_cut(const Place *p) {
    Bytes t = {0};
    tar_photos(&t, "food-101/images/ramen/1.jpg");
    tar_text(&t, "food-101/meta/train.json", "{\"ramen\": [\"ramen/1\"");
    tar_text(&t, "food-101/meta/test.json", "{\"ramen\": [\"ramen/1\"]}");
    tar_end(&t);
    gzip_in_place(&t);
    replace(p, "food-101.tar.gz", t);
}
/* A list may name files, which must not lead out of the data set's folder. */
static void list_leads_out(const Place *p) {
    Bytes t = {0};
    tar_photos(&t, "food-101/images/ramen/1.jpg");
    tar_text(&t, "food-101/meta/train.json", "{\"ramen\": [\"../../../../../from/secret\"]}");
    tar_text(&t, "food-101/meta/test.json", "{\"ramen\": [\"ramen/1\"]}");
    tar_end(&t);
    gzip_in_place(&t);
    replace(p, "food-101.tar.gz", t);
}

/* --- the test ----------------------------------------------------------------------------------- */

static const struct {
    const char *dataset, *what;
    void (*write)(const char *from);
    Harm harm;
} cases[] = {
    {"dtd", "a tar that leads upwards", write_dtd, tar_dots},
    {"dtd", "a tar with an absolute path", write_dtd, tar_absolute},
    {"dtd", "a tar with a link out of the folder", write_dtd, tar_way_out},
    {"dtd", "a tar with a backslash", write_dtd, tar_backslash},
    {"dtd", "a truncated tar.gz", write_dtd, tar_cut},
    {"dtd", "a tar.gz with a changed byte", write_dtd, tar_flipped},
    {"dtd", "a page in place of an archive", write_dtd, tar_text_instead},
    {"dtd", "an empty archive", write_dtd, tar_empty},
    {"eurosat", "a zip that leads upwards", NULL, zip_dots},
    {"eurosat", "a zip with an absolute path", NULL, zip_absolute},
    {"eurosat", "a zip with a link out of the folder", NULL, zip_way_out},
    {"eurosat", "a truncated zip", NULL, zip_cut},
    {"eurosat", "a zip with a changed byte", NULL, zip_flipped},
    {"mnist", "a gzip bomb", write_mnist, idx_bomb},
    {"mnist", "a truncated gzip", write_mnist, idx_cut},
    {"mnist", "an idx file that is too short", write_mnist, idx_short},
    {"cifar10", "a batch with half a record", NULL, cifar_short},
    {"flowers", "a truncated MAT-file", write_flowers, mat_cut},
    {"flowers", "a text in place of a MAT-file", write_flowers, mat_is_text},
    {"pcam", "a truncated HDF5 file", write_pcam, h5_cut},
    {"fer2013", "a table without pixels", write_fer2013, csv_lacks_a_column},
    {"fer2013", "a table with too few pixels", write_fer2013, csv_of_few_pixels},
    {"food101", "JSON that breaks off", write_food101, json_cut},
    {"food101", "a list that leads out of the folder", write_food101, list_leads_out},
};

static int64_t bytes_below(const char *folder) {
    char *command = format_text("du -sk '%s' | cut -f1", folder);
    FILE *f = popen(command, "r");
    long long kib = -1;
    cr_assert(f && fscanf(f, "%lld", &kib) == 1);
    pclose(f);
    free(command);
    return kib * 1024;
}

static void check_case(size_t i) {
    Ran ran;
    Place p = place_open();
    const char *what = cases[i].what, *dataset = cases[i].dataset;
    if (cases[i].write) cases[i].write(p.from);
    cases[i].harm(&p);
    run_turtle(&ran, "prepare --dataset %s --from %s --unverified --root_dir %s --quiet", dataset,
               p.from, p.root);
    cr_expect(ran.status == 1, "%s: exit status %d: %s", what, ran.status, ran.err);
    cr_expect(strncmp(ran.err, "turtle: ", 8) == 0 &&
                  strchr(ran.err, '\n') == ran.err + strlen(ran.err) - 1,
              "%s: expected one line, got '%s'", what, ran.err);
    cr_expect(count_files(p.folder, "evil") == 0, "%s: a file was written", what);
    cr_expect(bytes_below(p.root) < 150000000, "%s: fills the disk", what);
    run_turtle(&ran, "labels --dataset %s --root_dir %s --quiet", dataset, p.root);
    cr_expect(ran.status == 1, "%s: it counts as a data set: %s", what, ran.out);
    place_close(&p);
}

Test(hostile, archives_get_one_line_and_write_nothing_outside, .timeout = 120) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_case(i);
}

/* Sizes, digests and numbers of classes are those of the manifest unless --unverified. */
Test(hostile, other_bytes_and_other_classes_are_refused, .timeout = 60) {
    static const struct {
        const char *dataset;
        void (*write)(const char *from);
        const char *says;
    } wrong[] = {
        {"dtd", write_dtd, "dtd-r1.0.1.tar.gz"},
        {"mnist", write_mnist, "idx"},
        {"cars", write_cars, ".tgz"},
        {"resisc45", write_resisc45, "45"}, /* a folder has no digest: its classes are counted */
    };
    Ran ran;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        Place p = place_open();
        wrong[i].write(p.from);
        run_turtle(&ran, "prepare --dataset %s --from %s --root_dir %s --quiet", wrong[i].dataset,
                   p.from, p.root);
        cr_expect(ran.status == 1 && strstr(ran.err, wrong[i].says), "%s: %d: %s", wrong[i].dataset,
                  ran.status, ran.err);
        cr_expect(strchr(ran.err, '\n') == ran.err + strlen(ran.err) - 1, "%s: not one line: %s",
                  wrong[i].dataset, ran.err);
        run_turtle(&ran, "labels --dataset %s --root_dir %s --quiet", wrong[i].dataset, p.root);
        cr_expect(ran.status == 1, "%s: it counts as a data set", wrong[i].dataset);
        place_close(&p);
    }
}
