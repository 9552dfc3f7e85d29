/* digest.c - published weights are what their source says they are. */
#include "host/tell/digest.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "host/tell/notify.h"
#include "io/files/file.h"
#include "io/files/sha256.h"

/* Writes the line of <path>.sha256: "<digest> <bytes> <seconds>.<nanoseconds>". */
static void state_line(char line[160], const char *hex, const struct stat *s) {
    snprintf(line, 160, "%s %lld %lld.%09ld", hex, (long long)s->st_size,
             (long long)s->st_mtim.tv_sec, s->st_mtim.tv_nsec);
}

/* Finds the digest that was computed for exactly this file before. Returns false if there is none. */
static bool remembered(char hex[SHA256_HEX + 1], const char *note, const struct stat *s) {
    FileMap map;
    char line[160];
    bool known = false;
    if (file_map(&map, note, NULL) != OK) return false;
    if (map.bytes > SHA256_HEX) {
        memcpy(hex, map.data, SHA256_HEX);
        hex[SHA256_HEX] = '\0';
        state_line(line, hex, s);
        known = map.bytes == (int64_t)strlen(line) + 1 &&
                memcmp(map.data, line, (size_t)map.bytes - 1) == 0;
    }
    file_unmap(&map);
    return known;
}

void digest_check(const char *path, const char *expected, const TurtleHooks *hooks) {
    struct stat s;
    char hex[SHA256_HEX + 1], line[160];
    char *note = format_text("%s.sha256", path);
    FileMap map;
    if (!note || stat(path, &s) != 0) {
        free(note);
        return;
    }
    const bool before = remembered(hex, note, &s);
    if (!before && file_map(&map, path, NULL) == OK) {
        sha256_hex(hex, map.data, map.bytes);
        file_unmap(&map);
        state_line(line, hex, &s);
        file_write_text(note, line,
                        NULL); /* a folder that refuses it costs the next call a reading */
        if (strcmp(hex, expected) == 0)
            notice(hooks, "weights: %s: the SHA-256 digest is the published one", path);
    }
    if (strcmp(hex, expected) != 0)
        notice(
            hooks,
            "weights: %s: the SHA-256 digest is %s, the published one is %s: the file is not the "
            "published model, or was damaged on its way; it is used as it is",
            path, hex, expected);
    free(note);
}
