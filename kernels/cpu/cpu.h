/* cpu.h - what the files of the CPU backend share.
 *
 * The plain C of every operation is compiled once for each instruction set, with -DISA_NAME=<set>
 * and the set's flags; ISA(name) gives it a symbol of its own. dispatch.c chooses a table of operations
 * at run time (kernels/README.md, "Instruction sets").
 *
 * Threads never change a bit: every sum over rows runs over a partition that depends on the shapes
 * alone (ROW_GROUPS), each part by one thread in a fixed order, and the parts are added in
 * order. */
#ifndef TURTLE_KERNELS_CPU_H
#define TURTLE_KERNELS_CPU_H

#include "io/sizes.h"
#include "kernels/cpu/threads.h"
#include "kernels/ops.h"
#include "kernels/pieces.h"

#define JOIN2(a, b) a##_##b
#define JOIN(a, b) JOIN2(a, b)
#define ISA(name) JOIN(name, ISA_NAME)

/* SIMD asks the compiler for vectors by OpenMP's pragma, which needs no library (-fopenmp-simd). Threads
 * are our own (threads.h). */
#if defined(HAVE_OPENMP_SIMD)
#define PRAGMA(...) _Pragma(#__VA_ARGS__)
#define SIMD(...) PRAGMA(omp simd __VA_ARGS__)
#else
#define SIMD(...)
#endif

/* Products of bfloat16 (bf16.h):
 *     out (rows,cols), rows out_row apart, = or += A (rows,depth) B (depth,cols)
 *   A in rows a_row apart; B as [depth/2][BF16_COLS][2], so that the two elements that an
 *   instruction multiplies and adds lie side by side; sums in float32. 1 <= cols <= BF16_COLS, depth
 *   a multiple of BF16_RUN. What A and B hold beyond the true depth is 0. */
enum { BF16_COLS = 64, BF16_RUN = 32 };
typedef void Bf16Product(float *out, int64_t out_row, bool accumulate, const uint16_t *a,
                         int64_t a_row, const uint16_t *b, int64_t rows, int64_t cols,
                         int64_t depth);
Bf16Product bf16_product_amx, bf16_product_amx_emulated, bf16_product_avx512bf16,
    bf16_product_avx512, bf16_product_avx2, bf16_product_portable;

/* Products of bfloat16 with few classes, of which strips of BF16_COLS would waste the most. What a panel's products read
 * lies there in rows of whole BF16_RUNs, with zeros beyond its depth; `next` and `bytes` are memory that is fetched on
 * the way.
 *     logits    out (rows,cols), rows out_row apart, = Z (rows,depth) W (cols,depth)^T
 *     gradient  grad (cols,d) = or += residual (rows,cols), rows ld apart,^T Z (rows,d); words: bf16_residual_bytes */
enum { FEW_CLASSES = 112 };
typedef struct {
    void (*logits)(float *out, int64_t out_row, const uint16_t *Z, int64_t Z_row, const uint16_t *W,
                   int64_t rows, int64_t cols, int64_t depth, const char *next, int64_t bytes);
    void (*gradient)(float *grad, bool accumulate, const float *residual, int64_t ld,
                     const uint16_t *Z, int64_t Z_row, int64_t rows, int64_t cols, int64_t d,
                     uint32_t *words, const char *next, int64_t bytes);
} Bf16Few;
extern const Bf16Few few_bf16_avx512bf16;

/* Products of 16-bit integers (two's complement), with the operands of Bf16Product. Sums have 32 bits, and
 * the caller sees to it that none passes them. */
typedef void Int16Product(int32_t *out, int64_t out_row, bool accumulate, const uint16_t *a,
                          int64_t a_row, const uint16_t *b, int64_t rows, int64_t cols,
                          int64_t depth);
Int16Product int16_product_avx512vnni, int16_product_portable;

struct Device {
    Threads *pool;
    int threads; /* threads of the pool */
    const char *isa;
    Bf16Product *multiply_bf16;
    const Bf16Few *few_bf16;      /* NULL where it is not faster */
    Int16Product *multiply_int16; /* NULL where it is not faster than float32 */
};

/* Operations run when they are enqueued; the queue remembers the first failure. */
struct Queue {
    Device *device;
    Status status;
    Error error;
};

/* Every operation begins with REQUIRE: nothing runs on a failed queue, and bad shapes fail it.
 *     REQUIRE(queue, Z && B >= 1, "gather"); */
Status cpu_queue_fail(Queue *queue, const char *operation);
#define REQUIRE(queue, condition, operation)                       \
    do {                                                           \
        if ((queue)->status != OK) return (queue)->status;         \
        if (!(condition)) return cpu_queue_fail(queue, operation); \
    } while (0)

/* Sets of operations; each fills ops->matrix, ops->train, ops->encode and ops->cluster. */
typedef void CpuTable(MatrixOps *matrix, TrainOps *train, EncodeOps *encode, ClusterOps *cluster);
CpuTable cpu_table_avx512, cpu_table_avx2, cpu_table_portable, cpu_table_reference;
void cpu_reference_encode(EncodeOps *encode); /* parts of cpu_table_reference */
void cpu_reference_cluster(ClusterOps *cluster);

/* Fills in memory and queues, which all sets share (device.c). */
void cpu_device_ops(DeviceOps *mem);

/* Elements that one thread handles in a run: the ends of runs, where a compiler may round otherwise
 * than within a vector, lie in the same places for any number of threads. */
enum { ELEMENT_RUN = 1024 };

/* Elements whose loop takes as long as waking a thread, about 10 us: a loop with fewer runs on its caller
 * alone. rows_run returns how many rows of that length make a run, at least one. */
enum { LOOP_RUN = 16 * ELEMENT_RUN };
static inline int64_t rows_run(int64_t length) {
    return length < LOOP_RUN ? LOOP_RUN / length : 1;
}

static inline bool batch_servable(const Batch *Z) {
    return Z && Z->data && Z->d >= 1 && Z->row >= Z->d && !Z->tf32 && Z->exponent == 0 &&
           (Z->type == DTYPE_F32 || Z->type == DTYPE_F16 ||
            (Z->type == DTYPE_BF16 && Z->row % BF16_RUN == 0));
}

/* Parts into which B rows are cut for sums: shapes decide, never threads. */
enum { ROW_GROUPS = 32 };
static inline int64_t group_first(int64_t group, int64_t groups, int64_t rows) {
    return group * rows / groups;
}

/* Returns into how many runs of ELEMENT_RUN elements n elements are cut; the last one is shorter. */
static inline int64_t element_runs(int64_t n) {
    return ceil_div(n, ELEMENT_RUN);
}

/* Returns how many row groups a thread takes at a time where all groups together have `elements` numbers
 * (see LOOP_RUN). */
static inline int64_t groups_run(int64_t elements) {
    return elements > LOOP_RUN ? ceil_div(ROW_GROUPS * (int64_t)LOOP_RUN, elements) : ROW_GROUPS;
}

#endif
