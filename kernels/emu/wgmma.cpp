/* wgmma.cpp - products of a warp group, from the descriptors that the hardware gets.
 *
 * The 128 threads of a group meet at each product. EMU_SEED draws whether it is made then or when the first of
 * them waits for it: so operands that come too late or go too early show. From the first product to the wait
 * the accumulators are NaN in each thread; their values are kept here. */
#include <string.h>

#include <algorithm>

#include "kernels/cuda/tile/ptx_hopper.cuh"
#include "kernels/emu/thread.h"
#include "kernels/emu/vector.h"

namespace emu {

constexpr int GROUP = 128, ROWS = 64, DEPTH = 16, MAX_COLUMNS = 256;

/* The sums d of the whole group while products add to them. */
struct Accumulator {
    float *d[GROUP];    /* the registers of each thread */
    bool held[GROUP];   /* whether the values are here, and NaN in the thread */
    int columns, holds; /* holds: how many threads' values are here */
    uint64_t last;      /* number of the last product that adds to it */
    alignas(32) float tile[ROWS][MAX_COLUMNS];
};
struct Pending {
    Product product;
    Accumulator *d;
    Block *block;
    const char *file;
    int line;
};

struct WarpGroup {
    int arrived = 0;
    Product product; /* the product at which threads have arrived */
    float *d[GROUP];
    const char *file;
    int line;
    Thread *first;                /* the first thread that waits */
    uint64_t begun = 0, done = 0; /* how many products were begun, and made */
    std::vector<Pending> pending; /* products number done ... begun - 1 */
    std::vector<Accumulator *> accumulators;
};

void forget_groups(Block *b) {
    for (WarpGroup *g : b->groups) {
        for (Accumulator *a : g->accumulators) delete a;
        delete g;
    }
    b->groups.clear();
}

static WarpGroup *own_group() {
    Block *b = own_block();
    const size_t which = (size_t)(self->index / GROUP);
    while (b->groups.size() <= which) b->groups.push_back(new WarpGroup());
    return b->groups[which];
}

/* --- operands --------------------------------------------------------------------------------- */

/* An operand: pieces of 16 bytes where the descriptor says. Each piece must have been fenced. */
struct Operand {
    uint32_t start, leading, stride, swizzle;
    const Pending *of;

