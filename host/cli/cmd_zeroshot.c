/* cmd_zeroshot.c - the command `zeroshot`. */
#include <math.h>
#include <string.h>

#include "host/cli/command.h"

static const Flag zeroshot_flags[] = {
    {"weights", FLAG_TEXT, offsetof(TurtleZeroshotOptions, weights), "FILE",
     "CLIP's file with the text encoder; else below root_dir/checkpoints"},
    {"config", FLAG_TEXT, offsetof(TurtleZeroshotOptions, encoder.config), "FILE",
     "configuration of the text encoder; else beside the weights"},
    {"heads", FLAG_INTEGER, offsetof(TurtleZeroshotOptions, encoder.heads), "N",
     "its attention heads; 0: as its configuration says"},
    {"activation", FLAG_TEXT, offsetof(TurtleZeroshotOptions, encoder.activation),
     "quickgelu|gelu|gelu_tanh|silu", "activation of its MLPs"},
    {"norm_eps", FLAG_REAL, offsetof(TurtleZeroshotOptions, encoder.norm_eps), "X",
     "epsilon of its layer norms; 0: as its configuration says"},
    {"names", FLAG_TEXT, offsetof(TurtleZeroshotOptions, names), "FILE",
     "own classes, one per line; more names of one behind tabs"},
    {"templates", FLAG_TEXT, offsetof(TurtleZeroshotOptions, templates), "FILE",
     "own templates, one per line: a photo of a {}."},
    {"default_template_only", FLAG_SWITCH, offsetof(TurtleZeroshotOptions, default_template_only),
     NULL, "A photo of a {}."},
    {"published_order", FLAG_SWITCH, offsetof(TurtleZeroshotOptions, published_order), NULL,
     "aircraft: names as the published list has them, three of which are not their labels'"},
    {"batch_size", FLAG_INTEGER, offsetof(TurtleZeroshotOptions, batch_size), "N",
     "prompts encoded at a time, at most 64; changes no bit"},
    {"truncate", FLAG_SWITCH, offsetof(TurtleZeroshotOptions, truncate), NULL,
     "cut prompts that are too long for the encoder"},
    {"clusters", FLAG_TEXT, offsetof(TurtleZeroshotOptions, clusters), "FILE",
     "checkpoint or run's folder whose clusters are named; spaces: its own, then CLIP's if not "
     "among them"},
    {"predictions", FLAG_TEXT, offsetof(TurtleZeroshotOptions, predictions), "FILE",
     "write path,class,name,confidence,margin; .npy: classes as int64"},
    {0}};

static void print_clusters(const TurtleZeroshotResult *r) {
    printf("%7s %8s  %-28s %6s  %-28s %6s\n", "cluster", "samples", "name", "share", "runner-up",
           "share");
    for (int64_t k = 0; k < r->clusters; k++) {
        const TurtleClusterName *n = &r->cluster[k];
        printf("%7lld %8lld  ", (long long)n->cluster, (long long)n->samples);
        if (n->name)
            printf("%-28s %6.3f  %-28s %6.3f%s%s", n->name, n->share, n->runner_up,
                   n->runner_up_share, strcmp(n->name, n->mean_name) ? "  mean is nearest to " : "",
                   strcmp(n->name, n->mean_name) ? n->mean_name : "");
        putchar('\n');
    }
}

/* Prints how many samples each name was given: without labels there is no score. */
static void print_sizes(const TurtleZeroshotResult *r) {
    printf("%8s  %s\n", "samples", "name");
    for (int64_t k = 0; k < r->classes; k++)
        printf("%8lld  %s\n", (long long)r->class_sizes[k], r->class_names[k]);
}

static void print_and_free(TurtleZeroshotResult *r, const CommandFlags *flags) {
    command_hooks_end();
    if (flags->json) {
        puts(r->json);
    } else {
        printf("%s\n%lld classes, %lld prompts, %lld %s samples in %.1f s on %s\n", r->line,
               (long long)r->classes, (long long)r->prompts, (long long)r->samples, r->split,
               r->seconds, r->device);
        if (r->clusters) print_clusters(r);
        else if (isnan(r->top1)) print_sizes(r);
    }
    turtle_zeroshot_result_free(r);
}

static Status run_zeroshot(int argc, char **argv, CommandFlags *flags, Error *err) {
    TurtleZeroshotOptions options;
    TurtleZeroshotResult result;
    turtle_zeroshot_defaults(&options);
    const FlagTable tables[] = {{"Features", input_flags, &options.inputs},
                                {"Names", zeroshot_flags, &options},
                                {"Common", common_flags, &options.common},
                                {"Output", command_flags, flags}};
    Status st = command_parse(&command_zeroshot, tables, 4, argc, argv, flags, NULL, err);
    if (st == OK && !options.clusters)
        st = command_default_phis(&options.inputs, &options.inputs.phis, "clipvitL14", NULL, flags,
                                  err);
    if (st == OK && !flags->help) {
        command_hooks(&options.common, flags);
        st = turtle_zeroshot(&options, &result, err);
        if (st == OK) print_and_free(&result, flags);
    }
    flags_free(tables, 4);
    return st;
}

const Command command_zeroshot = {
    "zeroshot", "classifies by the names of classes alone, or names found clusters (CLIP)",
    "--dataset NAME [--phis P] | --features FILE --weights FILE --names FILE [flags]", run_zeroshot,
    "seed"};
