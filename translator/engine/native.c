/* Operations of a training step on a CPU: attention on short sentences, softmax cross-entropy, dropout and layer
   norm. Intermediate results stay in registers and in the L1 cache. compiler.py compiles this file; native.py
   calls the functions and documents their arguments. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX__)
#define LANES 8
#else
#define LANES 4
#endif

/* Vector registers of LANES floats, integers and bfloat16 values (GCC vector extensions). The attributes allow
   loads from unaligned memory of any type. */
typedef float vector __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t integers __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint16_t bf16_vector __attribute__((vector_size(2 * LANES), aligned(2), may_alias));

#define AT(p) (*(vector *)(p))

long lanes(void) { return LANES; }

static long round_up(long n) { return (n + LANES - 1) / LANES * LANES; }

/* Select yes in the lanes where mask is all ones, and no in the lanes where mask is zero. */
static vector choose(integers mask, vector yes, vector no) {
    return (vector)((mask & (integers)yes) | (~mask & (integers)no));
}

static vector all(float x) { return (vector){0} + x; }

static float sum_of(vector x) {
    float sum = 0;
    for (int l = 0; l < LANES; l++) sum += x[l];
    return sum;
}

static float largest_of(vector x) {
    float largest = x[0];
    for (int l = 1; l < LANES; l++) largest = x[l] > largest ? x[l] : largest;
    return largest;
}

/* Return e^x for x <= 0, with a relative error of 2e-7. For x < -87 the result is e^-87. The method is that of Cephes'
   expf: range reduction to x = n ln 2 + r, and a polynomial for e^r. */
static vector exponential(vector input) {
    vector x = choose(input > all(-87.0f), input, all(-87.0f));
    vector shifted = x * 1.44269504f + 12582912.0f; /* adding 1.5 * 2^23 rounds to an integer n, in the low bits */
    vector n = shifted - 12582912.0f;
    vector r = x - n * 0.693359375f - n * -2.12194440e-4f;
    vector p = 1.9875691500e-4f * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    vector scaled = (vector)((integers)p + (((integers)shifted - 0x4b400000) << 23)); /* p 2^n */
    return choose(input == input, scaled, input);                                       /* NaN stays NaN */
}

/* A bfloat16 is the upper half of a float32. Conversion to bfloat16 rounds to nearest, ties to even. */
static float widen(uint16_t x) {
    union { uint32_t bits; float value; } u = {(uint32_t)x << 16};
    return u.value;
}

static uint16_t narrow(float x) {
    union { float value; uint32_t bits; } u = {x};
    uint32_t rounded = (u.bits + 0x7fff + ((u.bits >> 16) & 1)) >> 16;
    return x == x ? (uint16_t)rounded : 0x7fc0; /* NaN */
}

/* Rows of bfloat16 or float32 values in memory: the address of the first value, and the stride between rows. */
typedef struct { char *first; long stride; int is_bf16; } rows;

static rows part(void *tensor, int is_bf16, long stride, long row, long column) {
    return (rows){(char *)tensor + (row * stride + column) * (is_bf16 ? 2 : 4), stride, is_bf16};
}

static vector load_vector(rows from, long e) {
    if (!from.is_bf16) return AT((float *)from.first + e);
    return (vector)(__builtin_convertvector(*(bf16_vector *)((uint16_t *)from.first + e), integers) << 16);
}

static void store_vector(rows to, long e, vector x) {
    integers bits = (integers)x, is_number = x == x;
    integers rounded = bits + (is_number & (0x7fff + ((bits >> 16) & 1)));
    if (!to.is_bf16) AT((float *)to.first + e) = x;
    else *(bf16_vector *)((uint16_t *)to.first + e) = __builtin_convertvector(rounded >> 16, bf16_vector);
}

