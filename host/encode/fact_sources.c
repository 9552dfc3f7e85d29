/* fact_sources.c - the facts of an encoder from published networks, configurations and flags. */
#include "host/encode/fact_sources.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/encode/models.h"

const ActivationName activation_names[ACTIVATIONS] = {{"QuickGELU", "quickgelu", ACT_QUICK_GELU},
                                                      {"GELU", "gelu", ACT_GELU},
                                                      {"GELU (tanh)", "gelu_tanh", ACT_GELU_TANH},
                                                      {"SiLU", "silu", ACT_SILU}};

PRINTF_LIKE(3, 4)
static void set_source(FactSearch *s, Fact fact, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(s->out->source[fact], sizeof s->out->source[fact], format, args);
    va_end(args);
    s->assumed[fact] = false;
    s->refused[fact][0] = '\0';
}

PRINTF_LIKE(3, 4)
static void refuse(FactSearch *s, Fact fact, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(s->refused[fact], sizeof s->refused[fact], format, args);
    va_end(args);
}

/* --- published networks ----------------------------------------------------------------------- */

/* Returns whether the file is OpenCLIP's, whose names are OpenAI's and whose activation either: a
 * checkpoint of its training, or one under the name that its files have on hubs. */
static bool is_open_clip(const FactSearch *s) {
    const char *front = s->w->front ? s->w->front : "", *slash = strrchr(s->w->path, '/');
    const char *name = slash ? slash + 1 : s->w->path;
    const bool clip = s->shape->kind == ENCODER_CLIP_VIT || s->shape->kind == ENCODER_CLIP_RESNET;
    return clip && !s->shape->hugging_face &&
           (strstr(front, "module.") || strncmp(front, "state_dict/", 11) == 0 ||
            strncmp(name, "open_clip_", 10) == 0);
}

/* Takes what its own tensors say of DINOv3, and how the library of its naming runs it: the original
 * squashes to 256, transformers to 224, timm crops. */
static void assume_dinov3(FactSearch *s, const PublishedShape *p) {
    EncoderFacts *f = s->out;
    const EncoderShape *shape = s->shape;
    const int64_t stored = 4 * shape->periods;
    const int side = shape->hugging_face ? 224 : 256;
    f->rope_base = 100.0;
    f->rule = (ResizeRule){.resize = side,
                           .crop = side,
                           .squash = !shape->timm,
                           .filter = shape->timm ? RESIZE_BICUBIC : RESIZE_BILINEAR,
                           .weights = shape->timm           ? RESIZE_PILLOW
                                      : shape->hugging_face ? RESIZE_FLOATS
                                                            : RESIZE_TORCHVISION};
    if (!p && f->width == 4096) f->heads = 32; /* as timm takes it, which knows no other width */
    if (shape->gated) set_source(s, FACT_ACTIVATION, "the tensors");
    if (!stored) return;
    f->heads = f->width % stored ? 0 : f->width / stored;
    f->rope_base = 0.0;
    set_source(s, FACT_HEADS, "the tensors");
    set_source(s, FACT_ROPE, "the tensors");
    if (!f->heads)
        refuse(s, FACT_HEADS,
               "weights: %s: %lld periods of rotary positions are for heads of %lld, which do not "
               "divide the width %lld",
               s->w->path, (long long)shape->periods, (long long)stored, (long long)f->width);
}

/* Facts that the published networks of a kind share. */
typedef struct {
    const char *family, *owner;
    double eps;
    Activation activation;
    bool squash;
    float mean[3], std[3];
} FamilyFacts;

#define CLIP_COLOURS                          \
    {0.48145466f, 0.4578275f, 0.40821073f}, { \
        0.26862954f, 0.26130258f, 0.27577711f \
    }
