/* tma.cpp - tensor maps, and copies by the TMA: into shared memory, some time after they were started.
 *
 * Until a copy lands, its destination holds 0xff. It lands at a moment that EMU_SEED draws, at the latest when
 * nobody can run. Its source must be visible to it: ordinary stores to shared memory are, once there was a
 * fence_proxy_async; for global memory see check_fences. Its destination must hold no ordinary stores that
 * nobody has fenced, in its own block or a peer's: they might land behind it. */
#include <string.h>

#include <memory>
#include <unordered_map>

#include "kernels/cuda/tile/ptx_hopper.cuh"
#include "kernels/emu/thread.h"

namespace emu {

/* --- tensor maps ------------------------------------------------------------------------------
 *
 * Our 128 bytes (the driver's are its own business): what the call was given, for rank 2. */

struct TensorMap {
    uint64_t magic, address, width, lines, stride; /* elements, lines, bytes between lines */
    uint32_t element, box_width, box_lines, swizzle;
    uint64_t unused[8],
        sum; /* sum of the words before it, which betrays a map that was overwritten */
};
static_assert(sizeof(TensorMap) == sizeof(CUtensorMap), "as large as the driver's");
constexpr uint64_t MAGIC = 0x70616d726f736e65u;

static uint64_t sum_of(const TensorMap &m) {
    uint64_t words[15], sum = 0;
    memcpy(words, &m, sizeof words);
    for (uint64_t w : words) sum = (sum ^ w) * 0x9E3779B97F4A7C15u + 1;
    return sum;
}

static uint32_t bytes_of(CUtensorMapDataType type) {
    return type == CU_TENSOR_MAP_DATA_TYPE_FLOAT32 ? 4 : 2;
}
static uint32_t
span_of(uint32_t swizzle) { /* Returns the bytes of a line that are swapped among themselves. */
    return swizzle ? 16u << swizzle : 0;
}

/* Checks the limits that the driver documents (cuTensorMapEncodeTiled), for rank 2 alone. */
static bool map_allowed(const CUtensorMap *map, CUtensorMapDataType type, cuuint32_t rank,
                        const void *address, const cuuint64_t *dims, const cuuint64_t *strides,
                        const cuuint32_t *box, const cuuint32_t *element_strides,
                        CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle) {
    if (!map || (uintptr_t)map % 64 || rank != 2 || interleave != CU_TENSOR_MAP_INTERLEAVE_NONE)
        return false;
    if (!address || (uintptr_t)address % 16) return false;
    for (int i = 0; i < 2; i++)
        if (dims[i] < 1 || dims[i] > (uint64_t)1 << 32 || box[i] < 1 || box[i] > 256 ||
            element_strides[i] != 1)
            return false;
    const uint64_t inner = (uint64_t)box[0] * bytes_of(type);
    if (strides[0] % 16 || strides[0] >= (uint64_t)1 << 40 || inner % 16) return false;
    if (strides[0] < dims[0] * bytes_of(type)) return false; /* lines do not overlap */
    return !swizzle || inner <= span_of(swizzle);
}

} // namespace emu

CUresult cuTensorMapEncodeTiled(CUtensorMap *map, CUtensorMapDataType type, cuuint32_t rank,
                                void *address, const cuuint64_t *dims, const cuuint64_t *strides,
                                const cuuint32_t *box, const cuuint32_t *element_strides,
                                CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
                                CUtensorMapL2promotion, CUtensorMapFloatOOBfill) {
    using namespace emu;
    if (!map_allowed(map, type, rank, address, dims, strides, box, element_strides, interleave,
                     swizzle))
        return CUDA_ERROR_INVALID_VALUE;
    TensorMap m = {};
    m.magic = MAGIC;
    m.address = (uint64_t)address;
    m.width = dims[0];
    m.lines = dims[1];
    m.stride = strides[0];
    m.element = bytes_of(type);
    m.box_width = box[0];
    m.box_lines = box[1];
    m.swizzle = swizzle;
    m.sum = sum_of(m);
    memcpy(map, &m, sizeof m);
    return CUDA_SUCCESS;
}

