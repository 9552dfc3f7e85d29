/*
 * linear_wgmma.cu - linear layers and 1 x 1 convolutions on the tensor cores of compute capability 9.0
 *
 *     out = times act(add out + scale (A W^T) + bias)
 *
 * Shapes   A (rows,depth) and W (cols,depth) of 16 bits that the TMA can load, out (rows,cols); depth and cols >= 64.
 * Cost     2 rows cols depth flops; through the L2 cache A once for 256 columns, W once for 256 rows. ViT-L/14, 64 images,
 *          first product of the MLP, 16448 x 4096 x 1024: 138 GFLOP, 174 us at 795 TFLOP/s; 1.09 GB, 198 us at 5.5 TB/s.
 * Mapping  a tile of 256 x 256 for a cluster of two blocks; clusters stay and take tiles in turn (layer_tile_at):
 *
 *              block 0    rows   0 - 127    group 0:   0 - 63   group 1:  64 - 127   \ W's 256 columns: each block loads
 *              block 1    rows 128 - 255    group 0: 128 - 191  group 1: 192 - 255   / half of them for both
 *
 *          wgmma.cuh has the ring and the main loop: a third group loads, also beyond the end of a tile. Group 0 begins
 *          LAYER_WIDE_LEAD steps ahead of group 1, so that while one is in its epilogue the other multiplies. Where loads
 *          bind, the groups meet within the first tile and nothing renews the lead: then both write at once, while four
 *          stages of the next tile come. The epilogue turns a warp's 16 rows through shared memory, 64 columns at a
 *          time, so that a lane has eight neighbours of a row: 16 bytes a move.
 *          Few tiles are 128 or 64 columns wide, to spread over the device.
 * Needs    W packed; no scratch. An element's sum runs along the depth in steps of 16, whatever the tile's width.
 * History  Not measured yet. layer_v1_naive (layer.cuh) is the oracle; step 8 of the ladder in README.md.
 */
#include "kernels/cuda/encode/layer.cuh"
#include "kernels/cuda/tile/compiled.cuh"
#include "kernels/cuda/tile/wgmma.cuh"

struct WideLayer {
    Layer layer;
    int up, across; /* tiles of clusters */
    int clusters;   /* how many take them in turn */
    int steps;      /* of the ring for a tile */
    CUtensorMap A, W;
};

/* Behind the ring each warp that multiplies has 16 rows x 64 columns of float32. Groups of eight columns are swapped by the
 * row, and groups 4 to 7 have their halves swapped. So the fragments' pairs of four rows meet all banks, and so do the
 * eight vectors of 16 bytes that lanes read of a row. */
constexpr int TURNS = RING_SHARED, TURN_COLS = 64, TURN_FLOATS = 16 * TURN_COLS;
constexpr int WIDE_LAYER_SHARED = TURNS + WIDE_CONSUMERS / WARP * TURN_FLOATS * 4;
static_assert(TURNS % 16 == 0, "float4s are aligned");
static_assert(WIDE_LAYER_SHARED <= 227 << 10, "fits a block of 9.0");
static_assert((int)LAYER_WIDE_ROWS == WideTile::ROWS && (int)LAYER_WIDE_COLS == WideTile::COLS &&
                  (int)LAYER_WIDE_DEPTH == WIDE_DEPTH && (int)LAYER_WIDE_STAGES == WIDE_STAGES,
              "the model's tile is the kernel's");
static_assert(LAYER_WIDE_LEAD >= 1 && LAYER_WIDE_LEAD < WIDE_STAGES,
              "a stage is left to be loaded");

/* Returns where column `at` of eight columns of a row lies in a warp's turn. */
__device__ __forceinline__ unsigned turned(unsigned row, unsigned eight, unsigned at) {
    return row * TURN_COLS + ((row % 8 * 8 + at) ^ (eight * 8 + eight / 4 * 4));
}

/* Writes a warp's 16 rows from `row` on and COLS columns from `col` on, which lie in d as ptx_hopper.cuh says. */
template <int COLS>
__device__ __forceinline__ void finish_rows(const Layer &l, const float (&d)[COLS / 2], int row,
                                            int col) {
    constexpr int OWN = 4; /* rows of a lane */
    const int width = l.cols - col < COLS ? l.cols - col : COLS;
    NO_UNROLL
    for (int from = 0; from < width; from += TURN_COLS) {
        const unsigned thread = opaque((int)threadIdx.x),
                       lane = thread % WARP; /* few registers stay */
        const unsigned g = lane / 4, t = lane % 4, eight = lane % 8;
        const int first = row + (int)lane / 8;
        float *turn = shared_mem<float>(TURNS) + thread / WARP * TURN_FLOATS;
        const int c = col + from + 8 * (int)eight, rows = c < l.cols ? l.rows : 0;
        const OfColumns of(l.epilogue, rows ? c : 0);
        Eight beside[OWN];
        UNROLL
        for (int i = 0; i < OWN; i++) { /* all under way at once */
            const int r = first + 4 * i;
            beside[i] = {};
            if (r >= rows) continue;
            if (l.epilogue.add) beside[i] = load_sum(l, index_out(l, r, c));
            else beside[i] = load_gate(l, r, c);
        }
        __syncwarp();
        UNROLL
        for (int k = 0; k < COLS / TURN_COLS; k++) { /* d has constant indices */
            if (k * TURN_COLS != from) continue;
            UNROLL
            for (int j = 0; j < 8; j++) {
                const float *x = d + k * TURN_COLS / 2 + 4 * j;
                *(float2 *)(turn + turned(g, j, 2 * t)) = make_float2(x[0], x[1]);
                *(float2 *)(turn + turned(g + 8, j, 2 * t)) = make_float2(x[2], x[3]);
            }
        }
        __syncwarp();
        UNROLL
        for (int i = 0; i < OWN; i++) {
            const int r = first + 4 * i;
            if (r >= rows) continue;
            float x[8];
            const unsigned at = turned(lane / 8 + 4 * i, eight, 0);
            const Eight sums = {load_float4(turn + at), load_float4(turn + (at ^ 4))};
            widen_eight(x, sums, PRECISION_FP32);
            finish_eight<4>(l, x, of, beside[i], beside[i], index_out(l, r, c));
        }
    }
}

