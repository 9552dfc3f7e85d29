/* datasets_test.c - every data set from its archives to features and labels, as users go: `prepare`,
 * then `labels` and `features`. Order and labels are those of miniatures.c. */
#include "tests/cpu/datasets/sets.h"

#include "io/arrays/npy.h"
#include "tests/cpu/datasets/user.h"

/* Puts a program `unrar` in front of PATH that copies what lies in unpacked/ beside the archive, its standard input. */
static void stand_in_for_unrar(const Place *p) {
    static const char *const script = "#!/bin/sh\n"
                                      "archive=$(readlink /proc/self/fd/0)\n"
                                      "for to; do :; done\n"
                                      "cp -r \"${archive%/*}/unpacked/.\" \"$to\"\n";
    char *path = format_text("%s/bin/unrar", p->folder),
         *all = format_text("%s/bin:%s", p->folder, getenv("PATH"));
    write_bytes(path, script, strlen(script));
    cr_assert(chmod(path, 0755) == 0 && setenv("PATH", all, 1) == 0);
    free(all);
    free(path);
}

/* --- what came of it -------------------------------------------------------------------------- */

typedef struct {
    char *text;     /* owned */
    char **name;    /* (count) in `text`; owned */
    int64_t *label; /* (count); owned */
    int64_t count;
} Found;

static void found_free(Found *f) {
    free(f->text);
    free(f->name);
    free(f->label);
}

/* Reads labels/<name>_<split>.npy. */
static void read_labels(Found *f, const char *root, const char *name, const char *split) {
    Npy npy;
    Error err;
    char *path = format_text("%s/labels/%s_%s.npy", root, name, split);
    ASSERT_OK(npy_open(&npy, path, &err), err);
    cr_assert(npy.axes == 1 && npy.type == DTYPE_I64);
    f->count = npy.count;
    f->label = malloc((size_t)(f->count + 1) * sizeof *f->label);
    memcpy(f->label, npy.data, (size_t)f->count * sizeof *f->label);
    npy_close(&npy);
    free(path);
}

/* Reads the names of the images, a line each, of the representation. */
static void read_names(Found *f, const char *root, const char *name, const char *split) {
    Bytes b;
    char *path = format_text("%s/representations/demo_vit/%s_%s.txt", root, name, split);
    b = bytes_of_file(path);
    bytes_add(&b, "", 1);
    f->text = (char *)b.data;
    f->name = calloc((size_t)f->count + 1, sizeof *f->name);
    int64_t i = 0;
    for (char *line = strtok(f->text, "\n"); line; line = strtok(NULL, "\n"), i++)
        if (i < f->count) f->name[i] = line;
    cr_assert(i == f->count, "%s: %lld names and %lld labels", path, (long long)i,
              (long long)f->count);
    free(path);
}

/* Reads the names out of labels/<name>_files.tsv, for sets of too many images to encode. */
static void read_fates(Found *f, const char *root, const char *name, const char *split) {
    char *path = format_text("%s/labels/%s_files.tsv", root, name);
    Bytes b = bytes_of_file(path);
    bytes_add(&b, "", 1);
    f->text = (char *)b.data;
    f->name = calloc((size_t)f->count + 1, sizeof *f->name);
    int64_t i = 0;
    for (char *line = f->text, *end; (end = strchr(line, '\n')); line = end + 1) {
        char *field[6] = {line}; /* fate split label class path why */
        *end = '\0';
        for (int k = 1; k < 6 && field[k - 1]; k++) {
            field[k] = strchr(field[k - 1], '\t');
            if (field[k]) *field[k]++ = '\0';
        }
        if (!field[4] || strcmp(field[0], "used") != 0 || strcmp(field[1], split) != 0) continue;
        if (i < f->count) f->name[i] = field[4];
        i++;
    }
    cr_assert(i == f->count, "%s: %lld names and %lld labels", path, (long long)i,
              (long long)f->count);
    free(path);
}

/* --- the comparison --------------------------------------------------------------------------- */

