/* sort_test.c - `turtle sort`: what lies where afterwards, whatever names, disks and kills do. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>

#include "io/images/image.h"
#include "io/text/csv.h"
#include "io/text/json_reader.h"
#include "tests/support/check.h"

typedef struct {
    char *folder, *run, *images, *out;
    FILE *predictions;
    int rows, per_cluster[16];
} World;

/* Makes a run directory by hand: run.json and predictions whose pictures lie in one folder. */
static World world(const char *list) {
    World w = {.folder = temporary_folder()};
    Error err;
    w.run = format_text("%s/run", w.folder), w.images = format_text("%s/images", w.folder);
    w.out = format_text("%s/out", w.folder);
    ASSERT_OK(folder_make(w.run, &err), err);
    ASSERT_OK(folder_make(w.images, &err), err);
    char *json = format_text(
        "{\"finished\": true, \"C\": 4, \"dataset\": \"x\", \"inputs\": [{\"split\": \"train\", "
        "\"file\": \"%s/f.npy\", \"images\": \"%s\", \"image_list\": %s}]}\n",
        w.folder, w.images, list);
    char *path = format_text("%s/run.json", w.run),
         *csv = format_text("%s/predictions_train.csv", w.run);
    write_bytes(path, json, strlen(json));
    w.predictions = fopen(csv, "wb");
    cr_assert(w.predictions);
    fputs("path,cluster,confidence,margin\n", w.predictions);
    free(json), free(path), free(csv);
    return w;
}

/* Adds a sample; its picture holds its name, unless `there` is false. */
static void add(World *w, const char *name, int cluster, double confidence, bool there) {
    Error err;
    char *path = format_text("%s/%s", w->images, name);
    if (there) {
        char *slash = strrchr(path, '/');
        *slash = '\0';
        ASSERT_OK(folder_make(path, &err), err);
        *slash = '/';
        write_bytes(path, name, strlen(name));
    }
    fputc('"', w->predictions);
    for (const char *c = name; *c; c++) fprintf(w->predictions, *c == '"' ? "\"\"" : "%c", *c);
    fprintf(w->predictions, "\",%d,%g,0.1\n", cluster, confidence);
    w->rows++;
    w->per_cluster[cluster]++;
    free(path);
}

static void ready(World *w) {
    fclose(w->predictions);
}

static void end(World *w) {
    free(w->run), free(w->images), free(w->out);
    remove_folder(w->folder);
}

/* Returns how many entries a folder has, -1 where there is none. */
static int entries(const World *w, const char *folder) {
    char *path = format_text("%s/%s", w->out, folder);
    DIR *d = opendir(path);
    int n = d ? -2 : -1;
    while (d && readdir(d)) n++;
    if (d) closedir(d);
    free(path);
    return n;
}

static bool is_there(const World *w, const char *name) {
    struct stat s;
    char *path = format_text("%s/%s", w->out, name);
    const bool there = lstat(path, &s) == 0;
    free(path);
    return there;
}

/* Returns a checksum of the whole tree: names, kinds and contents. */
static void digest(char text[128], const char *folder) {
    char *command =
        format_text("cd '%s' && find . | LC_ALL=C sort | cksum && find . -type f ! -name "
                    "'.turtle*' -print0 | LC_ALL=C sort -z | xargs -0 cat | cksum",
                    folder);
    FILE *f = popen(command, "r");
    const size_t n = fread(text, 1, 127, f);
    text[n] = '\0';
    pclose(f);
    free(command);
}

static World plain_world(int pictures) {
    World w = world("\"x.txt\"");
    for (int i = 0; i < pictures; i++) {
        char name[32];
        snprintf(name, sizeof name, "%c/%d.jpg", 'a' + i % 3, i / 3);
        add(&w, name, (i * 7 + i / 5) % 4, 0.25 + (i % 4) * 0.25, true);
    }
    ready(&w);
    return w;
}

/* Files of every folder are as many as the predictions have samples, for all ways and names of three folders that
 * clash. */
