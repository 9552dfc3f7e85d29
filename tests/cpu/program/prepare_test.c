/* prepare_test.c - `turtle prepare` against a server on loopback: whole downloads, broken ones, and what stays
 * on the disk. The files are MNIST's test file as it was published, so sizes and digests are the real ones. */
#include <signal.h>

#include "host/prepare/fetch.h"
#include "io/files/lock.h"
#include "tests/support/http_server.h"

#define PUBLISHED "data/demo/datasets"
static const char images_name[] = "t10k-images-idx3-ubyte.gz",
                  labels_name[] = "t10k-labels-idx1-ubyte.gz";
enum { IMAGES_BYTES = 1648877 };

/* A folder of its own: served/ is the mirror's, data/ the program's, from/ a user's. */
typedef struct {
    char *folder, *data;
    HttpServer server;
} Place;

static void copy_file(const char *from, const char *to) {
    FileMap map;
    Error err;
    ASSERT_OK(file_map(&map, from, &err), err);
    char *parent = format_text("%.*s", (int)(strrchr(to, '/') - to), to);
    ASSERT_OK(folder_make(parent, &err), err);
    write_bytes(to, map.data, (size_t)map.bytes);
    file_unmap(&map);
    free(parent);
}

static void copy_digits(const Place *p, const char *below) {
    const char *names[] = {images_name, labels_name};
    for (int i = 0; i < 2; i++) {
        char *from = format_text(PUBLISHED "/%s", names[i]),
             *to = format_text("%s/%s/%s", p->folder, below, names[i]);
        copy_file(from, to);
        free(from);
        free(to);
    }
}

static Place place_open(void) {
    Place p = {.folder = temporary_folder()};
    p.data = format_text("%s/data", p.folder);
    copy_digits(&p, "served/digits");
    p.server.folder = format_text("%s/served", p.folder);
    return p;
}

static void start(Place *p) {
    server_start(&p->server);
    char *mirror = format_text("http://127.0.0.1:%d/", p->server.port);
    setenv("TURTLE_MIRROR", mirror, 1);
    free(mirror);
}

static void place_close(Place *p) {
    if (p->server.socket > 0) server_stop(&p->server);
    free((char *)p->server.folder);
    free(p->data);
    remove_folder(p->folder);
}

static bool there(const Place *p, const char *name) {
    char *path = format_text("%s/%s", p->folder, name);
    const bool is = file_exists(path);
    free(path);
    return is;
}

/* Expects a failure of one line, with nothing at the data set's place. */
static void expect_failure(const Place *p, const Ran *ran, int status, const char *says) {
    cr_expect(ran->status == status, "exit status %d: %s", ran->status, ran->err);
    cr_expect(strstr(ran->err, says) != NULL, "expected '%s', got: %s", says, ran->err);
    const char *last = strstr(ran->err, "turtle: ");
    cr_expect(last && strchr(last, '\n') == last + strlen(last) - 1, "not one line: %s", ran->err);
    cr_expect(!there(p, "data/datasets/t10k-images-idx3-ubyte.gz") &&
                  !there(p, "data/datasets/t10k-labels-idx1-ubyte.gz"),
              "a data set that failed is in place");
}

static void expect_digits(const Place *p, const Ran *ran) {
    cr_expect(ran->status == 0, "exit status %d: %s", ran->status, ran->err);
    cr_expect(strstr(ran->out, "8000 images to train on, 2000 to score, 10 classes, verified"),
              "%s", ran->out);
    char *path = format_text("%s/datasets/%s", p->data, images_name);
    cr_expect(same_files(path, PUBLISHED "/t10k-images-idx3-ubyte.gz"));
    cr_expect(count_files(p->data, ".part") == 0 && count_files(p->data, ".state") == 0 &&
              count_files(p->data, ".lock") == 0);
    free(path);
}

/* --- downloads -------------------------------------------------------------------------------------- */

