/* encode.h - the operations that image and text encoders are made of: vision transformers, CLIP's
 * residual network and its text transformer.
 *
 * Images are channels-last: (B,H,W,C), so that a pixel's channels are one row of a matrix product and
 * a 1 x 1 convolution is a linear layer. The residual stream and all sums are float32. The operands of
 * products are rounded to the weight's precision; what lies between two products has that precision in
 * memory, too, where the backend has it `narrow`, else float32. Weights lie as in their file, in their own
 * type and order, or as the backend's `pack` has laid them out once.
 *
 * An output row depends on its own input rows alone, and its sums run in one fixed order: the
 * features of an image are the same bits in any batch, at any place in it, with any number of
 * threads.
 */
#ifndef TURTLE_KERNELS_ENCODE_H
#define TURTLE_KERNELS_ENCODE_H

#include "io/sizes.h"
#include "kernels/matrix.h"

/* The type of a product's operands, and of activations in memory. Sums are float32 in each. */
typedef enum { PRECISION_FP32, PRECISION_FP16, PRECISION_BF16 } Precision;

/* Returns the bytes of one number. */
static inline int64_t precision_bytes(Precision p) {
    return p == PRECISION_FP32 ? 4 : 2;
}

/* A matrix of activations: element (i, j) lies at data[i * row + j]. */
typedef struct {
    void *data;
    int64_t row; /* in elements */
    Precision type;
} Matrix;

static inline Matrix matrix_f32(const float *data, int64_t row) {
    return (Matrix){(void *)data, row, PRECISION_FP32};
}

/* The weight of a linear layer (taps = 1) or of a convolution (taps = kernel^2), as it lies in a
 * file: element (o, i, t) at data[o * out_step + i * in_step + t * tap_step]. */
typedef struct {
    const void *data;                    /* possibly unaligned */
    DType type;                          /* F16, BF16, F32 or F64 */
    int64_t out, in, taps;               /* output channels, input channels, kernel positions */
    int64_t out_step, in_step, tap_step; /* in elements */
    Precision precision;                 /* both operands of its products are rounded to it */
    const void *packed;                  /* what `pack` wrote, or NULL: products read `data` */
} Weight;

typedef enum {
    ACT_NONE,
    ACT_RELU,       /* max(x, 0) */
    ACT_QUICK_GELU, /* x sigmoid(1.702 x): CLIP */
    ACT_GELU,       /* x (1 + erf(x / sqrt 2)) / 2: DINOv2 */
    ACT_GELU_TANH,  /* x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 */
    ACT_SILU,       /* x sigmoid(x): the gate of SwiGLU */
} Activation;

/* The work behind a product: out = times act(add out + scale (A W^T) + bias). `add` is the residual
 * connection; `scale` is a batch norm's or LayerScale's factor; `times` is a gate, element by element. */
typedef struct {
    const float *scale; /* (out); NULL means 1 */
    const float *bias;  /* (out); NULL means 0 */
    bool add;
    Activation activation;
    Matrix times; /* (rows,out); data NULL means 1; of linear only */
} Epilogue;

/* A square kernel over square or oblong images. */
typedef struct {
    int64_t height, width; /* pixels of the input */
    int64_t kernel, stride, pad;
    int64_t out_image; /* elements from one output image to the next; 0: images lie densely */
} Window;

static inline int64_t window_out(int64_t side, const Window *w) {
    return (side + 2 * w->pad - w->kernel) / w->stride + 1;
}

/* An operand of attention over heads of `width`: element (b, t, h, i) lies at
 * data[b * image + t * row + width h + i]. */
typedef struct {
    void *data;
    int64_t image, row; /* in elements */
    Precision type;
} Tokens;

/* Rotary positions (Su et al. 2021): the halves a, b of a head's query or key become a cos - b sin and
 * b cos + a sin, with angles of the token's place. Tokens before `first` have none. */
typedef struct {
    const float *cos, *sin; /* (tokens - first, width / 2); NULL: no token is rotated */
    int64_t first;
} Rope;

enum {
    HEAD_DIM = 64, /* width of a head in CLIP up to ViT-L/14, in DINOv2 and mostly in DINOv3 */
    MAX_HEAD_DIM =
        128, /* attention serves heads of any width up to this one, with Rope even ones */
};

/* Lays a weight out for products in its precision. `packed` is device memory of pack_bytes, w->data host
 * memory, which is read before it returns. Epilogues keep their scale. */
typedef Status PackOp(Queue *queue, void *packed, const Weight *w);
/* out (rows,w->out) = epilogue(in (rows,w->in)). Rows of either may be part of a wider matrix. An input of
 * float32 is rounded to the weight's precision as it is read. 2 rows out in flops. */
typedef Status LinearOp(Queue *queue, Matrix out, Matrix in, const Weight *w,
                        const Epilogue *epilogue, int64_t rows, void *scratch);
/* out (B,OH,OW,w->out) = epilogue(cross-correlation of in (B,H,W,w->in) with w), zero-padded. Rows are
 * pixels and lie densely; images of out lie window->out_image apart.
 * 2 B OH OW out in taps flops. */
typedef Status Conv2dOp(Queue *queue, Matrix out, Matrix in, const Weight *w, const Window *window,
                        const Epilogue *epilogue, int64_t B, void *scratch);

/* Scaled dot-product attention per head: out = softmax(q k^T / sqrt(width) [+ causal mask]) v.
 *   q, out (B,queries,heads * width); k, v (B,keys,heads * width); causal: query t sees keys
 *   0..t. rope rotates q and k of token t, as they are packed; NULL: neither. All have one type.
 *   4 B heads queries keys width flops; scores of a few queries exist at a time. */
