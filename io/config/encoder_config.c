/* encoder_config.c - the configuration files of Hugging Face, OpenCLIP and timm. */
#include "io/text/encoder_config.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

#include "io/text/config_values.h"
#include "io/files/file.h"

enum { MAX_BYTES = 16 << 20 };

/* --- facts with one value that is served ------------------------------------------------------ */

static const OneValue hugging_face_values[] = {
    {"num_channels", "3"}, {"quantization_config", "null"}, {0}};
static const OneValue open_clip_values[] = {{"timm_model_name", "null"},
                                            {"hf_model_name", "null"},
                                            {"attentional_pool", "false"},
                                            {"no_ln_pre", "false"},
                                            {"final_ln_after_pool", "false"},
                                            {"ls_init_value", "null"},
                                            {"no_causal_mask", "false"},
                                            {"embed_cls", "false"},
                                            {"proj_bias", "false"},
                                            {"proj_type", "linear"},
                                            {"block_type", "default"},
                                            {"qk_norm", "false"},
                                            {"scaled_cosine_attn", "false"},
                                            {"scale_heads", "false"},
                                            {"scale_attn_inner", "false"},
                                            {"scale_attn", "false"},
                                            {"scale_fc", "false"},
                                            {0}};
static const OneValue picture_values[] = {{"do_rescale", "true"},
                                          {"do_pad", "false"},
                                          {"do_thumbnail", "false"},
                                          {"do_flip_channel_order", "false"},
                                          {0}};
static const OneValue transform_values[] = {{"mode", "RGB"}, {0}};

static bool is(const ConfigParser *p, const char *key) {
    return strcmp(p->key, key) == 0;
}

/* --- towers ----------------------------------------------------------------------------------- */

typedef struct {
    char model_type[CONFIG_TEXT];
    ConfigTower tower;
} Section;

/* A member of Hugging Face's model configurations; false if the key is none. */
static bool take_hugging_face(ConfigParser *p, Section *s) {
    ConfigTower *t = &s->tower;
    bool gated = false;
    if (is(p, "model_type")) config_text(p, s->model_type);
    else if (is(p, "hidden_size")) config_integer(p, &t->width);
    else if (is(p, "num_hidden_layers")) config_integer(p, &t->depth);
    else if (is(p, "num_attention_heads")) config_integer(p, &t->heads);
    else if (is(p, "image_size")) config_side(p, &t->image_size, t->refused);
    else if (is(p, "patch_size")) config_side(p, &t->patch, t->refused);
    else if (is(p, "hidden_act")) config_text(p, t->activation);
    else if (is(p, "layer_norm_eps")) config_real(p, &t->eps);
    else if (is(p, "use_swiglu_ffn")) {
        config_bool(p, &gated);
        t->gated = gated;
    } else return config_one_value(p, hugging_face_values, t->refused);
    return true;
}

static void take_section(ConfigParser *p, Section *s) {
    if (config_is_null(p)) return;
    if (json_peek(&p->r) != '{') return config_wrong(p, "an object");
    s->tower = (ConfigTower){.said = true, .gated = -1};
    json_enter(&p->r, '{');
    while (config_next_key(p))
        if (!take_hugging_face(p, s)) json_skip(&p->r);
}

/* {"eps": 1e-6} or {"approximate": "tanh"} */
static void take_kwargs(ConfigParser *p, ConfigTower *t) {
    char approximate[CONFIG_TEXT] = "";
    if (config_is_null(p)) return;
    if (json_peek(&p->r) != '{') return config_wrong(p, "an object");
    json_enter(&p->r, '{');
    while (config_next_key(p)) {
        if (is(p, "eps")) {
            config_real(p, &t->eps);
        } else if (is(p, "approximate")) {
            config_text(p, approximate);
            snprintf(t->activation, sizeof t->activation, "%s",
                     !strcmp(approximate, "tanh") ? "gelu_tanh" : "gelu");
        } else {
            char value[CONFIG_TEXT] = "", key[48];
            snprintf(key, sizeof key, "%.40s", p->key);
            config_any(p, value);
            config_refuse(t->refused, "%s is %s: not known here", key, value);
        }
    }
}

