/* left_out.h - entries that a listing passes over, each with its reason.
 *
 * Every file of a folder is a source or stands here once. Folders stand here if no file speaks for
 * them: empty classes, and folders that cannot be opened.
 */
#ifndef TURTLE_IO_DATASETS_LEFT_OUT_H
#define TURTLE_IO_DATASETS_LEFT_OUT_H

#include <stdbool.h>
#include <stdint.h>

#include "io/images/image_kinds.h"
#include "io/status.h"

typedef enum {
    LEFT_KIND,    /* a kind of picture that is not read */
    LEFT_ENDING,  /* no picture by its name's ending */
    LEFT_HIDDEN,  /* a name that begins with a dot, or in a folder of such a name */
    LEFT_SYSTEM,  /* a file in a folder that another program made; detail is its name */
    LEFT_TEST,    /* a file of the test split, while another split is scored */
    LEFT_BESIDE,  /* a file beside the folders of splits, or of a data set's classes */
    LEFT_EMPTY,   /* a class folder without images */
    LEFT_CLOSED,  /* a folder that cannot be opened */
    LEFT_LOOP,    /* a link to a folder that holds it */
    LEFT_SPECIAL, /* a pipe, a socket, a device */
    LEFT_BREAK,   /* a line feed or carriage return in the name */
} LeftWhy;

typedef struct {
    LeftWhy why;
    const PictureKind *kind; /* the kind, for LEFT_KIND */
    const char *detail;      /* static, or NULL */
    int64_t files, folders;  /* entries left out for this reason */
    int64_t first;           /* index of the entry that a message shows */
} LeftReason;

typedef struct {
    char *path; /* below the folder that was listed; owned */
    int reason;
    int8_t split; /* 0 train, 1 val, -1 neither */
    bool folder;
} LeftEntry;

typedef struct {
    LeftEntry *entry; /* owned */
    int64_t count, capacity;
    int64_t files;      /* entries that are files */
    LeftReason *reason; /* owned; one for each (why, kind, detail) that occurs */
    int reasons;
} LeftOut;

/* Adds one entry. `kind` and `detail` are static or NULL. */
Status left_out_add(LeftOut *left, const char *path, bool folder, int split, LeftWhy why,
                    const PictureKind *kind, const char *detail, Error *err);
void left_out_free(LeftOut *left); /* NULL and twice are fine */

/* Writes a notice of one reason: how many entries, why, the first of them, and what to do. `folder`
 * is the folder that was listed. Returns `text`. */
char *left_out_line(char *text, size_t bytes, const LeftOut *left, int reason, const char *folder);
/* Writes why an entry is left out in a few words: "WebP is not read". Returns `text`. */
char *left_out_why(char *text, size_t bytes, const LeftReason *reason);

#endif