Test(sort, counts_equal_the_predictions, .timeout = 60) {
    static const char *const ways[] = {"", "--link", "--symlink", "--copy"};
    World w = plain_world(300);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        static Ran ran;
        run_turtle(&ran, "sort --run %s --into %s %s --json", w.run, w.out, ways[i]);
        cr_assert(ran.status == 0, "%s", ran.err);
        cr_expect(json_number(ran.out, "samples") == 300 && json_number(ran.out, "placed") == 300);
        for (int c = 0; c < 4; c++) {
            const char folder[2] = {(char)('0' + c), 0};
            cr_expect(entries(&w, folder) == w.per_cluster[c], "%s: %d, expected %d", ways[i],
                      entries(&w, folder), w.per_cluster[c]);
        }
        run_turtle(&ran, "sort --run %s --into %s %s --json", w.run, w.out, ways[i]);
        cr_expect(ran.status == 0 && json_number(ran.out, "there") == 300, "%s%s", ran.out,
                  ran.err);
        char *gone = format_text("rm -r '%s'", w.out);
        cr_assert(system(gone) == 0);
        free(gone);
    }
    end(&w);
}

/* Relative paths of the record begin where the training was called. */
Test(sort, a_run_that_was_called_elsewhere_has_its_pictures, .timeout = 60) {
    static Ran ran;
    World w = plain_world(6);
    char *json = format_text(
        "{\"finished\": true, \"C\": 4, \"inputs\": [{\"split\": \"train\", \"file\": \"f.npy\", "
        "\"images\": \"images\", \"image_list\": \"x.txt\"}], \"working_directory\": \"%s\"}\n",
        w.folder);
    char *path = format_text("%s/run.json", w.run);
    write_bytes(path, json, strlen(json));
    run_turtle(&ran, "sort --run %s --into %s --json", w.run, w.out);
    cr_expect(ran.status == 0 && json_number(ran.out, "placed") == 6, "%s%s", ran.out, ran.err);
    free(json), free(path);
    end(&w);
}

/* The manifest names for every sample a file that holds the sample's picture, and no file twice. */
Test(sort, every_line_of_the_manifest_leads_to_its_picture, .timeout = 60) {
    static Ran ran;
    World w = world("\"x.txt\"");
    char longest[256];
    memset(longest, 'n', 255), memcpy(longest + 251, ".jpg", 5);
    const char *const hostile[] = {"a/1.jpg",
                                   "b/1.jpg",
                                   "1_2.jpg",
                                   "c/1.jpg",
                                   "<script>.jpg",
                                   "q\"uo'te.jpg",
                                   "com,ma",
                                   ".hidden",
                                   "-rf",
                                   "\xff\xfe",
                                   "\xe2\x80\xae"
                                   "gpj.jpg",
                                   longest,
                                   "a/\033[2J",
                                   "tab\t",
                                   " "};
    char deep[300];
    snprintf(deep, sizeof deep, "z/%s", longest);
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) add(&w, hostile[i], 1, 0.9, true);
    add(&w, deep, 1, 0.9, true);
    ready(&w);
    run_turtle(&ran, "sort --run %s --into %s --json", w.run, w.out);
    cr_assert(ran.status == 0, "%s", ran.err);
    cr_expect(json_number(ran.out, "clashes") == 3, "%s", ran.out);
    cr_expect(entries(&w, "1") == w.rows);
    cr_expect(is_there(&w, "1/1.jpg") && is_there(&w, "1/1_2.jpg") && is_there(&w, "1/1_3.jpg") &&
              is_there(&w, "1/1_4.jpg"));
    Csv csv;
    Error err;
    bool more;
    char *manifest = format_text("%s/manifest.csv", w.out);
    ASSERT_OK(csv_open(&csv, "test", manifest, ',', &err), err);
    ASSERT_OK(csv_next(&csv, &more, &err), err);
    int rows = 0;
    while (csv_next(&csv, &more, &err) == OK && more) {
        char *from = format_text("%s/%s", w.images, csv.field[0].text);
        char *to = format_text("%s/%s", w.out, csv.field[5].text);
        cr_expect(same_files(from, to), "%s is not %s", to, from);
        free(from), free(to);
        rows++;
    }
    cr_expect_eq(rows, w.rows);
    csv_close(&csv);
    free(manifest);
    /* Tasks are JSON whatever the names hold. */
    char *tasks = format_text("%s/label_studio.json", w.out);
    FileMap map;
    ASSERT_OK(file_map(&map, tasks, &err), err);
    JsonReader r = json_reader(map.data, map.bytes);
    int count = 0;
    json_enter(&r, '[');
    while (json_next(&r)) json_skip(&r), count++;
    cr_expect(json_finished(&r) && count == w.rows, "%d tasks", count);
    file_unmap(&map);
    free(tasks);
    end(&w);
}

