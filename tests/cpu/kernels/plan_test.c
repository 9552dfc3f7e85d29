/* plan_test.c - the layout of the persistent inner loop: for every shape on every device a form, every
 * row of the batch with exactly one CTA, nothing beyond what the device has. */
#include "kernels/plan/plan.h"

#include "tests/support/check.h"

/* The case that is tested, for messages. */
static char what[160];

/* Every row of every space belongs to one CTA, or to the CTAs of a cluster that split its classes. */
static void expect_each_row_once(const Plan *p) {
    static unsigned char seen[PLAN_MAX_SPACES][200000];
    const bool shares = p->form == PLAN_WGMMA && p->cluster > p->splits;
    for (int k = 0; k < p->spaces; k++) {
        cr_assert(p->space[k].B <= (int64_t)sizeof seen[k]);
        memset(seen[k], 0, (size_t)p->space[k].B);
    }
    for (int block = 0; block < p->blocks; block++) {
        PlanRows rows, leader;
        for (int64_t i = 0; plan_rows(p, block, i, &rows); i++) {
            const PlanLayout *j = &p->space[rows.space];
            if (p->classes == 256 && block % p->splits) {
                cr_assert(plan_rows(p, block / p->splits * p->splits, i, &leader) &&
                              rows.space == leader.space && rows.first == leader.first &&
                              rows.count == leader.count,
                          "%s: CTAs that split the classes share rows", what);
                continue;
            }
            cr_assert(block >= j->first && block < j->first + j->count, "%s: block %d", what,
                      block);
            if (shares && rows.count == 0 && block % p->cluster) continue;
            cr_assert(rows.first >= 0 && rows.count >= 1 && rows.first + rows.count <= j->B,
                      "%s: space %d block %d: rows %lld + %lld", what, rows.space, block,
                      (long long)rows.first, (long long)rows.count);
            cr_assert(!memchr(seen[rows.space] + rows.first, 1, (size_t)rows.count),
                      "%s: a row twice", what);
            memset(seen[rows.space] + rows.first, 1, (size_t)rows.count);
        }
        if (p->classes == 256 && block % p->splits) {
            int64_t i = 0;
            while (plan_rows(p, block, i, &rows)) i++;
            cr_assert(!plan_rows(p, block / p->splits * p->splits, i, &leader), "%s", what);
        }
    }
    for (int k = 0; k < p->spaces; k++)
        cr_assert(!memchr(seen[k], 0, (size_t)p->space[k].B), "%s: space %d: a row without a CTA",
                  what, k);
}

static void expect_within(const Plan *p, const PlanDevice *device) {
    cr_assert(p->blocks >= 1 && p->cluster >= 1 && p->blocks % p->cluster == 0, "%s", what);
    cr_assert(p->shared >= 1 && p->shared <= device->shared_per_block, "%s: %lld bytes", what,
              (long long)p->shared);
    cr_assert(p->threads >= 32 && p->threads <= 1024 && p->threads % 32 == 0, "%s", what);
    const int per_sm = p->form == PLAN_TILED ? 2 : 1;
    cr_assert(p->blocks <= per_sm * device->sms, "%s: %d CTAs", what, p->blocks);
    for (int k = 0; k < p->spaces; k++) {
        const PlanLayout *j = &p->space[k];
        cr_assert(j->first >= 0 && j->count >= 1 && j->first + j->count <= p->blocks, "%s", what);
        for (int l = 0; l < k; l++) {
            const PlanLayout *other = &p->space[l];
            if (p->side_by_side)
                cr_assert(j->first >= other->first + other->count ||
                              other->first >= j->first + j->count,
                          "%s: spaces %d and %d share CTAs", what, k, l);
            else cr_assert(j->first == other->first && j->count == other->count, "%s", what);
        }
    }
}

