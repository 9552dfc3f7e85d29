/* recipes_test.c - command blocks of READMEs that would rot unseen are run as they stand there. */
#include <ctype.h>

#include "tests/support/check.h"

enum { MOST_LINES = 32 };

/* The lines of a README's block: indented by four spaces, the indentation and a comment left out. */
typedef struct {
    int count;
    char line[MOST_LINES][256];
} Block;

/* Reads the first block of a README that holds `part`. */
static void read_block(Block *block, const char *readme, const char *part) {
    char line[1024];
    bool found = false;
    FILE *f = fopen(readme, "r");
    cr_assert(f, "%s: cannot be read", readme);
    block->count = 0;
    while (fgets(line, sizeof line, f)) {
        if (strncmp(line, "    ", 4) != 0) {
            if (found) break;
            block->count = 0;
            continue;
        }
        char *comment = strstr(line, "  #"), *end = comment ? comment : line + strlen(line);
        while (end > line && isspace((unsigned char)end[-1])) end--;
        *end = '\0';
        cr_assert(block->count < MOST_LINES && strlen(line) < sizeof block->line[0] + 4);
        strcpy(block->line[block->count++], line + 4);
        found |= strstr(line, part) != NULL;
    }
    fclose(f);
    cr_assert(found, "%s: no block with '%s'", readme, part);
}

/* Returns whether `text` holds the pieces of `line` between its "..." one after the other. */
static bool shows(const char *text, const char *line) {
    char pieces[256];
    snprintf(pieces, sizeof pieces, "%s", line);
    for (char *piece = pieces, *next; piece; piece = next) {
        next = strstr(piece, "...");
        if (next) *next = '\0', next += 3;
        text = strstr(text, piece);
        if (!text) return false;
        text += strlen(piece);
    }
    return true;
}

/* --- gdb on the emulator ---------------------------------------------------------------------- */

static const char GDB[] = "(gdb) ";

static bool is_gdb(const char *line) {
    return strncmp(line, GDB, sizeof GDB - 1) == 0;
}

/* Writes a script for gdb, and the program's arguments behind "gdb --args build/turtle-emu ". */
static const char *script_of(const Block *block, const char *path) {
    static const char ARGS[] = "gdb --args build/turtle-emu ";
    const char *arguments = NULL;
    FILE *f = fopen(path, "w");
    cr_assert(f);
    fprintf(f, "set pagination off\nset width 0\nset debuginfod enabled off\n");
    for (int i = 0; i < block->count; i++) {
        const char *line = block->line[i];
        if (strncmp(line, ARGS, sizeof ARGS - 1) == 0) arguments = line + sizeof ARGS - 1;
        if (is_gdb(line)) fprintf(f, "%s\n", line + sizeof GDB - 1);
    }
    cr_assert(fclose(f) == 0);
    cr_assert(arguments, "no line begins with '%s'", ARGS);
    return arguments;
}

/* The recipe of kernels/emu/README.md stops in a kernel at the thread that it asks for, and prints what it
 * promises there. */
Test(recipes, gdb_stops_in_a_kernel_on_the_emulator, .timeout = 300) {
    Block block;
    read_block(&block, "kernels/emu/README.md", "(gdb) ");
    if (system("command -v gdb >/dev/null") != 0) cr_skip_test("there is no gdb here");
    char emulator[4096] = TURTLE_PROGRAM;
    cr_assert(strlen(emulator) + 5 < sizeof emulator);
    strcat(emulator, "-emu");
    if (access(emulator, X_OK) != 0) cr_skip_test("no emulator was built");
    char *program = realpath(emulator, NULL);
    cr_assert(program);

    char *folder = temporary_folder(), *script = format_text("%s/script", folder);
    const char *arguments = script_of(&block, script);
    char *features = format_text("ln -s \"$PWD/" DEMO "/representations/patches/mnist_train.npy\" "
                                 "%s/x.npy",
                                 folder);
    cr_assert(system(features) == 0, "%s", features);
    char *command = format_text("cd %s && gdb -q -nx -batch -x script --args %s %s >out 2>&1 "
                                "</dev/null",
                                folder, program, arguments);
    if (system(command) != 0) cr_log_warn("gdb has failed");
    static char out[1 << 16];
    char *path = format_text("%s/out", folder);
    read_text(out, sizeof out, path);
    free(path), free(command), free(features), free(script), free(program);
    remove_folder(folder);
    if (strstr(out, "ptrace: Operation not permitted"))
        cr_skip_test("gdb may not trace processes here");

    int promised = 0;
    for (int i = 0; i < block.count; i++) /* lines between gdb's commands are its answers */
        if (i > 0 && !is_gdb(block.line[i]) && promised + is_gdb(block.line[i - 1]) > 0) {
            promised++;
            cr_expect(shows(out, block.line[i]), "'%s' is not in\n%s", block.line[i], out);
        }
    cr_expect(promised >= 3, "the recipe promises %d lines", promised);
}
