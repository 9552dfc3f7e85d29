/* public_names_test.c - host/turtle.h leaves its includer every short name, in C11 and in C++17. */
#include "tests/support/check.h"

/* A caller's own names, all of which we use inside; the values differ from ours. */
static const char caller[] =
    "#include \"%s\"\n"
    "#include \"host/turtle.h\"\n"
    "typedef long Status;\n"
    "typedef struct { int line; } Error;\n"
    "enum { OK = 7, ERR_ARG, ERR_USAGE, ERR_FORMAT, ERR_IO, ERR_MEMORY };\n"
    "enum { ERR_DEVICE, ERR_STOPPED, ERR_DIVERGED, PRINTF_LIKE };\n"
    "static int fail(int x) { return x; }\n"
    "int main(void) {\n"
    "    TurtleTrainOptions options;\n"
    "    TurtleResult result;\n"
    "    TurtleError error;\n"
    "    Status own = OK;\n"
    "    Error mine = {0};\n"
    "    turtle_train_defaults(&options);\n"
    "    if (turtle_train(&options, &result, &error) != TURTLE_OK)\n"
    "        return fail(error.text[0] + mine.line);\n"
    "    turtle_result_free(&result);\n"
    "    return own == 7 ? 0 : 1;\n"
    "}\n";

/* Compiles a caller that includes `header`. Returns the compiler's status, or -1 where none is here. */
static int compile(const char *header, const char *compilers, const char *flags,
                   const char *ending) {
    char *folder = temporary_folder(), source[2048];
    char *path = format_text("%s/caller.%s", folder, ending);
    const int n = snprintf(source, sizeof source, caller, header);
    write_bytes(path, source, (size_t)n);
    char *command = format_text("for c in %s; do command -v $c >/dev/null || continue; "
                                "$c %s -pedantic-errors -Wall -Wextra -Werror -I. -fsyntax-only %s "
                                ">/dev/null 2>%s/said || exit 1; exit 0; done; exit 99",
                                compilers, flags, path, folder);
    const int ended = system(command), status = WIFEXITED(ended) ? WEXITSTATUS(ended) : 1;
    char said[2048];
    char *said_path = format_text("%s/said", folder);
    read_text(said, sizeof said, said_path);
    if (status == 1 && getenv("TURTLE_TEST_SHOW")) fprintf(stderr, "%s\n", said);
    free(said_path);
    free(command);
    free(path);
    remove_folder(folder);
    return status == 99 ? -1 : status;
}

Test(public_names, c11, .timeout = 60) {
    const int status = compile("host/turtle.h", "cc gcc clang", "-std=c11", "c");
    if (status < 0) cr_skip_test("no C compiler in PATH");
    cr_expect(status == 0, "a caller with its own OK, Status, Error and fail does not compile");
    cr_expect(compile("io/status.h", "cc gcc clang", "-std=c11", "c") == 1,
              "the short names clash where they are defined: the test sees it");
}

Test(public_names, cpp17, .timeout = 60) {
    const int status = compile("host/turtle.h", "c++ g++ clang++", "-std=c++17", "cpp");
    if (status < 0) cr_skip_test("no C++ compiler in PATH");
    cr_expect(status == 0, "a caller with its own OK, Status, Error and fail does not compile");
}
