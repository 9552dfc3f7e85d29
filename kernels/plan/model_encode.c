/* model_encode.c - the time of products, attention and passes over elements, by tiles and waves. */
#include "kernels/plan/model_encode.h"

#include <math.h>

#include "io/sizes.h"
#include "kernels/layer_tiles.h"
#include "kernels/plan/model_parts.h"

/* The tiles of the kernels: rows and columns of a product, and the depth of a step of its ring. */
typedef struct {
    double rows, cols, depth, rate;
} Tile;

/* Exponentials that an SM computes in a clock; instructions that its schedulers issue. */
enum { EXPONENTIALS = 16, SCHEDULERS = 4 };

/* Instructions of the loader of single numbers for one mma.sync, which tests/sass.limits bounds, and the flops of that. */
enum { SINGLE_INSTRUCTIONS = 112, MMA_FLOPS = 2 * 16 * 8 * 16 };

/* Returns the tile that layer_tiled takes (kernels/layer_tiles.h), whose instruction is mma.sync. */
static Tile tile_of(const PlanDevice *d, const Launch *l) {
    if (l->singly)
        return (Tile){LAYER_SMALL, LAYER_SMALL, (double)LAYER_STEP_BYTES / 2.0,
                      fmin(d->mma_flops_16, (double)SCHEDULERS * d->sms * d->clock_hz * MMA_FLOPS /
                                                SINGLE_INSTRUCTIONS)};
    const double side = LAYER_IS_LARGE(l->rows, l->out, d->sms) ? LAYER_LARGE : LAYER_SMALL;
    const bool wide = l->precision == PRECISION_FP32;
    return (Tile){side, side, (double)LAYER_STEP_BYTES / (double)precision_bytes(l->precision),
                  wide ? d->simt_flops : d->mma_flops_16};
}

/* Returns the flops/s of the device's best instruction for the operands. */
static double best_rate(const PlanDevice *d, Precision precision) {
    if (precision == PRECISION_FP32) return d->simt_flops;
    return d->wgmma ? d->wgmma_flops_16 : d->mma_flops_16;
}

/* Arithmetic by tiles of so many flops at `rate`: waves, and what padding and the last wave cost. */
static void add_waves(LaunchTime *t, const PlanDevice *d, double tiles, double flops_of_tile,
                      double rate, double flops) {
    const double tile_s = flops_of_tile / (rate / d->sms), waves = model_tiles(tiles, d->sms);
    t->padding_s = fmax(0.0, tiles * flops_of_tile - flops) / rate;
    t->wave_s = (waves - tiles / d->sms) * tile_s;
    t->seconds = waves * tile_s;
}

/* Takes the largest of what bounds the launch, each of which runs beside the others. */
static void bound_by(LaunchTime *t, double seconds, const char *roof) {
    if (seconds > t->seconds) t->seconds = seconds, t->roof = roof;
}

/* --- products by wgmma ------------------------------------------------------------------------ */

/* Instructions of a warp's epilogue by the compiler's machine code (nvcc 13, sm_90a): 64 columns of its 16 rows, without
 * what is done to eight neighbours; what is done to them; each activation of eight. */
enum {
    END_INSTRUCTIONS = 157,
    EIGHT_INSTRUCTIONS = 68,
    BESIDE_INSTRUCTIONS = 30,
    EIGHTS = 4, /* of a lane in 64 columns */
};
static const double activation_instructions[] = {
    [ACT_NONE] = 0,   [ACT_RELU] = 28,       [ACT_QUICK_GELU] = 78,
    [ACT_GELU] = 172, [ACT_GELU_TANH] = 102, [ACT_SILU] = 70,
};

/* Returns the clocks in which a consumer group alone writes its part of a tile, a warp on each scheduler; *issue takes those
 * in which its warps issue. For every 64 columns biases come, with the sums or gates of four rows, and pass through shared
 * memory. */
static double end_clocks(double *issue, const PlanDevice *d, const Launch *l, double cols) {
    const double eight = EIGHT_INSTRUCTIONS + activation_instructions[l->activation] +
                         (l->beside ? BESIDE_INSTRUCTIONS : 0),
                 waits = (l->beside ? d->hbm_clocks : d->l2_clocks) + 2.0 * d->shared_clocks;
    *issue = cols / 64.0 * (END_INSTRUCTIONS + EIGHTS * eight);
    return *issue + cols / 64.0 * waits;
}

/* Clusters of two blocks take tiles in turn (cuda/encode/linear_wgmma.cu), so each wave takes the larger of its loads and of
 * what its consumer groups do. During an epilogue stages of the next tile come, as many as the ring has.
 *
 * Group 1 of a block begins LAYER_WIDE_LEAD steps behind group 0, and multiplies while that one writes. Where loads
 * outlast products group 0 waits for them and group 1 does not, so the groups meet in the first tile. From then on both
 * multiply, and both write. The last tile hides nothing. */