/* Convert n rows of width values to float32. The shape of `to` is (n, width). */
static void load(float *restrict to, rows from, long n, long width) {
    for (long i = 0; i < n; i++) {
        const uint16_t *narrow_row = (uint16_t *)from.first + i * from.stride;
        const float *row = (float *)from.first + i * from.stride;
        if (from.is_bf16) for (long e = 0; e < width; e++) to[i * width + e] = widen(narrow_row[e]);
        else for (long e = 0; e < width; e++) to[i * width + e] = row[e];
    }
}

/* Convert n rows to float32 and transpose them. The shape of `to` is (width, n rounded up); its columns from n on are
   zero. */
static void load_transposed(float *restrict to, rows from, long n, long width) {
    long padded = round_up(n);
    for (long e = 0; e < width; e++) {
        const uint16_t *narrow_row = (uint16_t *)from.first + e;
        const float *row = (float *)from.first + e;
        if (from.is_bf16) for (long i = 0; i < n; i++) to[e * padded + i] = widen(narrow_row[i * from.stride]);
        else for (long i = 0; i < n; i++) to[e * padded + i] = row[i * from.stride];
        for (long i = n; i < padded; i++) to[e * padded + i] = 0;
    }
}

/* Convert `from`, which is (n, width) in float32, to the dtype of the rows `to`. */
static void store(rows to, const float *restrict from, long n, long width) {
    for (long i = 0; i < n; i++) {
        uint16_t *narrow_row = (uint16_t *)to.first + i * to.stride;
        float *row = (float *)to.first + i * to.stride;
        if (to.is_bf16) for (long e = 0; e < width; e++) narrow_row[e] = narrow(from[i * width + e]);
        else for (long e = 0; e < width; e++) row[e] = from[i * width + e];
    }
}

/* In `multiply`: compute blocks of c, of ROWS rows and VECTORS registers of columns, and accumulate each block in
   registers. */
#define BLOCK(ROWS, VECTORS)                                                                                  \
    for (; i + ROWS <= m; i += ROWS) {                                                                        \
        vector sum[ROWS][VECTORS] = {0};                                                                      \
        for (long l = 0; l < k; l++)                                                                          \
            for (int r = 0; r < ROWS; r++)                                                                    \
                for (int v = 0; v < VECTORS; v++)                                                             \
                    sum[r][v] += a[(i + r) * a_row + l * a_column] * AT(b + l * n + j + v * LANES);           \
        for (int r = 0; r < ROWS; r++)                                                                        \
            for (int v = 0; v < VECTORS; v++) AT(c + (i + r) * n + j + v * LANES) = sum[r][v];                \
    }

/* c (m, n) = a (m, k) b (k, n). The strides of `a` allow a transposed `a`; n is a multiple of LANES. */
static void multiply(float *restrict c, const float *restrict a, long a_row, long a_column,
                     const float *restrict b, long m, long k, long n) {
    long j = 0;
    for (; j + 2 * LANES <= n; j += 2 * LANES) {
        long i = 0;
        BLOCK(8, 2) BLOCK(4, 2) BLOCK(2, 2) BLOCK(1, 2)
    }
    for (; j < n; j += LANES) {
        long i = 0;
        BLOCK(8, 1) BLOCK(4, 1) BLOCK(2, 1) BLOCK(1, 1)
    }
}

/* Replace a row of scores by softmax(scores * scale + bias); n is a multiple of LANES. */
static void softmax(float *row, const float *bias, float scale, long n) {
    vector peak = all(-INFINITY), sum = {0};
    for (long j = 0; j < n; j += LANES) {
        AT(row + j) = AT(row + j) * scale + AT(bias + j);
        peak = choose(AT(row + j) > peak, AT(row + j), peak);
    }
    float top = largest_of(peak);
    for (long j = 0; j < n; j += LANES) {
        integers is_masked = AT(row + j) == all(-INFINITY);
        AT(row + j) = choose(is_masked, all(0), exponential(AT(row + j) - top));
        sum += AT(row + j);
    }
    float inverse = 1 / sum_of(sum);
    for (long j = 0; j < n; j += LANES) AT(row + j) *= inverse;
}

