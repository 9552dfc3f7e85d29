/* cmd_probe.c - the command `probe`: a flag table and a call. */
#include <math.h>

#include "host/cli/command.h"

static const Flag probe_flags[] = {
    {"C", FLAG_REAL, offsetof(TurtleProbeOptions, C), "X",
     "inverse strength of the L2 penalty, as scikit-learn's"},
    {"validation", FLAG_SWITCH, offsetof(TurtleProbeOptions, validation), NULL,
     "choose C on a part of the training split, then fit all of it"},
    {"Cs", FLAG_INTEGER, offsetof(TurtleProbeOptions, Cs), "N", "values tried by --validation"},
    {"Crange", FLAG_REAL, offsetof(TurtleProbeOptions, Crange), "X",
     "from 10^-X to 10^X, log-spaced"},
    {"share", FLAG_REAL, offsetof(TurtleProbeOptions, share), "X",
     "part of the training split held back, drawn by --seed"},
    {"max_iter", FLAG_INTEGER, offsetof(TurtleProbeOptions, max_iter), "N",
     "iterations of L-BFGS in each fit"},
    {"tol", FLAG_REAL, offsetof(TurtleProbeOptions, tol), "X",
     "largest derivative of the mean loss at which a fit ends"},
    {0}};

static void print_and_free(TurtleProbeResult *r, const CommandFlags *flags) {
    command_hooks_end();
    if (flags->json) {
        puts(r->json);
    } else {
        printf("%s\n", r->line);
        printf(
            "objective %.6f   gradient norm %.2g   %lld iterations, %lld classes, %.1f s on %s\n",
            r->objective, r->gradient_norm, (long long)r->iterations, (long long)r->classes,
            r->seconds, r->device);
        if (!r->converged)
            printf("The fit has not converged after %lld iterations: give a larger --max_iter or "
                   "--tol.\n",
                   (long long)r->iterations);
        if (!isnan(r->validation_acc))
            printf("accuracy on the samples held back to choose C: %.4f\n", r->validation_acc);
    }
    turtle_probe_result_free(r);
}

static Status run_probe(int argc, char **argv, CommandFlags *flags, Error *err) {
    TurtleProbeOptions options;
    TurtleProbeResult result;
    turtle_probe_defaults(&options);
    const FlagTable tables[] = {{"Features", input_flags, &options.inputs},
                                {"Regression", probe_flags, &options},
                                {"Common", common_flags, &options.common},
                                {"Output", command_flags, flags}};
    Status st = command_parse(&command_probe, tables, 4, argc, argv, flags, NULL, err);
    if (st == OK)
        st = command_default_phis(&options.inputs, &options.inputs.phis, "clipvitL14", NULL, flags,
                                  err);
    if (st == OK && !flags->help) {
        command_hooks(&options.common, flags);
        st = turtle_probe(&options, &result, err);
        if (st == OK) print_and_free(&result, flags);
    }
    flags_free(tables, 4);
    return st;
}

const Command command_probe = {
    "probe", "logistic regression on known classes: what a linear classifier can reach",
    "--dataset NAME [--phis PHI] | --features FILE --labels FILE [flags]", run_probe, "precision"};
