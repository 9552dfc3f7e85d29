/* memory.c - memory that lives as long as a report, and threads that share out its work. */
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "host/report/gather.h"
#include "io/files/grow.h"
#include "io/thread.h"

void *report_take(ReportMemory *m, int64_t count, size_t bytes) {
    void **block = grown(m->block, m->count, &m->capacity, sizeof *block);
    if (!block) return NULL;
    m->block = block;
    void *memory = calloc((size_t)(count > 0 ? count : 1), bytes);
    if (memory) block[m->count++] = memory;
    return memory;
}

char *report_copy(ReportMemory *m, const char *text, int64_t bytes) {
    char *copy = report_take(m, bytes + 1, 1);
    if (copy && bytes) memcpy(copy, text, (size_t)bytes);
    return copy;
}

char *report_text(ReportMemory *m, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    const int n = vsnprintf(NULL, 0, format, args);
    char *text = n < 0 ? NULL : report_take(m, n + 1, 1);
    if (text) vsnprintf(text, (size_t)n + 1, format, again);
    va_end(again);
    va_end(args);
    return text;
}

void report_memory_free(ReportMemory *m) {
    if (!m) return;
    for (int64_t i = 0; i < m->count; i++) free(m->block[i]);
    free(m->block);
    *m = (ReportMemory){0};
}

typedef struct {
    void (*part)(void *context, int64_t i);
    void *context;
    int64_t parts;
    atomic_llong next;
} Parallel;

static void *work(void *context) {
    Parallel *p = context;
    for (int64_t i; (i = atomic_fetch_add(&p->next, 1)) < p->parts;) p->part(p->context, i);
    return NULL;
}

void report_parallel(int threads, int64_t parts, void (*part)(void *context, int64_t i),
                     void *context) {
    enum { MOST = 256 };
    Parallel p = {.part = part, .context = context, .parts = parts};
    pthread_t helper[MOST];
    int helpers = 0;
    while (helpers < threads - 1 && helpers < MOST && helpers + 1 < parts &&
           start_thread(&helper[helpers], work, &p) == 0)
        helpers++; /* too few threads is slower, not wrong */
    work(&p);
    for (int i = 0; i < helpers; i++) pthread_join(helper[i], NULL);
}
