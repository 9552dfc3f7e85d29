/* torch_file_test.c - files written by PyTorch, hostile ones, and ones written here. */
#include "io/arrays/torch_file.h"
#include "io/files/crc32.h"
#include "io/files/zip.h"
#include "io/pickle/pickle.h"
#include "tests/support/check.h"
#include "tests/support/golden.h"

/* --- what PyTorch wrote ----------------------------------------------------------------------- */

static double element(const Tensor *t, int64_t i) {
    const uint8_t *at = (const uint8_t *)t->data + i * dtype_bytes(t->type);
    double x;
    float f;
    int64_t n = 0;
    if (t->type == DTYPE_F64) {
        memcpy(&x, at, sizeof x);
        return x;
    }
    if (dtype_to_f32(&f, at, t->type, false, 1)) return f;
    cr_assert(dtype_to_i64(&n, at, t->type, false, 1) == 1);
    return (double)n;
}

static void shape_name(char *text, size_t bytes, const Tensor *t) {
    size_t used = 0;
    snprintf(text, bytes, "-");
    for (int i = 0; i < t->axes; i++)
        used += (size_t)snprintf(text + used, bytes - used, "%s%lld", i ? "x" : "",
                                 (long long)t->shape[i]);
}

Test(torch_file, every_tensor_is_what_pytorch_says, .timeout = 60) {
    FILE *expected = fopen("tests/goldens/torch/expected.txt", "r");
    char name[256], tensor[256], type[32], shape[64], open_name[256] = "", path[512];
    double sum, first, last;
    TensorFile file = {0};
    Error err = {""};
    int tensors = 0;
    cr_assert(expected != NULL);
    while (fscanf(expected, "%255s %255s %31s %63s %lf %lf %lf", name, tensor, type, shape, &sum,
                  &first, &last) == 7) {
        if (strcmp(name, open_name) != 0) {
            tensor_file_close(&file);
            const bool beside = strncmp(name, "../", 3) == 0; /* a neighbour of this folder */
            char full[600];
            snprintf(path, sizeof path, "%s%s", beside ? "" : "torch/", name + (beside ? 3 : 0));
            ASSERT_OK(torch_open(&file, golden_path(full, sizeof full, path), &err), err);
            snprintf(open_name, sizeof open_name, "%s", name);
        }
        const Tensor *t = tensor_find(&file, tensor);
        cr_assert(t != NULL, "%s: %s is missing", name, tensor);
        char found[64];
        shape_name(found, sizeof found, t);
        cr_expect_str_eq(dtype_name(t->type), type);
        cr_expect_str_eq(found, shape);
        double total = 0.0, magnitude = 0.0;
        for (int64_t i = 0; i < t->count; i++)
            total += element(t, i), magnitude += fabs(element(t, i));
        /* summed in another order: n roundings of the magnitude at most */
        cr_expect(fabs(total - sum) <= 1e-16 * (double)t->count * magnitude,
                  "%s: %s: sum %.17g, %.17g", name, tensor, total, sum);
        if (t->count) {
            cr_expect(element(t, 0) == first, "%s: %s", name, tensor);
            cr_expect(element(t, t->count - 1) == last, "%s: %s", name, tensor);
        }
        tensors++;
    }
    fclose(expected);
    tensor_file_close(&file);
    cr_expect(tensors >= 285, "only %d tensors", tensors);
}

Test(torch_file, numbers_are_read_as_asked) {
    TensorFile file;
    Error err = {""};
    float f[6];
    int64_t n[6];
    ASSERT_OK(torch_open(&file, "tests/goldens/torch/types.pt", &err), err);
    cr_expect(tensor_read_f32(tensor_find(&file, "bfloat16"), f, &err) == OK && f[5] == 3.0f);
    cr_expect(tensor_read_i64(tensor_find(&file, "int16"), n, &err) == OK && n[0] == -2);
    cr_expect(tensor_read_f32(tensor_find(&file, "int16"), f, &err) == ERR_ARG);
    cr_expect(tensor_read_i64(tensor_find(&file, "half"), n, &err) == ERR_ARG);
    cr_expect(tensor_find(&file, "absent") == NULL);
    tensor_file_close(&file);
    tensor_file_close(&file);
}

