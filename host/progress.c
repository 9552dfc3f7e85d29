/* progress.c - how far a call is, on stderr: a bar on a terminal, else a line every few seconds. */
#include "progress.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../io/printable.h"

enum { BAR = 24 };
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

static void print_duration(double seconds) {
    const long s = lround(seconds);
    if (s >= 3600) fprintf(stderr, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else fprintf(stderr, "%ld:%02ld", s / 60, s % 60);
}

void progress_show(void *context, const TurtleProgress *p) {
    ProgressView *view = context;
    const bool last = p->iteration == p->iterations;
    const double since = p->seconds - view->last;
    if (!last && since < (view->terminal ? BAR_EVERY : LINE_EVERY)) return;
    view->last = p->seconds;

    if (view->terminal) {
        const int filled = (int)(BAR * p->iteration / p->iterations);
        fprintf(stderr, "\r\033[K%s", view->color ? "\033[32m" : "");
        for (int i = 0; i < BAR; i++) fputc(i < filled ? '#' : '.', stderr);
        fputs(view->color ? "\033[0m " : " ", stderr);
    }
    const double rate = p->seconds > 0 ? (double)(p->iteration - p->first) / p->seconds : 0.0;
    fprintf(stderr, "%lld/%lld  %.1f %s/s  ", (long long)p->iteration, (long long)p->iterations,
            rate, p->unit);
    print_duration(p->seconds);
    if (rate > 0 && !last) {
        fputs(" < ", stderr);
        print_duration((double)(p->iterations - p->iteration) / rate);
    }
    if (isfinite(p->loss))
        fprintf(stderr, "  loss %.3f  entropy %.3f  clusters %lld/%lld", p->loss, p->entropy,
                (long long)p->clusters_found, (long long)p->classes);
    if (isfinite(p->cluster_acc)) fprintf(stderr, "  acc %.4f", p->cluster_acc);
    if (!view->terminal) fputc('\n', stderr);
    view->bar = view->terminal;
    if (last) progress_close(view);
}