/* One of OpenCLIP's towers. */
static void take_open_clip(ConfigParser *p, ConfigTower *t, const char *pool) {
    double layers[4] = {0};
    char pool_type[CONFIG_TEXT] = "";
    *t = (ConfigTower){.said = true, .gated = -1};
    if (json_peek(&p->r) != '{') return config_wrong(p, "an object");
    json_enter(&p->r, '{');
    while (config_next_key(p)) {
        if (is(p, "width")) config_integer(p, &t->width);
        else if (is(p, "head_width")) config_integer(p, &t->head_width);
        else if (is(p, "heads")) config_integer(p, &t->heads);
        else if (is(p, "patch_size")) config_side(p, &t->patch, t->refused);
        else if (is(p, "image_size")) config_side(p, &t->image_size, t->refused);
        else if (is(p, "norm_kwargs") || is(p, "act_kwargs")) take_kwargs(p, t);
        else if (is(p, "pool_type")) {
            config_text(p, pool_type);
            if (*pool_type && strcmp(pool_type, pool) != 0)
                config_refuse(t->refused, "pool_type is %s: expected %s", pool_type, pool);
        } else if (is(p, "layers")) { /* of a residual network: blocks of its four stages */
            const int n = config_numbers(p, layers, 4);
            double sum = 0.0;
            for (int i = 0; i < n; i++) sum += layers[i];
            if (!(sum >= 1 && sum <= 65536)) config_wrong(p, "1 to 65536 layers");
            else t->depth = (int64_t)sum;
        } else if (!config_one_value(p, open_clip_values, t->refused)) {
            json_skip(&p->r);
        }
    }
}

/* --- pictures --------------------------------------------------------------------------------- */

typedef struct {
    bool said;
    char processor[CONFIG_TEXT], filter[CONFIG_TEXT], fit[CONFIG_TEXT];
    bool resize, normalize;
    int crop; /* do_center_crop: 1 or 0; -1: not said */
    bool mean_said, std_said, number;
    double mean[3], std[3], factor, crop_pct;
    int64_t size, shortest, side; /* size: of both sides; or a bare number */
    char refused[CONFIG_REFUSAL];
} Pictures;

/* {"shortest_edge": 224}, {"height": 224, "width": 224}, [224, 224] or 224 */
static void take_size(ConfigParser *p, Pictures *x) {
    int64_t height = 0, width = 0, other = 0;
    char key[48] = "";
    if (json_peek(&p->r) != '{') {
        x->number = config_is_number(p);
        config_side(p, &x->size, x->refused);
        return;
    }
    json_enter(&p->r, '{');
    while (config_next_key(p)) {
        if (is(p, "height")) config_integer(p, &height);
        else if (is(p, "width")) config_integer(p, &width);
        else if (is(p, "shortest_edge")) config_integer(p, &x->shortest);
        else {
            config_integer(p, &other);
            if (other) snprintf(key, sizeof key, "%.40s", p->key);
        }
    }
    if (other) snprintf(x->fit, sizeof x->fit, "size with %s", key);
    else if (height != width)
        snprintf(x->fit, sizeof x->fit, "size of %d x %d", (int)height, (int)width);
    x->size = height;
}

static void take_crop_size(ConfigParser *p, Pictures *x) {
    Pictures crop = {0};
    take_size(p, &crop);
    if (*crop.fit || crop.shortest) config_refuse(x->refused, "crop_size is not square");
    x->side = crop.size;
}

/* Pillow's number or the name of a filter, in small letters behind the last dot. */
static void take_filter(ConfigParser *p, char filter[CONFIG_TEXT]) {
    static const char *const names[] = {"nearest", "lanczos", "bilinear",
                                        "bicubic", "box",     "hamming"};
    char text[CONFIG_TEXT] = "";
    int64_t number = -1;
    if (config_is_null(p)) return;
    if (config_is_number(p)) {
        if (!json_integer_value(&p->r, &number) || number < 0 || number > 5)
            return config_wrong(p, "0 to 5");
        snprintf(text, sizeof text, "%s", names[number]);
    } else {
        config_text(p, text);
    }
    const char *dot = strrchr(text, '.');
    snprintf(filter, CONFIG_TEXT, "%s", dot ? dot + 1 : text);
    for (char *c = filter; *c; c++) *c = (char)tolower((unsigned char)*c);
    if (!strcmp(filter, "random"))
        snprintf(filter, CONFIG_TEXT, "bicubic"); /* of training; else bicubic */
}