static const FamilyFacts families[] = {
    [ENCODER_CLIP_VIT] = {"CLIP", "OpenAI", 1e-5, ACT_QUICK_GELU, false, CLIP_COLOURS},
    [ENCODER_CLIP_RESNET] = {"CLIP", "OpenAI", 1e-5, ACT_QUICK_GELU, false, CLIP_COLOURS},
    [ENCODER_DINOV2] = {"DINOv2",
                        "Meta",
                        1e-6,
                        ACT_GELU,
                        false,
                        {0.485f, 0.456f, 0.406f}, /* ImageNet's */
                        {0.229f, 0.224f, 0.225f}},
    [ENCODER_DINOV3] = {"DINOv3",
                        "Meta",
                        1e-5,
                        ACT_GELU,
                        true,
                        {0.485f, 0.456f, 0.406f},
                        {0.229f, 0.224f, 0.225f}},
    [ENCODER_SIGLIP] = {
        "SigLIP", "Google", 1e-6, ACT_GELU_TANH, true, {0.5f, 0.5f, 0.5f}, {0.5f, 0.5f, 0.5f}}};

/* Returns the activation with which timm, and so open_clip, runs SigLIP of these sizes: the erf form of
 * GELU for all but ViT-B/32, ViT-L/16 of 512 pixels, so400m/16 and g-opt. The features differ by
 * 1e-3 from those of the tanh form, with which the weights were trained. */
static Activation timm_activation(const EncoderShape *s) {
    const bool tanh = s->patch == 32 || (s->width == 1024 && s->grid == 32) ||
                      (s->width == 1152 && s->patch == 16) || s->width == 1536;
    return tanh ? ACT_GELU_TANH : ACT_GELU;
}

/* Sets the sides of pictures that published networks with these positions take. */
static void assume_size(FactSearch *s) {
    const EncoderShape *shape = s->shape;
    int resize = (int)(shape->grid * shape->patch), crop = resize;
    bool known = true;
    if (shape->kind == ENCODER_DINOV2 && shape->patch == 14 && shape->grid == 37) {
        resize = 256; /* released, trained at 518: short side 256, crop 224, as TURTLE */
        crop = 224;
        known = false;
    }
    if (shape->kind == ENCODER_SIGLIP && shape->patch == 14 && shape->grid == 27) {
        resize = crop = 384; /* six pixels belong to no patch; timm has 378 too */
        known = false;
    }
    s->out->rule.resize = resize;
    s->out->rule.crop = crop;
    if (known && shape->grid) set_source(s, FACT_SIZE, "the tensors");
}

void facts_assume(FactSearch *s) {
    EncoderFacts *f = s->out;
    const EncoderShape *shape = s->shape;
    const FamilyFacts *family = &families[shape->kind];
    const PublishedShape *p = published_shape(shape);
    const int64_t head = s->tower == TOWER_TEXT ? HEAD_DIM
                         : p                    ? p->head_width
                                                : published_head_width(shape->kind, f->width);
    snprintf(s->like, sizeof s->like, "%s of %s", p ? p->name : family->family,
             p ? p->origin : family->owner);
    f->heads = f->width % head ? 0 : f->width / head;
    f->activation = p ? p->activation : family->activation;
    if (shape->kind == ENCODER_SIGLIP && !shape->hugging_face)
        f->activation = timm_activation(shape);
    if (!encoder_is_clip(shape->kind) && shape->gated) f->activation = ACT_SILU;
    f->eps = family->eps;
    memcpy(f->mean, family->mean, sizeof f->mean);
    memcpy(f->std, family->std, sizeof f->std);
    f->rule = (ResizeRule){.squash = family->squash};
    for (int i = 0; i < FACTS; i++) {
        set_source(s, (Fact)i, "assumed: as %s", s->like);
        s->assumed[i] = true;
    }
    if (shape->kind == ENCODER_SIGLIP && !shape->hugging_face) {
        set_source(s, FACT_ACTIVATION, "assumed: as timm runs %s", s->like);
        s->assumed[FACT_ACTIVATION] = true;
    }
    assume_size(s);
    if (shape->kind == ENCODER_DINOV3) assume_dinov3(s, p);
    const bool archive = encoder_is_clip(shape->kind) && weights_has(s->w, "input_resolution");
    for (int i = 0; i < FACTS && (archive || s->options->published); i++)
        if (s->assumed[i]) set_source(s, (Fact)i, "%s", archive ? "OpenAI's archive" : "published");
    if (!f->heads && !*s->refused[FACT_HEADS])
        refuse(s, FACT_HEADS,
               "weights: %s: how many heads of what width a tower of width %lld has is not known: "
               "expected --heads N, or --config FILE, or config.json%s beside it",
               s->w->path, (long long)f->width,
               shape->kind == ENCODER_SIGLIP ? " of Hugging Face" : " or open_clip_config.json");
    if (s->assumed[FACT_ACTIVATION] && is_open_clip(s))
        refuse(s, FACT_ACTIVATION,
               "weights: %s: the state_dict of OpenCLIP does not say whether it has GELU or "
               "QuickGELU: expected --activation gelu, or quickgelu (models -quickgelu, DFN, "
               "MetaCLIP, OpenAI), or open_clip_config.json beside it",
               s->w->path);
}

