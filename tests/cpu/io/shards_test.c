/* shards_test.c - one model in several files: its index, and every way in which index and shards
 * may disagree; files that are no weights; folders of weights. */
#include "host/encode/encoder.h"
#include "io/arrays/shards.h"
#include "io/arrays/torch_file.h"
#include "io/text/json_reader.h"
#include "tests/support/weights_file.h"

#define DINO TURTLE_BUILD "/goldens/encoders/dinov2_mlp_tiny.pth"

/* --- reading ---------------------------------------------------------------------------------- */

static void write_text(const char *folder, const char *name, const char *text) {
    char *path = format_text("%s/%s", folder, name);
    write_bytes(path, text, strlen(text));
    free(path);
}

/* Writes the tensors of DINO as `shards` files called by `pattern` (number, count) and their index. */
static void write_shards(const char *folder, const char *pattern, const char *index, int shards) {
    TensorSet set = read_tensors(DINO, "");
    char *map = format_text("{\"metadata\": {\"total_size\": 1}, \"weight_map\": {");
    for (int s = 0; s < shards; s++) {
        TensorSet part = {.count = 0};
        char name[64];
        snprintf(name, sizeof name, pattern, s + 1, shards);
        for (int i = s; i < set.count; i += shards) {
            const Tensor *t = &set.tensor[i];
            add_tensor_to(&part, t->name, t->type, t->axes, t->shape, t->data);
            char *longer = format_text("%s%s\"%s\": \"%s\"", map, i ? ", " : "", t->name, name);
            free(map);
            map = longer;
        }
        char *path = format_text("%s/%s", folder, name);
        Error err;
        if (strstr(name, ".bin")) ASSERT_OK(torch_save(path, part.tensor, part.count, &err), err);
        else write_safetensors(path, &part);
        free(path);
        set_free(&part);
    }
    char *whole = format_text("%s}}", map);
    write_text(folder, index, whole);
    free(whole);
    free(map);
    set_free(&set);
}

static void expect_dino(const char *path) {
    TensorSet set = read_tensors(DINO, "");
    TensorFile file;
    Error err;
    ASSERT_OK(tensor_file_open(&file, path, &err), err);
    cr_expect(file.count == set.count);
    for (int i = 0; i < set.count; i++) {
        const Tensor *t = &set.tensor[i], *found = tensor_find(&file, t->name);
        cr_assert(found && found->type == t->type && found->axes == t->axes, "%s", t->name);
        cr_expect(memcmp(found->shape, t->shape, (size_t)t->axes * sizeof *t->shape) == 0);
        cr_expect(memcmp(found->data, t->data, (size_t)(t->count * dtype_bytes(t->type))) == 0);
    }
    tensor_file_close(&file);
    tensor_file_close(&file);
    set_free(&set);
}

Test(shards, every_tensor_is_read_by_the_index) {
    static const struct {
        const char *pattern, *index;
        int shards;
    } models[] = {
        {"model-%05d-of-%05d.safetensors", "model.safetensors.index.json", 2},
        {"model-%05d-of-%05d.safetensors", "model.safetensors.index.json", 1},
        {"model-%05d-of-%05d.safetensors", "model.safetensors.index.json", 35},
        {"pytorch_model-%05d-of-%05d.bin", "pytorch_model.bin.index.json", 3},
        {"sub/part %d of %d.safetensors", "index.json", 2},
        {"..part%d-%d.safetensors", "x.json", 2},
    };
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        char *folder = temporary_folder(), *path = format_text("%s/%s", folder, models[i].index),
             *sub = format_text("%s/sub", folder);
        Error err;
        ASSERT_OK(folder_make(sub, &err), err);
        write_shards(folder, models[i].pattern, models[i].index, models[i].shards);
        expect_dino(path);
        free(sub);
        free(path);
        remove_folder(folder);
    }
}

