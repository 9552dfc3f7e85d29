/* model_figures.c - the table of what the compiled kernels cost, read by tests/sass with nvcc 13.0 for sm_90a. */
#include "kernels/plan/model_figures.h"

#include <stddef.h>
#include <string.h>

/* clang-format off */
static const KernelFigures table[] = {
    /* tests/sass --model reads lines of this form: kernel, eight figures that it measures, two that it does not
     *                                 logits gradient fragments epilogue row_trips share share_trips at_once hits sums */
    {"inner_slab<Fp16, 16>",              5.3,  2.8,  0.5,   817,    1,  206,    1,    8,    0,   0},
    {"inner_slab<Fp16, 32>",              3.5,  2.1,  0.3,   980,    1,  206,    1,    8,    0,   0},
    {"iteration_slab<Fp16, 16>",          5.4,  2.9,  0.5,  1049,    1,  195,    1,    8,    0,   0},
    {"iteration_slab<Fp16, 32>",          3.6,  2.2,  0.3,  1309,    1,  213,    1,    8,    0,   0},
    {"inner_wgmma<Fp16, 64>",           23.8, 50.3,  0.5,   805,    1,  278,    1,    8,    0,   1},
    {"inner_wgmma<Fp16, 128>",          23.0, 49.3,  0.5,  1318,    1,  278,    1,    8,    0,   1},
    {"inner_wgmma<Fp16, 256>",          23.8, 49.5,  0.5,  2724,    8,  279,    1,    4,    0,   1},
    {"task_labels_wgmma<Fp16, 64>",     24.8,  0.0,  0.0,   604,    1,    0,    0,    0,    0,   0},
    {"task_labels_wgmma<Fp16, 128>",    24.0,  0.0,  0.0,  1009,    1,    0,    0,    0,    0,   0},
    {"task_labels_wgmma<Fp16, 256>",    24.8,  0.0,  0.0,  1871,    1,    0,    0,    0,    0,   0},
    {"head_labels_wgmma<Fp16, 64>",     24.8,  0.0,  0.0,   825,    1,    0,    0,    0,    0,   0},
    {"head_labels_wgmma<Fp16, 128>",    24.8,  0.0,  0.0,  1344,    1,    0,    0,    0,    0,   0},
    {"head_labels_wgmma<Fp16, 256>",    24.3,  0.0,  0.0,  2686,    5,    0,    0,    0,    0,   0},
    {"gradient_wgmma<Fp16, StoreSpaces>",
                                          0.0, 48.5,  0.5,     0,    0,    0,    0,    0,    0,   0},
    {"inner_tiled<Fp16, Shape2<64, 16, 4, 1>, Shape2<16, 128, 1, 4>>",
                                         72.0, 51.4,  0.5,   308,    5,  324,    6,   16,    0,   4},
    {"inner_tiled<Fp16, Shape2<64, 64, 2, 2>, Shape2<64, 64, 2, 2>>",
                                         19.1, 26.0,  0.3,  1104,   20,  324,    6,   16,    0,   4},
    {"inner_tiled<Fp16, Shape2<64, 128, 2, 2>, Shape2<128, 64, 2, 2>>",
                                         10.2, 13.7,  0.1,  2236,   40,  322,    6,   16,    0,   4},
    {"task_labels_tiled<Fp16, Shape2<64, 16, 4, 1>>",
                                         67.8,  0.0,  0.3,   313,    5,    0,    0,    0,    0,   0},
    {"task_labels_tiled<Fp16, Shape2<64, 64, 2, 2>>",
                                         18.1,  0.0,  0.1,  1059,   20,    0,    0,    0,    0,   0},
    {"task_labels_tiled<Fp16, Shape2<64, 128, 2, 2>>",
                                         10.1,  0.0,  0.0,  2004,   40,    0,    0,    0,    0,   0},
    {"head_labels_tiled<Fp16, Shape2<64, 16, 4, 1>>",
                                         71.8,  0.0,  0.3,   292,    5,    0,    0,    0,    0,   0},
    {"head_labels_tiled<Fp16, Shape2<64, 64, 2, 2>>",
                                         19.1,  0.0,  0.1,  1013,   20,    0,    0,    0,    0,   0},
    {"head_labels_tiled<Fp16, Shape2<64, 128, 2, 2>>",
                                         11.0,  0.0,  0.0,  1997,   40,    0,    0,    0,    0,   0},
    {"task_adam_spaces",                  0.0,  0.0,  0.0,     0,    0,  235,   16,    0,    0,   0},
};
/* clang-format on */

enum { KERNELS = sizeof table / sizeof *table };

const KernelFigures *kernel_figures_at(int i) {
    return i >= 0 && i < KERNELS ? &table[i] : NULL;
}

const KernelFigures *kernel_figures(const char *kernel) {
    static const KernelFigures none;
    for (int i = 0; i < KERNELS; i++)
        if (strcmp(table[i].kernel, kernel) == 0) return &table[i];
    return &none;
}
