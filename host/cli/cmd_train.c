/* cmd_train.c - the commands `train` and `evaluate`: a flag table and a call each. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/cli/cluster_table.h"
#include "host/cli/command.h"
#include "host/tell/json.h"
#include "io/files/file.h"

/* Prints how good the groups are that the names make. */
static void print_named(const TurtleResult *r) {
    printf("named            %lld name%s, %lld samples left out", (long long)r->named.groups,
           r->named.groups == 1 ? "" : "s", (long long)r->named.left_out);
    if (!isnan(r->named.cluster_acc))
        printf("   cluster accuracy %.4f   NMI %.4f   ARI %.4f", r->named.cluster_acc, r->named.nmi,
               r->named.ari);
    putchar('\n');
}

/* Prints for people what was found, how good it is, where it is. */
static void print_result(const TurtleResult *r) {
    printf("%s\n", r->line);
    printf("classes found    %lld of %lld on %lld %s samples\n", (long long)r->clusters_found,
           (long long)r->classes, (long long)r->samples, r->split);
    if (!isnan(r->cluster_acc))
        printf("cluster accuracy %.4f   mean class accuracy %.4f   NMI %.4f   ARI %.4f\n",
               r->cluster_acc, r->mean_class_acc, r->nmi, r->ari);
    if (r->named.groups >= 0) print_named(r);
    if (!isnan(r->train_cluster_acc) && r->split[0] == 'v')
        printf("on the training split: cluster accuracy %.4f\n", r->train_cluster_acc);
    if (!isnan(r->space_agreement))
        printf("space agreement  %.4f   (low is a sign of a bad run: try another seed)\n",
               r->space_agreement);
    if (!isnan(r->generalization_score))
        printf(
            "generalisation   %.4f   (of linear classifiers on held-out samples: high is good)\n",
            r->generalization_score);
    if (!isnan(r->loss))
        printf("loss %.4f   entropy %.4f   %lld iterations in %.1f s on %s\n", r->loss, r->entropy,
               (long long)r->iterations, r->seconds, r->device);
    printf("checkpoint       %s\n", r->checkpoint);
    if (!r->predictions) return;
    const int first = (int)strcspn(r->predictions, "\n");
    printf("predictions      %.*s\n", first, r->predictions);
    if (r->predictions[first]) printf("                 %s\n", r->predictions + first + 1);
    puts(
        "                 Each line is path,cluster,confidence,margin. The confidence is the "
        "cluster's\n"
        "                 probability, from 0 to 1; the margin is its lead over the next cluster.");
}

/* Prints the object of --json, with the path of a page as its last member. */
static void print_json(const char *json, const char *page) {
    Json j = {0};
    json_open(&j, NULL);
    json_text(&j, "report", page);
    json_close(&j);
    char *member = json_take(&j);
    if (page && member) printf("%.*s, %s\n", (int)strlen(json) - 1, json, member + 1);
    else puts(json);
    free(member);
}

/* `page` is where the page of --report lies; NULL: there is none. */
static void print_and_free(TurtleResult *result, const char *page, const CommandFlags *flags) {
    command_hooks_end();
    if (flags->json) {
        print_json(result->json, page);
    } else {
        print_result(result);
        cluster_table_print(result);
        if (result->profile) printf("\n%s", result->profile);
        if (page) printf("\nreport           %s\n", page);
    }
    turtle_result_free(result);
}

static const Flag train_flags[] = {
    {"gamma", FLAG_REAL, offsetof(TurtleTrainOptions, gamma), "X", "weight of the entropy term"},
    {"T", FLAG_INTEGER, offsetof(TurtleTrainOptions, T), "N", "outer iterations"},
    {"M", FLAG_INTEGER, offsetof(TurtleTrainOptions, M), "N", "inner steps in each"},
    {"inner_lr", FLAG_REAL, offsetof(TurtleTrainOptions, inner_lr), "X", "learning rate of heads"},
    {"outer_lr", FLAG_REAL, offsetof(TurtleTrainOptions, outer_lr), "X",
     "learning rate of the task encoder"},
    {"batch_size", FLAG_INTEGER, offsetof(TurtleTrainOptions, batch_size), "N",
     "rows per outer iteration, at most all"},
    {"warm_start", FLAG_SWITCH, offsetof(TurtleTrainOptions, warm_start), NULL,
     "keep the heads from iteration to iteration"},
    {"prior", FLAG_TEXT, offsetof(TurtleTrainOptions, prior), "P",
     "expected sizes of classes: uniform, power:A, or a file of C numbers"},
    {"rng", FLAG_TEXT, offsetof(TurtleTrainOptions, rng), "philox|torch",
     "torch: the published implementation's random numbers"},
    {"eval_every", FLAG_INTEGER, offsetof(TurtleTrainOptions, eval_every), "N",
     "iterations between evaluations; 0: only at the end"},
    {"save_every", FLAG_INTEGER, offsetof(TurtleTrainOptions, save_every), "N",
     "iterations between saved states; 0: none"},
    {"resume", FLAG_SWITCH, offsetof(TurtleTrainOptions, resume), NULL,
     "continue an unfinished run"},
    {"restart", FLAG_SWITCH, offsetof(TurtleTrainOptions, restart), NULL,
     "throw away what an earlier run left, unfinished or not"},
    {"cross_val", FLAG_SWITCH, offsetof(TurtleTrainOptions, cross_val), NULL,
     "compute the generalisation score at the end: 10 fits per space"},
    {"out", FLAG_TEXT, offsetof(TurtleTrainOptions, out), "DIR",
     "everything goes there; else below root_dir"},
    {"predictions", FLAG_TEXT, offsetof(TurtleTrainOptions, predictions), "FILE",
     "also write clusters of the val split, else of train; .npy: int64"},
    {"probabilities", FLAG_TEXT, offsetof(TurtleTrainOptions, probabilities), "FILE.npy",
     "soft labels of that split, float32 (samples, classes)"},
    {"inner", FLAG_TEXT, offsetof(TurtleTrainOptions, inner), "auto|unfused|fused|mega",
     "the inner loop on a GPU"},
    {"profile", FLAG_SWITCH, offsetof(TurtleTrainOptions, profile), NULL,
     "time every kernel of a GPU and print the table"},
    {"profile_range", FLAG_TEXT, offsetof(TurtleTrainOptions, profile_range), "A:B",
     "iterations that nsys or ncu record, counted from 1"},
    {0}};

