/* sets_records.c - miniatures of sets whose images are records, and of those with MATLAB's files. */
#include "tests/cpu/datasets/sets.h"

#include "tests/support/check.h"

Bytes stripes(int width, int height, int planes, int first, bool by_columns) {
    Bytes b = {0};
    for (int p = 0; p < planes; p++)
        for (int i = 0; i < width * height; i++) {
            const int row = by_columns ? i % height : i / width;
            bytes_little(&b, (uint64_t)((8 * row + first) & 255), 1);
        }
    return b;
}

static void add_stripes(Bytes *b, int side, int planes, int first, bool by_columns) {
    Bytes s = stripes(side, side, planes, first, by_columns);
    bytes_add(b, s.data, s.size);
    bytes_free(&s);
}

static void save_gzipped_tar(Bytes *tar, const char *from, const char *name) {
    tar_end(tar);
    gzip_in_place(tar);
    bytes_save(tar, from, name);
}

/* --- CIFAR, MNIST, STL-10 --------------------------------------------------------------------- */

/* Adds a batch of records: `marks` label bytes, then 3072 bytes. */
static void tar_records(Bytes *tar, const char *name, const int *labels, int n, int marks) {
    Bytes b = {0};
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < marks; k++) bytes_little(&b, (uint64_t)labels[i * marks + k], 1);
        add_stripes(&b, 32, 3, i, false);
    }
    tar_take(tar, name, b);
}

static const int cifar10_batch[5][2] = {{6, 9}, {1, 0}, {2, 8}, {5, 3}, {7, 4}};
static const int cifar10_test[3] = {3, 8, 0};

void write_cifar10(const char *from) {
    static const int order[5] = {3, 0, 4, 2, 1};
    Bytes t = {0};
    tar_records(&t, "cifar-10-batches-bin/test_batch.bin", cifar10_test, 3, 1);
    for (int i = 0; i < 5; i++) {
        char *name = format_text("cifar-10-batches-bin/data_batch_%d.bin", order[i] + 1);
        tar_records(&t, name, cifar10_batch[order[i]], 2, 1);
        free(name);
    }
    tar_text(&t, "cifar-10-batches-bin/readme.html", "junk");
    tar_text(&t, "cifar-10-batches-bin/batches.meta.txt",
             "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n");
    save_gzipped_tar(&t, from, "cifar-10-binary.tar.gz");
}

/* Record i has the coarse label i mod 20 and the fine label (7 i + 3) mod 100. */
void write_cifar100(const char *from) {
    int train[200], test[6] = {4, 30, 1, 4, 14, 99};
    Bytes t = {0};
    for (int i = 0; i < 100; i++) train[2 * i] = i % 20, train[2 * i + 1] = (7 * i + 3) % 100;
    tar_records(&t, "cifar-100-binary/train.bin", train, 100, 2);
    tar_records(&t, "cifar-100-binary/test.bin", test, 3, 2);
    tar_text(&t, "cifar-100-binary/fine_label_names.txt", "apple\n");
    save_gzipped_tar(&t, from, "cifar-100-binary.tar.gz");
}

/* Adds a pickled batch whose images are those of tar_records. */
static void tar_pickle(Bytes *tar, const char *name, const PickledLabels *labels, int kinds, int n,
                       bool python3) {
    Bytes pixels = {0};
    for (int i = 0; i < n; i++) add_stripes(&pixels, 32, 3, i, false);
    tar_take(tar, name, pickle_batch(labels, kinds, n, pixels, python3));
}

static void write_cifar10_pickles(const char *from, bool python3) {
    Bytes t = {0};
    tar_text(&t, "cifar-10-batches-py/readme.html", "junk");
    tar_text(&t, "cifar-10-batches-py/batches.meta", "not read");
    for (int i = 5; i >= 1; i--) {
        char *name = format_text("cifar-10-batches-py/data_batch_%d", i);
        tar_pickle(&t, name, &(PickledLabels){"labels", cifar10_batch[i - 1]}, 1, 2, python3);
        free(name);
    }
    tar_pickle(&t, "cifar-10-batches-py/test_batch", &(PickledLabels){"labels", cifar10_test}, 1, 3,
               python3);
    save_gzipped_tar(&t, from, "cifar-10-python.tar.gz");
}