static LaunchTime wide_time(const PlanDevice *d, const Launch *l) {
    const double clock = d->clock_hz, cols = layer_wide_cols(l->rows, l->out, d->sms);
    const double clusters = fmax(1.0, floor((double)d->sms / LAYER_WIDE_BLOCKS)),
                 tiles = (double)layer_wide_tiles(l->rows, l->out, (int)cols),
                 rounds = model_tiles(tiles, clusters), before = rounds - 1.0; /* the last wave */
    const double steps = model_tiles((double)l->depth, LAYER_WIDE_DEPTH),
                 step_flops = 2.0 * LAYER_WIDE_ROWS * cols * LAYER_WIDE_DEPTH,
                 step = step_flops / (d->wgmma_flops_16 / d->sms), products = steps * step,
                 tile_flops = LAYER_WIDE_BLOCKS * steps * step_flops;
    /* through the L2 cache, in the time of a full wave: a step's operands, and what epilogues move once */
    const double step_bytes = 2.0 * LAYER_WIDE_DEPTH * (LAYER_WIDE_BLOCKS * LAYER_WIDE_ROWS + cols),
                 weight = 2.0 * (double)l->out * (double)l->depth,
                 moved = l->bytes - weight - 2.0 * (double)l->rows * (double)l->depth;
    const double load = clusters * step_bytes / d->l2_bytes_s,
                 move = clusters * moved / tiles / d->l2_bytes_s, loads = steps * load + move;
    const double last = (tiles / clusters - before) * loads;
    /* the part of an epilogue in which both groups write, and how long the full ring waits for it */
    double issue;
    const double end = end_clocks(&issue, d, l, cols) / clock;
    const double both = fmax(end, 2.0 * issue / clock);
    const double apart = loads > products ? 0.0 : 0.5 * fmin(steps, LAYER_WIDE_LEAD) * step;
    const double shown = fmax(0.0, 1.0 - apart / end) * both;
    const double stalled = fmax(0.0, shown - fmin(steps, LAYER_WIDE_STAGES) * load - move);
    const bool loads_bind = loads + stalled > products + shown;
    LaunchTime t = {.roof = "flops",
                    .seconds = before * (loads_bind ? loads : products) + fmax(last, products),
                    .epilogue_s = before * (loads_bind ? stalled : shown)};
    if (before > 0.0 ? loads_bind : last > products) t.roof = "L2";
    /* a weight that the L2 cache does not keep comes once for every band of rows */
    const double bands = model_tiles((double)l->rows,
                                     LAYER_WIDE_BAND * LAYER_WIDE_BLOCKS * LAYER_WIDE_ROWS),
                 again = weight > 0.5 * d->l2_bytes ? (bands - 1.0) * weight : 0.0,
                 memory = (l->bytes + again) / d->hbm_bytes_s;
    if (memory > t.seconds + t.epilogue_s) /* epilogues run beside it */
        t.seconds = memory, t.epilogue_s = 0.0, t.roof = "HBM";
    t.padding_s = fmax(0.0, tiles * tile_flops - l->flops) / d->wgmma_flops_16;
    t.wave_s = (rounds - tiles / clusters) * products;
    t.prologue_s = (d->hbm_clocks + 0.5 * TILE_CLOCKS) / clock;
    t.epilogue_s += (apart > 0.0 ? end : both) + 0.5 * TILE_CLOCKS / clock;
    t.floor_s = fmax(l->flops / best_rate(d, l->precision), l->bytes / d->hbm_bytes_s);
    return t;
}

/* --- products by mma.sync --------------------------------------------------------------------- */

static LaunchTime tiled_time(const PlanDevice *d, const Launch *l) {
    const Tile tile = tile_of(d, l);
    const double up = model_tiles((double)l->rows, tile.rows),
                 across = model_tiles((double)l->out, tile.cols);
    const double depth = model_up((double)l->depth, tile.depth), clock = d->clock_hz;
    const double element = (double)precision_bytes(l->precision);
    LaunchTime t = {.roof = l->singly ? "instructions" : "flops"};
    add_waves(&t, d, up * across, 2.0 * tile.rows * tile.cols * depth, tile.rate, l->flops);
    bound_by(&t, up * across * (tile.rows + tile.cols) * depth * element / d->l2_bytes_s, "L2");
    bound_by(&t, l->bytes / d->hbm_bytes_s, "HBM");
    /* the ring fills from memory; the last tile's results leave with nothing beside them */
    const double last = fmin(up * across, (double)d->sms) * tile.rows * tile.cols * 4.0;
    t.prologue_s = (d->hbm_clocks + 0.5 * TILE_CLOCKS) / clock;
    t.epilogue_s = last / d->l2_bytes_s + 0.5 * TILE_CLOCKS / clock;
    t.floor_s = fmax(l->flops / best_rate(d, l->precision), l->bytes / d->hbm_bytes_s);
    return t;
}

