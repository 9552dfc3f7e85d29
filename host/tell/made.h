/* made.h - what results were made with: kept beside them, compared before they are replaced or
 * continued.
 *
 * A list of `name: value`, the member "made_with" of a JSON file. It holds all that the results
 * depend on, and nothing else: neither threads nor device, nor where the inputs lie.
 */
#ifndef TURTLE_HOST_TELL_MADE_H
#define TURTLE_HOST_TELL_MADE_H

#include "host/tell/json.h"
#include "io/status.h"

enum { MADE_MOST = 64, MADE_NAME = 40, MADE_VALUE = 160, MADE_TEXT = 360 };

typedef struct {
    int count;
    struct {
        char name[MADE_NAME], value[MADE_VALUE];
    } item[MADE_MOST];
} Made;

/* Adds an item; a name is that of the flag which sets the value, where there is one. */
PRINTF_LIKE(3, 4) void made_add(Made *m, const char *name, const char *format, ...);
/* Adds "<what>, CRC-32 1a2b3c4d" of the bytes: of all of them up to 16 MiB, else of 1024 blocks
 * spread evenly, so that a file of weights costs no second reading. */
void made_add_bytes(Made *m, const char *name, const char *what, const void *data, int64_t bytes);
/* Adds the member "made_with". */
void made_json(Json *j, const Made *m);

/* Content of a JSON file of made_with. */
typedef struct {
    bool there;    /* the file exists */
    bool finished; /* the member `finished`; true without one */
    bool known;    /* it has a member made_with */
    Made made;
} MadeFile;

/* Reads made_with of a JSON file. A file that is damaged or no such object is ERR_FORMAT. */
Status made_read(MadeFile *out, const char *path, Error *err);

/* Returns the value of an item, or NULL. */
const char *made_value(const Made *m, const char *name);
/* Writes "--gamma 10.0 (now 5.0), --T ..." of at most three items that differ. Returns their
 * number. */
int made_differs(char text[MADE_TEXT], const Made *before, const Made *now);

#endif