Test(shards, a_folder_stands_for_the_file_in_it) {
    char *folder = temporary_folder(), *slash = format_text("%s/", folder);
    Weights w;
    Error err = {""};
    cr_expect(tensor_file_in(folder) == NULL && tensor_file_in("/nowhere") == NULL);
    cr_expect(weights_open(&w, NULL, NULL, folder, &err) == ERR_IO);
    cr_expect(strstr(err.text, "a folder without model.safetensors"), "%s", err.text);
    write_shards(folder, "model-%05d-of-%05d.safetensors", "model.safetensors.index.json", 2);
    for (int i = 0; i < 2; i++) {
        ASSERT_OK(weights_open(&w, NULL, NULL, i ? slash : folder, &err), err);
        char *path = format_text("%s/model.safetensors.index.json", folder);
        cr_expect_str_eq(w.path, path);
        cr_expect(w.file.count == 35 && strstr(weights_said(&w), path));
        weights_close(&w);
        free(path);
    }
    free(slash);
    remove_folder(folder);
}

Test(shards, one_shard_alone_is_named_with_its_index) {
    char *folder = temporary_folder();
    write_shards(folder, "model-%05d-of-%05d.safetensors", "model.safetensors.index.json", 2);
    char *shard = format_text("%s/model-00002-of-00002.safetensors", folder),
         *index = format_text("%s/model.safetensors.index.json", folder);
    for (int there = 1; there >= 0; there--) {
        Weights w;
        EncoderShape shape;
        Error err = {""};
        ASSERT_OK(weights_open(&w, NULL, NULL, shard, &err), err);
        cr_expect(encoder_shape(&shape, &w) == ERR_FORMAT);
        cr_expect(strstr(err.text, "shard 2 of 2") && strstr(err.text, index), "%s", err.text);
        cr_expect((strstr(err.text, "not there") == NULL) == (there == 1), "%s", err.text);
        cr_expect(strstr(weights_said(&w), "one shard alone, 2 of 2"), "%s", weights_said(&w));
        weights_close(&w);
        if (there) cr_assert(unlink(index) == 0);
    }
    free(shard);
    free(index);
    remove_folder(folder);
}

Test(shards, names_of_shards_are_known) {
    static const struct {
        const char *path, *index;
        int number, count;
    } names[] = {
        {"a/model-00001-of-00002.safetensors", "a/model.safetensors.index.json", 1, 2},
        {"pytorch_model-00003-of-00003.bin", "pytorch_model.bin.index.json", 3, 3},
        {"model.fp16-00001-of-00002.safetensors", "model.fp16.safetensors.index.json", 1, 2},
        {"model-00001-of-00001.safetensors", "model.safetensors.index.json", 1, 1},
        {"model.safetensors", NULL, 0, 0},
        {"model-00001-of-00002", NULL, 0, 0},
        {"model-0001-of-0002.safetensors", NULL, 0, 0},
        {"model-00001-of-00002.d/model.safetensors", NULL, 0, 0},
        {"-", NULL, 0, 0},
        {"", NULL, 0, 0},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int number = 0, count = 0;
        char *index = shard_index(names[i].path);
        cr_expect(shard_of(names[i].path, &number, &count) == (names[i].index != NULL), "%s",
                  names[i].path);
        if (names[i].index) {
            cr_expect(number == names[i].number && count == names[i].count, "%s", names[i].path);
            cr_expect_str_eq(index, names[i].index);
        } else {
            cr_expect(!index, "%s", names[i].path);
        }
        free(index);
    }
}

/* --- refusing --------------------------------------------------------------------------------- */

/* Makes a folder with a.safetensors, which holds x and y, and b.safetensors, which holds z. */
static char *small_folder(void) {
    char *folder = temporary_folder();
    const char *const names[] = {"x", "y", "z"};
    for (int s = 0; s < 2; s++) {
        TensorSet set = {.count = 0};
        for (int i = 2 * s; i < 2 + s; i++)
            add_tensor_to(&set, names[i], DTYPE_F32, 1, &(int64_t){1}, &(float){(float)i});
        char *path = format_text("%s/%c.safetensors", folder, 'a' + s);
        write_safetensors(path, &set);
        free(path);
        set_free(&set);
    }
    return folder;
}

static Status open_index(const char *folder, const void *text, size_t bytes, Error *err) {
    char *path = format_text("%s/index.json", folder);
    TensorFile file;
    *err = (Error){""};
    write_bytes(path, text, bytes);
    const Status st = tensor_file_open(&file, path, err);
    cr_expect(st == OK ? file.count > 0 : !file.tensor && !file.count && !file.shard);
    tensor_file_close(&file);
    free(path);
    return st;
}