static bool name_ends(const char *name, const char *ending) {
    const size_t n = strlen(name), e = strlen(ending);
    if (n < e || strcmp(name + n - e, ending) != 0) return false;
    return n == e || *ending == '#' || name[n - e - 1] == '/';
}

typedef struct {
    const char *what;
    const Found *found;
    int64_t at;
    int wrong;
} Comparison;

/* Compares the next sample with a label and a name; a label of -1 and a name of NULL match any. */
static void expect_next(Comparison *c, int64_t label, const char *name) {
    const int64_t i = c->at++;
    if (i >= c->found->count || c->wrong > 5) return;
    const bool good =
        (label < 0 || c->found->label[i] == label) && (!name || name_ends(c->found->name[i], name));
    cr_expect(good, "%s: sample %lld: expected %lld %s, got %lld %s", c->what, (long long)i,
              (long long)label, name ? name : "any", (long long)c->found->label[i],
              c->found->name[i]);
    c->wrong += !good;
}

/* Compares with one line of a Miniature (sets.h). */
static void expect_line(Comparison *c, const char *line, size_t n) {
    char text[512], name[512];
    cr_assert(n < sizeof text);
    memcpy(text, line, n);
    text[n] = '\0';
    char *rest = strchr(text, ' '), *numbers = strstr(text, ": ");
    cr_assert(rest);
    *rest++ = '\0';
    const int64_t label = text[0] == '?' ? -1 : atoll(text);
    if (strncmp(rest, "...", 3) == 0) {
        for (int64_t k = atoll(rest + 3); k > 0; k--) expect_next(c, label, NULL);
        return;
    }
    if (!numbers) {
        expect_next(c, label, rest);
        return;
    }
    *numbers = '\0';
    const char *percent = strchr(rest, '%');
    cr_assert(percent);
    const char *behind = strchr(percent, 'd') + 1;
    const int width = percent[1] == '0' ? atoi(percent + 2) : 1;
    for (char *at = numbers + 1, *end; *at; at = end) {
        const long number = strtol(at, &end, 10);
        if (end == at) break;
        snprintf(name, sizeof name, "%.*s%0*ld%s", (int)(percent - rest), rest, width, number,
                 behind);
        expect_next(c, label, name);
    }
}

static void expect_samples(const char *what, const Found *found, const char *expected) {
    Comparison c = {.what = what, .found = found};
    for (const char *line = expected, *end; (end = strchr(line, '\n')); line = end + 1)
        expect_line(&c, line, (size_t)(end - line));
    cr_expect(c.at == found->count, "%s: expected %lld samples, got %lld", what, (long long)c.at,
              (long long)found->count);
}

/* --- the whole way ---------------------------------------------------------------------------- */

enum { TOO_MANY = 1000 }; /* samples that are not encoded: their pictures are told by `labels` */

static void read_split(Found *f, const Place *p, const char *dataset, const char *split) {
    *f = (Found){0};
    read_labels(f, p->root, dataset, split);
    char *list = format_text("%s/representations/demo_vit/%s_%s.txt", p->root, dataset, split);
    if (file_exists(list)) read_names(f, p->root, dataset, split);
    else read_fates(f, p->root, dataset, split);
    free(list);
}

static void run_set(const Place *p, const Miniature *m) {
    Ran ran;
    Found found;
    char what[128];
    m->write(p->from);
    run_turtle(&ran, "prepare --dataset %s --from %s --unverified --root_dir %s", m->dataset,
               p->from, p->root);
    snprintf(what, sizeof what, "%s%s%s", m->dataset, m->form ? " from " : "",
             m->form ? m->form : "");
    cr_assert(ran.status == 0, "%s: prepare: %s%s", what, ran.out, ran.err);
    run_turtle(&ran, "labels --dataset %s --root_dir %s --json", m->dataset, p->root);
    cr_assert(ran.status == 0, "%s: labels: %s", what, ran.err);
    if (json_number(ran.out, "images") <= TOO_MANY) {
        run_turtle(&ran, "features --dataset %s --phis demo_vit --root_dir %s --threads 1",
                   m->dataset, p->root);
        cr_assert(ran.status == 0, "%s: features: %s", what, ran.err);
    }
    for (int i = 0; i < 2; i++) {
        char *split = format_text("%s, %s", what, i ? "val" : "train");
        read_split(&found, p, m->dataset, i ? "val" : "train");
        expect_samples(split, &found, i ? m->val : m->train);
        found_free(&found);
        free(split);
    }
}

