/* zeroshot_test.c - names, prompts and class vectors against recordings, classification and names of
 * clusters by construction. */
#include "host/baseline/zeroshot.h"
#include "host/train/checkpoint.h"
#include "tests/gpu/device_memory.h"
#include "tests/support/golden.h"
#include "tests/support/weights_file.h"

#if !defined(TEST_CUDA) /* on a device calls alone: texts are encoded on the CPU */
/* Folders sort 'BAE-125' before 'BAE-146-200'; the published list has it behind 'BAE 146-300'. */
Test(prompts, three_names_of_aircraft_move_to_their_labels) {
    Prompts p;
    Error err;
    ASSERT_OK(prompts_find(&p, "aircraft", &err), err);
    cr_expect(prompts_sort_as_folders(&p) == 3);
    int64_t at = 0;
    while (at < p.classes - 3 && strcmp(p.names.item[at], "BAE-125") != 0) at++;
    cr_expect(strcmp(p.names.item[at], "BAE-125") == 0);
    cr_expect(strcmp(p.names.item[at + 1], "BAE 146-200") == 0);
    cr_expect(strcmp(p.names.item[at + 2], "BAE 146-300") == 0);
    cr_expect(prompts_sort_as_folders(&p) == 0);
    prompts_free(&p);
}

/* --- the lists of data sets ------------------------------------------------------------------- */

/* CRC-32 of all prompts, class after class, template after template, a newline behind each;
 * computed from the published lists (data/README.md). */
Test(prompts, lists_are_the_published_ones) {
    static const struct {
        const char *name;
        int classes, templates, prompts;
        uint32_t crc;
    } sets[] = {{"food101", 101, 1, 101, 0x19e70c67},
                {"cifar10", 10, 18, 180, 0xe88b209e},
                {"cifar100", 100, 18, 1800, 0xbd821942},
                {"birdsnap", 500, 1, 500, 0xa0af3504},
                {"cub", 200, 1, 200, 0x546ab1f3},
                {"sun397", 397, 2, 794, 0x9d279839},
                {"cars", 196, 8, 1568, 0x3f08d997},
                {"aircraft", 100, 2, 200, 0x01148489},
                {"dtd", 47, 8, 376, 0xda692263},
                {"pets", 37, 1, 37, 0x6d0a735d},
                {"caltech101", 102, 34, 3468, 0x72cb545d},
                {"flowers", 102, 1, 102, 0x38261214},
                {"mnist", 10, 1, 10, 0xb25644b9},
                {"fer2013", 7, 6, 72, 0x3c5a7ad6},
                {"stl10", 10, 2, 20, 0xf23ad20c},
                {"eurosat", 10, 3, 30, 0xde55dca1},
                {"resisc45", 45, 18, 810, 0xecbe297c},
                {"gtsrb", 43, 3, 129, 0x32cf89c3},
                {"kitti", 4, 1, 4, 0x68381fe5},
                {"country211", 211, 5, 1055, 0x90b5c728},
                {"pcam", 2, 1, 2, 0x7363f379},
                {"ucf101", 101, 48, 4848, 0x58c3f320},
                {"kinetics700", 700, 28, 19600, 0x807a8745},
                {"clevr", 8, 1, 8, 0x737a07b3},
                {"hatefulmemes", 2, 1, 2, 0x587934b3},
                {"sst", 2, 1, 2, 0x38061ee5},
                {"imagenet", 1000, 80, 80000, 0x54eee6a9}};
    enum { SETS = sizeof sets / sizeof *sets };
    cr_assert(SETS == 27);
    for (int s = 0; s < SETS; s++) {
        Prompts p;
        Error err;
        ASSERT_OK(prompts_find(&p, sets[s].name, &err), err);
        cr_expect(p.classes == sets[s].classes && p.templates.count == sets[s].templates, "%s",
                  sets[s].name);
        char *all = NULL;
        size_t bytes = 0;
        FILE *f = open_memstream(&all, &bytes);
        int prompts = 0;
        for (int64_t c = 0; c < p.classes; c++)
            for (int64_t i = 0; i < prompts_of(&p, c); i++, prompts++) {
                char *text = prompt_text(&p, c, i);
                fprintf(f, "%s\n", text);
                free(text);
            }
        fclose(f);
        cr_expect(prompts == sets[s].prompts && crc32_of(all, bytes) == sets[s].crc, "%s",
                  sets[s].name);
        free(all);
        prompts_free(&p);
    }
}

