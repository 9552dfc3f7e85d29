/* encoder.c - what a file of weights is, and how its network is run on a batch of images. */
#include "host/encode/encoder.h"

#include <stdlib.h>
#include <string.h>

#include "host/encode/models.h"
#include "host/encode/picture.h"
#include "host/encode/text.h"
#include "host/encode/unserved.h"
#include "host/encode/weight_names.h"

/* --- shapes ----------------------------------------------------------------------------------- */

static const NetworkKind *kind_of(const EncoderShape *s) {
    return s->kind == ENCODER_CLIP_RESNET ? &resnet_network : &vit_network;
}

/* Tells DINOv3 from DINOv2: its patches have no table of positions, only rotary ones, and it has one of
 * the names that DINOv2 has not. */
static void dino_kind(EncoderShape *s, const Weights *w) {
    static const char *const own[] = {"rope_embed.periods",
                                      "storage_tokens",
                                      "reg_token",
                                      "blocks.0.gamma_1",
                                      "blocks.0.attn.qkv.bias_mask",
                                      "embeddings.patch_embeddings.weight",
                                      "layer.0.attention.q_proj.weight"};
    s->kind = ENCODER_DINOV2;
    s->hugging_face = !weights_has(w, "cls_token");
    if (!weights_has(w, s->hugging_face ? "embeddings.position_embeddings" : "pos_embed"))
        for (size_t i = 0; i < sizeof own / sizeof *own; i++)
            if (weights_has(w, "%s", own[i])) s->kind = ENCODER_DINOV3;
    /* both name their class token and blocks alike */
    s->timm = s->kind == ENCODER_DINOV3 && !s->hugging_face &&
              (weights_has(w, "reg_token") || weights_has(w, "blocks.0.gamma_1"));
}

/* Returns true if a tensor's name in the file ends so. */
static bool any_ends_with(const Weights *w, const char *end) {
    const size_t m = strlen(end);
    for (int i = 0; i < w->file.count; i++) {
        const char *name = w->file.tensor[i].name;
        const size_t n = strlen(name);
        if (n >= m && strcmp(name + n - m, end) == 0) return true;
    }
    return false;
}

/* Refuses a file in which no encoder was found. */
static Status refuse_network(Weights *w) {
    static const char *const convolutions[] = {".dwconv.", ".depthwise_conv.", ".conv_dw."};
    for (int i = 0; i < w->file.count; i++)
        for (size_t k = 0; k < sizeof convolutions / sizeof *convolutions; k++)
            if (strstr(w->file.tensor[i].name, convolutions[k]))
                return fail(w->err, ERR_FORMAT,
                            "weights: %s: a convolutional network (ConvNeXt; it has %s) is not "
                            "served: expected a vision transformer",
                            w->path, w->file.tensor[i].name);
    const bool siglip = any_ends_with(w, "embeddings.patch_embedding.bias");
    if (siglip || (any_ends_with(w, "pos_embed") && any_ends_with(w, "patch_embed.proj.weight")))
        return fail(w->err, ERR_FORMAT,
                    "weights: %s: a vision transformer without a class token and without SigLIP's "
                    "pooling head (%s): its features would be no one token: expected the weights "
                    "with their head",
                    w->path, siglip ? "head.probe" : "attn_pool.latent");
    return fail(w->err, ERR_FORMAT,
                "weights: %s: %d tensors, but not of CLIP or DINOv2 or SigLIP: expected "
                "visual.class_embedding, visual.attnpool.positional_embedding, cls_token, "
                "head.probe or attn_pool.latent among them; the first is %s",
                w->path, w->file.count, w->file.count ? w->file.tensor[0].name : "(none)");
}

/* SigLIP 2's NaFlex networks embed patches by a linear layer, and take pictures of any shape. */
static void refuse_naflex(Weights *w) {
    if (weights_axes(w, "vision_model.embeddings.patch_embedding.weight") == 2 ||
        weights_has(w, "embeds.proj.weight"))
        w->status = fail(w->err, ERR_FORMAT,
                         "weights: %s: a NaFlex network of SigLIP 2, whose patches come from "
                         "pictures of any shape, is not served: expected SigLIP or SigLIP 2 of a "
                         "fixed resolution",
                         w->path);
}

