/* pictures.c - how a configuration turns pictures into pixels. */
#include "io/config/pictures.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

static const OneValue picture_values[] = {{"do_rescale", "true"},
                                          {"do_pad", "false"},
                                          {"do_thumbnail", "false"},
                                          {"do_flip_channel_order", "false"},
                                          {0}};
static const OneValue transform_values[] = {{"mode", "RGB"}, {0}};

Pictures pictures_default(void) {
    return (Pictures){.resize = true, .normalize = true, .crop = -1, .factor = 1.0 / 255.0};
}

/* Takes a size: {"shortest_edge": 224}, {"height": 224, "width": 224}, [224, 224] or 224. */
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
        if (config_is(p, "height")) config_integer(p, &height);
        else if (config_is(p, "width")) config_integer(p, &width);
        else if (config_is(p, "shortest_edge")) config_integer(p, &x->shortest);
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
    if (*crop.fit || crop.shortest || *crop.refused)
        config_refuse(x->refused, "crop_size is not square");
    x->side = crop.size;
}

/* Takes Pillow's number or the name of a filter, of which the small letters behind the last dot
 * count. */
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
        snprintf(filter, CONFIG_TEXT,
                 "bicubic"); /* training draws a filter; otherwise it is bicubic */
}

bool pictures_take_member(ConfigParser *p, Pictures *x) {
    bool crop = false;
    if (config_is(p, "image_processor_type") || config_is(p, "feature_extractor_type"))
        return config_text(p, x->processor), true; /* alone it says nothing */
    if (config_is(p, "do_resize")) config_bool(p, &x->resize);
    else if (config_is(p, "do_normalize")) config_bool(p, &x->normalize);
    else if (config_is(p, "do_center_crop")) {
        config_bool(p, &crop);
        x->crop = crop;
    } else if (config_is(p, "size")) take_size(p, x);
    else if (config_is(p, "crop_size")) take_crop_size(p, x);
    else if (config_is(p, "resample")) take_filter(p, x->filter);
    else if (config_is(p, "image_mean")) config_colour(p, x->mean, &x->mean_said);
    else if (config_is(p, "image_std")) config_colour(p, x->std, &x->std_said);
    else if (config_is(p, "rescale_factor")) config_real(p, &x->factor);
    else if (config_is(p, "crop_pct")) config_real(p, &x->crop_pct);
    else if (!config_one_value(p, picture_values, x->refused)) return false;
    x->said = true;
    return true;
}

void pictures_settle(EncoderConfig *out, Pictures *x) {
    const bool crops = config_begins(x->processor, "CLIP") || config_begins(x->processor, "Bit");
    const bool square = config_begins(x->processor, "ViT") || config_begins(x->processor, "DeiT") ||
                        config_begins(x->processor, "Siglip") ||
                        config_begins(x->processor, "DINOv3");
    const bool crop = x->crop < 0 ? crops || x->side : x->crop;
    if (x->number && !square && (crop || crops)) { /* old files mean the short side */
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
    out->torchvision = !strcmp(x->processor, "SiglipImageProcessorFast");
    out->floats = config_begins(x->processor, "DINOv3");
    if (out->floats && !*x->filter) snprintf(out->filter, sizeof out->filter, "bilinear");
}

void transform_take(ConfigParser *p, EncoderConfig *out) {
    double pct = 1.0;
    int64_t side = 0;
    if (config_is_null(p)) return;
    if (json_peek(&p->r) != '{') return config_wrong(p, "an object");
    json_enter(&p->r, '{');
    while (config_next_key(p)) {
        if (config_is(p, "mean")) config_colour(p, out->mean, &out->mean_said);
        else if (config_is(p, "std")) config_colour(p, out->std, &out->std_said);
        else if (config_is(p, "interpolation")) take_filter(p, out->filter);
        else if (config_is(p, "resize_mode") || config_is(p, "crop_mode")) config_text(p, out->fit);
        else if (config_is(p, "size") || config_is(p, "input_size"))
            config_side(p, &side, out->refused);
        else if (config_is(p, "crop_pct")) config_real(p, &pct);
        else if (!config_one_value(p, transform_values, out->refused)) json_skip(&p->r);
    }
    if (!strcmp(out->fit, "shortest") || !strcmp(out->fit, "center")) strcpy(out->fit, "crop");
    if (!(pct > 0.0 && pct <= 1.0)) return config_wrong(p, "crop_pct above 0, up to 1");
    const double resize = floor((double)side / pct);
    if (resize > CONFIG_MAX_SIDE) return config_wrong(p, "a larger crop_pct");
    out->side = side;
    out->resize = (int64_t)resize;
}

void pictures_take_processor(ConfigParser *p, Pictures *x) {
    if (json_peek(&p->r) != '{') return config_wrong(p, "an object");
    json_enter(&p->r, '{');
    while (config_next_key(p))
        if (!pictures_take_member(p, x)) json_skip(&p->r);
}
