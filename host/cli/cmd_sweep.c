/* cmd_sweep.c - the command `sweep`. */
#include <math.h>

#include "host/cli/command.h"

#define FIELD(name) offsetof(TurtleSweepOptions, name)
static const Flag feature_flags[] = {
    {"dataset", FLAG_TEXT, FIELD(inputs.dataset), "NAME", "data set below root_dir"},
    {"phis", FLAG_TEXTS, FIELD(inputs.phis), "P...", "representation spaces of the data set"},
    {"features", FLAG_TEXTS, FIELD(inputs.features), "FILE...",
     "or: .npy, .npz, .pt, .safetensors, FILE:NAME"},
    {"val_features", FLAG_TEXTS, FIELD(inputs.val_features), "FILE...",
     "features of the validation split"},
    {"labels", FLAG_TEXT, FIELD(inputs.labels), "FILE", "only told, never used to rank"},
    {"val_labels", FLAG_TEXT, FIELD(inputs.val_labels), "FILE", "labels of the validation split"},
    {0}};

static const Flag sweep_flags[] = {
    {"classes", FLAG_TEXTS, FIELD(classes), "C...", "5 10 20..50..5; else the data set's own"},
    {"seeds", FLAG_TEXTS, FIELD(seeds), "N...", "42 50..59; else 42 43 44"},
    {"starts", FLAG_TEXTS, FIELD(starts), "cold warm", "fresh heads, kept ones; else cold"},
    {"inner_lr", FLAG_TEXTS, FIELD(inner_lr), "X...", "learning rates of heads; else 0.001"},
    {"outer_lr", FLAG_TEXTS, FIELD(outer_lr), "X...",
     "learning rates of the task encoder; else 0.001"},
    {"gamma", FLAG_TEXTS, FIELD(gamma), "X...", "weights of the entropy term; else 10"},
    {"T", FLAG_INTEGER, FIELD(T), "N", "outer iterations"},
    {"M", FLAG_INTEGER, FIELD(M), "N", "inner steps in each"},
    {"batch_size", FLAG_INTEGER, FIELD(batch_size), "N", "rows per outer iteration, at most all"},
    {"prior", FLAG_TEXT, FIELD(prior), "P", "uniform, power:A, or a file of C numbers"},
    {"rng", FLAG_TEXT, FIELD(rng), "philox|torch", "torch: the published random numbers"},
    {"save_every", FLAG_INTEGER, FIELD(save_every), "N", "iterations between saved states"},
    {"no_score", FLAG_SWITCH, FIELD(no_score), NULL, "rank without the generalisation score"},
    {"jobs", FLAG_COUNT, FIELD(jobs), "N", "side by side; 0: as many as fill the device"},
    {"shard", FLAG_TEXT, FIELD(shard), "I/N", "only the I-th of N pieces of the grid"},
    {"resume", FLAG_SWITCH, FIELD(resume), NULL, "keep finished runs, continue the others"},
    {"restart", FLAG_SWITCH, FIELD(restart), NULL, "throw away earlier runs"},
    {"out", FLAG_TEXT, FIELD(out), "DIR", "everything goes there; else below root_dir"},
    {0}};

static void print_number(double x) {
    if (isfinite(x)) printf(" %9.4f", x);
    else printf(" %9s", "-");
}

static void print_result(const TurtleSweepResult *r) {
    enum { SHOWN = 30 };
    printf("rank classes start  inner_lr  outer_lr  gamma  seed   quality     score agreement"
           " stability  accuracy\n");
    for (int64_t i = 0; i < r->runs && i < SHOWN; i++) {
        const TurtleSweepRun *run = &r->run[i];
        if (isnan(run->quality)) printf("   -");
        else printf("%4lld", (long long)i + 1);
        printf(" %7lld  %s %9g %9g %6g %5llu", (long long)run->classes,
               run->warm_start ? "warm" : "cold", run->inner_lr, run->outer_lr, run->gamma,
               (unsigned long long)run->seed);
        const double numbers[] = {run->quality, run->generalization_score, run->space_agreement,
                                  run->stability, run->cluster_acc};
        for (int n = 0; n < 5 && !run->failed; n++) print_number(numbers[n]);
        printf("%s%s\n", run->failed ? " " : "", run->failed ? run->failed : "");
    }
    if (isnan(r->run[0].quality))
        puts("The runs are not ranked, for nothing is known of their quality: give several\n"
             "--seeds or spaces, or leave --no_score out.");
    if (r->runs > SHOWN) printf("... and %lld more\n", (long long)(r->runs - SHOWN));
    for (int64_t i = 0; r->class_counts > 1 && i < r->class_counts; i++) {
        const TurtleSweepClasses *c = &r->classes[i];
        if (i == 0) puts("\nclasses   quality     score corrected stability   entropy  accuracy");
        printf("%7lld", (long long)c->classes);
        const double numbers[] = {c->quality,   c->generalization_score, c->corrected_score,
                                  c->stability, c->size_entropy,         c->cluster_acc};
        for (int n = 0; n < 6; n++) print_number(numbers[n]);
        putchar('\n');
    }
    if (r->recommended)
        printf("\nnumber of classes  %lld, then %lld\n", (long long)r->recommended,
               (long long)r->runner_up);
    if (!r->run[0].failed && !isnan(r->run[0].quality))
        printf("best run  %s/%s/checkpoint.pt\n", r->folder, r->run[0].name);
    printf("%lld runs in %.1f s on %s: %s\n", (long long)r->runs, r->seconds, r->device, r->folder);
}

static Status run_sweep(int argc, char **argv, CommandFlags *flags, Error *err) {
    TurtleSweepOptions options;
    TurtleSweepResult result;
    turtle_sweep_defaults(&options);
    const FlagTable tables[] = {{"Features", feature_flags, &options},
                                {"Sweep", sweep_flags, &options},
                                {"Common", common_flags, &options.common},
                                {"Output", command_flags, flags}};
    Status st = command_parse(&command_sweep, tables, 4, argc, argv, flags, NULL, err);
    if (st == OK)
        st = command_default_phis(&options.inputs, &options.inputs.phis, "clipvitL14", "dinov2",
                                  flags, err);
    if (st == OK && !flags->help) {
        command_hooks(&options.common, flags);
        st = turtle_sweep(&options, &result, err);
        command_hooks_end();
        if (st == OK && flags->json) puts(result.json);
        else if (st == OK) print_result(&result);
        if (st == OK) turtle_sweep_result_free(&result);
    }
    flags_free(tables, 4);
    return st;
}

const Command command_sweep = {
    "sweep", "many trainings, the best chosen without labels",
    "--dataset NAME [--phis P...] | --features FILE... --out DIR [lists] [flags]", run_sweep,
    "seed"};