Status encoder_shape(EncoderShape *out, Weights *w) {
    EncoderShape *s = out;
    *s = (EncoderShape){0};
    if (weights_unwrap(w) != OK || unserved_refuse(w) != OK) return w->status;
    if (weights_has(w, "visual.class_embedding") ||
        weights_has(w, "vision_model.embeddings.class_embedding")) {
        s->kind = ENCODER_CLIP_VIT;
        s->hugging_face = !weights_has(w, "visual.class_embedding");
    } else if (weights_has(w, "visual.attnpool.positional_embedding")) {
        s->kind = ENCODER_CLIP_RESNET;
    } else if (weights_has(w, "cls_token") || weights_has(w, "embeddings.cls_token")) {
        dino_kind(s, w);
        if (s->kind == ENCODER_DINOV2) unserved_plain_vit(w);
    } else if (weights_has(w, "vision_model.head.probe") || weights_has(w, "attn_pool.latent")) {
        s->kind = ENCODER_SIGLIP;
        s->timm = weights_has(w, "attn_pool.latent");
        s->hugging_face = !s->timm;
        refuse_naflex(w);
    } else {
        w->status = refuse_network(w);
    }
    if (w->status == OK) kind_of(s)->shape(s, w);
    if (w->status == OK && encoder_is_clip(s->kind)) text_shape(s, w);
    return w->status;
}

void encoder_describe(char text[160], const EncoderShape *s) {
    static const char *const kinds[] = {"CLIP vision transformer", "CLIP residual network",
                                        "DINOv2 vision transformer", "DINOv3 vision transformer",
                                        "SigLIP vision transformer"};
    const PublishedShape *p = published_shape(s);
    char registers[48] = "";
    if (s->registers)
        snprintf(registers, sizeof registers, " with %lld registers", (long long)s->registers);
    snprintf(text, 160, "%s%s", p ? p->name : kinds[s->kind], registers);
}

/* --- the encoder ------------------------------------------------------------------------------ */

struct Encoder {
    Weights weights;
    EncoderShape shape;
    EncoderOptions options;
    const NetworkKind *kind;
    Network *network;
    const Ops *ops;
    Queue *queue;
    EncoderFacts facts;
    int side;        /* side of its images */
    int64_t batch;   /* most images at a time */
    Buffer input[2]; /* pixels of a batch, in turns */
    Buffer rows;     /* of whole pictures: what lies between the two passes of their resize */
    Buffer squares;  /* of whole pictures: their pixels, resized */
    Buffer images;   /* the pixels normalised; no memory where they are when they come */
    Buffer features;
    Parts own, network_parts; /* the memory that batch_prepare asked for */
    float *floats;            /* pixels of a batch, on the host, where they are floats; else NULL */
    Queue *copies; /* the branch of the queue on which the next pixels come; NULL: none yet */
    int turn;
    bool whole; /* pictures come whole */
};

/* --- precision --------------------------------------------------------------------------------- */

static const char *const precisions[] = {"fp32", "fp16", "bf16"};

const char *precision_name(Precision precision) {
    return precisions[precision];
}

Status encoder_precision(Precision *out, const char *text, const Ops *ops, Error *err) {
    if (strcmp(text, "auto") == 0) text = ops->precision;
    for (int i = 0; i < 3; i++)
        if (strcmp(text, precisions[i]) == 0) {
            *out = (Precision)i;
            return OK;
        }
    return fail(err, ERR_USAGE, "--precision %s: encoders have fp32, fp16 and bf16", text);
}

const char *precision_advice(Precision precision) {
    return precision == PRECISION_FP32   ? "are these weights whole?"
           : precision == PRECISION_FP16 ? "try --precision bf16 or fp32, for float16 ends at 65504"
                                         : "try --precision fp32; if that fails too, are these "
                                           "weights whole?";
}