static bool is_here(const char *program) {
    char *command = format_text("command -v %s >/dev/null", program);
    const bool here = system(command) == 0;
    free(command);
    return here;
}

/* Runs all miniatures of a data set. */
static void check_set(const char *dataset) {
    int seen = 0;
    for (int i = 0; i < miniature_count; i++) {
        const Miniature *m = &miniatures[i];
        if (strcmp(m->dataset, dataset) != 0) continue;
        if (m->video && !is_here("ffmpeg"))
            cr_skip_test("ffmpeg is not here: no frame is taken from a video");
        Place p = place_open();
        stand_in_for_unrar(&p);
        run_set(&p, m);
        place_close(&p);
        seen++;
    }
    cr_assert(seen > 0, "there is no miniature of %s", dataset);
}

#define SET(name)                          \
    Test(datasets, name, .timeout = 120) { \
        check_set(#name);                  \
    }
SET(food101)
SET(cifar10)
SET(cifar100)
SET(cifar10020)
SET(sun397)
SET(cars)
SET(aircraft)
SET(dtd)
SET(pets)
SET(caltech101)
SET(flowers)
SET(mnist)
SET(fer2013)
SET(stl10)
SET(eurosat)
SET(resisc45)
SET(gtsrb)
SET(country211)
SET(pcam)
SET(ucf101)
SET(kinetics700)
SET(clevr)
SET(hatefulmemes)
SET(sst)
SET(imagenet)

/* --- pixels of records ------------------------------------------------------------------------- */

/* The pictures of records have rows of one shade each (sets.h), so a record that is read column by
 * column where it lies row by row, or the other way round, has columns of one shade. */
Test(datasets, records_stand_upright, .timeout = 120) {
    static const char *const sets[] = {"cifar10", "cifar100", "mnist", "fer2013", "stl10", "pcam"};
    enum { SIDE = 28 }; /* of demo_vit's square */
    Ran ran;
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        Place p = place_open();
        char *dump = format_text("%s/pixels.npy", p.folder);
        int m = 0;
        Npy npy;
        Error err;
        while (strcmp(miniatures[m].dataset, sets[i]) != 0) m++;
        miniatures[m].write(p.from);
        run_turtle(&ran, "prepare --dataset %s --from %s --unverified --root_dir %s", sets[i],
                   p.from, p.root);
        cr_assert(ran.status == 0, "%s: %s", sets[i], ran.err);
        run_turtle(&ran, "features --dataset %s --phis demo_vit --root_dir %s --dump %s", sets[i],
                   p.root, dump);
        cr_assert(ran.status == 0, "%s: %s", sets[i], ran.err);
        ASSERT_OK(npy_open(&npy, dump, &err), err);
        cr_assert(npy.axes == 4 && npy.shape[1] == SIDE && npy.shape[3] == 3);
        for (int64_t n = 0; n < npy.shape[0]; n++) {
            const uint8_t *pixel = (const uint8_t *)npy.data + n * SIDE * SIDE * 3;
            int across = 0, down = 0; /* largest differences of neighbours */
            for (int y = 0; y + 1 < SIDE; y++)
                for (int k = 0; k < 3 * (SIDE - 1); k++) {
                    const int at = 3 * SIDE * y + k;
                    across = fmax(across, abs(pixel[at] - pixel[at + 3]));
                    down = fmax(down, abs(pixel[at] - pixel[at + 3 * SIDE]));
                }
            cr_expect(across <= 2 && down >= 3, "%s: image %lld changes by %d across, %d down",
                      sets[i], (long long)n, across, down);
        }
        npy_close(&npy);
        free(dump);
        place_close(&p);
    }
}

