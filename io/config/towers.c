/* towers.c - the transformers that a configuration describes, as Hugging Face and OpenCLIP do. */
#include "io/config/towers.h"

#include <string.h>

/* --- facts with one value that is served ------------------------------------------------------ */

static const OneValue hugging_face_values[] = {
    {"num_channels", "3"}, {"quantization_config", "null"}, {"vision_use_head", "true"}, {0}};
static const OneValue open_clip_values[] = {{"hf_model_name", "null"},
                                            {"timm_pool", "map"},
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

/* --- members ---------------------------------------------------------------------------------- */

/* Takes an id; 0 and ids below it end no text. */
static void take_end_token(ConfigParser *p, ConfigTower *t) {
    double id = 0.0;
    config_real(p, &id);
    t->end_token = id >= 1 && id <= INT32_MAX && id == (double)(int64_t)id ? (int64_t)id : 0;
}

/* Takes {"rope_theta": 100.0, "rope_type": "default"}, which transformers 5 writes. */
static void take_rope(ConfigParser *p, ConfigTower *t) {
    static const OneValue values[] = {{"rope_type", "default"}, {0}};
    if (config_is_null(p)) return;
    if (json_peek(&p->r) != '{') return config_wrong(p, "an object");
    json_enter(&p->r, '{');
    while (config_next_key(p))
        if (config_is(p, "rope_theta")) config_real(p, &t->rope_base);
        else if (!config_one_value(p, values, t->refused)) json_skip(&p->r);
}

bool section_take_member(ConfigParser *p, Section *s) {
    ConfigTower *t = &s->tower;
    bool gated = false;
    if (config_is(p, "model_type")) config_text(p, s->model_type);
    else if (config_is(p, "hidden_size")) config_integer(p, &t->width);
    else if (config_is(p, "num_hidden_layers")) config_integer(p, &t->depth);
    else if (config_is(p, "num_attention_heads")) config_integer(p, &t->heads);
    else if (config_is(p, "image_size")) config_side(p, &t->image_size, t->refused);
    else if (config_is(p, "patch_size")) config_side(p, &t->patch, t->refused);
    else if (config_is(p, "hidden_act")) config_text(p, t->activation);
    else if (config_is(p, "layer_norm_eps")) config_real(p, &t->eps);
    else if (config_is(p, "eos_token_id") && config_is_number(p)) take_end_token(p, t);
    else if (config_is(p, "num_register_tokens")) config_count(p, &t->registers);
    else if (config_is(p, "rope_theta")) config_real(p, &t->rope_base);
    else if (config_is(p, "rope_parameters")) take_rope(p, t);
    else if (config_is(p, "use_swiglu_ffn") || config_is(p, "use_gated_mlp")) {
        config_bool(p, &gated);
        t->gated = gated;
    } else return config_one_value(p, hugging_face_values, t->refused);
    return true;
}

void section_take(ConfigParser *p, Section *s) {
    if (config_is_null(p)) return;
    if (json_peek(&p->r) != '{') return config_wrong(p, "an object");
    s->tower = (ConfigTower){.said = true, .gated = -1, .registers = -1};
    json_enter(&p->r, '{');
    while (config_next_key(p))
        if (!section_take_member(p, s)) json_skip(&p->r);
}

/* Takes {"eps": 1e-6} or {"approximate": "tanh"}. */
static void take_kwargs(ConfigParser *p, ConfigTower *t) {
    char approximate[CONFIG_TEXT] = "";
    if (config_is_null(p)) return;
    if (json_peek(&p->r) != '{') return config_wrong(p, "an object");
    json_enter(&p->r, '{');
    while (config_next_key(p)) {
        if (config_is(p, "eps")) {
            config_real(p, &t->eps);
        } else if (config_is(p, "approximate")) {
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

void tower_take_open_clip(ConfigParser *p, ConfigTower *t, const char *pool) {
    double layers[4] = {0};
    char pool_type[CONFIG_TEXT] = "", timm_proj[CONFIG_TEXT] = "";
    if (config_is_null(p)) return;
    *t = (ConfigTower){.said = true, .gated = -1, .registers = -1};
    if (json_peek(&p->r) != '{') return config_wrong(p, "an object");
    json_enter(&p->r, '{');
    while (config_next_key(p)) {
        if (config_is(p, "width")) config_integer(p, &t->width);
        else if (config_is(p, "head_width")) config_integer(p, &t->head_width);
        else if (config_is(p, "heads")) config_integer(p, &t->heads);
        else if (config_is(p, "patch_size")) config_side(p, &t->patch, t->refused);
        else if (config_is(p, "image_size")) config_side(p, &t->image_size, t->refused);
        else if (config_is(p, "timm_model_name")) config_text(p, t->timm_model);
        else if (config_is(p, "timm_proj")) {
            config_text(p, timm_proj);
            if (*timm_proj && strcmp(timm_proj, "none") != 0)
                config_refuse(t->refused, "timm_proj is %s: expected none", timm_proj);
        } else if (config_is(p, "norm_kwargs") || config_is(p, "act_kwargs")) take_kwargs(p, t);
        else if (config_is(p, "pool_type")) {
            config_text(p, pool_type);
            if (*pool_type && strcmp(pool_type, pool) != 0)
                config_refuse(t->refused, "pool_type is %s: expected %s", pool_type, pool);
        } else if (config_is(
                       p,
                       "layers")) { /* a residual network has the blocks of its four stages here */
            if (config_is_null(p)) continue;
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

void tower_fill_hugging_face(ConfigTower *t, const char *act, double eps, int64_t heads) {
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

void tower_fill_dinov3(ConfigTower *t) {
    if (!t->said) return;
    if (t->rope_base == 0.0) {
        t->rope_base = 100.0;
        t->filled |= CONFIG_ROPE;
    }
    if (t->registers < 0) t->registers = 0;
    if (t->gated < 0) t->gated = 0;
}

/* Fills in what timm has for SigLIP: the tanh form of GELU where the name is one of these networks,
 * else the erf form. Heads depend on the width, which a name does not bind. */
void tower_fill_timm(ConfigTower *t) {
    static const char *const tanh[] = {"patch32_siglip", "large_patch16_siglip_512",
                                       "so400m_patch16_siglip", "giantopt_patch16_siglip"};
    bool is_tanh = false;
    for (size_t i = 0; i < sizeof tanh / sizeof *tanh; i++)
        is_tanh |= strstr(t->timm_model, tanh[i]) != NULL;
    snprintf(t->activation, sizeof t->activation, "%s", is_tanh ? "gelu_tanh" : "gelu");
    t->eps = 1e-6;
    t->filled |= CONFIG_ACTIVATION | CONFIG_EPS;
}

void tower_fill_open_clip(ConfigTower *t, bool quick_gelu) {
    if (!t->said) return;
    if (*t->timm_model) { /* quick_gelu is no affair of timm's */
        tower_fill_timm(t);
        return;
    }
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