/* --- a network --------------------------------------------------------------------------------- */

static Status open_network(Encoder *e, const char *path, Error *err) {
    Status st = e->ops->mem.queue_open(e->ops->device, &e->queue, err);
    if (st == OK) st = weights_open(&e->weights, e->ops, e->queue, path, err);
    e->weights.precision = e->options.precision;
    if (st == OK) st = encoder_shape(&e->shape, &e->weights);
    const FactOptions known = {e->options.given, e->options.image_size, e->options.model};
    if (st == OK) st = encoder_facts(&e->facts, &e->shape, TOWER_IMAGE, &e->weights, &known, err);
    if (st != OK) return st;
    e->side = e->facts.rule.crop;
    e->whole = e->options.whole && e->ops->encode.resize && picture_has_room(&e->facts.rule);
    e->kind = kind_of(&e->shape);
    e->network = e->kind->load(&e->weights, &e->shape, &e->facts, e->options.feature);
    if (encoder_is_clip(e->shape.kind)) text_pass_over(&e->weights, &e->shape);
    return weights_finish(&e->weights);
}

/* --- memory of a batch ------------------------------------------------------------------------ */

static int64_t pixels_of(const Encoder *e) {
    return 3 * (int64_t)e->side * e->side;
}

static bool takes_floats(const Encoder *e) {
    return e->facts.rule.weights == RESIZE_FLOATS;
}

/* Returns the memory of a batch's pixels, images and features. */
static Parts own_parts(Encoder *e, int64_t B) {
    const int64_t floats = B * (int64_t)sizeof(float),
                  pixels = takes_floats(e) ? floats * pixels_of(e) : B * pixels_of(e),
                  input = e->whole ? B * PICTURE_BYTES : pixels;
    return (Parts){{{&e->input[0], input},
                    {&e->input[1], input},
                    {&e->rows, e->whole ? input : 0},
                    {&e->squares, e->whole ? pixels : 0},
                    {&e->images, takes_floats(e) ? 0 : floats * pixels_of(e)},
                    {&e->features, floats * encoder_features(e)}},
                   6};
}

static int64_t batch_bytes(Encoder *e, int64_t B) {
    const Parts own = own_parts(e, B), network = e->kind->parts(e->network, e->ops, B);
    return parts_bytes(&own) + parts_bytes(&network);
}

/* Chooses a batch: no more than half of the free memory, for other programs may want some. */
static int64_t choose_batch(Encoder *e) {
    MemoryUse use;
    e->ops->mem.memory(e->ops->device, &use);
    int64_t B = use.total ? AUTO_BATCH_DEVICE : AUTO_BATCH;
    if (e->options.images > 0 && e->options.images < B) B = e->options.images;
    while (use.total && B > 1 && batch_bytes(e, B) > use.free / 2) B /= 2;
    return B;
}

static void batch_release(Encoder *e) {
    parts_free(&e->own, e->ops);
    parts_free(&e->network_parts, e->ops);
    free(e->floats);
    e->floats = NULL;
}

static Status batch_prepare(Encoder *e, Error *err) {
    e->own = own_parts(e, e->batch);
    e->network_parts = e->kind->parts(e->network, e->ops, e->batch);
    Status st = parts_alloc(&e->network_parts, e->ops, err);
    if (st == OK) st = parts_alloc(&e->own, e->ops, err);
    if (st == OK && takes_floats(e) && !(e->floats = malloc((size_t)e->own.part[0].bytes)))
        st = fail(err, ERR_MEMORY, "encoder: out of memory");
    return st;
}

/* Takes memory for the batch that was asked for, or for half of it, and so on. */
static Status open_batch(Encoder *e, Error *err) {
    Status st;
    e->batch = e->options.batch ? e->options.batch : choose_batch(e);
    const int64_t wanted = e->batch;
    while ((st = batch_prepare(e, err)) == ERR_MEMORY && e->batch > 1) {
        batch_release(e);
        e->batch /= 2;
    }
    if (st == OK && e->batch < wanted)
        weights_say(&e->weights,
                    "memory: %s has none for %lld images at a time: it encodes %lld at a time",
                    e->ops->kind, (long long)wanted, (long long)e->batch);
    return st == OK ? e->weights.status : st;
}