#define A "\"a.safetensors\""
#define B "\"b.safetensors\""

Test(shards, an_index_that_disagrees_is_refused) {
    static const struct {
        const char *text, *says;
    } indices[] = {
        {"{\"weight_map\": {\"x\": " A ", \"y\": " A ", \"z\": " B "}}", NULL},
        {" \n{\"a\": [{}, {\"b\": [1, null]}], \"weight_map\": {\"z\": " B ", \"y\": " A
         ", \"x\": " A "}, \"c\": 1}\n",
         NULL},
        {"{\"weight_map\": {\"x\": " A ", \"y\": " A ", \"z\": \"c.safetensors\"}}",
         "c.safetensors"},
        {"{\"weight_map\": {\"x\": " A ", \"y\": " A "}}", NULL},
        {"{\"weight_map\": {\"x\": " A ", \"z\": " B "}}", "a.safetensors holds tensor y"},
        {"{\"weight_map\": {\"x\": " A ", \"y\": " B ", \"z\": " B "}}",
         "holds tensor y, which the index says to be in b.safetensors"},
        {"{\"weight_map\": {\"x\": " A ", \"y\": " A ", \"z\": " B ", \"u\": " B "}}",
         "tensor u is not in b.safetensors"},
        {"{\"weight_map\": {\"x\": " A ", \"y\": " A ", \"z\": " B ", \"x\": " A "}}",
         "tensor x stands there twice"},
        {"{\"weight_map\": {\"x\": \"../a.safetensors\"}}", "expected a file in the folder"},
        {"{\"weight_map\": {\"x\": \"sub/../../a.safetensors\"}}", "expected a file in the folder"},
        {"{\"weight_map\": {\"x\": \"/etc/passwd\"}}", "expected a file in the folder"},
        {"{\"weight_map\": {\"x\": \"sub//a\"}}", "expected a file in the folder"},
        {"{\"weight_map\": {\"x\": \"..\"}}", "expected a file in the folder"},
        {"{\"weight_map\": {\"x\": \"\"}}", "expected a file in the folder"},
        {"{\"weight_map\": {\"x\": \"..\\\\a\"}}", "expected a file in the folder"},
        {"{\"weight_map\": {\"x\": \"index.json\"}}", "not a file of torch.save"},
        {"{\"weight_map\": {}}", "without a weight_map"},
        {"{}", "without a weight_map"},
        {"{\"hidden_size\": 768, \"model_type\": \"clip\"}", "without a weight_map"},
        {"{\"weight_map\": [\"x\"]}", "not the JSON"},
        {"{\"weight_map\": {\"x\": 1}}", "not the JSON"},
        {"{\"weight_map\": {\"x\": null}}", "not the JSON"},
        {"{\"weight_map\": {\"x\": {\"y\": " A "}}}", "not the JSON"},
        {"{\"weight_map\": {\"x\": " A "}, \"weight_map\": {\"y\": " A "}}", "not the JSON"},
        {"{\"weight_map\": {\"x\": " A "}", "not the JSON"},
        {"{\"weight_map\": {\"x\": " A "}} x", "not the JSON"},
        {"{\"weight_map\": {\"x\\u0000\": " A "}}", "not the JSON"},
        {"{\"weight_map\": {\"x\": \"a.safetensors\\u0000b\"}}", "not the JSON"},
        {"{", "not the JSON"},
    };
    char *folder = small_folder();
    Error err;
    for (size_t i = 0; i < sizeof indices / sizeof *indices; i++) {
        const Status st = open_index(folder, indices[i].text, strlen(indices[i].text), &err);
        if (!indices[i].says) {
            cr_expect(st == OK, "%s: %s", indices[i].text, err.text);
        } else {
            cr_expect(st == ERR_FORMAT || st == ERR_IO, "%s", indices[i].text);
            cr_expect(strstr(err.text, indices[i].says) && strstr(err.text, "index.json"), "%s: %s",
                      indices[i].text, err.text);
        }
    }
    remove_folder(folder);
}

