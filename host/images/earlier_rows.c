/* earlier_rows.c - rows of features that earlier calls made, found again by their images' names. */
#include "host/images/earlier_rows.h"

#include <stdlib.h>
#include <string.h>

#include "io/arrays/npy.h"

static Status out_of_memory(Error *err) {
    return fail(err, ERR_MEMORY, "features: out of memory");
}

void earlier_open(EarlierRows *out, int64_t d) {
    *out = (EarlierRows){.d = d};
}

static void bank_close(RowBank *b) {
    file_unmap(&b->rows);
    file_unmap(&b->names);
    free(b->name);
    *b = (RowBank){0};
}

void earlier_close(EarlierRows *e) {
    if (!e) return;
    for (int i = 0; i < e->banks; i++) bank_close(&e->bank[i]);
    free(e->bank);
    free(e->slot);
    *e = (EarlierRows){0};
}

/* --- banks ------------------------------------------------------------------------------------ */

/* Finds the whole lines of the list, at most `most`. */
static Status read_names(RowBank *b, int64_t most, Error *err) {
    const char *at = (const char *)b->names.data, *end = at ? at + b->names.bytes : NULL;
    int64_t room = 0;
    while (at < end && b->count < most) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        if (!newline) break;
        if (b->count == room) {
            room = room ? 2 * room : 1024;
            const char **more = realloc(b->name, (size_t)room * sizeof *more);
            if (!more) return out_of_memory(err);
            b->name = more;
        }
        b->name[b->count++] = at;
        at = newline + 1;
    }
    return OK;
}

/* Takes the bank over, or closes it. */
static Status keep(EarlierRows *e, RowBank *b, bool wanted, Status st, Error *err) {
    if (st == OK && wanted && e->banks < MOST_BANKS) {
        RowBank *more = realloc(e->bank, (size_t)(e->banks + 1) * sizeof *more);
        if (more) {
            e->bank = more;
            e->bank[e->banks++] = *b;
            return OK;
        }
        st = out_of_memory(err);
    }
    bank_close(b);
    return st;
}

Status earlier_add_file(EarlierRows *e, const char *rows, const char *names, bool *added,
                        Error *err) {
    RowBank b = {0};
    Npy npy = {0};
    *added = false;
    if (!file_exists(rows) || !file_exists(names) || e->banks == MOST_BANKS) return OK;
    Status st = OK; /* a matrix that is no float32 or damaged is made anew, not an error */
    bool fits = npy_open(&npy, rows, NULL) == OK && npy.axes == 2 && npy.shape[1] == e->d &&
                npy.type == DTYPE_F32 && !npy.swapped;
    if (fits) st = file_map(&b.names, names, err);
    fits = fits && st == OK;
    if (fits) {
        st = read_names(&b, npy.shape[0] + 1, err);
        fits = b.count == npy.shape[0];
        b.rows = npy.map;
        b.first = npy.data;
        npy.map = (FileMap){0};
    }
    npy_close(&npy);
    *added = st == OK && fits;
    return keep(e, &b, fits, st, err);
}

Status earlier_add_part(EarlierRows *e, const char *rows, const char *names, int64_t header,
                        Error *err) {
    RowBank b = {0};
    if (!file_exists(rows) || !file_exists(names)) return OK;
    Status st = file_map(&b.rows, rows, err);
    if (st == OK) st = file_map(&b.names, names, err);
    const int64_t room = b.rows.bytes - header;
    if (st == OK && room > 0) st = read_names(&b, room / (e->d * (int64_t)sizeof(float)), err);
    if (b.rows.data) b.first = b.rows.data + header;
    return keep(e, &b, true, st, err);
}

/* --- names ------------------------------------------------------------------------------------ */

static uint64_t hash(const char *name, size_t n) {
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
    for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)name[i]) * 0x100000001b3u;
    return h ^ h >> 32;
}

enum { ROW_BITS = 40 };

/* Returns the slot of a name: its own, or the empty one where it would stand. */
static int64_t find_slot(const EarlierRows *e, const char *name, size_t n) {
    int64_t i = (int64_t)(hash(name, n) & (uint64_t)(e->slots - 1));
    for (; e->slot[i] >= 0; i = (i + 1) & (e->slots - 1)) {
        const RowBank *b = &e->bank[e->slot[i] >> ROW_BITS];
        const char *there = b->name[e->slot[i] & (((int64_t)1 << ROW_BITS) - 1)];
        if (strncmp(there, name, n) == 0 && there[n] == '\n') return i;
    }
    return i;
}

Status earlier_index(EarlierRows *e, Error *err) {
    int64_t names = 0;
    for (int b = 0; b < e->banks; b++) names += e->bank[b].count;
    for (e->slots = 16; e->slots < 2 * names;) e->slots *= 2;
    e->slot = malloc((size_t)e->slots * sizeof *e->slot);
    if (!e->slot) return out_of_memory(err);
    for (int64_t i = 0; i < e->slots; i++) e->slot[i] = -1;
    for (int b = 0; b < e->banks; b++)
        for (int64_t row = 0; row < e->bank[b].count; row++) {
            const char *name = e->bank[b].name[row];
            const int64_t i = find_slot(e, name, strcspn(name, "\n"));
            if (e->slot[i] < 0) e->slot[i] = (int64_t)b << ROW_BITS | row;
        }
    return OK;
}

RowPlace earlier_find(const EarlierRows *e, const char *name) {
    const int64_t at = e->slots ? e->slot[find_slot(e, name, strlen(name))] : -1;
    if (at < 0) return (RowPlace){.bank = -1};
    return (RowPlace){.bank = (int32_t)(at >> ROW_BITS),
                      .row = at & (((int64_t)1 << ROW_BITS) - 1)};
}
