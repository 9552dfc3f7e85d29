/* profile_test.c - the line of kernels/README.md that profiles a kernel, run on the emulator. */
#include "tests/support/check.h"

#ifdef TEST_EMULATED

#define SMALL "N 300 d 32 C 10 B 200"

/* bench/profile as `make profile K=<kernel> CASE=<SMALL>` calls it. Returns its exit status. */
static int profile(const char *kernel, char *says, size_t bytes) {
    char *folder = temporary_folder(), *log = format_text("%s/says", folder);
    char *make_features = format_text("%s", TURTLE_PROGRAM);
    strcpy(strrchr(make_features, '/') + 1, ""); /* both lie in one folder */
    char *command =
        format_text("bench/profile " TURTLE_PROGRAM " %s %sbench-kmeans '%s' '" SMALL "' >%s 2>&1",
                    folder, make_features, kernel, log);
    const int state = system(command);
    read_text(says, bytes, log);
    free(log), free(make_features), free(command);
    remove_folder(folder);
    return WEXITSTATUS(state);
}

Test(profile, the_line_of_the_readme_finds_its_kernel, .timeout = 300) {
    char readme[65536], says[16384], kernel[64];
    read_text(readme, sizeof readme, "kernels/README.md");
    const char *line = strstr(readme, "make profile K=");
    cr_assert(line && sscanf(line, "make profile K=%63[A-Za-z0-9_]", kernel) == 1,
              "kernels/README.md has no line that profiles a kernel");
    cr_expect(profile(kernel, says, sizeof says) == 0, "%s", says);
    cr_expect(strstr(says, "kernels on cuda (emulated)"), "%s", says);
    cr_expect(strstr(says, " kernels\n") && strstr(says, kernel), "%s", says);
}

Test(profile, a_kernel_that_was_not_launched_is_an_error, .timeout = 300) {
    char says[16384];
    cr_expect(profile("no_such_kernel", says, sizeof says) == 1, "%s", says);
    cr_expect(strstr(says, "no kernel of this training has 'no_such_kernel' in its name"), "%s",
              says);
    cr_expect(strstr(says, "it launched: "), "%s", says);
}

#endif
