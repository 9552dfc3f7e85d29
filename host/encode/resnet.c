/* resnet.c - CLIP's modified residual network, from pixels to features.
 *
 *     stem     three 3 x 3 convolutions, the first of stride 2, then the mean of 2 x 2
 *     stages   four, of bottlenecks: relu(x' + conv3(pool(relu(conv2(relu(conv1 x))))));
 *              strides are means (pool) in front of conv3 and of the shortcut x'
 *     pooling  attention: query = mean of all positions, keys = values = mean and positions
 *
 * Every convolution is followed by a batch norm, folded at load: its factor gamma / sqrt(var + eps)
 * scales the convolution's output, beta - mean * factor is the bias.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/encode/attention_pool.h"
#include "host/encode/encoder.h"

enum { STAGES = 4, EXPANSION = 4 };

typedef struct {
    Layer conv1, conv2, conv3, shortcut; /* shortcut.weight.data NULL: the input itself */
    int64_t planes, stride;
} Bottleneck;

struct Network {
    Layer stem[3];
    Bottleneck *block; /* owned */
    int64_t blocks, side, width;
    AttentionPool pool;
    const float *position;      /* (1 + n, channels) */
    Precision type;             /* of all activations, the residual stream too */
    Buffer x, y, a, b, scratch; /* a block's input and output, and what lies between */
};

/* --- loading ---------------------------------------------------------------------------------- */

static void resnet_shape(EncoderShape *s, Weights *w) {
    const char *position = "visual.attnpool.positional_embedding";
    s->width = weights_extent(w, -1, "%s", position);
    s->grid = position_grid(w, weights_extent(w, -2, "%s", position), 1);
    s->patch = 32;
    s->features = weights_extent(w, 0, "visual.attnpool.c_proj.weight");
    for (int stage = 0; stage < STAGES; stage++)
        while (weights_has(w, "visual.layer%d.%d.conv1.weight", stage + 1, (int)s->stages[stage]))
            s->stages[stage]++;
    if (w->status == OK && (s->width % (32 * 2) || s->stages[0] == 0))
        w->status = fail(w->err, ERR_FORMAT,
                         "weights: %s: expected a residual network of CLIP, got %lld channels",
                         w->path, (long long)s->width);
}

/* Loads the convolution <conv>weight and the batch norm <norm>* behind it. */
static Layer load_conv(Weights *w, int64_t out, int64_t in, int64_t kernel, const char *prefix,
                       const char *conv, const char *norm) {
    const double eps = 1e-5;
    Layer layer = {.weight = weights_kernel(w, out, in, kernel, "%s%sweight", prefix, conv)};
    float *gamma = weights_read(w, 1, out, "%s%sweight", prefix, norm),
          *beta = weights_read(w, 1, out, "%s%sbias", prefix, norm),
          *mean = weights_read(w, 1, out, "%s%srunning_mean", prefix, norm),
          *var = weights_read(w, 1, out, "%s%srunning_var", prefix, norm);
    if (gamma && beta && mean && var) {
        for (int64_t c = 0; c < out; c++) {
            const double scale = gamma[c] / sqrt(var[c] + eps);
            gamma[c] = (float)scale;
            beta[c] = (float)(beta[c] - mean[c] * scale);
        }
        layer.scale = weights_place(w, gamma, out);
        layer.bias = weights_place(w, beta, out);
        weights_pack(w, &layer.weight);
    }
    free(gamma);
    free(beta);
    free(mean);
    free(var);
    char counter[160];
    snprintf(counter, sizeof counter, "%s%snum_batches_tracked", prefix, norm);
    weights_pass_over(w, counter);
    return layer;
}

static void load_block(Bottleneck *b, Weights *w, int stage, int64_t index, int64_t in) {
    char name[64];
    const int64_t out = EXPANSION * b->planes;
    snprintf(name, sizeof name, "visual.layer%d.%lld.", stage + 1, (long long)index);
    b->conv1 = load_conv(w, b->planes, in, 1, name, "conv1.", "bn1.");
    b->conv2 = load_conv(w, b->planes, b->planes, 3, name, "conv2.", "bn2.");
    b->conv3 = load_conv(w, out, b->planes, 1, name, "conv3.", "bn3.");
    if (b->stride > 1 || in != out)
        b->shortcut = load_conv(w, out, in, 1, name, "downsample.0.", "downsample.1.");
}

