/* bench.h - the vocabulary of the programs here: a clock, random numbers, the peaks of this machine and
 * the row that each measurement is printed as. */
#ifndef TURTLE_BENCH_PROGRAMS_BENCH_H
#define TURTLE_BENCH_PROGRAMS_BENCH_H

#include <stdint.h>

enum { MAX_REPEATS = 1000 };

/* One measurement. Its rate is `work` per second. */
typedef struct {
    const char *what;    /* name of the case, equal for programs that do the same work */
    const char *program; /* program that was timed */
    int threads;
    double work;      /* work of one repeat, in `unit` without its "/s" */
    const char *unit; /* "GFLOP/s", "GB/s", "images/s", "/s" */
    double peak;  /* highest rate that this machine was seen to reach, in `unit`; 0: none applies */
    double check; /* a result that every program must share; 0: none */
    double flops; /* flops of one repeat, where `unit` does not count them; 0: not counted */
    double predicted; /* rate that the model of the device predicts, in `unit`; 0: none */
    double open_s;    /* seconds in which weights became ready; 0: not measured */
    int peak_mib;     /* resident memory at its highest; 0: not measured */
    int repeats;
    double seconds[MAX_REPEATS];
} Row;

/* Prints the row as one line of JSON, the form of bench/results. */
void row_print(const Row *row);

/* Returns the median of its seconds. */
double row_median(const Row *row);

double seconds_now(void);

/* Runs `work` once to warm up, then row->repeats times, and fills row->seconds. A call shorter than
 * 10 ms is repeated within one measurement, and its time divided. */
void row_measure(Row *row, void (*work)(void *context), void *context);

/* Returns n floats uniform in +-bound, equal in every program run; NULL without memory. */
float *random_floats(int64_t n, float bound, uint64_t stream);

/* Return the highest of several short measurements with so many threads: GFLOP/s of fused
 * multiply-adds in registers, GB/s of reading memory that no cache holds. */
double fma_peak(int threads);
double memory_peak(int threads);

/* Returns argv[i] as a number from 1 to most, or 0. */
int64_t argument(int argc, char **argv, int i, int64_t most);

#endif
