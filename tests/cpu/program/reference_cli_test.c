/* reference_cli_test.c - the command lines of the published implementation's README and every flag of its
 * scripts, with the script's name replaced by a command's and nothing else changed.
 *
 *     precompute_representations  features      evaluate                evaluate
 *     precompute_labels           labels        baselines/kmeans        kmeans
 *     run_turtle                  train         baselines/linear_probe  probe
 *                                               baselines/clip_zs       zeroshot
 *
 * The data are CIFAR's own files for Python, with few images. ${REPRESENTATION} is an encoder that is
 * small enough for a test; where a line names clipvitL14 and dinov2, whose weights are not here, its
 * features are those of the small ones. */
#include "io/arrays/npy.h"
#include "io/datasets/cifar_pickle.h"
#include "tests/support/check.h"
#include "tests/support/weights_file.h"

typedef struct {
    char *folder; /* stands for ./data */
} World;

/* A batch of CIFAR for Python with two images of noise, from the recorded one. */
static void write_batch(const char *folder, const char *path, const char *golden, const char *key,
                        uint32_t seed) {
    FileMap map;
    Error err;
    CifarBatch batch;
    AtomicFile file;
    char *from = format_text("tests/goldens/cifar/%s", golden), *to;
    to = format_text("%s/datasets/%s", folder, path);
    ASSERT_OK(file_map(&map, from, &err), err);
    ASSERT_OK(cifar_pickle_read(&batch, map.data, map.bytes, key, from, &err), err);
    uint8_t *bytes = malloc((size_t)map.bytes);
    cr_assert(bytes != NULL);
    memcpy(bytes, map.data, (size_t)map.bytes);
    for (int64_t i = 0; i < 3072 * batch.count; i++) {
        seed = seed * 1664525u + 1013904223u;
        bytes[batch.offset + i] = (uint8_t)(seed >> 24);
    }
    ASSERT_OK(atomic_open(&file, to, &err), err);
    cr_assert(fwrite(bytes, 1, (size_t)map.bytes, file.stream) == (size_t)map.bytes);
    ASSERT_OK(atomic_commit(&file, &err), err);
    file_unmap(&map);
    free(batch.label), free(bytes), free(from), free(to);
}

/* A command of the shell, run in the folder. */
static void shell(const char *folder, const char *command) {
    char *whole = format_text("cd %s && %s", folder, command);
    cr_assert(system(whole) == 0, "%s", whole);
    free(whole);
}

static World open_world(void) {
    World w = {.folder = temporary_folder()};
    Error err;
    char *checkpoints = format_text("%s/checkpoints", w.folder);
    for (int i = 1; i <= 6; i++) {
        char name[64] = "cifar-10-batches-py/test_batch";
        if (i < 6) snprintf(name, sizeof name, "cifar-10-batches-py/data_batch_%d", i);
        write_batch(w.folder, name, "data_batch_1", "labels", (uint32_t)i);
    }
    write_batch(w.folder, "cifar-100-python/train", "train", "fine_labels", 7);
    write_batch(w.folder, "cifar-100-python/test", "train", "fine_labels", 8);
    ASSERT_OK(folder_make(checkpoints, &err), err);
    free(copy_weights(checkpoints, "clip_vit_tiny.pt"));
    free(copy_weights(checkpoints, "dinov2_swiglu_tiny.pth"));
    free(checkpoints);
    setenv("TURTLE_DATA", w.folder, 1);
    return w;
}