static void resnet_free(Network *r) {
    if (!r) return;
    free(r->block);
    free(r);
}

static void load_pooling(Network *r, Weights *w, const EncoderShape *shape, int64_t channels) {
    const char *name = "visual.attnpool.positional_embedding";
    const int64_t cells = shape->grid * shape->grid, grid = r->side / shape->patch;
    float *table = weights_read(w, 1 + cells, channels, "%s", name),
          *resized = malloc((size_t)((1 + grid * grid) * channels) * sizeof *resized);
    if (table && resized) {
        for (int64_t j = 0; j < channels; j++) resized[j] = table[j];
        position_resize(resized + channels, grid, table + channels, shape->grid, channels,
                        POSITION_ANTIALIAS);
        r->position = weights_place(w, resized, (1 + grid * grid) * channels);
    } else if (w->status == OK) {
        w->status = fail(w->err, ERR_MEMORY, "weights: %s: out of memory", w->path);
    }
    free(table);
    free(resized);
    r->pool.query = weights_linear(w, channels, channels, "visual.attnpool.q_proj.");
    r->pool.key = weights_linear(w, channels, channels, "visual.attnpool.k_proj.");
    r->pool.value = weights_linear(w, channels, channels, "visual.attnpool.v_proj.");
    r->pool.out = weights_linear(w, shape->features, channels, "visual.attnpool.c_proj.");
    Layer *const layers[] = {&r->pool.query, &r->pool.key, &r->pool.value, &r->pool.out};
    for (int i = 0; i < 4; i++) weights_pack(w, &layers[i]->weight);
}

static Network *resnet_load(Weights *w, const EncoderShape *shape, const EncoderFacts *facts,
                            FeatureKind feature) {
    Network *r = calloc(1, sizeof *r);
    for (int s = 0; r && s < STAGES; s++) r->blocks += shape->stages[s];
    if (r) r->block = calloc((size_t)r->blocks, sizeof *r->block);
    if (!r || !r->block) {
        w->status = fail(w->err, ERR_MEMORY, "weights: %s: out of memory", w->path);
    } else if (feature != FEATURE_CLS) {
        w->status = fail(w->err, ERR_ARG,
                         "features: %s: a residual network has one feature per image: only "
                         "--feature cls",
                         w->path);
    } else {
        const int64_t width = shape->width / 32, half = width / 2;
        r->side = facts->rule.crop;
        r->pool.heads = facts->heads;
        r->width = width;
        r->type = activations_of(&w->ops->encode, w->precision);
        r->stem[0] = load_conv(w, half, 3, 3, "visual.", "conv1.", "bn1.");
        r->stem[1] = load_conv(w, half, half, 3, "visual.", "conv2.", "bn2.");
        r->stem[2] = load_conv(w, width, half, 3, "visual.", "conv3.", "bn3.");
        int64_t in = width, at = 0;
        for (int s = 0; s < STAGES; s++)
            for (int64_t i = 0; i < shape->stages[s]; i++, at++) {
                r->block[at].planes = width << s;
                r->block[at].stride = s > 0 && i == 0 ? 2 : 1;
                load_block(&r->block[at], w, s, i, in);
                in = EXPANSION * r->block[at].planes;
            }
        load_pooling(r, w, shape, in);
    }
    if (w->status == OK) return r;
    resnet_free(r);
    return NULL;
}

static int64_t resnet_features(const Network *r) {
    return r->pool.out.weight.out;
}

static Parts resnet_parts(Network *r, const Ops *ops, int64_t batch) {
    const int64_t half = r->side / 2, quarter = r->side / 4, w = r->width, grid = r->side / 32,
                  channels = r->pool.query.weight.in, T = 1 + grid * grid;
    /* largest: x, y: a stage's (quarter >> s)^2 x 4 (width << s), most at s = 0, or the stem's; the
     * pooling's tokens, q, k and v are smaller than a stage's input for every side */
    const int64_t block = most(most(quarter * quarter * EXPANSION * w, T * channels),
                               half * half * (w / 2)),
                  between = most(half * half * w, 3 * T * channels),
                  size = batch * precision_bytes(r->type);
    return (Parts){
        {{&r->x, size * block},
         {&r->y, size * block},
         {&r->a, size * between},
         {&r->b, size * between},
         {&r->scratch, ops->encode.scratch_bytes(ops->device, 9 * channels / EXPANSION, T)}},
        5};
}

