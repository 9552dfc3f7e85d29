/* roofs_launch.cu - from one kernel to the next, and between the blocks of a cluster.
 *
 *     graph node       time of one kernel in a graph's chain of empty kernels: a tier that launches
 *                      every operation pays it for each. "dependent": a kernel may begin before the
 *                      one before it has ended (programmatic dependent launch), and waits at once.
 *     cluster shared   every block reads the shared memory of the next block of its cluster, 16 bytes
 *                      a thread, over and over; bytes of all SMs together. "own": every block reads
 *                      its own shared memory, for comparison.
 *     clusters         number of clusters of a size that run at once with 200 KiB of shared memory a
 *                      block: with one block per SM, an SM outside a whole cluster stays idle
 *     explicit         whether a launch in clusters of one or two counts as one in clusters: 0 says that
 *                      cluster barriers there are barriers of the block (ptx_hopper.cuh)
 */
#include "bench/roofs/roofs.h"
#include "kernels/cuda/tile/compiled.cuh"
#include "kernels/cuda/tile/ptx_hopper.cuh"

enum { THREADS = 256 };

__global__ void empty_kernel() {}

#if defined(__CUDACC__)

__global__ void empty_dependent_kernel() {
    grid_launch_dependents();
    grid_wait();
}

/* Makes a graph of `nodes` kernels, each after the one before it. */
static cudaGraphExec_t chain(const Gpu *gpu, LaunchKind kind, int nodes, int grid) {
    cudaGraph_t graph = NULL;
    cudaGraphExec_t ready = NULL;
    good(cudaStreamBeginCapture(gpu->stream, cudaStreamCaptureModeThreadLocal), "capture");
    for (int i = 0; i < nodes; i++) {
        if (kind == DEPENDENT) start(gpu, kind, 1, empty_dependent_kernel, grid, THREADS, 0);
        else start(gpu, kind, 1, empty_kernel, grid, THREADS, 0);
    }
    good(cudaStreamEndCapture(gpu->stream, &graph), "capture");
    if (all_good()) good(cudaGraphInstantiate(&ready, graph, 0), "graph");
    if (graph) cudaGraphDestroy(graph);
    return ready;
}

static void graph_nodes(const Gpu *gpu) {
    enum { NODES = 500 };
    char what[96];
    const bool may_depend = has_clusters(compiled_for(empty_dependent_kernel));
    for (int all = 0; all < 2; all++) {
        for (int dependent = 0; dependent < (may_depend ? 2 : 1); dependent++) {
            const int grid = all ? gpu->sms : 1;
            next_family();
            cudaGraphExec_t graph = chain(gpu, dependent ? DEPENDENT : PLAIN, NODES, grid);
            snprintf(what, sizeof what, "graph node of %d blocks%s", grid,
                     dependent ? ", dependent" : "");
            roof(gpu, what, NODES, "/s",
                 [&] { good(cudaGraphLaunch(graph, gpu->stream), "graph launch"); });
            if (graph) cudaGraphExecDestroy(graph);
        }
    }
}

/* Every block reads n float4 of shared memory over and over: those of the block `ahead` places
 * behind its own rank. */
__global__ void __launch_bounds__(THREADS)
    cluster_read(float *sink, int n, int rounds, int size, int ahead) {
    float4 *mine = shared_mem<float4>();
    for (int i = (int)threadIdx.x; i < n; i += THREADS) {
        const float x = (float)(cluster_rank() + 1);
        mine[i] = make_float4(x, x, x, x);
    }
    cluster_sync();
    const unsigned rank = (cluster_rank() + (unsigned)ahead) % (unsigned)size;
    const uint32_t there = cluster_address(mine, rank);
    float sum = 0.0f;
    for (int round = 0; round < rounds; round++) {
        UNROLL
        for (int u = 0; u < 8; u++) {
            const int i = ((int)threadIdx.x + u * THREADS) % n;
            const float4 v = cluster_load_float4(there + 16u * (unsigned)i);
            sum += (v.x + v.y) + (v.z + v.w);
        }
    }
    cluster_sync(); /* no block leaves while another still reads from it */
    const float expected = 32.0f * (float)rounds * (float)(rank + 1);
    if (sum != expected) atomicAdd(sink, 1.0f);
}