/* Frame n / 2 + 1 of n is kept, counted from 0: of 5, 7 and 9 frames those that are grey with
 * 24, 32 and 40. JPEG moves a shade by two at the most. */
Test(datasets, the_middle_frame_is_kept, .timeout = 60) {
    static const int shades[3] = {24, 32, 40};
    if (!is_here("ffmpeg")) cr_skip_test("ffmpeg is not here: no frame is taken from a video");
    Ran ran;
    Npy npy;
    Error err;
    Place p = place_open();
    char *dump = format_text("%s/pixels.npy", p.folder);
    stand_in_for_unrar(&p);
    write_ucf101(p.from);
    run_turtle(&ran, "prepare --dataset ucf101 --from %s --unverified --root_dir %s", p.from,
               p.root);
    cr_assert(ran.status == 0, "%s", ran.err);
    run_turtle(&ran, "features --dataset ucf101 --phis demo_vit --root_dir %s --dump %s", p.root,
               dump);
    cr_assert(ran.status == 0, "%s", ran.err);
    ASSERT_OK(npy_open(&npy, dump, &err), err);
    cr_assert(npy.axes == 4 && npy.shape[0] == 3);
    const int64_t picture = npy.count / 3;
    for (int i = 0; i < 3; i++) {
        const int found = ((const uint8_t *)npy.data)[i * picture + picture / 2];
        cr_expect(abs(found - shades[i]) <= 2, "video %d: expected %d, got %d", i, shades[i],
                  found);
    }
    npy_close(&npy);
    free(dump);
    place_close(&p);
}

/* Two of the miniature's rows are PublicTest, of the classes 0 and 1; other sets have no such split. */
Test(datasets, the_public_test_of_fer2013_is_scored_where_asked, .timeout = 60) {
    Ran ran;
    Found found = {0};
    Place p = place_open();
    write_fer2013(p.from);
    run_turtle(&ran, "prepare --dataset fer2013 --from %s --unverified --root_dir %s", p.from,
               p.root);
    cr_assert(ran.status == 0, "%s", ran.err);
    run_turtle(&ran, "labels --dataset fer2013 --public_test --root_dir %s", p.root);
    cr_assert(ran.status == 0, "%s", ran.err);
    cr_expect(strstr(ran.err, "PublicTest"), "%s", ran.err);
    read_labels(&found, p.root, "fer2013", "val");
    cr_assert(found.count == 2);
    cr_expect(found.label[0] == 0 && found.label[1] == 1);
    found_free(&found);
    run_turtle(&ran, "labels --dataset stl10 --public_test --root_dir %s", p.root);
    cr_expect(ran.status == 2 && strstr(ran.err, "--public_test"), "%s", ran.err);
    place_close(&p);
}

/* --- splits that the published implementation cannot repeat ------------------------------------- */

/* Prepares a set and reads both splits. */
static void two_splits(Found found[2], const Place *p, const char *dataset) {
    Ran ran;
    run_turtle(&ran, "prepare --dataset %s --from %s --unverified --root_dir %s", dataset, p->from,
               p->root);
    cr_assert(ran.status == 0, "%s: %s%s", dataset, ran.out, ran.err);
    run_turtle(&ran, "labels --dataset %s --root_dir %s", dataset, p->root);
    cr_assert(ran.status == 0, "%s: %s", dataset, ran.err);
    run_turtle(&ran, "features --dataset %s --phis demo_vit --root_dir %s --threads 1", dataset,
               p->root);
    cr_assert(ran.status == 0, "%s: %s", dataset, ran.err);
    for (int i = 0; i < 2; i++) read_split(&found[i], p, dataset, i ? "val" : "train");
}

/* There are n = 20 images, and round(0.8 n) = 16 train. Classes are above_20, below_20, below_8, no_vehicle, and
 * image i is of the class that write_kitti says. */
