#include "decoder.h"

#include <stdlib.h>

/* Weights are taken from an array of tensors, in the order in which native_decoding.py lists them. */
typedef struct { const float **next; float *floats; int failed; enum precision precision; } reader;

static norm read_norm(reader *from, long width) {
    norm result = {from->floats, from->floats + width};
    memcpy(from->floats, *from->next++, 4 * width);
    memcpy(from->floats + width, *from->next++, 4 * width);
    from->floats += 2 * width;
    return result;
}

static void read_linear(reader *from, linear *to, long n_out, long n_in) {
    const float *weight = *from->next++, *bias = *from->next++;
    if (prepack(to, weight, bias, n_out, n_in, from->precision, 0)) from->failed = 1;
}

static void read_layer(reader *from, layer *to, const sizes *of, int is_decoder) {
    long width = of->width;
    to->self_norm = read_norm(from, width);
    read_linear(from, &to->query_key_value, 3 * width, width);
    read_linear(from, &to->self_output, width, width);
    if (is_decoder) {
        to->cross_norm = read_norm(from, width);
        read_linear(from, &to->cross_query, width, width);
        read_linear(from, &to->cross_key_value, 2 * width, width);
        read_linear(from, &to->cross_output, width, width);
    }
    to->feed_norm = read_norm(from, width);
    read_linear(from, &to->inner, of->feed_forward, width);
    read_linear(from, &to->outer, width, of->feed_forward);
}

static void free_layers(layer *layers, long n) {
    for (long i = 0; layers && i < n; i++) {
        linear *all[] = {&layers[i].query_key_value, &layers[i].self_output, &layers[i].cross_query,
                         &layers[i].cross_key_value, &layers[i].cross_output, &layers[i].inner, &layers[i].outer};
        for (int l = 0; l < 7; l++) free_linear(all[l]);
    }
    free(layers);
}

EXPORT void free_model(model *of) {
    free_layers(of->encoder, of->of.n_encoder_layers);
    free_layers(of->decoder, of->of.n_decoder_layers);
    free_linear(&of->logits);
    free(of->floats);
    free(of);
}

EXPORT model *new_model(const sizes *of, const float **tensors) {
    long width = of->width, n_embedding = of->vocabulary * width, n_positions = of->n_positions * width;
    long n_norms = 2 * of->n_encoder_layers + 3 * of->n_decoder_layers + 2;
    model *to = calloc(1, sizeof(model));
    if (!to) return NULL;
    to->of = *of;
    to->floats = allocate(4 * (n_embedding + n_positions + 2 * width * n_norms));
    to->encoder = calloc(of->n_encoder_layers, sizeof(layer));
    to->decoder = calloc(of->n_decoder_layers, sizeof(layer));
    if (!to->floats || !to->encoder || !to->decoder) return free_model(to), NULL;
    reader from = {tensors + 2, to->floats + n_embedding + n_positions, 0, of->precision};
    to->embedding = to->floats;
    to->positions = to->floats + n_embedding;
    memcpy(to->floats + n_embedding, tensors[1], 4 * n_positions);
    for (long i = 0; i < n_embedding; i++) to->floats[i] = tensors[0][i] * (float)sqrt(width);
    if (prepack(&to->logits, tensors[0], NULL, of->vocabulary, width, of->precision, -INFINITY)) from.failed = 1;
    for (long i = 0; i < of->n_encoder_layers; i++) read_layer(&from, to->encoder + i, of, 0);
    for (long i = 0; i < of->n_decoder_layers; i++) read_layer(&from, to->decoder + i, of, 1);
    if (of->pre_norm) to->encoder_norm = read_norm(&from, width), to->decoder_norm = read_norm(&from, width);
    if (from.failed) return free_model(to), NULL;
    return to;
}

long column_size(const model *of) { return 2 * of->of.width * of->of.n_decoder_layers; }

