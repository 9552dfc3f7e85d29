/* info.c - what this program is: version, devices, instruction sets, environment. */
#include "host/tell/info.h"

#include <stdlib.h>

#include "host/tell/environment.h"
#include "host/tell/lines.h"
#include "host/turtle.h"
#include "kernels/ops.h"
#include "version.h"

const char *turtle_version(void) {
    return TURTLE_VERSION " (" TURTLE_COMMIT ", " TURTLE_COMPILER ", CUDA " TURTLE_CUDA ")";
}

char *turtle_error_json(const Error *err) {
    Json j = {0};
    json_open(&j, NULL);
    json_text(&j, "error", err->text);
    json_close(&j);
    return json_take(&j);
}

/* Tells the GPUs of this machine, whichever would be taken, or why there is none. */
static void info_cuda(char **text, Json *j) {
    CudaDevice devices[CUDA_MAX_DEVICES];
    char versions[128];
    Error err = {""};
    const int count = cuda_devices(devices, versions, &err);
    add_line(text, "cuda          %s%s%s\n", versions, versions[0] && !count ? "; " : "",
             count ? "" : err.text);
    json_text(j, "cuda_versions", versions);
    json_open_array(j, "cuda_devices");
    for (int i = 0; i < count; i++) {
        add_line(text, "  cuda:%d      %s%s%s\n", i, devices[i].name, devices[i].why[0] ? ": " : "",
                 devices[i].why);
        json_text(j, NULL, devices[i].name);
    }
    json_close_array(j);
}

void info_program(char **text, Json *j) {
    const char *sets[CPU_MAX_SETS + 1];
    cpu_instruction_sets(sets);
    const char *data = getenv("TURTLE_DATA"), *isa = getenv("TURTLE_ISA");
    add_line(text, "turtle %s\n", turtle_version());
    json_text(j, "commit", TURTLE_COMMIT);
    json_text(j, "compiler", TURTLE_COMPILER);
    json_text(j, "cuda", TURTLE_CUDA);

    Ops ops;
    Error err = {""};
    const char *why = NULL;
    json_open_array(j, "devices");
    if (ops_open(&ops, "auto", 0, &why, &err) == OK) {
        add_line(text, "device        %s: %s%s%s\n", ops.kind, ops.name, why ? "; " : "",
                 why ? why : "");
        json_text(j, NULL, ops.name);
        ops_close(&ops);
    } else {
        add_line(text, "device        none: %s\n", err.text);
    }
    json_close_array(j);

    info_cuda(text, j);
    add_line(text, "instructions ");
    json_open_array(j, "instruction_sets");
    for (int i = 0; sets[i]; i++) {
        add_line(text, " %s", sets[i]);
        json_text(j, NULL, sets[i]);
    }
    json_close_array(j);
    add_line(text, " (TURTLE_ISA chooses; now %s)\n", isa ? isa : "the first");
    add_line(text, "root_dir      %s (TURTLE_DATA)\n", data && *data ? data : "data");
    environment_tell(text, j);
}
