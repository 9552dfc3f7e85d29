/* safetensors_test.c - .safetensors written here byte by byte, and headers that lie; the JSON reader
 * underneath. */
#include "io/arrays/safetensors.h"
#include "io/text/json_reader.h"
#include "tests/support/check.h"

/* Opens a file of this header and n data bytes 0, 1, 2, ... The first 8 bytes say `length`; -1
 * stands for the true one. */
static Status open_text(TensorFile *file, const char *header, size_t n, int64_t length,
                        Error *err) {
    char *folder = temporary_folder(), *path = format_text("%s/x.safetensors", folder);
    const size_t text = strlen(header);
    uint8_t *bytes = malloc(8 + text + n);
    const uint64_t said = length < 0 ? text : (uint64_t)length;
    for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(said >> 8 * i);
    memcpy(bytes + 8, header, text);
    for (size_t i = 0; i < n; i++) bytes[8 + text + i] = (uint8_t)i;
    write_bytes(path, bytes, 8 + text + n);
    const Status st = safetensors_open(file, path, err);
    free(bytes);
    free(path);
    remove_folder(folder); /* a mapping outlives the name of its file */
    return st;
}

Test(safetensors, values_shapes_and_types_are_read) {
    TensorFile file;
    Error err;
    ASSERT_OK(
        open_text(&file,
                  "{\"__metadata__\":{\"format\":\"pt\",\"x\":[1,{\"y\":null}]},"
                  "\"a.b\":{\"dtype\":\"U8\",\"shape\":[2,3],\"data_offsets\":[0,6]},"
                  "\"h\\u00e9\": {\"data_offsets\": [6, 10] , \"shape\": [2], \"dtype\": \"F16\"},"
                  "\"s\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[10,14]},"
                  "\"none\":{\"dtype\":\"BF16\",\"shape\":[0,4],\"data_offsets\":[14,14]}}   ",
                  14, -1, &err),
        err);
    cr_assert(file.count == 4);
    const Tensor *t = tensor_find(&file, "a.b");
    cr_assert(t && t->type == DTYPE_U8 && t->axes == 2 && t->shape[0] == 2 && t->shape[1] == 3);
    cr_expect(((const uint8_t *)t->data)[5] == 5);
    t = tensor_find(&file, "h\xc3\xa9");
    cr_assert(t && t->type == DTYPE_F16 && t->count == 2);
    float values[2];
    ASSERT_OK(tensor_read_f32(t, values, &err), err);
    /* 0x0706 and 0x0908: 1.75586 x 2^-14 and 1.25781 x 2^-13 */
    cr_expect(values[0] == 1798.0f / 1024.0f * 0x1p-14f &&
                  values[1] == 1288.0f / 1024.0f * 0x1p-13f,
              "%g %g", (double)values[0], (double)values[1]);
    t = tensor_find(&file, "s");
    cr_assert(t && t->axes == 0 && t->count == 1);
    t = tensor_find(&file, "none");
    cr_assert(t && t->count == 0 && t->axes == 2);
    tensor_file_close(&file);
}

