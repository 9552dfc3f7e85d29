/* random_weights.c - random weights with an official encoder's exact names and shapes, to measure
 * speed and memory where the published file is not at hand.
 * usage: bench-random_weights NAME FILE [fp16]      (make bench builds build/<config>/bench-random_weights)
 *
 * All tensors are windows of one pool of random numbers below LARGEST, so that a product of a thousand
 * inputs keeps its size. Writing dinov2_vitg14 takes 4.6 GB of disk and little memory.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/arrays/torch_file.h"
#include "kernels/philox.h"

enum { MAX_TENSORS = 2048, POOL = 1 << 24 };
#define LARGEST 0.05f

typedef enum { CLIP_VIT, CLIP_RESNET, DINOV2, DINOV3, SIGLIP } Kind;

typedef struct {
    const char *name;
    Kind kind;
    int width, depth, patch, image, features; /* features: width of CLIP's common space */
    int hidden;                               /* SigLIP: of the MLPs */
    int stages[4];
    int text_width;
    bool gated, registers;
} Model;

static const Model models[] = {
    {.name = "RN50",
     .kind = CLIP_RESNET,
     .width = 64,
     .image = 224,
     .features = 1024,
     .stages = {3, 4, 6, 3},
     .text_width = 512},
    {.name = "RN101",
     .kind = CLIP_RESNET,
     .width = 64,
     .image = 224,
     .features = 512,
     .stages = {3, 4, 23, 3},
     .text_width = 512},
    {.name = "RN50x4",
     .kind = CLIP_RESNET,
     .width = 80,
     .image = 288,
     .features = 640,
     .stages = {4, 6, 10, 6},
     .text_width = 640},
    {.name = "RN50x16",
     .kind = CLIP_RESNET,
     .width = 96,
     .image = 384,
     .features = 768,
     .stages = {6, 8, 18, 8},
     .text_width = 768},
    {.name = "RN50x64",
     .kind = CLIP_RESNET,
     .width = 128,
     .image = 448,
     .features = 1024,
     .stages = {3, 15, 36, 10},
     .text_width = 1024},
    {.name = "ViT-B-32",
     .width = 768,
     .depth = 12,
     .patch = 32,
     .image = 224,
     .features = 512,
     .text_width = 512},
    {.name = "ViT-B-16",
     .width = 768,
     .depth = 12,
     .patch = 16,
     .image = 224,
     .features = 512,
     .text_width = 512},
    {.name = "ViT-L-14",
     .width = 1024,
     .depth = 24,
     .patch = 14,
     .image = 224,
     .features = 768,
     .text_width = 768},
    {.name = "dinov2_vits14", .kind = DINOV2, .width = 384, .depth = 12, .patch = 14, .image = 518},
    {.name = "dinov2_vitb14", .kind = DINOV2, .width = 768, .depth = 12, .patch = 14, .image = 518},
    {.name = "dinov2_vitl14",
     .kind = DINOV2,
     .width = 1024,
     .depth = 24,
     .patch = 14,
     .image = 518},
    {.name = "dinov2_vitg14",
     .kind = DINOV2,
     .width = 1536,
     .depth = 40,
     .patch = 14,
     .image = 518,
     .gated = true},
    {.name = "dinov2_vitl14_reg4",
     .kind = DINOV2,
     .width = 1024,
     .depth = 24,
     .patch = 14,
     .image = 518,
     .registers = true},
    {.name = "dinov3_vits16", .kind = DINOV3, .width = 384, .depth = 12, .patch = 16},
    {.name = "dinov3_vitl16", .kind = DINOV3, .width = 1024, .depth = 24, .patch = 16},
    {.name = "siglip2so400m14_384",
     .kind = SIGLIP,
     .width = 1152,
     .depth = 27,
     .patch = 14,
     .image = 384,
     .hidden = 4304},
};

/* --- tensors ---------------------------------------------------------------------------------- */

typedef struct {
    Tensor tensor[MAX_TENSORS];
    int count;
    DType type;     /* type of matrices; vectors are float32 */
    float *pool;    /* uniform in [-1, 1) */
    uint16_t *half; /* the pool as float16 */
} File;