/* CPython pickled these settings, which a training leaves beside its tensors. */
Test(torch_file, settings_beside_tensors_are_passed_over) {
    static const char *const paths[] = {"tests/goldens/torch/args_2.pt",
                                        "tests/goldens/torch/args_4.pt"};
    for (int i = 0; i < 2; i++) {
        TensorFile file;
        Error err = {""};
        float w[6];
        ASSERT_OK(torch_open(&file, paths[i], &err), err);
        cr_assert(file.count == 1 && tensor_find(&file, "state_dict/w"));
        cr_assert(file.tensor[0].count == 6 && tensor_read_f32(file.tensor, w, &err) == OK);
        for (int j = 0; j < 6; j++) cr_expect(w[j] == (float)j);
        tensor_file_close(&file);
    }
}

/* --- what must be refused --------------------------------------------------------------------- */

static Status open_bytes(const char *folder, const void *bytes, size_t n, Error *err) {
    char *path = format_text("%s/x.pt", folder);
    TensorFile file;
    write_bytes(path, bytes, n);
    const Status st = torch_open(&file, path, err);
    tensor_file_close(&file);
    free(path);
    return st;
}

/* Opens a zip file whose data.pkl is the given pickle. */
static Status open_pickle(const char *folder, const char *pickle, size_t n, Error *err) {
    char *path = format_text("%s/y.pt", folder);
    AtomicFile out;
    ZipWriter zip = {0};
    ASSERT_OK(atomic_open(&out, path, err), *err);
    zip.stream = out.stream;
    ASSERT_OK(zip_add(&zip, "y/data.pkl", pickle, (int64_t)n, err), *err);
    ASSERT_OK(zip_add(&zip, "y/data/0", "\0\0\0\0\0\0\0\0", 8, err), *err);
    zip_finish(&zip);
    zip_writer_free(&zip);
    ASSERT_OK(atomic_commit(&out, err), *err);
    TensorFile file;
    const Status st = torch_open(&file, path, err);
    tensor_file_close(&file);
    free(path);
    return st;
}

#define PICKLE(text) text, sizeof text - 1

Test(torch_file, malicious_pickles_are_refused_by_name) {
    static const struct {
        const char *pickle;
        size_t bytes;
        const char *says;
    } attacks[] = {
        {PICKLE("cos\nsystem\n(S'id'\ntR."), "os.system"},
        {PICKLE("\x80\x02"
                "cposix\nsystem\nX\x02\0\0\0id\x85R."),
         "posix.system"},
        {PICKLE("\x80\x02"
                "cbuiltins\neval\nX\x01\0\0\0"
                "1\x85R."),
         "builtins.eval"},
        {PICKLE("\x80\x04\x8c\x08"
                "builtins\x8c\x04"
                "exec\x93."),
         "builtins.exec"},
        {PICKLE("\x80\x02"
                "ctorch.hub\nload\n."),
         "torch.hub.load"},
        {PICKLE("\x80\x02"
                "ctorch._utils\n_rebuild_device_tensor_from_numpy\n."),
         "from_numpy"},
        {PICKLE("(S'id'\nios\nsystem\n."), "opcode 0x53"},
        {PICKLE("\x80\x02\x82\x01."), "opcode 0x82"}, /* EXT1: an extension registry */
        {PICKLE("\x80\x02"
                "c__torch__x\nEvil\n."),
         "__torch__x.Evil"},
    };
    char *folder = temporary_folder();
    for (size_t i = 0; i < sizeof attacks / sizeof *attacks; i++) {
        Error err = {""};
        cr_expect(open_pickle(folder, attacks[i].pickle, attacks[i].bytes, &err) == ERR_FORMAT);
        cr_expect(strstr(err.text, "refuses") && strstr(err.text, attacks[i].says), "%s: %s",
                  attacks[i].says, err.text);
    }
    remove_folder(folder);
}