/* --- running ---------------------------------------------------------------------------------- */

typedef struct {
    Network *net;
    const Ops *ops;
    Queue *queue;
    int64_t B;
} Run;

static void conv_rows(const Run *r, void *out, Matrix in, const Layer *layer, int64_t side,
                      int64_t stride, bool add, Activation activation) {
    const int64_t kernel = layer->weight.taps == 1 ? 1 : 3;
    const Window window = {side, side, kernel, stride, kernel / 2, 0};
    const Epilogue epilogue = {
        .scale = layer->scale, .bias = layer->bias, .add = add, .activation = activation};
    r->ops->encode.conv2d(r->queue, (Matrix){out, layer->weight.out, r->net->type}, in,
                          &layer->weight, &window, &epilogue, r->B, r->net->scratch.data);
}

/* Convolves images of the network's own type. */
static void conv(const Run *r, void *out, const void *in, const Layer *layer, int64_t side,
                 bool add, Activation activation) {
    conv_rows(r, out, (Matrix){(void *)in, layer->weight.in, r->net->type}, layer, side, 1, add,
              activation);
}

static void halve(const Run *r, void *out, void *in, int64_t side, int64_t channels) {
    const Precision type = r->net->type;
    r->ops->encode.avg_pool(r->queue, (Matrix){out, channels, type}, (Matrix){in, channels, type},
                            r->B, side, side, channels, 2);
}

/* Runs a block: *x (B,side,side,in) becomes (B,side/stride,side/stride,4 planes); *y is free before
 * and after. */
static void run_block(const Run *r, const Bottleneck *b, void **x, void **y, int64_t side) {
    void *a = r->net->a.data, *c = r->net->b.data;
    const int64_t out_side = side / b->stride;
    conv(r, a, *x, &b->conv1, side, false, ACT_RELU);
    conv(r, c, a, &b->conv2, side, false, ACT_RELU);
    if (b->stride > 1) {
        halve(r, a, c, side, b->planes);
        c = a;
    }
    if (b->shortcut.weight.data) {
        void *from = *x,
             *pooled = r->net->b.data; /* conv2's output, which the pooling above freed */
        if (b->stride > 1) {
            halve(r, pooled, *x, side, b->shortcut.weight.in);
            from = pooled;
        }
        conv(r, *y, from, &b->shortcut, out_side, false, ACT_NONE);
        void *swap = *x;
        *x = *y;
        *y = swap;
    }
    conv(r, *x, c, &b->conv3, out_side, true, ACT_RELU);
}

/* Computes the attention of one query, the mean, over the mean and all positions. */
static void pool(const Run *r, float *features, void *x, void *tokens, int64_t n) {
    const Network *net = r->net;
    const int64_t d = net->pool.query.weight.in, T = n + 1, bytes = precision_bytes(net->type);
    uint8_t *q = net->a.data, *k = net->b.data;
    const AttentionPoolSpace space = {q,         q + r->B * d * bytes, k, k + r->B * T * d * bytes,
                                      net->type, net->scratch.data};
    const Matrix all = {tokens, d, net->type}, means = {tokens, T * d, net->type};
    r->ops->encode.pool_tokens(r->queue, all, (Matrix){x, d, net->type}, net->position, r->B, n, d);
    attention_pool_run(&net->pool, r->ops, r->queue, matrix_f32(features, net->pool.out.weight.out),
                       means, all, r->B, T, &space);
}

static void resnet_run(Network *net, const Ops *ops, Queue *queue, float *features,
                       const float *images, int64_t B) {
    const Run r = {net, ops, queue, B};
    void *x = net->x.data, *y = net->y.data, *a = net->a.data;
    int64_t side = net->side / 2;
    conv_rows(&r, x, matrix_f32(images, 3), &net->stem[0], net->side, 2, false, ACT_RELU);
    conv(&r, y, x, &net->stem[1], side, false, ACT_RELU);
    conv(&r, a, y, &net->stem[2], side, false, ACT_RELU);
    halve(&r, x, a, side, net->width);
    side /= 2;
    for (int64_t i = 0; i < net->blocks; i++) {
        run_block(&r, &net->block[i], &x, &y, side);
        side /= net->block[i].stride;
    }
    pool(&r, features, x, y, side * side);
}

const NetworkKind resnet_network = {resnet_shape,    resnet_load,  resnet_free,
                                    resnet_features, resnet_parts, resnet_run};
