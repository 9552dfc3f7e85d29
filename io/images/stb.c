/* stb.c - the implementation of stb_image, compiled once, and its JPEG decoder opened up.
 *
 * Memory is zeroed: version 2.27 decodes with whatever lay in the tables that a damaged JPEG refers
 * to but never defines. Assertions are off: bytes from outside must not abort the program. A fault
 * that they would find is refused before, or made harmless by zeroed tables; fuzzing under the
 * sanitizers shows it (tests/cpu/io/image_test.c, tests/support/fuzz.c). */
#include <stdint.h>
#include <stdlib.h>

static _Thread_local size_t most_memory = SIZE_MAX;
static void *allocate(size_t bytes);
static void *reallocate(void *memory, size_t bytes);

#define STB_IMAGE_IMPLEMENTATION
#define STBI_MALLOC(bytes) allocate(bytes)
#define STBI_REALLOC(memory, bytes) reallocate(memory, bytes)
#define STBI_FREE(memory) free(memory)
#define STBI_ASSERT(x) ((void)0)
#define STBI_MAX_DIMENSIONS 65500 /* IMAGE_MAX_SIDE */
#include "io/images/stb.h"

static void *allocate(size_t bytes) {
    return bytes <= most_memory ? calloc(1, bytes) : NULL;
}

static void *reallocate(void *memory, size_t bytes) {
    return bytes <= most_memory ? realloc(memory, bytes) : NULL;
}

void stb_limit_memory(int64_t bytes) {
    most_memory = (size_t)bytes;
}

/* --- JPEG ------------------------------------------------------------------------------------- */

struct StbJpeg {
    stbi__jpeg state;
    stbi__context bytes;
    bool framed;      /* the frame header was read: components have memory */
    unsigned scanned; /* bit k: component k had a scan */
    int64_t invented; /* zeros that stb_image was given behind the end of a scan */
};

StbJpeg *stb_jpeg_open(void) {
    StbJpeg *j = calloc(1, sizeof *j);
    if (!j) return NULL;
    j->state.s = &j->bytes;
    j->state.marker = STBI__MARKER_none;
    stbi__setup_jpeg(&j->state);
    return j;
}

/* Returns true if stb_image read the whole scan. After the last restart interval it leaves silently
 * where the next restart marker is missing; then restart markers are left over. */
static bool is_all_read(const StbJpeg *j) {
    const stbi_uc *p = j->bytes.img_buffer, *end = j->bytes.img_buffer_end;
    while (p + 1 < end && (p = memchr(p, 0xff, (size_t)(end - p - 1))) != NULL) {
        if (STBI__RESTART(p[1])) return false;
        p++;
    }
    return true;
}

static int invent(void *context, char *to, int n) {
    StbJpeg *j = context;
    j->invented += n;
    j->bytes.img_buffer_original =
        j->bytes.img_buffer; /* bytes that were read are counted from here */
    memset(to, 0, (size_t)n);
    return n;
}

/* Returns true if the scan had enough bits. stb_image decodes zeros where a scan ends early. The
 * last bits of a picture may be such zeros, but not more. Bits that it fetched and did not take do
 * not count. */
static bool is_enough(const StbJpeg *j) {
    enum { LAST_BITS = 64 };
    const int64_t left = j->invented ? j->bytes.img_buffer_end - j->bytes.img_buffer : 0;
    return 8 * (j->invented - left) - j->state.code_bits <= LAST_BITS;
}

static bool scan(StbJpeg *j) {
    stbi__jpeg *z = &j->state;
    if (!j->framed || !stbi__process_scan_header(z)) return false;
    for (int i = 0; i < z->scan_n; i++) j->scanned |= 1u << z->order[i];
    j->invented = 0;
    j->bytes.io.read = invent;
    j->bytes.io_user_data = j;
    j->bytes.read_from_callbacks = 1;
    j->bytes.buflen = sizeof j->bytes.buffer_start;
    return stbi__parse_entropy_coded_data(z) && is_all_read(j) && is_enough(j);
}

bool stb_jpeg_segment(StbJpeg *j, int marker, const uint8_t *data, int64_t bytes) {
    stbi__start_mem(&j->bytes, data, (int)bytes);
    j->state.marker = STBI__MARKER_none;
    if (marker == 0xda) return scan(j);
    if (!stbi__SOF(marker)) return stbi__process_marker(&j->state, marker);
    if (j->framed) return false;
    j->framed = true;
    j->state.progressive = stbi__SOF_progressive(marker);
    return stbi__process_frame_header(&j->state, STBI__SCAN_load);
}

int stb_jpeg_planes(StbJpeg *j, StbPlane planes[4]) {
    stbi__jpeg *z = &j->state;
    const int count = z->s->img_n;
    if (!j->framed || j->scanned != (1u << count) - 1) return 0;
    stbi__jpeg_finish(z);
    for (int k = 0; k < count; k++)
        planes[k] = (StbPlane){.samples = z->img_comp[k].data,
                               .width = z->img_comp[k].x,
                               .height = z->img_comp[k].y,
                               .stride = z->img_comp[k].w2,
                               .across = z->img_h_max / z->img_comp[k].h,
                               .down = z->img_v_max / z->img_comp[k].v};
    return count;
}

void stb_jpeg_close(StbJpeg *j) {
    if (!j) return;
    if (j->framed) stbi__free_jpeg_components(&j->state, 4, 0);
    free(j);
}
