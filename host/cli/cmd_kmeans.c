/* cmd_kmeans.c - the command `kmeans`: a flag table and a call. */
#include <math.h>

#include "host/cli/command.h"

/* Prints for people what was found, how good it is, how the restarts went. */
static void print_and_free(TurtleKmeansResult *r, const CommandFlags *flags) {
    command_hooks_end();
    if (flags->json) {
        puts(r->json);
    } else {
        printf("%s\n", r->line);
        printf("clusters found   %lld of %lld on %lld training samples\n",
               (long long)r->clusters_found, (long long)r->classes, (long long)r->samples);
        for (int64_t i = 0; i < r->restarts; i++)
            printf("restart %-3lld      inertia %.9g   %lld iterations%s\n", (long long)i + 1,
                   r->restart[i].inertia, (long long)r->restart[i].iterations,
                   i == r->best ? "   (best)" : "");
        if (!isnan(r->train_acc)) printf("train accuracy   %.4f\n", r->train_acc);
        if (!isnan(r->val_acc)) printf("val accuracy     %.4f\n", r->val_acc);
        if (!isnan(r->nmi)) printf("NMI %.4f   ARI %.4f (%s)\n", r->nmi, r->ari, r->split);
        printf("%.1f s on %s\n", r->seconds, r->device);
    }
    turtle_kmeans_result_free(r);
}

static const Flag kmeans_flags[] = {
    {"n_init", FLAG_INTEGER, offsetof(TurtleKmeansOptions, n_init), "N",
     "restarts; the one of least inertia counts"},
    {"init", FLAG_TEXT, offsetof(TurtleKmeansOptions, init), "kmeans++|random",
     "where restarts begin; random: distinct samples"},
    {"spherical", FLAG_SWITCH, offsetof(TurtleKmeansOptions, spherical), NULL,
     "samples and centres of length 1: clusters by cosine"},
    {"max_iter", FLAG_INTEGER, offsetof(TurtleKmeansOptions, max_iter), "N",
     "iterations of a restart, at most"},
    {"tol", FLAG_REAL, offsetof(TurtleKmeansOptions, tol), "X",
     "stops when squared movements sum to X times the mean variance"},
    {"predictions", FLAG_TEXT, offsetof(TurtleKmeansOptions, predictions), "FILE",
     "write path,cluster,... of the val split, else of train; .npy: clusters"},
    {0}};

static Status run_kmeans(int argc, char **argv, CommandFlags *flags, Error *err) {
    TurtleKmeansOptions options;
    TurtleKmeansResult result;
    turtle_kmeans_defaults(&options);
    const FlagTable tables[] = {{"Features", input_flags, &options.inputs},
                                {"k-means", kmeans_flags, &options},
                                {"Common", common_flags, &options.common},
                                {"Output", command_flags, flags}};
    Status st = command_parse(&command_kmeans, tables, 4, argc, argv, flags, NULL, err);
    if (st == OK)
        st = command_default_phis(&options.inputs, &options.inputs.phis, "clipvitL14", NULL, flags,
                                  err);
    if (st == OK && !flags->help) {
        command_hooks(&options.common, flags);
        st = turtle_kmeans(&options, &result, err);
        if (st == OK) print_and_free(&result, flags);
    }
    flags_free(tables, 4);
    return st;
}

const Command command_kmeans = {
    "kmeans", "k-means on the features: a baseline",
    "--dataset NAME [--phis P...] | --features FILE... --classes C [flags]", run_kmeans,
    "precision"};
