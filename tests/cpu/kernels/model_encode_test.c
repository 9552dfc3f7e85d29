/* model_encode_test.c - an encoder on paper: its launches are those of the network, and their predicted time
 * keeps to the roofs. */
#include <math.h>

#include "host/encode/encoder.h"
#include "kernels/layer_tiles.h"
#include "kernels/plan/model_encode.h"
#include "tests/support/check.h"

#define VIT "data/demo/checkpoints/demo_vit.pth"
#define RESNET "data/demo/checkpoints/demo_rn.pth"

/* Notes the launches of one batch of B images. */
static void note(Paper *paper, const char *path, int64_t B, Precision precision) {
    Ops ops;
    Error err;
    Encoder *e;
    int resize, side;
    int64_t mark;
    ASSERT_OK(paper_open(&ops, paper, &err), err);
    ASSERT_OK(
        encoder_open(&e, &ops, path, &(EncoderOptions){.batch = B, .precision = precision}, &err),
        err);
    cr_assert(encoder_batch(e) == (B ? B : AUTO_BATCH_DEVICE));
    encoder_image_size(e, &resize, &side);
    uint8_t *pixels = calloc((size_t)(encoder_batch(e) * side * side), 3);
    paper->noting = true;
    ASSERT_OK(encoder_start(e, NULL, pixels, encoder_batch(e), &mark, &err), err);
    free(pixels);
    encoder_close(e);
    ops_close(&ops);
    cr_expect(paper->bytes == 0, "%lld bytes were not freed", (long long)paper->bytes);
    cr_expect(paper->most > 0 && !paper->too_many);
}

static double flops_of(const Paper *p, LaunchKind kind) {
    double flops = 0.0;
    for (int i = 0; i < p->count; i++)
        if (p->launch[i].kind == kind) flops += (double)p->launch[i].times * p->launch[i].flops;
    return flops;
}

/* demo_vit: 4 blocks of width 128, 2 heads, an MLP of 512, 16 patches of 7 x 7 x 3. The last block computes the
 * class token alone, once its keys and values are there. */
Test(model_encode, launches_are_those_of_the_network) {
    static Paper p;
    const double B = 8, d = 128, T = 17;
    const double block = 2 * B * T * d * (3 * d + d + 4 * d + 4 * d),
                 last = 2 * B * d * (T * 3 * d + d + 4 * d + 4 * d),
                 patches = 2 * B * (T - 1) * d * 147;
    note(&p, VIT, 8, PRECISION_FP16);
    cr_expect(fabs(flops_of(&p, LAUNCH_PRODUCT) - (3 * block + last + patches)) < 1.0, "%.0f",
              flops_of(&p, LAUNCH_PRODUCT));
    cr_expect(fabs(flops_of(&p, LAUNCH_ATTENTION) - 4 * B * d * (3 * T * T + T)) < 1.0);
    note(&p, RESNET, 0, PRECISION_BF16);
    cr_expect(flops_of(&p, LAUNCH_PRODUCT) > 0.0 && flops_of(&p, LAUNCH_ATTENTION) > 0.0);
}

/* No launch is faster than its roof, losses are no less than nothing, and a slower device is slower. */
Test(model_encode, times_keep_to_the_roofs) {
    static Paper p;
    for (int precision = 0; precision < 3; precision++)
        for (int64_t B = 1; B <= 1024; B *= 32) {
            double low, high;
            note(&p, VIT, B, (Precision)precision);
            const PlanDevice *h200 = plan_device("h200"), *a100 = plan_device("a100");
            for (int i = 0; i < p.count; i++) {
                const LaunchTime t = model_launch(h200, &p.launch[i]);
                cr_expect(t.seconds >= t.floor_s && t.prologue_s >= 0.0 && t.epilogue_s >= 0.0 &&
                              t.wave_s >= -1e-12 && t.padding_s >= 0.0,
                          "%s", p.launch[i].operation);
            }
            model_batch_range(&low, &high, h200, &p);
            const double seconds = model_batch_s(h200, &p);
            cr_expect(low > 0.0 && low < seconds && seconds < high);
            cr_expect(seconds < model_batch_s(a100, &p));
        }
}

/* Returns the multiply-adds of one head by the loops of attention_mma.cuh: a warp after the other, 16 keys at a time. */
static double walked_heads(const Launch *l) {
    const int64_t columns = l->width <= 64 ? 64 : l->width <= 80 ? 80 : l->width <= 96 ? 96 : 128;
    const int64_t rows = columns <= 80 ? 32 : 16;
    double sum = 0.0;
    for (int64_t first = 0; first < l->queries; first += rows)
        for (int64_t key = 0; key < l->keys && (!l->causal || key < first + rows); key += 16)
            sum += (double)(rows * 16 * columns);
    return 2.0 * sum;
}

