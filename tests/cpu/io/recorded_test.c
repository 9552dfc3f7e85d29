/* recorded_test.c - recorded files are unpacked to the last bit, or not at all. */
#include "tests/support/check.h"

/* Makes a folder that holds one packed golden, the list of checksums and the program that
 * unpacks. */
static char *small_tree(void) {
    char *root = temporary_folder();
    char *command = format_text(
        "mkdir -p %s/data %s/tests/goldens/npy && cp data/unpack data/recorded.sha256 " TURTLE_BUILD
        "/planes "
        "%s/data && cp tests/goldens/npy/half_all.npy.planes?.gz %s/tests/goldens/npy",
        root, root, root, root);
    cr_assert(system(command) == 0, "%s", command);
    free(command);
    return root;
}

static int unpack(const char *root, const char *before, char *says, size_t bytes) {
    char *command =
        format_text("cd %s && { %s; } && data/unpack data/planes build 2>says", root, before);
    char *log = format_text("%s/says", root);
    const int state = system(command);
    read_text(says, bytes, log);
    free(command);
    free(log);
    return WEXITSTATUS(state);
}

Test(recorded, every_checksum_has_its_file) {
    char line[256], path[256];
    int files = 0;
    FILE *list = fopen("data/recorded.sha256", "r");
    cr_assert(list != NULL);
    while (fgets(line, sizeof line, list)) {
        line[strcspn(line, "\n")] = '\0';
        cr_assert(strlen(line) > 66);
        snprintf(path, sizeof path, TURTLE_BUILD "/%.180s", line + 66);
        cr_expect(file_exists(path), "%s", path);
        files++;
    }
    fclose(list);
    cr_expect(files >= 48, "only %d files", files);
}

Test(recorded, unpacked_files_have_the_recorded_checksums, .timeout = 60) {
    cr_expect(system("cd build && sha256sum -c --quiet ../data/recorded.sha256 >&2") == 0);
}

Test(recorded, planes_of_every_width_and_length_come_back, .timeout = 60) {
    char *root = temporary_folder();
    for (int length = 0; length < 20; length += 1 + length / 9)
        for (int width = 1; width <= 8; width++) {
            char *command =
                format_text("head -c %d README.md >%s/a && " TURTLE_BUILD "/planes split %d <%s/a "
                            "| " TURTLE_BUILD "/planes join %d | cmp - %s/a",
                            length, root, width, root, width, root);
            cr_expect(system(command) == 0, "%s", command);
            free(command);
        }
    remove_folder(root);
}

Test(recorded, changed_files_are_not_unpacked, .timeout = 60) {
    static const struct {
        const char *before, *says;
    } cases[] = {
        {"sed -i 's/^......../00000000/' data/recorded.sha256", "not those that were recorded"},
        {"sed -i /half_all.npy/d data/recorded.sha256", "no checksum of goldens/npy/half_all.npy"},
        {"f=$(ls tests/goldens/npy/*); head -c 700 $f >x; mv x $f", "gzip cannot inflate it"},
        {"f=$(ls tests/goldens/npy/*); echo text >$f", "gzip cannot inflate it"},
        {"f=$(ls tests/goldens/npy/*); mv $f ${f%planes?.gz}planes3.gz",
         "not those that were recorded"},
        {"rm tests/goldens/npy/*", "no packed files"},
    };
    char says[2048];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *root = small_tree(), *file = format_text("%s/build/goldens/npy/half_all.npy", root);
        cr_expect(unpack(root, cases[i].before, says, sizeof says) != 0, "%s", cases[i].before);
        cr_expect(strstr(says, cases[i].says), "%s: %s", cases[i].before, says);
        cr_expect(!file_exists(file), "%s", cases[i].before);
        char *left = format_text("test -z \"$(ls -A %s/build)\"", root);
        cr_expect(system(left) == 0, "%s: something was left", cases[i].before);
        free(left);
        free(file);
        remove_folder(root);
    }
    char *root = small_tree();
    cr_expect(unpack(root, "true", says, sizeof says) == 0, "%s", says);
    char *file = format_text("%s/build/goldens/npy/half_all.npy", root);
    cr_expect(file_exists(file));
    free(file);
    remove_folder(root);
}
