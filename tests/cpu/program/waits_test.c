/* waits_test.c - tests/waits finds the kernels that wait and are built without limits in tests. */
#include "tests/support/check.h"

/* Runs tests/waits over the sources in `folder`. Returns its status. */
static int waits(const char *folder, char *text, size_t size) {
    char *command = format_text("tests/waits %s 2>&1", folder);
    FILE *f = popen(command, "r");
    cr_assert(f != NULL);
    text[fread(text, 1, size - 1, f)] = '\0';
    free(command);
    return pclose(f);
}

Test(waits, every_kernel_that_waits_gives_up_in_tests, .timeout = 60) {
    char text[4096];
    cr_expect(waits(".", text, sizeof text) == 0, "%s", text);
    cr_expect(strstr(text, " sources wait"), "%s", text);
}

Test(waits, a_source_that_the_list_lacks_is_named, .timeout = 60) {
    static const char *const planted[] = {
        "__global__ void k(unsigned *c) {\n    wait_for(c, 1);\n}\n",
        "#include \"kernels/cuda/train/gradient.cuh\"\n", /* whose text waits */
        "#include \"kernels/cuda/tile/tile.cuh\"\n",      /* which only defines waits */
    };
    char text[4096], *folder = temporary_folder();
    char *copy =
             format_text("mkdir -p %s/kernels && cp -r kernels/cuda kernels/rules.mk %s/kernels",
                         folder, folder),
         *path = format_text("%s/kernels/cuda/train/planted.cu", folder);
    cr_assert(system(copy) == 0);
    for (int i = 0; i < 3; i++) {
        FILE *f = fopen(path, "w");
        cr_assert(f && fputs(planted[i], f) >= 0 && fclose(f) == 0);
        const int status = waits(folder, text, sizeof text);
        cr_expect((status != 0) == (i < 2) && !strstr(text, "planted.cu waits") == (i == 2),
                  "%d: %s", i, text);
    }
    free(copy), free(path);
    remove_folder(folder);
}
