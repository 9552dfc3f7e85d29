/* bench.h - what the programs here share: a clock, random numbers, the peaks of this machine and
 * the row that each measurement is printed as. */
#ifndef TURTLE_BENCH_PROGRAMS_BENCH_H
#define TURTLE_BENCH_PROGRAMS_BENCH_H

#include <stdint.h>

enum { MAX_REPEATS = 1000 };

/* One measurement. The rate is `work` per second. */
typedef struct {
    const char *what;    /* the case: programs that do the same work name it alike */
    const char *program; /* whose time it is */
    int threads;
    double work;      /* of one repeat, in `unit` without its "/s" */
    const char *unit; /* "GFLOP/s", "GB/s", "images/s", "/s" */
    double peak;      /* the most that this machine was seen to do, in `unit`; 0: none applies */
    double check;     /* a result that every program must share; 0: none */
    int peak_mib;     /* resident memory at its highest; 0: not measured */
    int repeats;
    double seconds[MAX_REPEATS];
} Row;

/* The row as one line of JSON, the form of bench/results. */
void row_print(const Row *row);

/* Of its seconds. */
double row_median(const Row *row);

double seconds_now(void);

/* Runs `work` once to warm up, then row->repeats times, and fills row->seconds. A call shorter than
 * 10 ms is repeated within one measurement, and its time divided. */
void row_measure(Row *row, void (*work)(void *context), void *context);

/* n floats uniform in +-bound, the same in every program run; NULL without memory. */
float *random_floats(int64_t n, float bound, uint64_t stream);

/* The highest of several short measurements with so many threads: GFLOP/s of fused multiply-adds
 * in registers, GB/s of reading memory that no cache holds. */
double fma_peak(int threads);
double memory_peak(int threads);

/* argv[i] as a number from 1 to most, or 0. */
int64_t argument(int argc, char **argv, int i, int64_t most);

#endif