Status encoder_open(Encoder **out, const Ops *ops, const char *path, const EncoderOptions *options,
                    Error *err) {
    Encoder *e = *out = calloc(1, sizeof *e);
    if (!e) return fail(err, ERR_MEMORY, "encoder: out of memory");
    e->ops = ops;
    e->options = *options;
    Status st = open_network(e, path, err);
    if (st == OK) st = open_batch(e, err);
    if (st == OK) st = ops->mem.wait(e->queue, err);
    if (st != OK) {
        encoder_close(e);
        *out = NULL;
    }
    return st;
}

void encoder_close(Encoder *e) {
    if (!e) return;
    const DeviceOps *mem = &e->ops->mem;
    if (e->queue) mem->wait(e->queue, NULL); /* what a failed caller did not wait for */
    batch_release(e);
    if (e->network) e->kind->free(e->network);
    weights_close(&e->weights);
    mem->queue_close(e->queue);
    free(e);
}

const EncoderShape *encoder_info(const Encoder *e) {
    return &e->shape;
}

void encoder_made(const Encoder *e, Made *made) {
    const TensorFile *file = &e->weights.file;
    char name[MADE_NAME], what[48];
    for (int i = 0; i <= file->shards; i++) {
        const FileMap *map = i ? &file->shard[i - 1].map : &file->map;
        if (i) snprintf(name, sizeof name, "--weights[%d]", i);
        else snprintf(name, sizeof name, "--weights");
        snprintf(what, sizeof what, "%lld bytes", (long long)map->bytes);
        if (map->bytes) made_add_bytes(made, name, what, map->data, map->bytes);
    }
    for (int i = 0; i < FACTS; i++) {
        char fact[96];
        fact_text(fact, &e->facts, (Fact)i);
        if (e->facts.used[i]) made_add(made, fact_flag((Fact)i), "%s", fact);
    }
    made_add(made, "--precision", "%s", precision_name(e->options.precision));
    made_add(made, "odd margins", "%s", e->facts.rule.crop_down ? "rounded down" : "to even");
}

const char *encoder_said(const Encoder *e) {
    return weights_said(&e->weights);
}

int64_t encoder_features(const Encoder *e) {
    return e->kind->features(e->network);
}

int64_t encoder_batch(const Encoder *e) {
    return e->batch;
}

const EncoderFacts *encoder_known(const Encoder *e) {
    return &e->facts;
}

void encoder_image_size(const Encoder *e, int *resize, int *side) {
    *resize = e->facts.rule.resize;
    *side = e->facts.rule.crop;
}

/* --- running ---------------------------------------------------------------------------------- */

static Status check_batch(const Encoder *e, int64_t B, Error *err) {
    if (B >= 1 && B <= e->batch) return OK;
    return fail(err, ERR_ARG, "encoder: %lld images: expected 1 to %lld", (long long)B,
                (long long)e->batch);
}

/* Enqueues features = network(images) and their copy to the host. */
static void run_network(Encoder *e, float *features, const float *images, int64_t B) {
    const int64_t d = encoder_features(e);
    float *on_device = e->features.data;
    e->kind->run(e->network, e->ops, e->queue, on_device, images, B);
    if (e->options.normalize) e->ops->encode.normalize(e->queue, on_device, B, d);
    e->ops->mem.to_host(e->queue, features, on_device, B * d * (int64_t)sizeof *features);
}

/* Normalises pixels that are floats already, on the host. */
static void normalize_floats(const Encoder *e, const float *pixels, int64_t n) {
    const EncoderFacts *f = &e->facts;
    for (int64_t i = 0; i < n; i += 3)
        for (int c = 0; c < 3; c++) e->floats[i + c] = (pixels[i + c] - f->mean[c]) / f->std[c];
}