/* The pieces of shared memory lie one behind the other, and hold what is said of them. */
static void expect_slab(const Plan *p, const PlanDevice *device) {
    cr_assert(p->threads == SLAB_THREADS && p->blocks <= SLAB_MOST_BLOCKS, "%s", what);
    for (int k = 0; k < p->spaces; k++) {
        const PlanLayout *j = &p->space[k];
        const int64_t classes = SLAB_CLASSES(j->C), row = 2 * (int64_t)j->stride;
        const int64_t visit = j->stage > j->group || !j->resident ? j->stage : j->group;
        cr_assert(j->rows % SLAB_FRAGMENT == 0 && j->resident % SLAB_FRAGMENT == 0 &&
                      j->group % SLAB_FRAGMENT == 0 && j->stage % SLAB_FRAGMENT == 0,
                  "%s: whole tiles", what);
        cr_assert(j->resident >= 0 && j->resident <= j->rows, "%s", what);
        cr_assert(j->resident == j->rows || (j->stage >= SLAB_FRAGMENT && j->stages >= 1), "%s",
                  what);
        cr_assert(visit <= SLAB_FRAGMENT * SLAB_MOST_BANDS(classes), "%s", what);
        cr_assert(j->stride >= j->d && j->stride % 16 == 8,
                  "%s: rows an odd number of 16 bytes apart", what);
        cr_assert((int64_t)j->passes * SLAB_WARPS * SLAB_MOST_STRIPS(classes) * SLAB_FRAGMENT >=
                      j->d,
                  "%s: the registers hold the gradient", what);
        cr_assert(j->at.slab - j->at.W >= j->C * row, "%s", what);
        cr_assert(j->at.logits - j->at.slab >= (j->resident + (int64_t)j->stages * j->stage) * row,
                  "%s", what);
        cr_assert(j->at.R - j->at.logits >= SLAB_SUMS, "%s", what);
        cr_assert(j->at.R - j->at.logits >= visit * SLAB_WARPS * classes * 4, "%s", what);
        cr_assert(j->at.small - j->at.R >= (j->passes > 1 ? j->rows : visit) * classes * 2, "%s",
                  what);
        cr_assert(j->at.end - j->at.small >= SLAB_SMALL && j->at.end <= device->shared_per_block,
                  "%s", what);
        cr_assert(j->at.W % 128 == 0 && j->at.slab % 128 == 0 && j->at.logits % 16 == 0 &&
                      j->at.R % 16 == 0 && j->at.small % 16 == 0,
                  "%s: alignment", what);
        cr_assert(j->step_s > 0.0 && j->step_s < 1.0, "%s: %g s a step", what, j->step_s);
    }
}

/* The narrowest tile that holds all classes; of the widest a power of two of CTAs, none smaller, once or twice. */
static void expect_wgmma(const Plan *p, int64_t C) {
    cr_assert(p->classes == (C <= 64 ? 64 : C <= 128 ? 128 : 256), "%s: %d", what, p->classes);
    cr_assert((p->cluster & (p->cluster - 1)) == 0, "%s", what);
    cr_assert((p->splits & (p->splits - 1)) == 0 && p->cluster % p->splits == 0, "%s", what);
    if (p->classes < 256) {
        cr_assert(p->cluster <= 4 && p->splits == 1, "%s: clusters of %d", what, p->cluster);
    } else {
        cr_assert(p->splits * 256 >= C && (p->splits == 1 || p->splits * 128 < C), "%s", what);
        cr_assert(p->cluster <= 8 && p->cluster / p->splits <= 2, "%s", what);
    }
    for (int n = 0; n < p->spaces; n++) {
        cr_assert(n == 0 || p->space[p->order[n - 1]].d >= p->space[p->order[n]].d, "%s", what);
        for (int l = 0; l < n; l++) cr_assert(p->order[l] != p->order[n], "%s", what);
    }
}

static const struct {
    DType type;
    bool tf32;
} precisions[] = {{DTYPE_F32, false}, {DTYPE_F32, true}, {DTYPE_F16, false}, {DTYPE_BF16, false}};

static void check(const PlanDevice *device, const PlanSpace *spaces, int n, int precision) {
    Plan p;
    Error err;
    const DType type = precisions[precision].type;
    const bool halves = dtype_bytes(type) == 2;
    const int64_t C = spaces[0].C;
    snprintf(what, sizeof what, "%s %s%s: %d spaces, B %lld C %lld d %lld ... %lld", device->name,
             dtype_name(type), precisions[precision].tf32 ? " (tf32)" : "", n,
             (long long)spaces[0].B, (long long)C, (long long)spaces[0].d,
             (long long)spaces[n - 1].d);
    ASSERT_OK(plan_inner(&p, device, spaces, n, type, precisions[precision].tf32, &err), err);
    cr_assert(p.spaces == n, "%s", what);
    for (int k = 0; k < n; k++)
        cr_assert(p.space[k].B == spaces[k].B && p.space[k].C == spaces[k].C &&
                      p.space[k].d == spaces[k].d,
                  "%s", what);
    cr_assert(p.form != PLAN_SLAB || (halves && C <= SLAB_MOST_CLASSES), "%s", what);
    cr_assert((p.form == PLAN_WGMMA) == (halves && C > 32 && device->wgmma), "%s: %s", what,
              plan_form_name(p.form));
    if (p.form == PLAN_WGMMA) expect_wgmma(&p, C);
    expect_within(&p, device);
    if (p.form == PLAN_SLAB) expect_slab(&p, device);
    expect_each_row_once(&p);
}