/* --- configuration files ---------------------------------------------------------------------- */

static bool find_activation(Activation *out, const char *name) {
    static const struct {
        const char *name;
        Activation activation;
    } names[] = {{"quick_gelu", ACT_QUICK_GELU},
                 {"quickgelu", ACT_QUICK_GELU},
                 {"gelu", ACT_GELU},
                 {"gelu_python", ACT_GELU},
                 {"gelu_tanh", ACT_GELU_TANH},
                 {"gelu_new", ACT_GELU_TANH},
                 {"gelu_pytorch_tanh", ACT_GELU_TANH},
                 {"gelu_fast", ACT_GELU_TANH},
                 {"gelu_accurate", ACT_GELU_TANH},
                 {"silu", ACT_SILU},
                 {"swish", ACT_SILU}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i].name, name) == 0) {
            *out = names[i].activation;
            return true;
        }
    return false;
}

static void set_config(FactSearch *s, Fact fact, const char *name, bool filled) {
    set_source(s, fact, filled ? "%s, which leaves it at its default" : "%s", name);
}

static Status take_tower(FactSearch *s, const ConfigFile *file, Error *err) {
    EncoderFacts *f = s->out;
    const ConfigTower *t = s->tower == TOWER_TEXT ? &file->config.text : &file->config.image;
    if (!t->said) return OK;
    const bool siglip = s->shape->kind == ENCODER_SIGLIP && s->tower == TOWER_IMAGE;
    if (*t->refused)
        return fail(err, ERR_FORMAT, "config: %s: %s: not served", file->name, t->refused);
    if (*t->timm_model && !(siglip && strstr(t->timm_model, "siglip")))
        return fail(err, ERR_FORMAT,
                    "config: %s: timm_model_name is %s: expected null%s: not served", file->name,
                    t->timm_model, siglip ? " or a network of SigLIP" : "");
    if (siglip && !*t->timm_model && strcmp(file->config.family, "open_clip") == 0)
        return fail(err, ERR_FORMAT,
                    "config: %s: of CLIP, for there is no timm_model_name, but %s holds SigLIP: "
                    "name its own configuration with --config FILE",
                    file->name, s->w->path);
    const int64_t heads = t->heads ? t->heads : t->head_width ? f->width / t->head_width : 0;
    if (heads || t->head_width) {
        f->heads = heads;
        set_config(s, FACT_HEADS, file->name, t->filled & CONFIG_HEADS);
        if (!t->heads && f->width % t->head_width)
            refuse(s, FACT_HEADS,
                   "config: %s: head_width %lld does not divide the width %lld: name the number "
                   "with --heads",
                   file->name, (long long)t->head_width, (long long)f->width);
    }
    if (*t->activation && f->used[FACT_ACTIVATION]) {
        set_config(s, FACT_ACTIVATION, file->name, t->filled & CONFIG_ACTIVATION);
        if (!find_activation(&f->activation, t->activation))
            refuse(s, FACT_ACTIVATION,
                   "config: %s: the activation %s is not served: expected quick_gelu, gelu or "
                   "gelu_pytorch_tanh (--activation overrules it)",
                   file->name, t->activation);
    }
    /* transformers: 2 stands in old files for the largest id, whatever that is */
    if (s->tower == TOWER_TEXT && t->end_token != 2) f->end_token = t->end_token;
    if (t->eps > 0.0) {
        f->eps = t->eps;
        set_config(s, FACT_EPS, file->name, t->filled & CONFIG_EPS);
    }
    if (t->rope_base > 0.0 && s->out->used[FACT_ROPE] && !s->shape->periods) {
        f->rope_base = t->rope_base;
        set_config(s, FACT_ROPE, file->name, t->filled & CONFIG_ROPE);
    }
    return OK;
}