Test(prompts, the_demo_has_the_digits_names_and_unknown_sets_are_said) {
    Prompts p;
    Error err;
    ASSERT_OK(prompts_find(&p, "digits", &err), err);
    cr_expect(p.classes == 10);
    cr_expect_str_eq(p.names.item[p.begin[0]], "doughnut"); /* a published peculiarity */
    prompts_free(&p);
    static const char *const unknown[] = {"", "mnis", "mnistx", "mnist digits", "=", "a"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        cr_expect(prompts_find(&p, unknown[i], &err) == ERR_ARG, "'%s'", unknown[i]);
        cr_expect(p.names.bytes == NULL && strstr(err.text, "--names"));
    }
}

/* --- files of names --------------------------------------------------------------------------- */

static Status read_names(Prompts *p, const char *text, size_t bytes, Error *err) {
    char *folder = temporary_folder(), *path = format_text("%s/names.txt", folder);
    *p = (Prompts){0};
    write_bytes(path, text, bytes);
    const Status st = prompts_read_names(p, path, err);
    free(path);
    remove_folder(folder);
    return st;
}

Test(prompts, a_file_has_one_class_per_line) {
    static const char text[] = "\xef\xbb\xbf"
                               "cat\r\n tabby dog\t puppy \r\n\xc3\xa9toile  polaire\r\n\r\n \t";
    Prompts p;
    Error err;
    ASSERT_OK(read_names(&p, text, sizeof text - 1, &err), err);
    ASSERT_OK(prompts_default_template(&p, &err), err);
    cr_assert(p.classes == 3 && p.names.count == 4);
    static const char *const expected[] = {"A photo of a cat.", "A photo of a tabby dog.",
                                           "A photo of a puppy.",
                                           "A photo of a \xc3\xa9toile  polaire."};
    static const int class_of[] = {0, 1, 1, 2}, number[] = {0, 0, 1, 0};
    for (int i = 0; i < 4; i++) {
        char *found = prompt_text(&p, class_of[i], number[i]);
        cr_expect_str_eq(found, expected[i]);
        free(found);
    }
    cr_expect(prompts_of(&p, 0) == 1 && prompts_of(&p, 1) == 2 && prompts_of(&p, 2) == 1);
    prompts_free(&p);
    prompts_free(&p);
}

Test(prompts, bad_files_are_refused) {
    static const struct {
        const char *text, *says;
        size_t bytes;
    } cases[] = {{"", "at least 2", 0},
                 {"one\n", "at least 2", 4},
                 {"\n\n\n", "at least 2", 3},
                 {"a\n\0b\n", "line 2: a zero byte", 5},
                 {"a\nb\t\tc\n", "line 2: an empty name", 7},
                 {"\na\nb\n", "line 1: blank", 5},
                 {"a\r\n\r\nb\r\n", "line 2: blank, but line 3", 8},
                 {"a\r\rb\r", "line 2: blank, but line 3", 5},
                 {"a\n \t\n\nb\n", "line 2: blank, but line 4", 8},
                 {"cat\ndog\ncat\n", "line 3: the name 'cat' stands twice, first in line 1", 12},
                 {"Sea  Lion\nx\nsea lion", "line 3: the name 'sea lion' stands twice", 20},
                 {"tabby\tcat\ndog\tcat\n", "line 2: the name 'cat' stands twice", 18},
                 {"cat\tcat\ndog\n", "line 1: the name 'cat' stands twice", 12},
                 {"cat\ndog\x1b[2J\n", "line 2: byte 4 is a control character (\\x1b)", 12},
                 {"caf\xe9\ndog\n", "line 1: byte 4 (\\xe9) is not UTF-8", 9},
                 {"\xff\xfe"
                  "a\0\n\0",
                  "UTF-16LE", 6},
                 {"a\rb\nc\n", "line 1: a carriage return in the midst", 6}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Prompts p;
        Error err;
        cr_expect(read_names(&p, cases[i].text, cases[i].bytes, &err) == ERR_FORMAT, "%d", (int)i);
        cr_expect(strstr(err.text, cases[i].says), "%s", err.text);
        prompts_free(&p);
    }
}

