/* command.h - what main and the commands share: one struct per command, one way to run it. */
#ifndef TURTLE_HOST_CLI_COMMAND_H
#define TURTLE_HOST_CLI_COMMAND_H

#include "host/cli/flags.h"

/* Flags that every command has beside its own and the library's common ones. */
typedef struct {
    bool json, quiet, help;
} CommandFlags;

extern const Flag command_flags[]; /* fields of CommandFlags */
extern const Flag common_flags[];  /* fields of TurtleCommon */
extern const Flag input_flags[];   /* fields of TurtleInputs */
extern const Flag encoder_flags[]; /* fields of TurtleEncoder */

typedef struct {
    const char *name, *summary;
    const char *usage; /* text behind the name: "--dataset NAME --phis P... [flags]" */
    /* Parses argv (what follows the name) and runs. flags->json is valid even on failure. */
    Status (*run)(int argc, char **argv, CommandFlags *flags, Error *err);
    const char *ignored; /* flags of its tables that change nothing: flags_parse; NULL: none */
} Command;

extern const Command command_features, command_labels, command_train, command_evaluate,
    command_probe, command_kmeans, command_sweep, command_zeroshot, command_table, command_report,
    command_sort, command_prepare, command_info, command_licenses;

/* Parses into the tables; prints the help and sets flags->help if asked for. */
Status command_parse(const Command *command, const FlagTable *tables, int count, int argc,
                     char **argv, CommandFlags *flags, const char **positional, Error *err);

/* Gives `phis` the published default of --phis where a data set is named without: `first`, and
 * `second` unless that is NULL; a line says so unless --quiet. `inputs` NULL: phis alone decides. */
Status command_default_phis(const TurtleInputs *inputs, TurtleTexts *phis, const char *first,
                            const char *second, const CommandFlags *flags, Error *err);

/* Sets hooks that show progress on stderr unless --quiet or --json, give notices unless --quiet,
 * and stop on SIGINT and SIGTERM. */
void command_hooks(TurtleCommon *common, const CommandFlags *flags);
void command_hooks_end(void);
const char *command_line(void); /* returns the line as it was typed */

#endif
