/* environment.c - every environment variable that the program or its tests read, and what it means. */
#include "host/tell/environment.h"

#include <stdlib.h>

#include "host/tell/lines.h"

const Variable environment[] = {
    {"TURTLE_DATA", "the default of --root_dir", false},
    {"TURTLE_ISA", "the instruction set of the CPU backend, one that `turtle info` names", false},
    {"TURTLE_KERNELS", "naive: a GPU runs the readable kernel of each operation", false},
    {"TURTLE_REPLAY", "0: a GPU replays no graph, every launch is made anew", false},
    {"TURTLE_RESIDENT", "0: features stay in host memory although they fit a GPU", false},
    {"TURTLE_SMS", "the most SMs that a GPU's plans and waiting blocks take", false},
    {"TURTLE_WAIT_SECONDS", "seconds after which waiting blocks give up, in the GPU tests", false},
    {"TURTLE_MIRROR", "the address of a mirror that `turtle prepare` asks first", false},
    {"NO_COLOR", "not empty: bars have no colour", false},
    {"TERM", "dumb: the progress is lines, not a bar, and nothing has a colour", true},
    {"COLUMNS", "how wide the table of clusters may be", true},
    {"PATH", "folders in which programs are looked for", true},
    {"EMU_CODE", "the architecture of the emulated kernels' code, as 80: older than the chip",
     false},
    {"EMU_DEVICE", "the chip that the emulator imitates: tiny, slice, h200, a100 or ada", false},
    {"EMU_DEVICES", "how many devices the emulator has; 1", false},
    {"EMU_GPCS", "the SMs of every GPC of an emulated device, as 16,18,16", false},
    {"EMU_MEMORY", "bytes of memory of an emulated device", false},
    {"EMU_SEED", "draws the order in which emulated threads and streams run; 1", false},
    {"REQUIRE_GPU", "set: tests that find no GPU fail instead of being skipped", false},
    {"TURTLE_TEST_EMULATED", "set: tests of memory are skipped, for an emulator has its own",
     false},
    {"TURTLE_TEST_FULL", "set: tests run all recorded runs and sizes (make test-full)", false},
    {"TURTLE_TEST_SMALL", "set: tests run small shapes only", false},
    {"TURTLE_TEST_PATIENCE", "a factor of the tests' time limits, by their own runner", false},
    {"TURTLE_TEST_SHOW", "set: tests print what they measured beside its limit", false},
    {"FUZZ_TARGET", "the reader that `make fuzz` feeds", false},
    {"TMPDIR", "where tests make their folders; /tmp", true},
    {0}};

void environment_tell(char **text, Json *j) {
    json_open(j, "environment");
    for (const Variable *v = environment; v->name; v++) {
        const char *value = v->everyday ? NULL : getenv(v->name);
        if (!value) continue;
        add_line(text, "environment   %s=%s: %s\n", v->name, value, v->meaning);
        json_text(j, v->name, value);
    }
    json_close(j);
}