void write_cifar10_python2(const char *from) {
    write_cifar10_pickles(from, false);
}
void write_cifar10_python3(const char *from) {
    write_cifar10_pickles(from, true);
}

/* Labels are those of write_cifar100. */
static void write_cifar100_pickles(const char *from, bool python3) {
    static const int test[2][3] = {{30, 4, 99}, {4, 1, 14}};
    int fine[100], coarse[100];
    Bytes t = {0};
    for (int i = 0; i < 100; i++) coarse[i] = i % 20, fine[i] = (7 * i + 3) % 100;
    const PickledLabels scored[2] = {{"fine_labels", test[0]}, {"coarse_labels", test[1]}};
    const PickledLabels trained[2] = {{"coarse_labels", coarse}, {"fine_labels", fine}};
    tar_pickle(&t, "cifar-100-python/test", scored, 2, 3, python3);
    tar_text(&t, "cifar-100-python/file.txt~", "");
    tar_pickle(&t, "cifar-100-python/train", trained, 2, 100, python3);
    tar_text(&t, "cifar-100-python/meta", "not read");
    save_gzipped_tar(&t, from, "cifar-100-python.tar.gz");
}

void write_cifar100_python2(const char *from) {
    write_cifar100_pickles(from, false);
}
void write_cifar100_python3(const char *from) {
    write_cifar100_pickles(from, true);
}

static void save_idx(const char *from, const char *name, int n, const int *labels) {
    Bytes b = {0};
    bytes_big(&b, labels ? 0x801 : 0x803, 4);
    bytes_big(&b, (uint64_t)n, 4);
    if (!labels) bytes_big(&b, 28, 4), bytes_big(&b, 28, 4);
    for (int i = 0; i < n; i++)
        if (labels) bytes_little(&b, (uint64_t)labels[i], 1);
        else add_stripes(&b, 28, 1, i, false);
    gzip_in_place(&b);
    bytes_save(&b, from, name);
}

void write_mnist(const char *from) {
    static const int train[10] = {5, 0, 4, 1, 9, 2, 3, 6, 7, 8}, test[3] = {7, 2, 1};
    save_idx(from, "train-images-idx3-ubyte.gz", 10, NULL);
    save_idx(from, "train-labels-idx1-ubyte.gz", 10, train);
    save_idx(from, "t10k-images-idx3-ubyte.gz", 3, NULL);
    save_idx(from, "t10k-labels-idx1-ubyte.gz", 3, test);
}

/* Labels are 1-based, and planes are stored column by column. */
void write_stl10(const char *from) {
    static const int train[10] = {2, 10, 1, 3, 9, 4, 8, 5, 7, 6}, test[2] = {7, 4};
    Bytes t = {0}, images = {0}, labels = {0};
    for (int i = 0; i < 10; i++) {
        add_stripes(&images, 96, 3, i, true);
        bytes_little(&labels, (uint64_t)train[i], 1);
    }
    tar_text(&t, "stl10_binary/class_names.txt", "airplane\nbird\ncar\n");
    tar_text(&t, "stl10_binary/fold_indices.txt", "0 1 2\n");
    tar_take(&t, "stl10_binary/train_X.bin", images);
    tar_text(&t, "stl10_binary/unlabeled_X.bin", "not needed");
    tar_take(&t, "stl10_binary/train_y.bin", labels);
    images = labels = (Bytes){0};
    for (int i = 0; i < 2; i++) {
        add_stripes(&images, 96, 3, 4 * i, true);
        bytes_little(&labels, (uint64_t)test[i], 1);
    }
    tar_take(&t, "stl10_binary/test_y.bin", labels);
    tar_take(&t, "stl10_binary/test_X.bin", images);
    save_gzipped_tar(&t, from, "stl10_binary.tar.gz");
}

/* --- PatchCamelyon ---------------------------------------------------------------------------- */

