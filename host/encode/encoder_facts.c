/* encoder_facts.c - the facts of an encoder that its tensors do not say. */
#include "host/encode/encoder_facts.h"

#include <string.h>

#include "host/encode/fact_sources.h"

/* --- facts as words --------------------------------------------------------------------------- */

static const struct {
    const char *name, *flag;
} facts_table[FACTS] = {{"heads", "--heads"},
                        {"activation", "--activation"},
                        {"norm_eps", "--norm_eps"},
                        {"rope_base", "--rope_base"},
                        {"mean", "--mean"},
                        {"std", "--std"},
                        {"resize", "--resize"},
                        {"interpolation", "--interpolation"},
                        {"image_size", "--image_size"}};

const char *fact_name(Fact fact) {
    return facts_table[fact].name;
}

const char *fact_flag(Fact fact) {
    return facts_table[fact].flag;
}

void fact_text(char text[96], const EncoderFacts *f, Fact fact) {
    const ResizeRule *rule = &f->rule;
    *text = '\0';
    switch (fact) {
    case FACT_HEADS:
        snprintf(text, 96, "%lld of %lld", (long long)f->heads,
                 (long long)(f->heads ? f->width / f->heads : 0));
        break;
    case FACT_ACTIVATION:
        for (int i = 0; i < ACTIVATIONS; i++)
            if (activation_names[i].activation == f->activation)
                snprintf(text, 96, "%s", activation_names[i].text);
        break;
    case FACT_EPS: snprintf(text, 96, "%g", f->eps); break;
    case FACT_ROPE:
        if (f->rope_base > 0.0) snprintf(text, 96, "%g", f->rope_base);
        else snprintf(text, 96, "stored periods");
        break;
    case FACT_MEAN: snprintf(text, 96, "%.7g,%.7g,%.7g", f->mean[0], f->mean[1], f->mean[2]); break;
    case FACT_STD: snprintf(text, 96, "%.7g,%.7g,%.7g", f->std[0], f->std[1], f->std[2]); break;
    case FACT_FIT: snprintf(text, 96, "%s", rule->squash ? "squash" : "crop"); break;
    case FACT_FILTER:
        snprintf(text, 96, "%s%s", rule->filter == RESIZE_BILINEAR ? "bilinear" : "bicubic",
                 rule->weights == RESIZE_TORCHVISION ? " of torchvision"
                 : rule->weights == RESIZE_FLOATS    ? " of floats"
                                                     : "");
        break;
    case FACT_SIZE:
        snprintf(text, 96, rule->resize == rule->crop ? "%d" : "%d of %d", rule->crop,
                 rule->resize);
        break;
    case FACTS: break;
    }
}

/* --- finding ---------------------------------------------------------------------------------- */

/* Marks the facts that this tower has. */
static void choose_used(FactSearch *s) {
    const EncoderShape *shape = s->shape;
    const bool text = s->tower == TOWER_TEXT;
    const bool residual = !text && shape->kind == ENCODER_CLIP_RESNET;
    const bool dinov3 = !text && shape->kind == ENCODER_DINOV3;
    for (int i = 0; i < FACTS; i++) s->out->used[i] = i < FACT_MEAN || !text;
    s->out->used[FACT_ACTIVATION] = !residual && (text || !shape->gated || dinov3);
    s->out->used[FACT_EPS] = !residual;
    s->out->used[FACT_ROPE] = dinov3;
    s->out->width = text ? shape->text_width : shape->width;
}

/* --- all of them ------------------------------------------------------------------------------ */

static Status check_heads(const FactSearch *s, Error *err) {
    const EncoderFacts *f = s->out;
    const int64_t n = f->heads, width = n > 0 && f->width % n == 0 ? f->width / n : 0;
    const int64_t periods = f->used[FACT_ROPE] && f->rope_base == 0.0 ? s->shape->periods : 0;
    if (periods && width > 0 && width != 4 * periods)
        return fail(err, ERR_ARG,
                    "encoder: %s: %lld heads (%s) of a width of %lld each, but its %lld periods of "
                    "rotary positions are for heads of %lld: expected --heads %lld",
                    s->w->path, (long long)n, f->source[FACT_HEADS], (long long)width,
                    (long long)periods, (long long)(4 * periods),
                    (long long)(f->width / (4 * periods)));
    if (f->used[FACT_ROPE] && width % 4)
        return fail(err, ERR_ARG,
                    "encoder: %s: %lld heads (%s) of a width of %lld each: rotary positions of two "
                    "axes expect a multiple of 4",
                    s->w->path, (long long)n, f->source[FACT_HEADS], (long long)width);
    if (width > 0 && width <= MAX_HEAD_DIM) return OK;
    if (!width)
        return fail(err, ERR_ARG,
                    "encoder: %lld heads (%s) do not divide the width %lld of %s: expected --heads "
                    "N, or another --config",
                    (long long)n, f->source[FACT_HEADS], (long long)f->width, s->w->path);
    return fail(err, ERR_ARG,
                "encoder: %lld heads (%s) of a width of %lld each are not served: expected a "
                "width up to %d",
                (long long)n, f->source[FACT_HEADS], (long long)width, MAX_HEAD_DIM);
}

/* Neither mean nor std can be larger for pixels of 0 to 1; those of 0 to 255 would make every picture
 * black. */