Test(safetensors, headers_that_lie_are_refused) {
#define ONE(type, shape, first, end) \
    "{\"t\":{\"dtype\":\"" type "\",\"shape\":" shape ",\"data_offsets\":[" first "," end "]}}"
#define TWO(b0, b1, name)                                                    \
    "{\"t\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},\"" name \
    "\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[" b0 "," b1 "]}}"
    static const struct {
        const char *header;
        size_t data;
        int64_t length;
        const char *words;
    } cases[] = {
        {ONE("F32", "[2]", "0", "8"), 7, -1, "tensor t: bytes 0 to 8 of 7"},
        {ONE("F32", "[2]", "0", "7"), 8, -1, "do not hold its shape"},
        {ONE("F32", "[2]", "8", "0"), 8, -1, "do not hold its shape"},
        {ONE("F32", "[2]", "-8", "0"), 8, -1, "do not hold its shape"},
        {ONE("F8", "[8]", "0", "8"), 8, -1, "tensor t: type 'F8'"},
        {ONE("F32", "[-2]", "0", "8"), 8, -1, "tensor t: impossible shape"},
        {ONE("F32", "[4294967296,4294967296,4]", "0", "8"), 8, -1, "impossible shape"},
        {ONE("U8", "[1,1,1,1,1,1,1,1,8]", "0", "8"), 8, -1, "more than 8 axes"},
        {ONE("U8", "[8.0]", "0", "8"), 8, -1, "tensor t: its entry is damaged"},
        {ONE("U8", "[8]", "0", "99999999999999999999"), 8, -1, "its entry is damaged"},
        {ONE("U8", "[8", "0", "8"), 8, -1, "its entry is damaged"},
        {ONE("U8", "[8]", "0", "8"), 9, -1, "bytes behind the last tensor"},
        {TWO("5", "9", "u"), 9, -1, "u does not begin where"},
        {TWO("3", "7", "u"), 7, -1, "u does not begin where"},
        {TWO("4", "8", "t"), 8, -1, "tensor t stands there twice"},
        {"{} x", 0, -1, "not the JSON"},
        {"[]", 0, -1, "not the JSON"},
        {"{\"a\"}", 0, -1, "not the JSON"},
        {"{\"a\":", 0, -1, "damaged"},
        {ONE("U8", "[8]", "0", "8"), 8, 1 << 20, "not a safetensors file, or a truncated one"},
        {ONE("U8", "[8]", "0", "8"), 8, 0, "not a safetensors file"},
        {ONE("U8", "[8]", "0", "8"), 8, 20, "damaged"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        TensorFile file;
        Error err = {""};
        const Status st = open_text(&file, cases[i].header, cases[i].data, cases[i].length, &err);
        cr_expect(st == ERR_FORMAT, "case %zu: status %d", i, st);
        cr_expect(strstr(err.text, cases[i].words), "case %zu: expected '%s' in: %s", i,
                  cases[i].words, err.text);
        cr_expect(!file.tensor && file.count == 0);
        tensor_file_close(&file);
    }
}

/* --- JSON ------------------------------------------------------------------------------------- */

static JsonReader reader(const char *text) {
    return json_reader(text, (int64_t)strlen(text));
}

Test(json_reader, texts_are_unescaped) {
    static const struct {
        const char *json, *text;
    } cases[] = {{"\"\"", ""},
                 {"\"a\\n\\t\\\"\\\\\\/b\"", "a\n\t\"\\/b"},
                 {"\"\\u0041\\u00e9\\u20AC\"", "A\xc3\xa9\xe2\x82\xac"},
                 {"\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80"},
                 {" \"\xc3\xa9\"", "\xc3\xa9"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[32];
        JsonReader r = reader(cases[i].json);
        cr_expect(json_text_value(&r, text, sizeof text) && json_finished(&r), "%s", cases[i].json);
        cr_expect(strcmp(text, cases[i].text) == 0, "'%s'", text);
    }
    static const char *const bad[] = {
        "\"a",          "\"\\x\"",  "\"\\u12\"", "\"\\ud83d\"",    "\"\\ude00\"",
        "\"\\ud83dx\"", "\"a\nb\"", "a",         "\"0123456789\"", ""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[8];
        JsonReader r = reader(bad[i]);
        cr_expect(!json_text_value(&r, text, sizeof text) && r.bad, "%s", bad[i]);
    }
}

Test(json_reader, values_are_skipped_whole) {
    char key[8];
    int64_t n = 0;
    JsonReader r = reader(
        "{\"a\": {\"x\": [1, \"]}\", {\"y\": []}], \"z\": -1.5e3}, \"b\": true, \"c\": -42}");
    cr_assert(json_enter(&r, '{'));
    cr_assert(json_next_key(&r, key, sizeof key) && strcmp(key, "a") == 0 && json_skip(&r));
    cr_assert(json_next_key(&r, key, sizeof key) && strcmp(key, "b") == 0 && json_skip(&r));
    cr_assert(json_next_key(&r, key, sizeof key) && strcmp(key, "c") == 0);
    cr_expect(json_integer_value(&r, &n) && n == -42);
    cr_expect(!json_next_key(&r, key, sizeof key) && json_finished(&r));

    char deep[400];
    memset(deep, '[', 200);
    memset(deep + 200, ']', 199);
    deep[399] = '\0';
    r = reader(deep);
    cr_expect(!json_skip(&r) && r.bad);
    static const char *const bad[] = {"[1,", "{\"a\":1", "\"a", "", "]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        r = reader(bad[i]);
        cr_expect(!json_skip(&r) || !json_finished(&r), "%s", bad[i]);
    }
    static const char *const numbers[] = {"1.5", "01", "-", "1e3", "9223372036854775808", "x"};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        r = reader(numbers[i]);
        cr_expect(!json_integer_value(&r, &n), "%s", numbers[i]);
    }
}