static const int64_t some_d[] = {8,   9,   16,  17,   64,   127,  128,  250,  441,  512,  640,
                                 768, 769, 777, 1000, 1024, 1536, 1537, 2048, 3000, 4095, 4096};
enum { SOME_D = sizeof some_d / sizeof *some_d };

Test(plan, every_shape_has_a_form_on_every_device, .timeout = 120) {
    static const int64_t some_C[] = {2,   3,   8,   10,  15,  16,  17,  31,   32,   33,
                                     47,  64,  65,  100, 127, 128, 129, 200,  255,  256,
                                     257, 397, 512, 513, 700, 768, 769, 1000, 1023, 1024};
    static const int64_t some_B[] = {256, 257, 1000, 4097, 10000, 10001};
    int round = 0;
    for (int i = 0; plan_device_at(i); i++) {
        for (size_t c = 0; c < sizeof some_C / sizeof *some_C; c++) {
            for (int j = 0; j < SOME_D; j++) {
                for (int K = 1; K <= 4; K++) {
                    /* every precision and batch comes by, not every combination */
                    const int64_t B = some_B[round++ % 6];
                    PlanSpace spaces[4];
                    for (int k = 0; k < K; k++)
                        spaces[k] = (PlanSpace){B, some_C[c], some_d[(j + 5 * k) % SOME_D]};
                    for (int precision = 0; precision < 4; precision++)
                        check(plan_device_at(i), spaces, K, precision);
                }
            }
        }
    }
}

/* Batches from one row to beyond any shared memory; spaces of one kind, as sweeps have them. */
Test(plan, batches_of_any_size, .timeout = 120) {
    static const int64_t some_B[] = {1, 15, 16, 17, 63, 64, 65, 129, 255, 50000, 123457, 200000};
    for (int i = 0; plan_device_at(i); i++)
        for (size_t b = 0; b < sizeof some_B / sizeof *some_B; b++)
            for (int j = 0; j < SOME_D; j += 3)
                for (int64_t C = 10; C <= 1000; C *= 10)
                    for (int n = 1; n <= PLAN_MAX_SPACES; n += 5) {
                        PlanSpace spaces[PLAN_MAX_SPACES];
                        for (int k = 0; k < n; k++)
                            spaces[k] = (PlanSpace){some_B[b], C, some_d[j]};
                        check(plan_device_at(i), spaces, n, 2);
                    }
    /* of several sizes at once */
    const PlanSpace mixed[] = {{10000, 10, 768}, {300, 10, 768}, {16, 10, 64}};
    for (int i = 0; plan_device_at(i); i++) check(plan_device_at(i), mixed, 3, 3);
}

static Plan plan_of(const char *device, int64_t B, int64_t C, int64_t d0, int64_t d1, DType type) {
    const PlanSpace spaces[] = {{B, C, d0}, {B, C, d1}};
    Plan p;
    Error err;
    ASSERT_OK(plan_inner(&p, plan_device(device), spaces, d1 ? 2 : 1, type, false, &err), err);
    return p;
}

