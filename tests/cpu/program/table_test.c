/* table_test.c - `turtle table`: every cell that the disk allows, kept by --resume, printed as
 * Markdown, CSV and JSON beside the paper's figures. */
#include "host/table/table.h"
#include "tests/support/check.h"
#include "tests/support/weights_file.h"

/* Makes a root with CIFAR-10's files, 20 records each, and the demo's encoders. */
static char *small_root(void) {
    enum { RECORDS = 20, BYTES = 3073 };
    char *root = temporary_folder();
    char *command = format_text("mkdir -p %s/datasets/cifar-10-batches-bin %s/checkpoints && "
                                "cp data/demo/checkpoints/* %s/checkpoints",
                                root, root, root);
    uint8_t *bytes = malloc(RECORDS * BYTES);
    cr_assert(bytes && system(command) == 0);
    for (int file = 0; file < 6; file++) {
        char *path =
            file < 5
                ? format_text("%s/datasets/cifar-10-batches-bin/data_batch_%d.bin", root, file + 1)
                : format_text("%s/datasets/cifar-10-batches-bin/test_batch.bin", root);
        for (int i = 0; i < RECORDS; i++) {
            bytes[i * BYTES] = (uint8_t)(i % 10);
            for (int k = 1; k < BYTES; k++)
                bytes[i * BYTES + k] = (uint8_t)(25 * (i % 10) * (k / 97 % 3) + (k * 7 + file) % 9);
        }
        write_bytes(path, bytes, RECORDS * BYTES);
        free(path);
    }
    free(bytes);
    free(command);
    return root;
}

static void run_table(Ran *ran, const char *root, const char *more) {
    run_turtle(ran, "table --root_dir %s --datasets cifar10 --phis demo_vit demo_rn %s", root,
               more);
}

/* Seven cells: one space, k-means and probe of both encoders, and two spaces of the first. */
Test(table, what_is_finished_is_not_run_again, .timeout = 120) {
    Ran ran;
    char *root = small_root();
    run_table(&ran, root, "--T 20 --json");
    cr_assert(ran.status == 0, "%s", ran.err);
    cr_expect(json_number(ran.out, "run") == 7 && json_number(ran.out, "kept") == 0 &&
                  json_number(ran.out, "failed") == 0,
              "%s", ran.out);
    cr_expect(strstr(ran.out, "\"method\": \"turtle2\""), "%s", ran.out);
    cr_expect(count_files(root, "_cifar10.json") == 7);
    run_table(&ran, root, "--T 20 --quiet");
    cr_expect(ran.status == 1 && strstr(ran.err, "7 of these cells are finished"), "%s", ran.err);
    run_table(&ran, root, "--T 20 --json --resume");
    cr_expect(ran.status == 0 && json_number(ran.out, "run") == 0 &&
                  json_number(ran.out, "kept") == 7,
              "%s%s", ran.out, ran.err);
    /* trainings of another length are others: three cells */
    run_table(&ran, root, "--T 10 --json --resume");
    cr_expect(ran.status == 0 && json_number(ran.out, "run") == 3 &&
                  json_number(ran.out, "kept") == 4,
              "%s%s", ran.out, ran.err);
    char *record = format_text("%s/results/table/kmeans_demo_vit_cifar10.json", root);
    write_bytes(record, "{\"accuracy\": ", 13); /* a damaged record is none */
    run_table(&ran, root, "--T 10 --json --resume");
    cr_expect(ran.status == 0 && json_number(ran.out, "run") == 1, "%s%s", ran.out, ran.err);
    run_table(&ran, root, "--T 10 --json --restart");
    cr_expect(ran.status == 0 && json_number(ran.out, "run") == 7, "%s%s", ran.out, ran.err);
    free(record);
    remove_folder(root);
}

Test(table, is_printed_and_written, .timeout = 120) {
    Ran ran;
    char text[16384], *root = small_root();
    char *markdown = format_text("%s/t.md", root), *csv = format_text("%s/t.csv", root);
    char *more = format_text("--T 10 --out %s", markdown);
    run_table(&ran, root, more);
    cr_assert(ran.status == 0, "%s", ran.err);
    cr_expect(strstr(ran.out, "### TURTLE, one space\n\n| data set | demo_vit | demo_rn |\n"), "%s",
              ran.out);
    cr_expect(strstr(ran.out, "### TURTLE, two spaces, the second is demo_rn\n"), "%s", ran.out);
    cr_expect(strstr(ran.out,
                     "\n### Zero-shot\n\n| data set | demo_vit | demo_rn |\n|---|---|---|\n"
                     "| cifar10 |  |  |\n"),
              "%s", ran.out);
    read_text(text, sizeof text, markdown);
    cr_expect(*text && strncmp(ran.out, text, strlen(text)) == 0, "%s", text);
    free(more);
    more = format_text("--T 10 --resume --out %s", csv);
    run_table(&ran, root, more);
    read_text(text, sizeof text, csv);
    cr_expect(strncmp(text,
                      "dataset,method,phi,partner,accuracy,paper,seconds\n"
                      "cifar10,turtle1,demo_vit,,0.",
                      70) == 0,
              "%s", text);
    cr_expect(strstr(text, "\ncifar10,turtle2,demo_vit,demo_rn,"), "%s", text);
    /* all 26 data sets and 9 encoders are rows and columns whatever the disk has */
    run_turtle(&ran, "table --root_dir %s --phis demo_vit --T 10 --resume --quiet", root);
    cr_expect(ran.status == 0 && strstr(ran.out, "\n| imagenet | - (-) |\n"), "%s", ran.out);
    free(more);
    free(csv);
    free(markdown);
    remove_folder(root);
}

