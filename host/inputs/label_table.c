/* label_table.c - one number for every distinct label: a hash table of texts. */
#include "host/inputs/label_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_SLOTS = 64, FIRST_ROOM = 1024 };

static Status out_of_memory(Error *err) {
    return fail(err, ERR_MEMORY, "labels: out of memory for their distinct values");
}

/* Returns FNV-1a with its high bits folded in: short decimals differ in few bits. */
static uint64_t hash(const char *text, int64_t n) {
    uint64_t h = UINT64_C(14695981039346656037);
    for (int64_t i = 0; i < n; i++) h = (h ^ (uint8_t)text[i]) * UINT64_C(1099511628211);
    return h ^ h >> 32;
}

const char *label_table_text(const LabelTable *t, int64_t number) {
    return t->text + t->at[number];
}

/* Returns the slot of a text: its own, or the free one where it belongs. */
static int64_t find_slot(const LabelTable *t, const char *text, int64_t n) {
    int64_t s = (int64_t)(hash(text, n) & (uint64_t)(t->slots - 1));
    for (; t->slot[s] >= 0; s = (s + 1) & (t->slots - 1)) {
        const char *known = label_table_text(t, t->slot[s]);
        if (strncmp(known, text, (size_t)n) == 0 && known[n] == '\0') break;
    }
    return s;
}

/* Puts all labels into `slots` fresh slots. */
static Status rehash(LabelTable *t, int64_t slots, Error *err) {
    int64_t *slot = malloc((size_t)slots * sizeof *slot);
    int64_t *at = realloc(t->at, (size_t)slots / 2 * sizeof *at);
    if (at) t->at = at;
    if (!slot || !at) {
        free(slot);
        return out_of_memory(err);
    }
    free(t->slot);
    t->slot = slot;
    t->slots = slots;
    for (int64_t s = 0; s < slots; s++) slot[s] = -1;
    for (int64_t i = 0; i < t->count; i++) {
        const char *text = label_table_text(t, i);
        slot[find_slot(t, text, (int64_t)strlen(text))] = i;
    }
    return OK;
}

Status label_table_number(LabelTable *t, const char *text, int64_t n, int64_t *number, Error *err) {
    if (t->count >= t->slots / 2) {
        const Status st = rehash(t, t->slots ? 2 * t->slots : FIRST_SLOTS, err);
        if (st != OK) return st;
    }
    const int64_t s = find_slot(t, text, n);
    if (t->slot[s] < 0) {
        if (n >= t->room - t->used) {
            const int64_t room = 2 * t->room + n + FIRST_ROOM;
            char *longer = realloc(t->text, (size_t)room);
            if (!longer) return out_of_memory(err);
            t->text = longer;
            t->room = room;
        }
        memcpy(t->text + t->used, text, (size_t)n);
        t->text[t->used + n] = '\0';
        t->at[t->count] = t->used;
        t->used += n + 1;
        t->slot[s] = t->count++;
    }
    *number = t->slot[s];
    return OK;
}

bool label_whole(const char *text, int64_t *value) {
    const char *digits = *text == '-' ? text + 1 : text;
    if (*digits < '0' || *digits > '9' || (*digits == '0' && (digits[1] || digits != text)))
        return false; /* no digit, a leading zero, -0 */
    char *end;
    errno = 0;
    const long long x = strtoll(text, &end, 10);
    *value = x;
    return !*end && !errno;
}

/* --- order ------------------------------------------------------------------------------------ */

typedef struct {
    bool whole;
    int64_t value, number;
    const char *text;
} Entry;

static int compare(const void *a, const void *b) {
    const Entry *x = a, *y = b;
    if (x->whole != y->whole) return x->whole ? -1 : 1;
    if (x->whole) return (x->value > y->value) - (x->value < y->value);
    return strcmp(x->text, y->text);
}

Status label_table_sort(LabelTable *t, int64_t *now, Error *err) {
    if (t->count == 0) return OK;
    Entry *entry = malloc((size_t)t->count * sizeof *entry);
    if (!entry) return out_of_memory(err);
    for (int64_t i = 0; i < t->count; i++) {
        entry[i] = (Entry){.number = i, .text = label_table_text(t, i)};
        entry[i].whole = label_whole(entry[i].text, &entry[i].value);
    }
    qsort(entry, (size_t)t->count, sizeof *entry, compare);
    for (int64_t i = 0; i < t->count; i++) {
        now[entry[i].number] = i;
        t->at[i] = entry[i].text - t->text;
    }
    free(entry);
    return rehash(t, t->slots, err);
}

void label_table_free(LabelTable *t) {
    if (!t) return;
    free(t->text);
    free(t->at);
    free(t->slot);
    *t = (LabelTable){0};
}
