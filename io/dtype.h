/* dtype.h - the scalar types that files and feature matrices hold. */
#ifndef TURTLE_IO_DTYPE_H
#define TURTLE_IO_DTYPE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef enum {
    DTYPE_F16,
    DTYPE_BF16,
    DTYPE_F32,
    DTYPE_F64,
    DTYPE_BOOL,
    DTYPE_I8,
    DTYPE_U8,
    DTYPE_I16,
    DTYPE_U16,
    DTYPE_I32,
    DTYPE_U32,
    DTYPE_I64,
    DTYPE_U64,
    DTYPE_COUNT
} DType;

/* Returns the bytes of one element. */
static inline int dtype_bytes(DType t) {
    static const int8_t bytes[DTYPE_COUNT] = {2, 2, 4, 8, 1, 1, 1, 2, 2, 4, 4, 8, 8};
    return bytes[t];
}

/* Returns numpy's name of the type, for messages ("float16", "int64"), or torch's name
 * "bfloat16". */
static inline const char *dtype_name(DType t) {
    static const char *const names[DTYPE_COUNT] = {
        "float16", "bfloat16", "float32", "float64", "bool",  "int8",  "uint8",
        "int16",   "uint16",   "int32",   "uint32",  "int64", "uint64"};
    return names[t];
}

/* Returns numpy's code of the type ("f4"), or NULL for bfloat16, which numpy lacks. */
static inline const char *dtype_code(DType t) {
    static const char *const codes[DTYPE_COUNT] = {"f2", NULL, "f4", "f8", "b1", "i1", "u1",
                                                   "i2", "u2", "i4", "u4", "i8", "u8"};
    return codes[t];
}

/* Finds the type of numpy's code `code`, two characters. Returns false if there is none. */
static inline bool dtype_of_code(DType *out, const char *code) {
    for (int t = 0; t < DTYPE_COUNT; t++)
        if (dtype_code((DType)t) && memcmp(dtype_code((DType)t), code, 2) == 0) {
            *out = (DType)t;
            return true;
        }
    return false;
}

static inline bool dtype_is_float(DType t) {
    return t <= DTYPE_F64;
}

static inline float f32_from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Converts IEEE 754 binary16 to binary32, exactly for every input, subnormals, infinities and NaN
 * included. It has no branch, so that a loop over it vectorises: one multiplication rebiases the
 * exponent. */
static inline float f32_from_f16(uint16_t h) {
    const uint32_t magnitude = (uint32_t)(h & 0x7fff) << 13;
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    const float scaled =
        f32_from_bits(magnitude) * 0x1p112f; /* 127 - 15; finite values are done here */
    uint32_t bits;
    memcpy(&bits, &scaled, sizeof bits);
    bits |= magnitude >= 0x0f800000u ? 0x7f800000u : 0; /* exponent 31: infinity or NaN */
    return f32_from_bits(bits | sign);
}

static inline float f32_from_bf16(uint16_t h) {
    return f32_from_bits((uint32_t)h << 16);
}