/* A member of preprocessor_config.json; false if the key is none. */
static bool take_picture(ConfigParser *p, Pictures *x) {
    bool crop = false;
    if (is(p, "image_processor_type") || is(p, "feature_extractor_type"))
        return config_text(p, x->processor), true; /* alone it says nothing */
    if (is(p, "do_resize")) config_bool(p, &x->resize);
    else if (is(p, "do_normalize")) config_bool(p, &x->normalize);
    else if (is(p, "do_center_crop")) {
        config_bool(p, &crop);
        x->crop = crop;
    } else if (is(p, "size")) take_size(p, x);
    else if (is(p, "crop_size")) take_crop_size(p, x);
    else if (is(p, "resample")) take_filter(p, x->filter);
    else if (is(p, "image_mean")) config_colour(p, x->mean, &x->mean_said);
    else if (is(p, "image_std")) config_colour(p, x->std, &x->std_said);
    else if (is(p, "rescale_factor")) config_real(p, &x->factor);
    else if (is(p, "crop_pct")) config_real(p, &x->crop_pct);
    else if (!config_one_value(p, picture_values, x->refused)) return false;
    x->said = true;
    return true;
}

static bool begins(const char *text, const char *with) {
    return strncmp(text, with, strlen(with)) == 0;
}

/* The rule that Hugging Face's processor follows. */
static void settle_pictures(EncoderConfig *out, Pictures *x) {
    const bool crops = begins(x->processor, "CLIP") || begins(x->processor, "Bit");
    const bool square = begins(x->processor, "ViT") || begins(x->processor, "DeiT") ||
                        begins(x->processor, "Siglip");
    const bool crop = x->crop < 0 ? crops || x->side : x->crop;
    if (x->number && !square && (crop || crops)) { /* old files: the short side */
        x->shortest = x->size;
        x->size = 0;
    }
    if (!x->normalize)
        for (int c = 0; c < 3; c++) {
            x->mean[c] = 0.0, x->std[c] = 1.0;
            x->mean_said = x->std_said = true;
        }
    if (crop && !x->side && crops && (x->shortest || x->size)) x->side = 224;
    out->resize = x->size ? x->size : x->shortest;
    out->side = crop ? x->side : x->size;
    if (!x->resize) snprintf(out->fit, sizeof out->fit, "do_resize false");
    else if (*x->fit) snprintf(out->fit, sizeof out->fit, "%s", x->fit);
    else if (x->shortest && !crop)
        snprintf(out->fit, sizeof out->fit, "a size of the shortest edge without do_center_crop");
    else if (out->side > out->resize && out->resize)
        snprintf(out->fit, sizeof out->fit, "crop_size %d of size %d", (int)out->side,
                 (int)out->resize);
    else if (out->resize) snprintf(out->fit, sizeof out->fit, "%s", x->size ? "squash" : "crop");
    if (fabs(x->factor * 255.0 - 1.0) > 1e-5)
        config_refuse(x->refused, "rescale_factor is %g: expected 1/255", x->factor);
    if (x->crop_pct != 1.0 && x->crop_pct != 0.0)
        config_refuse(x->refused, "crop_pct is %g: expected none", x->crop_pct);
    snprintf(out->filter, sizeof out->filter, "%s", x->filter);
    snprintf(out->refused, sizeof out->refused, "%s", x->refused);
    memcpy(out->mean, x->mean, sizeof out->mean);
    memcpy(out->std, x->std, sizeof out->std);
    out->mean_said = x->mean_said;
    out->std_said = x->std_said;
    out->crop_down = true;
}

/* OpenCLIP's preprocess_cfg and timm's pretrained_cfg. */
static void take_transform(ConfigParser *p, EncoderConfig *out) {
    double pct = 1.0;
    int64_t side = 0;
    if (config_is_null(p)) return;
    if (json_peek(&p->r) != '{') return config_wrong(p, "an object");
    json_enter(&p->r, '{');
    while (config_next_key(p)) {
        if (is(p, "mean")) config_colour(p, out->mean, &out->mean_said);
        else if (is(p, "std")) config_colour(p, out->std, &out->std_said);
        else if (is(p, "interpolation")) take_filter(p, out->filter);
        else if (is(p, "resize_mode") || is(p, "crop_mode")) config_text(p, out->fit);
        else if (is(p, "size") || is(p, "input_size")) config_side(p, &side, out->refused);
        else if (is(p, "crop_pct")) config_real(p, &pct);
        else if (!config_one_value(p, transform_values, out->refused)) json_skip(&p->r);
    }
    if (!strcmp(out->fit, "shortest") || !strcmp(out->fit, "center")) strcpy(out->fit, "crop");
    if (!(pct > 0.0 && pct <= 1.0)) return config_wrong(p, "crop_pct above 0, up to 1");
    out->side = side;
    out->resize = (int64_t)floor((double)side / pct);
    if (out->resize > CONFIG_MAX_SIDE) config_wrong(p, "a larger crop_pct");
}

