/* pictures.h - how a configuration turns pictures into pixels. */
#ifndef TURTLE_IO_CONFIG_PICTURES_H
#define TURTLE_IO_CONFIG_PICTURES_H

#include "io/config/values.h"

/* Members of Hugging Face's preprocessor_config.json. */
typedef struct {
    bool said;
    char processor[CONFIG_TEXT], filter[CONFIG_TEXT], fit[CONFIG_TEXT];
    bool resize, normalize;
    int crop; /* do_center_crop: 1 or 0; -1: the file does not say */
    bool mean_said, std_said, number;
    double mean[3], std[3], factor, crop_pct;
    int64_t size, shortest, side; /* `size` is that of both sides, or a bare number */
    char refused[CONFIG_REFUSAL];
} Pictures;

/* Returns a processor whose file says nothing: the values are those of transformers. */
Pictures pictures_default(void);
/* Takes a member of preprocessor_config.json. Returns false if the key is none. */
bool pictures_take_member(ConfigParser *p, Pictures *x);
/* Takes an object of such members; other members are passed over. */
void pictures_take_processor(ConfigParser *p, Pictures *x);
/* Writes into *out the rule that Hugging Face's processor follows with these members. */
void pictures_settle(EncoderConfig *out, Pictures *x);

/* Takes OpenCLIP's preprocess_cfg or timm's pretrained_cfg, an object, into *out. */
void transform_take(ConfigParser *p, EncoderConfig *out);

#endif