Test(prepare, a_whole_download_is_checked_counted_and_read, .timeout = 60) {
    Place p = place_open();
    Ran ran;
    start(&p);
    run_turtle(&ran, "prepare --dataset digits --root_dir %s --json", p.data);
    cr_assert(ran.status == 0, "%s", ran.err);
    cr_expect(json_number(ran.out, "train") == 8000 && json_number(ran.out, "val") == 2000 &&
              json_number(ran.out, "classes") == 10);
    cr_expect(strstr(ran.out, "\"dataset\": \"digits\"") && strstr(ran.out, "\"verified\": true"),
              "%s", ran.out);
    const int asked = p.server.requests;
    run_turtle(&ran, "prepare --dataset digits --root_dir %s", p.data);
    expect_digits(&p, &ran);
    cr_expect(strstr(ran.err, "is there already") && p.server.requests == asked, "%s", ran.err);
    run_turtle(&ran, "labels --dataset digits --root_dir %s", p.data);
    cr_expect(ran.status == 0 && strstr(ran.out, "10000 images"), "%s%s", ran.out, ran.err);
    run_turtle(&ran, "prepare --list --root_dir %s", p.data);
    cr_expect(strstr(ran.out, "digits       there"), "%s", ran.out);
    cr_expect(strstr(ran.out, "clipvitL14                 missing"), "%s", ran.out);
    /* beside data/ there is what the test made: nothing outside is written */
    cr_expect(count_files(p.folder, "t10k") == 2 + count_files(p.data, "t10k"));
    place_close(&p);
}

Test(prepare, a_cut_connection_is_continued, .timeout = 60) {
    Place p = place_open();
    Ran ran;
    p.server.cut = 700000;
    p.server.of = images_name;
    start(&p);
    run_turtle(&ran, "prepare --dataset digits --root_dir %s", p.data);
    expect_digits(&p, &ran);
    cr_expect(strstr(p.server.log, "/digits/t10k-images-idx3-ubyte.gz 700000\n"), "%s",
              p.server.log);
    place_close(&p);
}

Test(prepare, a_part_of_an_earlier_call_is_continued, .timeout = 60) {
    Place p = place_open();
    Ran ran;
    FileMap map;
    Error err;
    Error none;
    start(&p);
    ASSERT_OK(file_map(&map, PUBLISHED "/t10k-images-idx3-ubyte.gz", &err), err);
    char *folder = format_text("%s/datasets/archives/digits", p.data),
         *part = format_text("%s/%s.part", folder, images_name);
    ASSERT_OK(folder_make(folder, &none), none);
    write_bytes(part, map.data, 123456);
    run_turtle(&ran, "prepare --dataset digits --root_dir %s", p.data);
    expect_digits(&p, &ran);
    cr_expect(strstr(p.server.log, "t10k-images-idx3-ubyte.gz 123456\n"), "%s", p.server.log);
    file_unmap(&map);
    free(folder);
    free(part);
    place_close(&p);
}

/* The .part is another file's, is longer than the file, or is whole. */
Test(prepare, a_part_that_does_not_fit_is_thrown_away, .timeout = 60) {
    for (int64_t bytes = 1000; bytes <= 2000000; bytes += 1999000) {
        Place p = place_open();
        Ran ran;
        Error none;
        start(&p);
        char *folder = format_text("%s/datasets/archives/digits", p.data),
             *part = format_text("%s/%s.part", folder, images_name);
        char *zeros = calloc(1, (size_t)bytes);
        ASSERT_OK(folder_make(folder, &none), none);
        write_bytes(part, zeros, (size_t)bytes);
        run_turtle(&ran, "prepare --dataset digits --root_dir %s", p.data);
        expect_digits(&p, &ran);
        cr_expect(strstr(ran.err, bytes > IMAGES_BYTES ? "longer than the published file"
                                                       : "from its beginning again"),
                  "%s", ran.err);
        free(zeros);
        free(folder);
        free(part);
        place_close(&p);
    }
}

Test(prepare, a_server_without_ranges_is_asked_from_the_beginning, .timeout = 60) {
    Place p = place_open();
    Ran ran;
    p.server.cut = 700000;
    p.server.no_ranges = true;
    start(&p);
    run_turtle(&ran, "prepare --dataset digits --root_dir %s", p.data);
    expect_digits(&p, &ran);
    place_close(&p);
}

