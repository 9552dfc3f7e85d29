/* vector.h - eight floats at once, for the emulated products. Processors with AVX2 have a register for
 * them; the bits are the same without. */
#ifndef TURTLE_EMU_VECTOR_H
#define TURTLE_EMU_VECTOR_H

#include <stdint.h>

namespace emu {

#define INLINE static inline __attribute__((always_inline))
#if defined(__x86_64__)
#define WITH_AVX2 __attribute__((target("avx2")))
static const bool has_avx2 = __builtin_cpu_supports("avx2");
#else
#define WITH_AVX2
static const bool has_avx2 = false;
#endif

typedef float Row __attribute__((vector_size(32)));
typedef uint32_t Words __attribute__((vector_size(32)));
typedef uint16_t Halves __attribute__((vector_size(16)));

/* Converts like f32_from_f16 (io/dtype.h), eight numbers at once. */
struct F16 {
    INLINE void widen(Row *out, const Words &h) {
        const Words magnitude = (h & 0x7fffu) << 13, sign = (h & 0x8000u) << 16;
        const Words scaled = (Words)((Row)magnitude * 0x1p112f);
        const Words huge = (Words)(magnitude >= 0x0f800000u) & 0x7f800000u;
        *out = (Row)(scaled | huge | sign);
    }
};
struct Bf16 {
    INLINE void widen(Row *out, const Words &h) {
        *out = (Row)(h << 16);
    }
};

} // namespace emu

#endif