/* Returns the memory that takes the next pictures, and opens the branch on which they come. That branch left the queue
 * before the last batch was enqueued. So pixels come while that batch is encoded, into the buffer that the batch before
 * it has read:
 *
 *     copies     pixels n       pixels n + 1        pixels n + 2
 *     queue      batch n - 1    batch n             batch n + 1     */
static void *next_input(Encoder *e) {
    void *input = e->input[e->turn].data;
    e->turn = !e->turn;
    if (!e->copies) e->copies = e->ops->mem.branch(e->queue);
    return input;
}

/* Lets the queue wait for the pictures that came. */
static void input_came(Encoder *e) {
    e->ops->mem.join(e->queue);
    e->copies = e->ops->mem.branch(e->queue);
}

/* Enqueues features = network(pixels), and a mark behind them. */
static void run_pixels(Encoder *e, float *features, const uint8_t *pixels, int64_t B,
                       int64_t *mark) {
    float *images = e->images.data;
    e->ops->encode.pixels(e->queue, images, pixels, e->facts.mean, e->facts.std, B, e->side);
    run_network(e, features, images, B);
    e->ops->mem.mark(e->queue, mark);
}

Status encoder_start(Encoder *e, float *features, const void *pixels, int64_t B, int64_t *mark,
                     Error *err) {
    const DeviceOps *mem = &e->ops->mem;
    const int64_t n = B * pixels_of(e);
    const Status st = check_batch(e, B, err);
    if (st != OK) return st;
    void *input = next_input(e);
    if (e->floats) {
        normalize_floats(e, pixels, n);
        mem->to_device(e->copies, input, e->floats, n * (int64_t)sizeof *e->floats);
        input_came(e);
        run_network(e, features, input, B);
        mem->mark(e->queue, mark);
    } else {
        mem->to_device(e->copies, input, pixels, n);
        input_came(e);
        run_pixels(e, features, input, B, mark);
    }
    return OK; /* encoder_reach tells of failures */
}

int64_t encoder_picture_bytes(const Encoder *e) {
    return e->whole ? PICTURE_BYTES : 0;
}

Status encoder_start_whole(Encoder *e, float *features, const uint8_t *const *pictures, int64_t B,
                           int64_t *mark, Error *err) {
    const Status st = check_batch(e, B, err);
    if (st != OK) return st;
    if (!e->whole) return fail(err, ERR_ARG, "encoder: pictures come as squares, not whole");
    uint8_t *input = next_input(e);
    int64_t bytes = 0;
    for (int64_t b = 0; b < B; b++) {
        PictureHead head;
        memcpy(&head, pictures[b], sizeof head);
        e->ops->mem.to_device(e->copies, input + b * PICTURE_BYTES, pictures[b], head.bytes);
        bytes += head.bytes;
    }
    input_came(e);
    e->ops->encode.resize(e->queue, e->squares.data, e->rows.data, input, PICTURE_BYTES, bytes, B,
                          e->side);
    run_pixels(e, features, e->squares.data, B, mark);
    return OK;
}

Status encoder_reach(Encoder *e, int64_t mark, Error *err) {
    return e->ops->mem.reach(e->queue, mark, err);
}

bool encoder_reached(const Encoder *e, int64_t mark) {
    return e->ops->mem.reached(e->queue, mark);
}

void encoder_drop(Encoder *e) {
    e->ops->mem.wait(e->queue, NULL);
}

Status encoder_run(Encoder *e, float *features, const void *pixels, int64_t B, Error *err) {
    int64_t mark;
    const Status st = encoder_start(e, features, pixels, B, &mark, err);
    return st == OK ? e->ops->mem.wait(e->queue, err) : st;
}

Status encoder_run_images(Encoder *e, float *features, const float *images, int64_t B, Error *err) {
    const Status st = check_batch(e, B, err);
    if (st != OK) return st;
    float *input = e->floats ? e->input[0].data : e->images.data;
    e->ops->mem.to_device(e->queue, input, images, B * pixels_of(e) * (int64_t)sizeof *images);
    run_network(e, features, input, B);
    return e->ops->mem.wait(e->queue, err);
}