/* Every index that is cut, or has a bit flipped, is read or refused. */
Test(shards, damaged_indices_come_back, .timeout = 60) {
    static const char text[] =
        "{\"metadata\": {\"n\": 1}, \"weight_map\": {\"x\": " A ", \"y\": " A ", \"z\": " B "}}";
    char *folder = small_folder(), bytes[sizeof text];
    Error err;
    for (size_t n = 0; n < sizeof text - 1; n++)
        cr_expect(open_index(folder, text, n, &err) == ERR_FORMAT, "%d bytes", (int)n);
    int fine = 0;
    for (size_t i = 0; i < sizeof text - 1; i++)
        for (int bit = 0; bit < 8; bit++) {
            memcpy(bytes, text, sizeof text);
            bytes[i] ^= (char)(1 << bit);
            const Status st = open_index(folder, bytes, sizeof text - 1, &err);
            cr_expect(st == OK || st == ERR_FORMAT || st == ERR_IO);
            fine += st == OK;
        }
    cr_expect(fine < 200, "%d flips are not noticed",
              fine); /* such bits lie in the metadata and in white space */
    remove_folder(folder);
}

Test(shards, hostile_indices_are_refused_in_time, .timeout = 60) {
    enum { NAMES = 200000, LONG = 5000 };
    char *folder = small_folder(), *text = malloc((size_t)NAMES * 40), *at = text;
    Error err;
    at += sprintf(at, "{\"weight_map\": {");
    for (int i = 0; i < NAMES; i++) at += sprintf(at, "%s\"n%d\": " A, i ? "," : "", i);
    at += sprintf(at, "}}");
    cr_expect(open_index(folder, text, (size_t)(at - text), &err) == ERR_FORMAT);
    cr_expect(strstr(err.text, "which the index lacks"), "%s", err.text);

    at = text + sprintf(text, "{\"weight_map\": {"); /* a shard for every tensor */
    for (int i = 0; i < NAMES; i++) at += sprintf(at, "%s\"n%d\": \"s%d\"", i ? "," : "", i, i);
    at += sprintf(at, "}}");
    cr_expect(open_index(folder, text, (size_t)(at - text), &err) == ERR_FORMAT);
    cr_expect(strstr(err.text, "over 4096 shards"), "%s", err.text);

    at = text + sprintf(text, "{\"weight_map\": {\"");
    memset(at, 'x', LONG);
    at += LONG;
    at += sprintf(at, "\": " A "}}");
    cr_expect(open_index(folder, text, (size_t)(at - text), &err) == ERR_FORMAT);

    at = text + sprintf(text, "{\"m\": ");
    memset(at, '[', 100000);
    cr_expect(open_index(folder, text, (size_t)(at - text) + 100000, &err) == ERR_FORMAT);
    free(text);
    remove_folder(folder);
}

/* --- files that are no weights ---------------------------------------------------------------- */

Test(shards, files_of_other_kinds_are_named) {
    static const struct {
        const char *bytes;
        size_t count;
        const char *says;
    } files[] = {
        {"", 0, "empty"},
        {"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", 65, "git lfs pull"},
        {"<!DOCTYPE html>\n<html></html>\n", 30, "web page"},
        {"<html>", 6, "web page"},
        {"\x89HDF\r\n\x1a\n", 8, "HDF5"},
        {"GGUF\3\0\0\0", 8, "GGUF"},
        {"\x93NUMPY\1\0", 8, "NumPy"},
        {"\x1f\x8b\x08\0\0\0\0\0", 8, "gunzip"},
        {"BZh91AY", 7, "bunzip2"},
        {"\x28\xb5\x2f\xfd\0\0\0\0", 8, "unzstd"},
        {"hello", 5, "not a file of torch.save"},
    };
    char *folder = temporary_folder(), *path = format_text("%s/w.pth", folder);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        TensorFile file;
        Error err = {""};
        write_bytes(path, files[i].bytes, files[i].count);
        cr_expect(tensor_file_open(&file, path, &err) == ERR_FORMAT && !file.tensor);
        cr_expect(strstr(err.text, files[i].says), "%s: %s", files[i].says, err.text);
    }
    char tar[512] = "model/";
    memcpy(tar + 257, "ustar", 5);
    write_bytes(path, tar, sizeof tar);
    TensorFile file;
    Error err = {""};
    cr_expect(tensor_file_open(&file, path, &err) == ERR_FORMAT && strstr(err.text, "tar -xf"));
    free(path);
    remove_folder(folder);
}
