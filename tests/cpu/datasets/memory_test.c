/* memory_test.c - `prepare` takes no more memory for sets of many files: the growth from few to many members is
 * measured, and a million would have to grow as they do. The third large set, CLEVR, is the matter of
 * tests/cpu/program/prepare_sets_test.c. */
#include "tests/cpu/datasets/sets.h"
#include "tests/cpu/datasets/user.h"

enum { MOST_KIB = 64 * 1024 };

/* Returns the largest resident set of `prepare`, with its children, in KiB. */
static long peak_of(const Place *p, const char *set) {
    Ran ran;
    run_turtle(&ran,
               "prepare --dataset %s --from %s --unverified --root_dir %s --threads 2 --quiet", set,
               p->from, p->root);
    cr_assert(ran.status == 0, "%s: %s", set, ran.err);
    return ran.peak_kib;
}

/* --- ImageNet: a tar of tars -------------------------------------------------------------------- */

/* Writes as many classes of 100 files of one byte: `prepare` counts names and decodes nothing. */
static void write_many(const Place *p, int classes) {
    Bytes train = {0}, val = {0};
    for (int c = 0; c < classes; c++) {
        Bytes inner = {0};
        char name[64];
        for (int i = 0; i < 100; i++) {
            snprintf(name, sizeof name, "n%08d_%d.JPEG", c, i);
            tar_file(&inner, name, "x", 1);
        }
        tar_end(&inner);
        snprintf(name, sizeof name, "n%08d.tar", c);
        tar_take(&train, name, inner);
    }
    tar_end(&train);
    bytes_save(&train, p->from, "ILSVRC2012_img_train.tar");
    tar_file(&val, "ILSVRC2012_val_00000001.JPEG", "x", 1);
    tar_end(&val);
    bytes_save(&val, p->from, "ILSVRC2012_img_val.tar");
}

/* Returns whether `prepare` succeeds with so much memory of its own: heap, stacks and writable data, without the
 * pages of mapped files. */
static bool fits(const Place *p, int kib) {
    char *command = format_text("rm -rf %s && ulimit -d %d && exec " TURTLE_PROGRAM
                                " prepare --dataset imagenet --from %s --unverified --root_dir %s "
                                "--quiet >/dev/null 2>&1",
                                p->root, kib, p->from, p->root);
    const bool well = system(command) == 0;
    free(command);
    return well;
}

/* The large set has 2500 members, 2300 more than the small one. The need of the small one is found in steps of 50 KiB, and
 * 50 KiB more are allowed: 44 bytes a member at the most, or 54 MiB for 1.3 million. */
Test(prepare_memory, members_of_a_tar_take_none, .timeout = 120) {
#ifdef __SANITIZE_ADDRESS__
    cr_skip_test("AddressSanitizer takes more memory than is limited here");
#endif
    if (emulated()) cr_skip_test("qemu takes more memory than is limited here");
    int need = 500;
    Place few = place_open(), many = place_open();
    write_many(&few, 2);
    write_many(&many, 25);
    while (need < 8000 && !fits(&few, need)) need += 50;
    cr_assert(need > 500 && need < 8000, "%d KiB: the limit does nothing, or is never enough",
              need);
    cr_expect(fits(&many, need + 50), "2500 members take more than %d KiB", need + 50);
    cr_expect(count_files(many.root, ".JPEG") == 2501);
    place_close(&few);
    place_close(&many);
}

/* --- Kinetics-700: frames of many archives -------------------------------------------------------- */

static void write_program(const Place *p, const char *name, const char *script) {
    char *path = format_text("%s/bin/%s", p->folder, name);
    write_bytes(path, script, strlen(script));
    cr_assert(chmod(path, 0755) == 0);
    free(path);
}

/* Puts programs in front of PATH that say a number of frames and make a picture, whatever the video. */
static void stand_in_for_ffmpeg(const Place *p) {
    char *all = format_text("%s/bin:%s", p->folder, getenv("PATH"));
    write_program(p, "ffprobe", "#!/bin/sh\necho 3\n");
    write_program(p, "ffmpeg", "#!/bin/sh\nprintf 'P6 2 2 255\\n123456789abc'\n");
    cr_assert(setenv("PATH", all, 1) == 0);
    free(all);
}

/* Writes as many archives of 10 videos, which no program looks into, and one for the validation split. */
static void write_videos(const Place *p, int archives) {
    for (int split = 0; split < 2; split++) {
        const char *const word = split ? "val" : "train";
        Bytes lines = {0}, table = {0};
        for (int a = 0; a < (split ? 1 : archives); a++) {
            Bytes t = {0};
            char name[96];
            for (int i = 0; i < 10; i++) {
                snprintf(name, sizeof name, "abseiling/%05d%06d_000001_000011.mp4", a, i);
                tar_file(&t, name, "x", 1);
            }
            tar_end(&t);
            gzip_in_place(&t);
            snprintf(name, sizeof name, "%s/k700_%s_%03d.tar.gz", word, word, a);
            bytes_save(&t, p->from, name);
            bytes_print(&lines, "https://s3.amazonaws.com/kinetics/700_2020/%s\n", name);
        }
        bytes_string(&table, "label,youtube_id,time_start,time_end,split\n");
        char *list = format_text("%s/k700_2020_%s_path.txt", word, word),
             *csv = format_text("%s/%s.csv", word, word);
        bytes_save(&lines, p->from, list);
        bytes_save(&table, p->from, csv);
        free(list);
        free(csv);
    }
}

/* A list of videos lives as long as its archive: twelve archives take what two take. */
Test(prepare_memory, frames_of_many_archives_take_no_more, .timeout = 120) {
#ifdef __SANITIZE_ADDRESS__
    cr_skip_test("AddressSanitizer takes more memory than is limited here");
#endif
    if (emulated()) cr_skip_test("qemu takes more memory than is limited here");
    static const int archives[2] = {2, 12};
    long peak[2];
    for (int i = 0; i < 2; i++) {
        Place p = place_open();
        stand_in_for_ffmpeg(&p);
        write_videos(&p, archives[i]);
        peak[i] = peak_of(&p, "kinetics700");
        cr_expect(count_files(p.root, ".jpg") == 10 * (archives[i] + 1));
        place_close(&p);
    }
    cr_expect(peak[1] < MOST_KIB && peak[1] - peak[0] < 1024, "%ld and %ld KiB", peak[0], peak[1]);
}
