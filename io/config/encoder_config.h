/* encoder_config.h - what configuration files say of an encoder that its tensors do not.
 *
 * One reader takes every kind of file, told apart by its keys: Hugging Face's config.json of CLIP and
 * DINOv2, its preprocessor_config.json and processor_config.json, open_clip_config.json and
 * OpenCLIP's own model files, and timm's config.json. Values that the reading library would fill in
 * are filled in as there. Names are kept as the file has them: the reader of this struct decides what
 * it can do. A NULL of Python is a value that is not said.
 */
#ifndef TURTLE_IO_TEXT_ENCODER_CONFIG_H
#define TURTLE_IO_TEXT_ENCODER_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "io/status.h"

enum { CONFIG_TEXT = 64, CONFIG_REFUSAL = 160 };
/* Bits of ConfigTower.filled: the file is silent, the library's default stands here. */
enum { CONFIG_HEADS = 1, CONFIG_ACTIVATION = 2, CONFIG_EPS = 4 };

/* One transformer, or the residual network. Numbers that are not said are 0, texts are "". */
typedef struct {
    bool said; /* the file speaks of this tower */
    int64_t width, depth, heads, head_width, patch, image_size;
    char activation[CONFIG_TEXT]; /* "quick_gelu", "gelu", "gelu_tanh", or what else stands there */
    double eps;
    int gated; /* SwiGLU: 1 or 0; -1: not said */
    unsigned filled;
    char refused[CONFIG_REFUSAL]; /* the first fact that no encoder here has; "": none */
} ConfigTower;

typedef struct {
    /* "clip", "clip_vision_model", "dinov2" and so on (model_type), "open_clip", "timm",
     * "preprocessor"; "unnamed" if the keys are a model's but its type is not said; "" if nothing in
     * the file speaks of an encoder. */
    char family[CONFIG_TEXT];
    ConfigTower image, text;
    int64_t features; /* of the space that images and texts share; 0: not said */

    /* From picture to pixels: */
    bool mean_said, std_said;
    double mean[3], std[3];
    char fit[CONFIG_TEXT];    /* "crop", "squash", or what else stands there; "": not said */
    char filter[CONFIG_TEXT]; /* "bicubic", "bilinear", or what else stands there; "": not said */
    int64_t resize, side;     /* as ResizeRule's resize and crop; 0: not said */
    bool crop_down;           /* as ResizeRule's */
    char refused[CONFIG_REFUSAL];
} EncoderConfig;

/* Reads a configuration; `path` stands in messages. What is no JSON object, or has a value of another
 * type than its key asks for, is ERR_FORMAT. */
Status encoder_config_parse(EncoderConfig *out, const void *text, int64_t bytes, const char *path,
                            Error *err);
Status encoder_config_read(EncoderConfig *out, const char *path, Error *err);

#endif