/* A whole model is refused with the line that saves its tensors; a program is refused without. */
Test(torch_file, whole_models_are_refused_with_the_way_out) {
    static const struct {
        const char *pickle;
        size_t bytes;
        const char *says;
        bool model;
    } files[] = {
        {PICKLE("\x80\x02"
                "cclip.model\nCLIP\n)\x81}b."),
         "clip.model.CLIP", true},
        {PICKLE("\x80\x02"
                "ctorch.nn.modules.container\nSequential\n)\x81}b."),
         "torch.nn.modules.container.Sequential", true},
        {PICKLE("\x80\x04\x8c\x08__main__\x8c\x03Net\x93)\x81."), "__main__.Net", true},
        {PICKLE("\x80\x02"
                "csubprocess\nPopen\nX\x02\0\0\0id\x85R."),
         "subprocess.Popen", false},
        {PICKLE("\x80\x02"
                "cargparse\nFileType\n)\x81."),
         "argparse.FileType", true},
        {PICKLE("\x80\x02"
                "cargparse\nNamespacex\n)\x81."),
         "argparse.Namespacex", true},
        {PICKLE("\x80\x02"
                "comegaconfx\nEvil\n)\x81."),
         "omegaconfx.Evil", true},
        {PICKLE("\x80\x02"
                "cbuiltins\ngetattr\n)\x81."),
         "builtins.getattr", false},
    };
    char *folder = temporary_folder();
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        Error err = {""};
        cr_expect(open_pickle(folder, files[i].pickle, files[i].bytes, &err) == ERR_FORMAT);
        cr_expect(strstr(err.text, "refuses the global") && strstr(err.text, files[i].says), "%s",
                  err.text);
        cr_expect(!strstr(err.text, "torch.save(model.state_dict()") == !files[i].model, "%s",
                  err.text);
    }
    remove_folder(folder);
}

/* Objects that are passed over take anything: calls, items, state. Tensors go into none of them. */
Test(torch_file, passed_over_objects_are_no_way_in) {
    static const struct {
        const char *pickle;
        size_t bytes;
        bool fine;
    } files[] = {
        {PICKLE("\x80\x02"
                "cargparse\nNamespace\n)\x81}X\x01\0\0\0aK\x01sb."),
         true},
        {PICKLE("\x80\x02"
                "comegaconf.dictconfig\nDictConfig\n)\x81(K\x01K\x02u(K\x03"
                "eK\x04"
                "a)R)\x81)}\x92}b."),
         true},
        {PICKLE("\x80\x02"
                "cargparse\nNamespace\n)R)R)R."),
         true},
        {PICKLE("\x80\x02(cargparse\nNamespace\n\x91."), true}, /* a frozen set */
        {PICKLE("\x80\x02"
                "cargparse\nNamespace\nR."),
         false},
        {PICKLE("\x80\x02"
                "cargparse\nNamespace\n}\x92."),
         false},
        {PICKLE("\x80\x02\x91."), false},
        {PICKLE("\x80\x02"
                "ctorch._tensor\n_rebuild_from_type_v2\n(cargparse\nNamespace\nNNNtR."),
         false},
        {PICKLE("\x80\x02"
                "ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._tensor\n_rebuild_from_type_v2\n"
                "ctorch\nTensor\n(NNNNt}tR."),
         false},
    };
    char *folder = temporary_folder();
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        Error err = {""};
        const Status st = open_pickle(folder, files[i].pickle, files[i].bytes, &err);
        cr_expect(st == (files[i].fine ? OK : ERR_FORMAT), "case %d: %s", (int)i, err.text);
    }
    remove_folder(folder);
}

