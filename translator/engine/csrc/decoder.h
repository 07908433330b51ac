/* A Transformer prepacked for decoding: an encoder of whole sources, and a decoder that appends one token at a time. */

#ifndef DECODER_H
#define DECODER_H

#include "products.h"

/* Mirrored by _Sizes in native_decoding.py. */
typedef struct {
    long vocabulary, width, n_heads, feed_forward, n_encoder_layers, n_decoder_layers, n_positions;
    int pre_norm, activation, precision;
    float epsilon; /* of the layer norms */
} sizes;

typedef struct { const float *weight, *bias; } norm;

typedef struct {
    norm self_norm, cross_norm, feed_norm;
    linear query_key_value, self_output, cross_query, cross_key_value, cross_output, inner, outer;
} layer;

typedef struct {
    sizes of;
    float *floats; /* copies of the embedding, of the positions and of the norms */
    const float *embedding, *positions;
    layer *encoder, *decoder;
    norm encoder_norm, decoder_norm;
    linear logits;
} model;

/* A source and its projections for cross-attention: for each layer, the keys of all heads, then the values. */
typedef struct { long n_tokens; float *key_values; } source;

/* A hypothesis in a decoding step. Its keys and values are those of its ancestors, which are columns of the cache of its
   sentence; the last one is the new token's own. A column holds the keys and values of one token for all layers. */
typedef struct {
    const source *source;
    float *cache;
    const int32_t *ancestors;
    long n_ancestors;
    int32_t token;
} hypothesis;

/* Scratch memory of one search. */
typedef struct {
    float *x, *normalized, *projected, *attended, *inner, *scores, *logits;
    void *scratch;
} workspace;

/* Rows of logits that are computed together. They should fit the L2 cache. */
#define LOGIT_ROWS 24

/* Return the floats of one column of the cache, and those of the projections of a source. */
long column_size(const model *of);
long source_size(const model *of, long n_tokens);

/* Allocate a workspace for n_rows rows and n_keys keys at most. Return 0, or -1 if there is no memory. */
int new_workspace(workspace *w, const model *of, long n_rows, long n_keys);
void free_workspace(workspace *w);

/* Encode sources, whose tokens follow each other in `ids`, and store their projections. */
void encode(const model *of, const int32_t *ids, source *sources, long n_sources, const workspace *w);

/* Append a token to each of n hypotheses; hypotheses of the same source are adjacent. The states of the new tokens are
   then in w->x. */
void decode_step(const model *of, const hypothesis *rows, long n, const workspace *w);

/* Compute the logits of n <= LOGIT_ROWS states, from w->x + first * width on, in w->logits; the rows are padded to whole
   vectors by -inf. */
void compute_logits(const model *of, long first, long n, const workspace *w);

#endif