static int most_clusters(int size, int shared, void (*kernel)(float *, int, int, int, int)) {
    cudaLaunchConfig_t config = {};
    cudaLaunchAttribute cluster = {};
    int count = 0;
    config.gridDim = dim3((unsigned)size);
    config.blockDim = dim3(THREADS);
    config.dynamicSmemBytes = (size_t)shared;
    config.attrs = &cluster;
    config.numAttrs = 1;
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim.x = (unsigned)size;
    cluster.val.clusterDim.y = cluster.val.clusterDim.z = 1;
    const void *function = reinterpret_cast<const void *>(kernel);
    good(cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize, shared),
         "shared memory of a block");
    if (size > 8) /* clusters of this size are more than a GPU must offer */
        good(cudaFuncSetAttribute(function, cudaFuncAttributeNonPortableClusterSizeAllowed, 1),
             "cluster of 16");
    good(cudaOccupancyMaxActiveClusters(&count, function, &config), "clusters");
    return count;
}

__global__ void tells_explicit(unsigned *out) {
    unsigned is = 0;
#if HAS_CLUSTERS
    asm volatile("{\n.reg .pred p;\nmov.pred p, %%is_explicit_cluster;\nselp.u32 %0, 1, 0, p;\n}" : "=r"(is));
#endif
    if (threadIdx.x == 0 && blockIdx.x == 0) *out = is;
}

/* The size of the cluster is an attribute of the launch, also where it is one. */
static void explicit_clusters(const Gpu *gpu) {
    unsigned *out = NULL;
    if (!good(cudaMalloc((void **)&out, sizeof *out), "counter")) return;
    for (int size = 0; size <= 2 && all_good(); size++) {
        static const char *const names[] = {"explicit cluster, no attribute",
                                            "explicit cluster, clusters of 1",
                                            "explicit cluster, clusters of 2"};
        unsigned is = 0;
        cudaLaunchConfig_t config = {};
        cudaLaunchAttribute cluster = {};
        config.gridDim = dim3(2);
        config.blockDim = dim3(32);
        config.stream = gpu->stream;
        config.attrs = &cluster;
        config.numAttrs = size > 0;
        cluster.id = cudaLaunchAttributeClusterDimension;
        cluster.val.clusterDim.x = (unsigned)size;
        cluster.val.clusterDim.y = cluster.val.clusterDim.z = 1;
        good(cudaLaunchKernelEx(&config, tells_explicit, out), names[size]);
        good(cudaStreamSynchronize(gpu->stream), names[size]);
        good(cudaMemcpy(&is, out, sizeof is, cudaMemcpyDeviceToHost), names[size]);
        fact(names[size], is, "yes or no");
    }
    cudaFree(out);
}

static void clusters(const Gpu *gpu) {
    enum { SHARED = 200 << 10, READ = 32 << 10, ROUNDS = 2000 }; /* SHARED: one block per SM */
    char what[96];
    float *wrong = NULL, count = 0.0f;
    good(cudaMalloc((void **)&wrong, sizeof *wrong), "counter");
    good(cudaMemset(wrong, 0, sizeof *wrong), "counter");
    for (int size = 2; size <= 16 && all_good(); size *= 2) {
        snprintf(what, sizeof what, "clusters of %d at once", size);
        fact(what, most_clusters(size, SHARED, cluster_read), "clusters");
    }
    for (int size = 2; size <= 8; size *= 2) {
        const int most = most_clusters(size, SHARED, cluster_read);
        const int grid = size * (most > 0 ? most : 1);
        const double GB = 1e-9 * 8 * 16 * THREADS * (double)ROUNDS * grid;
        for (int ahead = 0; ahead < 2; ahead++) {
            snprintf(what, sizeof what, "cluster shared memory, %d, %s", size,
                     ahead ? "next" : "own");
            roof(gpu, what, GB, "GB/s", [&] {
                start(gpu, PLAIN, size, cluster_read, grid, THREADS, (int)SHARED, wrong, READ / 16,
                      (int)ROUNDS, size, ahead);
            });
        }
    }
    good(cudaMemcpy(&count, wrong, sizeof count, cudaMemcpyDeviceToHost), "counter");
    if (count != 0.0f) {
        fprintf(stderr,
                "bench-roofs: cluster shared memory: %.0f threads read what was not "
                "written\n",
                (double)count);
        good(cudaErrorLaunchFailure, "cluster shared memory");
    }
    cudaFree(wrong);
}

#endif

void roofs_launch(const Gpu *gpu) {
    start(gpu, PLAIN, 1, empty_kernel, 1, THREADS, 0);
#if defined(__CUDACC__)
    graph_nodes(gpu);
    next_family();
    if (!has_clusters(compiled_for(cluster_read))) return;
    explicit_clusters(gpu);
    next_family();
    clusters(gpu);
#endif
}
