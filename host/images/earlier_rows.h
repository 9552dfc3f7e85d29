/* earlier_rows.h - rows of features that earlier calls made, found again by the names of their images.
 *
 * Rows of an image are the same bits in any batch and at any place, so a call needs to encode only
 * the images that no earlier one has: those that a stopped call left, those that the folder got
 * since, or none where shards of the list are put together.
 */
#ifndef TURTLE_HOST_IMAGES_EARLIER_ROWS_H
#define TURTLE_HOST_IMAGES_EARLIER_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "io/datasets/sources.h"

/* A matrix and the list of its images, mapped. */
typedef struct {
    FileMap rows, names;
    const uint8_t *first; /* (count,d) float32, in the order of this machine; possibly unaligned */
    int64_t count;
    const char **name; /* (count) in `names`, each ending with a line feed; owned */
} RowBank;

enum { MOST_BANKS = 1024 };

typedef struct {
    int64_t d;
    RowBank *bank; /* (banks); owned */
    int banks;
    int64_t *slot; /* (slots) hash table of names: bank << 40 | row, or -1; owned */
    int64_t slots;
} EarlierRows;

/* Begins without rows. */
void earlier_open(EarlierRows *out, int64_t d);
void earlier_close(EarlierRows *e); /* NULL and twice are fine */

/* Adds a finished matrix (.npy of d columns, float32) and its list. Returns in *added whether the two
 * fit each other and d; if not, nothing is added. */
Status earlier_add_file(EarlierRows *e, const char *rows, const char *names, bool *added,
                        Error *err);
/* Adds the whole rows of an unfinished matrix: `header` bytes, then rows; lists that end amid a line
 * are cut to whole ones. */
Status earlier_add_part(EarlierRows *e, const char *rows, const char *names, int64_t header,
                        Error *err);
/* Makes the table; to be called once, behind the last bank. Of a name that stands twice the first
 * counts. */
Status earlier_index(EarlierRows *e, Error *err);

/* The place of a row; bank -1: nowhere. */
typedef struct {
    int32_t bank;
    int64_t row;
} RowPlace;

RowPlace earlier_find(const EarlierRows *e, const char *name);

#endif
