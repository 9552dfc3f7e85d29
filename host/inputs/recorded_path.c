/* recorded_path.c - where a path of run.json lies. */
#include "host/inputs/recorded_path.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/files/file.h"

char *recorded_path(const char *directory, const char *path) {
    if (path[0] == '/' || !directory || directory[0] != '/') return strdup(path);
    char *whole = format_text("%s/%s", directory, path);
    if (!whole || access(whole, F_OK) == 0) return whole;
    free(whole);
    return strdup(path);
}
