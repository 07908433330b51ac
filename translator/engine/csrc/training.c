/* Operations of a training step on a CPU: attention on short sentences, softmax cross-entropy, dropout and layer
   norm. Intermediate results stay in registers and in the L1 cache. native.py calls the functions and documents
   their arguments. */

#include "arithmetic.h"

/* In `multiply`: compute blocks of c, of ROWS rows and VECTORS registers of columns, and accumulate each block in
   registers. */
#define BLOCK(ROWS, VECTORS)                                                                                  \
    for (; i + ROWS <= m; i += ROWS) {                                                                        \
        vector sum[ROWS][VECTORS] = {0};                                                                      \
        for (long l = 0; l < k; l++)                                                                          \
            for (int r = 0; r < ROWS; r++)                                                                    \
                for (int v = 0; v < VECTORS; v++)                                                             \
                    sum[r][v] = fmadd(all(a[(i + r) * a_row + l * a_column]),                                 \
                                      AT(b + l * n + j + v * LANES), sum[r][v]);                              \
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
        AT(row + j) = fmadd(AT(row + j), all(scale), AT(bias + j));
        peak = larger(AT(row + j), peak);
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
EXPORT long attention_workspace(const batch *of) {
    long q = of->query_length, k = round_up(of->key_length);
    return (3 * k + 3 * q) * of->width + 2 * q * k;
}

/* attended = softmax(query key^T / sqrt(width)) value for each sentence and head. The softmax is stored in
   `weights`, for the backward pass. */
EXPORT void varlen_attention(const batch *of, void *query, void *kv, const uint8_t *mask, const int64_t *mask_strides,
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
EXPORT void varlen_attention_backward(const batch *of, void *query, void *kv, const float *weights, void *d_attended,
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
                for (long j = 0; j < padded; j += LANES) sum = fmadd(AT(w + j), AT(s + j), sum);
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
EXPORT void softmax_cross_entropy(long n, long size, void *logits, int is_bf16, const int64_t *target, float confidence,
                                  float *log_z, float *target_logit, float *workspace) {
    long padded = round_up(size), whole = size / LANES * LANES; /* whole: number of columns in full registers */
    for (long i = 0; i < n; i++) {
        rows row = part(logits, is_bf16, size, i, 0), rest = part(logits, is_bf16, size, i, whole);
        vector peak = all(-INFINITY), sum = {0};
        load(workspace + whole, rest, 1, size - whole);
        for (long j = size; j < padded; j++) workspace[j] = -INFINITY;
        for (long j = 0; j < padded; j += LANES) {
            vector x = AT(workspace + j) = j < whole ? load_vector(row, j) : AT(workspace + j);
            peak = larger(x, peak);
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
EXPORT void dropout_add(long n, uint64_t seed, int threshold, float scale, const float *x, void *update,
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
EXPORT void layer_norm(long n, long width, const float *x, const float *weight, const float *bias, float epsilon,
                       void *y, int is_bf16, float *mean, float *inverse) {
    for (long i = 0; i < n; i++, x += width) {
        rows to = part(y, is_bf16, width, i, 0);
        vector sum = {0}, squares = {0};
        for (long j = 0; j < width; j += LANES) sum += AT(x + j);
        vector centre = all(mean[i] = sum_of(sum) / width);
        for (long j = 0; j < width; j += LANES) {
            vector centred = AT(x + j) - centre;
            squares = fmadd(centred, centred, squares);
        }
        vector scale = all(inverse[i] = 1 / sqrtf(sum_of(squares) / width + epsilon));
        for (long j = 0; j < width; j += LANES)
            store_vector(to, j, fmadd((AT(x + j) - centre) * scale, AT(weight + j), AT(bias + j)));
    }
}

/* Compute the gradients of x, weight and bias from d_y, the gradient of y. */
EXPORT void layer_norm_backward(long n, long width, const float *x, const float *weight, const float *mean,
                                const float *inverse, void *d_y, int is_bf16, float *d_x, float *d_weight,
                                float *d_bias) {
    memset(d_weight, 0, width * sizeof *d_weight);
    memset(d_bias, 0, width * sizeof *d_bias);
    for (long i = 0; i < n; i++, x += width, d_x += width) {
        rows from = part(d_y, is_bf16, width, i, 0);
        vector sum = {0}, product = {0};
        for (long j = 0; j < width; j += LANES) {
            vector g = load_vector(from, j), normed = (AT(x + j) - mean[i]) * inverse[i];
            AT(d_weight + j) = fmadd(g, normed, AT(d_weight + j));
            AT(d_bias + j) += g;
            sum = fmadd(g, AT(weight + j), sum);
            product = fmadd(g * AT(weight + j), normed, product);
        }
        float mean_sum = sum_of(sum) / width, mean_product = sum_of(product) / width;
        for (long j = 0; j < width; j += LANES) {
            vector g = load_vector(from, j), normed = (AT(x + j) - mean[i]) * inverse[i];
            AT(d_x + j) = fmadd(normed, all(-mean_product), fmadd(g, AT(weight + j), all(-mean_sum))) * inverse[i];
        }
    }
}
