/* Search random models in random batches, and compare each sentence with a search for it alone, bit for bit. The test
   builds it with sanitizers, together with the other sources of the decoder. */

#include <stdio.h>

#include "search.c" /* for its struct `request` */

model *new_model(const sizes *of, const float **tensors);
void free_model(model *of);

enum { MAX_SENTENCES = 40, N_POSITIONS = 260 };

static uint64_t state;

static uint32_t draw(void) { return (state = state * 6364136223846793005u + 1442695040888963407u) >> 33; }

/* Return an integer from `least` to `most`. */
static long between(long least, long most) { return least + draw() % (most - least + 1); }

static void *exactly(size_t bytes) { /* without rounding, so that the sanitizer sees reads beyond them */
    void *memory = malloc(bytes);
    return memory ? memory : (abort(), NULL);
}

static float *random_tensor(long n, float scale, float mean) {
    float *x = exactly(4 * n);
    for (long i = 0; i < n; i++) x[i] = mean + scale * (draw() / 2147483648.0f * 2 - 1) * 1.7f;
    return x;
}

static model *random_model(sizes of) {
    const float *tensors[400], **next = tensors;
    long width = of.width, inner = of.feed_forward;
    *next++ = random_tensor(of.vocabulary * width, 2 / sqrtf(width), 0);
    *next++ = random_tensor(of.n_positions * width, 0.5f, 0);
    for (long l = 0; l < of.n_encoder_layers + of.n_decoder_layers; l++) {
        /* Outputs and inputs of each linear layer, and 0 for a norm, in the order of read_layer. */
        long encoder[][2] = {{0}, {3 * width, width}, {width, width}, {0}, {inner, width}, {width, inner}};
        long decoder[][2] = {{0}, {3 * width, width}, {width, width}, {0}, {width, width}, {2 * width, width},
                             {width, width}, {0}, {inner, width}, {width, inner}};
        int is_encoder = l < of.n_encoder_layers;
        for (int i = 0; i < (is_encoder ? 6 : 10); i++) {
            const long *shape = is_encoder ? encoder[i] : decoder[i];
            long n_out = shape[0] ? shape[0] : width, n_in = shape[1];
            *next++ = n_in ? random_tensor(n_out * n_in, 1 / sqrtf(n_in), 0) : random_tensor(width, 0.1f, 1);
            *next++ = random_tensor(n_out, 0.1f, 0);
        }
    }
    for (int i = 0; i < 4 && of.pre_norm; i++) *next++ = random_tensor(width, 0.1f, i % 2 == 0);
    model *result = new_model(&of, tensors);
    while (next > tensors) free((void *)*--next);
    return result ? result : (abort(), NULL);
}

/* Give a request its results, exactly as large as they must be. */
static void allocate_results(request *r) {
    long n = r->n_sentences * r->n_best;
    r->ids = exactly(4 * n * r->max_length);
    r->log_probs = exactly(4 * n * r->max_length);
    r->n_hypotheses = exactly(8 * r->n_sentences);
    r->lengths = exactly(8 * n);
    r->totals = exactly(8 * n);
}

static void free_results(request *r) {
    void *all[] = {r->ids, r->log_probs, r->n_hypotheses, r->lengths, r->totals};
    for (int i = 0; i < 5; i++) free(all[i]);
}