    Operand(uint64_t descriptor, const Pending *p) : of(p) {
        start = (uint32_t)(descriptor & 0x3fff) << 4;
        leading = (uint32_t)(descriptor >> 16 & 0x3fff) << 4;
        stride = (uint32_t)(descriptor >> 32 & 0x3fff) << 4;
        swizzle = (uint32_t)(descriptor >> 62);
        swizzle =
            swizzle ? 4 - swizzle : 0; /* 1, 2, 3 mean 128, 64, 32 bytes, which swap 3, 2, 1 bits */
        if (descriptor >> 49 & 7)
            fault("wgmma at %s:%d: base offset %u is not emulated", p->file, p->line,
                  (unsigned)(descriptor >> 49 & 7));
    }
    void fetch(uint16_t out[8], uint32_t at) const {
        at ^= at >> 3 & ((1u << swizzle) - 1) << 4;
        const uint32_t byte = at - SHARED_BASE;
        if ((size_t)byte + 16 > run.launch->shared)
            fault("wgmma at %s:%d: its descriptor leads to byte %ld of the %zu of shared memory",
                  of->file, of->line, (long)(int32_t)byte, run.launch->shared);
        memcpy(out, of->block->shared + byte, 16);
        if (memcmp(out, async_view(of->block) + byte, 16) != 0)
            fault("wgmma at %s:%d: missing fence_proxy_async: byte %u of shared memory was stored "
                  "since the last one",
                  of->file, of->line, byte);
    }
    /* Reads 8 depths of a row of a (a column of b). */
    void along(uint16_t out[8], int row, int eighth) const {
        const uint32_t r = (uint32_t)row, e = (uint32_t)eighth;
        if (swizzle) fetch(out, start + r / 8 * stride + (r % 8 << (swizzle + 4)) + 16 * e);
        else fetch(out, start + r / 8 * stride + r % 8 * 16 + e * leading);
    }
    /* Reads 8 rows of a (columns of b) at one depth. */
    void across(uint16_t out[8], int eighth, int depth) const {
        const uint32_t e = (uint32_t)eighth, k = (uint32_t)depth, pieces = 1u << swizzle;
        if (swizzle)
            fetch(out, start + e / pieces * leading + e % pieces * 16 + k / 8 * stride +
                           (k % 8 << (swizzle + 4)));
        else fetch(out, start + e * stride + k % 8 * 16 + k / 8 * leading);
    }
    /* Reads the whole operand: out[depth][row] with `pitch` elements between depths. */
    void gather(uint16_t *out, int pitch, int rows, bool mn_major) const {
        uint16_t piece[8];
        for (int k = 0; mn_major && k < DEPTH; k++)
            for (int e = 0; e < rows / 8; e++) across(out + k * pitch + 8 * e, e, k);
        for (int r = 0; !mn_major && r < rows; r++)
            for (int e = 0; e < DEPTH / 8; e++) {
                along(piece, r, e);
                for (int i = 0; i < 8; i++) out[(8 * e + i) * pitch + r] = piece[i];
            }
    }
};

/* --- the product ------------------------------------------------------------------------------ */

template <class Type> INLINE void widen_all(float *out, const uint16_t *in, int n) {
    for (int i = 0; i < n; i += 8) {
        Halves h;
        Row wide;
        memcpy(&h, in + i, sizeof h);
        Type::widen(&wide, __builtin_convertvector(h, Words));
        memcpy(out + i, &wide, sizeof wide);
    }
}
template <class Type>
INLINE void multiply(Accumulator *d, const uint16_t *a16, const uint16_t *b16) {
    alignas(32) static float a[DEPTH][ROWS], b[DEPTH][MAX_COLUMNS];
    widen_all<Type>(a[0], a16, DEPTH * ROWS);
    widen_all<Type>(b[0], b16, DEPTH * MAX_COLUMNS);
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < d->columns; c += 8) {
            Row sum;
            memcpy(&sum, &d->tile[r][c], sizeof sum);
            for (int k = 0; k < DEPTH; k++) sum += a[k][r] * *(const Row *)&b[k][c];
            memcpy(&d->tile[r][c], &sum, sizeof sum);
        }
}
template <class Type>
WITH_AVX2 static void multiply_avx2(Accumulator *d, const uint16_t *a, const uint16_t *b) {
    multiply<Type>(d, a, b);
}
template <class Type>
static void multiply_any(Accumulator *d, const uint16_t *a, const uint16_t *b) {
    if (has_avx2) multiply_avx2<Type>(d, a, b);
    else multiply<Type>(d, a, b);
}

static void run_product(const Pending &p) {
    static uint16_t a[DEPTH * ROWS], b[DEPTH * MAX_COLUMNS];
    Operand(p.product.a, &p).gather(a, ROWS, ROWS, p.product.a_mn_major);
    Operand(p.product.b, &p).gather(b, MAX_COLUMNS, p.d->columns, p.product.b_mn_major);
    if (p.product.bf16) multiply_any<Bf16>(p.d, a, b);
    else multiply_any<F16>(p.d, a, b);
}
static void run_until(WarpGroup *g, uint64_t number) {
    if (number <= g->done) return;
    const size_t n = (size_t)(number - g->done);
    for (size_t i = 0; i < n; i++) run_product(g->pending[i]);
    g->pending.erase(g->pending.begin(), g->pending.begin() + (long)n);
    g->done = number;
}

/* --- accumulators ----------------------------------------------------------------------------- */

/* Calls f(element of the tile, element of d) for all elements of thread t. */
template <class F> static void each_element(Accumulator *a, int t, F f) {
    const int row = t / 32 * 16 + t % 32 / 4, column = t % 4 * 2;
    for (int i = 0; i < a->columns / 2; i++)
        f(a->tile[row + i / 2 % 2 * 8][i / 4 * 8 + column + i % 2], a->d[t][i]);
}

