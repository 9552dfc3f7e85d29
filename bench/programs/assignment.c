/* assignment.c - seconds of one optimal assignment of n rows to n columns, one thread.
 * usage: bench-assignment N REPEATS
 * Costs are uniform in [0,1), the same as in reference/assignment.py; `check` is the least cost. */
#include <stdio.h>
#include <stdlib.h>

#include "bench/programs/bench.h"
#include "host/score/hungarian.h"

typedef struct {
    int64_t n, *match;
    double *cost, total;
    Status status;
    Error error;
} Problem;

static void solve(void *context) {
    Problem *p = context;
    if (p->status == OK)
        p->status = hungarian_f64(p->cost, p->n, p->n, false, p->match, &p->total, &p->error);
}

/* Returns cost i: SplitMix64 (Steele, Lea & Flood 2014) of the index. */
static double cost_of(uint64_t i) {
    uint64_t z = (i + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

int main(int argc, char **argv) {
    static Problem p;
    static Row row;
    char what[64];
    p.n = argument(argc, argv, 1, 20000);
    row = (Row){.what = what,
                .program = "turtle",
                .threads = 1,
                .work = 1.0,
                .unit = "/s",
                .repeats = (int)argument(argc, argv, 2, MAX_REPEATS)};
    if (argc != 3 || !p.n || !row.repeats) {
        fputs("usage: bench-assignment N REPEATS\n", stderr);
        return 2;
    }
    snprintf(what, sizeof what, "assignment n %s", argv[1]);
    p.cost = malloc((size_t)(p.n * p.n) * sizeof *p.cost);
    p.match = malloc((size_t)p.n * sizeof *p.match);
    if (!p.cost || !p.match) {
        fputs("bench-assignment: out of memory\n", stderr);
        return 1;
    }
    for (int64_t i = 0; i < p.n * p.n; i++) p.cost[i] = cost_of((uint64_t)i);
    row_measure(&row, solve, &p);
    row.check = p.total;
    if (p.status == OK) row_print(&row);
    else fprintf(stderr, "bench-assignment: %s\n", p.error.text);
    free(p.cost);
    free(p.match);
    return p.status != OK;
}
