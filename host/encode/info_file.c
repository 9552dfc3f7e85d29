/* info_file.c - turtle_info: what a file holds; without one, what this program is (tell/info.h). */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "host/encode/encoder.h"
#include "host/tell/info.h"
#include "host/tell/lines.h"
#include "host/tell/locale.h"
#include "io/arrays/array_file.h"
#include "io/arrays/foreign.h"
#include "io/arrays/safetensors.h"
#include "io/files/zip.h"

static void json_array(Json *j, const char *name, DType type, const int64_t *shape, int axes) {
    json_open(j, NULL);
    json_text(j, "name", name);
    json_text(j, "type", dtype_name(type));
    json_open_array(j, "shape");
    for (int i = 0; i < axes; i++) json_integer(j, NULL, shape[i]);
    json_close_array(j);
    json_close(j);
}

static bool ends_with(const char *text, const char *end) {
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static Status info_npy(const char *path, char **text, Json *j, Error *err) {
    Npy npy;
    char shape[256];
    const Status st = npy_open(&npy, path, err);
    if (st != OK) return st;
    tensor_shape_text(shape, sizeof shape, npy.shape, npy.axes);
    add_line(text, "%s: numpy array of %s, shape %s%s\n", path, dtype_name(npy.type), shape,
             npy.swapped ? ", bytes swapped" : "");
    json_open_array(j, "arrays");
    json_array(j, NULL, npy.type, npy.shape, npy.axes);
    json_close_array(j);
    npy_close(&npy);
    return OK;
}

typedef enum { HOLDS_TENSORS, HOLDS_AN_ARRAY, HOLDS_ARRAYS, HOLDS_NEITHER } Holding;

/* Returns whether the bytes may be those of weights: a zip archive, .safetensors, JSON or a pickle. */
static bool may_be_weights(const FileMap *map) {
    const uint8_t first = map->bytes ? map->data[0] : 0;
    return zip_is(map) || safetensors_is(map) || first == '{' || first == 0x80;
}

/* Looks at the first bytes of a file; a file that cannot be opened is left to whoever reads it. */
static Holding holding(const char *path) {
    Holding is = HOLDS_TENSORS;
    FileMap map;
    Zip zip;
    if (file_map(&map, path, NULL) != OK) return ends_with(path, ".npy") ? HOLDS_AN_ARRAY : is;
    if (npy_is(map.data, map.bytes) || ends_with(path, ".npy")) is = HOLDS_AN_ARRAY;
    else if (!may_be_weights(&map)) is = HOLDS_NEITHER;
    if (zip_is(&map) && zip_open(&zip, &map, path, NULL) == OK) {
        for (int64_t i = 0; i < zip.count; i++)
            if (ends_with(zip.entry[i].name, ".npy")) is = HOLDS_ARRAYS;
        for (int64_t i = 0; i < zip.count; i++)
            if (ends_with(zip.entry[i].name, "data.pkl")) is = HOLDS_TENSORS;
        zip_close(&zip);
    }
    file_unmap(&map);
    return is;
}

/* Returns ERR_FORMAT: what the file is, and the line that makes an array of it. */
static Status info_foreign(const char *path, Error *err) {
    FileMap map;
    Status st = file_map(&map, path, err);
    if (st != OK) return st;
    st = foreign_refuse(&map, path, err);
    file_unmap(&map);
    return st;
}

/* Tells one member of .npz; one that is not read is named with the reason. */
static Status info_member(const char *path, const char *entry, char **text, Json *j, Error *err) {
    ArrayFile a;
    Error why;
    char shape[256], *spec = format_text("%s:%s", path, entry);
    if (!spec) return fail(err, ERR_MEMORY, "info: out of memory");
    if (array_open(&a, spec, &why) == OK) {
        array_shape_text(shape, sizeof shape, &a);
        add_line(text, "  %-40s %-8s %s\n", a.name, dtype_name(a.type), shape);
        json_array(j, a.name, a.type, a.shape, a.axes);
        array_close(&a);
    } else add_line(text, "  %s\n", why.text);
    free(spec);
    return OK;
}

static Status info_npz(const char *path, char **text, Json *j, Error *err) {
    FileMap map;
    Zip zip = {0};
    Status st = file_map(&map, path, err);
    if (st != OK) return st;
    st = zip_open(&zip, &map, path, err);
    add_line(text, "%s: numpy arrays\n", path);
    json_open_array(j, "arrays");
    for (int64_t i = 0; st == OK && i < zip.count; i++)
        if (ends_with(zip.entry[i].name, ".npy"))
            st = info_member(path, zip.entry[i].name, text, j, err);
    json_close_array(j);
    zip_close(&zip);
    file_unmap(&map);
    return st;
}

static void json_fact(Json *j, const EncoderFacts *f, Fact fact) {
    char text[96];
    const float *colour = fact == FACT_MEAN ? f->mean : f->std;
    fact_text(text, f, fact);
    json_open(j, fact_name(fact));
    switch (fact) {
    case FACT_HEADS: json_integer(j, "value", f->heads); break;
    case FACT_EPS: json_real(j, "value", f->eps); break;
    case FACT_ROPE:
        if (f->rope_base > 0.0) json_real(j, "value", f->rope_base);
        else json_text(j, "value", text);
        break;
    case FACT_MEAN:
    case FACT_STD:
        json_open_array(j, "value");
        for (int c = 0; c < 3; c++) json_real(j, NULL, colour[c]);
        json_close_array(j);
        break;
    case FACT_SIZE:
        json_integer(j, "value", f->rule.crop);
        json_integer(j, "resize", f->rule.resize);
        break;
    case FACT_ACTIVATION:
    case FACT_FIT:
    case FACT_FILTER:
    case FACTS: json_text(j, "value", text); break;
    }
    json_text(j, "source", f->source[fact]);
    json_close(j);
}

/* Prints the facts of one tower that tensors do not say: their values, and where each comes from. */
static void info_facts(Weights *w, const EncoderShape *s, Tower tower, const FactOptions *options,
                       char **text, Json *j) {
    EncoderFacts f;
    Error why;
    char value[96];
    json_open(j, tower == TOWER_TEXT ? "text_facts" : "facts");
    if (encoder_facts(&f, s, tower, w, options, &why) != OK) {
        add_line(text, "    would be refused: %s\n", why.text);
        json_text(j, "refused", why.text);
    } else {
        for (int i = 0; i < FACTS; i++) {
            if (!f.used[i]) continue;
            fact_text(value, &f, (Fact)i);
            add_line(text, "    %-13s  %s (%s)\n", fact_name((Fact)i), value, f.source[i]);
            json_fact(j, &f, (Fact)i);
        }
        if (tower == TOWER_IMAGE && s->gated && !f.used[FACT_ACTIVATION])
            add_line(text, "    %-13s  SwiGLU (the tensors)\n", fact_name(FACT_ACTIVATION));
    }
    json_close(j);
}

/* Returns the side of the pictures that the positions are for. Patches may leave a rest over, which the
 * facts know. */
static long long native_side(Weights *w, const EncoderShape *s, const FactOptions *options) {
    EncoderFacts f;
    Error ignored;
    const bool known = encoder_facts(&f, s, TOWER_IMAGE, w, options, &ignored) == OK;
    return known && f.rule.crop / s->patch == s->grid ? f.rule.crop
                                                      : (long long)(s->grid * s->patch);
}

/* Tells what the network is, if the tensors are those of an encoder. */
static void info_encoder(Weights *w, const FactOptions *options, char **text, Json *j) {
    EncoderShape s;
    char name[160];
    if (encoder_shape(&s, w) != OK) return;
    const long long image = native_side(w, &s, options);
    encoder_describe(name, &s);
    add_line(text, "encoder  %s%s\n", name,
             s.hugging_face ? ", names of Hugging Face"
             : s.timm       ? ", names of timm"
                            : "");
    json_text(j, "encoder", name);
    json_integer(j, "features", s.features);
    if (image) json_integer(j, "image_size", image);
    if (s.kind == ENCODER_CLIP_RESNET)
        add_line(text, "  image    %lld + %lld + %lld + %lld bottlenecks, attention pooling",
                 (long long)s.stages[0], (long long)s.stages[1], (long long)s.stages[2],
                 (long long)s.stages[3]);
    else
        add_line(text, "  image    %lld blocks of width %lld, patches of %lld x %lld",
                 (long long)s.depth, (long long)s.width, (long long)s.patch, (long long)s.patch);
    if (image) add_line(text, "; trained at %lld x %lld", image, image);
    else add_line(text, "; of any size, by rotary positions");
    add_line(text, "; %lld features\n", (long long)s.features);
    info_facts(w, &s, TOWER_IMAGE, options, text, j);
    if (s.text_depth) {
        add_line(text, "  text     %lld blocks of width %lld, vocabulary %lld, context %lld\n",
                 (long long)s.text_depth, (long long)s.text_width, (long long)s.vocabulary,
                 (long long)s.context);
        FactOptions of_text = *options;
        of_text.given.heads = 0; /* the flag is the image tower's where both are shown */
        info_facts(w, &s, TOWER_TEXT, &of_text, text, j);
    }
}

static Status info_tensors(const char *path, const FactOptions *options, char **text, Json *j,
                           Error *err) {
    Weights w;
    Error ignored;
    const Status st = weights_open(&w, NULL, NULL, path, err);
    if (st != OK) return st;
    int64_t numbers = 0;
    w.err = &ignored; /* a file may hold anything: a checkpoint is no encoder */
    for (int i = 0; i < w.file.count; i++) numbers += w.file.tensor[i].count;
    add_line(text, "%s: %d tensors, %" PRId64 " numbers\n", path, w.file.count, numbers);
    info_encoder(&w, options, text, j);
    json_open_array(j, "notes");
    const char *line = weights_said(&w);
    for (const char *end; (end = strchr(line, '\n')); line = end + 1) {
        char note[1024];
        snprintf(note, sizeof note, "%.*s", (int)(end - line), line);
        add_line(text, "  note     %s\n", note);
        json_text(j, NULL, note);
    }
    json_close_array(j);
    json_open_array(j, "arrays");
    for (int i = 0; i < w.file.count; i++) {
        const Tensor *t = &w.file.tensor[i];
        char shape[256];
        tensor_shape_text(shape, sizeof shape, t->shape, t->axes);
        add_line(text, "  %-40s %-8s %s\n", t->name, dtype_name(t->type), shape);
        json_array(j, t->name, t->type, t->shape, t->axes);
    }
    json_close_array(j);
    weights_close(&w);
    return OK;
}

Status turtle_info(const char *file, char **text, char **json, Error *err) {
    return turtle_info_encoder(file, &(TurtleEncoder){0}, 0, text, json, err);
}

Status turtle_info_encoder(const char *file, const TurtleEncoder *encoder, int64_t image_size,
                           char **text, char **json, Error *err) {
    PLAIN_LOCALE;
    const FactOptions options = {.given = *encoder, .image_size = image_size};
    Json j = {0};
    Status st = OK;
    *text = format_text("%s", "");
    *json = NULL;
    json_open(&j, NULL);
    json_text(&j, "command", "info");
    json_text(&j, "version", turtle_version());
    if (!file) {
        info_program(text, &j);
    } else {
        json_text(&j, "file", file);
        switch (holding(file)) {
        case HOLDS_AN_ARRAY: st = info_npy(file, text, &j, err); break;
        case HOLDS_ARRAYS: st = info_npz(file, text, &j, err); break;
        case HOLDS_NEITHER: st = info_foreign(file, err); break;
        case HOLDS_TENSORS: st = info_tensors(file, &options, text, &j, err); break;
        }
    }
    json_close(&j);
    *json = json_take(&j);
    if (st == OK && (!*text || !*json)) st = fail(err, ERR_MEMORY, "info: out of memory");
    if (st == OK) return OK;
    free(*text);
    free(*json);
    *text = *json = NULL;
    return st;
}