/* A phi whose name begins with `clip` has a zero-shot cell, of the accuracy that `turtle zeroshot` finds;
 * any other has none. */
Test(table, zero_shot_is_a_method, .timeout = 120) {
    Ran ran;
    char *root = small_root(), *checkpoints = format_text("%s/checkpoints", root);
    free(copy_weights(checkpoints, "clip_vit_tiny.pt"));
    run_turtle(&ran,
               "table --root_dir %s --datasets cifar10 --phis clip_vit_tiny demo_rn --T 5 --json",
               root);
    cr_assert(ran.status == 0, "%s", ran.err);
    cr_expect(json_number(ran.out, "run") == 8 && json_number(ran.out, "failed") == 0, "%s",
              ran.out);
    cr_expect(count_files(root, "zeroshot_clip_vit_tiny_cifar10.json") == 1 &&
              count_files(root, "zeroshot_demo_rn_cifar10.json") == 0);
    const char *cell = strstr(ran.out, "\"method\": \"zeroshot\"");
    cr_assert(cell, "%s", ran.out);
    const double in_table = json_number(cell, "accuracy");
    run_turtle(&ran, "zeroshot --root_dir %s --dataset cifar10 --phis clip_vit_tiny --json", root);
    cr_assert(ran.status == 0, "%s", ran.err);
    cr_expect(fabs(json_number(ran.out, "top1") - in_table) < 1e-6, "%g in the table, %s", in_table,
              ran.out);
    run_turtle(&ran,
               "table --root_dir %s --datasets cifar10 --phis clip_vit_tiny demo_rn --T 5 --resume",
               root);
    cr_expect(ran.status == 0 &&
                  strstr(ran.out, "### Zero-shot\n\n| data set | clip_vit_tiny | demo_rn |"),
              "%s%s", ran.out, ran.err);
    char row[64];
    snprintf(row, sizeof row, "| cifar10 | %.1f", 100 * in_table);
    const char *table = strstr(ran.out, "### Zero-shot");
    cr_expect(table && strstr(table, row), "no '%s' in %s", row, ran.out);
    free(checkpoints);
    remove_folder(root);
}

Test(table, bad_calls_get_one_line, .timeout = 60) {
    static const struct {
        int status;
        const char *says, *arguments;
    } cases[] = {
        {2, "ends in .md or .csv", "--out table.html"},
        {2, "exclude each other", "--resume --restart"},
        {2, "at least 1 is needed", "--T 0"},
        {1, "neither features nor images", "--quiet"},
    };
    Ran ran;
    char *root = temporary_folder();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        run_turtle(&ran, "table --root_dir %s %s", root, cases[i].arguments);
        cr_expect(ran.status == cases[i].status && strstr(ran.err, cases[i].says), "%s: %d %s",
                  cases[i].arguments, ran.status, ran.err);
        cr_expect(strchr(ran.err, '\n') == ran.err + strlen(ran.err) - 1, "not one line: %s",
                  ran.err);
    }
    remove_folder(root);
}

Test(table, the_papers_figures_are_found_by_three_names) {
    const char text[] = "# dataset\tmethod\tphi\taccuracy\n"
                        "pets\tprobe\tclipRN50\t88.2\t7\tnowhere\n"
                        "pets\tprobe\tclipRN50x4\t-\t7\tnowhere\n"
                        "pets\tkmeans\tclipRN50\t12.5";
    const int64_t n = sizeof text - 1;
    cr_expect(fabs(paper_accuracy(text, n, "pets", "probe", "clipRN50") - 0.882) < 1e-9);
    cr_expect(fabs(paper_accuracy(text, n, "pets", "kmeans", "clipRN50") - 0.125) < 1e-9);
    cr_expect(isnan(paper_accuracy(text, n, "pets", "probe", "clipRN50x4")));
    cr_expect(isnan(paper_accuracy(text, n, "pet", "probe", "clipRN50")));
    cr_expect(isnan(paper_accuracy(text, n, "# dataset", "method", "phi")));
}
