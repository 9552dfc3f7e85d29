/* emu_hopper_test.cu - the emulator reports wrong uses of clusters, mbarriers, copies by the TMA and products of a
 * warp group; the right uses beside them are silent. */
#include "kernels/cuda/tile/ptx_hopper.cuh"
#include "kernels/cuda/tile/tensor_map.cuh"
#include "tests/emu/emu_fault.h"

template <typename... Params, typename... Args>
static cudaError_t start_clusters(int size, bool cooperative, void (*kernel)(Params...), int blocks,
                                  int threads, int shared, Args... args) {
    cudaLaunchConfig_t config = {};
    cudaLaunchAttribute attributes[2] = {};
    attributes[0].id = cudaLaunchAttributeClusterDimension;
    attributes[0].val.clusterDim.x = (unsigned)size;
    attributes[0].val.clusterDim.y = attributes[0].val.clusterDim.z = 1;
    attributes[1].id = cudaLaunchAttributeCooperative;
    attributes[1].val.cooperative = cooperative;
    config.gridDim = dim3((unsigned)blocks);
    config.blockDim = dim3((unsigned)threads);
    config.dynamicSmemBytes = (size_t)shared;
    config.attrs = attributes;
    config.numAttrs = 2;
    return cudaLaunchKernelEx(&config, kernel, Params(args)...);
}

/* --- clusters --------------------------------------------------------------------------------- */

__global__ void names_itself(unsigned *out) {
    if (threadIdx.x == 0) out[blockIdx.x] = 100 * cluster_size() + cluster_rank();
    __syncwarp();
    cluster_sync();
}
Test(emu_hopper, cluster_limits, .timeout = 60) {
    setenv("EMU_DEVICE", "tiny", 1);
    unsigned *out = (unsigned *)floats();
    OKAY(start_clusters(4, false, names_itself, 8, 64, 0, out));
    for (int i = 0; i < 8; i++) {
        const float x = float_at(i);
        unsigned found;
        memcpy(&found, &x, 4);
        cr_expect(found == 400u + (unsigned)i % 4, "block %d: %u", i, found);
    }
    cr_expect(start_clusters(4, false, names_itself, 6, 32, 0, out) == cudaErrorInvalidClusterSize);
    cr_expect(start_clusters(16, false, names_itself, 16, 32, 0, out) ==
              cudaErrorInvalidClusterSize);
    /* one block of 512 threads an SM: 4 SMs hold no cluster of 8, and not two of 4 at once */
    cr_expect(start_clusters(8, false, names_itself, 8, 512, 0, out) ==
              cudaErrorInvalidClusterSize);
    OKAY(start_clusters(4, true, names_itself, 4, 512, 0, out));
    cr_expect(start_clusters(4, true, names_itself, 8, 512, 0, out) ==
              cudaErrorCooperativeLaunchTooLarge);
    OKAY(cudaDeviceSynchronize());
    setenv("EMU_DEVICE", "a100", 1);
    cr_expect(start_clusters(2, false, names_itself, 2, 32, 0, out) == cudaErrorInvalidClusterSize);
}

__global__ void cluster_wrong(int what) {
    float4 *s = shared_mem<float4>();
    if (what == 0 && threadIdx.x < 32) cluster_arrive(), cluster_arrive();
    if (what == 1) cluster_wait();
    if (what == 2 && cluster_rank() == 0) cluster_sync();
    if (what == 2 && cluster_rank() == 1 && threadIdx.x < 32) barrier_sync(1, 64);
    if (what == 3) cluster_load_float4(cluster_address(s, 2));
    if (what == 4) cluster_load_float4(cluster_address(s, 0) + 64);
    if (what == 5 && cluster_rank() == 0) { /* the other block may have returned */
        for (int i = 0; i < 1000; i++) cluster_load_float4(cluster_address(s, 1)), __syncwarp();
    }
}
template <int WHAT> static void cluster_goes_wrong() {
    start_clusters(2, false, cluster_wrong, 2, 32 + 32 * (WHAT == 2), 64, WHAT);
}
Test(emu_hopper, clusters, .timeout = 60) {
    expect_fault(cluster_goes_wrong<0>, "it has not waited for its last one");
    expect_fault(cluster_goes_wrong<1>, "it has not arrived before");
    expect_fault(cluster_goes_wrong<2>, "wait at cluster_wait (tests/emu/emu_hopper_test.cu:");
    expect_fault(cluster_goes_wrong<3>, "block 2 of a cluster of 2");
    expect_fault(cluster_goes_wrong<4>, "16 bytes at byte 64 of the 64");
    expect_fault(cluster_goes_wrong<5>, "block 1 of its cluster has returned");
}