static void save_pcam(const char *from, const char *part, int n, int rows, int fan,
                      const uint8_t *labels) {
    const int64_t shape[4] = {n, 96, 96, 3}, column[4] = {n, 1, 1, 1};
    Bytes pixels = {0};
    for (int i = 0; i < n; i++)
        for (int row = 0; row < 96; row++)
            for (int k = 0; k < 96 * 3; k++) bytes_little(&pixels, (uint64_t)(2 * row + i), 1);
    Bytes x = h5_chunked("x", shape, rows, fan, pixels.data),
          y = h5_contiguous("y", 4, column, labels);
    char *x_name = format_text("camelyonpatch_level_2_split_%s_x.h5.gz", part),
         *y_name = format_text("camelyonpatch_level_2_split_%s_y.h5.gz", part);
    gzip_in_place(&x);
    gzip_in_place(&y);
    bytes_save(&x, from, x_name);
    bytes_save(&y, from, y_name);
    bytes_free(&pixels);
    free(x_name);
    free(y_name);
}

/* Five chunks under nodes of two children make a tree of three levels; the last chunk is half
 * empty. */
void write_pcam(const char *from) {
    save_pcam(from, "train", 9, 2, 2, (const uint8_t[]){1, 0, 0, 1, 1, 0, 1, 0, 0});
    save_pcam(from, "valid", 3, 32, 64, (const uint8_t[]){0, 1, 1});
    save_pcam(from, "test", 4, 1, 2, (const uint8_t[]){1, 1, 0, 1});
}

/* --- FER-2013 --------------------------------------------------------------------------------- */

static Bytes faces(void) {
    static const struct {
        int emotion;
        const char *usage;
    } row[] = {{3, "Training"},    {0, "PublicTest"}, {6, "Training"}, {2, "PrivateTest"},
               {1, "Training"},    {0, "Training"},   {2, "Training"}, {4, "PrivateTest"},
               {5, "PrivateTest"}, {4, "Training"},   {5, "Training"}, {1, "PublicTest"}};
    Bytes b = {0};
    bytes_string(&b, "emotion,pixels,Usage\n");
    for (int i = 0; i < 12; i++) {
        bytes_print(&b, "%d,", row[i].emotion);
        for (int k = 0; k < 48 * 48; k++) bytes_print(&b, k ? " %d" : "%d", 5 * (k / 48) + i);
        bytes_print(&b, ",%s\n", row[i].usage);
    }
    return b;
}

static Bytes faces_archive(void) {
    Bytes t = {0};
    tar_text(&t, "fer2013/README", "junk");
    tar_take(&t, "fer2013/fer2013.csv", faces());
    tar_text(&t, "fer2013/fer2013.bib", "junk");
    tar_end(&t);
    gzip_in_place(&t);
    return t;
}

void write_fer2013(const char *from) {
    Bytes t = faces_archive();
    bytes_save(&t, from, "fer2013.tar.gz");
}

/* The competition's zip holds the archive and two tables that must not be taken for it. */
void write_fer2013_zip(const char *from) {
    ZipFile z = {0};
    zipped_text(&z, "test.csv", "pixels\n1 2 3\n", ZIPPED_DEFLATED);
    zipped_take(&z, "fer2013.tar.gz", faces_archive(), 0);
    zipped_text(&z, "icml_face_data.csv", "emotion, Usage, pixels\n0, Training, 1 2 3\n",
                ZIPPED_DEFLATED);
    Bytes b = zipped_end(&z);
    bytes_save(&b, from,
               "challenges-in-representation-learning-facial-expression-recognition-"
               "challenge.zip");
}

/* --- MATLAB ----------------------------------------------------------------------------------- */

/* Ids are 1-based, and so are labels; setid needs two bytes a number. */
void write_flowers(const char *from) {
    static const int64_t train[3] = {301, 2, 7}, valid[2] = {5, 1}, test[3] = {300, 3, 6};
    int64_t labels[301] = {0};
    Bytes t = {0}, m = mat_header();
    static const int ids[8] = {300, 2, 301, 6, 1, 7, 3, 5}, classes[8] = {2, 1, 3, 1, 2, 1, 3, 3};
    for (int i = 0; i < 301; i++) labels[i] = 1;
    for (int i = 0; i < 8; i++) {
        char name[64];
        snprintf(name, sizeof name, "jpg/image_%05d.jpg", ids[i]);
        tar_photos(&t, name);
        labels[ids[i] - 1] = classes[i];
    }
    save_gzipped_tar(&t, from, "102flowers.tgz");
    mat_row(&m, "labels", labels, 301);
    bytes_save(&m, from, "imagelabels.mat");
    m = mat_header();
    mat_row(&m, "trnid", train, 3);
    mat_row(&m, "valid", valid, 2);
    mat_row(&m, "tstid", test, 3);
    bytes_save(&m, from, "setid.mat");
}