/* Search for sentence s of a batch by itself, and compare. With a trace, to see that it changes nothing. */
static int is_alone_alike(const model *of, const request *batch, long s) {
    request r = *batch;
    long ranked = 2 * r.beam_size + 1, source = s ? r.source_ends[s - 1] : 0, prefix = s ? r.prefix_ends[s - 1] : 0;
    int64_t source_end = r.source_ends[s] - source, prefix_end = r.prefix_ends[s] - prefix;
    int64_t max_length = r.max_lengths[s];
    r.n_sentences = 1, r.max_length = max_length, r.max_lengths = &max_length;
    r.sources += source, r.source_ends = &source_end, r.prefixes += prefix, r.prefix_ends = &prefix_end;
    r.trace = exactly(max_length * ranked * sizeof(continuation)), r.n_traced = exactly(8 * max_length);
    allocate_results(&r);
    int same = search(of, &r) == 0 && r.n_hypotheses[0] == batch->n_hypotheses[s];
    for (long k = 0; same && k < r.n_hypotheses[0]; k++) {
        long there = s * r.n_best + k, length = r.lengths[k];
        same = length == batch->lengths[there] && !memcmp(r.totals + k, batch->totals + there, 8) &&
               !memcmp(r.ids + k * max_length, batch->ids + there * batch->max_length, 4 * length) &&
               !memcmp(r.log_probs + k * max_length, batch->log_probs + there * batch->max_length, 4 * (length + 1));
    }
    free_results(&r), free(r.trace), free(r.n_traced);
    return same;
}

/* Return the number of hypotheses found, or -1 if a sentence has others alone. */
static long search_random_batch(const model *of) {
    static const int go_on = 0;
    long n = between(1, MAX_SENTENCES), vocabulary = of->of.vocabulary, n_source = 0, n_prefix = 0, found = 0;
    int32_t *sources = exactly(4 * n * 200), *prefixes = exactly(4 * n * 5), forbidden[] = {0, 1, 2, 2};
    int64_t *source_ends = exactly(8 * n), *prefix_ends = exactly(8 * n), *max_lengths = exactly(8 * n);
    request r = {.n_sentences = n, .beam_size = between(1, 9), .n_forbidden = between(0, 4), .forbidden = forbidden,
                 .length_penalty = between(0, 8) / 4.0, .sources = sources, .source_ends = source_ends,
                 .prefixes = prefixes, .prefix_ends = prefix_ends, .max_lengths = max_lengths, .stop = &go_on};
    r.n_best = between(1, r.beam_size);
    for (long s = 0; s < n; s++) {
        long length = between(1, between(0, 9) ? 20 : 200), prefix = between(0, 3) ? 0 : between(1, 5);
        for (long i = 0; i < length; i++) sources[n_source++] = between(3, vocabulary - 1);
        for (long i = 0; i < prefix; i++) prefixes[n_prefix++] = between(4, vocabulary - 1);
        source_ends[s] = n_source, prefix_ends[s] = n_prefix;
        max_lengths[s] = between(prefix ? prefix + 1 : 2, between(0, 9) ? 9 : 40);
        r.max_length = max_lengths[s] > r.max_length ? max_lengths[s] : r.max_length;
    }
    allocate_results(&r);
    int same = search(of, &r) == 0;
    for (long s = 0; s < n && same; s++) same = is_alone_alike(of, &r, s), found += r.n_hypotheses[s];
    free_results(&r), free(sources), free(prefixes), free(source_ends), free(prefix_ends), free(max_lengths);
    return same ? found : -1;
}

int main(int argc, char **argv) {
    long n_models = argc > 1 ? atol(argv[1]) : 20, total = 0;
    for (long seed = argc > 2 ? atol(argv[2]) : 1; n_models-- > 0; seed++) {
        state = seed;
        static const long head_widths[] = {4, 8, 12, 16, 24, 48};
        long head = head_widths[between(0, 5)], heads = between(1, 3);
        while (head * heads % 16) heads++;
        sizes of = {between(5, 150), head * heads, heads, 16 * between(1, 5), between(1, 2), between(1, 2), N_POSITIONS,
                    between(0, 1), between(1, 3), between(0, 2), 1e-5f};
        model *model = random_model(of);
        long found = search_random_batch(model);
        free_model(model);
        if (found < 0) return printf("seed %ld: a sentence is not translated alike in a batch and alone\n", seed), 1;
        total += found;
    }
    return printf("%ld hypotheses\n", total), 0;
}
