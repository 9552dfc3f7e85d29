/* cuda_layout.cu - one small kernel for each instruction of kernels/cuda/tile/ptx*.cuh; layout_test.c
 * judges them. Built for a GPU and for the emulator. */
extern "C" {
#include "tests/gpu/layout.h"
}
#include "kernels/cuda/tile/compiled.cuh"
#include "kernels/cuda/tile/ptx_hopper.cuh"
#include "kernels/cuda/tile/tensor_map.cuh"
#include "kernels/cuda/tile/tile.cuh"

typedef unsigned char Byte;

/* --- matrix fragments ------------------------------------------------------------------------- */

enum { PITCH = 24 }; /* halves between rows in shared memory: other than in the input */

template <bool TRANSPOSED, int MATRICES>
__global__ void ldmatrix_kernel(uint32_t *out, const uint16_t *in) {
    uint16_t *rows = shared_mem<uint16_t>();
    const int lane = (int)threadIdx.x;
    for (int i = 0; i < 8; i++) rows[lane * PITCH + i] = in[lane * 8 + i];
    __syncwarp();
    uint32_t r[4];
    if (MATRICES == 4 && TRANSPOSED) ldmatrix_x4_trans(r, rows + lane * PITCH);
    else if (MATRICES == 4) ldmatrix_x4(r, rows + lane * PITCH);
    else if (TRANSPOSED) ldmatrix_x2_trans(r, rows + lane * PITCH);
    else ldmatrix_x2(r, rows + lane * PITCH);
    for (int i = 0; i < MATRICES; i++) out[lane * MATRICES + i] = r[i];
}

__device__ static uint32_t pair(const uint16_t *low, const uint16_t *high) {
    return (uint32_t)*low | (uint32_t)*high << 16;
}

__device__ static void load_d(float d[4], const float *in, int g, int t) {
    for (int i = 0; i < 4; i++) d[i] = in[(g + i / 2 * 8) * 8 + 2 * t + i % 2];
}