/* The packed sentences of a batch; mirrored by _Batch in native.py. */
typedef struct {
    long n_sentences, n_heads, width; /* width of one head */
    const int64_t *query_cu_seqlens, *key_cu_seqlens, *query_indices, *key_indices;
    long query_length, key_length; /* Q and K of the padded batch */
    int is_bf16;
} batch;

/* Return the size, in floats, of the workspace of varlen_attention and varlen_attention_backward. It suffices for a
   sentence as long as the padded batch. */
long attention_workspace(const batch *of) {
    long q = of->query_length, k = round_up(of->key_length);
    return (3 * k + 3 * q) * of->width + 2 * q * k;
}

/* attended = softmax(query key^T / sqrt(width)) value for each sentence and head. The softmax is stored in
   `weights`, for the backward pass. */
void varlen_attention(const batch *of, void *query, void *kv, const uint8_t *mask, const int64_t *mask_strides,
            void *attended, float *weights, float *workspace) {
    long width = of->width, all_heads = of->n_heads * width;
    for (long b = 0; b < of->n_sentences; b++) {
        long q0 = of->query_cu_seqlens[b], n_queries = of->query_cu_seqlens[b + 1] - q0;
        long k0 = of->key_cu_seqlens[b], n_keys = of->key_cu_seqlens[b + 1] - k0, padded = round_up(n_keys);
        float *keys = workspace, *values = keys + width * padded, *queries = values + n_keys * width;
        float *result = queries + n_queries * width, *bias = result + n_queries * width;
        for (long i = 0; i < n_queries; i++)
            for (long j = 0; j < padded; j++) {
                long at = b * mask_strides[0] + (of->query_indices[q0 + i] - b * of->query_length) * mask_strides[1];
                if (j < n_keys) at += (of->key_indices[k0 + j] - b * of->key_length) * mask_strides[2];
                bias[i * padded + j] = j < n_keys && mask[at] ? 0 : -INFINITY;
            }
        for (long h = 0; h < of->n_heads; h++, weights += n_queries * padded) {
            load_transposed(keys, part(kv, of->is_bf16, 2 * all_heads, k0, h * width), n_keys, width);
            load(values, part(kv, of->is_bf16, 2 * all_heads, k0, all_heads + h * width), n_keys, width);
            load(queries, part(query, of->is_bf16, all_heads, q0, h * width), n_queries, width);
            multiply(weights, queries, width, 1, keys, n_queries, width, padded);
            for (long i = 0; i < n_queries; i++)
                softmax(weights + i * padded, bias + i * padded, 1 / sqrtf(width), padded);
            multiply(result, weights, padded, 1, values, n_queries, n_keys, width);
            store(part(attended, of->is_bf16, all_heads, q0, h * width), result, n_queries, width);
        }
    }
}