/* Keys and values of one head as panels. */
static long key_size(const model *of, long n_tokens) { return panel_size(of->of.width / of->of.n_heads, n_tokens); }
static long value_size(const model *of, long n_tokens) { return panel_size(n_tokens, of->of.width / of->of.n_heads); }

static long layer_size(const model *of, long n_tokens) {
    return of->of.n_heads * (key_size(of, n_tokens) + value_size(of, n_tokens));
}

long source_size(const model *of, long n_tokens) { return of->of.n_decoder_layers * layer_size(of, n_tokens); }

int new_workspace(workspace *w, const model *of, long n_rows, long n_keys) {
    long width = of->of.width, inner = of->of.feed_forward, padded = round_up(n_keys) + LANES;
    long n_scores = n_rows * padded + of->of.n_heads * padded + layer_size(of, n_keys);
    *w = (workspace){allocate(4 * n_rows * width), allocate(4 * n_rows * width), allocate(12 * n_rows * width),
                     allocate(4 * n_rows * width), allocate(4 * n_rows * inner), allocate(4 * n_scores),
                     allocate(4 * LOGIT_ROWS * round_up(of->of.vocabulary)),
                     allocate(scratch_size(n_rows, inner > width ? inner : width))};
    return w->x && w->normalized && w->projected && w->attended && w->inner && w->scores && w->logits && w->scratch
               ? 0 : -1;
}

void free_workspace(workspace *w) {
    void *all[] = {w->x, w->normalized, w->projected, w->attended, w->inner, w->scores, w->logits, w->scratch};
    for (int i = 0; i < 8; i++) free(all[i]);
}

static void layer_norm(const model *of, norm norm, const float *from, float *to, long n) {
    long width = of->of.width;
    for (long i = 0; i < n; i++, from += width, to += width) {
        vector sum = {0}, squares = {0};
        for (long e = 0; e < width; e += LANES) sum += AT(from + e);
        vector mean = all(sum_of(sum) / width);
        for (long e = 0; e < width; e += LANES)
            squares = fmadd(AT(from + e) - mean, AT(from + e) - mean, squares);
        vector scale = all(1 / sqrtf(sum_of(squares) / width + of->of.epsilon));
        for (long e = 0; e < width; e += LANES)
            AT(to + e) = fmadd((AT(from + e) - mean) * scale, AT(norm.weight + e), AT(norm.bias + e));
    }
}

/* Return the input of a sublayer: x itself in a post-norm model. */
static const float *before(const model *of, norm norm, long n, const workspace *w) {
    if (!of->of.pre_norm) return w->x;
    layer_norm(of, norm, w->x, w->normalized, n);
    return w->normalized;
}

/* Add a linear map of y to the residual stream. */
static void after(const model *of, norm norm, const linear *map, const float *y, long n, const workspace *w) {
    apply(map, (matrix){(float *)y, map->n_in}, n, (matrix){w->x, of->of.width}, IDENTITY, w->x, w->scratch);
    if (!of->of.pre_norm) layer_norm(of, norm, w->x, w->x, n);
}

static void feed_forward(const model *of, const layer *l, long n, const workspace *w) {
    matrix x = {(float *)before(of, l->feed_norm, n, w), of->of.width}, inner = {w->inner, of->of.feed_forward};
    apply(&l->inner, x, n, inner, of->of.activation, NULL, w->scratch);
    after(of, l->feed_norm, &l->outer, w->inner, n, w);
}

/* Replace a row of n scores by softmax(scores * scale). The row has room for whole vectors; what exceeds n becomes 0. */
static void softmax(float *row, long n, float scale) {
    vector peak = all(-INFINITY), sum = {0};
    for (long j = 0; j < n; j += LANES) peak = larger(choose(first_lanes(n - j), AT(row + j), peak), peak);
    float top = largest_of(peak);
    for (long j = 0; j < n; j += LANES) {
        AT(row + j) = choose(first_lanes(n - j), exponential((AT(row + j) - top) * scale), all(0));
        sum += AT(row + j);
    }
    vector inverse = all(1 / sum_of(sum));
    for (long j = 0; j < n; j += LANES) AT(row + j) *= inverse;
}

