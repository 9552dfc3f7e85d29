/* main.c - the command line: finds the command, runs it, prints what failed, exits.
 *
 * Exit status: 0 done, 1 failed, 2 bad usage, 130 or 143 stopped by SIGINT or SIGTERM with the
 * state saved. Results go to stdout, everything else to stderr; with --json stdout is exactly one
 * object, also for a failure. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/cli/command.h"
#include "host/cli/progress.h"
#include "io/files/file.h"
#include "io/text/printable.h"

static const Command *const commands[] = {
    &command_prepare, &command_features, &command_labels, &command_train,    &command_evaluate,
    &command_sweep,   &command_probe,    &command_kmeans, &command_zeroshot, &command_table,
    &command_report,  &command_sort,     &command_info,   &command_licenses};
enum { COMMANDS = sizeof commands / sizeof *commands };

/* --- signals ---------------------------------------------------------------------------------- */

static volatile sig_atomic_t stop_signal;

/* The first signal asks to stop; a second one ends at once: files under final names are whole
 * anyway. */
static void on_signal(int signal_number) {
    if (stop_signal) _exit(128 + signal_number);
    stop_signal = signal_number;
}

static void catch_signals(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN); /* a closed stdout is a failed write, not a death */
    signal(SIGXFSZ, SIG_IGN); /* so is a file size limit */
}

/* --- what commands share ---------------------------------------------------------------------- */

const Flag command_flags[] = {
    {"json", FLAG_SWITCH, offsetof(CommandFlags, json), NULL, "stdout is one JSON object"},
    {"quiet", FLAG_SWITCH, offsetof(CommandFlags, quiet), NULL, "no progress, no notices"},
    {"help", FLAG_SWITCH, offsetof(CommandFlags, help), NULL, "this text"},
    {0}};

const Flag common_flags[] = {
    {"root_dir", FLAG_TEXT, offsetof(TurtleCommon, root_dir), "DIR",
     "where data sets and results lie (or TURTLE_DATA)"},
    {"device", FLAG_TEXT, offsetof(TurtleCommon, device), "DEVICE", "auto, cpu, cuda or cuda:N"},
    {"precision", FLAG_TEXT, offsetof(TurtleCommon, precision), "auto|fp32|tf32|fp16|bf16",
     "type of matrix operands in training and encoders; sums are fp32"},
    {"seed", FLAG_UNSIGNED, offsetof(TurtleCommon, seed), "N", "seed of all random numbers"},
    {"threads", FLAG_COUNT, offsetof(TurtleCommon, threads), "N",
     "0: every core; results do not depend on it"},
    {0}};

const Flag input_flags[] = {
    {"dataset", FLAG_TEXT, offsetof(TurtleInputs, dataset), "NAME",
     "representations/<phi>/NAME_{train,val}.npy, labels/NAME_..."},
    {"phis", FLAG_TEXTS, offsetof(TurtleInputs, phis), "P...",
     "representation spaces of the data set"},
    {"features", FLAG_TEXTS, offsetof(TurtleInputs, features), "FILE...",
     "or: (samples, dimension) in .npy, .npz, .pt, .safetensors, FILE:NAME"},
    {"val_features", FLAG_TEXTS, offsetof(TurtleInputs, val_features), "FILE...",
     "features of the validation split"},
    {"labels", FLAG_TEXT, offsetof(TurtleInputs, labels), "FILE",
     "classes of --features, .npy or text: to score; probe learns them"},
    {"val_labels", FLAG_TEXT, offsetof(TurtleInputs, val_labels), "FILE",
     "classes of --val_features, only to score"},
    {"classes", FLAG_INTEGER, offsetof(TurtleInputs, classes), "C",
     "number of classes; 0: the data set's own"},
    {0}};

/* --- inputs and outputs ----------------------------------------------------------------------- */

static ProgressView view;
static bool results_to_stderr; /* an output is written to stdout, which nothing else goes to */

static bool names_output(const Flag *flag) {
    return strcmp(flag->name, "predictions") == 0 || strcmp(flag->name, "probabilities") == 0;
}

