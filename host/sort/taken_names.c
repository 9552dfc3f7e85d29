/* taken_names.c - names of folders and of files in them: made safe, and no two alike in one folder. */
#include "host/sort/taken_names.h"

#include <stdlib.h>
#include <string.h>

#include "io/files/file.h"

Status taken_open(TakenNames *out, int64_t most, Error *err) {
    *out = (TakenNames){.slots = 64};
    while (out->slots < 2 * most) out->slots *= 2;
    out->slot = calloc((size_t)out->slots, sizeof *out->slot);
    if (out->slot) return OK;
    *out = (TakenNames){0};
    return fail(err, ERR_MEMORY, "sort: out of memory for %lld names", (long long)most);
}

void taken_close(TakenNames *taken) {
    if (!taken) return;
    free(taken->slot);
    *taken = (TakenNames){0};
}

/* Returns the slot that holds the name, or the free one where it belongs (FNV-1a). */
static TakenName *find(const TakenNames *taken, int64_t folder, const char *name) {
    uint64_t hash = 0xcbf29ce484222325u ^ (uint64_t)folder * 0x9e3779b97f4a7c15u;
    for (const char *c = name; *c; c++) hash = (hash ^ (uint8_t)*c) * 0x100000001b3u;
    for (uint64_t at = hash ^ hash >> 29;; at++) {
        TakenName *slot = &taken->slot[at & (uint64_t)(taken->slots - 1)];
        if (!slot->name || (slot->folder == folder && strcmp(slot->name, name) == 0)) return slot;
    }
}

bool taken_take(TakenNames *taken, int64_t folder, const char *name) {
    TakenName *slot = find(taken, folder, name);
    if (slot->name) return false;
    *slot = (TakenName){name, folder, 2};
    return true;
}

int64_t whole_characters(const char *text, int64_t most) {
    int64_t n = (int64_t)strlen(text);
    if (n <= most) return n;
    for (n = most; n > 0 && n > most - 4 && ((uint8_t)text[n] & 0xc0) == 0x80;) n--;
    return ((uint8_t)text[n] & 0xc0) == 0x80 ? most : n; /* no UTF-8 has four such bytes */
}

char *taken_number(TakenNames *taken, int64_t folder, const char *name, bool ending) {
    enum { LONGEST_ENDING = 16 };
    TakenName *owner = find(taken, folder, name);
    const char *dot = ending ? strrchr(name, '.') : NULL;
    if (!dot || dot == name || strlen(dot) > LONGEST_ENDING) dot = name + strlen(name);
    for (int64_t number = owner->name ? owner->next : 2;; number++) {
        char digits[32];
        snprintf(digits, sizeof digits, "_%lld", (long long)number);
        const int64_t room = NAME_MOST - (int64_t)(strlen(digits) + strlen(dot));
        int64_t stem = whole_characters(name, room);
        if (stem > dot - name) stem = dot - name;
        char *numbered = format_text("%.*s%s%s", (int)stem, name, digits, dot);
        if (!numbered) return NULL;
        if (taken_take(taken, folder, numbered)) {
            if (owner->name) owner->next = number + 1;
            return numbered;
        }
        free(numbered);
    }
}

char *safe_name(const char *name, int64_t most) {
    char *safe = strndup(name, (size_t)whole_characters(name, most));
    for (char *c = safe; c && *c; c++)
        if ((uint8_t)*c < 0x20 || *c == 0x7f || *c == '/' || *c == '\\') *c = '_';
    if (safe && *safe == '.') *safe = '_';
    return safe;
}