/* Lines that end well. */
static void run_lines(const char *const *lines, size_t n) {
    for (size_t i = 0; i < n; i++) {
        Ran ran;
        run_turtle(&ran, "%s", lines[i]);
        cr_expect(ran.status == 0, "turtle %s: exit status %d: %s", lines[i], ran.status, ran.err);
        cr_expect(*ran.out, "turtle %s: nothing on stdout", lines[i]);
    }
}
/* Runs a training as the line stands, and stops it once it is under way: it is to save its state. */
static void stop_soon(const char *folder, const char *line, const char *spaces) {
    char *command =
        format_text(TURTLE_PROGRAM
                    " %s >/dev/null 2>%s/stopped & p=$!; i=0; while [ $i -lt 400 ] && ! find "
                    "%s/task_checkpoints/%s -name log.jsonl -size +0 2>/dev/null | grep -q .; do "
                    "sleep 0.05; i=$((i+1)); done; kill -TERM $p; wait $p",
                    line, folder, folder, spaces);
    const int state = system(command);
    char told[4096], *path = format_text("%s/stopped", folder);
    read_text(told, sizeof told, path);
    cr_expect(WIFEXITED(state) && WEXITSTATUS(state) == 143 && strstr(told, "state saved"),
              "%s: %d: %s", line, state, told);
    free(command), free(path);
}
#define RUN_LINES(lines) run_lines(lines, sizeof(lines) / sizeof *(lines))

/* "Data Preparation" to "Baselines" of the README, DATASET=cifar10. */
Test(reference_cli, lines_of_the_readme, .timeout = 120) {
    static const char *const lines[] = {
        "features --dataset cifar10 --phis clip_vit_tiny",
        "features --dataset cifar10 --phis dinov2_swiglu_tiny ",
        "labels --dataset cifar10",
        "train --dataset cifar10 --phis clip_vit_tiny ",
        "train --dataset cifar10 --phis clip_vit_tiny dinov2_swiglu_tiny",
        "probe --dataset cifar10 --phis clip_vit_tiny",
        "probe --dataset cifar10 --phis clip_vit_tiny --validation",
        "kmeans --dataset cifar10 --phis clip_vit_tiny",
        "zeroshot --dataset cifar10 --phis clip_vit_tiny"};
    World w = open_world();
    RUN_LINES(lines);
    cr_expect(count_files(w.folder, "turtle_cifar10.txt") == 2);
    cr_expect(count_files(w.folder, "kmeans.txt") == 1 &&
              count_files(w.folder, "zeroshot.txt") == 1);
    cr_expect(count_files(w.folder, "linear_probe.txt") == 1);
    cr_expect(count_files(w.folder, "M10_coldstart_gamma10.0_bs10000_seed42.pt") == 2);
    remove_folder(w.folder);
}

/* The running example names cifar100, clipvitL14 and dinov2. */
Test(reference_cli, the_running_example, .timeout = 120) {
    static const char *const first[] = {"features --dataset cifar10 --phis clip_vit_tiny",
                                        "features --dataset cifar10 --phis dinov2_swiglu_tiny",
                                        "labels --dataset cifar100"};
    static const char *const trainings[] = {"train --dataset cifar100 --phis clipvitL14 dinov2 ",
                                            "train --dataset cifar100 --phis clipvitL14",
                                            "train --dataset cifar100 --phis dinov2"};
    static const char *const checkpoints[] = {"2space/clipvitL14_dinov2", "1space/clipvitL14",
                                              "1space/dinov2"};
    World w = open_world();
    Ran ran;
    run_turtle(&ran, "features --dataset cifar100 --phis clipvitL14");
    cr_expect(ran.status == 1 && strstr(ran.err, "ViT-L-14.pt"), "where to get it: %s", ran.err);
    run_turtle(&ran, "features --dataset cifar100 --phis dinov2 ");
    cr_expect(ran.status == 1 && strstr(ran.err, "dinov2_vitg14_pretrain.pth"), "%s", ran.err);
    RUN_LINES(first);
    /* 100 classes need 100 samples: ten copies of the ten */
    for (int s = 0; s < 2; s++)
        for (int e = 0; e < 2; e++) {
            Npy a;
            Error err;
            char *from = format_text("%s/representations/%s/cifar10_train.npy", w.folder,
                                     e ? "dinov2_swiglu_tiny" : "clip_vit_tiny");
            char *to = format_text("%s/representations/%s/cifar100_%s.npy", w.folder,
                                   e ? "dinov2" : "clipvitL14", s ? "val" : "train");
            ASSERT_OK(npy_open(&a, from, &err), err);
            const int64_t shape[] = {s ? 2 : 10 * a.shape[0], a.shape[1]};
            float *x = malloc((size_t)(10 * a.count) * sizeof *x);
            for (int i = 0; i < 10; i++)
                ASSERT_OK(npy_read_f32(&a, 0, a.count, x + i * a.count, &err), err);
            ASSERT_OK(npy_write(to, DTYPE_F32, 2, shape, x, &err), err);
            npy_close(&a);
            free(x), free(from), free(to);
        }
    shell(w.folder, "rm labels/cifar100_train.npy"); /* of two images; it only scores */
    for (int i = 0; i < 3; i++) {
        stop_soon(w.folder, trainings[i], checkpoints[i]);
        run_turtle(&ran, "%s --T 2 --quiet --out %s/tasks/%d", trainings[i], w.folder, i);
        cr_assert(ran.status == 0, "%s", ran.err);
        char *move = format_text("cd %s/tasks && mkdir -p %s && cp %d/checkpoint.pt %s/cifar100.pt",
                                 w.folder, checkpoints[i], i, checkpoints[i]);
        cr_assert(system(move) == 0);
        free(move);
        run_turtle(&ran, "evaluate%s --task_ckpt %s/tasks/%s/cifar100.pt",
                   trainings[i] + strlen("train"), w.folder, checkpoints[i]);
        cr_expect(ran.status == 0 && strstr(ran.out, "cluster accuracy"), "%s", ran.err);
    }
    remove_folder(w.folder);
}