Test(prepare, a_file_that_differs_is_refused_and_other_addresses_are_named, .timeout = 60) {
    Place p = place_open();
    Ran ran;
    p.server.damaged = true;
    start(&p);
    run_turtle(&ran, "prepare --dataset digits --root_dir %s --quiet", p.data);
    expect_failure(&p, &ran, 1,
                   "digits/t10k-images-idx3-ubyte.gz cannot be had from http://127.0.0.1:");
    cr_expect(strstr(ran.err, "ossci-datasets.s3") && strstr(ran.err, "storage.googleapis.com"),
              "%s", ran.err);
    cr_expect(count_files(p.data, ".part") == 0, "a damaged file stays");
    run_turtle(&ran, "prepare --dataset digits --root_dir %s", p.data);
    cr_expect(strstr(ran.err, "its SHA-256 digest is") &&
                  strstr(ran.err, "the published one is 8d422c7b"),
              "%s", ran.err);
    place_close(&p);
}

Test(prepare, a_mirror_that_lacks_a_file_gives_way_to_the_next, .timeout = 60) {
    Place p = place_open();
    Ran ran;
    start(&p);
    char *mirrors = format_text("http://127.0.0.1:%d/nothing  http://127.0.0.1:%d", p.server.port,
                                p.server.port);
    setenv("TURTLE_MIRROR", mirrors, 1);
    run_turtle(&ran, "prepare --dataset digits --root_dir %s", p.data);
    expect_digits(&p, &ran);
    cr_expect(
        strstr(p.server.log, "/nothing/digits/t10k-images-idx3-ubyte.gz 0\n/digits/t10k-images"),
        "%s", p.server.log);
    free(mirrors);
    place_close(&p);
}

/* No more bytes than the published ones are taken, and their digest decides. */
Test(prepare, bytes_behind_the_published_ones_are_not_taken, .timeout = 60) {
    Place p = place_open();
    Ran ran;
    p.server.longer = 500000;
    start(&p);
    run_turtle(&ran, "prepare --dataset digits --root_dir %s", p.data);
    expect_digits(&p, &ran);
    place_close(&p);
}

Test(prepare, without_the_labels_nothing_is_in_place, .timeout = 60) {
    Place p = place_open();
    Ran ran;
    p.server.missing = true;
    p.server.of = labels_name;
    start(&p);
    run_turtle(&ran, "prepare --dataset digits --root_dir %s --quiet", p.data);
    expect_failure(&p, &ran, 1, "digits/t10k-labels-idx1-ubyte.gz cannot be had from");
    cr_expect(there(&p, "data/datasets/archives/digits/t10k-images-idx3-ubyte.gz"),
              "what is whole stays");
    p.server.missing = false;
    run_turtle(&ran, "prepare --dataset digits --root_dir %s", p.data);
    expect_digits(&p, &ran);
    place_close(&p);
}

/* A limit on the size of files stands for a full disk: the write fails at the same place. */
Test(prepare, a_full_disk_is_said, .timeout = 60) {
    Place p = place_open();
    Ran ran;
    start(&p);
    const struct rlimit small = {600000, 600000};
    signal(SIGXFSZ, SIG_IGN);
    cr_assert(setrlimit(RLIMIT_FSIZE, &small) == 0);
    run_turtle(&ran, "prepare --dataset digits --root_dir %s --quiet", p.data);
    expect_failure(&p, &ran, 1,
                   "the disk is full, or files may not be longer: make room and run again");
    cr_expect(count_files(p.data, ".part") == 1, "the beginning stays");
    place_close(&p);
}

Test(prepare, too_little_room_is_said_before, .timeout = 60) {
    Error err = {""};
    char text[24];
    cr_expect(check_free_space("/tmp", (int64_t)1 << 60, "imagenet", &err) == ERR_IO);
    cr_expect(strstr(err.text, "imagenet needs about 1152921.5 TB more below /tmp"), "%s",
              err.text);
    cr_expect(check_free_space("/tmp", 1, "imagenet", &err) == OK);
    cr_expect(strcmp(size_text_of(text, 999), "999 B") == 0 &&
                  strcmp(size_text_of(text, 1648877), "1.6 MB") == 0,
              "%s", text);
}

