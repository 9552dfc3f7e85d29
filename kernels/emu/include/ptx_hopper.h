/* ptx_hopper.h - of kernels/cuda/tile/ptx_hopper.cuh, emulated: clusters and mbarriers (cluster.cpp), copies
 * by the TMA (tma.cpp). */
#ifndef TURTLE_KERNELS_EMU_INCLUDE_PTX_HOPPER_H
#define TURTLE_KERNELS_EMU_INCLUDE_PTX_HOPPER_H

#include <cuda.h>
#include <cuda_runtime.h>

#define HAS_CLUSTERS 1
#define HAS_WGMMA 1
#define CALLER const char *file = __builtin_FILE(), int line = __builtin_LINE()

namespace emu {
unsigned cluster_rank();
unsigned cluster_size();
void cluster_arrive(const char *file, int line);
void cluster_wait(const char *file, int line);
uint32_t cluster_address(const void *shared, unsigned rank, const char *file, int line);
/* Returns the memory behind a cluster's address; 16 bytes of it are checked. */
void *cluster_memory(uint32_t there, const char *what, const char *file, int line);

void mbarrier_init(uint64_t *barrier, unsigned count, const char *file, int line);
void mbarrier_arrive(uint64_t *barrier, unsigned count, unsigned bytes, const char *file, int line);
void mbarrier_arrive_at(uint64_t *barrier, unsigned rank, const char *file, int line);
void mbarrier_wait(uint64_t *barrier, unsigned parity, const char *file, int line);

void fence_async_shared();
void fence_async_global();
void copy_bulk(void *shared, const void *global, unsigned bytes, uint64_t *barrier,
               const char *file, int line);
void load_box(void *shared, const CUtensorMap *map, int x, int y, uint64_t *barrier, unsigned mask,
              const char *file, int line);
uint32_t shared_address(const void *shared, const char *file, int line);
} // namespace emu

inline uint32_t shared_address(const void *shared, CALLER) {
    return emu::shared_address(shared, file, line);
}
inline unsigned cluster_rank() {
    return emu::cluster_rank();
}
inline unsigned cluster_size() {
    return emu::cluster_size();
}
inline void cluster_arrive(CALLER) {
    emu::cluster_arrive(file, line);
}
inline void cluster_wait(CALLER) {
    emu::cluster_wait(file, line);
}
inline void cluster_sync(CALLER) {
    emu::cluster_arrive(file, line);
    emu::cluster_wait(file, line);
}
inline uint32_t cluster_address(const void *shared, unsigned rank, CALLER) {
    return emu::cluster_address(shared, rank, file, line);
}
inline float4 cluster_load_float4(uint32_t there, CALLER) {
    float4 x;
    memcpy(&x, emu::cluster_memory(there, "cluster_load_float4", file, line), sizeof x);
    return x;
}
inline void cluster_store_float4(uint32_t there, float4 x, CALLER) {
    memcpy(emu::cluster_memory(there, "cluster_store_float4", file, line), &x, sizeof x);
}

inline void mbarrier_init(uint64_t *barrier, unsigned count, CALLER) {
    emu::mbarrier_init(barrier, count, file, line);
}
inline void fence_mbarrier_init() {}
inline void mbarrier_arrive(uint64_t *barrier, unsigned count = 1, CALLER) {
    emu::mbarrier_arrive(barrier, count, 0, file, line);
}
inline void mbarrier_arrive_expect(uint64_t *barrier, unsigned bytes, CALLER) {
    emu::mbarrier_arrive(barrier, 1, bytes, file, line);
}
inline void mbarrier_arrive_at(uint64_t *barrier, unsigned rank, CALLER) {
    emu::mbarrier_arrive_at(barrier, rank, file, line);
}
inline void mbarrier_wait(uint64_t *barrier, unsigned parity, CALLER) {
    emu::mbarrier_wait(barrier, parity, file, line);
}

inline void fence_proxy_async() {
    emu::fence_async_shared();
}
inline void fence_proxy_async_global() {
    emu::fence_async_global();
}
inline void copy_bulk(void *shared, const void *global, unsigned bytes, uint64_t *barrier, CALLER) {
    emu::copy_bulk(shared, global, bytes, barrier, file, line);
}
inline void load_box(void *shared, const CUtensorMap *map, int x, int y, uint64_t *barrier,
                     CALLER) {
    emu::load_box(shared, map, x, y, barrier, 1u << emu::cluster_rank(), file, line);
}
inline void load_box_multicast(void *shared, const CUtensorMap *map, int x, int y,
                               uint64_t *barrier, unsigned mask, CALLER) {
    emu::load_box(shared, map, x, y, barrier, mask, file, line);
}

template <int REGISTERS> inline void registers_give() {}
template <int REGISTERS> inline void registers_take() {}

/* Launches are never dependent here: each begins when the one before it is done. */
inline void grid_launch_dependents() {}
inline void grid_wait() {}

#undef CALLER

#endif
