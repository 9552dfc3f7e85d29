/* lists_json.c - data sets whose splits are JSON: food101, clevr, hatefulmemes. */
#include <stdlib.h>
#include <string.h>

#include "io/datasets/samples.h"
#include "io/files/draws.h"
#include "io/files/grow.h"
#include "io/text/json_reader.h"

enum { NAME = 1024 };

static Status out_of_memory(Error *err) {
    return fail(err, ERR_MEMORY, "datasets: out of memory");
}

static Status bad_json(const Samples *s, const char *name, const char *expected, Error *err) {
    return fail(err, ERR_FORMAT, "datasets: %s: %s/%s: expected %s: get the file again",
                s->set->name, s->base, name, expected);
}

static Status map_inside(const Samples *s, FileMap *map, const char *name, Error *err) {
    char *path = samples_path(s, name);
    const Status st = path ? file_map(map, path, err) : out_of_memory(err);
    free(path);
    return st;
}

/* --- food101: {"churros": ["churros/1004234", ...], ...} ------------------------------------------- */

/* Samples come in the order of keys and lists, which is not sorted. */
static Status food_split(Samples *s, SplitPart part, const char *name, Error *err) {
    FileMap map = {0};
    char class[NAME], item[NAME];
    int64_t entry = 0;
    Status st = map_inside(s, &map, name, err);
    if (st != OK) return st;
    JsonReader r = json_reader(map.data, map.bytes);
    json_enter(&r, '{');
    while (st == OK && json_next_key(&r, class, NAME)) {
        json_enter(&r, '[');
        while (st == OK && json_next(&r)) {
            if (!json_text_value(&r, item, NAME)) break;
            char *path = format_text("images/%s.jpg", item);
            st = path ? samples_listed(s, part, class, path, name, ++entry, err)
                      : out_of_memory(err);
            free(path);
        }
    }
    if (st == OK && !json_finished(&r))
        st = bad_json(s, name, "an object of lists: {\"class\": [\"class/image\", ...]}", err);
    file_unmap(&map);
    return st;
}

Status read_food101(Samples *s, Error *err) {
    const Status st = food_split(s, TO_TRAIN, "meta/train.json", err);
    return st == OK ? food_split(s, TO_VAL, "meta/test.json", err) : st;
}

/* --- clevr: {"scenes": [{"image_filename": "...", "objects": [...]}, ...]} -------------------------- */

typedef struct {
    char *image; /* owned */
    int64_t objects;
} Scene;

typedef struct {
    Scene *scene;
    int64_t count, capacity;
} Scenes;

static void count_objects(JsonReader *r, int64_t *objects) {
    *objects = 0;
    json_enter(r, '[');
    while (json_next(r) && json_skip(r)) ++*objects;
}

/* Reads one scene; the file has hundreds of megabytes, and no tree of it is built. */
static Status read_scene(Scenes *all, JsonReader *r, Error *err) {
    char key[64], image[NAME] = "";
    int64_t objects = -1;
    json_enter(r, '{');
    while (json_next_key(r, key, sizeof key)) {
        if (strcmp(key, "image_filename") == 0) json_text_value(r, image, NAME);
        else if (strcmp(key, "objects") == 0) count_objects(r, &objects);
        else json_skip(r);
    }
    if (r->bad) return OK;
    if (!*image || objects < 0 || strchr(image, '/')) {
        r->bad = true;
        return OK;
    }
    Scene *longer = grown(all->scene, all->count, &all->capacity, sizeof *longer);
    if (!longer) return out_of_memory(err);
    all->scene = longer;
    all->scene[all->count] = (Scene){strdup(image), objects};
    return all->scene[all->count].image ? (all->count++, OK) : out_of_memory(err);
}