static Status read_templates(Prompts *p, const char *text, size_t bytes, Error *err) {
    char *folder = temporary_folder(), *path = format_text("%s/templates.txt", folder);
    *p = (Prompts){0};
    write_bytes(path, text, bytes);
    const Status st = prompts_read_templates(p, path, err);
    free(path);
    remove_folder(folder);
    return st;
}

Test(prompts, templates_have_one_place_for_the_name) {
    static const struct {
        const char *text, *says;
        size_t bytes;
    } bad[] = {{"", "no template", 0},
               {" \n\r\n", "no template", 4},
               {"a {}.\nphoto\n", "line 2: 'photo' has no {}", 12},
               {"a {}\n\na {} of {}\n", "line 3: 'a {} of {}' has {} twice", 17},
               {"a {}\nb {}\0\n", "line 2: a zero byte", 11},
               {"a {}\n\xe9 {}\n", "line 2: byte 1", 10},
               {"\xfe\xff\0{\0}", "UTF-16BE", 6}};
    static const char good[] = "\xef\xbb\xbf"
                               "a {}.\r\n\r\n the {}";
    Prompts p;
    Error err;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_expect(read_templates(&p, bad[i].text, bad[i].bytes, &err) == ERR_FORMAT, "%d", (int)i);
        cr_expect(strstr(err.text, bad[i].says), "%s", err.text);
        prompts_free(&p);
    }
    ASSERT_OK(read_templates(&p, good, sizeof good - 1, &err), err);
    cr_assert(p.templates.count == 2);
    cr_expect_str_eq(p.templates.item[0], "a {}.");
    cr_expect_str_eq(p.templates.item[1], "the {}");
    prompts_free(&p);
}

/* --- class vectors ---------------------------------------------------------------------------- */

#endif
enum { CLASSES = 5, TEMPLATES = 3 };

static const char names_text[] = "airplane\ngolden retriever\nforest\nstop sign\n"
                                 "kite (bird of prey)\n";
static const char templates_text[] = "a photo of a {}.\nitap of the {}.\n"
                                     "a bad photo of many {}, isn't it?\n";

/* A folder with the recorded names and templates as files. */
static char *names_folder(void) {
    char *folder = temporary_folder();
    char *names = format_text("%s/names.txt", folder),
         *templates = format_text("%s/templates.txt", folder);
    write_bytes(names, names_text, sizeof names_text - 1);
    write_bytes(templates, templates_text, sizeof templates_text - 1);
    free(names);
    free(templates);
    return folder;
}

#if !defined(TEST_CUDA)
static Prompts recorded_prompts(const char *folder) {
    Prompts p = {0};
    Error err;
    char *names = format_text("%s/names.txt", folder),
         *templates = format_text("%s/templates.txt", folder);
    ASSERT_OK(prompts_read_names(&p, names, &err), err);
    ASSERT_OK(prompts_read_templates(&p, templates, &err), err);
    free(names);
    free(templates);
    return p;
}

/* Recorded with the original implementation, from the texts themselves (MANIFEST). 5e-6 per element:
 * as in encoder_test.c. */
