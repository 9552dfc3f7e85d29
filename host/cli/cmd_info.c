/* cmd_info.c - the command `info`. */
#include <stdlib.h>

#include "host/cli/command.h"
#include "io/text/printable.h"

typedef struct {
    bool plan;
    TurtlePlanOptions of;
} InfoFlags;

static const Flag info_flags[] = {
    {"plan", FLAG_SWITCH, offsetof(InfoFlags, plan), NULL,
     "how an iteration runs on a GPU, and its predicted time"},
    {"weights", FLAG_TEXT, offsetof(InfoFlags, of.weights), "FILE",
     "with --plan: how a batch of images runs through this encoder instead"},
    {"images", FLAG_INTEGER, offsetof(InfoFlags, of.images), "N",
     "with --weights: images encoded at a time; 0: 256"},
    {"dims", FLAG_TEXTS, offsetof(InfoFlags, of.dims), "D...",
     "features of each space; 768 if not given"},
    {"batch_size", FLAG_INTEGER, offsetof(InfoFlags, of.batch_size), "N", "rows of a batch"},
    {"B", FLAG_INTEGER, offsetof(InfoFlags, of.batch_size), "N", NULL},
    {"classes", FLAG_INTEGER, offsetof(InfoFlags, of.classes), "C", "number of classes"},
    {"M", FLAG_INTEGER, offsetof(InfoFlags, of.M), "M", "inner steps"},
    {"precision", FLAG_TEXT, offsetof(InfoFlags, of.precision), "fp32|tf32|fp16|bf16",
     "type of the operands of products"},
    {"device", FLAG_TEXT, offsetof(InfoFlags, of.device), "auto|h200|h100|a100|rtx4090|tiny",
     "auto: this machine's GPU, h200 without one"},
    {0}};

static const Flag size_flags[] = {{"image_size", FLAG_INTEGER, offsetof(InfoFlags, of.image_size),
                                   "N", "side of the square that the encoder sees"},
                                  {0}};

/* Refuses flags and files that the question asked would pass over. */
static Status check_question(const InfoFlags *info, const char *file, Error *err) {
    TurtlePlanOptions usual;
    turtle_plan_defaults(&usual);
    if (info->plan && file)
        return fail(err, ERR_USAGE,
                    "info: --plan takes no file, got '%s': --plan --weights FILE tells how an "
                    "encoder would run",
                    file);
    if (!info->plan && (info->of.weights || info->of.images))
        return fail(err, ERR_USAGE,
                    "info: %s is a flag of --plan: add it, or call `turtle info FILE` for what a "
                    "file holds",
                    info->of.weights ? "--weights" : "--images");
    if (info->of.images && !info->of.weights)
        return fail(err, ERR_USAGE, "info: --images are an encoder's: name it with --weights");
    if (info->of.weights && info->of.batch_size != usual.batch_size)
        return fail(err, ERR_USAGE,
                    "info: --batch_size counts rows of a training: --images says how many the "
                    "encoder takes at a time");
    return OK;
}

static Status run_info(int argc, char **argv, CommandFlags *flags, Error *err) {
    const char *file = NULL;
    char *text = NULL, *json = NULL;
    InfoFlags info = {0};
    turtle_plan_defaults(&info.of);
    const FlagTable tables[] = {
        {"What weights do not say of their encoder", encoder_flags, &info.of.encoder},
        {"Size", size_flags, &info},
        {"Plan", info_flags, &info},
        {"Output", command_flags, flags}};
    Status st = command_parse(&command_info, tables, 4, argc, argv, flags, &file, err);
    if (st == OK && !flags->help) st = check_question(&info, file, err);
    if (st == OK && !flags->help)
        st = info.plan ? turtle_plan(&info.of, &text, &json, err)
                       : turtle_info_encoder(file, &info.of.encoder, info.of.image_size, &text,
                                             &json, err);
    if (st == OK && !flags->help && !flags->json) { /* names of tensors may hold anything */
        char *shown = printable_copy(text, true);
        fputs(shown ? shown : "", stdout);
        if (!shown) st = fail(err, ERR_MEMORY, "info: out of memory");
        free(shown);
    }
    if (st == OK && !flags->help && flags->json) fputs(json, stdout);
    if (st == OK && !flags->help && flags->json) putchar('\n');
    free(text);
    free(json);
    flags_free(tables, 4);
    return st;
}

const Command command_info = {
    "info", "version, build and devices, what a .npy or .pt file holds, how a GPU would run",
    "[FILE | --plan] [flags]", run_info, NULL};