static Status read_scenes(const Samples *s, Scenes *all, Error *err) {
    static const char *const name = "scenes/CLEVR_train_scenes.json";
    FileMap map = {0};
    char key[64];
    Status st = map_inside(s, &map, name, err);
    if (st != OK) return st;
    JsonReader r = json_reader(map.data, map.bytes);
    json_enter(&r, '{');
    while (st == OK && json_next_key(&r, key, sizeof key)) {
        if (strcmp(key, "scenes") != 0) {
            json_skip(&r);
            continue;
        }
        json_enter(&r, '[');
        while (st == OK && json_next(&r)) st = read_scene(all, &r, err);
    }
    if (st == OK && !json_finished(&r))
        st = bad_json(s, name, "\"scenes\", a list of \"image_filename\" and \"objects\"", err);
    file_unmap(&map);
    return st;
}

/* 2500 scenes are drawn: the first 2000 to train on, the last 500 to score. Classes are numbers of objects, in the
 * order of their texts: 10 comes before 3. */
Status read_clevr(Samples *s, Error *err) {
    enum { TRAIN = 2000, DRAWN = 2500 };
    int64_t at[DRAWN];
    Mt19937 rng;
    Scenes all = {0};
    Status st = read_scenes(s, &all, err);
    if (st == OK && all.count < DRAWN)
        st = fail(err, ERR_FORMAT, "datasets: clevr: %lld training scenes: the split draws %d",
                  (long long)all.count, DRAWN);
    python_seed(&rng, 42);
    if (st == OK && !python_sample(&rng, at, all.count, DRAWN)) st = out_of_memory(err);
    for (int i = 0; st == OK && i < DRAWN; i++) {
        char key[NUMBER_KEY];
        const Scene *scene = &all.scene[at[i]];
        char *path = format_text("images/train/%s", scene->image);
        snprintf(key, sizeof key, "%lld", (long long)scene->objects);
        st = path ? samples_listed(s, i < TRAIN ? TO_TRAIN : TO_VAL, key, path,
                                   "CLEVR_train_scenes.json", at[i], err)
                  : out_of_memory(err);
        free(path);
    }
    if (st == OK) samples_sort(s);
    for (int64_t i = 0; i < all.count; i++) free(all.scene[i].image);
    free(all.scene);
    return st;
}

/* --- hatefulmemes: a line {"id": 42953, "img": "img/42953.png", "label": 0, "text": "..."} ------------- */

static Status meme_line(Samples *s, SplitPart part, const char *name, int64_t number,
                        const char *line, int64_t bytes, Error *err) {
    char key[64], image[NAME] = "", class[NUMBER_KEY];
    int64_t label = -1;
    JsonReader r = json_reader(line, bytes);
    json_enter(&r, '{');
    while (json_next_key(&r, key, sizeof key)) {
        if (strcmp(key, "img") == 0) json_text_value(&r, image, NAME);
        else if (strcmp(key, "label") == 0) json_integer_value(&r, &label);
        else json_skip(&r);
    }
    if (!json_finished(&r) || !*image || label < 0 || label > 1)
        return fail(err, ERR_FORMAT,
                    "datasets: %s: %s/%s: line %lld: expected {\"img\": \"img/...\", \"label\": 0 "
                    "or 1, ...}",
                    s->set->name, s->base, name, (long long)number);
    snprintf(class, sizeof class, "%lld", (long long)label);
    return samples_listed(s, part, class, image, name, number, err);
}

static Status meme_split(Samples *s, SplitPart part, const char *name, Error *err) {
    FileMap map = {0};
    int64_t number = 0;
    Status st = map_inside(s, &map, name, err);
    const char *at = (const char *)map.data, *end = at ? at + map.bytes : NULL;
    while (st == OK && at < end) {
        const char *line = at, *stop = memchr(at, '\n', (size_t)(end - at));
        at = stop ? stop + 1 : end;
        int64_t n = (stop ? stop : end) - line;
        while (n && strchr(" \t\r", line[n - 1])) n--;
        number++;
        if (n) st = meme_line(s, part, name, number, line, n, err);
    }
    file_unmap(&map);
    return st;
}

Status read_hatefulmemes(Samples *s, Error *err) {
    Status st = meme_split(s, TO_TRAIN, "train.jsonl", err);
    if (st == OK) st = meme_split(s, TO_VAL, "dev.jsonl", err);
    if (st == OK) samples_sort(s);
    return st;
}
