/* cmd_table.c - the command `table`: a flag table and a call. */
#include "host/cli/command.h"

static const Flag table_flags[] = {
    {"datasets", FLAG_TEXTS, offsetof(TurtleTableOptions, datasets), "NAME...",
     "rows; without it the paper's 26"},
    {"phis", FLAG_TEXTS, offsetof(TurtleTableOptions, phis), "P...",
     "columns; without it the paper's 9. dinov2, else the last, is the second space"},
    {"T", FLAG_INTEGER, offsetof(TurtleTableOptions, T), "N", "outer iterations of each training"},
    {"validation", FLAG_SWITCH, offsetof(TurtleTableOptions, validation), NULL,
     "the probe chooses C on a part of the training split: 96 fits more"},
    {"resume", FLAG_SWITCH, offsetof(TurtleTableOptions, resume), NULL,
     "keep finished cells, continue unfinished trainings"},
    {"restart", FLAG_SWITCH, offsetof(TurtleTableOptions, restart), NULL,
     "make finished cells anew, throw unfinished trainings away"},
    {"out", FLAG_TEXT, offsetof(TurtleTableOptions, out), "FILE",
     "write the table too: .md as it is printed, .csv a line per cell"},
    {0}};

static Status run_table(int argc, char **argv, CommandFlags *flags, Error *err) {
    TurtleTableOptions options;
    TurtleTableResult result;
    turtle_table_defaults(&options);
    const FlagTable tables[] = {{"Table", table_flags, &options},
                                {"Common", common_flags, &options.common},
                                {"Output", command_flags, flags}};
    Status st = command_parse(&command_table, tables, 3, argc, argv, flags, NULL, err);
    if (st == OK && !flags->help) {
        command_hooks(&options.common, flags);
        st = turtle_table(&options, &result, err);
        command_hooks_end();
        if (st == OK && flags->json) puts(result.json);
        else if (st == OK)
            printf("%s\n%lld cells run, %lld kept, %lld without a result, in %.1f s\n", result.text,
                   (long long)result.run, (long long)result.kept, (long long)result.failed,
                   result.seconds);
        if (st == OK) turtle_table_result_free(&result);
    }
    flags_free(tables, 3);
    return st;
}

const Command command_table = {
    "table", "the paper's table from what is on the disk: all methods, data sets and encoders",
    "[--datasets NAME...] [--phis P...] [--resume|--restart] [flags]", run_table, NULL};