/* Names merge, leave out, and make safe folders that stay inside. */
Test(sort, names_of_clusters_make_safe_folders, .timeout = 60) {
    static Ran ran;
    World w = plain_world(80);
    char *names = format_text("%s/names.tsv", w.folder);
    static const char *const files[] = {"0\t../up\n1\t.._up\n2\t\n3\tdoubtful\n",
                                        "0\tcat\n1\tcat\n2\tmanifest.csv\n3\t.\n"};
    write_bytes(names, files[0], strlen(files[0]));
    run_turtle(&ran, "sort --run %s --into %s --cluster_names %s", w.run, w.out, names);
    cr_assert(ran.status == 0, "%s", ran.err);
    cr_expect(entries(&w, "_._up") + entries(&w, "_._up_2") == w.per_cluster[0] + w.per_cluster[1]);
    cr_expect(entries(&w, "doubtful_2") == w.per_cluster[3] && entries(&w, "2") == -1);
    cr_expect(strstr(ran.err, "the folder of '../up' is called '_._up'"), "%s", ran.err);
    cr_expect(strstr(ran.out, "left out"), "%s", ran.out);
    write_bytes(names, files[1], strlen(files[1]));
    run_turtle(&ran, "sort --run %s --into %s2 --cluster_names %s --min_confidence 0.5", w.run,
               w.out, names);
    cr_assert(ran.status == 0, "%s", ran.err);
    char *second = format_text("%s2", w.out);
    free(w.out), w.out = second;
    cr_expect(entries(&w, "doubtful") == 20, "%d", entries(&w, "doubtful"));
    cr_expect(entries(&w, "cat") + entries(&w, "manifest.csv_2") + entries(&w, "_") == 60);
    free(names);
    end(&w);
}

/* A call that is killed at any moment and called again leaves the tree of one that was not. */
Test(sort, killed_and_resumed_the_tree_is_the_same, .timeout = 120) {
    static Ran ran;
    static const char *const ways[] = {"--link", "--copy"};
    World w = plain_world(600);
    for (int way = 0; way < 2; way++) {
        char whole[128], again[128];
        char *other = format_text("%s/k/out", w.folder), *log = format_text("%s/log", w.folder);
        run_turtle(&ran, "sort --run %s --into %s %s", w.run, w.out, ways[way]);
        cr_assert(ran.status == 0, "%s", ran.err);
        digest(whole, w.out);
        int killed = 0;
        for (int delay = 0; delay < 24; delay++) {
            fflush(NULL);
            const pid_t pid = fork();
            if (pid == 0) {
                const int null = open("/dev/null", O_WRONLY);
                dup2(null, 1), dup2(null, 2);
                execl(TURTLE_PROGRAM, "turtle", "sort", "--run", w.run, "--into", other, ways[way],
                      (char *)NULL);
                _exit(127);
            }
            usleep((useconds_t)(1500 + 700 * delay));
            kill(pid, SIGKILL);
            int state;
            cr_assert(waitpid(pid, &state, 0) == pid);
            killed += WIFSIGNALED(state);
        }
        run_turtle(&ran, "sort --run %s --into %s %s", w.run, other, ways[way]);
        cr_assert(ran.status == 0, "%s", ran.err);
        digest(again, other);
        cr_expect_str_eq(again, whole, "%s after %d kills", ways[way], killed);
        cr_expect(killed > 0, "no call was killed in time");
        char *gone = format_text("rm -r '%s' '%s'", w.out, other);
        cr_assert(system(gone) == 0);
        free(gone), free(other), free(log);
    }
    end(&w);
}

/* A copy gets its name by a link, so a call that is killed just then leaves the temporary name on the placed file. */
Test(sort, a_kill_between_link_and_unlink_harms_no_placed_file, .timeout = 60) {
    static Ran ran;
    char whole[128], again[128];
    World w = plain_world(12);
    run_turtle(&ran, "sort --run %s --into %s --copy", w.run, w.out);
    cr_assert(ran.status == 0, "%s", ran.err);
    digest(whole, w.out);
    char *as_killed = format_text("cd '%s' && sed -i 's/\"finished\": *true/\"finished\": false/' "
                                  ".turtle_sort.json && grep -q false .turtle_sort.json && "
                                  "ln \"$(find . -name '*.jpg' | head -n 1)\" .turtle_sort.tmp",
                                  w.out);
    cr_assert(system(as_killed) == 0);
    run_turtle(&ran, "sort --run %s --into %s --copy", w.run, w.out);
    cr_expect(ran.status == 0, "%s", ran.err);
    digest(again, w.out);
    cr_expect_str_eq(again, whole);
    free(as_killed);
    end(&w);
}