/* The shapes that the forms are made for: what the arithmetic in plan.h and inner_slab.cu says. */
Test(plan, published_shapes) {
    Plan p = plan_of("h200", 10000, 10, 768, 0, DTYPE_F16);
    cr_expect(p.form == PLAN_SLAB && p.blocks == 125 && p.space[0].rows == 80);
    cr_expect(p.space[0].resident == 80 && p.space[0].group == 80, "all rows stay, in one visit");
    cr_expect(p.shared == 205568, "inner_slab.cu has a table of it: %d", (int)p.shared);
    p = plan_of("h200", 10000, 10, 1536, 0, DTYPE_BF16);
    cr_expect(p.form == PLAN_SLAB && p.space[0].resident < p.space[0].rows && p.space[0].stages > 0,
              "part of the rows is streamed");
    cr_expect(p.space[0].passes == 1);
    cr_expect(p.shared == 192768, "inner_slab.cu has a table of it: %d", (int)p.shared);
    p = plan_of("h200", 10000, 100, 768, 1536, DTYPE_F16);
    cr_expect(p.form == PLAN_WGMMA && p.classes == 128 && p.cluster == 4 && p.blocks == 132);
    p = plan_of("a100", 10000, 100, 768, 1536, DTYPE_F16);
    cr_expect(p.form == PLAN_TILED);
    p = plan_of("h200", 10000, 100, 768, 1536, DTYPE_F32);
    cr_expect(p.form == PLAN_TILED);
    p = plan_of("h200", 10000, 1000, 768, 1536, DTYPE_F16);
    cr_expect(p.form == PLAN_WGMMA && p.cluster == 8 && p.splits == 4 && p.blocks == 128);
    p = plan_of("a100", 10000, 1000, 768, 1536, DTYPE_F16);
    cr_expect(p.form == PLAN_TILED);
    for (DType type = DTYPE_F16; type <= DTYPE_F32; type++)
        cr_expect((plan_of("rtx4090", 10000, 10, 768, 1536, type).form == PLAN_SLAB) ==
                  (type != DTYPE_F32));
}

/* Features of the busiest cluster: never beyond what the longest piece and an even share of all make, and at
 * CIFAR-100 no more than one piece of the longer space, whoever else has two of the shorter. */
Test(plan, long_pieces_are_dealt_first) {
    int64_t pieces, features;
    Plan p = plan_of("h200", 10000, 100, 768, 1536, DTYPE_F16);
    plan_busiest(&p, &pieces, &features);
    cr_expect(pieces == 2 && features == 1536, "%d pieces of %d", (int)pieces, (int)features);
    for (int j = 0; j < SOME_D; j++)
        for (int64_t C = 40; C <= 1000; C *= 5)
            for (int64_t B = 129; B <= 40000; B += 3333) {
                const int64_t other = some_d[(7 * j + 3) % SOME_D];
                p = plan_of("h200", B, C, some_d[j], other, DTYPE_BF16);
                const int64_t sharers = p.cluster / p.splits,
                              each = (B + 128 * sharers - 1) / (128 * sharers),
                              longest = some_d[j] > other ? some_d[j] : other,
                              all = each * (some_d[j] + other) / (p.blocks / p.cluster);
                plan_busiest(&p, &pieces, &features);
                cr_expect(features >= longest && features >= all && features <= all + longest,
                          "B %d C %d d %d and %d: %d features", (int)B, (int)C, (int)some_d[j],
                          (int)other, (int)features);
            }
}

/* Clusters that share rows and classes give way to others where the device holds too few of them: at C 1000 fifteen
 * need a sixth, short piece each, fourteen a long one more. A cluster whose classes fit no other way stays. */
Test(plan, a_device_that_holds_few_clusters_gets_smaller_ones) {
    static const struct {
        int64_t C;
        int held, cluster, blocks;
    } cases[] = {{1000, 16, 8, 128}, {1000, 99, 8, 128}, {1000, 15, 8, 120}, {1000, 14, 4, 132},
                 {1000, 0, 4, 132},  {1100, 0, 8, 128},  {100, 0, 4, 132},   {200, 0, 1, 132}};
    const PlanDevice *h200 = plan_device("h200");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Plan p = plan_of("h200", 10000, cases[i].C, 768, 1536, DTYPE_F16);
        plan_held(&p, h200, cases[i].held);
        cr_expect(p.cluster == cases[i].cluster && p.blocks == cases[i].blocks &&
                      p.space[1].count == p.blocks,
                  "C %d, %d held: %d CTAs, clusters of %d", (int)cases[i].C, cases[i].held,
                  p.blocks, p.cluster);
        expect_each_row_once(&p);
    }
}