static Status check_colours(const FactSearch *s, Error *err) {
    const EncoderFacts *f = s->out;
    for (int i = 0; i < 3; i++) {
        const bool mean = !(f->mean[i] >= 0.0f && f->mean[i] <= 1.0f);
        if (!mean && f->std[i] > 0.0f && f->std[i] <= 1.0f) continue;
        const Fact fact = mean ? FACT_MEAN : FACT_STD;
        char text[96];
        fact_text(text, f, fact);
        return fail(err, ERR_ARG,
                    "encoder: the %s %s (%s): expected that of pixels of 0 to 1: divide one of "
                    "pixels of 0 to 255 by 255",
                    fact_name(fact), text, f->source[fact]);
    }
    return OK;
}

static Status check_size(const FactSearch *s, Error *err) {
    const int64_t side = s->out->rule.crop, patch = s->shape->patch, grid = s->shape->grid;
    /* pixels behind the last patch are dropped */
    const bool siglip = s->shape->kind == ENCODER_SIGLIP,
               rest = siglip || s->shape->kind == ENCODER_DINOV3;
    if (side < patch || (side % patch && !rest) || side > 4096)
        return fail(
            err, ERR_ARG,
            "features: --image_size %lld (%s): expected %s %lld, the side of a patch, up to "
            "4096",
            (long long)side, s->out->source[FACT_SIZE], rest ? "at least" : "a multiple of",
            (long long)patch);
    if (s->out->rule.resize < 1 || s->out->rule.resize > 1 << 16)
        return fail(err, ERR_ARG, "features: pictures resized to %d (%s): expected 1 to 65536",
                    s->out->rule.resize, s->out->source[FACT_SIZE]);
    if (siglip && side / patch != grid && !s->options->image_size)
        return fail(
            err, ERR_ARG,
            "features: pictures of %lld (%s) have %lld x %lld patches, but %s has positions "
            "of %lld x %lld, which its libraries do not interpolate unasked: --image_size "
            "%lld asks for it",
            (long long)side, s->out->source[FACT_SIZE], (long long)(side / patch),
            (long long)(side / patch), s->w->path, (long long)grid, (long long)grid,
            (long long)side);
    if ((siglip || s->shape->kind == ENCODER_CLIP_VIT) && side / patch != grid)
        weights_say(s->w,
                    "encoder: %s: positions of %lld x %lld patches are interpolated to %lld x %lld",
                    s->w->path, (long long)grid, (long long)grid, (long long)(side / patch),
                    (long long)(side / patch));
    return OK;
}

/* Says in one line what was assumed, and which flags say otherwise. */
static void say_assumed(const FactSearch *s) {
    static const char *const before[FACTS] = {[FACT_HEADS] = "heads ",
                                              [FACT_EPS] = "norm eps ",
                                              [FACT_ROPE] = "rope base ",
                                              [FACT_SIZE] = "image size "};
    static const char *const colours[] = {[ENCODER_CLIP_VIT] = "CLIP",
                                          [ENCODER_CLIP_RESNET] = "CLIP",
                                          [ENCODER_DINOV2] = "ImageNet",
                                          [ENCODER_DINOV3] = "ImageNet",
                                          [ENCODER_SIGLIP] = "SigLIP"};
    char values[256] = "", flags[160] = "", text[96];
    size_t v = 0, n = 0;
    for (int i = 0; i < FACTS; i++) {
        if (!s->out->used[i] || !s->assumed[i]) continue;
        fact_text(text, s->out, (Fact)i);
        if (i == FACT_MEAN || i == FACT_STD)
            snprintf(text, sizeof text, "the %s of %s", fact_name((Fact)i),
                     colours[s->shape->kind]);
        v += (size_t)snprintf(values + v, sizeof values - v, "%s%s%s", v ? ", " : "",
                              before[i] ? before[i] : "", text);
        n += (size_t)snprintf(flags + n, sizeof flags - n, " %s", fact_flag((Fact)i));
    }
    if (v)
        weights_say(
            s->w,
            "encoder: %s: %sassumed as in %s, for no configuration says it: %s; --config FILE "
            "or%s if it was trained otherwise",
            s->w->path, s->tower == TOWER_TEXT ? "texts are " : "", s->like, values, flags);
}

Status encoder_facts(EncoderFacts *out, const EncoderShape *shape, Tower tower, Weights *w,
                     const FactOptions *options, Error *err) {
    FactSearch s = {.out = out, .shape = shape, .tower = tower, .w = w, .options = options};
    *out = (EncoderFacts){0};
    if (w->status != OK) return w->status;
    if (options->given.heads < 0)
        return fail(err, ERR_USAGE, "--heads: %lld: expected a number above 0",
                    (long long)options->given.heads);
    choose_used(&s);
    facts_assume(&s);
    Status st = facts_from_table(&s, err);
    if (st == OK && (!options->published || options->given.config))
        st = facts_from_configs(&s, err);
    if (st == OK) st = facts_from_flags(&s, err);
    for (int i = 0; st == OK && i < FACTS; i++)
        if (out->used[i] && *s.refused[i]) st = fail(err, ERR_ARG, "%s", s.refused[i]);
    if (st == OK) st = check_heads(&s, err);
    if (st == OK && tower == TOWER_IMAGE) st = check_colours(&s, err);
    if (st == OK && tower == TOWER_IMAGE) st = check_size(&s, err);
    if (st == OK) say_assumed(&s);
    if (st == OK && shape->kind == ENCODER_SIGLIP && out->activation == ACT_GELU &&
        !options->given.activation && !shape->hugging_face)
        weights_say(w,
                    "encoder: %s: open_clip and timm run these weights with GELU by erf; they were "
                    "trained with its tanh form, which --activation gelu_tanh takes",
                    w->path);
    return st;
}
