/* weights.h - a file of weights while an encoder is built from it: every tensor is asked for by
 * name and shape, lands on the device, and what nobody asked for is named.
 *
 * The first failure sticks: later calls return nothing at once, so a loader reads straight down and
 * asks `status` at its end.
 */
#ifndef TURTLE_HOST_ENCODE_WEIGHTS_H
#define TURTLE_HOST_ENCODE_WEIGHTS_H

#include "io/arrays/tensor_file.h"
#include "kernels/ops.h"

typedef struct ParameterChunk ParameterChunk;

typedef struct {
    TensorFile file;  /* mapped; matrices are read where they lie */
    const char *path; /* path of the file; of the one found where a folder was given */
    char *own_path;   /* `path` again, if it is owned */
    char **name;      /* (file.count) as networks ask for them; NULL: passed over. Owned */
    char *front;      /* text in front of the names in the file; NULL until weights_unwrap; owned */
    bool *used;       /* (file.count) */
    const Ops *ops;
    Queue *queue;
    Precision precision;    /* of products; set it before the first matrix is asked for */
    ParameterChunk *chunks; /* vectors and packed matrices, on the device */
    char *said;             /* lines of weights_say; owned */
    Status status;
    Error *err;
} Weights;

/* A linear layer or convolution with what follows it. bias is NULL where there is none; scale is a
 * batch norm's or LayerScale's factor or NULL. Vectors are on the device. */
typedef struct {
    Weight weight;
    const float *bias, *scale;
} Layer;

typedef struct {
    const float *weight, *bias;
    int64_t d;
} Norm;

/* Opens a file, or the one in a folder. `path` and `queue` must outlive *out. To look at names and shapes alone, ops and queue may be NULL.
 * On failure *out is zeroed. */
Status weights_open(Weights *out, const Ops *ops, Queue *queue, const char *path, Error *err);
void weights_close(Weights *w); /* NULL and twice are fine */

/* Adds a line to what the caller has to tell its user: what was assumed, taken off or passed over. A
 * line begins with its subject ("weights: FILE: ...") and has no newline; the same line is kept once. */
void weights_say(Weights *w, const char *format, ...) PRINTF_LIKE(2, 3);
/* Returns all lines of weights_say, each ending with a newline, or "". The text lives until the next
 * weights_say or weights_close. */
const char *weights_said(const Weights *w);

/* Returns whether the file has the tensor; this name and those below are printf formats. */
bool weights_has(const Weights *w, const char *name, ...) PRINTF_LIKE(2, 3);
/* Returns whether the file has the tensor and a number in it; a library saves an empty one for none. */
bool weights_holds(const Weights *w, const char *name, ...) PRINTF_LIKE(2, 3);
/* Returns the extent of an axis, a negative one counted from the last. A tensor that is missing or
 * has fewer axes is 0 and a failure. */
int64_t weights_extent(Weights *w, int axis, const char *name, ...) PRINTF_LIKE(3, 4);
/* Returns the number of axes of a tensor, or 0 where it is missing, which is no failure. */
int weights_axes(const Weights *w, const char *name, ...) PRINTF_LIKE(2, 3);
/* Marks tensors that begin so: nobody here needs them, but they belong into such a file. */
void weights_pass_over(Weights *w, const char *prefix);

/* Lays a matrix out for the device, which its products then read, where the backend wants that
 * (PackOp). Parts of a matrix are packed each for itself. */
void weights_pack(Weights *w, Weight *weight);

/* Returns a vector of n floats (axes of extent 1 aside) on the device. */
const float *weights_vector(Weights *w, int64_t n, const char *name, ...) PRINTF_LIKE(3, 4);
/* Returns a (rows,n) table in host memory; the caller frees it. A vector has one row. */
float *weights_read(Weights *w, int64_t rows, int64_t n, const char *name, ...) PRINTF_LIKE(4, 5);
/* Copies n floats of the host to the device. Returns where they are. */
const float *weights_place(Weights *w, const float *values, int64_t n);

/* Returns a matrix that is stored as (out,in); weights_transposed: as (in,out); weights_kernel: as
 * (out,in,kernel,kernel). Its products have the precision of the weights. */
Weight weights_matrix(Weights *w, int64_t out, int64_t in, const char *name, ...) PRINTF_LIKE(4, 5);
Weight weights_transposed(Weights *w, int64_t out, int64_t in, const char *name, ...)
    PRINTF_LIKE(4, 5);
Weight weights_kernel(Weights *w, int64_t out, int64_t in, int64_t kernel, const char *name, ...)
    PRINTF_LIKE(5, 6);
/* Returns the layer of <name>weight (out,in) and <name>bias (out), not packed, or the norm of <name>weight and
 * <name>bias (d). */
Layer weights_linear(Weights *w, int64_t out, int64_t in, const char *name, ...) PRINTF_LIKE(4, 5);
Norm weights_norm(Weights *w, int64_t d, const char *name, ...) PRINTF_LIKE(3, 4);

/* Fails if a tensor was neither used nor passed over. */
Status weights_finish(Weights *w);

#endif
