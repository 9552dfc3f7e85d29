/* models.c - the networks of the published encoders, and where weights lie. */
#include "host/encode/models.h"

#include <stdlib.h>
#include <string.h>

#include "host/inputs/phi_hint.h"
#include "host/tell/notify.h"
#include "io/files/file.h"

/* CLIP's widths from 1280 on, which are OpenCLIP's, are no multiples of 64 in every head; its weights
 * of LAION and DataComp have GELU, OpenAI's QuickGELU. DINOv2's largest has SwiGLU. SigLIP was
 * trained with the tanh form of GELU; SigLIP 2 has the same networks. */
static const PublishedShape shapes[] = {
    {ENCODER_CLIP_VIT, 768, 12, 32, "CLIP ViT-B/32", "OpenAI", 64, ACT_QUICK_GELU},
    {ENCODER_CLIP_VIT, 768, 12, 16, "CLIP ViT-B/16", "OpenAI", 64, ACT_QUICK_GELU},
    {ENCODER_CLIP_VIT, 1024, 24, 14, "CLIP ViT-L/14", "OpenAI", 64, ACT_QUICK_GELU},
    {ENCODER_CLIP_VIT, 896, 12, 16, "CLIP ViT-B/16-plus", "LAION", 64, ACT_GELU},
    {ENCODER_CLIP_VIT, 1280, 32, 14, "CLIP ViT-H/14", "LAION", 80, ACT_GELU},
    {ENCODER_CLIP_VIT, 1408, 40, 14, "CLIP ViT-g/14", "LAION", 88, ACT_GELU},
    {ENCODER_CLIP_VIT, 1664, 48, 14, "CLIP ViT-bigG/14", "LAION", 104, ACT_GELU},
    {ENCODER_CLIP_RESNET, 2048, 16, 32, "CLIP RN50", "OpenAI", 64, ACT_QUICK_GELU},
    {ENCODER_CLIP_RESNET, 2048, 33, 32, "CLIP RN101", "OpenAI", 64, ACT_QUICK_GELU},
    {ENCODER_CLIP_RESNET, 2560, 26, 32, "CLIP RN50x4", "OpenAI", 64, ACT_QUICK_GELU},
    {ENCODER_CLIP_RESNET, 3072, 40, 32, "CLIP RN50x16", "OpenAI", 64, ACT_QUICK_GELU},
    {ENCODER_CLIP_RESNET, 4096, 60, 32, "CLIP RN50x64", "OpenAI", 64, ACT_QUICK_GELU},
    {ENCODER_DINOV2, 384, 12, 14, "DINOv2 ViT-S/14", "Meta", 64, ACT_GELU},
    {ENCODER_DINOV2, 768, 12, 14, "DINOv2 ViT-B/14", "Meta", 64, ACT_GELU},
    {ENCODER_DINOV2, 1024, 24, 14, "DINOv2 ViT-L/14", "Meta", 64, ACT_GELU},
    {ENCODER_DINOV2, 1536, 40, 14, "DINOv2 ViT-g/14", "Meta", 64, ACT_GELU},
    {ENCODER_DINOV3, 384, 12, 16, "DINOv3 ViT-S/16", "Meta", 64, ACT_GELU},
    {ENCODER_DINOV3, 384, 12, 16, "DINOv3 ViT-S+/16", "Meta", 64, ACT_SILU},
    {ENCODER_DINOV3, 768, 12, 16, "DINOv3 ViT-B/16", "Meta", 64, ACT_GELU},
    {ENCODER_DINOV3, 1024, 24, 16, "DINOv3 ViT-L/16", "Meta", 64, ACT_GELU},
    {ENCODER_DINOV3, 1024, 24, 16, "DINOv3 ViT-L+/16", "Meta", 64, ACT_SILU},
    {ENCODER_DINOV3, 1280, 32, 16, "DINOv3 ViT-H+/16", "Meta", 64, ACT_SILU},
    {ENCODER_DINOV3, 4096, 40, 16, "DINOv3 ViT-7B/16", "Meta", 128, ACT_SILU},
    {ENCODER_SIGLIP, 768, 12, 16, "SigLIP ViT-B/16", "Google", 64, ACT_GELU_TANH},
    {ENCODER_SIGLIP, 768, 12, 32, "SigLIP ViT-B/32", "Google", 64, ACT_GELU_TANH},
    {ENCODER_SIGLIP, 1024, 24, 16, "SigLIP ViT-L/16", "Google", 64, ACT_GELU_TANH},
    {ENCODER_SIGLIP, 1152, 27, 14, "SigLIP ViT-so400m/14", "Google", 72, ACT_GELU_TANH},
    {ENCODER_SIGLIP, 1152, 27, 16, "SigLIP ViT-so400m/16", "Google", 72, ACT_GELU_TANH},
    {ENCODER_SIGLIP, 1536, 40, 16, "SigLIP ViT-g-opt/16", "Google", 96, ACT_GELU_TANH},
};

