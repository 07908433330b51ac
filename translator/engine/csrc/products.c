/* Matrix products with prepacked weights. The sums of a tile, ROWS rows by VECTORS vector registers, stay in registers
   while the innermost loop runs over the input's columns, so each weight that is loaded is used for up to ROWS rows. */

#include "products.h"

#include <stdlib.h>

#define ROWS 6
#if LANES == 16
#define VECTORS 4
#else
#define VECTORS 2
#endif
#define PANEL (VECTORS * LANES)
/* Rows that are multiplied by all panels before the next rows are read; their inputs should fit the L2 cache. */
#define ROW_BLOCK 96

#if defined(__AVX512BF16__)
#define HAS_BF16 1
#else
#define HAS_BF16 0
#endif

/* Integers are multiplied four at a time where the CPU can, and elsewhere as 16-bit integers in pairs. */
#if defined(__AVX512VNNI__)
typedef int8_t quantized;
#define OFFSET 128 /* the instruction takes weights without a sign */
#else
typedef int16_t quantized;
#define OFFSET 0
#endif
typedef quantized quantized_vector __attribute__((vector_size(LANES * sizeof(quantized)), aligned(1), may_alias));

static inline vector float32_dot(vector sum, integers x, integers w) { return fmadd((vector)x, (vector)w, sum); }

static inline vector bfloat16_dot(vector sum, integers x, integers w) {
#if HAS_BF16
    return (vector)_mm512_dpbf16_ps((__m512)sum, (__m512bh)x, (__m512bh)w);
#else
    return float32_dot(sum, x, w);
#endif
}

static inline integers int8_dot(integers sum, integers x, integers w) {
#if defined(__AVX512VNNI__)
    return (integers)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)w, (__m512i)x);
#elif LANES == 8
    return sum + (integers)_mm256_madd_epi16((__m256i)x, (__m256i)w);
#elif defined(__SSE2__)
    return sum + (integers)_mm_madd_epi16((__m128i)x, (__m128i)w);
#else
    return sum + (x << 16 >> 16) * (w << 16 >> 16) + (x >> 16) * (w >> 16);
#endif
}

/* Return the bytes of a converted value. Without instructions for bfloat16, rounded values are kept as floats. */
static long value_size(enum precision precision) {
    return precision == INT8 ? (long)sizeof(quantized) : precision == BFLOAT16 && HAS_BF16 ? 2 : 4;
}

/* A product in progress. */
typedef struct {
    const linear *layer;
    const int32_t *words; /* the converted input */
    long n_words, stride; /* words of a row, and from one row to the next */
    const float *row_scales;
    const int32_t *row_sums;
    matrix y;
    const float *residual;
    enum activation activation;
} product;

static __attribute__((noinline)) vector activate(enum activation kind, vector x) {
    if (kind == SILU) {
        vector e = exponential(choose(x > all(0), -x, x)); /* e^-|x| */
        return x * choose(x > all(0), all(1), e) / (e + 1.0f);
    }
    if (kind == GELU)
        for (int l = 0; l < LANES; l++) x[l] = 0.5f * x[l] * (1 + erff(x[l] * 0.70710678f));
    return x;
}

static inline vector real(const product *p, long row, long column, integers sum) {
    return __builtin_convertvector(sum - p->row_sums[row], vector) * p->row_scales[row] * AT(p->layer->scales + column);
}

static inline void finish(const product *p, long row, long column, vector y) {
    long at = row * p->y.stride + column;
    if (p->layer->bias) y += AT(p->layer->bias + column);
    if (p->activation == RELU) y = larger(all(0), y); /* NaN stays NaN */
    else if (p->activation) y = activate(p->activation, y);
    if (p->residual) y += AT(p->residual + at);
    if (column + LANES <= p->layer->n_out) AT(p->y.first + at) = y;
    else memcpy(p->y.first + at, &y, 4 * (p->layer->n_out - column));
}

#define float32_finish(p, row, column, sum) finish(p, row, column, sum)
#define bfloat16_finish(p, row, column, sum) finish(p, row, column, sum)
#define int8_finish(p, row, column, sum) finish(p, row, column, real(p, row, column, sum))

