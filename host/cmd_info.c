/* cmd_info.c - the command `info`. */
#include <stdlib.h>

#include "command.h"

static Status run_info(int argc, char **argv, CommandFlags *flags, Error *err) {
    const char *file = NULL;
    char *text = NULL, *json = NULL;
    const FlagTable tables[] = {{"Output", command_flags, flags}};
    Status st = command_parse(&command_info, tables, 1, argc, argv, flags, &file, err);
    if (st != OK || flags->help) return st;
    st = turtle_info(file, &text, &json, err);
    if (st == OK) fputs(flags->json ? json : text, stdout);
    if (st == OK && flags->json) putchar('\n');
    free(text);
    free(json);
    return st;
}

const Command command_info = {"info",
                              "version, build and devices, or what a .npy or .pt file holds",
                              "[FILE] [flags]", run_info};
