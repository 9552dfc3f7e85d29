/* made.c - what results were made with: kept beside them, compared before they are replaced. */
#include "host/tell/made.h"

#include <string.h>

#include "io/files/crc32.h"
#include "io/files/file.h"
#include "io/text/json_reader.h"

void made_add(Made *m, const char *name, const char *format, ...) {
    if (m->count == MADE_MOST) return;
    va_list args;
    va_start(args, format);
    snprintf(m->item[m->count].name, MADE_NAME, "%s", name);
    vsnprintf(m->item[m->count].value, MADE_VALUE, format, args);
    va_end(args);
    m->count++;
}

void made_add_bytes(Made *m, const char *name, const char *what, const void *data, int64_t bytes) {
    enum { BLOCKS = 1024, BLOCK = 16384 };
    const uint8_t *at = data;
    uint32_t crc = 0;
    if (bytes <= (int64_t)BLOCKS * BLOCK) {
        crc = crc32_update(0, at, bytes);
    } else {
        const int64_t step = (bytes - BLOCK) / (BLOCKS - 1);
        for (int64_t i = 0; i < BLOCKS - 1; i++) crc = crc32_update(crc, at + i * step, BLOCK);
        crc = crc32_update(crc, at + bytes - BLOCK, BLOCK);
    }
    made_add(m, name, "%s, CRC-32 %08x", what, (unsigned)crc);
}

void made_json(Json *j, const Made *m) {
    json_open(j, "made_with");
    for (int i = 0; i < m->count; i++) json_text(j, m->item[i].name, m->item[i].value);
    json_close(j);
}

/* --- reading ---------------------------------------------------------------------------------- */

static void read_items(Made *m, JsonReader *r) {
    json_enter(r, '{');
    for (char key[MADE_NAME]; json_next_key(r, key, sizeof key);) {
        char value[MADE_VALUE];
        if (json_text_value(r, value, sizeof value)) made_add(m, key, "%s", value);
    }
}

Status made_read(MadeFile *out, const char *path, Error *err) {
    FileMap map;
    char key[64];
    *out = (MadeFile){.finished = true};
    if (!file_exists(path)) return OK;
    Status st = file_map(&map, path, err);
    if (st != OK) return st;
    JsonReader r = json_reader(map.data, map.bytes);
    out->there = true;
    json_enter(&r, '{');
    while (json_next_key(&r, key, sizeof key)) {
        if (strcmp(key, "finished") == 0) {
            json_bool_value(&r, &out->finished);
        } else if (strcmp(key, "made_with") == 0) {
            read_items(&out->made, &r);
            out->known = true;
        } else {
            json_skip(&r);
        }
    }
    if (!json_finished(&r))
        st = fail(err, ERR_FORMAT, "%s: is damaged: expected a JSON object", path);
    file_unmap(&map);
    return st;
}

/* --- comparing -------------------------------------------------------------------------------- */

const char *made_value(const Made *m, const char *name) {
    for (int i = 0; i < m->count; i++)
        if (strcmp(m->item[i].name, name) == 0) return m->item[i].value;
    return NULL;
}

/* Appends one difference, as long as there is room for a whole one. */
static void tell(char text[MADE_TEXT], int number, const char *name, const char *before,
                 const char *now) {
    const size_t used = strlen(text);
    if (number > 3) return;
    const int n =
        snprintf(text + used, MADE_TEXT - used, "%s%s %s (now %s)", number > 1 ? ", " : "", name,
                 before ? before : "none", now ? now : "none");
    if (n < 0 || used + (size_t)n >= MADE_TEXT) snprintf(text + used, MADE_TEXT - used, ", ...");
}

int made_differs(char text[MADE_TEXT], const Made *before, const Made *now) {
    int count = 0;
    text[0] = '\0';
    for (int i = 0; i < now->count; i++) {
        const char *value = made_value(before, now->item[i].name);
        if (!value || strcmp(value, now->item[i].value) != 0)
            tell(text, ++count, now->item[i].name, value, now->item[i].value);
    }
    for (int i = 0; i < before->count; i++)
        if (!made_value(now, before->item[i].name))
            tell(text, ++count, before->item[i].name, before->item[i].value, NULL);
    return count;
}