/* A loader (warp 2) that runs one exchange ahead of its consumers: it arrives early and waits late. With two turns
 * the consumers come to their barrier once more before the loader waits: two items a block. */
__global__ void splits_the_barrier(uint64_t turns) {
    uint64_t *barrier = shared_mem<uint64_t>();
    if (threadIdx.x == 0) mbarrier_init(barrier, 64);
    __syncthreads();
    if (threadIdx.x >= 64) {
        for (uint64_t i = 0; i < turns; i++) {
            if (i) mbarrier_wait(barrier, (unsigned)(i - 1) % 2); /* stages that consumers release */
            if (i) cluster_wait();
            cluster_arrive();
        }
        cluster_wait();
        return;
    }
    for (uint64_t i = 0; i < turns; i++) {
        cluster_arrive();
        cluster_wait();
        mbarrier_arrive(barrier);
    }
}
/* All threads come to one barrier, at one place: that is right in a cluster of any size. */
__global__ void meets_at_once(float *out) {
    cluster_sync();
    out[blockIdx.x] = 1.0f;
    cluster_sync();
}
template <int SIZE> static void splits() {
    start_clusters(SIZE, false, splits_the_barrier, 2, 96, 64, (uint64_t)2);
}
static void splits_without_clusters() {
    start(splits_the_barrier, 2, 96, 64, (uint64_t)2);
}
static void meets_in_clusters_of_one() {
    start_clusters(1, false, meets_at_once, 2, 96, 64, floats());
    start(meets_at_once, 2, 96, 64, floats());
}
Test(emu_hopper, a_cluster_of_one_has_no_split_barrier, .timeout = 60) {
    const char *says = "in a cluster of one it is bar.sync 0";
    setenv("EMU_DEVICE", "tiny", 1);
    expect_fault(splits<1>, says, "deadlock: nobody can go on");
    expect_fault(splits_without_clusters, says, "deadlock: nobody can go on");
    expect_silence(meets_in_clusters_of_one);
}

/* Clusters lie in one GPC: with the same SMs, fewer of them fit where GPCs are uneven. */
Test(emu_hopper, clusters_fit_into_gpcs, .timeout = 60) {
    static const struct {
        const char *device, *gpcs;
        int sms, of_2, of_4, of_8;
    } cases[] = {{"h200", NULL, 132, 66, 32, 16},
                 {"h200", "16,16,16,16,16,16,18,18", 132, 66, 32, 16},
                 {"h200", "18,18,18,18,18,14,14,14", 132, 66, 29, 13},
                 {"tiny", "3,1", 4, 1, 0, 0}};
    cudaLaunchConfig_t config = {};
    cudaLaunchAttribute cluster = {};
    config.gridDim = dim3(8);
    config.blockDim = dim3(512);
    config.attrs = &cluster;
    config.numAttrs = 1;
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim.y = cluster.val.clusterDim.z = 1;
    for (const auto &c : cases) {
        int sms = 0;
        setenv("EMU_DEVICE", c.device, 1);
        if (c.gpcs) setenv("EMU_GPCS", c.gpcs, 1);
        OKAY(cudaDeviceGetAttribute(&sms, cudaDevAttrMultiProcessorCount, 0));
        cr_expect(sms == c.sms, "%s: %d SMs", c.gpcs, sms);
        for (int size = 2; size <= 8; size *= 2) {
            const int expected = size == 2 ? c.of_2 : size == 4 ? c.of_4 : c.of_8;
            int n = -1;
            cluster.val.clusterDim.x = (unsigned)size;
            OKAY(cudaOccupancyMaxActiveClusters(&n, names_itself, &config));
            cr_expect(n == expected, "%s %s: %d clusters of %d", c.device, c.gpcs, n, size);
        }
    }
    setenv("EMU_GPCS", "16,-2", 1);
    expect_fault(
        [] {
            int sms = 0;
            cudaDeviceGetAttribute(&sms, cudaDevAttrMultiProcessorCount, 0);
        },
        "EMU_GPCS: expected the SMs");
}

/* Instructions of 9.0 trap in code for 8.0, which a device of 9.0 runs where it has no other. */
static void meets_in_old_code() {
    setenv("EMU_CODE", "80", 1);
    meets_in_clusters_of_one();
}
Test(emu_hopper, old_code_traps, .timeout = 60) {
    setenv("EMU_DEVICE", "tiny", 1);
    expect_fault(meets_in_old_code, "trap: the kernel's code is for 8.0");
}

/* --- mbarriers and copies --------------------------------------------------------------------- */

