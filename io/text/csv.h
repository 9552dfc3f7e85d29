/* csv.h - tables of text (RFC 4180), one row after the other: separators ',' or ';', quotes, any
 * line ends.
 *
 *     csv_open(&csv, "gtsrb", path, 0, &err);
 *     csv_next(&csv, &more, &err);                     the header
 *     const int64_t id = csv_column(&csv, "ClassId");
 *     while (csv_next(&csv, &more, &err) == OK && more) use(csv.field[id].text);
 *     csv_close(&csv);
 *
 * The file is mapped, its pages are given back on the way, and memory is that of the longest row.
 */
#ifndef TURTLE_IO_TEXT_CSV_H
#define TURTLE_IO_TEXT_CSV_H

#include <stdbool.h>
#include <stdint.h>

#include "io/files/file.h"

typedef struct {
    const char *text; /* without quotes, with a zero byte behind; lives until the next row */
    int64_t bytes;
} CsvField;

typedef struct {
    CsvField *field; /* (fields) of the current row */
    int64_t fields;
    int64_t line; /* number of the row's first line; 1 is the file's first */
    /* private */
    const char *module, *path; /* words of messages, the caller's */
    FileMap map;
    const uint8_t *at, *forgotten;
    char *row; /* texts of the current row; owned */
    int64_t row_bytes, row_capacity, field_capacity, next_line;
    char separator;
    bool borrowed; /* the bytes are the caller's */
} Csv;

enum { CSV_MOST_ROW = 1 << 24 }; /* bytes of the longest row that is read */

/* Opens a table. `separator` 0: the one that stands more often in the first line. Messages begin
 * with "module: path:". On failure *out is zeroed. */
Status csv_open(Csv *out, const char *module, const char *path, char separator, Error *err);
/* Opens bytes in memory, which must outlive *out; csv_close leaves them alone. */
Status csv_of(Csv *out, const char *module, const char *path, const void *text, int64_t bytes,
              char separator, Error *err);
/* Goes to the next row that is not blank. *more is false at the end. A zero byte, text behind a
 * closing quote and a quote that is never closed are refused with their line. */
Status csv_next(Csv *c, bool *more, Error *err);
/* Returns the index of the field of the current row that is `name`, blanks around it aside; -1:
 * there is none. */
int64_t csv_column(const Csv *c, const char *name);
void csv_close(Csv *c); /* NULL and twice are fine */

#endif
