/* cmd_prepare.c - the command `prepare`: a flag table and a call. */
#include <stdlib.h>

#include "host/cli/command.h"
#include "io/text/printable.h"

static const Flag prepare_flags[] = {
    {"dataset", FLAG_TEXT, offsetof(TurtlePrepareOptions, dataset), "NAME",
     "a data set: below root_dir/datasets"},
    {"phis", FLAG_TEXTS, offsetof(TurtlePrepareOptions, phis), "PHI...",
     "or weights of encoders: below root_dir/checkpoints"},
    {"checkpoints", FLAG_SWITCH, offsetof(TurtlePrepareOptions, checkpoints), NULL,
     "or the labelings that the authors released"},
    {"list", FLAG_SWITCH, offsetof(TurtlePrepareOptions, list), NULL,
     "or tell what is there, what is missing, and its size"},
    {"from", FLAG_TEXT, offsetof(TurtlePrepareOptions, from), "DIR",
     "take archives from DIR, under their published names, or what they unpack to"},
    {"unverified", FLAG_SWITCH, offsetof(TurtlePrepareOptions, unverified), NULL,
     "check neither sizes nor digests nor counts"},
    {0}};

static Status run_prepare(int argc, char **argv, CommandFlags *flags, Error *err) {
    TurtlePrepareOptions options;
    TurtlePrepareResult result;
    turtle_prepare_defaults(&options);
    const FlagTable tables[] = {{"What is prepared", prepare_flags, &options},
                                {"Common", common_flags, &options.common},
                                {"Output", command_flags, flags}};
    Status st = command_parse(&command_prepare, tables, 3, argc, argv, flags, NULL, err);
    if (st == OK && !flags->help) {
        command_hooks(&options.common, flags);
        st = turtle_prepare(&options, &result, err);
        command_hooks_end();
        if (st == OK && flags->json) puts(result.json);
        if (st == OK && !flags->json) {
            char *text = printable_copy(result.text, true);
            fputs(text ? text : "", stdout);
            free(text);
        }
        if (st == OK) turtle_prepare_result_free(&result);
    }
    flags_free(tables, 3);
    return st;
}

const Command command_prepare = {
    "prepare", "fetches data sets and weights, checks and unpacks them",
    "--dataset NAME [--from DIR] | --phis PHI... | --checkpoints | --list", run_prepare,
    "device precision seed"};
