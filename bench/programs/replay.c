/* replay.c - see replay.h. */
#include "bench/programs/replay.h"

/* The content of a graph: so many calls. */
typedef struct {
    void (*run)(void *context);
    void *context;
    int calls;
} Calls;

static Status record(void *context) {
    const Calls *c = context;
    for (int i = 0; i < c->calls; i++) c->run(c->context);
    return OK;
}

Status replay_measure(const DeviceOps *mem, Queue *queue, GpuClock *clock,
                      void (*run)(void *context), void *context, bool cold, Row *row, Error *err) {
    Calls calls = {run, context, 1};
    Graph *graph = NULL;
    const int repeats = row->repeats;
    for (int i = 0; i < 3; i++) mem->replay(queue, &graph, record, &calls);
    gpu_clock_mark(clock, 0);
    mem->replay(queue, &graph, record, &calls);
    gpu_clock_mark(clock, 1);
    const double once = gpu_clock_between(clock, 0, 1);
    if (!cold && once > 0.0 && once < 1e-3) { /* a graph of many calls hides its launch */
        calls.calls = once < 5e-5 ? 20 : (int)(1e-3 / once);
        mem->graph_free(graph);
        graph = NULL;
        for (int i = 0; i < 3; i++) mem->replay(queue, &graph, record, &calls);
    }
    for (int i = 0; i < repeats; i++) {
        if (cold) gpu_clock_evict(clock);
        gpu_clock_mark(clock, 2 * i);
        mem->replay(queue, &graph, record, &calls);
        gpu_clock_mark(clock, 2 * i + 1);
    }
    const Status st = mem->wait(queue, err);
    for (int i = 0; st == OK && i < repeats; i++)
        row->seconds[i] = gpu_clock_between(clock, 2 * i, 2 * i + 1) / calls.calls;
    mem->graph_free(graph);
    return st;
}
