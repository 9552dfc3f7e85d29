/* config_files.c - which configuration files belong to a file of weights. */
#include "host/encode/config_files.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/files/file.h"

/* --- places ----------------------------------------------------------------------------------- */

/* Says whether the file is one to read. A link to nothing is refused: hubs link their files to blobs,
 * so it is what an unfinished download leaves, and what it would say must not be assumed. */
static Status is_there(bool *there, const char *path, Error *err) {
    struct stat s;
    *there = stat(path, &s) == 0 && !S_ISDIR(s.st_mode);
    if (stat(path, &s) != 0 && lstat(path, &s) == 0)
        return fail(err, ERR_FORMAT,
                    "config: %s: a link to a file that is not there: fetch it again, or remove the "
                    "link",
                    path);
    return OK;
}

static bool is_folder(const char *path) {
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

/* Reads one file. Its place decides what becomes of one that says nothing. */
static Status read_one(ConfigFiles *out, Weights *w, const char *path, const char *name, bool given,
                       Error *err) {
    ConfigFile *f = &out->file[out->count];
    Status st = encoder_config_read(&f->config, path, err);
    if (st != OK) return st;
    const size_t n = strlen(name),
                 most = sizeof f->name - 1; /* the end of a long path tells more */
    snprintf(f->name, sizeof f->name, "%s%s", n > most ? "..." : "",
             n > most ? name + n - (most - 3) : name);
    if (*f->config.family) {
        out->count++;
    } else if (given) {
        st = fail(err, ERR_FORMAT,
                  "config: %s: says nothing of an encoder: expected config.json, "
                  "open_clip_config.json or preprocessor_config.json",
                  path);
    } else {
        weights_say(w, "config: %s: says nothing of an encoder and was passed over", path);
    }
    return st;
}

/* Reads the files of one folder, in order; `stem` (or NULL) names one more. With `pictures` it
 * reads only the files of picture processors. */
static Status read_folder(ConfigFiles *out, const EncoderShape *shape, Weights *w,
                          const char *folder, const char *stem, bool pictures, Error *err) {
    const bool hf = shape->hugging_face;
    char own[256] = "";
    if (stem) snprintf(own, sizeof own, "%s.json", stem);
    const char *const names[] = {own, hf ? "config.json" : "open_clip_config.json",
                                 hf ? "open_clip_config.json" : "config.json",
                                 "preprocessor_config.json", "processor_config.json"};
    Status st = OK;
    for (size_t i = pictures ? 3 : 0; st == OK && i < sizeof names / sizeof *names; i++) {
        if (!*names[i]) continue;
        char *path = format_text("%s%s%s", folder, *folder ? "/" : "", names[i]);
        if (!path) return fail(err, ERR_MEMORY, "config: out of memory");
        bool there = false;
        if (strcmp(path, w->path) != 0) st = is_there(&there, path, err);
        if (there) st = read_one(out, w, path, names[i], false, err);
        free(path);
    }
    return st;
}

/* Reads the files beside the weights, under the path by which these were named. */
static Status read_beside(ConfigFiles *out, const EncoderShape *shape, Weights *w, bool pictures,
                          Error *err) {
    const char *slash = strrchr(w->path, '/'), *name = slash ? slash + 1 : w->path;
    const char *dot = strrchr(name, '.');
    const size_t n = slash == w->path ? 1 : slash ? (size_t)(slash - w->path) : 0;
    char *folder = strndup(w->path, n),
         *stem = strndup(name, dot && dot > name ? (size_t)(dot - name) : strlen(name));
    const Status st = folder && stem ? read_folder(out, shape, w, folder, stem, pictures, err)
                                     : fail(err, ERR_MEMORY, "config: out of memory");
    free(folder);
    free(stem);
    return st;
}

/* --- is it of this network -------------------------------------------------------------------- */

static bool is_one_of(const char *family, const char *const *list) {
    for (; *list; list++)
        if (strcmp(family, *list) == 0) return true;
    return false;
}

static bool is_of_network(const ConfigFile *f, const EncoderShape *shape) {
    static const char *const clip[] = {"clip",      "clip_vision_model", "clip_text_model",
                                       "open_clip", "unnamed",           "preprocessor",
                                       NULL},
                             *const dinov2[] = {"dinov2",  "dinov2_with_registers", "timm",
                                                "unnamed", "preprocessor",          NULL},
                             *const dinov3[] = {"dinov3_vit", "timm", "unnamed", "preprocessor",
                                                NULL},
                             *const siglip[] = {
                                 "siglip",  "siglip_vision_model", "open_clip", "timm",
                                 "unnamed", "preprocessor",        NULL};
    return is_one_of(f->config.family, shape->kind == ENCODER_DINOV2   ? dinov2
                                       : shape->kind == ENCODER_DINOV3 ? dinov3
                                       : shape->kind == ENCODER_SIGLIP ? siglip
                                                                       : clip);
}

/* Takes out what is another network's, unless it is the first that speaks of one. */
static Status sort_out(ConfigFiles *out, const EncoderShape *shape, Weights *w, Error *err) {
    int kept = 0;
    const char *believed = NULL;
    for (int i = 0; i < out->count; i++) {
        const ConfigFile *f = &out->file[i];
        const char *family = f->config.family;
        if (!is_of_network(f, shape)) {
            if (!believed)
                return fail(err, ERR_FORMAT,
                            "config: %s: of %s, but %s holds %s: name its own configuration with "
                            "--config FILE",
                            f->name, family, w->path,
                            shape->kind == ENCODER_DINOV2   ? "DINOv2"
                            : shape->kind == ENCODER_DINOV3 ? "DINOv3"
                            : shape->kind == ENCODER_SIGLIP ? "SigLIP of a fixed resolution"
                                                            : "CLIP");
            weights_say(w, "config: %s: of %s and passed over, for %s is believed", f->name, family,
                        believed);
            continue;
        }
        if (kept < i) out->file[kept] = *f;
        f = &out->file[kept];
        if (strcmp(family, "preprocessor") != 0 && !believed) believed = f->name;
        if (out->model < 0 && (f->config.image.said || f->config.text.said)) out->model = kept;
        kept++;
    }
    out->count = kept;
    return OK;
}

static Status check_number(const ConfigFile *f, const Weights *w, const char *what, int64_t said,
                           int64_t found, Error *err) {
    if (!said || said == found) return OK;
    return fail(err, ERR_FORMAT,
                "config: %s: %s of %lld, but that of %s is %lld: name its own configuration with "
                "--config FILE",
                f->name, what, (long long)said, w->path, (long long)found);
}

/* Compares the sizes that both the configuration and the tensors say. */
static Status check_sizes(const ConfigFile *f, const EncoderShape *s, const Weights *w,
                          Error *err) {
    const ConfigTower *image = &f->config.image, *text = &f->config.text;
    const bool residual = s->kind == ENCODER_CLIP_RESNET;
    /* SigLIP's pictures may be larger than their patches */
    const bool over = s->kind == ENCODER_SIGLIP && image->image_size / s->patch == s->grid;
    int64_t depth = s->depth;
    for (int i = 0; i < 4; i++) depth += s->stages[i];
    const struct {
        const char *what;
        int64_t said, found;
    } sizes[] = {{"a width", image->width * (residual ? 32 : 1), s->width},
                 {"a depth", image->depth, depth},
                 {"a patch side", residual ? 0 : image->patch, s->patch},
                 {"an image size", s->grid && !over ? image->image_size : 0, s->grid * s->patch},
                 {"a common space", f->config.features, s->features},
                 {"a text width", s->text_depth ? text->width : 0, s->text_width},
                 {"a text depth", s->text_depth ? text->depth : 0, s->text_depth}};
    Status st = OK;
    for (size_t i = 0; st == OK && i < sizeof sizes / sizeof *sizes; i++)
        st = check_number(f, w, sizes[i].what, sizes[i].said, sizes[i].found, err);
    const bool clip = encoder_is_clip(s->kind);
    if (st == OK && image->gated >= 0 && !clip && image->gated != s->gated)
        st = fail(err, ERR_FORMAT,
                  "config: %s: %s %s, but the MLPs of %s are %s: name its own configuration with "
                  "--config FILE",
                  f->name, s->kind == ENCODER_DINOV2 ? "use_swiglu_ffn" : "use_gated_mlp",
                  image->gated ? "true" : "false", w->path, s->gated ? "SwiGLU" : "plain");
    if (st == OK && image->registers >= 0 && !clip && image->registers != s->registers)
        st = fail(
            err, ERR_FORMAT,
            "config: %s: num_register_tokens %lld, but %s has %lld: name its own configuration "
            "with --config FILE",
            f->name, (long long)image->registers, w->path, (long long)s->registers);
    return st;
}

/* Takes out the files behind the believed one whose sizes are another network's: what they say of
 * pictures is that network's too. */
static void drop_others(ConfigFiles *out, const EncoderShape *shape, Weights *w) {
    int kept = out->model + 1;
    for (int i = kept; i < out->count; i++) {
        const ConfigFile *f = &out->file[i];
        Error why;
        if (check_sizes(f, shape, w, &why) != OK)
            weights_say(w,
                        "config: %s: sizes of another network, and passed over, for %s is believed",
                        f->name, out->file[out->model].name);
        else if (kept++ < i) out->file[kept - 1] = *f;
    }
    out->count = kept;
}

Status config_files_read(ConfigFiles *out, const EncoderShape *shape, Weights *w, const char *given,
                         Error *err) {
    Status st = OK;
    *out = (ConfigFiles){.model = -1};
    if (given && is_folder(given)) {
        st = read_folder(out, shape, w, given, NULL, false, err);
        if (st == OK && out->count == 0)
            st = fail(err, ERR_FORMAT,
                      "config: %s: expected config.json, open_clip_config.json or "
                      "preprocessor_config.json in this folder",
                      given);
    } else if (given) {
        st = read_one(out, w, given, given, true, err);
    }
    bool model = false;
    for (int i = 0; i < out->count; i++)
        model |= out->file[i].config.image.said || out->file[i].config.text.said;
    if (st == OK) st = read_beside(out, shape, w, model, err);
    if (st == OK) st = sort_out(out, shape, w, err);
    if (st == OK && out->model >= 0) st = check_sizes(&out->file[out->model], shape, w, err);
    if (st == OK && out->model >= 0) drop_others(out, shape, w);
    return st;
}