/* Takes the size of the picture and how it gets there. */
static void take_size(FactSearch *s, const ConfigFile *file) {
    const EncoderConfig *c = &file->config;
    ResizeRule *rule = &s->out->rule;
    const bool model = s->shape->kind != ENCODER_DINOV2;
    /* DINOv2's image_size is that of its positions, not of the pictures */
    const int64_t side = c->side ? c->side : model ? c->image.image_size : 0;
    if (side && !*s->refused[FACT_SIZE]) {
        rule->crop = (int)side;
        rule->resize = (int)(c->side && c->resize ? c->resize : side);
        set_source(s, FACT_SIZE, "%s", file->name);
    }
}

/* Takes from `file` the facts of pictures that no earlier file has. */
static Status take_pictures(FactSearch *s, const ConfigFile *file, bool seen[FACTS], Error *err) {
    const EncoderConfig *c = &file->config;
    EncoderFacts *f = s->out;
    if (*c->refused) return fail(err, ERR_FORMAT, "config: %s: %s", file->name, c->refused);
    for (int i = 0; i < 3 && c->mean_said && !seen[FACT_MEAN]; i++) f->mean[i] = (float)c->mean[i];
    for (int i = 0; i < 3 && c->std_said && !seen[FACT_STD]; i++) f->std[i] = (float)c->std[i];
    if (c->mean_said && !seen[FACT_MEAN]) set_source(s, FACT_MEAN, "%s", file->name);
    if (c->std_said && !seen[FACT_STD]) set_source(s, FACT_STD, "%s", file->name);
    if (*c->filter && !seen[FACT_FILTER]) {
        const bool bilinear = strcmp(c->filter, "bilinear") == 0;
        f->rule.filter = bilinear ? RESIZE_BILINEAR : RESIZE_BICUBIC;
        f->rule.weights = c->floats        ? RESIZE_FLOATS
                          : c->torchvision ? RESIZE_TORCHVISION
                                           : RESIZE_PILLOW;
        set_source(s, FACT_FILTER, "%s", file->name);
        if (!bilinear && strcmp(c->filter, "bicubic") != 0)
            refuse(s, FACT_FILTER,
                   "config: %s: interpolation %s is not served: expected bicubic or bilinear "
                   "(--interpolation overrules it)",
                   file->name, c->filter);
    }
    if (*c->fit && !seen[FACT_FIT]) {
        f->rule.squash = strcmp(c->fit, "squash") == 0;
        f->rule.crop_down = c->crop_down;
        set_source(s, FACT_FIT, "%s", file->name);
        if (!f->rule.squash && strcmp(c->fit, "crop") != 0)
            refuse(s, FACT_FIT,
                   "config: %s: pictures fitted by %s are not served: expected crop or squash "
                   "(--resize overrules it)",
                   file->name, c->fit);
    }
    if (!seen[FACT_SIZE]) take_size(s, file);
    seen[FACT_MEAN] |= c->mean_said;
    seen[FACT_STD] |= c->std_said;
    seen[FACT_FILTER] |= *c->filter != 0;
    seen[FACT_FIT] |= *c->fit != 0;
    seen[FACT_SIZE] |= c->side != 0; /* image_size gives way to what a processor says */
    return OK;
}