#define CASE(NAME, N_ROWS)                                                                                    \
    case 2 * N_ROWS: NAME##_tile(p, row, column, N_ROWS, 1); break;                                           \
    case 2 * N_ROWS + 1: NAME##_tile(p, row, column, N_ROWS, VECTORS); break;

/* Define the function that computes n_rows rows of one panel. `tile` is inlined with constant arguments. */
#define DEFINE_PRODUCT(NAME, SUM)                                                                             \
    static inline __attribute__((always_inline)) void NAME##_tile(const product *p, long row, long column,    \
                                                                  const int n_rows, const int n_vectors) {    \
        SUM sum[ROWS][VECTORS];                                                                               \
        const int32_t *x = p->words + row * p->stride;                                                        \
        const int32_t *w = (int32_t *)p->layer->panels + column * p->n_words;                                 \
        _Pragma("GCC unroll 8") for (int r = 0; r < n_rows; r++)                                              \
            _Pragma("GCC unroll 8") for (int v = 0; v < n_vectors; v++) sum[r][v] = (SUM){0};                 \
        for (long k = 0; k < p->n_words; k++, w += n_vectors * LANES)                                         \
            _Pragma("GCC unroll 8") for (int r = 0; r < n_rows; r++) {                                        \
                integers broadcast = (integers){0} + x[r * p->stride + k];                                    \
                _Pragma("GCC unroll 8") for (int v = 0; v < n_vectors; v++)                                   \
                    sum[r][v] = NAME##_dot(sum[r][v], broadcast, *(const integers *)(w + v * LANES));         \
            }                                                                                                 \
        _Pragma("GCC unroll 8") for (int r = 0; r < n_rows; r++)                                              \
            _Pragma("GCC unroll 8") for (int v = 0; v < n_vectors; v++)                                       \
                NAME##_finish(p, row + r, column + v * LANES, sum[r][v]);                                     \
    }                                                                                                         \
    static void NAME##_panel(const product *p, long row, long column, long n_rows, int is_whole) {            \
        switch (2 * n_rows + is_whole) {                                                                      \
            CASE(NAME, 1) CASE(NAME, 2) CASE(NAME, 3) CASE(NAME, 4) CASE(NAME, 5) CASE(NAME, 6)               \
        }                                                                                                     \
    }

DEFINE_PRODUCT(float32, vector)
DEFINE_PRODUCT(bfloat16, vector)
DEFINE_PRODUCT(int8, integers)

/* Round a row to bfloat16, to nearest and ties to even. n is a multiple of LANES. */
static void round_row(void *to, const float *from, long n) {
    for (long k = 0; k < n; k += LANES) {
        integers bits = *(const integers *)(from + k), is_number = AT(from + k) == AT(from + k);
        integers rounded = (bits + (is_number & (0x7fff + ((bits >> 16) & 1)))) >> 16;
#if HAS_BF16
        *(bf16_vector *)((uint16_t *)to + k) = __builtin_convertvector(rounded, bf16_vector);
#else
        *(integers *)((int32_t *)to + k) = rounded << 16;
#endif
    }
}

/* Quantize a row to integers from -127 to 127, and return its scale, which is NaN if a value is not finite. Store
   OFFSET times the sum of the integers in `sum`. n is a multiple of LANES. */
static float quantize_row(quantized *to, const float *from, long n, int32_t *sum) {
    vector peak = {0}, zero = {0};
    integers total = {0};
    for (long k = 0; k < n; k += LANES) {
        vector size = (vector)(*(const integers *)(from + k) & 0x7fffffff);
        peak = larger(size, peak);
        zero += AT(from + k) * 0; /* NaN if the value is infinite or NaN */
    }
    float largest = largest_of(peak), factor = largest > 1e-30f ? 127 / largest : 0;
    for (long k = 0; k < n; k += LANES) {
        /* Adding 1.5 * 2^23 rounds to the nearest integer, which is then in the low bits. */
        integers rounded = (integers)(AT(from + k) * factor + 12582912.0f) - 0x4b400000;
        *(quantized_vector *)(to + k) = __builtin_convertvector(rounded, quantized_vector);
        total += rounded;
    }
    *sum = 0;
    for (int l = 0; l < LANES; l++) *sum += OFFSET * total[l];
    return largest / 127 + sum_of(zero);
}