/* A refused call leaves nothing behind, and its line says what to do. */
Test(sort, refusals_come_before_the_first_file, .timeout = 60) {
    static Ran ran;
    World w = plain_world(12);
    run_turtle(&ran, "sort --run %s --into %s/sorted", w.run, w.images);
    cr_expect(ran.status == 1 && strstr(ran.err, "inside the folder of the pictures"), "%s",
              ran.err);
    run_turtle(&ran, "sort --run %s --into %s", w.run, w.run);
    cr_expect(ran.status == 1 && strstr(ran.err, "files that sort did not place"), "%s", ran.err);
    run_turtle(&ran, "sort --run %s --into %s", w.images, w.out);
    cr_expect(ran.status == 1 && strstr(ran.err, "there is no run.json"), "%s", ran.err);
    run_turtle(&ran, "sort --run %s --into %s --link --copy", w.run, w.out);
    cr_expect(ran.status == 2, "%s", ran.err);
    run_turtle(&ran, "sort --run %s --into %s --min_confidence 2", w.run, w.out);
    cr_expect(ran.status == 2, "%s", ran.err);
    cr_expect(entries(&w, ".") == -1);
    struct stat here, shm;
    if (stat("/dev/shm", &shm) == 0 && stat(w.folder, &here) == 0 && here.st_dev != shm.st_dev) {
        run_turtle(&ran, "sort --run %s --into /dev/shm/turtle-sort-%d", w.run, (int)getpid());
        cr_expect(ran.status == 1 && strstr(ran.err, "--symlink or --copy"), "%s", ran.err);
    }
    run_turtle(&ran, "sort --run %s --into %s", w.run, w.out);
    cr_assert(ran.status == 0, "%s", ran.err);
    run_turtle(&ran, "sort --run %s --into %s --copy", w.run, w.out);
    cr_expect(ran.status == 1 && strstr(ran.err, "sorted otherwise"), "%s", ran.err);
    end(&w);
    World features = world("null");
    for (int i = 0; i < 4; i++) fprintf(features.predictions, "%d,%d,0.5,0.5\n", i, i);
    ready(&features);
    run_turtle(&ran, "sort --run %s --into %s", features.run, features.out);
    cr_expect(ran.status == 1 && strstr(ran.err, "features alone and no pictures"), "%s", ran.err);
    end(&features);
}

/* Missing pictures and files of others: the rest is placed, nothing is overwritten, the call fails; mended, the same
 * call ends well. */
Test(sort, what_cannot_be_placed_is_said_and_the_rest_is_there, .timeout = 60) {
    static Ran ran;
    World w = world("\"x.txt\"");
    for (int i = 0; i < 9; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d.jpg", i);
        add(&w, name, 0, 0.9, i != 4);
    }
    ready(&w);
    run_turtle(&ran, "sort --run %s --into %s", w.run, w.out);
    cr_expect(ran.status == 1 && strstr(ran.err, "1 of 9 pictures could not be read") &&
                  strstr(ran.err, "4.jpg"),
              "%s", ran.err);
    cr_expect(entries(&w, "0") == 8);
    char *mine = format_text("%s/0/5.jpg", w.out), *fourth = format_text("%s/4.jpg", w.images);
    char text[16];
    write_bytes(fourth, "4.jpg", 5);
    cr_assert(unlink(mine) == 0);
    write_bytes(mine, "mine", 4);
    run_turtle(&ran, "sort --run %s --into %s", w.run, w.out);
    cr_expect(ran.status == 1 && strstr(ran.err, "1 have no place"), "%s", ran.err);
    read_text(text, sizeof text, mine);
    cr_expect_str_eq(text, "mine");
    cr_assert(unlink(mine) == 0);
    run_turtle(&ran, "sort --run %s --into %s", w.run, w.out);
    cr_expect(ran.status == 0 && entries(&w, "0") == 9, "%s", ran.err);
    free(mine), free(fourth);
    end(&w);
}

