/* cmd_info.c - the command `info`. */
#include <stdlib.h>

#include "host/cli/command.h"
#include "io/text/printable.h"

typedef struct {
    bool plan;
    TurtlePlanOptions of;
} InfoFlags;

static const Flag plan_flags[] = {
    {"plan", FLAG_SWITCH, offsetof(InfoFlags, plan), NULL,
     "how an iteration, or an encoder, runs on a GPU, and its predicted time"},
    {"precision", FLAG_TEXT, offsetof(InfoFlags, of.precision), "fp32|tf32|fp16|bf16",
     "type of the operands of products"},
    {"device", FLAG_TEXT, offsetof(InfoFlags, of.device), "auto|h200|h100|a100|rtx4090|tiny",
     "auto: this machine's GPU, h200 without one"},
    {0}};

static const Flag training_flags[] = {
    {"dims", FLAG_TEXTS, offsetof(InfoFlags, of.dims), "D...",
     "features of each space; 768 if not given"},
    {"batch_size", FLAG_INTEGER, offsetof(InfoFlags, of.batch_size), "N", "rows of a batch"},
    {"B", FLAG_INTEGER, offsetof(InfoFlags, of.batch_size), "N", NULL},
    {"classes", FLAG_INTEGER, offsetof(InfoFlags, of.classes), "C", "number of classes"},
    {"M", FLAG_INTEGER, offsetof(InfoFlags, of.M), "M", "inner steps"},
    {0}};

static const Flag encoding_flags[] = {{"weights", FLAG_TEXT, offsetof(InfoFlags, of.weights),
                                       "FILE", "how a batch of images runs through this encoder"},
                                      {"images", FLAG_INTEGER, offsetof(InfoFlags, of.images), "N",
                                       "images encoded at a time; 0: 256"},
                                      {0}};

static const Flag size_flags[] = {{"image_size", FLAG_INTEGER, offsetof(InfoFlags, of.image_size),
                                   "N", "side of the square that the encoder sees"},
                                  {0}};

/* Returns the name of a flag in argv that is an encoder's, or NULL. */
static const char *fact_given(int argc, char **argv) {
    const char *name = flags_given(encoder_flags, argc, argv);
    return name ? name : flags_given(size_flags, argc, argv);
}

/* Refuses flags and files that the question asked would pass over. */
static Status check_question(const InfoFlags *info, const char *file, int argc, char **argv,
                             Error *err) {
    const char *fact = fact_given(argc, argv), *training = flags_given(training_flags, argc, argv),
               *encoding = flags_given(encoding_flags, argc, argv);
    const char *plans = encoding   ? encoding
                        : training ? training
                                   : flags_given(plan_flags, argc, argv);
    if (info->plan && file)
        return fail(err, ERR_USAGE,
                    "info: --plan takes no file, got '%s': --plan --weights FILE tells how an "
                    "encoder would run",
                    file);
    if (!info->plan && plans)
        return fail(err, ERR_USAGE,
                    "info: --%s is a flag of --plan: add it, or call `turtle info FILE` for what a "
                    "file holds",
                    plans);
    if (!info->plan && !file && fact)
        return fail(err, ERR_USAGE, "info: --%s is an encoder's: name its file", fact);
    if (info->plan && !info->of.weights && (encoding || fact))
        return fail(err, ERR_USAGE, "info: --%s is an encoder's: name it with --weights",
                    encoding ? encoding : fact);
    if (info->of.weights && training)
        return fail(err, ERR_USAGE,
                    "info: --%s is a training's, and --weights asks for an encoder: --images says "
                    "how many pictures it takes at a time",
                    training);
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
        {"Plan", plan_flags, &info},
        {"Plan of a training", training_flags, &info},
        {"Plan of an encoder", encoding_flags, &info},
        {"Output", command_flags, flags}};
    enum { TABLES = sizeof tables / sizeof *tables };
    Status st = command_parse(&command_info, tables, TABLES, argc, argv, flags, &file, err);
    if (st == OK && !flags->help) st = check_question(&info, file, argc, argv, err);
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
    flags_free(tables, TABLES);
    return st;
}

const Command command_info = {
    "info", "version, build and devices, what a .npy or .pt file holds, how a GPU would run",
    "[FILE | --plan] [flags]", run_info, NULL};