const PublishedShape *published_shape(const EncoderShape *s) {
    int64_t depth = s->depth;
    for (int i = 0; i < 4; i++) depth += s->stages[i];
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (shapes[i].kind == s->kind && shapes[i].width == s->width && shapes[i].depth == depth &&
            shapes[i].patch == s->patch &&
            (s->kind != ENCODER_DINOV3 || s->gated == (shapes[i].activation == ACT_SILU)))
            return &shapes[i];
    return NULL;
}

int64_t published_head_width(EncoderKind kind, int64_t width) {
    if (kind != ENCODER_CLIP_VIT && kind != ENCODER_SIGLIP) return HEAD_DIM;
    if (kind == ENCODER_CLIP_VIT && width == 1792)
        return 112; /* OpenCLIP's ViT-e/14, of which there are no weights */
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (shapes[i].kind == kind && shapes[i].width == width) return shapes[i].head_width;
    return HEAD_DIM;
}

bool model_is(const PublishedModel *m, const EncoderShape *s) {
    int64_t depth = s->depth;
    for (int i = 0; i < 4; i++) depth += s->stages[i];
    return m->width == s->width && m->depth == depth && m->patch == s->patch &&
           m->registers == s->registers && m->features == s->features && m->swiglu == s->gated;
}

/* Finds the weights of an encoder that is not published: <root>/checkpoints/<phi>.pth and so on. */
static Status own_weights(char **path, const char *root, const char *phi, Error *err) {
    char near[PHI_NAME], *folder = format_text("%s/checkpoints", root);
    if (!folder) return fail(err, ERR_MEMORY, "weights: out of memory");
    *path = weights_named(folder, phi);
    char *own = *path ? NULL : format_text("%s/%s", folder, phi);
    if (own) *path = tensor_file_in(own); /* a folder as hubs have them */
    free(own);
    free(folder);
    if (*path) return OK;
    phi_nearest(near, root, phi);
    return fail(
        err, ERR_IO,
        "weights: %s: no %s/checkpoints/%s.pth, .pt or .safetensors (or .bin): %s%s%sname the "
        "file with --weights",
        phi, root, phi, *near ? "did you mean --phis " : "", near, *near ? "? Else " : "");
}

Status model_weights(char **path, const char *root, const char *phi, const char *weights,
                     Error *err) {
    const PublishedModel *m = model_find(phi);
    *path = NULL;
    if (weights) {
        *path = format_text("%s", weights);
        if (*path && file_exists(*path)) return OK;
        free(*path);
        *path = NULL;
        return fail(err, ERR_IO, "weights: %s: no such file", weights);
    }
    if (!m) return own_weights(path, root, phi, err);
    Status st = model_locate(path, root, m, err);
    if (st != OK || *path) return st;
    char size[32], *steps = model_steps(m, root);
    st = steps ? fail(err, ERR_IO, "weights: %s: %s/checkpoints/%s is missing (%s): %s", phi, root,
                      m->file, model_size_text(size, m), steps)
               : fail(err, ERR_MEMORY, "weights: out of memory");
    free(steps);
    return st;
}

Status models_present(const char *root, const TurtleTexts *phis, const TurtleHooks *hooks,
                      Error *err) {
    Error each[2];
    int missing = 0;
    for (int pass = 0; pass < 2; pass++) { /* counted, then said */
        for (int k = 0; k < phis->count; k++) {
            const PublishedModel *m = model_find(phis->item[k]);
            char *path;
            if (model_weights(&path, root, phis->item[k], NULL, &each[pass]) == OK) {
                free(path);
                continue;
            }
            if (pass == 0) {
                if (missing++ == 0) each[1] = each[0];
            } else if (missing > 1) {
                notice(hooks, "%s", each[pass].text);
                if (m && m->sha256)
                    notice(hooks, "weights: %s: its SHA-256 digest is %s", phis->item[k],
                           m->sha256);
            }
        }
        if (missing == 0) return OK;
        if (missing == 1) return fail(err, ERR_IO, "%s", each[1].text);
    }
    return fail(
        err, ERR_IO,
        "weights: %d of %d files are missing: get them as the lines above say, or name a file "
        "with --weights",
        missing, phis->count);
}