static LaunchTime product_time(const PlanDevice *d, const Launch *l) {
    const bool wide =
        d->wgmma && l->precision != PRECISION_FP32 && l->boxes && LAYER_IS_WIDE(l->out, l->depth);
    return wide ? wide_time(d, l) : tiled_time(d, l);
}

/* Attention as its kernels multiply it: blocks, pairs of query and key, and columns of a head, padding included. */
typedef struct {
    double blocks, pairs, width, rate;
} Heads;

/* Rows of queries are computed `side` at a time, whatever part of them exists, against keys rounded up to `step`. Rows
 * of a causal head leave out the keys that none of them sees. Returns the pairs of one head. */
static double pairs_of(const Launch *l, double side, double step) {
    const double groups = model_tiles((double)l->queries, side),
                 keys = model_up((double)l->keys, step);
    if (!l->causal) return groups * side * keys;
    return side * (0.5 * side * groups * (groups - 1.0) + keys); /* side, 2 side, ..., keys */
}

/* A block of float32 takes 64 queries by FMAs. In 16 bits a warp takes 16 or 32 queries by mma.sync, and blocks have
 * equal numbers of warps, as many as there are rows for (attention.cu). */
static Heads heads_of(const PlanDevice *d, const Launch *l) {
    const double heads = (double)l->rows * (double)l->heads;
    if (l->precision == PRECISION_FP32)
        return (Heads){heads * model_tiles((double)l->queries, ATTENTION_FLOAT_TILE),
                       heads * pairs_of(l, ATTENTION_FLOAT_TILE, ATTENTION_FLOAT_TILE),
                       ATTENTION_FLOAT_WIDTH(l->width), d->simt_flops};
    const int64_t rows = ATTENTION_ROWS(l->width), wanted = ceil_div(l->queries, rows);
    const int64_t warps = ceil_div(wanted, ceil_div(wanted, ATTENTION_WARPS));
    return (Heads){heads * (double)ceil_div(wanted, warps),
                   heads * pairs_of(l, (double)rows, ATTENTION_FRAGMENT), ATTENTION_WIDTH(l->width),
                   d->mma_flops_16};
}

static LaunchTime attention_time(const PlanDevice *d, const Launch *l) {
    const Heads h = heads_of(d, l);
    const double flops = l->causal ? 0.5 * l->flops : l->flops;
    LaunchTime t = {.roof = "flops"};
    add_waves(&t, d, h.blocks, 4.0 * h.pairs * h.width / h.blocks, h.rate, flops);
    bound_by(&t, h.pairs / (EXPONENTIALS * d->sms * d->clock_hz), "exponentials");
    bound_by(&t, l->bytes / d->hbm_bytes_s, "HBM");
    t.prologue_s = t.epilogue_s = (d->l2_clocks + 0.5 * TILE_CLOCKS) / d->clock_hz;
    t.floor_s = fmax(flops / best_rate(d, l->precision), l->bytes / d->hbm_bytes_s);
    return t;
}

LaunchTime model_launch(const PlanDevice *device, const Launch *launch) {
    LaunchTime t = {.roof = "HBM"};
    switch (launch->kind) {
    case LAUNCH_PRODUCT: t = product_time(device, launch); break;
    case LAUNCH_ATTENTION: t = attention_time(device, launch); break;
    case LAUNCH_ELEMENTS:
        t.seconds = t.floor_s = launch->bytes / device->hbm_bytes_s;
        t.prologue_s = device->hbm_clocks / device->clock_hz;
        break;
    }
    const double ends = t.prologue_s + t.epilogue_s + device->node_s;
    if (ends > t.seconds) t.roof = "launch";
    t.seconds += ends;
    return t;
}

double model_batch_s(const PlanDevice *device, const Paper *paper) {
    double seconds = 0.0;
    for (int i = 0; i < paper->count; i++)
        seconds += (double)paper->launch[i].times * model_launch(device, &paper->launch[i]).seconds;
    return seconds;
}

void model_batch_range(double *low, double *high, const PlanDevice *device, const Paper *paper) {
    const double middle = model_batch_s(device, paper);
    double below = 0.0, above = 0.0;
    const PlanRange *range;
    for (int i = 0; (range = plan_range_at(i)); i++) {
        double faster = 0.0, slower = 0.0;
        for (int end = 0; end < 2; end++) {
            const PlanDevice d = plan_device_with(device, range, end == 1);
            const double moved = model_batch_s(&d, paper) - middle;
            faster = fmin(faster, moved);
            slower = fmax(slower, moved);
        }
        below += faster * faster;
        above += slower * slower;
    }
    *low = middle - sqrt(below);
    *high = middle + sqrt(above);
}
