/* common.c - what all calls share: defaults, the meaning of --precision, members of the JSON object. */
#include "host/tell/common.h"

#include <stdlib.h>
#include <string.h>

TurtleCommon common_defaults(void) {
    const char *root = getenv("TURTLE_DATA");
    return (TurtleCommon){.root_dir = root && *root ? root : "data",
                          .device = "auto",
                          .precision = "auto",
                          .seed = 42};
}

Status common_check(const TurtleCommon *common, Error *err) {
    static const char *const names[] = {"auto", "fp32", "tf32", "fp16", "bf16"};
    if (!common->device || !common->precision)
        return fail(err, ERR_USAGE,
                    "options: device and precision are texts, not NULL: begin with the defaults");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(common->precision, names[i]) == 0) return OK;
    return fail(err, ERR_USAGE, "--precision '%s': expected auto, fp32, tf32, fp16 or bf16",
                common->precision);
}

const char *precision_used(const TurtleCommon *common) {
    return strcmp(common->precision, "auto") == 0 ? "fp32" : common->precision;
}

void json_common(Json *j, const char *command, const TurtleCommon *common, const char *device,
                 const char *precision) {
    json_text(j, "command", command);
    json_text(j, "version", turtle_version());
    json_integer(j, "seed", (int64_t)common->seed);
    json_text(j, "device", device);
    json_text(j, "precision", precision);
}

void json_files(Json *j, const char *lines) {
    json_open_array(j, "files");
    for (const char *line = lines; line && *line; line = strchr(line, '\n') + 1) {
        char *path = strndup(line, (size_t)(strstr(line, "  (") - line));
        json_text(j, NULL, path);
        free(path);
    }
    json_close_array(j);
}
