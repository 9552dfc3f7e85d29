/* course_text_test.c - each section of the course names functions, and has its check under its own name. */
#include "tests/support/check.h"

static const struct {
    const char *readme, *heading, *check;
} sections[] = {
    {"host/train/README.md", "## 1. Labels without labels\n", "labels_without_labels"},
    {"host/train/README.md", "## 2. Labels\n", "labels"},
    {"host/train/README.md", "## 3. The inner step\n", "inner_step"},
    {"host/train/README.md", "## 4. The outer gradient\n", "outer_gradient"},
    {"host/train/README.md", "## 5. The entropy, the start, the prior\n", "entropy"},
    {"kernels/cpu/train/README.md", "## 6. Numbers\n", "numbers"},
    {"kernels/cpu/train/README.md", "## 7. From loops to tiles to the slab\n", "tiles"},
    {"kernels/cpu/train/README.md", "## 8. Clusters, TMA and wgmma\n", "clusters"},
};
enum { SECTIONS = sizeof sections / sizeof *sections };

/* Returns how often `part` stands in the text. */
static int count(const char *text, const char *part) {
    int n = 0;
    while ((text = strstr(text, part))) n++, text += strlen(part);
    return n;
}

/* Returns whether the text names a `file:function`; that they exist is the business of tests/docs. */
static bool names_a_function(const char *text) {
    while ((text = strchr(text, ':'))) {
        const char before = text[-1], after = text[1];
        if ((before == 'c' || before == 'u' || before == 'h') && after >= 'a' && after <= 'z')
            return true;
        text++;
    }
    return false;
}

Test(course_text, sections_name_functions_and_their_check) {
    static char text[1 << 16], tests[1 << 16];
    read_text(tests, sizeof tests, "tests/both/course_test.c");
    cr_expect(count(tests, "\nTest(course, ") == SECTIONS);
    for (int i = 0; i < SECTIONS; i++) {
        read_text(text, sizeof text, sections[i].readme);
        char *begin = strstr(text, sections[i].heading);
        cr_assert(begin, "%s has no section '%s'", sections[i].readme, sections[i].heading);
        char *end = strstr(begin + 3, "\n## ");
        if (end) *end = '\0';
        char *said = format_text("**The check** is `course/%s`", sections[i].check);
        char *plain = format_text("\nTest(course, %s) {", sections[i].check);
        char *timed = format_text("\nTest(course, %s, ", sections[i].check);
        cr_expect(count(begin, said) == 1, "'%s' does not say: %s", sections[i].heading, said);
        cr_expect(count(tests, plain) + count(tests, timed) == 1, "there is no test course/%s",
                  sections[i].check);
        cr_expect(names_a_function(begin), "'%s' names no function", sections[i].heading);
        free(said), free(plain), free(timed);
    }
}

/* Reads what stands behind a name at the beginning of a patch. */
static void read_line(char *value, size_t bytes, const char *patch, const char *name) {
    const char *at = strstr(patch, name);
    cr_assert(at, "the patch has no line '%s'", name);
    at += strlen(name);
    const size_t length = strcspn(at, "\n");
    cr_assert(length > 0 && length < bytes);
    memcpy(value, at, length);
    value[length] = '\0';
}

/* Every exercise's command and solution stand in its section; that each solution does what the section says is run by
 * tests/exercises/run. */
Test(course_text, exercises_stand_in_their_sections) {
    static char text[1 << 16], patch[1 << 14];
    char command[512];
    for (int n = 1; n <= 2 * SECTIONS; n++) {
        const int s = (n - 1) / 2;
        char *path = format_text("tests/exercises/%02d.patch", n);
        char *title = format_text("\n**Exercise %d.** ", n), *line;
        read_text(text, sizeof text, sections[s].readme);
        read_text(patch, sizeof patch, path);
        read_line(command, sizeof command, patch, "\ncommand: ");
        char *begin = strstr(text, sections[s].heading), *end = strstr(begin + 3, "\n## ");
        if (end) *end = '\0';
        line = format_text("\n    %s\n", command);
        cr_expect(count(begin, title) == 1, "'%s' has no exercise %d", sections[s].heading, n);
        cr_expect(count(begin, line) >= 1, "exercise %d has another command than %s", n, path);
        cr_expect(count(begin, path) == 1, "exercise %d has no solution", n);
        free(path), free(title), free(line);
    }
}

/* A change of the tree that a solution does not know of is noticed before `make test-full`. */
Test(course_text, solutions_apply, .timeout = 60) {
    if (system("git --version >/dev/null 2>&1") != 0) cr_skip_test("there is no git here");
    for (int n = 1; n <= 2 * SECTIONS; n++) {
        char *command = format_text("git apply --check tests/exercises/%02d.patch", n);
        cr_expect(system(command) == 0, "%s", command);
        free(command);
    }
}