typedef Status AttentionOp(Queue *queue, Tokens out, Tokens q, Tokens k, Tokens v, int64_t B,
                           int64_t queries, int64_t keys, int64_t heads, int64_t width, bool causal,
                           const Rope *rope, void *scratch);

/* out (rows,d) = (x - mean) / sqrt(variance + eps) * weight + bias over the last axis; the variance is biased.
 * Rows of x lie x_row apart. out may be x itself. */
typedef Status LayerNormOp(Queue *queue, Matrix out, const float *x, int64_t x_row,
                           const float *weight, const float *bias, double eps, int64_t rows,
                           int64_t d);

/* One axis of a picture that becomes a square. Output place + i is the sum of weight[k * count + i] times input
 * from[i] + k over k < used[i]. The sum is divided by 2^precision, rounded, and held within a byte. The other outputs
 * are black. */
typedef struct {
    int32_t count, place, precision;
    int32_t from, used, weight; /* bytes from the head at which these arrays of int32 lie */
} PictureAxis;

/* A picture on its way to the device: this head, the arrays of both axes, and the pixels that the square needs. */
typedef struct {
    int32_t bytes;         /* bytes of all three, a multiple of 16 */
    int32_t width, height; /* size of the window of pixels (height,width,3) */
    int32_t pixels;        /* bytes from the head at which the window lies */
    PictureAxis across, down;
} PictureHead;

/* Returns the bytes of a row between the passes across and down. */
HOST_DEVICE static inline int64_t picture_row(int64_t side) {
    return round_up(3 * side, 4);
}

/* out (B,side,side,3) = pictures, resized and cropped as their heads say: across, rounded to bytes, then down, rounded
 * to bytes. Head b lies at pictures + b * stride. `rows`, of B * stride bytes, holds height rows of picture_row(side)
 * bytes per picture. stride is a multiple of 16. `bytes` counts all pictures, for profiles. */
typedef Status ResizeOp(Queue *queue, uint8_t *out, uint8_t *rows, const uint8_t *pictures,
                        int64_t stride, int64_t bytes, int64_t B, int64_t side);
/* out (B,side,side,3) = (pixels / 255 - mean) / std; pixels (B,side,side,3) uint8. */
typedef Status PixelsOp(Queue *queue, float *out, const uint8_t *pixels, const float mean[3],
                        const float std[3], int64_t B, int64_t side);
/* x (B,prefix+n,d): the first rows of every image become `first` (prefix,d; NULL where there are none),
 * `position` (n,d; NULL means 0) is added to the others. */
typedef Status AddTokensOp(Queue *queue, float *x, const float *first, int64_t prefix,
                           const float *position, int64_t B, int64_t n, int64_t d);
/* out (B,T,d) = table[ids] + position; ids (B,T) in [0, table->out). */
typedef Status EmbedOp(Queue *queue, float *out, const int32_t *ids, const Weight *table,
                       const float *position, int64_t B, int64_t T);
/* out (B,1+n,d) = the mean over x (B,n,d), then x itself, plus `position` (1+n,d). CLIP's attention pooling
 * begins with it. Rows are tokens and lie densely. */
typedef Status PoolTokensOp(Queue *queue, Matrix out, Matrix x, const float *position, int64_t B,
                            int64_t n, int64_t d);
/* out (B,H/k,W/k,C) = means over k x k pixels of in (B,H,W,C); a remainder is dropped. Rows are pixels and
 * lie densely; in and out have one type. */
typedef Status AvgPoolOp(Queue *queue, Matrix out, Matrix in, int64_t B, int64_t H, int64_t W,
                         int64_t C, int64_t k);
/* out[b] (d, rows out_row apart) = mean over x[b, first..first+n] of x (B,T,d). */
typedef Status MeanTokensOp(Queue *queue, float *out, int64_t out_row, const float *x, int64_t B,
                            int64_t T, int64_t first, int64_t n, int64_t d);
/* Divides every row of x (rows,d) by its Euclidean norm. */
typedef Status NormalizeOp(Queue *queue, float *x, int64_t rows, int64_t d);

/* The operations of encoders of one backend. */
typedef struct {
    LinearOp *linear;
    Conv2dOp *conv2d;
    AttentionOp *attention;
    LayerNormOp *layer_norm;
    ResizeOp *resize; /* NULL on the CPU: there threads resize what they decode (io/images) */
    PixelsOp *pixels;
    AddTokensOp *add_tokens;
    EmbedOp *embed;
    PoolTokensOp *pool_tokens;
    AvgPoolOp *avg_pool;
    MeanTokensOp *mean_tokens;
    NormalizeOp *normalize;

    /* Returns the bytes that `pack` writes for a weight; 0: its products read it as it lies. */
    int64_t (*pack_bytes)(const Weight *w);
    PackOp *pack;
    /* Whether activations between two products have that precision in memory, too. */
    bool narrow[PRECISION_BF16 + 1];
    /* Returns the bytes of scratch that serve any linear of up to `depth` inputs, any conv2d of `depth` = inputs x
     * taps, and attention of any width over `keys`. */
    int64_t (*scratch_bytes)(const Device *device, int64_t depth, int64_t keys);
} EncodeOps;

/* Returns the type of activations between products of a precision. */
static inline Precision activations_of(const EncodeOps *encode, Precision precision) {
    return encode->narrow[precision] ? precision : PRECISION_FP32;
}

#endif
