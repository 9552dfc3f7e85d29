/* taken_names.h - names of folders and of files in them: made safe, and no two alike in one folder. */
#ifndef TURTLE_HOST_SORT_TAKEN_NAMES_H
#define TURTLE_HOST_SORT_TAKEN_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "io/status.h"

enum { NAME_MOST = 255 /* bytes of a file's name */, TOP_FOLDER = -1 };

typedef struct {
    const char *name; /* owned by the caller; NULL: the slot is free */
    int64_t folder;
    int64_t next; /* number that the next clash with this name tries first */
} TakenName;

typedef struct {
    TakenName *slot; /* (slots) open addressing; owned */
    int64_t slots;
} TakenNames;

/* Makes room for `most` names. */
Status taken_open(TakenNames *out, int64_t most, Error *err);
void taken_close(TakenNames *taken); /* NULL and twice are fine */

/* Takes a name in a folder. Returns false where another has it; the text must live as long as `taken`. */
bool taken_take(TakenNames *taken, int64_t folder, const char *name);
/* Takes the first free of name_2, name_3, ..., with the number before the ending if `ending`. The name is
 * shortened where it would pass NAME_MOST bytes. Returns fresh memory; NULL: out of memory. */
char *taken_number(TakenNames *taken, int64_t folder, const char *name, bool ending);

/* Returns a name that no file system or shell misreads, in fresh memory: '_' stands for slashes,
 * backslashes, control characters and a leading dot; at most `most` bytes, cut between characters. */
char *safe_name(const char *name, int64_t most);
/* Returns how many of the first `most` bytes of a text end between two UTF-8 characters. */
int64_t whole_characters(const char *text, int64_t most);

#endif
