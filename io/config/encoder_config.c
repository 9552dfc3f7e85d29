/* encoder_config.c - the configuration files of Hugging Face, OpenCLIP and timm. */
#include "io/config/encoder_config.h"

#include <string.h>

#include "io/config/pictures.h"
#include "io/config/towers.h"
#include "io/files/file.h"

enum { MAX_BYTES = 16 << 20 };

typedef struct {
    Section flat, vision, vision_dict, text, text_dict;
    Pictures pictures;
    char architecture[CONFIG_TEXT]; /* timm's name of a network */
    bool quick_gelu, open_clip, preprocess, wrapped, timm;
} File;

static void take_members(ConfigParser *p, File *f, EncoderConfig *out);

static void take_object(ConfigParser *p, File *f, EncoderConfig *out) {
    if (json_peek(&p->r) != '{') return config_wrong(p, "an object");
    json_enter(&p->r, '{');
    take_members(p, f, out);
}

static void take_members(ConfigParser *p, File *f, EncoderConfig *out) {
    while (config_next_key(p)) {
        if (config_is(p, "model_cfg") && !f->wrapped) {
            f->wrapped = f->open_clip = true; /* no file goes deeper */
            take_object(p, f, out);
        } else if (config_is(p, "vision_config")) section_take(p, &f->vision);
        else if (config_is(p, "vision_config_dict")) section_take(p, &f->vision_dict);
        else if (config_is(p, "text_config")) section_take(p, &f->text);
        else if (config_is(p, "text_config_dict")) section_take(p, &f->text_dict);
        else if (config_is(p, "vision_cfg")) {
            f->open_clip = true;
            tower_take_open_clip(p, &out->image, "tok");
        } else if (config_is(p, "text_cfg")) {
            f->open_clip = true;
            tower_take_open_clip(p, &out->text, "argmax");
        } else if (config_is(p, "quick_gelu")) config_bool(p, &f->quick_gelu);
        else if (config_is(p, "embed_dim") || config_is(p, "projection_dim"))
            config_integer(p, &out->features);
        else if (config_is(p, "preprocess_cfg")) {
            f->preprocess = f->open_clip = true;
            transform_take(p, out);
        } else if (config_is(p, "pretrained_cfg")) {
            f->timm = true;
            transform_take(p, out);
        } else if (config_is(p, "architecture") && json_peek(&p->r) == '"') {
            config_text(p, f->architecture);
        } else if (config_is(p, "image_processor") && json_peek(&p->r) == '{') {
            pictures_take_processor(p, &f->pictures);
        } else if (config_is(p, "multimodal_cfg")) {
            config_refuse(out->refused, "multimodal_cfg: a captioning model (CoCa) is not served");
            json_skip(&p->r);
        } else if (!section_take_member(p, &f->flat) && !pictures_take_member(p, &f->pictures)) {
            json_skip(&p->r);
        }
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
        const bool text = config_begins(type, "clip_text") || config_begins(type, "siglip_text");
        ConfigTower *own = text ? &out->text : &out->image;
        *own = *flat;
        own->said = true;
    }
    if (!*type && !model && !out->image.said && !out->text.said) return;
    const char *inner = f->vision.model_type;
    const bool clip = config_begins(type, "clip") || (!*type && out->text.said);
    snprintf(out->family, sizeof out->family, "%s",
             clip && *inner && !config_begins(inner, "clip") ? inner
             : *type                                         ? type
             : config_begins(inner, "siglip")                ? "siglip"
             : out->text.said || *inner                      ? "clip"
                                                             : "unnamed");
    if (config_begins(out->family, "clip")) {
        tower_fill_hugging_face(&out->image, "quick_gelu", 1e-5, 12);
        tower_fill_hugging_face(&out->text, "quick_gelu", 1e-5, 8);
    } else if (config_begins(out->family, "dinov2")) {
        tower_fill_hugging_face(&out->image, "gelu", 1e-6, 12);
        if (out->image.gated < 0) out->image.gated = 0;
    } else if (strcmp(out->family, "dinov3_vit") == 0) {
        tower_fill_hugging_face(&out->image, "gelu", 1e-5, 6);
        tower_fill_dinov3(&out->image);
    } else if (!strcmp(out->family, "siglip") || !strcmp(out->family, "siglip_vision_model")) {
        out->image.said = true; /* old files leave out what is the default, down to the sizes */
        tower_fill_hugging_face(&out->image, "gelu_pytorch_tanh", 1e-6, 12);
        if (!out->image.width) out->image.width = 768;
        if (!out->image.depth) out->image.depth = 12;
        if (!out->image.patch) out->image.patch = 16;
        if (!out->image.image_size) out->image.image_size = 224;
    }
    if (strcmp(out->family, "clip") != 0)
        out->features = 0; /* the projection of a part that need not be there */
}