Test(zeroshot, class_vectors_are_the_recorded_ones, .timeout = 300) {
    static const struct {
        const char *name;
        int64_t d;
    } models[] = {{"clip_vit_tiny", 48}, {"clip_rn_tiny", 40}};
    char *folder = names_folder();
    Prompts p = recorded_prompts(folder);
    const char *sets[CPU_MAX_SETS + 1];
    cpu_instruction_sets(sets);
    for (int s = 0; sets[s]; s++)
        for (int m = 0; m < 2; m++) {
            Error err;
            Ops ops;
            TextEncoder *text;
            const int64_t d = models[m].d;
            char file[64], recorded[64];
            float found[CLASSES * 48];
            snprintf(file, sizeof file, "%s.pt", models[m].name);
            snprintf(recorded, sizeof recorded, "encoders/%s_zeroshot.npy", models[m].name);
            setenv("TURTLE_ISA", sets[s], 1);
            ASSERT_OK(ops_open(&ops, "cpu", 2, NULL, &err), err);
            char *path = copy_weights(folder, file);
            ASSERT_OK(text_open(&text, &ops, path, 4, &err), err);
            ASSERT_OK(
                zeroshot_weights(found, text, &p, false, PRECISION_FP32, &(TurtleHooks){0}, &err),
                err);
            const float *expected = golden(recorded, DTYPE_F32, CLASSES * d); /* (d,classes) */
            double worst = 0.0;
            for (int64_t c = 0; c < CLASSES; c++)
                for (int64_t j = 0; j < d; j++) {
                    const double off = fabs((double)found[c * d + j] - expected[j * CLASSES + c]);
                    if (!(off <= worst)) worst = off;
                }
            EXPECT_CLOSE(worst, 5e-6, "%s %s", models[m].name, sets[s]);
            text_close(text);
            ops_close(&ops);
            free(path);
        }
    prompts_free(&p);
    remove_folder(folder);
}

/* A text's features do not depend on the longer texts beside it. */
Test(zeroshot, texts_are_the_same_bits_beside_longer_ones, .timeout = 120) {
    enum { ROWS = 20, CONTEXT = 77, D = 48 };
    char *folder = temporary_folder(), *path = copy_weights(folder, "clip_vit_tiny.pt");
    const int32_t *ids = golden("encoders/clip_vit_tiny_tokens.npy", DTYPE_I32, ROWS * CONTEXT);
    const char *sets[CPU_MAX_SETS + 1];
    cpu_instruction_sets(sets);
    for (int s = 0; sets[s]; s++) {
        Error err;
        Ops ops;
        TextEncoder *text;
        float together[ROWS * D], alone[D];
        setenv("TURTLE_ISA", sets[s], 1);
        ASSERT_OK(ops_open(&ops, "cpu", 2, NULL, &err), err);
        ASSERT_OK(text_open(&text, &ops, path, ROWS, &err), err);
        ASSERT_OK(text_run(text, together, ids, ROWS, &err), err);
        for (int i = 0; i < ROWS; i++) {
            ASSERT_OK(text_run(text, alone, ids + i * CONTEXT, 1, &err), err);
            cr_expect(memcmp(alone, together + i * D, sizeof alone) == 0, "%s: text %d", sets[s],
                      i);
        }
        text_close(text);
        ops_close(&ops);
    }
    free(path);
    remove_folder(folder);
}
#endif

/* --- calls ------------------------------------------------------------------------------------ */

#if defined(TEST_CUDA)
#define ON_DEVICE " --device cuda"
#else
#define ON_DEVICE ""
#endif

/* Recorded class vectors as features: row i is class i % 5, of length 0.5 + i. Rows 0 and 5 are
 * labelled 1 although they are class 0. */
enum { N = 20, DIM = 48 };