Test(plan, bad_spaces_are_refused) {
    Plan p;
    Error err;
    const PlanDevice *device = plan_device("h200");
    PlanSpace spaces[PLAN_MAX_SPACES + 1];
    for (int k = 0; k <= PLAN_MAX_SPACES; k++) spaces[k] = (PlanSpace){256, 10, 64};
    cr_expect(plan_inner(&p, device, spaces, 0, DTYPE_F16, false, &err) == ERR_ARG);
    cr_expect(plan_inner(&p, device, spaces, PLAN_MAX_SPACES + 1, DTYPE_F16, false, &err) ==
              ERR_ARG);
    cr_expect(strstr(err.text, "17 spaces"), "%s", err.text);
    cr_expect(plan_inner(&p, device, spaces, PLAN_MAX_SPACES, DTYPE_F16, false, &err) == OK);
    spaces[1].C = 11;
    cr_expect(plan_inner(&p, device, spaces, 2, DTYPE_F16, false, &err) == ERR_ARG);
    spaces[1] = (PlanSpace){0, 10, 64};
    cr_expect(plan_inner(&p, device, spaces, 2, DTYPE_F16, false, &err) == ERR_ARG);
    spaces[1] = (PlanSpace){256, 10, 0};
    cr_expect(plan_inner(&p, device, spaces, 2, DTYPE_F16, false, &err) == ERR_ARG);
    /* several batches are for the slab alone */
    spaces[1] = (PlanSpace){128, 10, 64};
    cr_expect(plan_inner(&p, device, spaces, 2, DTYPE_F16, false, &err) == OK);
    cr_expect(plan_inner(&p, device, spaces, 2, DTYPE_F32, false, &err) == ERR_ARG);
    cr_expect(!plan_device("h300") && !plan_device_at(-1) && !plan_device_at(5));
}

/* A device at hand is like the one of the table that it is. */
Test(plan, devices_at_hand) {
    const PlanDevice h = plan_device_like(132, 232448, 90), *h200 = plan_device("h200");
    cr_expect(h.wgmma == 1 && h.l2_bytes_s == h200->l2_bytes_s && h.clock_hz == h200->clock_hz);
    const PlanDevice small = plan_device_like(4, 232448, 90), *tiny = plan_device("tiny");
    cr_expect(fabs(small.l2_bytes_s / tiny->l2_bytes_s - 1.0) < 1e-12);
    const PlanDevice a = plan_device_like(108, 166912, 80), *a100 = plan_device("a100");
    cr_expect(!a.wgmma && a.wgmma_flops_16 == 0.0 && a.mma_flops_16 == a100->mma_flops_16);
    const PlanDevice later = plan_device_like(170, 101376, 120);
    cr_expect(!later.wgmma && later.sms == 170);
}

/* Trainings side by side: only where each one's batch stays in shared memory of its part, and a part of
 * a part has room for no more. */
Test(plan, trainings_that_fill_a_device) {
    static const struct {
        int64_t B, C, d;
        DType type;
        int trainings;
    } h200[] = {{10000, 10, 768, DTYPE_F16, 1}, /* one has all of the shared memory */
                {5000, 10, 768, DTYPE_F16, 2},    {1000, 10, 768, DTYPE_F16, 8},
                {1000, 10, 768, DTYPE_F32, 1},    {1000, 100, 768, DTYPE_F16, 1},
                {1000, 1000, 768, DTYPE_BF16, 1}, {100, 2, 8, DTYPE_F16, PLAN_MAX_SPACES},
                {200000, 10, 768, DTYPE_BF16, 1}};
    for (size_t i = 0; i < sizeof h200 / sizeof *h200; i++) {
        const PlanSpace space = {h200[i].B, h200[i].C, h200[i].d};
        const int n = plan_trainings(plan_device("h200"), &space, 1, h200[i].type, false);
        cr_expect(n == h200[i].trainings, "case %zu: %d", i, n);
    }
    for (int i = 0; plan_device_at(i); i++)
        for (int64_t B = 16; B < 20000; B = B * 5 / 3)
            for (int j = 0; j < SOME_D; j++) {
                const PlanDevice *device = plan_device_at(i);
                const PlanSpace spaces[] = {{B, 10, some_d[j]}, {B, 10, 64}};
                const int n = plan_trainings(device, spaces, 1 + j % 2, DTYPE_F16, false);
                cr_assert(n >= 1 && n <= PLAN_MAX_SPACES && n <= device->sms && (n & (n - 1)) == 0);
                if (n == 1) continue;
                const PlanDevice part = plan_part(device, device->sms / n);
                Plan p;
                Error err;
                ASSERT_OK(plan_inner(&p, &part, spaces, 1 + j % 2, DTYPE_F16, false, &err), err);
                cr_assert(p.form == PLAN_SLAB && p.blocks * n <= device->sms);
                for (int k = 0; k < p.spaces; k++)
                    cr_assert(p.space[k].resident == p.space[k].rows);
            }
}
