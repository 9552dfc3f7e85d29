/* recorded_encoders.h - encoders of every family with recorded features, for tests of the CUDA backend.
 *
 * Limits in float32 are those of the CPU's tests, 15 times the difference of the original's float32 from its
 * float64; `half` is that of the MANIFESTs for float16, 3 times the difference of an original whose activations are
 * rounded. */
#ifndef TURTLE_TESTS_SUPPORT_RECORDED_ENCODERS_H
#define TURTLE_TESTS_SUPPORT_RECORDED_ENCODERS_H

#include "io/files/gzip.h"
#include "tests/gpu/device_memory.h"
#include "tests/support/encoder_bench.h"
#include "tests/support/golden.h"
#include "tests/support/weights_file.h"

#define MODERN "tests/goldens/encoders_modern/"
typedef enum { NORMALISED, BYTES, PHOTOGRAPHS } Input;

/* One network with its recorded features. */
typedef struct {
    const char *weights; /* a golden: deflated, or a name for copy_weights, or unpacked by make */
    const char *name, *config[2];
    const char *input, *output; /* input NULL: photographs from number `first` on */
    Input kind;
    int first;
    int64_t B, d;
    int side;  /* --image_size; 0: the file's own */
    int least; /* the smallest side: one patch, or one place behind all strides */
    double limit, half;
    bool family; /* stands for its family in `make test` */
} Recorded;
static const Recorded networks[] = {
    {"clip_vit_tiny.pt",
     NULL,
     {NULL},
     "encoders/clip_vit_tiny_input.npy",
     "encoders/clip_vit_tiny_output.npy",
     NORMALISED,
     0,
     4,
     48,
     0,
     8,
     5e-5,
     1e-2,
     true},
    {"clip_rn_tiny.pt",
     NULL,
     {NULL},
     "encoders/clip_rn_tiny_input.npy",
     "encoders/clip_rn_tiny_output.npy",
     NORMALISED,
     0,
     4,
     40,
     0,
     32,
     1e-4,
     2e-2,
     true},
    {"dinov2_swiglu_tiny.pth",
     NULL,
     {NULL},
     "encoders/dinov2_input.npy",
     "encoders/dinov2_swiglu_tiny_output.npy",
     NORMALISED,
     0,
     2,
     64,
     0,
     14,
     2e-4,
     5e-2,
     true},
    {"dinov2_mlp_tiny.pth",
     NULL,
     {NULL},
     "encoders/dinov2_input.npy",
     "encoders/dinov2_mlp_tiny_output.npy",
     NORMALISED,
     0,
     2,
     64,
     0,
     14,
     1e-4,
     5e-2,
     false},
    {"dinov2_reg_mlp_tiny.pth",
     NULL,
     {NULL},
     "encoders/dinov2_input.npy",
     "encoders/dinov2_reg_mlp_tiny_output.npy",
     NORMALISED,
     0,
     2,
     128,
     0,
     14,
     5e-5,
     5e-2,
     false},
    {MODERN "dinov3_mlp/dinov3_mlp.pth.gz",
     "dinov3.pth",
     {NULL},
     "encoders_modern/dinov3_mlp_64_pixels.npy",
     "encoders_modern/dinov3_mlp_64_output.npy",
     BYTES,
     0,
     2,
     128,
     64,
     16,
     5e-5,
     1e-2,
     true},
    {MODERN "dinov3_mlp/dinov3_mlp.pth.gz",
     "dinov3.pth",
     {NULL},
     "encoders_modern/dinov3_mlp_80_pixels.npy",
     "encoders_modern/dinov3_mlp_80_output.npy",
     BYTES,
     0,
     2,
     128,
     80,
     16,
     5e-5,
     1e-2,
     false},
    {MODERN "dinov3_mlp/hf/model.safetensors.gz",
     "model.safetensors",
     {MODERN "dinov3_mlp/hf/config.json", MODERN "dinov3_mlp/hf/preprocessor_config.json"},
     "encoders_modern/dinov3_mlp_64_pixels.npy",
     "encoders_modern/dinov3_mlp_64_output_f32periods.npy",
     BYTES,
     0,
     2,
     128,
     64,
     16,
     5e-5,
     1e-2,
     false},
    {MODERN "dinov3_7b/dinov3_7b.pth.gz",
     "dinov3.pth",
     {NULL},
     "encoders_modern/dinov3_7b_64_pixels.npy",
     "encoders_modern/dinov3_7b_64_output.npy",
     BYTES,
     0,
     2,
     128,
     64,
     16,
     5e-5,
     1e-2,
     false},
    {MODERN "dinov3_untied/dinov3_untied.pth.gz",
     "dinov3.pth",
     {NULL},
     "encoders_modern/dinov3_untied_48_pixels.npy",
     "encoders_modern/dinov3_untied_48_output.npy",
     BYTES,
     0,
     2,
     64,
     48,
     16,
     2e-5,
     1e-2,
     false},
    {"tests/goldens/encoder_config/openclip_h.safetensors.gz",
     "open_clip_model.safetensors",
     {"tests/goldens/encoder_config/openclip_h_open_clip_config.json"},
     NULL,
     "encoder_config/openclip_h_output.npy",
     PHOTOGRAPHS,
     0,
     3,
     48,
     0,
     8,
     2e-5,
     1e-2,
     false},
    {MODERN "openclip_bigg/open_clip/open_clip_pytorch_model.bin.gz",
     "open_clip_pytorch_model.bin",
     {MODERN "openclip_bigg/open_clip/open_clip_config.json"},
     NULL,
     "encoders_modern/openclip_bigg_output.npy",
     PHOTOGRAPHS,
     0,
     3,
     56,
     0,
     14,
     2e-5,
     1e-2,
     true},
    {MODERN "siglip_base/hf/model.safetensors.gz",
     "model.safetensors",
     {MODERN "siglip_base/hf/config.json", MODERN "siglip_base/hf/preprocessor_config.json"},
     NULL,
     "encoders_modern/siglip_base_output.npy",
     PHOTOGRAPHS,
     0,
     2,
     128,
     0,
     16,
     5e-5,
     1e-2,
     false},
    {MODERN "siglip_so400m/hf5_vision/model.safetensors.gz",
     "model.safetensors",
     {MODERN "siglip_so400m/hf5_vision/config.json"},
     NULL,
     "encoders_modern/siglip_so400m_output.npy",
     PHOTOGRAPHS,
     1,
     2,
     144,
     0,
     14,
     5e-5,
     1e-2,
     true},
};
enum { NETWORKS = sizeof networks / sizeof *networks };