/* A disk that takes no more bytes, played by a limit of a file's size, ends the copies; the next call goes on. */
Test(sort, a_full_disk_is_said_and_the_call_goes_on_later, .timeout = 60) {
    static Ran ran;
    World w = world("\"x.txt\"");
    for (int i = 0; i < 6; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d.jpg", i);
        add(&w, name, 0, 0.9, true);
    }
    add(&w, "large.jpg", 1, 0.9, true);
    ready(&w);
    char *large = format_text("%s/large.jpg", w.images), *bytes = calloc(1, 65536);
    write_bytes(large, bytes, 65536);
    struct rlimit old, small;
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 8192;
    setrlimit(RLIMIT_FSIZE, &small);
    run_turtle(&ran, "sort --run %s --into %s --copy", w.run, w.out);
    setrlimit(RLIMIT_FSIZE, &old);
    cr_expect(ran.status == 1 && strstr(ran.err, "6 of 7 files are placed"), "%d %s", ran.status,
              ran.err);
    cr_expect(!is_there(&w, "1/large.jpg") && !is_there(&w, ".turtle_sort.tmp"));
    run_turtle(&ran, "sort --run %s --into %s --copy", w.run, w.out);
    cr_expect(ran.status == 0 && is_there(&w, "1/large.jpg"), "%s", ran.err);
    free(large), free(bytes);
    end(&w);
}

/* A folder that cannot be written into is refused; the mode stops all but root. */
Test(sort, a_read_only_folder_is_refused, .timeout = 60) {
    static Ran ran;
    World w = plain_world(6);
    run_turtle(&ran, "sort --run %s --into /proc/turtle/out --symlink", w.run);
    cr_expect(ran.status == 1 && strstr(ran.err, "/proc/turtle"), "%s", ran.err);
    if (geteuid() != 0) {
        cr_assert(mkdir(w.out, 0555) == 0);
        run_turtle(&ran, "sort --run %s --into %s", w.run, w.out);
        cr_expect(ran.status == 1 && strstr(ran.err, "cannot be written into"), "%s", ran.err);
    }
    end(&w);
}

/* Records of a data set's files become PNGs with the same pixels. */
Test(sort, records_become_pngs_of_the_same_pixels, .timeout = 60) {
    static Ran ran;
    World w = world("\"x.txt\"");
    Error err;
    enum { SIDE = 28, RECORDS = 3 };
    uint8_t idx[16 + RECORDS * SIDE * SIDE] = {0, 0, 8, 3,    0, 0, 0, RECORDS,
                                               0, 0, 0, SIDE, 0, 0, 0, SIDE};
    uint8_t labels[8 + RECORDS] = {0, 0, 8, 1, 0, 0, 0, RECORDS, 0, 1, 2};
    for (int i = 0; i < RECORDS * SIDE * SIDE; i++) idx[16 + i] = (uint8_t)(i * 37 + i / 11);
    char *datasets = format_text("%s/datasets/mnist", w.folder);
    ASSERT_OK(folder_make(datasets, &err), err);
    static const char *const kinds[] = {"train", "t10k"};
    for (int k = 0; k < 2; k++) {
        char *a = format_text("%s/%s-images-idx3-ubyte", datasets, kinds[k]);
        char *b = format_text("%s/%s-labels-idx1-ubyte", datasets, kinds[k]);
        write_bytes(a, idx, sizeof idx), write_bytes(b, labels, sizeof labels);
        free(a), free(b);
    }
    for (int i = 0; i < RECORDS; i++)
        fprintf(w.predictions, "train-images-idx3-ubyte#%d,%d,0.9,0.5\n", i, i);
    ready(&w);
    char *json = format_text("{\"finished\": true, \"C\": 4, \"dataset\": \"mnist\", \"inputs\": "
                             "[{\"split\": \"train\", \"file\": \"%s/representations/p/mnist_train"
                             ".npy\", \"images\": null, \"image_list\": \"x\"}]}\n",
                             w.folder);
    char *path = format_text("%s/run.json", w.run);
    write_bytes(path, json, strlen(json));
    run_turtle(&ran, "sort --run %s --into %s", w.run, w.out);
    cr_assert(ran.status == 0, "%s", ran.err);
    for (int i = 0; i < RECORDS; i++) {
        char *png = format_text("%s/%d/train-images-idx3-ubyte_%d.png", w.out, i, i);
        FileMap map;
        Image image;
        ASSERT_OK(file_map(&map, png, &err), err);
        ASSERT_OK(image_decode(&image, map.data, map.bytes, png, &err), err);
        int bad = image.width != SIDE || image.height != SIDE;
        for (int k = 0; !bad && k < SIDE * SIDE; k++)
            bad += image.rgb[3 * k + 1] != idx[16 + i * SIDE * SIDE + k];
        cr_expect(bad == 0, "%s", png);
        image_free(&image);
        file_unmap(&map);
        free(png);
    }
    free(datasets), free(json), free(path);
    end(&w);
}
