/* towers.h - the transformers that a configuration describes, as Hugging Face and OpenCLIP do. */
#ifndef TURTLE_IO_CONFIG_TOWERS_H
#define TURTLE_IO_CONFIG_TOWERS_H

#include "io/config/values.h"

/* A model of Hugging Face, or a section of one. */
typedef struct {
    char model_type[CONFIG_TEXT];
    ConfigTower tower;
} Section;

/* Takes a member of Hugging Face's model configurations. Returns false if the key is none. */
bool section_take_member(ConfigParser *p, Section *s);
/* Takes an object of such members, which replaces *s; a null leaves it as it is. */
void section_take(ConfigParser *p, Section *s);
/* Fills in what transformers takes for a member that the file does not state. */
void tower_fill_hugging_face(ConfigTower *t, const char *act, double eps, int64_t heads);
/* Fills in the members of DINOv3's own. */
void tower_fill_dinov3(ConfigTower *t);

/* Fills in what timm takes for the network of SigLIP that t->timm_model names. */
void tower_fill_timm(ConfigTower *t);

/* Takes an object that describes one of OpenCLIP's towers; `pool` is the pool_type that is served. */
void tower_take_open_clip(ConfigParser *p, ConfigTower *t, const char *pool);
/* Fills in what OpenCLIP takes for a member that the file does not state. */
void tower_fill_open_clip(ConfigTower *t, bool quick_gelu);

#endif
