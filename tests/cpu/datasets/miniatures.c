/* miniatures.c - the table of miniatures: for each the samples of the published loader, by hand.
 *
 * Labels are ranks of the classes that are there. Names of drawn samples are computed by numpy and
 * by CPython with the published seeds, not by this project. */
#include "tests/cpu/datasets/sets.h"

#define CARS_TRAIN "1 00003.jpg\n2 00001.jpg\n0 00004.jpg\n2 00002.jpg\n"
#define CARS_VAL "0 00002.jpg\n2 00001.jpg\n1 00003.jpg\n"
#define CIFAR10_TRAIN                                                                          \
    "6 data_batch_1.bin#0\n9 data_batch_1.bin#1\n1 data_batch_2.bin#0\n0 data_batch_2.bin#1\n" \
    "2 data_batch_3.bin#0\n8 data_batch_3.bin#1\n5 data_batch_4.bin#0\n3 data_batch_4.bin#1\n" \
    "7 data_batch_5.bin#0\n4 data_batch_5.bin#1\n"
#define CIFAR10_PICKLES                                                        \
    "6 data_batch_1#0\n9 data_batch_1#1\n1 data_batch_2#0\n0 data_batch_2#1\n" \
    "2 data_batch_3#0\n8 data_batch_3#1\n5 data_batch_4#0\n3 data_batch_4#1\n" \
    "7 data_batch_5#0\n4 data_batch_5#1\n"
#define CIFAR100_PICKLES "3 train#0\n10 train#1\n17 train#2\n24 train#3\n? ...95\n96 train#99\n"
#define CIFAR10020_PICKLES                                                         \
    "0 train#0\n1 train#1\n2 train#2\n? ...16\n19 train#19\n0 train#20\n? ...78\n" \
    "19 train#99\n"
#define RESISC45_TRAIN                                                                \
    "0 Airport/Airport_%03d.jpg: 2 3 4 5 7\n"                                         \
    "1 airplane/airplane_%03d.jpg: 1 2 6 7 8 9 10 11 12 13 14 15 16 17 20 21 22 23\n" \
    "2 beach/beach_%03d.jpg: 1 2 4 6 7\n"
#define RESISC45_VAL \
    "0 Airport/Airport_001.jpg\n1 airplane/airplane_%03d.jpg: 3 4 18 19\n2 beach/beach_003.jpg\n"
#define FER_TRAIN "3 #0\n6 #1\n1 #2\n0 #3\n2 #4\n4 #5\n5 #6\n"