__device__ static void store_d(float *out, const float d[4], int g, int t) {
    for (int i = 0; i < 4; i++) out[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = d[i];
}

template <bool BF16> __global__ void mma_kernel(float *out, const Byte *in) {
    const int g = (int)threadIdx.x / 4, t = (int)threadIdx.x % 4;
    const uint16_t *A = (const uint16_t *)(in + 512), *B = A + 16 * 16;
    uint32_t a[4], b[2];
    float d[4];
    load_d(d, (const float *)in, g, t);
    for (int i = 0; i < 4; i++) {
        const uint16_t *at = A + (g + i % 2 * 8) * 16 + 2 * t + i / 2 * 8;
        a[i] = pair(at, at + 1);
    }
    for (int i = 0; i < 2; i++) {
        const uint16_t *at = B + (2 * t + i * 8) * 8 + g;
        b[i] = pair(at, at + 8);
    }
    if (BF16) mma_bf16(d, a, b);
    else mma_f16(d, a, b);
    store_d(out, d, g, t);
}

__global__ void mma_tf32_kernel(float *out, const Byte *in) {
    const int g = (int)threadIdx.x / 4, t = (int)threadIdx.x % 4;
    const float *A = (const float *)(in + 512), *B = A + 16 * 8;
    uint32_t a[4], b[2];
    float d[4];
    load_d(d, (const float *)in, g, t);
    for (int i = 0; i < 4; i++) a[i] = tf32_of(A[(g + i % 2 * 8) * 8 + t + i / 2 * 4]);
    for (int i = 0; i < 2; i++) b[i] = tf32_of(B[(t + i * 4) * 8 + g]);
    mma_tf32(d, a, b);
    store_d(out, d, g, t);
}

/* COLUMNS: b stored (8,16), a column after the other. */
template <bool COLUMNS> __global__ void ldmatrix_mma_kernel(float *out, const Byte *in) {
    const int lane = (int)threadIdx.x, g = lane / 4, t = lane % 4;
    const uint16_t *A = (const uint16_t *)(in + 512), *B = A + 16 * 16;
    uint16_t *a_rows = shared_mem<uint16_t>(), *b_rows = a_rows + 16 * PITCH;
    for (int i = lane; i < 16 * 16; i += WARP) a_rows[i / 16 * PITCH + i % 16] = A[i];
    const int width = COLUMNS ? 16 : 8;
    for (int i = lane; i < 16 * 8; i += WARP) b_rows[i / width * PITCH + i % width] = B[i];
    __syncwarp();
    uint32_t a[4], b[2];
    float d[4];
    load_d(d, (const float *)in, g, t);
    /* matrices of a: rows 0-7, rows 8-15 at depth 0, then both at depth 8 */
    ldmatrix_x4(a, a_rows + lane % 16 * PITCH + lane / 16 * 8);
    if (COLUMNS) ldmatrix_x2(b, b_rows + lane % 8 * PITCH + lane / 8 % 2 * 8);
    else ldmatrix_x2_trans(b, b_rows + lane % 16 * PITCH);
    mma_f16(d, a, b);
    store_d(out, d, g, t);
}

/* --- conversions, vectors --------------------------------------------------------------------- */

__global__ void narrow_kernel(uint32_t *out, const float *in) {
    const int lane = (int)threadIdx.x;
    const float x = in[lane], next = in[(lane + 1) % WARP];
    out[lane * 5] = f16_of(x);
    out[lane * 5 + 1] = bf16_of(x);
    out[lane * 5 + 2] = f16x2_of(x, next);
    out[lane * 5 + 3] = bf16x2_of(x, next);
    out[lane * 5 + 4] = tf32_of(x);
}

__global__ void widen_kernel(float *out, const uint16_t *in) {
    const int lane = (int)threadIdx.x;
    out[lane * 2] = f32_of_f16(in[lane]);
    out[lane * 2 + 1] = f32_of_bf16(in[lane]);
}

__global__ void vectors_kernel(float *out, const float *in) {
    const int lane = (int)threadIdx.x;
    float4 x = load_float4(in + 4 * lane);
    x.x *= 2.0f, x.y *= 2.0f, x.z *= 2.0f, x.w *= 2.0f;
    store_float4(out + 4 * lane, x);
}

/* --- asynchronous copies ---------------------------------------------------------------------- */

__global__ void cp_async_kernel(Byte *out, const Byte *in) {
    Byte *shared = shared_mem<Byte>();
    const int lane = (int)threadIdx.x;
    for (int i = lane; i < 640; i += WARP) shared[i] = 0xee;
    __syncthreads();
    const int bytes16 = lane / 2, bytes4 = 4 - lane % 5;
    cp_async_16(shared + 16 * lane, bytes16 ? in + 16 * lane : in, bytes16);
    cp_async_4(shared + 512 + 4 * lane, bytes4 ? in + 512 + 4 * lane : in, bytes4);
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();
    for (int i = lane; i < 640; i += WARP) out[i] = shared[i];
}

__global__ void cp_async_groups_kernel(Byte *out, const Byte *in) {
    Byte *shared = shared_mem<Byte>();
    const int lane = (int)threadIdx.x;
    cp_async_16(shared + 16 * lane, in + 16 * lane, 16);
    cp_async_commit();
    cp_async_16(shared + 512 + 16 * lane, in + 512 + 16 * lane, 16);
    cp_async_commit();
    cp_async_wait<1>();
    __syncthreads();
    for (int i = lane; i < 512; i += WARP) out[i] = shared[i];
    cp_async_wait<0>();
    __syncthreads();
    for (int i = lane; i < 1024; i += WARP) out[512 + i] = shared[i];
}

/* --- between blocks --------------------------------------------------------------------------- */

__global__ void hand_over_kernel(float *out, const float *in, unsigned *turn) {
    const unsigned block = blockIdx.x;
    if (threadIdx.x != 0) return;
    wait_for(turn, block);
    out[block] = (block ? out[block - 1] : in[0]) + 1.0f;
    add_release(turn, 1);
}

/* --- compute capability 9.0a ------------------------------------------------------------------ */

/* Lines of 64 elements, swizzled as wgmma wants them (ptx_hopper.cuh). */
__device__ static void store_lines(Byte *tile, const uint16_t *in, int lines) {
    for (int i = (int)threadIdx.x; i < lines * 64; i += 128) {
        const int r = i / 64, x = i % 64;
        *(uint16_t *)(tile + 128 * r + 16 * (x / 8 ^ r % 8) + 2 * (x % 8)) = in[i];
    }
}

template <WgmmaType TYPE, int N, Major A, Major B>
__global__ void __launch_bounds__(128) wgmma_kernel(float *out, const Byte *in) {
    Byte *a = shared_mem<Byte>(), *b = a + 64 * 128;
    const int w = (int)threadIdx.x / WARP, g = (int)threadIdx.x % WARP / 4,
              t = (int)threadIdx.x % 4;
    const float *D = (const float *)in;
    const uint16_t *stored = (const uint16_t *)(D + 64 * N);
    store_lines(a, stored, 64);
    store_lines(b, stored + 64 * 64, N);
    fence_proxy_async();
    __syncthreads();
    float d[N / 2];
    UNROLL
    for (int i = 0; i < N / 2; i++)
        d[i] = D[(16 * w + g + i / 2 % 2 * 8) * N + i / 4 * 8 + 2 * t + i % 2];
    wgmma_fence();
    UNROLL
    for (int step = 0; step < 4; step++)
        wgmma<TYPE, N, A, B>(d, tile_descriptor<A>(a, step), tile_descriptor<B>(b, step, 8192));
    wgmma_commit();
    wgmma_wait<0>(d);
    UNROLL
    for (int i = 0; i < N / 2; i++)
        out[(16 * w + g + i / 2 % 2 * 8) * N + i / 4 * 8 + 2 * t + i % 2] = d[i];
}

__global__ void cluster_kernel(float *out, const float *in) {
    float4 *mine = shared_mem<float4>();
    const unsigned rank = cluster_rank(), next = (rank + 1) % cluster_size();
    if (threadIdx.x == 0) mine[0] = load_float4(in + 4 * rank);
    cluster_sync();
    if (threadIdx.x == 0) {
        const float4 x = cluster_load_float4(cluster_address(mine, next));
        store_float4(out + 4 * rank, x);
        cluster_store_float4(cluster_address(mine + 1, next), x);
    }
    __syncwarp();
    cluster_sync();
    if (threadIdx.x == 0) store_float4(out + 16 + 4 * rank, load_float4((float *)(mine + 1)));
}

/* An mbarrier behind 16 KB. */
__device__ static uint64_t *begin_mbarrier() {
    uint64_t *barrier = shared_mem<uint64_t>(16384);
    if (threadIdx.x == 0) {
        mbarrier_init(barrier, 1);
        fence_mbarrier_init();
    }
    __syncthreads();
    return barrier;
}

__global__ void box_kernel(Byte *out, const __grid_constant__ CUtensorMap map, int bytes) {
    Byte *box = shared_mem<Byte>();
    uint64_t *barrier = begin_mbarrier();
    for (unsigned turn = 0; turn < 2; turn++) {
        if (threadIdx.x == 0) {
            mbarrier_arrive_expect(barrier, (unsigned)bytes);
            load_box(box, &map, turn ? -8 : 32, turn ? -3 : 30, barrier);
        }
        mbarrier_wait(barrier, turn);
        for (int i = (int)threadIdx.x; i < bytes; i += WARP) out[(int)turn * bytes + i] = box[i];
        __syncthreads();
    }
}

__global__ void multicast_kernel(Byte *out, const __grid_constant__ CUtensorMap map) {
    Byte *box = shared_mem<Byte>();
    const unsigned rank = cluster_rank(), bytes = BOX_LINES * 128;
    for (int i = (int)threadIdx.x; i < (int)bytes; i += WARP) box[i] = 0xee;
    fence_proxy_async();
    uint64_t *barrier = begin_mbarrier();
    if (threadIdx.x == 0 && rank != 1) mbarrier_arrive_expect(barrier, bytes);
    __syncwarp();
    cluster_sync();
    if (threadIdx.x == 0 && rank == 1) load_box_multicast(box, &map, 32, 30, barrier, 1 | 4);
    if (threadIdx.x == 0 && rank == 3) load_box_multicast(box, &map, 32, 30, barrier, 8);
    if (rank != 1) mbarrier_wait(barrier, 0);
    for (int i = (int)threadIdx.x; i < (int)bytes; i += WARP) out[rank * bytes + i] = box[i];
    __syncwarp();
    cluster_sync();
}

__global__ void bulk_kernel(Byte *out, const Byte *in) {
    Byte *shared = shared_mem<Byte>();
    uint64_t *barrier = begin_mbarrier();
    if (threadIdx.x == 0) {
        mbarrier_arrive_expect(barrier, 144);
        copy_bulk(shared + 64, in + 16, 144, barrier);
    }
    mbarrier_wait(barrier, 0);
    for (int i = (int)threadIdx.x; i < 144; i += WARP) out[i] = shared[64 + i];
}

/* --- launch ----------------------------------------------------------------------------------- */

struct Shape {
    int grid, threads, shared, cluster;
    bool together; /* all blocks at once */
};

template <typename... Params, typename... Args>
static cudaError_t start(Shape shape, void (*kernel)(Params...), Args... args) {
    cudaLaunchConfig_t config = {};
    cudaLaunchAttribute attribute = {};
    config.gridDim = dim3((unsigned)shape.grid);
    config.blockDim = dim3((unsigned)shape.threads);
    config.dynamicSmemBytes = (size_t)shape.shared;
    config.attrs = &attribute;
    if (shape.together) {
        attribute.id = cudaLaunchAttributeCooperative;
        attribute.val.cooperative = 1;
        config.numAttrs = 1;
    }
    if (shape.cluster > 1) {
        attribute.id = cudaLaunchAttributeClusterDimension;
        attribute.val.clusterDim.x = (unsigned)shape.cluster;
        attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
        config.numAttrs = 1;
    }
    return cudaLaunchKernelEx(&config, kernel, Params(args)...);
}

static cudaError_t start_layout(Layout which, void *out, const void *in, void *spare) {
    const Shape warp = {1, WARP, 8192, 1, false}, group = {1, 128, (64 + 256) * 128, 1, false},
                boxes = {1, WARP, 16384 + 8, 1, false}, cluster = {4, WARP, 16384 + 8, 4, false};
    CUtensorMap map;
    uint32_t *words = (uint32_t *)out;
    float *floats = (float *)out;
    Byte *bytes = (Byte *)out;
    const uint16_t *halves = (const uint16_t *)in;
    const Byte *from = (const Byte *)in;
    switch (which) {
    case LAYOUT_LDMATRIX_X4: return start(warp, ldmatrix_kernel<false, 4>, words, halves);
    case LAYOUT_LDMATRIX_X4_TRANS: return start(warp, ldmatrix_kernel<true, 4>, words, halves);
    case LAYOUT_LDMATRIX_X2: return start(warp, ldmatrix_kernel<false, 2>, words, halves);
    case LAYOUT_LDMATRIX_X2_TRANS: return start(warp, ldmatrix_kernel<true, 2>, words, halves);
    case LAYOUT_MMA_F16: return start(warp, mma_kernel<false>, floats, from);
    case LAYOUT_MMA_BF16: return start(warp, mma_kernel<true>, floats, from);
    case LAYOUT_MMA_TF32: return start(warp, mma_tf32_kernel, floats, from);
    case LAYOUT_LDMATRIX_MMA_F16: return start(warp, ldmatrix_mma_kernel<false>, floats, from);
    case LAYOUT_LDMATRIX_MMA_F16_COLUMNS:
        return start(warp, ldmatrix_mma_kernel<true>, floats, from);
    case LAYOUT_NARROW: return start(warp, narrow_kernel, words, (const float *)in);
    case LAYOUT_WIDEN: return start(warp, widen_kernel, floats, halves);
    case LAYOUT_CP_ASYNC: return start(warp, cp_async_kernel, bytes, from);
    case LAYOUT_CP_ASYNC_GROUPS: return start(warp, cp_async_groups_kernel, bytes, from);
    case LAYOUT_VECTORS: return start(warp, vectors_kernel, floats, (const float *)in);
    case LAYOUT_HAND_OVER: {
        const Shape shape = {4, WARP, 0, 1, true};
        return start(shape, hand_over_kernel, floats, (const float *)in, (unsigned *)spare);
    }
    case LAYOUT_WGMMA_F16:
        return start(group, wgmma_kernel<WGMMA_F16, 256, K_MAJOR, K_MAJOR>, floats, from);
    case LAYOUT_WGMMA_F16_ACROSS:
        return start(group, wgmma_kernel<WGMMA_F16, 256, MN_MAJOR, MN_MAJOR>, floats, from);
    case LAYOUT_WGMMA_BF16:
        return start(group, wgmma_kernel<WGMMA_BF16, 128, K_MAJOR, K_MAJOR>, floats, from);
    case LAYOUT_WGMMA_BF16_ACROSS:
        return start(group, wgmma_kernel<WGMMA_BF16, 128, MN_MAJOR, MN_MAJOR>, floats, from);
    case LAYOUT_WGMMA_F16_MIXED:
        return start(group, wgmma_kernel<WGMMA_F16, 64, K_MAJOR, MN_MAJOR>, floats, from);
    case LAYOUT_WGMMA_BF16_MIXED:
        return start(group, wgmma_kernel<WGMMA_BF16, 64, MN_MAJOR, K_MAJOR>, floats, from);
    case LAYOUT_CLUSTER: return start(cluster, cluster_kernel, floats, (const float *)in);
    case LAYOUT_BOX_SWIZZLED:
        if (!tensor_map(&map, in, 72, 40, 72, 64, BOX_LINES)) return cudaErrorInvalidValue;
        return start(boxes, box_kernel, bytes, map, BOX_LINES * 128);
    case LAYOUT_BOX_PLAIN:
        if (!tensor_map(&map, in, 72, 40, 72, 16, BOX_LINES)) return cudaErrorInvalidValue;
        return start(boxes, box_kernel, bytes, map, BOX_LINES * 32);
    case LAYOUT_BOX_MULTICAST:
        if (!tensor_map(&map, in, 72, 40, 72, 64, BOX_LINES)) return cudaErrorInvalidValue;
        return start(cluster, multicast_kernel, bytes, map);
    case LAYOUT_BULK: return start(boxes, bulk_kernel, bytes, from);
    default: return cudaErrorInvalidValue;
    }
}

extern "C" bool layout_served(Layout which) {
    int devices = 0;
    /* without a device the test runs, and fails as all do */
    if (which < LAYOUT_WGMMA_F16 || cudaGetDeviceCount(&devices) != cudaSuccess) return true;
    const Compiled code = compiled_for(vectors_kernel);
    return which < LAYOUT_CLUSTER ? has_wgmma(code) : has_clusters(code);
}

extern "C" bool layout_run(Layout which, const void *in, int64_t in_bytes, void *out,
                           int64_t out_bytes, const char **message) {
    void *in_dev = NULL, *out_dev = NULL, *spare = NULL;
    cudaError_t e = cudaMalloc(&in_dev, (size_t)in_bytes);
    if (e == cudaSuccess) e = cudaMalloc(&out_dev, (size_t)out_bytes);
    if (e == cudaSuccess) e = cudaMalloc(&spare, sizeof(unsigned));
    if (e == cudaSuccess) e = cudaMemset(spare, 0, sizeof(unsigned));
    if (e == cudaSuccess) e = cudaMemset(out_dev, 0xff, (size_t)out_bytes); /* NaN */
    if (e == cudaSuccess) e = cudaMemcpy(in_dev, in, (size_t)in_bytes, cudaMemcpyHostToDevice);
    if (e == cudaSuccess) e = start_layout(which, out_dev, in_dev, spare);
    if (e == cudaSuccess) e = cudaDeviceSynchronize();
    if (e == cudaSuccess) e = cudaMemcpy(out, out_dev, (size_t)out_bytes, cudaMemcpyDeviceToHost);
    cudaFree(in_dev);
    cudaFree(out_dev);
    cudaFree(spare);
    *message = e == cudaSuccess ? NULL : cudaGetErrorString(e);
    return e == cudaSuccess;
}