/* A wish of the command line beside the training. */
typedef struct {
    bool report;
} TrainPage;

static const Flag page_flags[] = {{"report", FLAG_SWITCH, offsetof(TrainPage, report), NULL,
                                   "write report.html into the run directory at the end"},
                                  {0}};

/* Writes the page of a finished run, whose directory is `out`, or the checkpoint's path without `.pt`.
 * *page receives the page's path, in fresh memory. */
static Status write_report(char **page, const TurtleTrainOptions *o, const TurtleResult *run,
                           Error *err) {
    TurtleReportOptions options;
    TurtleReportResult result;
    const int stem = (int)(strlen(run->checkpoint) - strlen(".pt"));
    const char *directory =
        o->out ? format_text("%s", o->out) : format_text("%.*s", stem, run->checkpoint);
    if (!directory) return fail(err, ERR_MEMORY, "report: out of memory");
    turtle_report_defaults(&options);
    options.common = o->common;
    options.runs = (TurtleTexts){&directory, 1};
    const Status st = turtle_report(&options, &result, err);
    if (st == OK) {
        *page = format_text("%s", result.path);
        turtle_report_result_free(&result);
    }
    free((char *)directory);
    return st;
}

static Status run_train(int argc, char **argv, CommandFlags *flags, Error *err) {
    TurtleTrainOptions options;
    TurtleResult result;
    TrainPage asked = {false};
    char *page = NULL;
    turtle_train_defaults(&options);
    const FlagTable tables[] = {{"Features", input_flags, &options.inputs},
                                {"Training", train_flags, &options},
                                {"Report", page_flags, &asked},
                                {"Common", common_flags, &options.common},
                                {"Output", command_flags, flags}};
    enum { TABLES = sizeof tables / sizeof *tables };
    Status st = command_parse(&command_train, tables, TABLES, argc, argv, flags, NULL, err);
    if (st == OK)
        st = command_default_phis(&options.inputs, &options.inputs.phis, "clipvitL14", "dinov2",
                                  flags, err);
    if (st == OK && !flags->help) {
        command_hooks(&options.common, flags);
        st = turtle_train(&options, &result, err);
        if (st == OK) {
            if (asked.report) st = write_report(&page, &options, &result, err);
            if (st == OK || !flags->json) print_and_free(&result, page, flags);
            else turtle_result_free(&result);
        }
    }
    free(page);
    flags_free(tables, TABLES);
    return st;
}

const Command command_train = {
    "train", "finds the classes of samples from their features",
    "--dataset NAME [--phis P...] | --features FILE... --classes C --out DIR [flags]", run_train,
    NULL};

static const Flag evaluate_flags[] = {
    {"ckpt_path", FLAG_TEXT, offsetof(TurtleEvaluateOptions, ckpt_path), "PATH",
     "checkpoint, or folder {1space,2space}/<phis>/<dataset>.pt"},
    {"task_ckpt", FLAG_TEXT, offsetof(TurtleEvaluateOptions, ckpt_path), "PATH", NULL},
    {"predictions", FLAG_TEXT, offsetof(TurtleEvaluateOptions, predictions), "FILE",
     "write path,cluster,confidence,margin; .npy: clusters, int64"},
    {"probabilities", FLAG_TEXT, offsetof(TurtleEvaluateOptions, probabilities), "FILE.npy",
     "write soft labels, float32 (samples, classes)"},
    {"cluster_names", FLAG_TEXT, offsetof(TurtleEvaluateOptions, cluster_names), "FILE",
     "lines cluster<TAB>name: equal names merge, empty ones leave out"},
    {0}};

static Status run_evaluate(int argc, char **argv, CommandFlags *flags, Error *err) {
    TurtleEvaluateOptions options;
    TurtleResult result;
    turtle_evaluate_defaults(&options);
    const FlagTable tables[] = {{"Features", input_flags, &options.inputs},
                                {"Checkpoint", evaluate_flags, &options},
                                {"Common", common_flags, &options.common},
                                {"Output", command_flags, flags}};
    Status st = command_parse(&command_evaluate, tables, 4, argc, argv, flags, NULL, err);
    if (st == OK)
        st = command_default_phis(&options.inputs, &options.inputs.phis, "clipvitL14", "dinov2",
                                  flags, err);
    if (st == OK && !flags->help) {
        command_hooks(&options.common, flags);
        st = turtle_evaluate(&options, &result, err);
        if (st == OK) print_and_free(&result, NULL, flags);
    }
    flags_free(tables, 4);
    return st;
}

const Command command_evaluate = {
    "evaluate", "scores a checkpoint, or applies it to samples without labels",
    "--ckpt_path PATH --dataset NAME [--phis P...] | --features FILE... [flags]", run_evaluate,
    "precision seed"};