/* Every flag of every script, and what they do without --phis. */
Test(reference_cli, every_flag_of_the_scripts, .timeout = 120) {
    static const char *const lines[] = {
        "features --dataset cifar10 --phis clip_vit_tiny --batch_size 256 --device cpu --seed 42",
        "features --dataset cifar10 --phis dinov2_swiglu_tiny",
        "labels --dataset cifar10 --seed 42",
        "train --dataset cifar10 --phis clip_vit_tiny dinov2_swiglu_tiny --gamma 10. --T 20 "
        "--inner_lr 0.001 --outer_lr 0.001 --batch_size 10000 --warm_start --M 10 --cross_val "
        "--device cpu --seed 42"};
    static const char *const defaults[] = {
        "train --dataset cifar10 --T 20",
        "kmeans --dataset cifar10",
        "probe --dataset cifar10",
        "kmeans --dataset cifar10 --phis clipvitL14 dinov2 --seed 1 --n_init 3",
        "probe --dataset cifar10 --phis dinov2 --seed 1 --validation --Cs 4 --Crange 6",
        "zeroshot --dataset cifar10 --phis clip_vit_tiny --default_template_only --batch_size 256 "
        "--device cpu --seed 42",
        "zeroshot --dataset cifar10 --phis clip_vit_tiny --batch_size 3"};
    World w = open_world();
    Ran ran;
    RUN_LINES(lines);
    shell(w.folder, "cd representations && cp -r clip_vit_tiny clipvitL14 && "
                    "cp -r dinov2_swiglu_tiny dinov2");
    RUN_LINES(defaults);
    run_turtle(&ran, "train --dataset cifar10 --T 20 --restart");
    cr_expect(strstr(ran.err, "--phis is not given: clipvitL14 dinov2"), "%s", ran.err);
    cr_expect(strstr(ran.out, "clipvitL14_dinov2"), "%s", ran.out);
    run_turtle(&ran,
               "evaluate --dataset cifar10 --device cpu --root_dir %s --ckpt_path "
               "%s/task_checkpoints/2space/clipvitL14_dinov2/cifar10/turtle_clipvitL14_dinov2_"
               "innerlr0.001_outerlr0.001_T20_M10_coldstart_gamma10.0_bs10000_seed42.pt",
               w.folder, w.folder);
    cr_expect(ran.status == 0, "%s", ran.err);
    run_turtle(&ran, "features --dataset cifar10");
    cr_expect(ran.status == 1 && strstr(ran.err, "--phis is not given: clipvitL14,"), "%s",
              ran.err);
    run_turtle(&ran, "labels --dataset cifar10 --seed 42");
    cr_expect(strstr(ran.err, "--seed changes nothing here"), "%s", ran.err);
    remove_folder(w.folder);
}