/* Copies 64 floats and passes them on; `what` says what is wrong. */
__global__ void copies_in_bulk(float *out, const float *in, int what) {
    float *s = shared_mem<float>();
    uint64_t *barrier = shared_mem<uint64_t>(256);
    if (threadIdx.x == 0 && what != 1) {
        mbarrier_init(barrier, what == 2 ? 2 : 1);
        fence_mbarrier_init();
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        mbarrier_arrive_expect(barrier, what == 3 ? 512 : what == 4 ? 128 : 256);
        copy_bulk(s, in + (what == 5), 256, barrier);
        if (what == 6) mbarrier_arrive(barrier);
    }
    if (what != 7) mbarrier_wait(barrier, 0);
    out[threadIdx.x] = s[threadIdx.x];
    if (what == 7) mbarrier_wait(barrier, 0);
}
template <int WHAT> static void copy_goes_wrong() {
    cudaMemset(floats(), 0, 1024);
    start(copies_in_bulk, 1, 64, 264, floats() + 512, (const float *)floats(), WHAT);
}
Test(emu_hopper, mbarriers_and_copies, .timeout = 60) {
    expect_silence(copy_goes_wrong<0>);
    expect_fault(copy_goes_wrong<1>, "no mbarrier was initialised");
    expect_fault(copy_goes_wrong<2>, "lacks 1 of 2 arrivals and 0 announced bytes");
    expect_fault(copy_goes_wrong<3>, "lacks 0 of 1 arrivals and 256 announced bytes");
    expect_fault(copy_goes_wrong<4>, "wrong transaction count: 128 more bytes");
    expect_fault(copy_goes_wrong<5>, "all are multiples of 16");
    expect_fault(copy_goes_wrong<3>, "threads 0-63 wait at mbarrier_wait");
    copy_goes_wrong<7>(); /* read too early: NaN */
    cr_expect(isnan(float_at(512)) || isnan(float_at(575)), "no early read showed");
}

/* Two blocks, twice: one stores, both meet, the other copies. */
__global__ void stores_and_copies(float *x, unsigned *counter, int writer, int reader) {
    float *s = shared_mem<float>();
    uint64_t *barrier = shared_mem<uint64_t>(256);
    unsigned epoch = 0;
    if (threadIdx.x == 0) {
        mbarrier_init(barrier, 1);
        fence_mbarrier_init();
    }
    __syncthreads();
    for (unsigned turn = 0; turn < 2; turn++) {
        if (blockIdx.x == 0) {
            x[threadIdx.x] = (float)turn;
            if (writer) fence_proxy_async_global();
        }
        grid_barrier(counter, epoch);
        if (blockIdx.x == 1) {
            if (reader && threadIdx.x == 0) fence_proxy_async_global();
            if (threadIdx.x == 0) {
                mbarrier_arrive_expect(barrier, 256);
                copy_bulk(s, x, 256, barrier);
            }
            mbarrier_wait(barrier, turn);
        }
        grid_barrier(counter, epoch);
    }
}
template <int WRITER, int READER> static void store_and_copy() {
    cudaMemset(floats(), 0, 1024);
    start_cooperative(stores_and_copies, 2, 64, 264, floats(), (unsigned *)floats() + 128, WRITER,
                      READER);
}
Test(emu_hopper, fences_of_global_memory, .timeout = 60) {
    expect_silence(store_and_copy<1, 1>);
    expect_fault(store_and_copy<0, 0>, "missing fence_proxy_async_global");
    expect_fault(store_and_copy<1, 0>, "it has not fenced since its acquire");
    expect_fault(store_and_copy<0, 1>, "not fenced before it was released");
}

/* Block 1 stores into shared memory, which a copy that block 0 starts for both overwrites. */
__global__ void stores_where_a_peer_copies(const __grid_constant__ CUtensorMap map, int fences) {
    unsigned char *s = shared_mem<unsigned char>();
    uint64_t *barrier = shared_mem<uint64_t>(4096);
    if (threadIdx.x == 0) {
        mbarrier_init(barrier, 1);
        fence_mbarrier_init();
        mbarrier_arrive_expect(barrier, 2048);
    }
    if (cluster_rank() == 1) s[64 * threadIdx.x] = 7;
    if (fences) fence_proxy_async();
    __syncwarp();
    cluster_sync();
    if (cluster_rank() == 0 && threadIdx.x == 0) load_box_multicast(s, &map, 0, 0, barrier, 3);
    mbarrier_wait(barrier, 0);
    __syncwarp();
    cluster_sync();
}
template <int FENCES> static void store_under_a_copy() {
    CUtensorMap map;
    if (tensor_map(&map, floats(), 64, 16, 64, 64, 16))
        start_clusters(2, false, stores_where_a_peer_copies, 2, 32, 4104, map, FENCES);
}
Test(emu_hopper, stores_that_a_copy_overwrites, .timeout = 60) {
    setenv("EMU_DEVICE", "tiny", 1);
    expect_silence(store_under_a_copy<1>);
    expect_fault(store_under_a_copy<0>, "missing fence_proxy_async: it overwrites byte 0 of the shared memory of block (1,0,0)");
}

