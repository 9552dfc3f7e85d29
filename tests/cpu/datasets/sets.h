/* sets.h - for every data set a miniature under its published names, and the samples that loaders
 * must make of it.
 *
 * A miniature has the faults of the real archives: files out of order, junk among images, line ends
 * of Windows, pictures under wrong endings. The expected samples are written by hand from the rules
 * of the published loaders, never by a reader of this project.
 */
#ifndef TURTLE_TESTS_CPU_DATASETS_SETS_H
#define TURTLE_TESTS_CPU_DATASETS_SETS_H

#include "tests/cpu/datasets/archives.h"

/* One miniature. Lines of `train` and `val` are samples in order:
 *   2 cats/a.jpg            label 2; the name as it ends, from a '/' on
 *   2 cats/%04d.jpg: 3 1    the samples cats/0003.jpg and cats/0001.jpg, both of label 2
 *   2 ...7                  seven more samples of label 2, whatever their names
 */
typedef struct {
    const char *dataset, *form; /* form: which of several ways to hand it out */
    void (*write)(const char *from);
    const char *train, *val;
    bool video; /* ffmpeg is needed */
} Miniature;

extern const Miniature miniatures[];
extern const int miniature_count;

/* Writers of the sets. Each fills the folder `from`, as `--from` takes it. */
void write_food101(const char *from);
void write_cifar10(const char *from);
void write_cifar100(const char *from);
void write_cifar10_python2(const char *from); /* torchvision's: as Python 2 pickled it */
void write_cifar10_python3(const char *from); /* the same bytes pickled again by Python 3 */
void write_cifar100_python2(const char *from);
void write_cifar100_python3(const char *from);
void write_birdsnap(const char *from);
void write_sun397(const char *from);
void write_cars(const char *from);
void write_cars_kaggle(const char *from);
void write_aircraft(const char *from);
void write_dtd(const char *from);
void write_pets(const char *from);
void write_caltech101(const char *from);
void write_flowers(const char *from);
void write_mnist(const char *from);
void write_fer2013(const char *from);
void write_fer2013_zip(const char *from);
void write_stl10(const char *from);
void write_eurosat(const char *from);
void write_resisc45(const char *from);
void write_resisc45_rar(
    const char *from); /* the archive is a stand-in, which only `unrar` of the test reads */
void write_gtsrb(const char *from);
void write_kitti(const char *from);
void write_country211(const char *from);
void write_pcam(const char *from);
void write_ucf101(const char *from);
void write_kinetics700(const char *from);
void write_clevr(const char *from);
void write_hatefulmemes(const char *from);
void write_sst(const char *from);
void write_imagenet(const char *from);

/* Adds small JPEGs, each of another shade, under names between blanks. */
void tar_photos(Bytes *tar, const char *names);
void zipped_photos(ZipFile *zip, const char *names, int how);
/* Returns the bytes of a file of the tree. */
Bytes bytes_of_file(const char *path);
/* Returns pixels whose rows get brighter downwards, `planes` of them; the value of a row is
 * 8 * row + first, modulo 256. By columns: the same picture, stored column by column. */
Bytes stripes(int width, int height, int planes, int first, bool by_columns);

#endif
