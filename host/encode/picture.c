/* picture.c - heads, taps and windows of pictures that a device resizes. */
#include "host/encode/picture.h"

#include <string.h>

/* Returns the bytes of an axis's arrays. */
static int64_t axis_bytes(int64_t count, int64_t room) {
    return count * (2 + room) * (int64_t)sizeof(int32_t);
}

/* Returns whether a picture and its pass across have room. */
static bool has_room(int64_t arrays, int64_t width, int64_t height, int64_t crop) {
    const int64_t bytes = (int64_t)sizeof(PictureHead) + arrays + 3 * width * height;
    return round_up(bytes, 16) <= PICTURE_BYTES && height * picture_row(crop) <= PICTURE_BYTES;
}

bool picture_has_room(const ResizeRule *rule) {
    enum { ROOM = 5 }; /* of bicubic taps without a change of size */
    return rule->weights != RESIZE_FLOATS && rule->crop <= PICTURE_BYTES &&
           has_room(2 * axis_bytes(rule->crop, ROOM), rule->crop, rule->crop, rule->crop);
}

static bool taps_have_room(const ResizeTaps taps[2], int64_t crop) {
    const ResizeTaps *x = &taps[0], *y = &taps[1];
    return has_room(axis_bytes(x->count, x->room) + axis_bytes(y->count, y->room),
                    x->end - x->lowest, y->end - y->lowest, crop);
}

/* Writes an axis's arrays behind `*at` bytes of the slot. */
static PictureAxis write_axis(uint8_t *slot, int32_t *at, const ResizeTaps *t) {
    PictureAxis a = {.count = t->count, .place = t->place, .precision = t->precision};
    int32_t *next = (int32_t *)(void *)(slot + *at);
    a.from = *at;
    for (int i = 0; i < t->count; i++) *next++ = t->from[i] - t->lowest;
    a.used = a.from + t->count * (int32_t)sizeof *next;
    for (int i = 0; i < t->count; i++) *next++ = t->used[i];
    a.weight = a.used + t->count * (int32_t)sizeof *next;
    for (int k = 0; k < t->room; k++)
        for (int i = 0; i < t->count; i++) *next++ = t->weight[(int64_t)i * t->room + k];
    *at = a.weight + t->count * t->room * (int32_t)sizeof *next;
    return a;
}

/* Writes all but the pixels. Returns where these go. */
static uint8_t *write_head(uint8_t *slot, const ResizeTaps taps[2]) {
    PictureHead head = {.width = taps[0].end - taps[0].lowest,
                        .height = taps[1].end - taps[1].lowest};
    int32_t at = sizeof head;
    head.across = write_axis(slot, &at, &taps[0]);
    head.down = write_axis(slot, &at, &taps[1]);
    head.pixels = at;
    at += 3 * head.width * head.height;
    head.bytes = (int32_t)round_up(at, 16);
    memset(slot + at, 0, (size_t)(head.bytes - at));
    memcpy(slot, &head, sizeof head);
    return slot + head.pixels;
}

Status picture_write(Resizer *r, uint8_t *slot, const Image *in, const ResizeRule *rule,
                     Error *err) {
    const int crop = rule->crop;
    ResizeTaps taps[2];
    Status st = resize_taps(r, taps, in->width, in->height, rule, err);
    if (st != OK) return st;
    if (taps_have_room(taps, crop)) {
        const size_t line = 3 * (size_t)(taps[0].end - taps[0].lowest);
        uint8_t *to = write_head(slot, taps);
        for (int y = taps[1].lowest; y < taps[1].end; y++, to += line)
            memcpy(to, in->rgb + 3 * ((int64_t)y * in->width + taps[0].lowest), line);
        return OK;
    }
    ResizeRule same = *rule;
    same.resize = crop;
    st = resize_taps(r, taps, crop, crop, &same, err);
    return st == OK ? resize_image(r, write_head(slot, taps), in, rule, err) : st;
}