/* Returns whether `input`, which may be FILE:NAME, is the regular file that `output` names. */
static bool same_file(const char *input, const char *output) {
    struct stat in, out;
    if (!input || stat(output, &out) != 0 || !S_ISREG(out.st_mode)) return false;
    const char *cut = strrchr(input, ':');
    char *file =
        stat(input, &in) != 0 && cut ? format_text("%.*s", (int)(cut - input), input) : NULL;
    const bool found = stat(file ? file : input, &in) == 0;
    free(file);
    return found && in.st_dev == out.st_dev && in.st_ino == out.st_ino;
}

/* An output never takes the place of what the same call reads, or writes elsewhere. */
static Status check_clash(const FlagTable *tables, int count, const Flag *output, const char *path,
                          Error *err) {
    for (int t = 0; t < count; t++)
        for (const Flag *f = tables[t].flags; f->name; f++) {
            const char *field = (const char *)tables[t].fields + f->field;
            TurtleTexts texts = {0};
            const char *one = NULL;
            if (f->type == FLAG_TEXTS) texts = *(const TurtleTexts *)field;
            if (f->type == FLAG_TEXT && f->help && f != output) one = *(const char *const *)field;
            if (one && names_output(f) && strcmp(one, path) == 0)
                return fail(err, ERR_USAGE, "--%s and --%s: both name %s: expected two files",
                            f->name, output->name, path);
            bool read = one && same_file(one, path);
            for (int64_t i = 0; i < texts.count; i++) read |= same_file(texts.item[i], path);
            if (read)
                return fail(err, ERR_USAGE,
                            "--%s %s: is the file of --%s, which would be lost: expected another "
                            "name",
                            output->name, path, f->name);
        }
    return OK;
}

/* `-` stands for one input and one output, and stdout holds that output alone. What cannot be
 * written is refused before the work. */
static Status check_files(const FlagTable *tables, int count, bool json, Error *err) {
    const Flag *in = NULL, *out = NULL;
    for (int t = 0; t < count; t++)
        for (const Flag *f = tables[t].flags; f->name; f++) {
            if (f->type != FLAG_TEXT || !f->help) continue;
            const char *text = *(const char *const *)((const char *)tables[t].fields + f->field);
            const bool output = names_output(f);
            const Flag **dash = output ? &out : &in;
            Status st = text && output ? file_check_output(text, err) : OK;
            if (st == OK && text && output && !file_is_stdout(text))
                st = check_clash(tables, count, f, text, err);
            if (st != OK) return st;
            if (!text || (output ? !file_is_stdout(text) : strcmp(text, "-") != 0)) continue;
            if (*dash)
                return fail(err, ERR_USAGE, "--%s and --%s: only one of them can be standard %s",
                            (*dash)->name, f->name, output ? "output" : "input");
            *dash = f;
        }
    if (out && json)
        return fail(err, ERR_USAGE,
                    "--%s: standard output is for the object of --json: expected a file's name",
                    out->name);
    results_to_stderr = out != NULL;
    return OK;
}

Status command_parse(const Command *command, const FlagTable *tables, int count, int argc,
                     char **argv, CommandFlags *flags, const char **positional, Error *err) {
    Error said;
    const Status st =
        flags_parse(tables, count, argc, argv, command->ignored, positional, &said, err);
    if (st == OK && said.text[0] && !flags->quiet && !flags->help)
        progress_notice(&view, said.text);
    if (st == OK && flags->help) {
        printf("turtle %s - %s\n\nusage: turtle %s %s\n", command->name, command->summary,
               command->name, command->usage);
        flags_help(stdout, tables, count, command->ignored);
        puts("\n'_' and '-' mean the same in a flag's name. Defaults stand in [brackets].");
    }
    return st == OK && !flags->help ? check_files(tables, count, flags->json, err) : st;
}

static char *typed;

Status command_default_phis(const TurtleInputs *inputs, TurtleTexts *phis, const char *first,
                            const char *second, const CommandFlags *flags, Error *err) {
    if (flags->help || phis->count || (inputs && (!inputs->dataset || inputs->features.count)))
        return OK;
    phis->item = malloc(2 * sizeof *phis->item);
    if (!phis->item) return fail(err, ERR_MEMORY, "phis: out of memory");
    phis->item[0] = first;
    phis->item[1] = second;
    phis->count = second ? 2 : 1;
    char line[96];
    snprintf(line, sizeof line, "--phis is not given: %s%s%s, the published default", first,
             second ? " " : "", second ? second : "");
    if (!flags->quiet) progress_notice(&view, line);
    return OK;
}