/* Write the keys and values of n tokens to panels. `from` has rows of keys (D), then values (D). */
static void pack_key_values(const model *of, float *panels, const float *from, long stride, long n) {
    long heads = of->of.n_heads, width = of->of.width, head = width / heads;
    for (long h = 0; h < heads; h++, panels += key_size(of, n))
        pack_float32(panels, from + h * head, head, n, 1, stride);
    for (long h = 0; h < heads; h++, panels += value_size(of, n))
        pack_float32(panels, from + width + h * head, n, head, stride, 1);
}

/* Attend from n_rows queries to the n_keys keys and values in panels. */
static void attend(const model *of, matrix query, long n_rows, const float *panels, long n_keys, float *attended,
                   const workspace *w) {
    long heads = of->of.n_heads, width = of->of.width, head = width / heads, padded = round_up(n_keys);
    const float *values = panels + heads * key_size(of, n_keys);
    for (long h = 0; h < heads; h++) {
        linear keys = {head, padded, FLOAT32, (float *)panels + h * key_size(of, n_keys), NULL, NULL};
        linear value = {n_keys, head, FLOAT32, (float *)values + h * value_size(of, n_keys), NULL, NULL};
        matrix scores = {w->scores, padded};
        apply(&keys, (matrix){query.first + h * head, query.stride}, n_rows, scores, IDENTITY, NULL, NULL);
        for (long i = 0; i < n_rows; i++) softmax(w->scores + i * padded, n_keys, 1 / sqrtf(head));
        apply(&value, scores, n_rows, (matrix){attended + h * head, width}, IDENTITY, NULL, NULL);
    }
}

static void embed(const model *of, int32_t token, long position, float *x) {
    long width = of->of.width;
    for (long e = 0; e < width; e += LANES)
        AT(x + e) = AT(of->embedding + token * width + e) + AT(of->positions + position * width + e);
}

void encode(const model *of, const int32_t *ids, source *sources, long n_sources, const workspace *w) {
    long width = of->of.width, n = 0;
    for (long s = 0; s < n_sources; s++)
        for (long i = 0; i < sources[s].n_tokens; i++, n++) embed(of, ids[n], i, w->x + n * width);
    for (long l = 0; l < of->of.n_encoder_layers; l++) {
        const layer *at = of->encoder + l;
        matrix x = {(float *)before(of, at->self_norm, n, w), width};
        apply(&at->query_key_value, x, n, (matrix){w->projected, 3 * width}, IDENTITY, NULL, w->scratch);
        const float *qkv = w->projected;
        float *attended = w->attended;
        for (long s = 0; s < n_sources; s++) {
            long tokens = sources[s].n_tokens;
            float *panels = w->scores + tokens * round_up(tokens);
            pack_key_values(of, panels, qkv + width, 3 * width, tokens);
            attend(of, (matrix){(float *)qkv, 3 * width}, tokens, panels, tokens, attended, w);
            qkv += tokens * 3 * width;
            attended += tokens * width;
        }
        after(of, at->self_norm, &at->self_output, w->attended, n, w);
        feed_forward(of, at, n, w);
    }
    if (of->of.pre_norm) layer_norm(of, of->encoder_norm, w->x, w->x, n);
    for (long l = 0; l < of->of.n_decoder_layers; l++) {
        apply(&of->decoder[l].cross_key_value, (matrix){w->x, width}, n, (matrix){w->projected, 2 * width}, IDENTITY,
              NULL, w->scratch);
        const float *kv = w->projected;
        for (long s = 0; s < n_sources; kv += sources[s++].n_tokens * 2 * width)
            pack_key_values(of, sources[s].key_values + l * layer_size(of, sources[s].n_tokens), kv, 2 * width,
                            sources[s].n_tokens);
    }
}

