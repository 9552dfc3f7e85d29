/* progress.h - how far a call is, on stderr: a bar on a terminal, else a line every few seconds. */
#ifndef TURTLE_HOST_CLI_PROGRESS_H
#define TURTLE_HOST_CLI_PROGRESS_H

#include "host/turtle.h"

typedef struct {
    bool terminal, color;
    double last; /* seconds at which something was last shown */
    bool bar;    /* a bar stands on the current line */
} ProgressView;

/* Looks at stderr and at NO_COLOR. */
void progress_open(ProgressView *view);
/* These are a TurtleHooks.progress and .notice; their context is the view. */
int progress_show(void *view, const TurtleProgress *progress);
void progress_notice(void *view, const char *line);
/* Writes how far the call is in at most `columns` characters, the most wanted part first: what does
 * not fit is left out. Returns the length of the line. */
int progress_line(char *line, int bytes, const TurtleProgress *progress, int columns);
/* Ends the line of the bar. */
void progress_close(ProgressView *view);

#endif
