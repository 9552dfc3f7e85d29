/* datasets.c - what is known of each data set: one table row per set.
 *
 * Sizes and class counts are those of the paper's evaluation (26 vision data sets, appendix). */
#include "io/datasets/datasets.h"

#include <stddef.h>
#include <string.h>

#include "io/datasets/samples.h"

static const DatasetFacts facts[] = {
    {"food101", 101, 75750, 25250, {"food-101"}, read_food101, {NULL}},
    {"cifar10", 10, 50000, 10000, {"cifar-10-batches-bin", "cifar-10-batches-py"}, NULL, {NULL}},
    {"cifar100", 100, 50000, 10000, {"cifar-100-binary", "cifar-100-python"}, NULL, {NULL}},
    {"cifar10020", 20, 50000, 10000, {"cifar-100-binary", "cifar-100-python"}, NULL, {NULL}},
    {"birdsnap", 500, 37221, 2500, {"birdsnap/download/images"}, read_birdsnap, {NULL}},
    {"sun397", 397, 19850, 19850, {"SUN397"}, read_sun397, {NULL}},
    {"cars", 196, 8144, 8041, {"stanford_cars"}, read_cars, {NULL}},
    {"aircraft",
     100,
     6667,
     3333,
     {"fgvc-aircraft-2013b/data", "fgvc-aircraft-2013b"},
     read_aircraft,
     {NULL}},
    {"dtd", 47, 3760, 1880, {"dtd/dtd"}, read_dtd, {NULL}},
    {"pets", 37, 3680, 3669, {"pets", "oxford-iiit-pet"}, read_pets, {NULL}},
    {"caltech101",
     102,
     3060,
     6084,
     {"caltech-101/101_ObjectCategories", "caltech101/101_ObjectCategories"},
     read_caltech101,
     {NULL}},
    {"flowers", 102, 2040, 6149, {"flowers-102"}, read_flowers, {NULL}},
    {"mnist", 10, 60000, 10000, {"MNIST/raw"}, NULL, {NULL}},
    {"digits", 10, 8000, 2000, {"MNIST/raw"}, NULL, {NULL}}, /* MNIST's test file: the demo */
    {"fer2013", 7, 28709, 3589, {"fer2013"}, read_fer2013, {NULL}},
    {"stl10", 10, 5000, 8000, {"stl10_binary"}, read_stl10, {NULL}},
    {"eurosat", 10, 10000, 5000, {"eurosat/2750"}, read_eurosat, {NULL}},
    {"resisc45",
     45,
     25200,
     6300,
     {"resisc45/NWPU-RESISC45", "NWPU-RESISC45"},
     read_resisc45,
     {NULL}},
    {"gtsrb", 43, 26640, 12630, {"gtsrb"}, read_gtsrb, {NULL}},
    {"kitti", 4, 5985, 1496, {"Kitti/training"}, read_kitti, {NULL}},
    {"country211", 211, 42200, 21100, {"country211"}, read_parts, {"train", "valid", "test"}},
    {"pcam", 2, 294912, 32768, {"pcam"}, read_pcam, {NULL}},
    {"ucf101", 101, 9537, 3783, {"ucf101"}, read_parts, {"train", NULL, "val"}},
    {"kinetics700", 700, 536485, 33966, {"k700"}, read_parts, {"train_images", NULL, "val_images"}},
    {"clevr", 8, 2000, 500, {"CLEVR_v1.0"}, read_clevr, {NULL}},
    {"hatefulmemes",
     2,
     8500,
     500,
     {"hatefulmemes", "hatefulmemes/data"},
     read_hatefulmemes,
     {NULL}},
    {"sst", 2, 7792, 1821, {"rendered-sst2"}, read_parts, {"train", "valid", "test"}},
    {"imagenet", 1000, 1281167, 50000, {"imagenet"}, read_parts, {"train", NULL, "val"}},
};

const DatasetFacts *dataset_row(int i) {
    return i < (int)(sizeof facts / sizeof *facts) ? &facts[i] : NULL;
}

const DatasetFacts *dataset_find(const char *name) {
    for (int i = 0; dataset_row(i); i++)
        if (strcmp(facts[i].name, name) == 0) return &facts[i];
    return NULL;
}
