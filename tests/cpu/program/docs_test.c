/* docs_test.c - the check of the READMEs (tests/docs) can fail: it reports every wrong name that it is given, and no
 * right one. Whether the READMEs of this tree are right, `make lint` says. */
#include "tests/support/check.h"

Test(docs, planted_names_are_found, .timeout = 120) {
    char says[4096], *folder = temporary_folder(), *log = format_text("%s/says", folder);
    char *command = format_text("tests/docs --self-test " TURTLE_PROGRAM " >%s 2>&1", log);
    const int state = system(command);
    read_text(says, sizeof says, log);
    cr_expect(WEXITSTATUS(state) == 0, "%s", says);
    cr_expect(strstr(says, "planted names were found"), "%s", says);
    free(command);
    free(log);
    remove_folder(folder);
}

/* A README without a name would pass whatever the check does. */
Test(docs, nothing_to_look_at_is_a_failure, .timeout = 120) {
    char says[4096], *folder = temporary_folder(), *log = format_text("%s/says", folder),
                     *readme = format_text("%s/README.md", folder);
    write_bytes(readme, "words\n", 6);
    char *command = format_text("tests/docs " TURTLE_PROGRAM " %s >%s 2>&1", readme, log);
    const int state = system(command);
    read_text(says, sizeof says, log);
    cr_expect(WEXITSTATUS(state) == 1, "%s", says);
    cr_expect(strstr(says, "1 READMEs: 0 links, 0 files, 0 names"), "%s", says);
    free(command);
    free(readme);
    free(log);
    remove_folder(folder);
}
