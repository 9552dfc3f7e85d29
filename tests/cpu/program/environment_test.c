/* environment_test.c - the table of environment variables against the calls of getenv in the sources. */
#include "host/tell/environment.h"
#include "tests/support/check.h"

/* Names in calls of getenv, and of the emulator's number, which reads a variable; one a line. */
static const char find_names[] =
    "grep -rhoE '\\b(getenv|number)\\(\"[A-Z_]+\"' host io kernels tests bench data "
    "--include='*.[ch]' --include='*.cu' --include='*.cuh' --include='*.cpp' | "
    "sed 's/.*(\"//; s/\"//' | sort -u";

enum { MOST = 64 };
static int read_names(char name[MOST][48]) {
    int n = 0;
    FILE *f = popen(find_names, "r");
    cr_assert(f != NULL);
    while (n < MOST && fscanf(f, "%47s", name[n]) == 1) n++;
    pclose(f);
    return n;
}

Test(environment, the_table_has_what_the_sources_read, .timeout = 60) {
    char name[MOST][48];
    const int n = read_names(name);
    int rows = 0;
    cr_assert(n >= 15 && n < MOST, "%d names: the sources are not here?", n);
    for (const Variable *v = environment; v->name; v++, rows++) {
        int found = 0;
        for (int i = 0; i < n; i++) found += strcmp(name[i], v->name) == 0;
        cr_expect(found == 1, "%s is in the table, but nobody reads it", v->name);
        cr_expect(v->meaning && *v->meaning, "%s has no meaning", v->name);
    }
    for (int i = 0; i < n; i++) {
        int found = 0;
        for (const Variable *v = environment; v->name; v++) found += strcmp(name[i], v->name) == 0;
        cr_expect(found == 1, "getenv(\"%s\") stands %d times in host/tell/environment.c", name[i],
                  found);
    }
    cr_expect(rows == n);
}

Test(environment, info_prints_what_is_set, .timeout = 60) {
    Ran ran;
    setenv("TURTLE_ISA", "portable", 1);
    unsetenv("TURTLE_REPLAY");
    run_turtle(&ran, "info");
    cr_expect(ran.status == 0 && strstr(ran.out, "TURTLE_ISA=portable: "), "%s", ran.out);
    cr_expect(!strstr(ran.out, "TURTLE_REPLAY=") && !strstr(ran.out, "PATH="), "%s", ran.out);
    run_turtle(&ran, "info --json");
    cr_expect(strstr(ran.out, "\"environment\": {") &&
                  strstr(ran.out, "\"TURTLE_ISA\": \"portable\""),
              "%s", ran.out);
}
