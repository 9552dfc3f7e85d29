/* progress.c - how far a call is, on stderr: a bar on a terminal, else a line every few seconds. */
#include "host/cli/progress.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "io/text/printable.h"

enum { BAR = 24, LEAST_BAR = 4 };
#define BAR_EVERY 0.1 /* seconds */
#define LINE_EVERY 5.0

void progress_open(ProgressView *view) {
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    *view =
        (ProgressView){.terminal = isatty(STDERR_FILENO) && !(term && strcmp(term, "dumb") == 0)};
    view->color = view->terminal && !(no_color && *no_color);
}

void progress_close(ProgressView *view) {
    if (view->bar) fputc('\n', stderr);
    view->bar = false;
}

void progress_notice(void *context, const char *line) {
    char shown[2048];
    progress_close(context);
    fprintf(stderr, "%s\n", printable(shown, sizeof shown, line, false));
}

/* --- one line ----------------------------------------------------------------------------------- */

static void duration(char text[24], double seconds) {
    const long s = lround(seconds);
    if (s >= 3600) snprintf(text, 24, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else snprintf(text, 24, "%ld:%02ld", s / 60, s % 60);
}

/* The parts of a line, the most wanted first. */
enum { PARTS = 6, PART = 96 };

static int parts_of(char part[PARTS][PART], const TurtleProgress *p) {
    const bool last = p->iteration == p->iterations;
    const double rate = p->seconds > 0 ? (double)(p->iteration - p->first) / p->seconds : 0.0;
    char elapsed[24], left[24] = "";
    int n = 0;
    snprintf(part[n++], PART, "%lld/%lld", (long long)p->iteration, (long long)p->iterations);
    duration(elapsed, p->seconds);
    if (rate > 0 && !last) duration(left, (double)(p->iterations - p->iteration) / rate);
    snprintf(part[n++], PART, "%s%s%s", elapsed, *left ? " < " : "", left);
    snprintf(part[n++], PART, "%.1f %s/s", rate, p->unit);
    if (isfinite(p->loss)) snprintf(part[n++], PART, "loss %.3f", p->loss);
    if (isfinite(p->cluster_acc)) snprintf(part[n++], PART, "acc %.4f", p->cluster_acc);
    if (isfinite(p->loss))
        snprintf(part[n++], PART, "entropy %.3f  clusters %lld/%lld", p->entropy,
                 (long long)p->clusters_found, (long long)p->classes);
    return n;
}

int progress_line(char *line, int bytes, const TurtleProgress *p, int columns) {
    char part[PARTS][PART];
    const int n = parts_of(part, p), room = columns < bytes - 1 ? columns : bytes - 1;
    int used = 0;
    line[0] = '\0';
    for (int i = 0; i < n; i++) {
        const int more = (int)strlen(part[i]) + (i ? 2 : 0);
        if (used + more > room) break;
        used += snprintf(line + used, (size_t)(bytes - used), "%s%s", i ? "  " : "", part[i]);
    }
    return used;
}

/* Returns the columns of the terminal that stderr is; 80 where it does not say. */
static int terminal_columns(void) {
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

/* The last column stays free: some terminals begin a new line when it is written. */
static void show_bar(const ProgressView *view, const TurtleProgress *p) {
    char line[512];
    const int columns = terminal_columns() - 1, used = progress_line(line, sizeof line, p, columns),
              room = columns - used - 1, bar = room < BAR ? room : BAR;
    fputs("\r\033[K", stderr);
    if (bar >= LEAST_BAR) {
        const int filled = (int)((int64_t)bar * p->iteration / p->iterations);
        if (view->color) fputs("\033[32m", stderr);
        for (int i = 0; i < bar; i++) fputc(i < filled ? '#' : '.', stderr);
        fputs(view->color ? "\033[0m " : " ", stderr);
    }
    fputs(line, stderr);
    fflush(stderr);
}

int progress_show(void *context, const TurtleProgress *p) {
    ProgressView *view = context;
    char line[512];
    const bool last = p->iteration == p->iterations;
    const double since = p->seconds - view->last;
    if (!last && since < (view->terminal ? BAR_EVERY : LINE_EVERY)) return 0;
    view->last = p->seconds;
    if (view->terminal) {
        show_bar(view, p);
    } else {
        progress_line(line, sizeof line, p, sizeof line);
        fprintf(stderr, "%s\n", line);
    }
    view->bar = view->terminal;
    if (last) progress_close(view);
    return 0;
}
