/* Vectors of floats, integers and bfloat16 values, and what all operations compute with them. The C sources are built
   once for each level of CPU features (pyproject.toml); native_library.py chooses a level and loads it. */

#ifndef ARITHMETIC_H
#define ARITHMETIC_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__AVX512F__)
#include <immintrin.h>
#define LANES 16
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define LANES 8
#else
#if defined(__aarch64__)
#include <arm_neon.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif
#define LANES 4
#endif

/* Marks the functions that Python calls. All others are invisible outside the library (-fvisibility=hidden). */
#define EXPORT __attribute__((visibility("default")))

/* Vector registers of LANES floats, integers and bfloat16 values (GCC vector extensions). The attributes allow
   loads from unaligned memory of any type. */
typedef float vector __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t integers __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint16_t bf16_vector __attribute__((vector_size(2 * LANES), aligned(2), may_alias));
typedef float four __attribute__((vector_size(16))); /* the part of a vector that every CPU adds at once */

#define AT(p) (*(vector *)(p))

static inline long round_up(long n) { return (n + LANES - 1) / LANES * LANES; }

/* Allocate memory that starts at a cache line, so that its vectors do not straddle two lines. Return NULL if there is
   none. */
static inline void *allocate(size_t bytes) {
    void *memory;
    return posix_memalign(&memory, 64, bytes) ? NULL : memory;
}

/* Select yes in the lanes where mask is all ones, and no in the lanes where mask is zero. */
static inline vector choose(integers mask, vector yes, vector no) {
    return (vector)((mask & (integers)yes) | (~mask & (integers)no));
}

static inline vector all(float x) { return x - (vector){0}; } /* x + 0 would not be x if x is -0 */

/* Return a * b + c, rounded once where the CPU has an instruction for it. The compiler must not contract products and
   sums by itself (-ffp-contract=off), so that results do not depend on how it orders them. */
static inline vector fmadd(vector a, vector b, vector c) {
#if LANES == 16
    return (vector)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif LANES == 8
    return (vector)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__)
    return (vector)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
    return a * b + c;
#endif
}

/* Return a where it is greater than b, else b; so b if either is NaN. */
static inline vector larger(vector a, vector b) {
#if LANES == 16
    return (vector)_mm512_max_ps((__m512)a, (__m512)b);
#elif LANES == 8
    return (vector)_mm256_max_ps((__m256)a, (__m256)b);
#else
    return choose(a > b, a, b);
#endif
}

static inline float sum_of(vector x) {
    union { vector whole; four of[LANES / 4]; } parts = {x};
    for (int i = 1; i < LANES / 4; i++) parts.of[0] += parts.of[i];
    return (parts.of[0][0] + parts.of[0][1]) + (parts.of[0][2] + parts.of[0][3]);
}

static inline float largest_of(vector x) {
#if LANES == 16
    return _mm512_reduce_max_ps((__m512)x);
#else
    float largest = x[0];
    for (int l = 1; l < LANES; l++) largest = x[l] > largest ? x[l] : largest;
    return largest;
#endif
}

/* Return a mask of the first n lanes. */
static inline integers first_lanes(long n) {
    integers lanes;
    for (int l = 0; l < LANES; l++) lanes[l] = l < n ? -1 : 0;
    return lanes;
}

/* Return whether any lane of a mask is set. */
static inline int any(integers mask) {
#if LANES == 16
    return _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask);
#elif LANES == 8
    return _mm256_movemask_ps((__m256)mask);
#else
    int bits = 0;
    for (int l = 0; l < LANES; l++) bits |= mask[l];
    return bits;
#endif
}

/* Return e^x for x <= 0, with a relative error of 2e-7. For x < -87 the result is e^-87; NaN stays NaN. The method is that
   of Cephes' expf: range reduction to x = n ln 2 + r, and a polynomial for e^r. */
static inline vector exponential(vector input) {
    vector x = larger(all(-87.0f), input);
    vector shifted = fmadd(x, all(1.44269504f), all(12582912.0f)); /* 1.5 * 2^23: rounds to n, in the low bits */
    vector n = shifted - 12582912.0f;
    vector r = fmadd(n, all(2.12194440e-4f), fmadd(n, all(-0.693359375f), x));
    vector p = fmadd(all(1.9875691500e-4f), r, all(1.3981999507e-3f));
    p = fmadd(p, r, all(8.3334519073e-3f));
    p = fmadd(p, r, all(4.1665795894e-2f));
    p = fmadd(p, r, all(1.6666665459e-1f));
    p = fmadd(p, r, all(5.0000001201e-1f));
    p = fmadd(p * r, r, r) + 1.0f;
    return p * (vector)(((integers)shifted - 0x4b400000 + 127) << 23); /* p 2^n */
}

/* A bfloat16 is the upper half of a float32. Conversion to bfloat16 rounds to nearest, ties to even. */
static inline float widen(uint16_t x) {
    union { uint32_t bits; float value; } u = {(uint32_t)x << 16};
    return u.value;
}

static inline uint16_t narrow(float x) {
    union { float value; uint32_t bits; } u = {x};
    uint32_t rounded = (u.bits + 0x7fff + ((u.bits >> 16) & 1)) >> 16;
    return x == x ? (uint16_t)rounded : 0x7fc0; /* NaN */
}

/* Rows of bfloat16 or float32 values in memory: the address of the first value, and the stride between rows. */
typedef struct { char *first; long stride; int is_bf16; } rows;

static inline rows part(void *tensor, int is_bf16, long stride, long row, long column) {
    return (rows){(char *)tensor + (row * stride + column) * (is_bf16 ? 2 : 4), stride, is_bf16};
}

static inline vector load_vector(rows from, long e) {
    if (!from.is_bf16) return AT((float *)from.first + e);
    return (vector)(__builtin_convertvector(*(bf16_vector *)((uint16_t *)from.first + e), integers) << 16);
}

static inline void store_vector(rows to, long e, vector x) {
    integers bits = (integers)x, is_number = x == x;
    integers rounded = bits + (is_number & (0x7fff + ((bits >> 16) & 1)));
    if (!to.is_bf16) AT((float *)to.first + e) = x;
    else *(bf16_vector *)((uint16_t *)to.first + e) = __builtin_convertvector(rounded >> 16, bf16_vector);
}

static inline float get(rows from, long at) {
    return from.is_bf16 ? widen(((uint16_t *)from.first)[at]) : ((float *)from.first)[at];
}

/* Convert n rows of width values to float32. The shape of `to` is (n, width). */
static inline void load(float *restrict to, rows from, long n, long width) {
    for (long i = 0; i < n; i++)
        for (long e = 0; e < width; e++) to[i * width + e] = get(from, i * from.stride + e);
}

/* Convert n rows to float32 and transpose them. The shape of `to` is (width, n rounded up); its columns from n on are
   zero. */
static inline void load_transposed(float *restrict to, rows from, long n, long width) {
    long padded = round_up(n);
    for (long e = 0; e < width; e++) {
        for (long i = 0; i < n; i++) to[e * padded + i] = get(from, i * from.stride + e);
        for (long i = n; i < padded; i++) to[e * padded + i] = 0;
    }
}

/* Convert `from`, which is (n, width) in float32, to the dtype of the rows `to`. */
static inline void store(rows to, const float *restrict from, long n, long width) {
    for (long i = 0; i < n; i++)
        for (long e = 0, at = i * to.stride; e < width; e++, at++)
            if (to.is_bf16) ((uint16_t *)to.first)[at] = narrow(from[i * width + e]);
            else ((float *)to.first)[at] = from[i * width + e];
}

#endif