static inline Bench cuda_bench(void) {
    Bench b;
    Error err;
    need_gpu();
    ASSERT_OK(ops_open(&b.ops, "cuda", 2, NULL, &err), err);
    b.folder = temporary_folder();
    return b;
}

static inline void copy_beside(const Bench *b, const char *from) {
    char text[4096], *path = format_text("%s/%s", b->folder, strrchr(from, '/') + 1);
    const char *name = strstr(path, "openclip_h_");
    read_text(text, sizeof text, from);
    cr_assert(*text, "%s", from);
    char *to = name ? format_text("%s/%s", b->folder, name + strlen("openclip_h_")) : path;
    write_bytes(to, text, strlen(text));
    if (to != path) free(to);
    free(path);
}

/* Lays the weights and their configurations out in the bench's folder. Returns the path of the weights. */
static inline char *lay_out(const Bench *b, const Recorded *n) {
    for (int i = 0; i < 2 && n->config[i]; i++) copy_beside(b, n->config[i]);
    if (!n->name && strstr(n->weights, ".pth"))
        return format_text(TURTLE_BUILD "/goldens/encoders/%s", n->weights);
    if (!n->name) return copy_weights(b->folder, n->weights);
    FileMap map;
    uint8_t *bytes;
    int64_t count;
    Error err;
    char *path = format_text("%s/%s", b->folder, n->name);
    ASSERT_OK(file_map(&map, n->weights, &err), err);
    ASSERT_OK(gzip_inflate(&bytes, &count, map.data, map.bytes, 1 << 24, n->weights, &err), err);
    write_bytes(path, bytes, (size_t)count);
    file_unmap(&map);
    free(bytes);
    return path;
}

/* Returns whether a test takes the network. */
static inline bool chosen(const Recorded *n) {
    return n->family || getenv("TURTLE_TEST_FULL");
}

#endif