static Accumulator *accumulator(WarpGroup *g) {
    for (Accumulator *a : g->accumulators)
        if (a->d[0] == g->d[0] && a->columns == g->product.columns) return a;
    Accumulator *a = new Accumulator();
    a->columns = g->product.columns;
    g->accumulators.push_back(a);
    return a;
}

/* Takes over the values from a thread that has them, and leaves NaN there. */
static void hold(Accumulator *a, const WarpGroup *g, Thread *threads) {
    for (int t = 0; t < GROUP; t++) {
        a->d[t] = g->d[t];
        if (a->held[t]) {
            each_element(a, t, [&](float &, float &d) {
                if (__float_as_uint(d) != 0xffffffffu)
                    fault("wgmma at %s:%d: thread %d wrote its accumulator without wgmma_wait",
                          g->file, g->line, threads[t].index);
            });
            continue;
        }
        if (!threads[t].registers_fenced)
            fault("wgmma at %s:%d: missing wgmma_fence: thread %d's accumulator was its own before",
                  g->file, g->line, threads[t].index);
        each_element(a, t, [](float &kept, float &d) {
            kept = d;
            d = __uint_as_float(0xffffffffu);
        });
        a->held[t] = true;
        a->holds++;
    }
}

/* --- instructions ----------------------------------------------------------------------------- */

static bool same(const Product &x, const Product &y) {
    return x.a == y.a && x.b == y.b && x.columns == y.columns && x.bf16 == y.bf16 &&
           x.a_mn_major == y.a_mn_major && x.b_mn_major == y.b_mn_major;
}

void wgmma(float *d, const Product &product, const char *file, int line) {
    {
        Unwatched unwatched;
        Thread *own = self;
        WarpGroup *g = own_group();
        const int t = own->index % GROUP;
        if (own->index - t + GROUP > run.launch->threads)
            fault("wgmma at %s:%d: its warp group has %d of 128 threads", file, line,
                  run.launch->threads - (own->index - t));
        if (g->arrived == 0) {
            g->product = product;
            g->file = file;
            g->line = line;
            g->first = NULL;
        } else if (!same(g->product, product) || g->line != line) {
            fault("wgmma at %s:%d: others of its warp group are at %s:%d or give other operands",
                  file, line, g->file, g->line);
        }
        g->d[t] = d;
        if (++g->arrived < GROUP) {
            own->what = "wgmma";
            own->file = file;
            own->line = line;
            own->behind = g->first;
            g->first = own;
            wait(AT_GROUP);
            return;
        }
        g->arrived = 0;
        Accumulator *a = accumulator(g);
        hold(a, g, &own_block()->threads[(size_t)(own->index - t)]);
        g->pending.push_back({product, a, own_block(), file, line});
        a->last = ++g->begun;
        if (random_bits() % 2) run_until(g, g->begun);
        for (Thread *w = g->first; w; w = w->behind) make_ready(w);
    }
    maybe_yield();
}

void wgmma_fence() {
    self->registers_fenced = true;
}

void wgmma_commit() {
    Unwatched unwatched;
    self->commits.push_back(own_group()->begun);
}

void wgmma_wait(int youngest, const char *file, int line) {
    Unwatched unwatched;
    Thread *own = self;
    WarpGroup *g = own_group();
    const int t = own->index % GROUP;
    (void)file, (void)line;
    if (own->commits.size() <= (size_t)youngest) return;
    const size_t groups = own->commits.size() - (size_t)youngest;
    const uint64_t until = own->commits[groups - 1];
    own->commits.erase(own->commits.begin(), own->commits.begin() + (long)groups);
    run_until(g, until);
    for (Accumulator *a : g->accumulators)
        if (a->held[t] && a->last <= until) {
            each_element(a, t, [](float &kept, float &d) { d = kept; });
            a->held[t] = own->registers_fenced = false;
            a->holds--;
        }
    const auto empty = std::partition(g->accumulators.begin(), g->accumulators.end(),
                                      [](const Accumulator *a) { return a->holds > 0; });
    std::for_each(empty, g->accumulators.end(), [](Accumulator *a) { delete a; });
    g->accumulators.erase(empty, g->accumulators.end());
}

} // namespace emu
