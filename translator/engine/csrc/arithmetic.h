/* Vector arithmetic that all C files share. Vectors have LANES elements, which are GCC vector extensions. */

#ifndef ARITHMETIC_H
#define ARITHMETIC_H

#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX__)
#define LANES 8
#else
#define LANES 4
#endif

#define EXPORT __attribute__((visibility("default")))

typedef float vector __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t integers __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint16_t bf16_vector __attribute__((vector_size(2 * LANES), aligned(2), may_alias));

#define AT(p) (*(vector *)(p))

static inline long round_up(long n) { return (n + LANES - 1) / LANES * LANES; }

/* Select yes in the lanes where mask is all ones, and no in the lanes where mask is zero. */
static inline vector choose(integers mask, vector yes, vector no) {
    return (vector)((mask & (integers)yes) | (~mask & (integers)no));
}

static inline vector all(float x) { return (vector){0} + x; }

/* a * b + c, rounded once where the CPU has an instruction for it. */
static inline vector multiply_add(vector a, vector b, vector c) {
#if defined(__AVX512F__)
    return (vector)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__)
    return (vector)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return a * b + c;
#endif
}

static inline float sum_of(vector x) {
    float sum = 0;
    for (int l = 0; l < LANES; l++) sum += x[l];
    return sum;
}

static inline float largest_of(vector x) {
    float largest = x[0];
    for (int l = 1; l < LANES; l++) largest = x[l] > largest ? x[l] : largest;
    return largest;
}

static inline int any(integers mask) {
#if defined(__AVX512F__)
    return _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask);
#elif defined(__AVX__)
    return _mm256_movemask_ps((__m256)mask);
#else
    int bits = 0;
    for (int l = 0; l < LANES; l++) bits |= mask[l];
    return bits;
#endif
}

/* Return e^x for x <= 0, with a relative error of 2e-7. For x < -87 the result is e^-87. The method is that of Cephes'
   expf: range reduction to x = n ln 2 + r, and a polynomial for e^r. */
static inline vector exponential(vector input) {
    vector x = choose(input > all(-87.0f), input, all(-87.0f));
    vector shifted = multiply_add(x, all(1.44269504f), all(12582912.0f)); /* adding 1.5 * 2^23 rounds to an integer n, in the low bits */
    vector n = shifted - 12582912.0f;
    vector r = multiply_add(n, all(2.12194440e-4f), multiply_add(n, all(-0.693359375f), x));
    vector p = multiply_add(all(1.9875691500e-4f), r, all(1.3981999507e-3f));
    p = multiply_add(p, r, all(8.3334519073e-3f));
    p = multiply_add(p, r, all(4.1665795894e-2f));
    p = multiply_add(p, r, all(1.6666665459e-1f));
    p = multiply_add(p, r, all(5.0000001201e-1f));
    p = multiply_add(p * r, r, r) + 1.0f;
    vector scaled = (vector)((integers)p + (((integers)shifted - 0x4b400000) << 23)); /* p 2^n */
    return choose(input == input, scaled, input);                                       /* NaN stays NaN */
}

#endif