Test(prepare, without_curl_one_line_says_so, .timeout = 60) {
    Place p = place_open();
    Ran ran;
    start(&p);
    char *path = format_text("%s/nowhere", p.folder);
    setenv("PATH", path, 1);
    run_turtle(&ran, "prepare --dataset digits --root_dir %s --quiet", p.data);
    setenv("PATH", "/usr/local/bin:/usr/bin:/bin", 1);
    expect_failure(&p, &ran, 1, "curl is not installed");
    free(path);
    place_close(&p);
}

/* SIGINT stops the download, its .part stays, and the next call continues there. */
Test(prepare, an_interrupt_keeps_the_part, .timeout = 60) {
    Place p = place_open();
    p.server.slow = true;
    start(&p);
    fflush(NULL);
    const pid_t pid = fork();
    if (pid == 0) {
        execl(TURTLE_PROGRAM, "turtle", "prepare", "--dataset", "digits", "--quiet", "--root_dir",
              p.data, (char *)NULL);
        _exit(127);
    }
    char *part = format_text("%s/datasets/archives/digits/%s.part", p.data, images_name);
    for (int i = 0; i < 100 && !file_exists(part); i++) usleep(100000);
    usleep(300000);
    kill(pid, SIGINT);
    int state = 0;
    cr_assert(waitpid(pid, &state, 0) == pid);
    cr_expect(WIFEXITED(state) && WEXITSTATUS(state) == 130, "%d", state);
    struct stat s;
    cr_assert(stat(part, &s) == 0 && s.st_size > 0);
    p.server.slow = false;
    Ran ran;
    run_turtle(&ran, "prepare --dataset digits --root_dir %s", p.data);
    expect_digits(&p, &ran);
    char *line = format_text("t10k-images-idx3-ubyte.gz %lld\n", (long long)s.st_size);
    cr_expect(strstr(p.server.log, line), "%s not in %s", line, p.server.log);
    free(line);
    free(part);
    place_close(&p);
}

/* --- archives of the user ------------------------------------------------------------------------------ */

Test(prepare, archives_of_the_user_are_checked_and_stay, .timeout = 60) {
    Place p = place_open();
    Ran ran;
    copy_digits(&p, "from");
    run_turtle(&ran, "prepare --dataset digits --root_dir %s --from %s/from", p.data, p.folder);
    expect_digits(&p, &ran);
    cr_expect(there(&p, "from/t10k-images-idx3-ubyte.gz") && !there(&p, "data/datasets/archives"));
    place_close(&p);
}

Test(prepare, a_missing_or_damaged_archive_of_the_user_is_named, .timeout = 60) {
    Place p = place_open();
    Ran ran;
    copy_digits(&p, "from");
    char *images = format_text("%s/from/%s", p.folder, images_name);
    FILE *f = fopen(images, "r+b");
    cr_assert(f && fseek(f, 5000, SEEK_SET) == 0 && fputc(0x55, f) == 0x55 && fclose(f) == 0);
    run_turtle(&ran, "prepare --dataset digits --root_dir %s --from %s/from --quiet", p.data,
               p.folder);
    expect_failure(&p, &ran, 1, "its SHA-256 digest is");
    unlink(images);
    run_turtle(&ran, "prepare --dataset digits --root_dir %s --from %s/from --quiet", p.data,
               p.folder);
    expect_failure(&p, &ran, 1, "lacks t10k-images-idx3-ubyte.gz");
    run_turtle(&ran, "prepare --dataset digits --root_dir %s --from %s/nowhere --quiet", p.data,
               p.folder);
    expect_failure(&p, &ran, 1, "No such file");
    run_turtle(&ran, "prepare --dataset digits --root_dir %s --from data/README.md --quiet",
               p.data);
    expect_failure(&p, &ran, 1, "README.md is no folder");
    run_turtle(&ran, "prepare --dataset dtd --root_dir %s --from %s/from --quiet", p.data,
               p.folder);
    expect_failure(&p, &ran, 1, "lacks dtd-r1.0.1.tar.gz (or the folder dtd)");
    free(images);
    place_close(&p);
}