const Miniature miniatures[] = {
    {.dataset = "food101",
     .write = write_food101,
     .train = "2 waffles/12.jpg\n2 waffles/3.jpg\n0 apple_pie/7.jpg\n0 apple_pie/10.jpg\n1 "
              "ramen/5.jpg\n",
     .val = "1 ramen/1.jpg\n2 waffles/44.jpg\n0 apple_pie/2.jpg\n"},
    {.dataset = "cifar10",
     .form = "binary",
     .write = write_cifar10,
     .train = CIFAR10_TRAIN,
     .val = "3 test_batch.bin#0\n8 test_batch.bin#1\n0 test_batch.bin#2\n"},
    {.dataset = "cifar10",
     .form = "torchvision's pickles",
     .write = write_cifar10_python2,
     .train = CIFAR10_PICKLES,
     .val = "3 test_batch#0\n8 test_batch#1\n0 test_batch#2\n"},
    {.dataset = "cifar10",
     .form = "pickles by Python 3",
     .write = write_cifar10_python3,
     .train = CIFAR10_PICKLES,
     .val = "3 test_batch#0\n8 test_batch#1\n0 test_batch#2\n"},
    {.dataset = "cifar100", /* fine labels (7 i + 3) mod 100 */
     .write = write_cifar100,
     .train = "3 train.bin#0\n10 train.bin#1\n17 train.bin#2\n24 train.bin#3\n? ...95\n96 "
              "train.bin#99\n",
     .val = "30 test.bin#0\n4 test.bin#1\n99 test.bin#2\n"},
    {.dataset = "cifar10020", /* coarse labels i mod 20 */
     .write = write_cifar100,
     .train =
         "0 train.bin#0\n1 train.bin#1\n2 train.bin#2\n? ...16\n19 train.bin#19\n0 train.bin#20\n"
         "? ...78\n19 train.bin#99\n",
     .val = "4 test.bin#0\n1 test.bin#1\n14 test.bin#2\n"},
    {.dataset = "cifar100",
     .form = "torchvision's pickles",
     .write = write_cifar100_python2,
     .train = CIFAR100_PICKLES,
     .val = "30 test#0\n4 test#1\n99 test#2\n"},
    {.dataset = "cifar100",
     .form = "pickles by Python 3",
     .write = write_cifar100_python3,
     .train = CIFAR100_PICKLES,
     .val = "30 test#0\n4 test#1\n99 test#2\n"},
    {.dataset = "cifar10020",
     .form = "torchvision's pickles",
     .write = write_cifar100_python2,
     .train = CIFAR10020_PICKLES,
     .val = "4 test#0\n1 test#1\n14 test#2\n"},
    {.dataset = "sun397",
     .write = write_sun397,
     .train = "0 a/abbey/sun_c.jpg\n0 a/abbey/sun_a.jpg\n1 a/apartment_building/outdoor/sun_a.jpg\n"
              "2 l/library/outdoor/sun_x.jpg\n",
     .val = "0 a/abbey/sun_z.jpg\n1 a/apartment_building/outdoor/sun_q.jpg\n2 "
            "l/library/outdoor/sun_b.jpg\n"},
    {.dataset = "cars",
     .form = "Stanford's",
     .write = write_cars,
     .train = CARS_TRAIN,
     .val = CARS_VAL},
    {.dataset = "cars",
     .form = "Kaggle's",
     .write = write_cars_kaggle,
     .train = CARS_TRAIN,
     .val = CARS_VAL},
    {.dataset = "aircraft", /* BAE-125 is 1: '-' of BAE-146-200 is followed by '1', and '4' > '2' */
     .write = write_aircraft,
     .train = "0 0000020.jpg\n1 0000100.jpg\n1 0034309.jpg\n2 0000003.jpg\n",
     .val = "0 0000007.jpg\n1 0000001.jpg\n2 0000055.jpg\n"},
    {.dataset = "dtd",
     .write = write_dtd,
     .train = "2 zigzagged/zigzagged_0002.jpg\n0 banded/banded_0009.jpg\n1 lined/lined_0004.jpg\n"
              "0 banded/banded_0002.jpg\n1 lined/lined_0001.jpg\n",
     .val = "1 lined/lined_0003.jpg\n0 banded/banded_0005.jpg\n2 zigzagged/zigzagged_0001.jpg\n"},
    {.dataset =
         "pets", /* classes: Abyssinian Egyptian_Mau american_bulldog beagle yorkshire_terrier */
     .write = write_pets,
     .train = "0 Abyssinian_100.jpg\n0 Abyssinian_2.jpg\n1 Egyptian_Mau_145.jpg\n"
              "2 american_bulldog_2.jpg\n3 beagle_116.jpg\n",
     .val = "1 Egyptian_Mau_20.jpg\n2 american_bulldog_10.jpg\n3 beagle_1.jpg\n"
            "4 yorkshire_terrier_9.jpg\n"},
    {.dataset = "caltech101",
     .write = write_caltech101,
     .train =
         "0 BACKGROUND_Google/image_%04d.jpg: 28 16 24 18 9 10 30 25 13 1 5 17 6 14 12 23 2 3 26 4 "
         "22 27 19 31 21 8 11 15 29 20\n"
         "1 Leopards/image_%04d.jpg: 28 16 24 18 9 10 30 25 13 1 5 17 6 14 12 23 2 3 26 4 22 27 19 "
         "31 21 8 11 15 29 20\n"
         "2 accordion/image_%04d.jpg: 20 17 16 27 5 13 38 28 40 7 26 10 14 32 35 9 18 25 1 34 6 12 "
         "2 "
         "30 22 3 31 37 4 36\n",
     .val = "0 BACKGROUND_Google/image_0007.jpg\n1 Leopards/image_0007.jpg\n"
            "2 accordion/image_%04d.jpg: 8 11 15 19 21 23 24 29 33 39\n"},
    {.dataset = "flowers",
     .write = write_flowers,
     .train = "2 jpg/image_00301.jpg\n0 jpg/image_00002.jpg\n0 jpg/image_00007.jpg\n2 "
              "jpg/image_00005.jpg\n"
              "1 jpg/image_00001.jpg\n",
     .val = "1 jpg/image_00300.jpg\n2 jpg/image_00003.jpg\n0 jpg/image_00006.jpg\n"},
    {.dataset = "mnist",
     .write = write_mnist,
     .train = "5 #0\n0 #1\n4 #2\n1 #3\n9 #4\n2 #5\n3 #6\n6 #7\n7 #8\n8 #9\n",
     .val = "7 #0\n2 #1\n1 #2\n"},
    {.dataset = "fer2013", /* names are not compared: they are records of a table or files */
     .form = "fer2013.tar.gz",
     .write = write_fer2013,
     .train = "3 ...1\n6 ...1\n1 ...1\n0 ...1\n2 ...1\n4 ...1\n5 ...1\n",
     .val = "2 ...1\n4 ...1\n5 ...1\n"},
    {.dataset = "fer2013",
     .form = "the competition's zip",
     .write = write_fer2013_zip,
     .train = "3 ...1\n6 ...1\n1 ...1\n0 ...1\n2 ...1\n4 ...1\n5 ...1\n",
     .val = "2 ...1\n4 ...1\n5 ...1\n"},
    {.dataset = "stl10",
     .write = write_stl10,
     .train = "1 #0\n9 #1\n0 #2\n2 #3\n8 #4\n3 #5\n7 #6\n4 #7\n6 #8\n5 #9\n",
     .val = "6 #0\n3 #1\n"},
    {.dataset = "eurosat",
     .write = write_eurosat,
     .train =
         "0 AnnualCrop/AnnualCrop_%d.jpg: 653 880 1379 1370 1404 423 605 315 794 1231\n0 ...989\n"
         "0 AnnualCrop/AnnualCrop_1343.jpg\n"
         "1 Pasture/Pasture_%d.jpg: 873 1316 399 1813 359 344 1843 757 1057 39\n1 ...989\n"
         "1 Pasture/Pasture_1172.jpg\n",
     .val =
         "0 AnnualCrop/AnnualCrop_%d.jpg: 309 294 850 1407 1236 1066 471 1207 1399 1354\n0 ...489\n"
         "0 AnnualCrop/AnnualCrop_662.jpg\n"
         "1 Pasture/Pasture_%d.jpg: 1395 1514 1850 1897 1451 1543 743 245 806 1760\n1 ...489\n"
         "1 Pasture/Pasture_1901.jpg\n"},
    {.dataset = "resisc45",
     .form = "a folder",
     .write = write_resisc45,
     .train = RESISC45_TRAIN,
     .val = RESISC45_VAL},
    {.dataset = "resisc45",
     .form = "the .rar",
     .write = write_resisc45_rar,
     .train = RESISC45_TRAIN,
     .val = RESISC45_VAL},
    {.dataset = "gtsrb",
     .write = write_gtsrb,
     .train = "0 00000/00000_00000.ppm\n0 00000/00000_00001.ppm\n1 00003/00002_00007.ppm\n"
              "2 00014/00001_00000.ppm\n",
     .val = "2 00002.ppm\n0 00000.ppm\n1 00001.ppm\n0 00003.ppm\n"},
    {.dataset = "country211", /* train is followed by valid */
     .write = write_country211,
     .train = "0 train/AD/10.jpg\n0 train/AD/9.jpg\n0 train/AD/cafe\xcc\x81.jpg\n"
              "0 train/AD/caf\xc3\xa9.jpg\n1 train/ZW/B.jpg\n1 train/ZW/b.jpg\n0 "
              "valid/AD/z.jpg\n"
              "1 valid/ZW/1.jpg\n",
     .val = "0 AD/a.jpg\n1 ZW/q.jpg\n"},
    {.dataset = "pcam",
     .write = write_pcam,
     .train = "1 #0\n0 #1\n0 #2\n1 #3\n1 #4\n0 #5\n1 #6\n0 #7\n0 #8\n0 #0\n1 #1\n1 #2\n",
     .val = "1 #0\n1 #1\n0 #2\n1 #3\n"},
    {.dataset = "clevr", /* classes 10 3 4 5 6 7 8 9; the numbers are 2600 scenes' draws, sorted */
     .write = write_clevr,
     .train = "0 CLEVR_train_%06d.png: 15 31 39 47\n0 ...242\n0 CLEVR_train_002599.png\n"
              "1 CLEVR_train_%06d.png: 8 16 24 32\n1 ...264\n1 CLEVR_train_002592.png\n"
              "2 CLEVR_train_%06d.png: 1 25 41 57\n2 ...238\n2 CLEVR_train_002577.png\n"
              "3 CLEVR_train_%06d.png: 2 18 26 42\n3 ...239\n3 CLEVR_train_002594.png\n"
              "4 CLEVR_train_%06d.png: 19 27 35 43\n4 ...246\n4 CLEVR_train_002595.png\n"
              "5 CLEVR_train_%06d.png: 12 20 28 44\n5 ...254\n5 CLEVR_train_002596.png\n"
              "6 CLEVR_train_%06d.png: 5 13 29 37\n6 ...243\n6 CLEVR_train_002597.png\n"
              "7 CLEVR_train_%06d.png: 6 14 22 30\n7 ...234\n7 CLEVR_train_002598.png\n",
     .val = "0 CLEVR_train_%06d.png: 23 71 119 135\n0 ...63\n0 CLEVR_train_002583.png\n"
            "1 CLEVR_train_%06d.png: 56 72 104 120\n1 ...40\n1 CLEVR_train_002496.png\n"
            "2 CLEVR_train_%06d.png: 9 33 49 65\n2 ...62\n2 CLEVR_train_002593.png\n"
            "3 CLEVR_train_%06d.png: 10 50 74 90\n3 ...62\n3 CLEVR_train_002578.png\n"
            "4 CLEVR_train_%06d.png: 11 99 115 139\n4 ...54\n4 CLEVR_train_002555.png\n"
            "5 CLEVR_train_%06d.png: 4 36 148 188\n5 ...53\n5 CLEVR_train_002572.png\n"
            "6 CLEVR_train_%06d.png: 21 61 117 125\n6 ...58\n6 CLEVR_train_002525.png\n"
            "7 CLEVR_train_%06d.png: 46 70 110 126\n7 ...68\n7 CLEVR_train_002590.png\n"},
    {.dataset = "hatefulmemes", /* order: the label, then the name */
     .write = write_hatefulmemes,
     .train = "0 42953.png\n0 46971.png\n0 \xe7\x8c\xab"
              "e\xcc\x81.png\n1 00870.png\n1 01236.png\n",
     .val = "0 00001.png\n1 08291.png\n"},
    {.dataset = "sst", /* train is followed by valid */
     .write = write_sst,
     .train = "0 train/negative/5.png\n1 train/positive/100.png\n1 train/positive/20.png\n"
              "0 valid/negative/1.png\n1 valid/positive/7.png\n",
     .val = "0 negative/3.png\n1 positive/0.png\n"},
    {.dataset =
         "imagenet", /* the first three of the validation set are n01751748 n09193705 n02105855 */
     .write = write_imagenet,
     .train = "0 n01751748_10.JPEG\n0 n01751748_11.JPEG\n0 n01751748_9.JPEG\n1 n02105855_10.JPEG\n"
              "1 n02105855_11.JPEG\n1 n02105855_9.JPEG\n2 n09193705_10.JPEG\n2 n09193705_11.JPEG\n"
              "2 n09193705_9.JPEG\n",
     .val = "0 ILSVRC2012_val_00000001.JPEG\n1 ILSVRC2012_val_00000003.JPEG\n"
            "2 ILSVRC2012_val_00000002.JPEG\n"},
    {.dataset = "ucf101",
     .write = write_ucf101,
     .train = "0 Archery/v_Archery_g08_c01.jpg\n1 HandstandPushups/v_HandStandPushups_g10_c03.jpg\n"
              "2 YoYo/v_YoYo_g09_c02.jpg\n",
     .val = "1 HandstandPushups/v_HandStandPushups_g01_c01.jpg\n2 YoYo/v_YoYo_g01_c01.jpg\n",
     .video = true},
    {.dataset = "kinetics700",
     .write = write_kinetics700,
     .train =
         "0 abseiling/1bcdefghijk_000001_000011.jpg\n0 abseiling/Zbcdefghijk_000001_000011.jpg\n"
         "1 tying_knot_not_on_a_tie/-bcdefghijk_000001_000011.jpg\n",
     .val = "0 abseiling/_bcdefghijk_000004_000014.jpg\n"
            "1 tying_knot_not_on_a_tie/0bcdefghijk_000001_000011.jpg\n",
     .video = true},
};
const int miniature_count = sizeof miniatures / sizeof *miniatures;