static inline uint32_t bits_of_f32(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* Rounds binary32 to the nearest bfloat16, ties to even; NaN stays NaN. */
static inline uint16_t bf16_from_f32(float x) {
    const uint32_t bits = bits_of_f32(x), nan = (bits & 0x7fffffff) > 0x7f800000 ? 0x400000 : 0;
    return (uint16_t)((nan ? bits | nan : bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* Rounds binary32 to the nearest binary16, ties to even; infinity stands beyond 65504 + half a
 * unit. */
static inline uint16_t f16_from_f32(float x) {
    const uint32_t bits = bits_of_f32(x), magnitude = bits & 0x7fffffff;
    const uint32_t normal = (magnitude - 0x38000000u + 0xfff + (magnitude >> 13 & 1)) >> 13;
    /* a unit of 0.5f is the least subnormal, 2^-24: the addition rounds */
    const uint32_t subnormal = bits_of_f32(f32_from_bits(magnitude) + 0.5f) - 0x3f000000u;
    const uint32_t special = magnitude > 0x7f800000u ? 0x7e00 : 0x7c00; /* NaN, infinity */
    const uint32_t half = magnitude >= 0x47800000u  ? special
                          : magnitude < 0x38800000u ? subnormal
                                                    : normal;
    return (uint16_t)(half | (bits >> 16 & 0x8000));
}

static inline bool host_is_big_endian(void) {
    const uint16_t one = 1;
    uint8_t first;
    memcpy(&first, &one, 1);
    return first == 0;
}

static inline uint16_t byte_swap16(uint16_t x) {
    return (uint16_t)(x << 8 | x >> 8);
}
static inline uint32_t byte_swap32(uint32_t x) {
    return (uint32_t)byte_swap16((uint16_t)x) << 16 | byte_swap16((uint16_t)(x >> 16));
}
static inline uint64_t byte_swap64(uint64_t x) {
    return (uint64_t)byte_swap32((uint32_t)x) << 32 | byte_swap32((uint32_t)(x >> 32));
}

/* Converts n floats (f16, bf16, f32, f64; possibly unaligned, possibly of the other byte order) to
 * float32. Each branch is a loop that vectorises. Returns false, having written nothing, for other
 * types. */
static inline bool dtype_to_f32(float *out, const void *data, DType type, bool swapped, int64_t n) {
    const uint8_t *from = (const uint8_t *)data;
    switch (type) {
    case DTYPE_F32:
        memcpy(out, from, (size_t)n * sizeof *out);
        for (int64_t i = 0; swapped && i < n; i++) {
            uint32_t bits;
            memcpy(&bits, out + i, sizeof bits);
            out[i] = f32_from_bits(byte_swap32(bits));
        }
        return true;
    case DTYPE_F16:
    case DTYPE_BF16:
        for (int64_t i = 0; i < n; i++) {
            uint16_t bits;
            memcpy(&bits, from + 2 * i, sizeof bits);
            if (swapped) bits = byte_swap16(bits);
            out[i] = type == DTYPE_F16 ? f32_from_f16(bits) : f32_from_bf16(bits);
        }
        return true;
    case DTYPE_F64:
        for (int64_t i = 0; i < n; i++) {
            uint64_t bits;
            double x;
            memcpy(&bits, from + 8 * i, sizeof bits);
            if (swapped) bits = byte_swap64(bits);
            memcpy(&x, &bits, sizeof x);
            out[i] = (float)x;
        }
        return true;
    default: return false;
    }
}

/* Converts n integers or bools to int64. Returns the index of the first uint64 beyond int64, n if
 * all fit, or -1 for other types. */
static inline int64_t dtype_to_i64(int64_t *out, const void *data, DType type, bool swapped,
                                   int64_t n) {
    const uint8_t *from = (const uint8_t *)data;
    if (dtype_is_float(type)) return -1;
    for (int64_t i = 0; i < n; i++) {
        uint16_t b2;
        uint32_t b4;
        uint64_t b8;
        switch (dtype_bytes(type)) {
        case 1: out[i] = type == DTYPE_I8 ? (int8_t)from[i] : from[i]; break;
        case 2:
            memcpy(&b2, from + 2 * i, sizeof b2);
            if (swapped) b2 = byte_swap16(b2);
            out[i] = type == DTYPE_I16 ? (int16_t)b2 : b2;
            break;
        case 4:
            memcpy(&b4, from + 4 * i, sizeof b4);
            if (swapped) b4 = byte_swap32(b4);
            out[i] = type == DTYPE_I32 ? (int32_t)b4 : (int64_t)b4;
            break;
        default:
            memcpy(&b8, from + 8 * i, sizeof b8);
            if (swapped) b8 = byte_swap64(b8);
            if (type == DTYPE_U64 && b8 > INT64_MAX) return i;
            out[i] = (int64_t)b8;
        }
    }
    return n;
}

/* Converts n numbers of any type to float64; integers beyond 2^53 are rounded. */
static inline void dtype_to_f64(double *out, const void *data, DType type, bool swapped,
                                int64_t n) {
    const uint8_t *from = (const uint8_t *)data;
    const int bytes = dtype_bytes(type);
    for (int64_t i = 0; i < n; i++, from += bytes) {
        float f;
        int64_t whole = 0;
        uint64_t b8;
        if (bytes == 8) {
            memcpy(&b8, from, sizeof b8);
            if (swapped) b8 = byte_swap64(b8);
            if (type == DTYPE_F64) memcpy(out + i, &b8, sizeof b8);
            else out[i] = type == DTYPE_U64 ? (double)b8 : (double)(int64_t)b8;
        } else if (dtype_is_float(type)) {
            dtype_to_f32(&f, from, type, swapped, 1);
            out[i] = f;
        } else {
            dtype_to_i64(&whole, from, type, swapped, 1);
            out[i] = (double)whole;
        }
    }
}

#endif