Test(prepare, two_calls_at_once_are_refused, .timeout = 60) {
    Place p = place_open();
    Ran ran;
    Lock lock;
    Error err;
    copy_digits(&p, "from");
    char *folder = format_text("%s/datasets", p.data),
         *path = format_text("%s/.prepare-digits.lock", folder);
    ASSERT_OK(folder_make(folder, &err), err);
    ASSERT_OK(lock_open(&lock, path, folder, &err), err);
    run_turtle(&ran, "prepare --dataset digits --root_dir %s --from %s/from --quiet", p.data,
               p.folder);
    expect_failure(&p, &ran, 1, "is at work");
    lock_close(&lock);
    free(folder);
    free(path);
    place_close(&p);
}

/* --- what only a person can get, and bad usage ----------------------------------------------------------- */

Test(prepare, what_needs_a_person_has_steps, .timeout = 60) {
    static const char *const sets[] = {"cars",     "fer2013",  "hatefulmemes", "imagenet",
                                       "resisc45", "birdsnap", "kinetics700"};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        Place p = place_open();
        Ran ran;
        run_turtle(&ran, "prepare --dataset %s --root_dir %s", sets[i], p.data);
        expect_failure(&p, &ran, 1, "cannot be fetched without a person");
        char *step = format_text("prepare: %s: 1. ", sets[i]),
             *call = format_text("turtle prepare --dataset %s --from DIR", sets[i]);
        cr_expect(strstr(ran.err, step) && strstr(ran.err, call), "%s", ran.err);
        free(step);
        free(call);
        place_close(&p);
    }
}

Test(prepare, bad_usage_gets_one_line, .timeout = 60) {
    static const struct {
        const char *arguments, *says;
    } cases[] = {{"", "expected one of --dataset"},
                 {"--dataset digits --list", "several things at once"},
                 {"--dataset cifar01", "did you mean cifar10"},
                 {"--dataset checkpoints", "expected --checkpoints"},
                 {"--phis clipvitl14", "did you mean clipvitL14?"},
                 {"--list --unverified", "--list looks only"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Place p = place_open();
        Ran ran;
        run_turtle(&ran, "prepare %s --root_dir %s", cases[i].arguments, p.data);
        expect_failure(&p, &ran, 2, cases[i].says);
        place_close(&p);
    }
}

/* --- weights ------------------------------------------------------------------------------------------------ */

Test(prepare, weights_are_fetched_to_their_places, .timeout = 60) {
    Place p = place_open();
    Ran ran;
    char *dino = format_text("%s/served/phis/dinov2_vitg14_pretrain.pth", p.folder);
    char *clip = format_text("%s/served/phis/RN50.pt", p.folder);
    copy_file(PUBLISHED "/t10k-labels-idx1-ubyte.gz", dino);
    copy_file(PUBLISHED "/t10k-labels-idx1-ubyte.gz", clip);
    start(&p);
    run_turtle(&ran, "prepare --phis dinov2 --root_dir %s --json", p.data);
    cr_expect(ran.status == 0 && strstr(ran.err, "no digest is published") &&
                  strstr(ran.out, "\"verified\": false"),
              "%s%s", ran.out, ran.err);
    cr_expect(there(&p, "data/checkpoints/dinov2/checkpoints/dinov2_vitg14_pretrain.pth"));
    run_turtle(&ran, "prepare --phis clipRN50 --root_dir %s --quiet", p.data);
    expect_failure(&p, &ran, 1, "phis/RN50.pt cannot be had from");
    cr_expect(!there(&p, "data/checkpoints/clip/RN50.pt") && count_files(p.data, ".part") == 0);
    free(dino);
    free(clip);
    place_close(&p);
}
