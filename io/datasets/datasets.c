/* datasets.c - what is known of each data set: one table row per set.
 *
 * Sizes and class counts are those of the paper's evaluation (26 vision data sets, appendix). */
#include "io/datasets/datasets.h"

#include <stddef.h>
#include <string.h>

static const DatasetFacts facts[] = {
    {"food101", 101, 75750, 25250},
    {"cifar10", 10, 50000, 10000},
    {"cifar100", 100, 50000, 10000},
    {"cifar10020", 20, 50000, 10000}, /* with the coarse labels */
    {"birdsnap", 500, 37221, 2500},
    {"sun397", 397, 19850, 19850},
    {"cars", 196, 8144, 8041},
    {"aircraft", 100, 6667, 3333},
    {"dtd", 47, 3760, 1880},
    {"pets", 37, 3680, 3669},
    {"caltech101", 102, 3060, 6084},
    {"flowers", 102, 2040, 6149},
    {"mnist", 10, 60000, 10000},
    {"digits", 10, 8000, 2000}, /* MNIST's test file alone: the demo */
    {"fer2013", 7, 28709, 3589},
    {"stl10", 10, 5000, 8000},
    {"eurosat", 10, 10000, 5000},
    {"resisc45", 45, 25200, 6300},
    {"gtsrb", 43, 26640, 12630},
    {"kitti", 4, 5985, 1496},
    {"country211", 211, 42200, 21100},
    {"pcam", 2, 294912, 32768},
    {"ucf101", 101, 9537, 3783},
    {"kinetics700", 700, 536485, 33966},
    {"clevr", 8, 2000, 500},
    {"hatefulmemes", 2, 8500, 500},
    {"sst", 2, 7792, 1821},
    {"imagenet", 1000, 1281167, 50000},
};

const DatasetFacts *dataset_find(const char *name) {
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
        if (strcmp(facts[i].name, name) == 0) return &facts[i];
    return NULL;
}