/* The table of attention_mma.cuh says how many times its products a sequence costs in rows and keys. */
Test(model_encode, attention_pads_as_its_kernel_multiplies) {
    static const struct {
        int64_t tokens;
        double costs;
    } table[] = {{50, 1.64},  {77, 1.29},   {197, 1.20}, {257, 1.19},
                 {577, 1.08}, {1370, 1.01}, {1374, 1.00}};
    static const int64_t widths[] = {8, 64, 72, 80, 88, 96, 104, 128};
    const PlanDevice *d = plan_device("h200");
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
            for (int causal = 0; causal < 2; causal++) {
                const double T = (double)table[i].tokens, heads = 5 * 3;
                Launch l = {.operation = "attention",
                            .kind = LAUNCH_ATTENTION,
                            .precision = PRECISION_BF16,
                            .rows = 5,
                            .heads = 3,
                            .width = widths[w],
                            .queries = table[i].tokens,
                            .keys = table[i].tokens,
                            .causal = causal,
                            .flops = 4.0 * heads * (double)widths[w] * T * T};
                const LaunchTime t = model_launch(d, &l);
                const double walked = 2.0 * heads * walked_heads(&l),
                             useful = causal ? 0.5 * l.flops : l.flops,
                             told = useful + t.padding_s * d->mma_flops_16;
                cr_expect(fabs(told - walked) < 1e-9 * walked, "%.0f tokens, width %lld: %g, %g", T,
                          (long long)widths[w], told, walked);
                if (widths[w] == 64 && !causal)
                    cr_expect(fabs(told / useful - table[i].costs) < 0.006, "%.0f: %.3f", T,
                              told / useful);
            }
}

/* Returns a linear layer of fp16 whose rows the TMA can load. */
static Launch layer(int64_t rows, int64_t out, int64_t depth, Activation activation) {
    return (Launch){.operation = "linear",
                    .kind = LAUNCH_PRODUCT,
                    .precision = PRECISION_FP16,
                    .rows = rows,
                    .out = out,
                    .depth = depth,
                    .boxes = true,
                    .activation = activation,
                    .bytes = 2.0 * (double)(rows * depth + out * depth + rows * out),
                    .flops = 2.0 * (double)(rows * out * depth),
                    .times = 1};
}

/* Returns the seconds of a launch without its prologue and what shows of its epilogues. */
static double between(const PlanDevice *d, const LaunchTime *t) {
    return t->seconds - t->prologue_s - t->epilogue_s - d->node_s;
}

/* The first product of ViT-L/14's MLP for 64 images: 65 x 16 tiles of 256 x 256 for 66 clusters, 15 full waves and one of 50.
 * A tile reads 16 times 512 lines of 128 bytes through the L2 cache, and its output passes it. Products bind the last
 * wave, and others where the L2 cache is twice as fast. */
Test(model_encode, a_wave_takes_the_larger_of_its_loads_and_products) {
    const double rows = 16448, out = 4096, depth = 1024, tiles = 65.0 * 16.0;
    Launch l = layer(16448, 4096, 1024, ACT_NONE);
    PlanDevice d = *plan_device("h200");
    cr_expect(layer_wide_cols(l.rows, l.out, d.sms) == 256);
    const double products = 2.0 * 128.0 * 256.0 * depth / (d.wgmma_flops_16 / d.sms),
                 loads = 66.0 * (16.0 * 512.0 * 128.0 + 2.0 * rows * out / tiles) / d.l2_bytes_s;
    const LaunchTime bound = model_launch(&d, &l);
    cr_expect(strcmp(bound.roof, "L2") == 0 && loads > products && loads * 50.0 / 66.0 < products);
    cr_expect(fabs(between(&d, &bound) - 15.0 * loads - products) < 1e-12, "%g",
              between(&d, &bound));
    d.l2_bytes_s *= 2.0;
    const LaunchTime flops = model_launch(&d, &l);
    const double shown = flops.epilogue_s - bound.epilogue_s;
    cr_expect(strcmp(flops.roof, "flops") == 0 && shown > 0.0 && flops.wave_s > 0.0 &&
              flops.seconds < bound.seconds);
    cr_expect(fabs(between(&d, &flops) - 16.0 * products) < 1e-12);
    l.boxes = false; /* rows that the TMA cannot load go by mma.sync */
    cr_expect(model_launch(plan_device("h200"), &l).seconds > 1.6 * bound.seconds);
}

/* The patches of ViT-L/14 for 256 images, whose loader takes 112 instructions for one mma.sync of 4096 flops: four
 * schedulers of each SM issue them, in 16 384 tiles of 64 x 64 x 608. */
Test(model_encode, numbers_that_are_loaded_singly_cost_their_instructions) {
    const PlanDevice *d = plan_device("h200");
    Launch l = layer(65536, 1024, 588, ACT_NONE);
    l.boxes = false;
    const LaunchTime rows = model_launch(d, &l);
    l.singly = true;
    const LaunchTime singly = model_launch(d, &l);
    const double waves = ceil(16384.0 / d->sms),
                 tile = 2.0 * 64.0 * 64.0 * 608.0 / 4096.0 * 112.0 / (4.0 * d->clock_hz);
    cr_expect(strcmp(singly.roof, "instructions") == 0);
    cr_expect(fabs(between(d, &singly) - waves * tile) < 1e-9, "%g", between(d, &singly));
    cr_expect(singly.seconds > 5.0 * rows.seconds);
}