/* --- files ------------------------------------------------------------------------------------ */

typedef struct {
    Section flat, vision, vision_dict, text, text_dict;
    Pictures pictures;
    bool quick_gelu, open_clip, preprocess, wrapped, timm;
} File;

static void take_members(ConfigParser *p, File *f, EncoderConfig *out);

static void take_object(ConfigParser *p, File *f, EncoderConfig *out) {
    if (json_peek(&p->r) != '{') return config_wrong(p, "an object");
    json_enter(&p->r, '{');
    take_members(p, f, out);
}

static void take_processor(ConfigParser *p, Pictures *x) {
    if (json_peek(&p->r) != '{') return config_wrong(p, "an object");
    json_enter(&p->r, '{');
    while (config_next_key(p))
        if (!take_picture(p, x)) json_skip(&p->r);
}

static void take_members(ConfigParser *p, File *f, EncoderConfig *out) {
    while (config_next_key(p)) {
        if (is(p, "model_cfg") && !f->wrapped) {
            f->wrapped = f->open_clip = true; /* once: no file goes deeper */
            take_object(p, f, out);
        } else if (is(p, "vision_config")) take_section(p, &f->vision);
        else if (is(p, "vision_config_dict")) take_section(p, &f->vision_dict);
        else if (is(p, "text_config")) take_section(p, &f->text);
        else if (is(p, "text_config_dict")) take_section(p, &f->text_dict);
        else if (is(p, "vision_cfg")) {
            f->open_clip = true;
            take_open_clip(p, &out->image, "tok");
        } else if (is(p, "text_cfg")) {
            f->open_clip = true;
            take_open_clip(p, &out->text, "argmax");
        } else if (is(p, "quick_gelu")) config_bool(p, &f->quick_gelu);
        else if (is(p, "embed_dim") || is(p, "projection_dim")) config_integer(p, &out->features);
        else if (is(p, "preprocess_cfg")) {
            f->preprocess = f->open_clip = true;
            take_transform(p, out);
        } else if (is(p, "pretrained_cfg")) {
            f->timm = true;
            take_transform(p, out);
        } else if (is(p, "image_processor") && json_peek(&p->r) == '{') {
            take_processor(p, &f->pictures);
        } else if (is(p, "multimodal_cfg")) {
            config_refuse(out->refused, "multimodal_cfg: a captioning model (CoCa) is not served");
            json_skip(&p->r);
        } else if (!take_hugging_face(p, &f->flat) && !take_picture(p, &f->pictures)) {
            json_skip(&p->r);
        }
    }
}

/* Values that transformers fills in. */
static void fill_hugging_face(ConfigTower *t, const char *act, double eps, int64_t heads) {
    if (!t->said) return;
    if (!*t->activation) {
        snprintf(t->activation, sizeof t->activation, "%s", act);
        t->filled |= CONFIG_ACTIVATION;
    }
    if (t->eps == 0.0) {
        t->eps = eps;
        t->filled |= CONFIG_EPS;
    }
    if (!t->heads) {
        t->heads = heads;
        t->filled |= CONFIG_HEADS;
    }
}

static void settle_hugging_face(EncoderConfig *out, File *f) {
    const char *type = f->flat.model_type;
    const ConfigTower *flat = &f->flat.tower;
    /* old files repeat a section as <section>_dict, and transformers believes that one */
    out->image = f->vision_dict.tower.said ? f->vision_dict.tower : f->vision.tower;
    out->text = f->text_dict.tower.said ? f->text_dict.tower : f->text.tower;
    const bool model =
        flat->width || flat->heads || flat->depth || *flat->activation || flat->eps != 0.0;
    if (!out->image.said && !out->text.said && (*type || model)) {
        ConfigTower *own = begins(type, "clip_text") ? &out->text : &out->image;
        *own = *flat;
        own->said = true;
    }
    if (!*type && !model && !out->image.said && !out->text.said) return;
    const char *inner = f->vision.model_type;
    const bool clip = begins(type, "clip") || (!*type && out->text.said);
    snprintf(out->family, sizeof out->family, "%s",
             clip && *inner && !begins(inner, "clip") ? inner
             : *type                                  ? type
             : out->text.said || *inner               ? "clip"
                                                      : "unnamed");
    if (begins(out->family, "clip")) {
        fill_hugging_face(&out->image, "quick_gelu", 1e-5, 12);
        fill_hugging_face(&out->text, "quick_gelu", 1e-5, 8);
    } else if (begins(out->family, "dinov2")) {
        fill_hugging_face(&out->image, "gelu", 1e-6, 12);
        if (out->image.gated < 0) out->image.gated = 0;
    }
    if (strcmp(out->family, "clip") != 0) out->features = 0; /* of a part that need not be there */
}

