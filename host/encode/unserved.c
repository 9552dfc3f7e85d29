/* unserved.c - relatives of CLIP and DINOv2 that are named with a reason instead of by their first odd tensor. */
#include "host/encode/unserved.h"

#include <string.h>

/* A part of a tensor's name, and what a network with such a tensor has. */
typedef struct {
    const char *begin, *part; /* the name begins with one and holds the other behind it */
    const char *reason;
} Sign;

static const Sign signs[] = {
    {"visual.attn_pool.", "", "an attention pooling over its patches (CoCa)"},
    {"visual.transformer.resblocks.", ".ls_1.gamma", "scales behind its layers (ls_init_value)"},
    {"visual.transformer.resblocks.", ".attn.ln_q.", "norms of its queries and keys (qk_norm)"},
    {"visual.transformer.resblocks.", ".attn.logit_scale", "a cosine attention"},
    {"visual.transformer.resblocks.", ".attn.head_scale", "a scale for each head (scale_heads)"},
    {"visual.transformer.resblocks.", ".ln_attn.", "norms inside of its attention (scale_attn)"},
    {"visual.transformer.resblocks.", ".mlp.ln.", "norms inside of its MLPs (scale_fc)"},
    {"visual.transformer.resblocks.", ".mlp.w12.", "gated MLPs"},
    {"visual.rope.", "", "rotated positions"},
};

static const char *reason_of(const char *name) {
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        const Sign *s = &signs[i];
        const size_t n = strlen(s->begin);
        if (strncmp(name, s->begin, n) == 0 && strstr(name + n, s->part)) return s->reason;
    }
    return NULL;
}

Status unserved_refuse(Weights *w) {
    const char *reason = NULL, *name = "";
    if (w->status != OK) return w->status;
    for (int i = 0; !reason && i < w->file.count; i++)
        if (w->name[i] && (reason = reason_of(w->name[i]))) name = w->name[i];
    if (!reason && weights_has(w, "visual.class_embedding") &&
        weights_has(w, "visual.transformer.resblocks.0.ln_1.weight") &&
        !weights_has(w, "visual.ln_pre.weight")) {
        name = "visual.ln_pre.weight";
        reason = "no norm before its blocks (CLIPA)";
    }
    if (!reason) return OK;
    weights_say(w, "weights: %s: a relative of CLIP with %s", w->path, reason);
    return w->status = fail(w->err, ERR_FORMAT,
                            "weights: %s: a relative of CLIP with %s, as %s shows: expected a "
                            "vision transformer as OpenAI's or OpenCLIP's ViT models are",
                            w->path, reason, name);
}

Status unserved_plain_vit(Weights *w) {
    bool blocks = false, scales = false;
    if (w->status != OK) return w->status;
    for (int i = 0; i < w->file.count; i++) {
        const char *name = w->file.tensor[i].name;
        blocks |= strstr(name, "norm1.") || strstr(name, "layernorm_before.");
        scales |= strstr(name, "ls1.") || strstr(name, "layer_scale1.");
    }
    if (scales || !blocks) return OK;
    weights_say(w, "weights: %s: a plain vision transformer", w->path);
    return w->status =
               fail(w->err, ERR_FORMAT,
                    "weights: %s: a plain vision transformer (DeiT, MAE, DINO), for no block has "
                    "LayerScale: expected one of DINOv2, DINOv3, SigLIP or CLIP, or features that "
                    "its own library computes, as .npy",
                    w->path);
}