/* With GELU both groups of consumers write side by side, and longer than loads outlast products: a wave of the first
 * product of the MLP takes its products and twice the instructions of a warp. */
Test(model_encode, where_loads_bind_both_groups_write_at_once) {
    const PlanDevice *d = plan_device("h200");
    const double products = 2.0 * 128.0 * 256.0 * 1024.0 / (d->wgmma_flops_16 / d->sms);
    double before = 0.0;
    const Activation acts[] = {ACT_QUICK_GELU, ACT_GELU_TANH, ACT_GELU};
    const double instructions[] = {78, 102, 172}; /* of eight neighbours' activation */
    for (int i = 0; i < 3; i++) {
        const Launch l = layer(16448, 4096, 1024, acts[i]);
        const LaunchTime t = model_launch(d, &l);
        const double both = 2.0 * 4.0 * (157.0 + 4.0 * (68.0 + instructions[i])) / d->clock_hz;
        cr_expect(strcmp(t.roof, "flops") == 0 && t.seconds > before);
        cr_expect(fabs(between(d, &t) - 16.0 * products) < 1e-12);
        cr_expect(fabs(t.epilogue_s - 16.0 * both - 750.0 / d->clock_hz) < 1e-12, "%g",
                  t.epilogue_s);
        before = t.seconds;
    }
}

/* Where memory binds, epilogues run beside it: only the last one adds to its time. */
Test(model_encode, memory_hides_all_epilogues_but_the_last) {
    PlanDevice d = *plan_device("h200");
    d.hbm_bytes_s /= 16.0;
    const Launch l = layer(16448, 4096, 1024, ACT_GELU);
    const LaunchTime t = model_launch(&d, &l);
    cr_expect(strcmp(t.roof, "HBM") == 0 &&
              fabs(between(&d, &t) - l.bytes / d.hbm_bytes_s) < 1e-12);
    cr_expect(t.epilogue_s < 1e-5, "%g", t.epilogue_s);
}

Test(model_encode, the_command_tells_images_per_second) {
    Ran ran;
    run_turtle(&ran, "info --plan --device h200 --weights " VIT " --json");
    cr_assert(ran.status == 0, "%s", ran.err);
    cr_expect(strstr(ran.out, "\"images_per_s\": ") && strstr(ran.out, "\"batch_size\": 256") &&
                  strstr(ran.out, "\"roof\": ") && strstr(ran.out, "\"last_wave_us\": "),
              "%s", ran.out);
    const char *busy = strstr(ran.out, "\"busy\": ");
    const double part = busy ? strtod(busy + 8, NULL) : 0.0;
    cr_expect(part > 0.0 && part < 1.0, "%s", ran.out);
    run_turtle(&ran, "info --plan --device h200 --weights " VIT " --precision tf32");
    cr_expect(ran.status == 2 && strstr(ran.err, "expected") == NULL &&
                  strstr(ran.err, "encoders have fp32, fp16 and bf16"),
              "%s", ran.err);
    run_turtle(&ran, "info --plan --device h200 --weights nowhere.pt");
    cr_expect(ran.status == 1 && strstr(ran.err, "nowhere.pt"), "%s", ran.err);
}

/* Flags that the question would pass over are refused, and the line says which flag was meant. */
Test(model_encode, flags_that_would_change_nothing_are_refused) {
    static const struct {
        const char *call, *says;
    } refused[] = {
        {"info --weights " VIT, "is a flag of --plan"},
        {"info --images 5", "is a flag of --plan"},
        {"info --plan " VIT, "--plan --weights FILE"},
        {"info --plan --images 5", "name it with --weights"},
        {"info --plan --weights " VIT " --batch_size 64", "--images says how many"},
        {"info --plan --weights " VIT " --batch-size=10000", "--images says how many"},
        {"info --plan --weights " VIT " --B 64", "--B is a training's"},
        {"info --plan --weights " VIT " --classes 10", "--classes is a training's"},
        {"info --plan --weights " VIT " --M 10", "--M is a training's"},
        {"info --plan --weights " VIT " --dims 768 1536", "--dims is a training's"},
        {"info --plan --heads 4", "--heads is an encoder's: name it with --weights"},
        {"info --plan --image_size 224", "--image_size is an encoder's"},
        {"info --heads 4", "--heads is an encoder's: name its file"},
        {"info " VIT " --classes 10", "--classes is a flag of --plan"},
        {"info --device h200", "--device is a flag of --plan"},
    };
    Ran ran;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        run_turtle(&ran, "%s", refused[i].call);
        cr_expect(ran.status == 2 && !*ran.out && strstr(ran.err, refused[i].says), "%s: %s",
                  refused[i].call, ran.err);
    }
    run_turtle(&ran, "info --plan --weights " VIT " --images 5 --json");
    cr_expect(ran.status == 0 && strstr(ran.out, "\"batch_size\": 5,"), "%s", ran.err);
}