static void settle_open_clip(EncoderConfig *out, const File *f) {
    static const double mean[3] = {0.48145466, 0.4578275, 0.40821073},
                        std[3] = {0.26862954, 0.26130258, 0.27577711};
    snprintf(out->family, sizeof out->family, "open_clip");
    tower_fill_open_clip(&out->image, f->quick_gelu);
    tower_fill_open_clip(&out->text, f->quick_gelu);
    if (out->image.said && !out->image.head_width && !*out->image.timm_model) {
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

static void settle_timm(EncoderConfig *out, const File *f) {
    snprintf(out->family, sizeof out->family, "timm");
    if (!strstr(f->architecture, "siglip")) return;
    out->image.said = true;
    memcpy(out->image.timm_model, f->architecture, sizeof out->image.timm_model);
    tower_fill_timm(&out->image);
}

static bool is_eps(double eps) {
    return eps == 0.0 || (eps > 0.0 && eps <= 1.0);
}

Status encoder_config_parse(EncoderConfig *out, const void *text, int64_t bytes, const char *path,
                            Error *err) {
    static const uint8_t mark[] = {0xef, 0xbb, 0xbf}; /* mark of UTF-8, which some editors write */
    const Section unsaid = {.tower = {.gated = -1, .registers = -1}};
    File f = {.flat = unsaid,
              .vision = unsaid,
              .vision_dict = unsaid,
              .text = unsaid,
              .text_dict = unsaid,
              .pictures = pictures_default()};
    *out = (EncoderConfig){.image = {.gated = -1, .registers = -1},
                           .text = {.gated = -1, .registers = -1}};
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
    else if (f.timm) settle_timm(out, &f);
    else settle_hugging_face(out, &f);
    if (f.pictures.said && !f.open_clip && !f.timm) pictures_settle(out, &f.pictures);
    if (f.pictures.said && !*out->family) strcpy(out->family, "preprocessor");
    if (!is_eps(out->image.eps) || !is_eps(out->text.eps))
        return fail(err, ERR_FORMAT,
                    "config: %s: eps of a norm: expected a number above 0, up to 1", path);
    if (out->image.rope_base < 0.0 || out->image.rope_base > 1e12)
        return fail(err, ERR_FORMAT,
                    "config: %s: rope_theta: expected a number above 0, up to 1e12", path);
    for (int c = 0; out->std_said && c < 3; c++)
        if (!((float)out->std[c] > 0.0f)) /* of float32, by which pixels are divided */
            return fail(err, ERR_FORMAT, "config: %s: std: expected numbers above 0", path);
    return OK;
}

Status encoder_config_read(EncoderConfig *out, const char *path, Error *err) {
    FileMap map;
    *out = (EncoderConfig){.image = {.gated = -1, .registers = -1},
                           .text = {.gated = -1, .registers = -1}};
    Status st = file_map(&map, path, err);
    if (st != OK) return st;
    st = map.bytes > MAX_BYTES
             ? fail(err, ERR_FORMAT, "config: %s: expected at most 16 MiB of JSON", path)
             : encoder_config_parse(out, map.data, map.bytes, path, err);
    file_unmap(&map);
    return st;
}