__global__ void uses_map(const __grid_constant__ CUtensorMap map, int what) {
    unsigned char *s = shared_mem<unsigned char>();
    uint64_t *barrier = shared_mem<uint64_t>(4096);
    CUtensorMap own = map;
    if (threadIdx.x) return;
    mbarrier_init(barrier, 1);
    mbarrier_arrive_expect(barrier, 2048);
    if (what == 1) own.opaque[1] += 16;
    load_box(s + 64 * (what == 2), &own, 0, 0, barrier);
    if (what != 3) mbarrier_wait(barrier, 0);
}
template <int WHAT> static void map_goes_wrong() {
    CUtensorMap map;
    if (tensor_map(&map, floats(), 64, 16, 64, 64, 16)) start(uses_map, 1, 32, 4104, map, WHAT);
}
Test(emu_hopper, tensor_maps, .timeout = 60) {
    CUtensorMap map;
    const char *data = (const char *)floats();
    cr_expect(tensor_map(&map, data, 72, 16, 72, 64, 16));
    cr_expect(!tensor_map(&map, data + 8, 72, 16, 72, 64, 16), "address");
    cr_expect(!tensor_map(&map, data, 72, 16, 76, 64, 16), "stride");
    cr_expect(!tensor_map(&map, data, 72, 16, 72, 64, 257), "lines of a box");
    cr_expect(!tensor_map(&map, data, 72, 16, 72, 12, 16), "bytes of a line");
    cr_expect(!tensor_map(&map, data, 0, 16, 72, 64, 16), "nothing");
    expect_silence(map_goes_wrong<0>);
    expect_fault(map_goes_wrong<1>, "no tensor map at");
    expect_fault(map_goes_wrong<2>, "is not aligned to 128");
    expect_fault(map_goes_wrong<3>, "returned before it had landed there");
}

/* --- wgmma ------------------------------------------------------------------------------------ */

__global__ void multiplies(float *out, int what) {
    unsigned char *s = shared_mem<unsigned char>();
    float d[32];
    for (int i = (int)threadIdx.x; i < 16384 / 4; i += 128) ((unsigned *)s)[i] = 0;
    if (what != 1) fence_proxy_async();
    __syncthreads();
    for (int i = 0; i < 32; i++) d[i] = 0.0f;
    if (what != 2) wgmma_fence();
    const void *b = s + (what == 3 && threadIdx.x == 7 ? 1024 : 8192);
    if (what != 4 || threadIdx.x < 96)
        wgmma<WGMMA_F16, 64, K_MAJOR, K_MAJOR>(d, tile_descriptor<K_MAJOR>(s, 0),
                                               tile_descriptor<K_MAJOR>(b, what == 5 ? 300 : 0));
    if (what != 6) wgmma_commit();
    if (what == 7) out[threadIdx.x] = d[0];
    if (what == 8) d[3] = 1.0f;
    if (what == 8)
        wgmma<WGMMA_F16, 64, K_MAJOR, K_MAJOR>(d, tile_descriptor<K_MAJOR>(s, 0),
                                               tile_descriptor<K_MAJOR>(b, 0));
    wgmma_wait<0>(d);
    if (what != 7) out[threadIdx.x] = d[0];
}
template <int WHAT> static void multiply() {
    start(multiplies, 1, 128, 16384, floats(), WHAT);
}
Test(emu_hopper, products, .timeout = 60) {
    multiply<0>();
    cr_expect(float_at(0) == 0.0f && float_at(127) == 0.0f);
    multiply<6>(); /* not committed, so not waited for */
    cr_expect(isnan(float_at(0)) && isnan(float_at(127)));
    multiply<7>(); /* read before the wait */
    cr_expect(isnan(float_at(0)) && isnan(float_at(127)));
    expect_fault(multiply<1>, "missing fence_proxy_async: byte ");
    expect_fault(multiply<2>, "missing wgmma_fence");
    expect_fault(multiply<3>, "or give other operands");
    expect_fault(multiply<4>, "wait at wgmma (tests/emu/emu_hopper_test.cu:");
    expect_fault(multiply<5>, "its descriptor leads to byte");
    expect_fault(multiply<8>, "wrote its accumulator without wgmma_wait");
}