long scratch_size(long n_rows, long n_in) { return n_rows * (4 * n_in + 8) + 64; }

void apply(const linear *layer, matrix x, long n_rows, matrix y, enum activation activation, const float *residual,
           void *scratch) {
    long n_in = layer->n_in, bytes = value_size(layer->precision);
    float *row_scales = scratch;
    int32_t *row_sums = (int32_t *)(row_scales + n_rows);
    char *words = (char *)(row_sums + n_rows);
    for (long i = 0; i < n_rows && layer->precision; i++) {
        void *to = words + i * n_in * bytes;
        if (layer->precision == INT8) row_scales[i] = quantize_row(to, x.first + i * x.stride, n_in, row_sums + i);
        else round_row(to, x.first + i * x.stride, n_in);
    }
    int is_float32 = layer->precision == FLOAT32;
    long n_words = n_in * bytes / 4;
    product p = {layer, is_float32 ? (int32_t *)x.first : (int32_t *)words, n_words, is_float32 ? x.stride : n_words,
                 row_scales, row_sums, y, residual, activation};
    for (long block = 0; block < n_rows; block += ROW_BLOCK) {
        long end = block + ROW_BLOCK < n_rows ? block + ROW_BLOCK : n_rows;
        for (long column = 0, width; column < layer->n_out; column += width) {
            int is_whole = column + PANEL <= round_up(layer->n_out);
            width = is_whole ? PANEL : LANES;
            for (long row = block; row < end; row += ROWS) {
                long n = end - row < ROWS ? end - row : ROWS;
                if (is_float32) float32_panel(&p, row, column, n, is_whole);
                else if (layer->precision == BFLOAT16) bfloat16_panel(&p, row, column, n, is_whole);
                else int8_panel(&p, row, column, n, is_whole);
            }
        }
    }
}

/* Write (n_in, n_out) values of `size` bytes to panels of words that hold `per_word` of them. */
static void pack(char *panels, const char *from, long n_in, long n_out, long in_stride, long out_stride, long size) {
    long per_word = 4 / size;
    memset(panels, 0, n_in * size * round_up(n_out));
    for (long column = 0, width; column < n_out; column += width) {
        width = column + PANEL <= round_up(n_out) ? PANEL : LANES;
        for (long n = 0; n < width && column + n < n_out; n++)
            for (long k = 0; k < n_in; k++) {
                long word = column * (n_in / per_word) + k / per_word * width + n;
                const char *value = from + (k * in_stride + (column + n) * out_stride) * size;
                memcpy(panels + 4 * word + k % per_word * size, value, size);
            }
    }
}

void pack_float32(float *panels, const float *from, long n_in, long n_out, long in_stride, long out_stride) {
    pack((char *)panels, (const char *)from, n_in, n_out, in_stride, out_stride, 4);
}

int prepack(linear *layer, const float *weight, const float *bias, long n_out, long n_in, enum precision precision,
            float padding) {
    long padded = round_up(n_out), size = value_size(precision);
    char *converted = malloc(n_out * n_in * 4 + 64);
    *layer = (linear){n_in, n_out, precision, allocate(n_in * size * padded), NULL, NULL};
    layer->scales = calloc(padded, 4);
    layer->bias = calloc(padded, 4);
    if (!converted || !layer->panels || !layer->scales || !layer->bias) {
        free(converted);
        return -1;
    }
    for (long n = 0; n < padded; n++) layer->bias[n] = n >= n_out ? padding : bias ? bias[n] : 0;
    for (long n = 0; n < n_out; n++) {
        void *to = converted + n * n_in * size;
        int32_t sum;
        if (precision == FLOAT32) memcpy(to, weight + n * n_in, n_in * 4);
        else if (precision == BFLOAT16) round_row(to, weight + n * n_in, n_in);
        else layer->scales[n] = quantize_row(to, weight + n * n_in, n_in, &sum);
#if OFFSET
        if (precision == INT8) for (long k = 0; k < n_in; k++) ((uint8_t *)to)[k] += OFFSET;
#endif
    }
    pack(layer->panels, converted, n_in, n_out, 1, n_in, size);
    free(converted);
    return 0;
}

void free_linear(linear *layer) {
    free(layer->panels);
    free(layer->scales);
    free(layer->bias);
}
