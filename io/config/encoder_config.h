/* encoder_config.h - facts about an encoder that its configuration file says and its tensors do not.
 *
 * One reader takes every kind of file, told apart by its keys: Hugging Face's config.json of CLIP,
 * DINOv2, DINOv3 and SigLIP, its preprocessor_config.json and processor_config.json, open_clip_config.json and
 * OpenCLIP's own model files, and timm's config.json. Values that the reading library fills in are
 * filled in here too. Names stay as the file has them: the user of this struct decides which it
 * serves. A null is a value that is not said.
 */
#ifndef TURTLE_IO_CONFIG_ENCODER_CONFIG_H
#define TURTLE_IO_CONFIG_ENCODER_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "io/status.h"

enum { CONFIG_TEXT = 64, CONFIG_REFUSAL = 160 };
/* Bits of ConfigTower.filled: the file is silent and the value is the library's default. */
enum { CONFIG_HEADS = 1, CONFIG_ACTIVATION = 2, CONFIG_EPS = 4, CONFIG_ROPE = 8 };

/* One transformer, or the residual network. A number that the file does not say is 0, a text "". */
typedef struct {
    bool said; /* the file speaks of this tower */
    int64_t width, depth, heads, head_width, patch, image_size;
    char activation
        [CONFIG_TEXT]; /* "quick_gelu", "gelu", "gelu_tanh", or any other text of the file */
    double eps, rope_base;
    char timm_model[CONFIG_TEXT]; /* the network of timm that it is; "": none */
    int64_t registers;            /* -1: the file does not say */
    int gated;                    /* SwiGLU: 1 or 0; -1: the file does not say */
    int64_t end_token;            /* id of the token that ends a text (eos_token_id); 0: not said */
    unsigned filled;
    char
        refused[CONFIG_REFUSAL]; /* the first fact that no encoder here serves; "": there is none */
} ConfigTower;

typedef struct {
    /* "clip", "clip_vision_model", "dinov2", "siglip" and so on (model_type), "open_clip", "timm",
     * "preprocessor". "unnamed" stands for a model whose type is not said, "" for a file that says
     * nothing of an encoder. */
    char family[CONFIG_TEXT];
    ConfigTower image, text;
    int64_t features; /* width of the space that images and texts share; 0: not said */

    /* A picture becomes pixels by these: */
    bool mean_said, std_said;
    double mean[3], std[3];
    char fit[CONFIG_TEXT]; /* "crop", "squash", or any other text of the file; "": not said */
    char filter
        [CONFIG_TEXT];    /* "bicubic", "bilinear", or any other text of the file; "": not said */
    int64_t resize, side; /* resize and crop of a ResizeRule; 0: not said */
    bool crop_down;       /* crop_down of a ResizeRule */
    bool torchvision;     /* weights of a ResizeRule are RESIZE_TORCHVISION */
    bool floats;          /* pixels are resized as floats, not rounded to bytes */
    char refused[CONFIG_REFUSAL];
} EncoderConfig;

/* Reads a configuration; `path` stands in messages. A text that is no JSON object, and a value of
 * another type than its key asks for, are ERR_FORMAT. */
Status encoder_config_parse(EncoderConfig *out, const void *text, int64_t bytes, const char *path,
                            Error *err);
Status encoder_config_read(EncoderConfig *out, const char *path, Error *err);

#endif