Status facts_from_configs(FactSearch *s, Error *err) {
    bool seen[FACTS] = {false};
    Status st = config_files_read(&s->files, s->shape, s->w, s->options->given.config, err);
    if (st == OK && s->files.model >= 0) st = take_tower(s, &s->files.file[s->files.model], err);
    for (int i = 0; st == OK && s->tower == TOWER_IMAGE && i < s->files.count; i++)
        st = take_pictures(s, &s->files.file[i], seen, err);
    return st;
}

/* --- flags ------------------------------------------------------------------------------------ */

/* Reads R,G,B, or one number for the three. */
static Status parse_colour(float out[3], const char *flag, const char *text, bool positive,
                           Error *err) {
    int n = 0;
    for (const char *at = text; n < 3; n++) {
        char *end = NULL;
        const double x = strtod(at, &end);
        if (end == at || !isfinite(x) || (positive && !((float)x > 0.0f))) break;
        out[n] = (float)x;
        if (!*end && (n == 0 || n == 2)) {
            if (n == 0) out[1] = out[2] = out[0];
            return OK;
        }
        if (*end != ',') break;
        at = end + 1;
    }
    return fail(err, ERR_USAGE, "%s: '%s': expected R,G,B or one number%s", flag, text,
                positive ? ", above 0" : "");
}

/* Marks the flags that are given. */
static void choose_given(bool given[FACTS], const FactOptions *o) {
    const TurtleEncoder *g = &o->given;
    const bool flags[FACTS] = {g->heads != 0,       g->activation != NULL,    g->norm_eps != 0.0,
                               g->rope_base != 0.0, g->mean != NULL,          g->std != NULL,
                               g->resize != NULL,   g->interpolation != NULL, o->image_size != 0};
    memcpy(given, flags, sizeof flags);
}

/* Takes one fact of the options that are given. */
static Status set_flag(FactSearch *s, const FactOptions *options, Fact fact, Error *err) {
    const TurtleEncoder *g = &options->given;
    EncoderFacts *f = s->out;
    ResizeRule *rule = &f->rule;
    switch (fact) {
    case FACT_HEADS: f->heads = g->heads; break;
    case FACT_ACTIVATION:
        for (int i = 0; i < ACTIVATIONS; i++)
            if (strcmp(activation_names[i].flag, g->activation) == 0) {
                f->activation = activation_names[i].activation;
                return OK;
            }
        return fail(err, ERR_USAGE,
                    "--activation: '%s': expected quickgelu, gelu, gelu_tanh or silu",
                    g->activation);
    case FACT_EPS:
        f->eps = g->norm_eps;
        if (!(f->eps > 0.0 && f->eps <= 1.0))
            return fail(err, ERR_USAGE, "--norm_eps: %g: expected a number above 0, up to 1",
                        f->eps);
        break;
    case FACT_ROPE:
        f->rope_base = g->rope_base;
        if (!(f->rope_base > 0.0 && f->rope_base <= 1e12))
            return fail(err, ERR_USAGE, "--rope_base: %g: expected a number above 0, up to 1e12",
                        f->rope_base);
        break;
    case FACT_MEAN: return parse_colour(f->mean, "--mean", g->mean, false, err);
    case FACT_STD: return parse_colour(f->std, "--std", g->std, true, err);
    case FACT_FIT:
        if (strcmp(g->resize, "squash") != 0 && strcmp(g->resize, "crop") != 0)
            return fail(err, ERR_USAGE, "--resize: '%s': expected crop or squash", g->resize);
        if (rule->squash || *s->refused[FACT_FIT] || *g->resize == 's') rule->resize = rule->crop;
        rule->squash = *g->resize == 's';
        break;
    case FACT_FILTER:
        if (strcmp(g->interpolation, "bicubic") != 0 && strcmp(g->interpolation, "bilinear") != 0)
            return fail(err, ERR_USAGE, "--interpolation: '%s': expected bicubic or bilinear",
                        g->interpolation);
        rule->filter = strcmp(g->interpolation, "bicubic") ? RESIZE_BILINEAR : RESIZE_BICUBIC;
        break;
    case FACT_SIZE: {
        const int64_t side = options->image_size;
        if (side < 1 || side > 4096)
            return fail(err, ERR_ARG, "--image_size %lld: expected 1 to 4096", (long long)side);
        rule->resize = (int)least((side * rule->resize + rule->crop / 2) / rule->crop, INT_MAX);
        rule->crop = (int)side;
        break;
    }
    case FACTS: break;
    }
    return OK;
}