static void save_rows(const char *folder) {
    const float *vectors = golden("encoders/clip_vit_tiny_zeroshot.npy", DTYPE_F32, DIM * CLASSES);
    float rows[N * DIM], own[N * 2];
    int64_t y[N];
    Error err;
    for (int64_t i = 0; i < N; i++) {
        for (int64_t j = 0; j < DIM; j++)
            rows[i * DIM + j] = (0.5f + (float)i) * vectors[j * CLASSES + i % CLASSES];
        y[i] = i == 0 || i == 5 ? 1 : i % CLASSES;
        /* two clusters: classes 0 and 1 without row 1, and the others */
        const bool first = i % CLASSES < 2 && i != 1;
        own[2 * i] = first ? 1.0f : -1.0f;
        own[2 * i + 1] = 0.25f;
    }
    const struct {
        const char *name;
        DType type;
        int axes;
        int64_t shape[2];
        const void *data;
    } files[] = {{"clip.npy", DTYPE_F32, 2, {N, DIM}, rows},
                 {"own.npy", DTYPE_F32, 2, {N, 2}, own},
                 {"y.npy", DTYPE_I64, 1, {N}, y},
                 {"zero.npy", DTYPE_F32, 2, {2, DIM}, (const float[2 * DIM]){1.0f}}};
    for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
        char *path = format_text("%s/%s", folder, files[f].name);
        ASSERT_OK(
            npy_write(path, files[f].type, files[f].axes, files[f].shape, files[f].data, &err),
            err);
        free(path);
    }
}

/* A folder with names, templates, weights and rows. */
static char *call_folder(void) {
    need_gpu();
    char *folder = names_folder();
    free(copy_weights(folder, "clip_vit_tiny.pt"));
    save_rows(folder);
    return folder;
}

static void run_call(Ran *ran, const char *folder, const char *features, const char *more) {
    run_turtle(ran,
               "zeroshot --features %s --weights %s/clip_vit_tiny.pt --names %s/names.txt "
               "--templates %s/templates.txt %s" ON_DEVICE,
               features, folder, folder, folder, more);
}

Test(zeroshot, constructed_rows_get_their_classes, .timeout = 60) {
    Ran ran;
    char *folder = call_folder(), text[4096];
    char *features = format_text("%s/clip.npy --labels %s/y.npy", folder, folder),
         *csv = format_text("%s/p.csv", folder),
         *more = format_text("--json --predictions %s", csv);
    run_call(&ran, folder, features, more);
    cr_assert(ran.status == 0, "%s", ran.err);
    cr_expect(fabs(json_number(ran.out, "top1") - 0.9) < 1e-12, "%s", ran.out);
    cr_expect(fabs(json_number(ran.out, "mean_class_acc") - (4 + 4.0 / 6) / 5) < 1e-12);
    cr_expect(json_number(ran.out, "classes") == 5 && json_number(ran.out, "prompts") == 15);
    read_text(text, sizeof text, csv);
    cr_expect(strncmp(text, "path,class,name,confidence,margin\n0,0,airplane,", 46) == 0, "%s",
              text);
    cr_expect(strstr(text, "\n9,4,kite (bird of prey),"), "%s", text);
    free(features);
    features = format_text("%s/clip.npy", folder);
    run_call(&ran, folder, features, "--json");
    cr_expect(ran.status == 0 && strstr(ran.out, "\"top1\": null, \"mean_class_acc\": null"),
              "%s%s", ran.out, ran.err);
    run_call(&ran, folder, features, "");
    cr_expect(ran.status == 0 && strstr(ran.out, "5 classes, 15 prompts, 20 train samples"), "%s",
              ran.out);
    cr_expect(!strstr(ran.err, "stand there already"), "%s", ran.err);
    char *templates = format_text("%s/templates.txt", folder);
    static const char twice[] = "a photo of a {}.\nitap of the {}.\nA photo of a {}.\n";
    write_bytes(templates, twice, sizeof twice - 1);
    run_call(&ran, folder, features, "");
    cr_expect(ran.status == 0 && strstr(ran.err, "1 of 3 stand there already"), "%s", ran.err);
    free(templates);
    free(features);
    free(csv);
    free(more);
    remove_folder(folder);
}