static float dot(const float *a, const float *b, long n) {
    vector sum = {0};
    long e = 0;
    for (; e + LANES <= n; e += LANES) sum = fmadd(AT(a + e), AT(b + e), sum);
    float result = sum_of(sum);
    for (; e < n; e++) result += a[e] * b[e];
    return result;
}

/* Attend from a hypothesis to its ancestors. Their keys and values for one layer start at cache + column * stride. */
static void attend_to_ancestors(const model *of, const hypothesis *row, const float *cache, const float *query,
                                float *attended, float *scores) {
    long width = of->of.width, heads = of->of.n_heads, head = width / heads, stride = column_size(of);
    long n = row->n_ancestors, padded = round_up(n);
    for (long i = 0; i < n; i++)
        for (long h = 0; h < heads; h++)
            scores[h * padded + i] = dot(query + h * head, cache + row->ancestors[i] * stride + h * head, head);
    for (long h = 0; h < heads; h++) {
        softmax(scores + h * padded, n, 1 / sqrtf(head));
        for (long e = h * head; e < (h + 1) * head; e += LANES) {
            vector sum = {0};
            for (long i = 0; i < n; i++)
                sum = fmadd(all(scores[h * padded + i]), AT(cache + row->ancestors[i] * stride + width + e), sum);
            long left = (h + 1) * head - e;
            memcpy(attended + e, &sum, 4 * (left < LANES ? left : LANES));
        }
    }
}

static void self_attention(const model *of, long l, const hypothesis *rows, long n, const workspace *w) {
    long width = of->of.width;
    const layer *at = of->decoder + l;
    matrix x = {(float *)before(of, at->self_norm, n, w), width};
    apply(&at->query_key_value, x, n, (matrix){w->projected, 3 * width}, IDENTITY, NULL, w->scratch);
    for (long i = 0; i < n; i++) {
        const float *qkv = w->projected + i * 3 * width;
        float *cache = rows[i].cache + l * 2 * width;
        long column = rows[i].ancestors[rows[i].n_ancestors - 1];
        memcpy(cache + column * column_size(of), qkv + width, 8 * width);
        attend_to_ancestors(of, rows + i, cache, qkv, w->attended + i * width, w->scores);
    }
    after(of, at->self_norm, &at->self_output, w->attended, n, w);
}

static void cross_attention(const model *of, long l, const hypothesis *rows, long n, const workspace *w) {
    long width = of->of.width;
    const layer *at = of->decoder + l;
    matrix x = {(float *)before(of, at->cross_norm, n, w), width};
    apply(&at->cross_query, x, n, (matrix){w->projected, width}, IDENTITY, NULL, w->scratch);
    for (long i = 0, next; i < n; i = next) {
        const source *from = rows[i].source;
        for (next = i + 1; next < n && rows[next].source == from;) next++;
        attend(of, (matrix){w->projected + i * width, width}, next - i,
               from->key_values + l * layer_size(of, from->n_tokens), from->n_tokens, w->attended + i * width, w);
    }
    after(of, at->cross_norm, &at->cross_output, w->attended, n, w);
}

void decode_step(const model *of, const hypothesis *rows, long n, const workspace *w) {
    for (long i = 0; i < n; i++) embed(of, rows[i].token, rows[i].n_ancestors - 1, w->x + i * of->of.width);
    for (long l = 0; l < of->of.n_decoder_layers; l++) {
        self_attention(of, l, rows, n, w);
        cross_attention(of, l, rows, n, w);
        feed_forward(of, of->decoder + l, n, w);
    }
    if (of->of.pre_norm) layer_norm(of, of->decoder_norm, w->x, w->x, n);
}

void compute_logits(const model *of, long first, long n, const workspace *w) {
    long width = of->of.width;
    linear logits = of->logits;
    logits.n_out = round_up(of->of.vocabulary); /* with the -inf beyond the vocabulary */
    apply(&logits, (matrix){w->x + first * width, width}, n, (matrix){w->logits, logits.n_out}, IDENTITY, NULL,
          w->scratch);
}