Status facts_from_flags(FactSearch *s, Error *err) {
    static const Fact order[FACTS] = {FACT_HEADS, FACT_ACTIVATION, FACT_EPS,
                                      FACT_ROPE,  FACT_MEAN,       FACT_STD,
                                      FACT_SIZE,  FACT_FILTER,     FACT_FIT};
    bool given[FACTS];
    Status st = OK;
    choose_given(given, s->options);
    for (int i = 0; st == OK && i < FACTS; i++) {
        const Fact fact = order[i];
        char before[96], after[96], source[200];
        if (!given[fact]) continue;
        if (!s->out->used[fact] && s->tower == TOWER_IMAGE)
            return fail(err, ERR_USAGE, "%s: %s has no such choice: %s", fact_flag(fact),
                        s->w->path,
                        fact == FACT_ROPE ? "it has no rotary positions"
                        : s->shape->kind == ENCODER_CLIP_RESNET
                            ? "it is a residual network, with ReLU and batch norms"
                            : "its MLPs are SwiGLU");
        fact_text(before, s->out, fact);
        snprintf(source, sizeof source, "%s", s->out->source[fact]);
        const bool known = !s->assumed[fact], refused = *s->refused[fact] != 0;
        st = set_flag(s, s->options, fact, err);
        fact_text(after, s->out, fact);
        if (st == OK && known && fact != FACT_SIZE && (refused || strcmp(before, after) != 0))
            weights_say(s->w, "encoder: %s %s overrules %s%s%s", fact_flag(fact), after, source,
                        refused ? "" : ", which says ", refused ? "" : before);
        if (st == OK && known && fact == FACT_SIZE && strcmp(before, after) != 0 &&
            strcmp(source, "the tensors") != 0 && !s->options->published)
            weights_say(s->w, "encoder: %s %s overrules %s, which says %s", fact_flag(fact), after,
                        source, before);
        set_source(s, fact, "%s", fact_flag(fact));
    }
    return st;
}

/* --- the table of published encoders ---------------------------------------------------------- */

Status facts_from_table(FactSearch *s, Error *err) {
    const PublishedModel *m = s->options->published;
    bool given[FACTS];
    Status st = OK;
    if (!m) return OK;
    FactOptions table = {.given = m->facts, .published = m};
    if (s->out->rule.crop != m->pixels) table.image_size = m->pixels;
    if (s->tower == TOWER_TEXT) table.given.heads = 0; /* those of images */
    choose_given(given, &table);
    for (int i = 0; st == OK && i < FACTS; i++) {
        if (!given[i] || !s->out->used[i]) continue;
        st = set_flag(s, &table, (Fact)i, err);
        set_source(s, (Fact)i, "published");
    }
    return st;
}