Test(datasets, kitti, .timeout = 60) {
    static const int64_t class_of[6] = {3, 2, 2, 1, 1, 0};
    Place p = place_open();
    Found found[2];
    int seen[20] = {0};
    write_kitti(p.from);
    two_splits(found, &p, "kitti");
    cr_assert(found[0].count == 16 && found[1].count == 4, "%lld and %lld",
              (long long)found[0].count, (long long)found[1].count);
    for (int s = 0; s < 2; s++)
        for (int64_t i = 0; i < found[s].count; i++) {
            const char *slash = strrchr(found[s].name[i], '/');
            const int image = atoi(slash ? slash + 1 : found[s].name[i]);
            cr_assert(image >= 0 && image < 20, "%s", found[s].name[i]);
            seen[image]++;
            cr_expect(found[s].label[i] == class_of[image % 6], "%s: %lld", found[s].name[i],
                      (long long)found[s].label[i]);
        }
    for (int i = 0; i < 20; i++) cr_expect(seen[i] == 1, "image %d is there %d times", i, seen[i]);
    found_free(&found[0]);
    found_free(&found[1]);
    place_close(&p);
}

/* Five images a class are scored, the others train; the GIF is in no split. */
Test(datasets, birdsnap, .timeout = 60) {
    Place p = place_open();
    Found found[2];
    write_birdsnap(p.from);
    two_splits(found, &p, "birdsnap");
    cr_assert(found[0].count == 2 && found[1].count == 10, "%lld and %lld",
              (long long)found[0].count, (long long)found[1].count);
    for (int64_t i = 0; i < 2; i++) cr_expect(found[0].label[i] == i);
    for (int64_t i = 0; i < 10; i++) {
        cr_expect(found[1].label[i] == i / 5);
        cr_expect((strstr(found[1].name[i], "American_Crow/") != NULL) == (i < 5), "%s",
                  found[1].name[i]);
        for (int64_t k = 0; k < 2; k++)
            cr_expect(strcmp(found[1].name[i], found[0].name[k]) != 0, "%s is in both splits",
                      found[1].name[i]);
    }
    found_free(&found[0]);
    found_free(&found[1]);
    place_close(&p);
}

/* --- folders that the published implementation leaves ------------------------------------------- */

/* They are read as they are, without `prepare`; classes are ranks of the folders' names. */
Test(datasets, published_folders_are_read_as_they_are, .timeout = 60) {
    static const struct {
        const char *dataset, *train, *val;
    } sets[] = {{"birdsnap", "birdsnap/train", "birdsnap/test"},
                {"kitti", "Kitti/train", "Kitti/val"},
                {"ucf101", "ucf101/train", "ucf101/val"},
                {"kinetics700", "k700/train_images", "k700/val_images"}};
    Ran ran;
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        Place p = place_open();
        Found found = {0};
        for (int k = 0; k < 6; k++) {
            Bytes b = picture_jpeg(16, 40 * k);
            char *name = format_text("datasets/%s/%s/%d.jpg", k < 4 ? sets[i].train : sets[i].val,
                                     k % 2 ? "Zebra" : "ant", 12 - k);
            bytes_save(&b, p.root, name);
            free(name);
        }
        run_turtle(&ran, "labels --dataset %s --root_dir %s", sets[i].dataset, p.root);
        cr_assert(ran.status == 0, "%s: %s", sets[i].dataset, ran.err);
        run_turtle(&ran, "features --dataset %s --phis demo_vit --root_dir %s --threads 1",
                   sets[i].dataset, p.root);
        cr_assert(ran.status == 0, "%s: %s", sets[i].dataset, ran.err);
        read_split(&found, &p, sets[i].dataset, "train");
        expect_samples(sets[i].dataset, &found,
                       "0 Zebra/11.jpg\n0 Zebra/9.jpg\n1 ant/10.jpg\n1 ant/12.jpg\n");
        found_free(&found);
        read_split(&found, &p, sets[i].dataset, "val");
        expect_samples(sets[i].dataset, &found, "0 Zebra/7.jpg\n1 ant/8.jpg\n");
        found_free(&found);
        place_close(&p);
    }
}
