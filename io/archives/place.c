/* place.c - whether a name inside an archive may be a place below a folder. */
#include "io/archives/place.h"

#include <string.h>
#include <strings.h>

enum { MOST_PART = 255, MOST_NAME = 3000 };

static Status refused(const char *name, const char *archive, const char *why, Error *err) {
    return fail(err, ERR_FORMAT, "unpack: %s: the name \"%s\" %s: refused", archive, name, why);
}

Status place_check(char *name, const char *archive, Error *err) {
    if (*name == '/') return refused(name, archive, "is an absolute path", err);
    if (strlen(name) > MOST_NAME) return refused(name, archive, "is too long", err);
    for (const char *c = name; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            return refused(name, archive, "holds a control character", err);
        if (*c == '\\') return refused(name, archive, "holds a backslash", err);
    }
    for (const char *part = name; *part;) { /* all parts, before one is moved */
        const size_t n = strcspn(part, "/");
        if (n == 2 && part[0] == '.' && part[1] == '.')
            return refused(name, archive, "leads out with ..", err);
        if (n > MOST_PART) return refused(name, archive, "has a part of more than 255 bytes", err);
        part += n + (part[n] == '/');
    }
    char *to = name;
    for (const char *part = name; *part;) {
        const size_t n = strcspn(part, "/");
        const char *next = part + n + (part[n] == '/');
        if (n > 0 && !(n == 1 && *part == '.')) {
            if (to > name) *to++ = '/';
            memmove(to, part, n);
            to += n;
        }
        part = next;
    }
    *to = '\0';
    return OK;
}

bool place_link_stays(const char *place, const char *target) {
    int depth = 0; /* folders between the root and the link */
    for (const char *c = place; *c; c++) depth += *c == '/';
    if (!*target || *target == '/' || strchr(target, '\\')) return false;
    for (const char *part = target; *part;) {
        const size_t n = strcspn(part, "/");
        const bool up = n == 2 && part[0] == '.' && part[1] == '.';
        if (up && --depth < 0) return false;
        if (!up && n > 0 && !(n == 1 && *part == '.')) depth++;
        part += n + (part[n] == '/');
    }
    return true;
}

bool place_is_archive(const char *place) {
    static const char *const endings[] = {".tar", ".tar.gz", ".tgz"};
    const size_t n = strlen(place);
    for (int i = 0; i < 3; i++) {
        const size_t e = strlen(endings[i]);
        if (n > e && strcasecmp(place + n - e, endings[i]) == 0) return true;
    }
    return false;
}
