/* setup_test.c - how a machine is set up (.ci): what apt-get brought is looked at, whatever it says.
 *
 * Each test has a folder of its own in front of the PATH, in which apt-get, dpkg-query and id are
 * scripts, and g++ does not work: no package of this machine is touched.
 */
#include "tests/support/check.h"

/* apt-get that says yes to everything, writes down what it was asked for, and brings `brings`, a
 * command of the shell, when it installs. */
static char *machine(bool root, const char *brings) {
    char *folder = temporary_folder();
    char *command = format_text(
        "cd %s && printf '#!/bin/sh\\necho \"$@\" >>%s/asked\\ncase \"$*\" in *install*) %s;; "
        "esac\\nexit 0\\n' >apt-get && printf '#!/bin/sh\\nexit 1\\n' >dpkg-query && "
        "cp dpkg-query apt-cache && cp dpkg-query g++ && printf '#!/bin/sh\\necho %d\\n' >id && "
        "chmod +x *",
        folder, folder, brings, root ? 0 : 1000);
    cr_assert(system(command) == 0, "%s", command);
    free(command);
    return folder;
}

/* Runs a command at the root of the tree; `says` takes stdout and stderr. Returns its status. */
static int run_there(const char *folder, const char *what, char *says, size_t bytes) {
    char *command = format_text("PATH=%s:$PATH %s >%s/says 2>&1", folder, what, folder);
    char *log = format_text("%s/says", folder);
    const int state = system(command);
    read_text(says, bytes, log);
    free(command);
    free(log);
    return WEXITSTATUS(state);
}

static void expect_asked(const char *folder, const char *what, bool asked) {
    char text[4096], *path = format_text("%s/asked", folder);
    read_text(text, sizeof text, path);
    cr_expect((strstr(text, what) != NULL) == asked, "%s: %s", what, text);
    free(path);
}

Test(setup, a_package_that_did_not_come_is_named, .timeout = 60) {
    static const struct {
        const char *what, *says, *asked;
        int status;
    } cases[] = {
        {".ci/packages %s/p gcc no/such.h libno-dev", "install libno-dev", "libno-dev", 1},
        {".ci/packages %s/p 'env gcc' no/such.h libno-dev", "install libno-dev", "libno-dev", 1},
        {".ci/cxx no-such-c++ %s/p get gcc", "none no C++ compiler", "g++", 0},
        {".ci/install %s/p g++", "", "g++", 1},
    };
    char says[4096];
    for (int root = 0; root < 2; root++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            char *folder = machine(root, ":"), *what = format_text(cases[i].what, folder);
            cr_expect(run_there(folder, what, says, sizeof says) == cases[i].status, "%s", what);
            cr_expect(strstr(says, cases[i].says), "%s: %s", what, says);
            expect_asked(folder, "update", true);
            if (root) expect_asked(folder, cases[i].asked, true);
            expect_asked(folder, root ? "download" : "install ", false);
            free(what);
            remove_folder(folder);
        }
}

Test(setup, a_package_that_came_is_used, .timeout = 60) {
    char says[4096], *folder = machine(true, ":"), *what, *header;
    header = format_text("mkdir -p %s/p/usr/include/no && touch %s/p/usr/include/no/such.h", folder,
                         folder);
    cr_assert(system(header) == 0);
    what = format_text(".ci/packages %s/p gcc no/such.h libno-dev", folder);
    cr_expect(run_there(folder, what, says, sizeof says) == 0);
    cr_expect_str_empty(says);
    free(header);
    free(what);
    remove_folder(folder);
    folder = machine(true, "mkdir -p p/usr/include/no; touch p/usr/include/no/such.h");
    what = format_text(
        "sh -c 'cd %s && ln -s '$PWD'/.ci . && .ci/packages p gcc no/such.h libno-dev'", folder);
    cr_expect(run_there(folder, what, says, sizeof says) == 0, "%s", says);
    cr_expect(strstr(says, "installing libno-dev with apt-get"), "%s", says);
    expect_asked(folder, "install", true);
    free(what);
    remove_folder(folder);
}