namespace emu {

/* --- what asynchronous reads see ---------------------------------------------------------------- */

unsigned char *async_view(Block *b) {
    if (b->async_view.empty()) b->async_view.assign(run.launch->shared, 0xff);
    return b->async_view.data();
}

void fence_async_shared() {
    Unwatched unwatched;
    Block *b = own_block();
    memcpy(async_view(b), b->shared, run.launch->shared);
}
void fence_async_global() {
    self->fenced = ++run.clock;
    if (!self->starts_copies) run.last_fence = run.clock;
}

/* A place of global memory that copies have read: a sum of its contents, and the time of the last read. */
struct Seen {
    uint64_t sum, at;
};
static std::unordered_map<uint64_t, Seen> seen;

/* Contents that changed since a copy read them were stored by some thread of this launch. That thread must have
 * fenced before its release, and this thread, which starts the next copy, behind its acquire. We do not know who
 * stored: a fence between the two reads counts as the writer's if its thread starts no copies. Contents that
 * are read for the first time in a launch are not judged. */
static void check_fences(uint64_t place, const unsigned char *bytes, size_t n, const char *what,
                         const char *file, int line) {
    uint64_t sum = 14695981039346656037u, word = 0;
    for (size_t i = 0; i < n; i += 8) {
        memcpy(&word, bytes + i, n - i < 8 ? n - i : 8);
        sum = (sum ^ word) * 0x9E3779B97F4A7C15u;
        sum ^= sum >> 29;
    }
    const auto found = seen.find(place);
    if (found != seen.end() && found->second.sum != sum) {
        const uint64_t before = found->second.at;
        const bool alone =
            self->acquired <= before; /* it acquired nothing: the stores are its own */
        if ((alone ? self->fenced : self->fence_seen) <= before)
            fault("%s at %s:%d: missing fence_proxy_async_global: what it reads was stored since "
                  "the last copy from there, and not fenced before it was released",
                  what, file, line);
        if (self->fenced <= self->acquired)
            fault("%s at %s:%d: missing fence_proxy_async_global: what it reads was stored since "
                  "the last copy from there, and it has not fenced since its acquire",
                  what, file, line);
    }
    seen[place] = {sum, ++run.clock};
}

/* --- copies on their way ------------------------------------------------------------------------ */

/* One line of a box: bytes inside the matrix, with zeros on either side. */
struct Piece {
    const unsigned char *from;
    size_t skip, bytes; /* bytes of zeros before; bytes that are read */
};
struct Bulk {
    std::vector<Piece> pieces; /* line after line */
    size_t line_bytes;
    uint32_t swizzle, to, barrier; /* bytes in the shared memory of every block in the mask */
    unsigned mask;
    Cluster *cluster;
    std::vector<unsigned char> started; /* contents of the source when the copy started */
    const char *what, *file;
    int line;
};
static std::vector<std::unique_ptr<Bulk>> on_the_way;

void forget_bulk() {
    on_the_way.clear();
    seen.clear();
    run.bulk = 0;
    run.clock = run.last_fence = 0;
}

static std::vector<unsigned char> contents(const Bulk &b) {
    std::vector<unsigned char> all(b.pieces.size() * b.line_bytes, 0);
    for (size_t i = 0; i < b.pieces.size(); i++)
        if (b.pieces[i].bytes)
            memcpy(&all[i * b.line_bytes + b.pieces[i].skip], b.pieces[i].from, b.pieces[i].bytes);
    return all;
}

/* Returns the address whose 1, 2 or 3 bits from bit 4 on are swapped by those from bit 7 on. */
static uint32_t swapped(uint32_t address, uint32_t swizzle) {
    return address ^ (address >> 3 & ((1u << swizzle) - 1) << 4);
}

static void store(const Bulk &b, Block *block, const unsigned char *all) {
    const size_t n = b.pieces.size() * b.line_bytes;
    unsigned char *view = async_view(block);
    for (size_t i = 0; i < n; i += 16) {
        const uint32_t at = swapped(b.to + (uint32_t)i, b.swizzle) - SHARED_BASE;
        if (all) memcpy(block->shared + at, all + i, 16);
        else memset(block->shared + at, 0xff, 16);
        memcpy(view + at, block->shared + at, 16);
    }
}

/* Ordinary stores to the destination that were not fenced are not ordered before the copy. A fence counts for its
 * whole block, whoever called it. */
static void check_destination(const Bulk &b, Block *block, size_t n) {
    const unsigned char *view = async_view(block);
    const uint32_t from = b.to - SHARED_BASE;
    for (size_t i = 0; i < n; i += 16) {
        const uint32_t at = swapped(b.to + (uint32_t)i, b.swizzle) - SHARED_BASE;
        if (memcmp(block->shared + at, view + at, 16) == 0) continue;
        fault("%s at %s:%d: missing fence_proxy_async: it overwrites byte %u of the shared memory of block "
              "(%u,%u,%u), which ordinary stores wrote and nobody fenced (its box begins at byte %u)",
              b.what, b.file, b.line, at, block->index.x, block->index.y, block->index.z, from);
    }
}

static void start(std::unique_ptr<Bulk> b) {
    const size_t n = b->pieces.size() * b->line_bytes;
    if (b->mask == 0 || b->mask >> b->cluster->blocks.size())
        fault("%s at %s:%d: mask %x in a cluster of %zu blocks", b->what, b->file, b->line, b->mask,
              b->cluster->blocks.size());
    if (b->to - SHARED_BASE + n > run.launch->shared)
        fault("%s at %s:%d: %zu bytes to byte %u of the %zu of shared memory", b->what, b->file,
              b->line, n, b->to - SHARED_BASE, run.launch->shared);
    self->starts_copies = true;
    b->started = contents(*b);
    bool reads = false; /* a box outside does not read: another matrix lies where it would begin */
    for (const Piece &p : b->pieces) reads |= p.bytes > 0;
    if (reads)
        check_fences((uint64_t)b->pieces[0].from * 31 + b->pieces.size() * 7 + b->line_bytes,
                     b->started.data(), n, b->what, b->file, b->line);
    for (Block *block : b->cluster->blocks) {
        if (!(b->mask >> block->rank & 1)) continue;
        check_destination(*b, block, n);
        store(*b, block, NULL);
    }
    on_the_way.push_back(std::move(b));
    run.bulk = on_the_way.size();
}

void land_bulk() {
    Unwatched unwatched;
    const size_t at = random_below((uint32_t)on_the_way.size());
    const std::unique_ptr<Bulk> b = std::move(on_the_way[at]);
    on_the_way.erase(on_the_way.begin() + (long)at);
    run.bulk = on_the_way.size();
    run.vain = 0;
    const std::vector<unsigned char> all = contents(*b);
    if (all != b->started)
        fault("%s at %s:%d: what it reads was overwritten while it was on its way", b->what,
              b->file, b->line);
    for (Block *block : b->cluster->blocks) {
        if (!(b->mask >> block->rank & 1)) continue;
        if (block->live == 0)
            fault("%s at %s:%d: block (%u,%u,%u) returned before it had landed there", b->what,
                  b->file, b->line, block->index.x, block->index.y, block->index.z);
        store(*b, block, all.data());
        mbarrier_bytes((uint64_t *)(block->shared + b->barrier), block, (unsigned)all.size(),
                       b->file, b->line);
    }
}

static std::unique_ptr<Bulk> bulk(void *shared, uint64_t *barrier, unsigned mask, const char *what,
                                  const char *file, int line) {
    std::unique_ptr<Bulk> b(new Bulk());
    b->to = shared_number(shared, what, file, line);
    b->barrier = shared_number(barrier, what, file, line) - SHARED_BASE;
    b->mask = mask;
    b->cluster = own_block()->cluster;
    b->what = what;
    b->file = file;
    b->line = line;
    return b;
}

void copy_bulk(void *shared, const void *global, unsigned bytes, uint64_t *barrier,
               const char *file, int line) {
    {
        Unwatched unwatched;
        auto b = bulk(shared, barrier, 1u << own_block()->rank, "copy_bulk", file, line);
        if (b->to % 16 || (uintptr_t)global % 16 || bytes % 16 || bytes == 0)
            fault("copy_bulk at %s:%d: %u bytes from %p to byte %u: all are multiples of 16", file,
                  line, bytes, global, b->to - SHARED_BASE);
        b->line_bytes = bytes;
        b->pieces.push_back({(const unsigned char *)global, 0, bytes});
        start(std::move(b));
    }
    maybe_yield();
}

void load_box(void *shared, const CUtensorMap *map, int x, int y, uint64_t *barrier, unsigned mask,
              const char *file, int line) {
    {
        Unwatched unwatched;
        TensorMap m;
        memcpy(&m, map, sizeof m);
        if (m.magic != MAGIC || m.sum != sum_of(m) || (uintptr_t)map % 64)
            fault("load_box at %s:%d: no tensor map at %p", file, line, (const void *)map);
        auto b = bulk(shared, barrier, mask, "load_box", file, line);
        /* 128 is documented; beyond that the swizzle goes by the address, wherever the box begins */
        if (b->to % 128)
            fault("load_box at %s:%d: byte %u of shared memory is not aligned to 128", file, line,
                  b->to - SHARED_BASE);
        b->swizzle = m.swizzle;
        b->line_bytes = (size_t)m.box_width * m.element;
        if (m.swizzle && b->line_bytes != span_of(m.swizzle))
            fault("load_box at %s:%d: lines of %zu bytes, swizzle of %u: not emulated", file, line,
                  b->line_bytes, span_of(m.swizzle));
        for (int64_t r = y; r < (int64_t)y + m.box_lines; r++) {
            const int64_t first = x > 0 ? x : 0, end = (int64_t)x + m.box_width;
            const int64_t last = end < (int64_t)m.width ? end : (int64_t)m.width;
            Piece p = {NULL, 0, 0};
            p.from = (const unsigned char *)m.address + (uint64_t)r * m.stride +
                     (uint64_t)first * m.element;
            if (r >= 0 && r < (int64_t)m.lines && first < last)
                p.skip = (size_t)(first - x) * m.element,
                p.bytes = (size_t)(last - first) * m.element;
            b->pieces.push_back(p);
        }
        start(std::move(b));
    }
    maybe_yield();
}

} // namespace emu