/* Returns a block's first row of its cluster's tile. */
__device__ __forceinline__ int row_of_block(const LayerTile &at) {
    return (at.up * LAYER_WIDE_BLOCKS + (int)blockIdx.x % LAYER_WIDE_BLOCKS) * WideTile::ROWS;
}

template <class T, int COLS>
__global__ void __launch_bounds__(WIDE_THREADS, 1)
    layer_wgmma(const __grid_constant__ WideLayer a) {
#if HAS_WGMMA
    const Layer &l = a.layer;
    const int tiles = a.up * a.across, first = (int)blockIdx.x / LAYER_WIDE_BLOCKS;
    Ring::begin();
    Ring ring;
    if (threadIdx.x >= WIDE_CONSUMERS) {
        registers_give<LOADER_REGISTERS>();
        for (int i = first; i < tiles; i += a.clusters) {
            const LayerTile at = layer_tile_at(i, a.up, a.across);
            const int row = row_of_block(at);
            if (threadIdx.x == WIDE_CONSUMERS)
                ring_load<SHARE_B, COLS>(
                    ring, a.steps, 0,
                    [&](int box, int t) {
                        return BoxAt{&a.A, t * WIDE_DEPTH, row + 64 * box};
                    },
                    [&](int box, int t) {
                        return BoxAt{&a.W, t * WIDE_DEPTH, at.across * COLS + 64 * box};
                    });
            __syncwarp();
        }
    } else {
        registers_take<CONSUMER_REGISTERS>();
        const bool leads = threadIdx.x < WIDE_CONSUMERS / 2;
        int lead = leads && first < tiles ? LAYER_WIDE_LEAD : 0; /* steps until group 1 may begin */
        auto begin_other = [&] { barrier_sync(OF_CONSUMERS, WIDE_CONSUMERS); };
        if (!leads && first < tiles) begin_other();
        for (int i = first; i < tiles; i += a.clusters) {
            float d[COLS / 2];
            ring_multiply<T, K_MAJOR, SHARE_B>(ring, d, a.steps, [&](const unsigned char *) {
                if (lead > 0 && --lead == 0) begin_other();
            });
            if (lead > 0) lead = 0, begin_other();
            const LayerTile at = layer_tile_at(i, a.up, a.across);
            const int row = row_of_block(at) + (int)threadIdx.x / WARP * 16;
            if (row < l.rows) finish_rows<COLS>(l, d, row, at.across * COLS);
        }
    }
    __syncwarp();
    cluster_sync(); /* a block's last stages are released to the other, which must still be there */
#else
    __trap(); /* the host launches it on 9.0 alone */
#endif
}

/* --- on the host ------------------------------------------------------------------------------ */

template <class T, int COLS> static Status start_wide(Queue *q, WideLayer &a) {
    const Layer &l = a.layer;
    const int64_t held = most(1, q->device->sms / LAYER_WIDE_BLOCKS);
    a.up = (int)ceil_div(l.rows, LAYER_WIDE_BLOCKS * LAYER_WIDE_ROWS);
    a.across = (int)ceil_div(l.cols, COLS);
    const int64_t tiles = (int64_t)a.up * a.across;
    REQUIRE(q, tiles <= INT32_MAX / 2, "linear");
    a.clusters = (int)least(held, tiles);
    a.steps = (int)ceil_div(l.depth, WIDE_DEPTH);
    cost_of_layer(q, l, 2);
    return launch_with(q, clusters_of(LAYER_WIDE_BLOCKS), (layer_wgmma<T, COLS>),
                       grid_of(a.clusters * LAYER_WIDE_BLOCKS), WIDE_THREADS, WIDE_LAYER_SHARED, a);
}

template <class T> static Status start_boxes(Queue *q, WideLayer &a) {
    switch (layer_wide_cols(a.layer.rows, a.layer.cols, q->device->sms)) {
    case 64: return start_wide<T, 64>(q, a);
    case 128: return start_wide<T, 128>(q, a);
    default: return start_wide<T, LAYER_WIDE_COLS>(q, a);
    }
}

Status layer_of_boxes(Queue *q, const Layer &l, Precision precision) {
    WideLayer a = {};
    a.layer = l;
    REQUIRE(q,
            tensor_map(&a.A, l.in.data, l.depth, l.rows, l.in_image, 64, 64) &&
                tensor_map(&a.W, l.weight, l.depth, l.cols, l.weight_row, 64, 64),
            "linear");
    return precision == PRECISION_FP16 ? start_boxes<Fp16>(q, a) : start_boxes<Bf16>(q, a);
}
