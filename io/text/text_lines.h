/* text_lines.h - the one reader of text files: lines, whichever program wrote them.
 *
 * Line ends are LF, CRLF, or CR alone as on the first Macintoshes. A file with LFs may have CRs only
 * in front of them; a CR elsewhere is refused. A UTF-8 byte order mark is passed over at the
 * beginning of any line, for files are joined with their marks. UTF-16 and UTF-32 are refused by
 * name, zero bytes with their line number. The last line may lack its end.
 */
#ifndef TURTLE_IO_TEXT_TEXT_LINES_H
#define TURTLE_IO_TEXT_TEXT_LINES_H

#include <stdbool.h>
#include <stdint.h>

#include "io/files/file.h"

typedef struct {
    char *text; /* `bytes` bytes, then a zero byte, without line end and mark; writable */
    int64_t bytes;
    int64_t number; /* 1 is the first line of the file */
    int64_t end;    /* offset in the file of the byte behind the line and its end */
    bool blank;     /* nothing but blanks and tabs, or nothing at all */
    bool ended;     /* false: the last line, without a line end */
} TextLine;

typedef struct {
    const char *module, *path; /* words of messages, the caller's */
    char *text;                /* the whole file; owned */
    int64_t bytes, at, number;
    char line_end; /* '\n', or '\r' where the file has no '\n' */
} TextLines;

/* Reads `path`, which may be a pipe or `-` (file_read_text). Messages begin with "module: path:".
 * On failure *out is zeroed. */
Status text_lines_open(TextLines *out, const char *module, const char *path, Error *err);
/* Opens bytes that are read already, for a caller who looks at them first; the bytes are copied. */
Status text_lines_of(TextLines *out, const char *module, const char *path, const FileMap *bytes,
                     Error *err);
/* Goes to the next line, blank or not. Returns false at the end. *line and its text live until
 * text_lines_close. */
bool text_lines_next(TextLines *t, TextLine *line);
void text_lines_close(TextLines *t); /* NULL and twice are fine */

/* Writes a refusal that names the line: "module: path: line 7: <what>". Returns ERR_FORMAT. */
Status text_line_bad(const TextLines *t, int64_t number, Error *err, const char *what, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 4, 5)))
#endif
    ;
/* Returns ERR_FORMAT, with line and byte in the message, unless the line is well-formed UTF-8
 * without control characters other than tabs. */
Status text_line_utf8(const TextLines *t, const TextLine *line, Error *err);

/* Takes blanks and tabs off both ends of [*text, *text + n). Returns the new n. */
int64_t trim_blanks(char **text, int64_t n);

#endif