static void fill_open_clip(ConfigTower *t, bool quick_gelu) {
    if (!t->said) return;
    if (quick_gelu || !*t->activation) {
        if (!quick_gelu) t->filled |= CONFIG_ACTIVATION;
        if (quick_gelu && *t->activation) config_refuse(t->refused, "quick_gelu with act_kwargs");
        snprintf(t->activation, sizeof t->activation, "%s", quick_gelu ? "quick_gelu" : "gelu");
    }
    if (t->eps == 0.0) {
        t->eps = 1e-5;
        t->filled |= CONFIG_EPS;
    }
}

static void settle_open_clip(EncoderConfig *out, const File *f) {
    static const double mean[3] = {0.48145466, 0.4578275, 0.40821073},
                        std[3] = {0.26862954, 0.26130258, 0.27577711};
    snprintf(out->family, sizeof out->family, "open_clip");
    fill_open_clip(&out->image, f->quick_gelu);
    fill_open_clip(&out->text, f->quick_gelu);
    if (out->image.said && !out->image.head_width) {
        out->image.head_width = 64;
        out->image.filled |= CONFIG_HEADS;
    }
    if (out->text.said && !out->text.heads) {
        out->text.heads = 8;
        out->text.filled |= CONFIG_HEADS;
    }
    /* a file of OpenCLIP's models/ says nothing of pictures: that depends on the weights */
    if (!f->preprocess && !f->wrapped) return;
    if (!out->mean_said) memcpy(out->mean, mean, sizeof mean);
    if (!out->std_said) memcpy(out->std, std, sizeof std);
    out->mean_said = out->std_said = true;
    if (!*out->filter) strcpy(out->filter, "bicubic");
    if (!*out->fit) strcpy(out->fit, "crop");
}

static bool is_eps(double eps) {
    return eps == 0.0 || (eps > 0.0 && eps <= 1.0);
}

Status encoder_config_parse(EncoderConfig *out, const void *text, int64_t bytes, const char *path,
                            Error *err) {
    static const uint8_t mark[] = {0xef, 0xbb, 0xbf}; /* of UTF-8, which some editors write */
    File f = {.flat.tower.gated = -1,
              .pictures = {.resize = true, .normalize = true, .crop = -1, .factor = 1.0 / 255.0}};
    *out = (EncoderConfig){.image.gated = -1, .text.gated = -1};
    if (bytes >= 3 && memcmp(text, mark, 3) == 0) text = (const char *)text + 3, bytes -= 3;
    ConfigParser p = {.r = json_reader(text, bytes)};
    if (json_peek(&p.r) != '{')
        return fail(err, ERR_FORMAT, "config: %s: expected a JSON object, {...}", path);
    take_object(&p, &f, out);
    if (p.expected)
        return fail(err, ERR_FORMAT, "config: %s: %.40s: expected %s", path, p.key, p.expected);
    if (!json_finished(&p.r))
        return fail(err, ERR_FORMAT, "config: %s: not JSON behind the key '%.40s'", path, p.key);
    if (f.open_clip) settle_open_clip(out, &f);
    else if (f.timm) snprintf(out->family, sizeof out->family, "timm");
    else settle_hugging_face(out, &f);
    if (f.pictures.said && !f.open_clip && !f.timm) settle_pictures(out, &f.pictures);
    if (f.pictures.said && !*out->family) strcpy(out->family, "preprocessor");
    if (!is_eps(out->image.eps) || !is_eps(out->text.eps))
        return fail(err, ERR_FORMAT,
                    "config: %s: eps of a norm: expected a number above 0, up to 1", path);
    for (int c = 0; out->std_said && c < 3; c++)
        if (!(out->std[c] > 0.0))
            return fail(err, ERR_FORMAT, "config: %s: std: expected numbers above 0", path);
    return OK;
}

Status encoder_config_read(EncoderConfig *out, const char *path, Error *err) {
    FileMap map;
    *out = (EncoderConfig){.image.gated = -1, .text.gated = -1};
    Status st = file_map(&map, path, err);
    if (st != OK) return st;
    st = map.bytes > MAX_BYTES
             ? fail(err, ERR_FORMAT, "config: %s: expected at most 16 MiB of JSON", path)
             : encoder_config_parse(out, map.data, map.bytes, path, err);
    file_unmap(&map);
    return st;
}