/* Adds a tensor, a window of the pool. */
static void add(File *f, int axes, int a, int b, int c, int d, const char *format, ...) {
    char name[128];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    Tensor *t = &f->tensor[f->count++];
    *t = (Tensor){.name = strdup(name), .axes = axes, .shape = {a, b, c, d}, .count = 1};
    for (int i = 0; i < axes; i++) t->count *= t->shape[i];
    const int64_t offset = (f->count * 7919LL) % (POOL / 4);
    const bool matrix = axes > 1 && f->type == DTYPE_F16;
    t->type = matrix ? DTYPE_F16 : DTYPE_F32;
    t->data = matrix ? (const void *)(f->half + offset) : (const void *)(f->pool + offset);
}

static void add_constant(File *f, int n, float value, const char *format, const char *prefix) {
    char name[256];
    snprintf(name, sizeof name, format, prefix);
    float *x = malloc((size_t)n * sizeof *x);
    for (int i = 0; i < n; i++) x[i] = value;
    f->tensor[f->count++] = (Tensor){
        .name = strdup(name), .type = DTYPE_F32, .axes = 1, .shape = {n}, .count = n, .data = x};
}

static void add_norm(File *f, int d, const char *prefix) {
    add_constant(f, d, 1.0f, "%sweight", prefix);
    add(f, 1, d, 0, 0, 0, "%sbias", prefix);
}

static void add_linear(File *f, int out, int in, const char *prefix) {
    add(f, 2, out, in, 0, 0, "%sweight", prefix);
    add(f, 1, out, 0, 0, 0, "%sbias", prefix);
}

static void add_clip_blocks(File *f, int d, int depth, const char *blocks) {
    for (int i = 0; i < depth; i++) {
        char name[6][128];
        static const char *const parts[] = {"ln_1.", "attn.in_proj_", "attn.out_proj.",
                                            "ln_2.", "mlp.c_fc.",     "mlp.c_proj."};
        for (int p = 0; p < 6; p++) snprintf(name[p], 128, "%s%d.%s", blocks, i, parts[p]);
        add_norm(f, d, name[0]);
        add_linear(f, 3 * d, d, name[1]);
        add_linear(f, d, d, name[2]);
        add_norm(f, d, name[3]);
        add_linear(f, 4 * d, d, name[4]);
        add_linear(f, d, 4 * d, name[5]);
    }
}

static void add_text(File *f, const Model *m) {
    const int d = m->text_width;
    add(f, 2, 49408, d, 0, 0, "token_embedding.weight");
    add(f, 2, 77, d, 0, 0, "positional_embedding");
    add_clip_blocks(f, d, 12, "transformer.resblocks.");
    add_norm(f, d, "ln_final.");
    add(f, 2, d, m->features, 0, 0, "text_projection");
    add(f, 1, 1, 0, 0, 0, "logit_scale");
}

static void add_clip_vit(File *f, const Model *m) {
    const int d = m->width, grid = m->image / m->patch;
    add(f, 1, d, 0, 0, 0, "visual.class_embedding");
    add(f, 2, 1 + grid * grid, d, 0, 0, "visual.positional_embedding");
    add(f, 2, d, m->features, 0, 0, "visual.proj");
    add(f, 4, d, 3, m->patch, m->patch, "visual.conv1.weight");
    add_norm(f, d, "visual.ln_pre.");
    add_clip_blocks(f, d, m->depth, "visual.transformer.resblocks.");
    add_norm(f, d, "visual.ln_post.");
    add_text(f, m);
}

static void add_conv(File *f, int out, int in, int kernel, const char *block, const char *conv,
                     const char *norm) {
    char prefix[128];
    /* that of a sum of so many products: without a norm that divides by it, 64 blocks would leave float16 */
    const float variance = (float)(in * kernel * kernel) * LARGEST * LARGEST / 3.0f;
    add(f, 4, out, in, kernel, kernel, "%s%sweight", block, conv);
    snprintf(prefix, sizeof prefix, "%s%s", block, norm);
    add_norm(f, out, prefix);
    add(f, 1, out, 0, 0, 0, "%srunning_mean", prefix);
    add_constant(f, out, variance, "%srunning_var", prefix);
}