/* The published places: features, labels, the encoder's file, a line of results. */
#if !defined(TEST_CUDA)
Test(zeroshot, a_data_set_is_found_in_the_published_places, .timeout = 60) {
    Ran ran;
    char *folder = call_folder(), text[512];
    char *command = format_text(
        "cd %s && mkdir -p representations/tiny labels checkpoints && mv clip.npy "
        "representations/tiny/sst_val.npy && mv y.npy labels/sst_val.npy && mv clip_vit_tiny.pt "
        "checkpoints/tiny.pt",
        folder);
    cr_assert(system(command) == 0);
    free(command);
    run_turtle(&ran,
               "zeroshot --root_dir %s --dataset sst --phis tiny --names %s/names.txt --templates "
               "%s/templates.txt",
               folder, folder, folder);
    cr_expect(ran.status == 0, "%s", ran.err);
    char *path = format_text("%s/results/zeroshot.txt", folder);
    read_text(text, sizeof text, path);
    cr_expect_str_eq(text,
                     "sst         , tiny      , Top1 Accuracy 90.00, Mean Per Class Accuracy: "
                     "93.33 \n");
    free(path);
    /* the data set's own list: two names, but five classes of labels */
    run_turtle(&ran, "zeroshot --root_dir %s --dataset sst --phis tiny", folder);
    cr_expect(ran.status == 1 && strstr(ran.err, "is not in the list of 2 class names"), "%s",
              ran.err);
    remove_folder(folder);
}

/* Linear layers that sort the rows in a known way. */
#endif

static void save_checkpoint(const char *path, int64_t C, int64_t d, const float *linear) {
    TaskEncoder task;
    Error err;
    ASSERT_OK(task_encoder_alloc(&task, 1, C, &d, &err), err);
    memcpy(task.linear[0], linear, (size_t)linear_size(C, d) * sizeof *linear);
    ASSERT_OK(checkpoint_save(path, &task, &err), err);
    task_encoder_free(&task);
}

Test(zeroshot, clusters_get_the_names_of_their_members, .timeout = 60) {
    enum { C = 6 };
    static const char *const expected[] = {"forest", "stop sign", "kite (bird of prey)", "airplane",
                                           "golden retriever"};
    const float *vectors = golden("encoders/clip_vit_tiny_zeroshot.npy", DTYPE_F32, DIM * CLASSES);
    float linear[C * DIM + C] = {0};
    Ran ran;
    char *folder = call_folder();
    char *features = format_text("%s/clip.npy", folder), *path = format_text("%s/c.pt", folder),
         *more = format_text("--json --clusters %s", path);
    for (int c = 0; c < CLASSES; c++) /* cluster c is class c + 2; the sixth stays empty */
        for (int j = 0; j < DIM; j++)
            linear[c * DIM + j] = vectors[j * CLASSES + (c + 2) % CLASSES];
    linear[C * DIM + 5] = -1e9f;
    save_checkpoint(path, C, DIM, linear);
    run_call(&ran, folder, features, more);
    cr_assert(ran.status == 0, "%s", ran.err);
    for (int c = 0; c < CLASSES; c++) {
        char member[200];
        snprintf(member, sizeof member,
                 "{\"cluster\": %d, \"samples\": 4, \"name\": \"%s\", \"share\": 1.0, ", c,
                 expected[c]);
        cr_expect(strstr(ran.out, member), "%s: %s", member, ran.out);
    }
    cr_expect(strstr(ran.out, "{\"cluster\": 5, \"samples\": 0, \"name\": null, \"share\": null, "
                              "\"runner_up\": null"),
              "%s", ran.out);
    free(features);

    /* clusters of another space, CLIP's behind it */
    save_checkpoint(path, 2, 2, (const float[6]){1, 0, -1, 0, 0, 0});
    features = format_text("%s/own.npy %s/clip.npy", folder, folder);
    run_call(&ran, folder, features, more);
    cr_assert(ran.status == 0, "%s", ran.err);
    char *member = format_text("\"samples\": 7, \"name\": \"airplane\", \"share\": %.16g, "
                               "\"runner_up\": \"golden retriever\", \"runner_up_share\": %.16g",
                               4.0 / 7, 3.0 / 7);
    cr_expect(strstr(ran.out, member), "%s: %s", member, ran.out);
    cr_expect(strstr(ran.out, "\"samples\": 13"));
    free(member);
    free(more);
    more = format_text("--clusters %s", path);
    run_call(&ran, folder, features, more);
    cr_expect(ran.status == 0 && strstr(ran.out, "airplane                      0.571  golden"),
              "%s", ran.out);
    free(path);
    free(more);
    path = format_text("%s/checkpoint.pt", folder); /* the folder of a run */
    more = format_text("--clusters %s", folder);
    save_checkpoint(path, 2, 2, (const float[6]){1, 0, -1, 0, 0, 0});
    char *names = format_text("%s/cluster_names.json", folder),
         *record = format_text("%s/run.json", folder);
    for (int has_record = 0; has_record < 2; has_record++) { /* a run's folder keeps the names */
        run_call(&ran, folder, features, more);
        cr_expect(ran.status == 0 && strstr(ran.out, "airplane                      0.571  golden"),
                  "%s%s", ran.out, ran.err);
        cr_expect(file_exists(names) == (has_record == 1));
        write_bytes(record, "{}", 2);
    }
    char left[8192];
    read_text(left, sizeof left, names);
    cr_expect(strstr(left, "\"cluster\": 0, \"samples\": 7, \"name\": \"airplane\""), "%s", left);
    free(names);
    free(record);
    free(features);
    free(path);
    free(more);
    remove_folder(folder);
}