typedef struct {
    const char *file;
    int64_t class;
} Car;
static const Car cars_train[4] = {{"00003.jpg", 2},
                                  {"00001.jpg", 3},
                                  {"00004.jpg", 1},
                                  {"00002.jpg", 3}},
                 cars_test[3] = {{"00002.jpg", 1}, {"00001.jpg", 3}, {"00003.jpg", 2}};

static Bytes car_annotations(const Car *car, int n, bool labelled) {
    enum { MOST = 24 };
    MatField field[MOST] = {{0}};
    const int fields = labelled ? 6 : 5;
    Bytes m = mat_header();
    for (int i = 0; i < n; i++) {
        static const char *const box[4] = {"bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"};
        MatField *f = field + i * fields;
        for (int k = 0; k < 4; k++) f[k] = (MatField){.name = box[k], .number = 300 * k + i};
        if (labelled) f[4] = (MatField){.name = "class", .number = car[i].class};
        f[fields - 1] = (MatField){.name = "fname", .text = car[i].file};
    }
    mat_structs(&m, "annotations", field, fields, n);
    return m;
}

static Bytes car_names(void) {
    static const char *const names[3] = {"AM General Hummer SUV 2000", "Acura RL Sedan 2012",
                                         "Ram C/V Cargo Van Minivan 2012"};
    Bytes m = mat_header();
    mat_cells(&m, "class_names", names, 3);
    return m;
}

/* Stanford's four files: the kit's own test list has no classes. */
void write_cars(const char *from) {
    Bytes t = {0}, m;
    tar_photos(&t, "cars_train/00004.jpg cars_train/00001.jpg cars_train/00003.jpg "
                   "cars_train/00002.jpg");
    save_gzipped_tar(&t, from, "cars_train.tgz");
    tar_photos(&t, "cars_test/00003.jpg cars_test/00001.jpg cars_test/00002.jpg");
    save_gzipped_tar(&t, from, "cars_test.tgz");
    tar_take(&t, "devkit/cars_test_annos.mat", car_annotations(cars_test, 3, false));
    tar_take(&t, "devkit/cars_meta.mat", car_names());
    tar_take(&t, "devkit/cars_train_annos.mat", car_annotations(cars_train, 4, true));
    tar_text(&t, "devkit/README.txt", "junk");
    save_gzipped_tar(&t, from, "car_devkit.tgz");
    m = car_annotations(cars_test, 3, true);
    bytes_save(&m, from, "cars_test_annos_withlabels.mat");
}

/* Kaggle's copy nests folders once more, and has the list of another split. */
void write_cars_kaggle(const char *from) {
    ZipFile z = {0};
    zipped_photos(&z,
                  "cars_test/cars_test/00002.jpg cars_test/cars_test/00001.jpg "
                  "cars_test/cars_test/00003.jpg cars_train/cars_train/00001.jpg "
                  "cars_train/cars_train/00004.jpg cars_train/cars_train/00002.jpg "
                  "cars_train/cars_train/00003.jpg",
                  0);
    zipped_take(&z, "cars_annos.mat", car_annotations(cars_test, 2, true), ZIPPED_DEFLATED);
    zipped_take(&z, "car_devkit/devkit/cars_meta.mat", car_names(), ZIPPED_DEFLATED);
    zipped_take(&z, "car_devkit/devkit/cars_test_annos.mat", car_annotations(cars_test, 3, false),
                ZIPPED_DEFLATED);
    zipped_take(&z, "car_devkit/devkit/cars_train_annos.mat", car_annotations(cars_train, 4, true),
                ZIPPED_DEFLATED);
    Bytes b = zipped_end(&z), m = car_annotations(cars_test, 3, true);
    bytes_save(&b, from, "archive.zip");
    bytes_save(&m, from, "cars_test_annos_withlabels.mat");
}