static void add_clip_resnet(File *f, const Model *m) {
    const int w = m->width, grid = m->image / 32;
    int in = w;
    add_conv(f, w / 2, 3, 3, "visual.", "conv1.", "bn1.");
    add_conv(f, w / 2, w / 2, 3, "visual.", "conv2.", "bn2.");
    add_conv(f, w, w / 2, 3, "visual.", "conv3.", "bn3.");
    for (int s = 0; s < 4; s++)
        for (int i = 0; i < m->stages[s]; i++) {
            char block[64];
            const int planes = w << s;
            snprintf(block, sizeof block, "visual.layer%d.%d.", s + 1, i);
            add_conv(f, planes, in, 1, block, "conv1.", "bn1.");
            add_conv(f, planes, planes, 3, block, "conv2.", "bn2.");
            add_conv(f, 4 * planes, planes, 1, block, "conv3.", "bn3.");
            if (i == 0) add_conv(f, 4 * planes, in, 1, block, "downsample.0.", "downsample.1.");
            in = 4 * planes;
        }
    add(f, 2, 1 + grid * grid, in, 0, 0, "visual.attnpool.positional_embedding");
    add_linear(f, in, in, "visual.attnpool.q_proj.");
    add_linear(f, in, in, "visual.attnpool.k_proj.");
    add_linear(f, in, in, "visual.attnpool.v_proj.");
    add_linear(f, m->features, in, "visual.attnpool.c_proj.");
    add_text(f, m);
}

/* Periods of rotary positions, for heads of 64. */
static void add_rope(File *f) {
    add_constant(f, 16, 0.0f, "%speriods", "rope_embed.");
    float *period = (float *)f->tensor[f->count - 1].data;
    for (int i = 0; i < 16; i++) period[i] = powf(100.0f, (float)i / 16.0f);
}

/* The mask of the bias of q, k and v, which leaves k without one. */
static void add_mask(File *f, int d, const char *prefix) {
    add_constant(f, 3 * d, 1.0f, "%sbias_mask", prefix);
    float *mask = (float *)f->tensor[f->count - 1].data;
    for (int i = d; i < 2 * d; i++) mask[i] = 0.0f;
}

static void add_dino(File *f, const Model *m) {
    const int d = m->width, grid = m->image / m->patch;
    const bool three = m->kind == DINOV3;
    const int hidden = m->gated ? (d * 4 * 2 / 3 + 7) / 8 * 8 : 4 * d;
    add(f, 3, 1, 1, d, 0, "cls_token");
    if (three) add_rope(f);
    else add(f, 3, 1, 1 + grid * grid, d, 0, "pos_embed");
    if (three) add(f, 3, 1, 4, d, 0, "storage_tokens");
    if (m->registers) add(f, 3, 1, 4, d, 0, "register_tokens");
    add(f, 2, 1, d, 0, 0, "mask_token");
    add(f, 4, d, 3, m->patch, m->patch, "patch_embed.proj.weight");
    add(f, 1, d, 0, 0, 0, "patch_embed.proj.bias");
    for (int i = 0; i < m->depth; i++) {
        static const char *const parts[] = {"norm1.",  "attn.qkv.", "attn.proj.", "ls1.gamma",
                                            "norm2.",  "mlp.fc1.",  "mlp.fc2.",   "mlp.w12.",
                                            "mlp.w3.", "ls2.gamma"};
        char name[10][64];
        for (int p = 0; p < 10; p++) snprintf(name[p], 64, "blocks.%d.%s", i, parts[p]);
        add_norm(f, d, name[0]);
        add_linear(f, 3 * d, d, name[1]);
        if (three) add_mask(f, d, name[1]);
        add_linear(f, d, d, name[2]);
        add_constant(f, d, 0.2f, "%s", name[3]);
        add_norm(f, d, name[4]);
        add_linear(f, m->gated ? 2 * hidden : hidden, d, name[m->gated ? 7 : 5]);
        add_linear(f, d, hidden, name[m->gated ? 8 : 6]);
        add_constant(f, d, 0.2f, "%s", name[9]);
    }
    add_norm(f, d, "norm.");
}