void command_hooks(TurtleCommon *common, const CommandFlags *flags) {
    progress_open(&view);
    common->hooks = (TurtleHooks){.context = &view, .stop = &stop_signal};
    if (!flags->quiet) {
        common->hooks.notice = progress_notice;
        common->hooks.progress = progress_show;
    }
    common->command_line = command_line();
}

void command_hooks_end(void) {
    progress_close(&view);
    if (!results_to_stderr) return;
    results_to_stderr = false;
    fflush(stdout);
    if (dup2(STDERR_FILENO, STDOUT_FILENO) < 0 && !freopen("/dev/null", "w", stdout)) abort();
}

const char *command_line(void) {
    return typed;
}

static void keep_command_line(int argc, char **argv) {
    size_t bytes = 0, used = 0;
    for (int i = 0; i < argc; i++) bytes += strlen(argv[i]) + 1;
    typed = malloc(bytes);
    for (int i = 0; typed && i < argc; i++)
        used += (size_t)snprintf(typed + used, bytes - used, "%s%s", i ? " " : "", argv[i]);
}

/* --- main ------------------------------------------------------------------------------------- */

static void print_usage(FILE *out) {
    fputs("turtle - finds the human labelling of a data set without a single label\n\n"
          "usage: turtle <command> [flags]\n\n",
          out);
    for (int i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
    fputs("\n  turtle help <command> lists its flags; turtle version\n", out);
}

static const Command *find_command(const char *name, Error *err) {
    const char *names[COMMANDS];
    for (int i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i]->name, name) == 0) return commands[i];
        names[i] = commands[i]->name;
    }
    const char *near = nearest_word(name, names, COMMANDS);
    error_write(err, "unknown command '%s'%s%s%s", name, near ? ": did you mean " : "",
                near ? near : "", near ? "?" : "; turtle --help lists them");
    return NULL;
}

static void print_failure(const Error *err, bool as_json) {
    char line[2 * sizeof err->text];
    fprintf(stderr, "turtle: %s\n", printable(line, sizeof line, err->text, false));
    if (!as_json) return;
    char *text = turtle_error_json(err);
    puts(text ? text : "{\"error\": \"out of memory\"}");
    free(text);
}

static int exit_status(Status st) {
    if (st == OK) return 0;
    if (st == ERR_STOPPED) return 128 + stop_signal;
    return st == ERR_USAGE ? 2 : 1;
}

static bool is_any(const char *word, const char *a, const char *b, const char *c) {
    return strcmp(word, a) == 0 || strcmp(word, b) == 0 || strcmp(word, c) == 0;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        print_usage(stderr);
        return 2;
    }
    const bool help = is_any(argv[1], "--help", "-h", "help");
    if (help && (argc == 2 || is_any(argv[2], "help", "version", "--help"))) {
        print_usage(stdout);
        return 0;
    }
    if (is_any(argv[1], "--version", "-V", "version")) {
        const bool json = argc > 2 && strcmp(argv[2], "--json") == 0;
        printf(json ? "{\"command\": \"version\", \"version\": \"%s\"}\n" : "turtle %s\n",
               turtle_version());
        return 0;
    }
    char *of_command[] = {argv[0], argv[2], "--help"}; /* help CMD is CMD --help */
    if (help) {
        argv = of_command;
        argc = 3;
    }
    catch_signals();
    keep_command_line(argc, argv);

    /* a failure before --json is parsed must be an object too */
    CommandFlags flags = {0};
    for (int i = 2; i < argc; i++) flags.json |= strcmp(argv[i], "--json") == 0;
    const bool as_json = flags.json;
    flags.json = false;

    Error err = {""};
    const Command *command = find_command(argv[1], &err);
    Status st = command ? command->run(argc - 2, argv + 2, &flags, &err) : ERR_USAGE;
    command_hooks_end();
    if (st == OK && (fflush(stdout) != 0 || ferror(stdout)))
        st = fail(&err, ERR_IO, "stdout: the results could not be written: %s", strerror(errno));
    if (st != OK) print_failure(&err, as_json);
    free(typed);
    return exit_status(st);
}