#if !defined(TEST_CUDA)
Test(zeroshot, bad_input_gets_one_line, .timeout = 120) {
    static const struct {
        int status;
        const char *says, *arguments;
    } cases[] = {
        {2, "--features needs --names", "--features @/clip.npy --weights @/clip_vit_tiny.pt"},
        {2, "--features needs --weights", "--features @/clip.npy --names @/names.txt"},
        {1, "no such file", "--features @/clip.npy --names @/names.txt --weights @/none.pt"},
        {1, "no text encoder",
         "--features @/clip.npy --names @/names.txt --weights data/demo/checkpoints/demo_vit.pth"},
        {1, "dimension 2, but texts",
         "--features @/own.npy --names @/names.txt --weights @/clip_vit_tiny.pt"},
        {1, "row 1 is all zeros",
         "--features @/zero.npy --names @/names.txt --weights @/clip_vit_tiny.pt"},
        {2, "expected one space",
         "--features @/clip.npy @/own.npy --names @/names.txt --weights x"},
        {1, "no class names are known", "--dataset cifar10020 --phis clipvitL14"},
        {1, "No such file", "--features @/clip.npy --names @/nothing --weights @/clip_vit_tiny.pt"},
        {1, "has no {}",
         "--features @/clip.npy --names @/names.txt --templates @/names.txt --weights x"},
        {2, "exclude each other",
         "--features @/clip.npy --names @/names.txt --templates @/templates.txt "
         "--default_template_only --weights x"},
        {1, "with --truncate",
         "--features @/clip.npy --names @/long.txt --weights @/clip_vit_tiny.pt"},
    };
    Ran ran;
    char *folder = call_folder(), *path = format_text("%s/long.txt", folder), long_name[600];
    for (size_t i = 0; i < sizeof long_name; i++) long_name[i] = i % 4 ? 'a' + (char)(i % 7) : ' ';
    long_name[sizeof long_name - 1] = '\n';
    memcpy(long_name, "short\n", 6);
    write_bytes(path, long_name, sizeof long_name);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[2048];
        size_t n = 0;
        for (const char *c = cases[i].arguments; *c; c++)
            n += (size_t)snprintf(text + n, sizeof text - n, *c == '@' ? "%s" : "%.1s",
                                  *c == '@' ? folder : c);
        run_turtle(&ran, "zeroshot %s --quiet", text);
        cr_expect(ran.status == cases[i].status && strstr(ran.err, cases[i].says), "%s: %d: %s",
                  text, ran.status, ran.err);
        cr_expect(strchr(ran.err, '\n') == ran.err + strlen(ran.err) - 1, "not one line: %s",
                  ran.err);
    }
    run_turtle(&ran,
               "zeroshot --features %s/clip.npy --names %s/long.txt --weights %s/clip_vit_tiny.pt "
               "--truncate",
               folder, folder, folder);
    cr_expect(ran.status == 0, "%s", ran.err);
    free(path);
    remove_folder(folder);
}
#endif