/* The compiler is a script that, like a bare gcc package, has no headers until `libc` is there. */
Test(setup, a_compiler_without_a_c_library_is_named_or_helped, .timeout = 60) {
    static const char *const gcc =
        "cd %s && printf '#!/bin/sh\\n"
        "[ -e %s/libc ] || case \"$*\" in *fsyntax-only*) ;; *) exit 1;; esac\\n"
        "exit 0\\n' >gcc && chmod +x gcc";
    char says[4096], *folder, *command, *what;
    for (int root = 0; root < 2; root++)
        for (int comes = 0; comes < 2; comes++) {
            folder = machine(root, comes ? ": >$(dirname $0)/libc" : ":");
            command = format_text(gcc, folder, folder);
            cr_assert(system(command) == 0);
            what = format_text(".ci/cc gcc %s/p get", folder);
            cr_expect(run_there(folder, what, says, sizeof says) == 0);
            cr_expect(strstr(says, "libc6-dev") && strstr(says, "stdint.h"), "%s", says);
            cr_expect((strstr(says, "use:gcc") != NULL) == (root && comes), "%s", says);
            cr_expect((strstr(says, "none the C compiler 'gcc'") != NULL) == !(root && comes), "%s",
                      says);
            free(what);
            free(command);
            remove_folder(folder);
        }
    folder = machine(true, ":");
    run_there(folder, ".ci/cc /no/such/compiler build/packages get", says, sizeof says);
    cr_expect(strstr(says, "none the C compiler '/no/such/compiler' is not here"), "%s", says);
    command = format_text("%s/asked", folder);
    cr_expect(!file_exists(command), "something was installed for a compiler that nobody knows");
    free(command);
    remove_folder(folder);
}

/* DEPS=0, and a caller who only looks: no script asks apt for anything, whatever is missing. */
Test(setup, nothing_is_installed_where_that_is_not_wanted, .timeout = 60) {
    static const struct {
        const char *what, *says;
        int status;
    } cases[] = {
        {"DEPS=0 .ci/packages %s/p gcc no/such.h libno-dev", "install libno-dev", 1},
        {"DEPS=0 .ci/cxx no-such-c++ %s/p get gcc", "install g++", 0},
        {".ci/cxx no-such-c++ %s/p look gcc", "install g++", 0},
        {"DEPS=0 .ci/cc gcc-999 %s/p get", "install gcc libc6-dev", 0},
        {".ci/cc gcc-999 %s/p look", "install gcc libc6-dev", 0},
        {"DEPS=0 .ci/install %s/p g++", "", 1},
    };
    char says[4096];
    for (int root = 0; root < 2; root++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            char *folder = machine(root, ":"), *what = format_text(cases[i].what, folder);
            char *asked = format_text("%s/asked", folder), *command;
            command = format_text("sh -c '%s'", what);
            cr_expect(run_there(folder, command, says, sizeof says) == cases[i].status, "%s", what);
            cr_expect(strstr(says, cases[i].says), "%s: %s", what, says);
            cr_expect(!file_exists(asked), "%s asked apt", what);
            free(what), free(asked), free(command);
            remove_folder(folder);
        }
}

Test(setup, tools_that_are_missing_are_listed_once) {
    char says[4096], *folder = machine(false, ":");
    run_there(folder, ".ci/tools missing test g++ nvcc", says, sizeof says);
    cr_expect(strstr(says, "g++\t") && strstr(says, "nvcc\t"), "%s", says);
    run_there(folder, ".ci/tools missing test", says, sizeof says);
    cr_expect(!strstr(says, "g++") && !strstr(says, "nvcc"), "%s", says);
    /* a PATH with nothing but what the script itself needs */
    char *command = format_text("cd %s && mkdir bin && ln -s /bin/cat /bin/grep bin", folder);
    cr_assert(system(command) == 0);
    free(command);
    command = format_text("env PATH=%s/bin /bin/sh .ci/tools missing lint", folder);
    run_there(folder, command, says, sizeof says);
    cr_expect(strstr(says, "clang-tidy\t") && strstr(says, "cppcheck\t"), "%s", says);
    free(command);
    command = format_text("env PATH=%s/bin /bin/sh .ci/tools missing test", folder);
    run_there(folder, command, says, sizeof says);
    cr_expect(strstr(says, "convert\t") && strstr(says, "ffmpeg\t"), "%s", says);
    free(command);
    remove_folder(folder);
}
