/* inputs_json.c - the inputs of a call as members of its JSON object. */
#include "host/inputs/inputs_json.h"

#include <stdlib.h>
#include <string.h>

#include "io/files/file.h"
#include "io/text/json_reader.h"

/* Adds `images` and `image_list` of features that `turtle features` made: the folder that names are
 * relative to, as <stem>.json beside the matrix has it, and <stem>.txt. */
static void json_images(Json *j, const char *features) {
    const size_t n = strlen(features),
                 stem = n > 4 && strcmp(features + n - 4, ".npy") == 0 ? n - 4 : n;
    char *record = format_text("%.*s.json", (int)stem, features),
         *list = format_text("%.*s.txt", (int)stem, features), key[64], folder[4096] = "";
    FileMap map;
    if (record && stem < n && file_map(&map, record, NULL) == OK) {
        JsonReader r = json_reader(map.data, map.bytes);
        json_enter(&r, '{');
        while (json_next_key(&r, key, sizeof key))
            if (strcmp(key, "images") == 0 && json_peek(&r) == '"')
                json_text_value(&r, folder, sizeof folder);
            else json_skip(&r);
        if (r.bad) folder[0] = '\0';
        file_unmap(&map);
    }
    json_text(j, "images", *folder ? folder : NULL);
    json_text(j, "image_list", list && stem < n && file_exists(list) ? list : NULL);
    free(record);
    free(list);
}

static void json_split(Json *j, const Split *split, int K) {
    for (int k = 0; split->N && k < K; k++) {
        const Space *s = &split->space[k];
        json_open(j, NULL);
        json_text(j, "split", split->name);
        json_text(j, "file", s->path);
        json_open_array(j, "shape");
        json_integer(j, NULL, s->features.N);
        json_integer(j, NULL, s->features.d);
        json_close_array(j);
        json_text(j, "type", dtype_name(s->features.type));
        json_images(j, s->path);
        json_text(j, "labels", split->labels_path);
        json_close(j);
    }
}

void json_inputs(Json *j, const Inputs *in) {
    json_text(j, "dataset", in->dataset);
    json_text(j, "phis", in->phis);
    json_open_array(j, "inputs");
    json_split(j, &in->train, in->K);
    json_split(j, &in->val, in->K);
    json_close_array(j);
}