/* A tensor of a storage of 8 bytes, which holds no more than float32 (offset 0, size 2). */
#define TENSOR(offset, sizes, strides)                                                         \
    "ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0" \
    "0X\x03\0\0\0cpuK\x02tQ" offset "(" sizes "t(" strides "t\x89"                             \
    "ccollections\nOrderedDict\n)RtR"
#define DICT(tensor) "\x80\x02}(X\x01\0\0\0x" tensor "u."

Test(torch_file, tensors_beyond_their_storage_are_refused) {
    char *folder = temporary_folder();
    Error err = {""};
    cr_expect(open_pickle(folder, PICKLE(DICT(TENSOR("K\0", "K\x02", "K\x01"))), &err) == OK, "%s",
              err.text);
    static const struct {
        const char *pickle;
        size_t bytes;
    } bad[] = {
        {PICKLE(DICT(TENSOR("K\x01", "K\x02", "K\x01")))},             /* offset */
        {PICKLE(DICT(TENSOR("K\0", "K\x03", "K\x01")))},               /* size */
        {PICKLE(DICT(TENSOR("K\0", "K\x02", "K\x02")))},               /* stride */
        {PICKLE(DICT(TENSOR("J\xff\xff\xff\xff", "K\x02", "K\x01")))}, /* offset -1 */
        {PICKLE(DICT(TENSOR("K\0", "J\xff\xff\xff\xff", "K\x01")))},   /* size -1 */
        {PICKLE(DICT(TENSOR("K\x01", "K\x02", "J\xff\xff\xff\xff")))}, /* stride -1 */
        {PICKLE(
            DICT(TENSOR("K\0", "J\xff\xff\xff\x7fJ\xff\xff\xff\x7f", "K\0K\0")))}, /* expanded */
        {PICKLE(DICT(TENSOR("K\0",
                            "\x8a\x08\0\0\0\0\0\0\0\x40"
                            "\x8a\x08\0\0\0\0\0\0\0\x40",
                            "K\0K\0")))},           /* 2^124 elements */
        {PICKLE(DICT(TENSOR("K\0", "K\x02", "")))}, /* no stride */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect(open_pickle(folder, bad[i].pickle, bad[i].bytes, &err) == ERR_FORMAT, "case %d",
                  (int)i);
    remove_folder(folder);
}

#define TYPED(function, arguments)                                             \
    "\x80\x02}(X\x01\0\0\0xctorch._tensor\n_rebuild_from_type_v2\n(c" function \
    "\nctorch.nn.parameter\nParameter\n" arguments "}tRu."

/* A tensor with attributes of its own is saved as its type and the call that rebuilds it. */
Test(torch_file, tensors_of_subclasses_are_read) {
    static const char typed[] = TYPED("torch._utils\n_rebuild_tensor_v2",
                                      "((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0"
                                      "0X\x03\0\0\0cpuK\x02tQK\0(K\x02t(K\x01t\x89"
                                      "ccollections\nOrderedDict\n)Rt");
    static const char parameter[] =
        TYPED("torch._utils\n_rebuild_parameter", "(" TENSOR("K\0", "K\x02", "K\x01") "\x88Nt");
    char *folder = temporary_folder();
    Error err = {""};
    cr_expect(open_pickle(folder, PICKLE(typed), &err) == OK, "%s", err.text);
    cr_expect(open_pickle(folder, PICKLE(parameter), &err) == OK, "%s", err.text);
    remove_folder(folder);
}

/* The device of a tensor that was saved means nothing here. */
Test(torch_file, tensors_saved_on_a_gpu_are_read) {
    static const char pickle[] =
        "\x80\x02}(X\x01\0\0\0xctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storage"
        "ctorch\nFloatStorage\nX\x01\0\0\0"
        "0X\x06\0\0\0"
        "cuda:0K\x02tQK\0(K\x02t(K\x01t"
        "\x89"
        "ccollections\nOrderedDict\n)RtRu.";
    char *folder = temporary_folder();
    Error err = {""};
    cr_expect(open_pickle(folder, PICKLE(pickle), &err) == OK, "%s", err.text);
    remove_folder(folder);
}

Test(torch_file, pickles_that_never_end_are_refused, .timeout = 30) {
    char *folder = temporary_folder();
    Error err = {""};
    /* a dictionary that holds itself */
    cr_expect(open_pickle(folder, PICKLE("\x80\x02}q\0X\x01\0\0\0xh\0s."), &err) == ERR_FORMAT);
    cr_expect(strstr(err.text, "holds itself"), "%s", err.text);
    /* forty lists, each holding the one before twice: 2^40 paths to the innermost */
    char bomb[512];
    size_t n = 0;
    n += (size_t)snprintf(bomb, sizeof bomb, "\x80\x02]");
    for (int i = 0; i < 40; i++) {
        memcpy(bomb + n, "q\0", 2);
        bomb[n + 1] = (char)i;
        memcpy(bomb + n + 2, "0]h\0ah\0a", 8);
        bomb[n + 5] = bomb[n + 8] = (char)i;
        n += 10;
    }
    bomb[n++] = '.';
    cr_expect(open_pickle(folder, bomb, n, &err) == ERR_FORMAT, "%s", err.text);
    /* a hundred thousand lists, one in the other */
    char *deep = malloc(300001);
    n = 0;
    for (int i = 0; i < 100000; i++) deep[n++] = ']';
    for (int i = 1; i < 100000; i++) deep[n++] = 'a';
    deep[n++] = '.';
    cr_expect(open_pickle(folder, deep, n, &err) == ERR_FORMAT && strstr(err.text, "holds itself"),
              "%s", err.text);
    free(deep);
    /* a memo index of 2^32 - 1 must not allocate 32 GiB */
    cr_expect(open_pickle(folder, PICKLE("\x80\x02}r\xff\xff\xff\xff."), &err) == ERR_FORMAT);
    remove_folder(folder);
}

/* A file that is cut anywhere, or has any bit flipped, is refused or reads as something harmless.
 * Under the sanitizers this is the test of all bounds. */
static void damage(const char *path, bool crc_guards) {
    char *folder = temporary_folder();
    FileMap map;
    Error err;
    ASSERT_OK(file_map(&map, path, &err), err);
    for (int64_t n = 0; n<map.bytes; n += map.bytes> 1200 ? 3 : 1)
        cr_expect(open_bytes(folder, map.data, (size_t)n, &err) == ERR_FORMAT, "%s: %d bytes", path,
                  (int)n);
    uint8_t *bytes = malloc(4096);
    cr_assert(bytes && map.bytes <= 4096);
    int undetected = 0;
    for (int64_t i = 0; i < map.bytes; i++) {
        memcpy(bytes, map.data, (size_t)map.bytes);
        bytes[i] ^= (uint8_t)(1 << i % 8);
        const Status st = open_bytes(folder, bytes, (size_t)map.bytes, &err);
        cr_expect(st == OK || st == ERR_FORMAT, "%s: byte %d: %s", path, (int)i, err.text);
        undetected += st == OK;
    }
    /* in a zip file every payload and the pickle have a CRC; dates, padding and attributes have
     * none */
    if (crc_guards)
        cr_expect(undetected < map.bytes * 3 / 4, "%s: %d undetected", path, undetected);
    free(bytes);
    file_unmap(&map);
    remove_folder(folder);
}

Test(torch_file, damaged_zip_files_are_refused, .timeout = 120) {
    damage("tests/goldens/torch/views.pt", true);
}

Test(torch_file, damaged_legacy_files_are_refused, .timeout = 120) {
    damage("tests/goldens/torch/legacy_views.pt", false);
}

Test(torch_file, a_wrong_crc_is_named) {
    char *folder = temporary_folder(), *path = format_text("%s/x.pt", folder);
    FileMap map;
    Error err = {""};
    TensorFile file;
    ASSERT_OK(file_map(&map, "tests/goldens/torch/module.pt", &err), err);
    uint8_t *bytes = malloc((size_t)map.bytes);
    memcpy(bytes, map.data, (size_t)map.bytes);
    ASSERT_OK(torch_open(&file, "tests/goldens/torch/module.pt", &err), err);
    const int64_t at = (const uint8_t *)file.tensor[0].data - file.map.data;
    tensor_file_close(&file);
    bytes[at] ^= 1;
    write_bytes(path, bytes, (size_t)map.bytes);
    cr_expect(torch_open(&file, path, &err) == ERR_FORMAT);
    cr_expect(strstr(err.text, "CRC") && strstr(err.text, "data/0") && strstr(err.text, "x.pt"),
              "%s", err.text);
    write_bytes(path, "hello, world, this is text", 26);
    cr_expect(torch_open(&file, path, &err) == ERR_FORMAT && strstr(err.text, "not a file"), "%s",
              err.text);
    write_bytes(path, "", 0);
    cr_expect(torch_open(&file, path, &err) == ERR_FORMAT);
    free(bytes);
    file_unmap(&map);
    free(path);
    remove_folder(folder);
}

/* --- what is written here --------------------------------------------------------------------- */

/* The checksum is that of CRC-32/ISO-HDLC; in two pieces it is the same as at once. */
Test(zip, crc_is_the_standards) {
    const uint8_t *text = (const uint8_t *)"123456789";
    cr_expect(crc32_update(0, text, 9) == 0xCBF43926u);
    cr_expect(crc32_update(crc32_update(0, text, 4), text + 4, 5) == 0xCBF43926u);
    cr_expect(crc32_update(0, text, 0) == 0);
}

Test(torch_file, written_files_are_read_back) {
    char *folder = temporary_folder(), *path = format_text("%s/model.pt", folder);
    float f[6] = {1, 2, 3, 4, 5, 6};
    int64_t n[2] = {-1, INT64_MAX};
    uint8_t u = 7;
    const Tensor out[] = {
        {.name = "a/w", .type = DTYPE_F32, .axes = 2, .shape = {2, 3}, .count = 6, .data = f},
        {.name = "a/b", .type = DTYPE_I64, .axes = 1, .shape = {2}, .count = 2, .data = n},
        {.name = "b", .type = DTYPE_U8, .axes = 0, .count = 1, .data = &u},
        {.name = "c/d/e", .type = DTYPE_F32, .axes = 1, .shape = {0}, .count = 0, .data = f},
    };
    TensorFile in;
    Error err = {""};
    ASSERT_OK(torch_save(path, out, 4, &err), err);
    ASSERT_OK(torch_open(&in, path, &err), err);
    cr_assert(in.count == 4);
    for (int i = 0; i < 4; i++) {
        const Tensor *t = &in.tensor[i];
        cr_expect_str_eq(t->name, out[i].name);
        cr_expect(t->type == out[i].type && t->axes == out[i].axes && t->count == out[i].count);
        cr_expect(!memcmp(t->shape, out[i].shape, sizeof t->shape));
        cr_expect(!memcmp(t->data, out[i].data, (size_t)(t->count * dtype_bytes(t->type))));
        cr_expect((t->count == 0) | (((const uint8_t *)t->data - in.map.data) % 64 == 0),
                  "alignment");
    }
    tensor_file_close(&in);
    const Tensor twice[] = {out[0], out[0]}, apart[] = {out[0], out[2], out[1]};
    const Tensor unsigned16 = {.name = "u", .type = DTYPE_U16, .count = 1, .data = n};
    cr_expect(torch_save(path, twice, 2, &err) == ERR_ARG);
    cr_expect(torch_save(path, apart, 3, &err) == ERR_ARG);
    cr_expect(torch_save(path, &unsigned16, 1, &err) == ERR_ARG);
    free(path);
    remove_folder(folder);
}