/* Compute the gradients of query and kv from the gradient of attended. */
void varlen_attention_backward(const batch *of, void *query, void *kv, const float *weights, void *d_attended,
                 void *d_query, void *d_kv, float *workspace) {
    long width = of->width, all_heads = of->n_heads * width;
    float scale = 1 / sqrtf(width);
    for (long b = 0; b < of->n_sentences; b++) {
        long q0 = of->query_cu_seqlens[b], n_queries = of->query_cu_seqlens[b + 1] - q0;
        long k0 = of->key_cu_seqlens[b], n_keys = of->key_cu_seqlens[b + 1] - k0, padded = round_up(n_keys);
        float *values = workspace, *keys = values + width * padded, *queries = keys + n_keys * width;
        float *gradient = queries + n_queries * width, *d_scores = gradient + n_queries * width;
        float *result = d_scores + n_queries * padded;
        for (long h = 0; h < of->n_heads; h++, weights += n_queries * padded) {
            load_transposed(values, part(kv, of->is_bf16, 2 * all_heads, k0, all_heads + h * width), n_keys, width);
            load(keys, part(kv, of->is_bf16, 2 * all_heads, k0, h * width), n_keys, width);
            load(queries, part(query, of->is_bf16, all_heads, q0, h * width), n_queries, width);
            load(gradient, part(d_attended, of->is_bf16, all_heads, q0, h * width), n_queries, width);
            multiply(d_scores, gradient, width, 1, values, n_queries, width, padded); /* gradient of the weights */
            for (long i = 0; i < n_queries; i++) {
                const float *w = weights + i * padded;
                float *s = d_scores + i * padded;
                vector sum = {0};
                for (long j = 0; j < padded; j += LANES) sum += AT(w + j) * AT(s + j);
                float mean = sum_of(sum);
                for (long j = 0; j < padded; j += LANES) AT(s + j) = AT(w + j) * (AT(s + j) - mean) * scale;
            }
            multiply(result, d_scores, padded, 1, keys, n_queries, n_keys, width);
            store(part(d_query, of->is_bf16, all_heads, q0, h * width), result, n_queries, width);
            multiply(result, d_scores, 1, padded, queries, n_keys, n_queries, width);
            store(part(d_kv, of->is_bf16, 2 * all_heads, k0, h * width), result, n_keys, width);
            multiply(result, weights, 1, padded, gradient, n_keys, n_queries, width);
            store(part(d_kv, of->is_bf16, 2 * all_heads, k0, all_heads + h * width), result, n_keys, width);
        }
    }
}

/* Compute log Z and the target's logit for each row of logits (n, size), and replace the logits by
   softmax - confidence * one_hot(target). The workspace has size floats, rounded up to a multiple of LANES. */
void softmax_cross_entropy(long n, long size, void *logits, int is_bf16, const int64_t *target, float confidence,
                           float *log_z, float *target_logit, float *workspace) {
    long padded = round_up(size), whole = size / LANES * LANES; /* whole: number of columns in full registers */
    for (long i = 0; i < n; i++) {
        rows row = part(logits, is_bf16, size, i, 0), rest = part(logits, is_bf16, size, i, whole);
        vector peak = all(-INFINITY), sum = {0};
        load(workspace + whole, rest, 1, size - whole);
        for (long j = size; j < padded; j++) workspace[j] = -INFINITY;
        for (long j = 0; j < padded; j += LANES) {
            vector x = AT(workspace + j) = j < whole ? load_vector(row, j) : AT(workspace + j);
            peak = choose(x > peak, x, peak);
        }
        float top = largest_of(peak);
        target_logit[i] = workspace[target[i]];
        for (long j = 0; j < padded; j += LANES) {
            vector x = AT(workspace + j) = exponential(AT(workspace + j) - top);
            sum += x;
        }
        float total = sum_of(sum), inverse = 1 / total;
        log_z[i] = top + logf(total);
        workspace[target[i]] -= confidence * total;
        for (long j = 0; j < whole; j += LANES) store_vector(row, j, AT(workspace + j) * inverse);
        for (long j = whole; j < size; j++) workspace[j] *= inverse;
        store(rest, workspace + whole, 1, size - whole);
    }
}

/* The random number generator xoshiro128++ (Blackman and Vigna 2019). Each lane has a generator of its own, seeded by
   splitmix64. */
typedef uint32_t words __attribute__((vector_size(4 * LANES), may_alias));
typedef struct { words s[4]; } generator;

static generator seeded(uint64_t seed) {
    generator result;
    for (int l = 0; l < 4 * LANES; l++) {
        uint64_t z = (seed += 0x9e3779b97f4a7c15);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        result.s[l % 4][l / 4] = (uint32_t)(z >> 32);
    }
    return result;
}

static words rotated(words x, int by) { return (x << by) | (x >> (32 - by)); }