/* The image encoder alone, named as timm names it. */
static void add_siglip(File *f, const Model *m) {
    const int d = m->width, grid = m->image / m->patch;
    add(f, 3, 1, grid * grid, d, 0, "pos_embed");
    add(f, 4, d, 3, m->patch, m->patch, "patch_embed.proj.weight");
    add(f, 1, d, 0, 0, 0, "patch_embed.proj.bias");
    for (int i = 0; i < m->depth; i++) {
        static const char *const parts[] = {"norm1.", "attn.qkv.", "attn.proj.",
                                            "norm2.", "mlp.fc1.",  "mlp.fc2."};
        char name[6][64];
        for (int p = 0; p < 6; p++) snprintf(name[p], 64, "blocks.%d.%s", i, parts[p]);
        add_norm(f, d, name[0]);
        add_linear(f, 3 * d, d, name[1]);
        add_linear(f, d, d, name[2]);
        add_norm(f, d, name[3]);
        add_linear(f, m->hidden, d, name[4]);
        add_linear(f, d, m->hidden, name[5]);
    }
    add_norm(f, d, "norm.");
    add(f, 3, 1, 1, d, 0, "attn_pool.latent");
    add_linear(f, d, d, "attn_pool.q.");
    add_linear(f, 2 * d, d, "attn_pool.kv.");
    add_linear(f, d, d, "attn_pool.proj.");
    add_norm(f, d, "attn_pool.norm.");
    add_linear(f, m->hidden, d, "attn_pool.mlp.fc1.");
    add_linear(f, d, m->hidden, "attn_pool.mlp.fc2.");
}

/* --- main ------------------------------------------------------------------------------------- */

static uint16_t half_of(float x) { /* |x| < 1/16 is truncated; |x| < 2^-14 becomes 0 */
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const int exponent = (int)(bits >> 23 & 255) - 127 + 15;
    return (uint16_t)((bits >> 16 & 0x8000) |
                      (exponent < 1 ? 0 : (uint32_t)exponent << 10 | (bits >> 13 & 1023)));
}

int main(int argc, char **argv) {
    static File f;
    Error err;
    const Model *m = NULL;
    for (size_t i = 0; argc > 2 && i < sizeof models / sizeof *models; i++)
        if (strcmp(argv[1], models[i].name) == 0) m = &models[i];
    if (!m || argc > 4 || (argc == 4 && strcmp(argv[3], "fp16") != 0)) {
        fputs("usage: bench-random_weights NAME FILE [fp16], NAME one of", stderr);
        for (size_t i = 0; i < sizeof models / sizeof *models; i++)
            fprintf(stderr, " %s", models[i].name);
        fputc('\n', stderr);
        return 2;
    }
    f.type = argc == 4 ? DTYPE_F16 : DTYPE_F32;
    /* the largest tensor is CLIP's token table, 49408 x 1024 */
    const int64_t pool = 49408 * 1024 + POOL;
    f.pool = malloc((size_t)pool * sizeof *f.pool);
    f.half = malloc((size_t)pool * sizeof *f.half);
    if (!f.pool || !f.half) {
        fputs("bench-random_weights: out of memory\n", stderr);
        return 1;
    }
    for (int64_t i = 0; i < pool; i++) {
        f.pool[i] = i < POOL ? philox_uniform(philox_at(1, 14, 0, 0, i / 4).word[i % 4], LARGEST)
                             : f.pool[i - POOL];
        f.half[i] = half_of(f.pool[i]);
    }
    if (m->kind == CLIP_VIT) add_clip_vit(&f, m);
    else if (m->kind == CLIP_RESNET) add_clip_resnet(&f, m);
    else if (m->kind == SIGLIP) add_siglip(&f, m);
    else add_dino(&f, m);
    if (torch_save(argv[2], f.tensor, f.count, &err) != OK) {
        fprintf(stderr, "bench-random_weights: %s\n", err.text);
        return 1;
    }
    printf("%s: %d tensors of %s\n", argv[2], f.count, m->name);
    return 0;
}