static words draw(generator *from) {
    words *s = from->s, result = rotated(s[0] + s[3], 7) + s[0], t = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotated(s[3], 11);
    return result;
}

/* sum = x + dropout(update). A value of update is dropped if its random byte is below threshold, else multiplied by
   scale. A null x means zeros. The same seed drops the same values again. */
void dropout_add(long n, uint64_t seed, int threshold, float scale, const float *x, void *update,
                 int update_is_bf16, void *sum, int sum_is_bf16) {
    generator random = seeded(seed);
    rows from = {update, 0, update_is_bf16}, to = {sum, 0, sum_is_bf16};
    long i = 0;
    words bytes = {0};
    for (; i + LANES <= n; i += LANES) {
        bytes = i / LANES % 4 ? bytes >> 8 : draw(&random);
        integers is_kept = (integers)(bytes & 255) >= threshold;
        vector result = choose(is_kept, load_vector(from, i) * scale, all(0));
        if (x) result += AT(x + i);
        store_vector(to, i, result);
    }
    if (i == n) return;
    float last[3][LANES] = {0}; /* the remaining values, padded to a vector */
    bytes = draw(&random);
    load(last[0], part(update, update_is_bf16, 0, 0, i), 1, n - i);
    if (x) memcpy(last[1], x + i, (n - i) * 4);
    vector kept = choose((integers)(bytes & 255) >= threshold, AT(last[0]) * scale, all(0));
    AT(last[2]) = AT(last[1]) + kept;
    store(part(sum, sum_is_bf16, 0, 0, i), last[2], 1, n - i);
}

/* Layer norm of n rows; width is a multiple of LANES. Each row's mean and 1 / standard deviation are stored, for
   the backward pass. */
void layer_norm(long n, long width, const float *x, const float *weight, const float *bias, float epsilon, void *y,
               int is_bf16, float *mean, float *inverse) {
    for (long i = 0; i < n; i++, x += width) {
        rows to = part(y, is_bf16, width, i, 0);
        vector sum = {0}, squares = {0};
        for (long j = 0; j < width; j += LANES) sum += AT(x + j);
        mean[i] = sum_of(sum) / width;
        for (long j = 0; j < width; j += LANES) squares += (AT(x + j) - mean[i]) * (AT(x + j) - mean[i]);
        inverse[i] = 1 / sqrtf(sum_of(squares) / width + epsilon);
        for (long j = 0; j < width; j += LANES)
            store_vector(to, j, (AT(x + j) - mean[i]) * inverse[i] * AT(weight + j) + AT(bias + j));
    }
}

/* Compute the gradients of x, weight and bias from d_y, the gradient of y. */
void layer_norm_backward(long n, long width, const float *x, const float *weight, const float *mean,
                    const float *inverse, void *d_y, int is_bf16, float *d_x, float *d_weight, float *d_bias) {
    memset(d_weight, 0, width * sizeof *d_weight);
    memset(d_bias, 0, width * sizeof *d_bias);
    for (long i = 0; i < n; i++, x += width, d_x += width) {
        rows from = part(d_y, is_bf16, width, i, 0);
        vector sum = {0}, product = {0};
        for (long j = 0; j < width; j += LANES) {
            vector g = load_vector(from, j), normed = (AT(x + j) - mean[i]) * inverse[i];
            AT(d_weight + j) += g * normed;
            AT(d_bias + j) += g;
            sum += g * AT(weight + j);
            product += g * AT(weight + j) * normed;
        }
        float mean_sum = sum_of(sum) / width, mean_product = sum_of(product) / width;
        for (long j = 0; j < width; j += LANES) {
            vector g = load_vector(from, j), normed = (AT(x + j) - mean[i]) * inverse[i];
            AT(d_x + j) = (g * AT(weight + j) - mean_sum - normed * mean_product) * inverse[i];
        }
    }
}
