/* Beam search over a batch of sentences, by the rules of translator/search/beam.py. A beam of 1 is greedy search. Each
   row is computed independently of the others, so the result for a sentence is the same in every batch. */

#include <stdlib.h>

#include "decoder.h"

enum { BOS = 2, EOS = 3 }; /* as in translator/symbols.py */

enum status { DONE, STOPPED, NO_MEMORY, NOT_FINITE };

/* A hypothesis with one more token: its score, the token's log-probability, and the index of the hypothesis that it
   extends. Mirrored by _CONTINUATION in native_decoding.py. */
typedef struct { double score; float log_prob; int32_t parent, token; } continuation;

/* A stand-in for the model, for tests: fills in the log-probabilities of the token after the n_tokens chosen ones. */
typedef void (*table)(long sentence, long n_tokens, const int32_t *tokens, float *log_probs);

/* The arguments and results of `search`. Mirrored by _Request in native_decoding.py. */
typedef struct {
    long n_sentences, beam_size, n_best, n_forbidden, max_length; /* max_length: the largest of max_lengths */
    double length_penalty;
    const int32_t *sources;     /* the sources, concatenated */
    const int64_t *source_ends; /* where each of them ends */
    const int32_t *prefixes;    /* the first tokens of each output, likewise */
    const int64_t *prefix_ends;
    const int32_t *forbidden;
    const int64_t *max_lengths;
    int32_t *ids;          /* result: (n_sentences, n_best, max_length) */
    float *log_probs;      /* result: of the same shape, with the end symbol's */
    int64_t *n_hypotheses; /* result: (n_sentences,) */
    int64_t *lengths;      /* result: (n_sentences, n_best), without the end symbol */
    double *totals;        /* result: (n_sentences, n_best), sums of log-probabilities */
    continuation *trace;   /* result, or NULL: (max_length, 2 beam_size + 1), of a single sentence */
    int64_t *n_traced;     /* result, or NULL: (max_length,) */
    table table;           /* or NULL */
    const volatile int *stop; /* the search ends when it becomes nonzero */
} request;

typedef struct { double total, score; int32_t *ids; float *log_probs; long length; } finished;

typedef struct { int32_t token; float log_prob; } node;

/* The search for one sentence. Column i of the decoder's cache belongs to the token of node i. A live hypothesis is a list
   of columns: those of its tokens, from the start symbol on. */
typedef struct {
    long number, max_length, length; /* length: number of tokens chosen so far */
    long n_prefix, n_live, n_finished, n_columns;
    const int32_t *prefix;
    source source;
    float *cache;
    node *nodes;
    double *scores;                   /* (W,) of the live hypotheses */
    int32_t *ancestors, *descendants; /* (W, max_length + 1) of this step and of the next */
    finished *finished;               /* best first */
} sentence;

typedef struct {
    const model *model;
    const request *request;
    workspace work;
    sentence *sentences, **active;
    hypothesis *rows;
    continuation *of_rows, *best; /* (rows, 2 W + 1) and (2 W + 1,), best first */
    long *n_of_rows, n_active, n_ranked;
    double *next_scores; /* (W,) */
    float *masked;       /* logits of the masked tokens */
    int32_t *tokens;     /* for a table */
} search_state;

/* Continuations with equal scores are ordered by the index of their hypothesis, then by token. */
static int is_better(const continuation *a, const continuation *b) {
    if (a->score != b->score) return a->score > b->score;
    return a->parent != b->parent ? a->parent < b->parent : a->token < b->token;
}

/* Insert into a list of the n best, and return its new length. */
static long insert(continuation *best, long n, long most, const continuation *new) {
    if (n == most && !is_better(new, best + n - 1)) return n;
    long i = n < most ? n++ : n - 1;
    for (; i > 0 && is_better(new, best + i - 1); i--) best[i] = best[i - 1];
    best[i] = *new;
    return n;
}

/* Vectors of maxima; each maximum is the largest logit of a part of the vocabulary. */
#define N_MAXIMA 8

/* Return a number that at least `rank` of the logits reach, or -inf. Store the largest logit in `top`. */
static float lower_bound(const float *logits, long n, long rank, float *top) {
    vector maxima[N_MAXIMA];
    float bound = -INFINITY;
    int n_maxima = N_MAXIMA;
    for (int v = 0; v < N_MAXIMA; v++) maxima[v] = all(-INFINITY);
    for (long j = 0; j + N_MAXIMA * LANES <= n; j += N_MAXIMA * LANES)
        for (int v = 0; v < N_MAXIMA; v++) maxima[v] = larger(AT(logits + j + v * LANES), maxima[v]);
    for (long j = n / (N_MAXIMA * LANES) * N_MAXIMA * LANES; j < n; j += LANES)
        maxima[0] = larger(AT(logits + j), maxima[0]);
    for (; n_maxima > 1 && n_maxima * LANES >= 4 * rank; n_maxima /= 2)
        for (int v = 0; v < n_maxima / 2; v++) maxima[v] = larger(maxima[v + n_maxima / 2], maxima[v]);
    for (long i = 0; i < rank && (!i || bound > -INFINITY); i++) { /* take away the largest, and what equals it */
        vector peak = maxima[0];
        for (int v = 1; v < n_maxima; v++) peak = larger(maxima[v], peak);
        bound = largest_of(peak);
        if (i == 0) *top = bound;
        for (int v = 0; v < n_maxima; v++) maxima[v] = choose(maxima[v] == all(bound), all(-INFINITY), maxima[v]);
    }
    return bound;
}

/* Add e^(x - top) of n values, a multiple of LANES. */
static vector sum_exp(const float *x, long n, float top, vector sum) {
    for (long j = 0; j < n; j += LANES) sum += exponential(AT(x + j) - top);
    return sum;
}

/* Mask tokens that are never chosen, here or in this step, and return a bound that s->n_ranked of the other logits reach.
   Store log(sum(exp(logits))) of all of them in `log_z`. */
static float mask(const search_state *s, float *logits, int mask_end, float *log_z) {
    const request *r = s->request;
    long padded = round_up(s->model->of.vocabulary), n = r->n_forbidden;
    float *masked = s->masked, top = -INFINITY;
    for (long i = 0; i < n; i++) { /* a token that is given twice is added once */
        masked[i] = logits[r->forbidden[i]];
        logits[r->forbidden[i]] = -INFINITY;
    }
    masked[n++] = mask_end ? logits[EOS] : -INFINITY;
    if (mask_end) logits[EOS] = -INFINITY;
    for (; n % LANES; n++) masked[n] = -INFINITY;
    float bound = lower_bound(logits, padded, s->n_ranked, &top);
    for (long i = 0; i < n; i++) top = masked[i] > top ? masked[i] : top;
    *log_z = top + logf(sum_of(sum_exp(masked, n, top, sum_exp(logits, padded, top, (vector){0}))));
    return bound;
}

/* Find the best continuations of one row of logits. Return their number, or -1 if the logits are not finite. */
static long rank_row(const search_state *s, const sentence *of, long parent, float *logits, continuation *best) {
    long vocabulary = s->model->of.vocabulary, padded = round_up(vocabulary), n = 0;
    int is_forced = of->length < of->n_prefix, is_last = of->length > 0 && of->length + 1 >= of->max_length;
    long only = is_forced ? of->prefix[of->length] : is_last ? EOS : -1;
    float chosen = only < 0 ? 0 : logits[only], log_z;
    double score = of->scores[parent];
    for (long j = vocabulary; j < padded; j++) logits[j] = -INFINITY;
    float bound = mask(s, logits, of->length == 0, &log_z);
    if (s->request->table) log_z = 0;
    else if (!isfinite(log_z)) return -1;
    if (only >= 0) {
        best[0] = (continuation){score + (chosen - log_z), chosen - log_z, parent, only};
        return best[0].score > -INFINITY;
    }
    bound -= 3e-7f * (fabsf(bound) + fabsf(log_z)) + 1e-6f; /* rounding can make scores of unequal logits equal */
    for (long j = 0; j < padded; j += LANES) {
        integers reach = AT(logits + j) >= all(bound);
        for (int l = 0; l < LANES && any(reach); l++) {
            float log_prob = logits[j + l] - log_z;
            continuation new = {score + log_prob, log_prob, parent, j + l};
            if (reach[l] && new.score > -INFINITY) n = insert(best, n, s->n_ranked, &new);
        }
    }
    return n;
}

static void fill_from_table(const search_state *s, const sentence *of, const hypothesis *row, float *logits) {
    for (long i = 1; i < row->n_ancestors; i++) s->tokens[i - 1] = of->nodes[row->ancestors[i]].token;
    s->request->table(of->number, row->n_ancestors - 1, s->tokens, logits);
}

/* Decode one step of all active sentences, and rank the continuations of each row. */
static enum status rank_rows(search_state *s) {
    const request *r = s->request;
    long n = 0, stride = round_up(s->model->of.vocabulary);
    for (long a = 0; a < s->n_active; a++) {
        sentence *of = s->active[a];
        for (long h = 0; h < of->n_live; h++) {
            const int32_t *ancestors = of->ancestors + h * (of->max_length + 1);
            int32_t token = of->nodes[ancestors[of->length]].token;
            s->rows[n++] = (hypothesis){&of->source, of->cache, ancestors, of->length + 1, token};
        }
    }
    if (!r->table) decode_step(s->model, s->rows, n, &s->work);
    for (long a = 0, h = 0, i = 0; i < n; i++, h++) {
        if (h == s->active[a]->n_live) a++, h = 0;
        float *logits = s->work.logits + i % LOGIT_ROWS * stride;
        if (r->table) fill_from_table(s, s->active[a], s->rows + i, logits);
        else if (i % LOGIT_ROWS == 0)
            compute_logits(s->model, i, n - i < LOGIT_ROWS ? n - i : LOGIT_ROWS, &s->work);
        s->n_of_rows[i] = rank_row(s, s->active[a], h, logits, s->of_rows + i * s->n_ranked);
        if (s->n_of_rows[i] < 0) return NOT_FINITE;
    }
    return DONE;
}

static void finish(const search_state *s, sentence *of, const continuation *last) {
    const int32_t *ancestors = of->ancestors + last->parent * (of->max_length + 1);
    double score = last->score / pow(of->length + 1, s->request->length_penalty);
    long i = of->n_finished++;
    finished new = of->finished[i]; /* its memory is unused */
    for (; i > 0 && score > of->finished[i - 1].score; i--) of->finished[i] = of->finished[i - 1];
    new.total = last->score, new.score = score, new.length = of->length;
    for (long k = 0; k < of->length; k++) {
        new.ids[k] = of->nodes[ancestors[k + 1]].token;
        new.log_probs[k] = of->nodes[ancestors[k + 1]].log_prob;
    }
    new.log_probs[of->length] = last->log_prob;
    of->finished[i] = new;
}

/* Choose the finished and the live hypotheses among n ranked continuations. */
static void advance(const search_state *s, sentence *of, const continuation *best, long n) {
    long n_live = 0, size = of->max_length + 1, is_forced = of->length < of->n_prefix;
    for (long rank = 0; rank < n; rank++) {
        if (best[rank].token == EOS && !is_forced) {
            if (rank < s->request->beam_size) finish(s, of, best + rank);
        } else if (n_live < s->request->beam_size) {
            int32_t *path = of->descendants + n_live * size;
            memcpy(path, of->ancestors + best[rank].parent * size, 4 * (of->length + 1));
            path[of->length + 1] = of->n_columns + n_live;
            of->nodes[of->n_columns + n_live] = (node){best[rank].token, best[rank].log_prob};
            s->next_scores[n_live++] = best[rank].score;
        }
    }
    int32_t *swapped = of->ancestors;
    of->ancestors = of->descendants, of->descendants = swapped;
    memcpy(of->scores, s->next_scores, n_live * sizeof(double));
    of->n_columns += n_live, of->n_live = n_live, of->length++;
}

/* Return whether no live hypothesis can still become one of the n best. */
static int is_over(const sentence *of, const request *r) {
    if (!of->n_live) return 1;
    if (of->length <= of->n_prefix) return 0;
    if (of->n_finished >= r->beam_size || of->length >= of->max_length) return 1;
    if (of->n_finished < r->n_best) return 0;
    return of->finished[r->n_best - 1].score >= of->scores[0] / pow(of->max_length, r->length_penalty);
}

static void step(search_state *s) {
    const request *r = s->request;
    long n_active = 0, row = 0;
    for (long a = 0; a < s->n_active; a++) {
        sentence *of = s->active[a];
        long n = 0;
        for (long h = 0; h < of->n_live; h++, row++)
            for (long i = 0; i < s->n_of_rows[row]; i++)
                n = insert(s->best, n, s->n_ranked, s->of_rows + row * s->n_ranked + i);
        if (r->trace) {
            memcpy(r->trace + of->length * s->n_ranked, s->best, n * sizeof(continuation));
            r->n_traced[of->length] = n;
        }
        advance(s, of, s->best, n);
        if (!is_over(of, r)) s->active[n_active++] = of;
    }
    s->n_active = n_active;
}

static void write_results(const request *r, const sentence *of) {
    long n = of->n_finished < r->n_best ? of->n_finished : r->n_best;
    r->n_hypotheses[of->number] = n;
    for (long k = 0, to = of->number * r->n_best; k < n; k++, to++) {
        r->lengths[to] = of->finished[k].length, r->totals[to] = of->finished[k].total;
        memcpy(r->ids + to * r->max_length, of->finished[k].ids, 4 * of->finished[k].length);
        memcpy(r->log_probs + to * r->max_length, of->finished[k].log_probs, 4 * (of->finished[k].length + 1));
    }
}

/* Reserve memory in a block; with a block of NULL, only count. */
static void *reserve(char *block, size_t *used, size_t bytes) {
    char *start = block ? block + *used : NULL;
    *used += (bytes + 63) / 64 * 64;
    return start;
}

/* Lay out the memory of a sentence in a block, and return its size. */
static size_t lay_out(sentence *of, const model *model, const request *r, char *block) {
    long beam = r->beam_size, length = of->max_length, n_columns = 1 + beam * length;
    size_t used = 0;
    of->finished = reserve(block, &used, 2 * beam * sizeof(finished));
    for (long i = 0; i < 2 * beam; i++) {
        int32_t *ids = reserve(block, &used, 4 * length);
        float *log_probs = reserve(block, &used, 4 * (length + 1));
        if (block) of->finished[i] = (finished){0, 0, ids, log_probs, 0};
    }
    of->nodes = reserve(block, &used, n_columns * sizeof(node));
    of->scores = reserve(block, &used, beam * sizeof(double));
    of->ancestors = reserve(block, &used, 4 * beam * (length + 1));
    of->descendants = reserve(block, &used, 4 * beam * (length + 1));
    of->source.key_values = reserve(block, &used, 4 * source_size(model, of->source.n_tokens));
    of->cache = reserve(block, &used, 4 * (n_columns * column_size(model) + LANES)); /* a vector may read beyond */
    return used;
}

static int new_sentence(sentence *of, const model *model, const request *r, long number) {
    long first = number ? r->source_ends[number - 1] : 0, prefix = number ? r->prefix_ends[number - 1] : 0;
    *of = (sentence){.number = number, .max_length = r->max_lengths[number], .n_live = 1, .n_columns = 1};
    of->source.n_tokens = r->source_ends[number] - first;
    of->prefix = r->prefixes + prefix;
    of->n_prefix = r->prefix_ends[number] - prefix;
    char *block = allocate(lay_out(of, model, r, NULL));
    if (!block) return -1;
    lay_out(of, model, r, block); /* of->finished is where the block starts */
    of->nodes[0] = (node){BOS, 0};
    of->scores[0] = of->ancestors[0] = 0;
    return 0;
}

/* Rows that are encoded together, unless a single source is longer. */
#define ENCODER_ROWS 192

static int new_search(search_state *s, const model *model, const request *r) {
    long n = r->n_sentences, n_rows = n * r->beam_size, n_keys = r->max_length, ranked = 2 * r->beam_size + 1;
    for (long i = 0; i < n; i++) {
        long length = r->source_ends[i] - (i ? r->source_ends[i - 1] : 0);
        n_keys = length > n_keys ? length : n_keys;
    }
    n_rows = n_rows > ENCODER_ROWS + n_keys ? n_rows : ENCODER_ROWS + n_keys;
    *s = (search_state){.model = model, .request = r, .n_active = n, .n_ranked = ranked};
    s->sentences = calloc(n, sizeof(sentence));
    s->active = malloc(n * sizeof(sentence *));
    s->rows = malloc(n_rows * sizeof(hypothesis));
    s->of_rows = malloc(n_rows * ranked * sizeof(continuation));
    s->best = malloc(ranked * sizeof(continuation));
    s->n_of_rows = malloc(n_rows * sizeof(long));
    s->next_scores = malloc(r->beam_size * sizeof(double));
    s->masked = malloc(4 * round_up(r->n_forbidden + 1));
    s->tokens = malloc(4 * r->max_length);
    if (!s->sentences || !s->active || !s->rows || !s->of_rows || !s->best || !s->n_of_rows || !s->next_scores ||
        !s->masked || !s->tokens || new_workspace(&s->work, model, n_rows, n_keys))
        return -1;
    for (long i = 0; i < n; i++) {
        if (new_sentence(s->sentences + i, model, r, i)) return -1;
        s->active[i] = s->sentences + i;
    }
    return 0;
}

static void free_search(search_state *s) {
    for (long i = 0; s->sentences && i < s->request->n_sentences; i++) free(s->sentences[i].finished);
    void *all[] = {s->sentences, s->active, s->rows, s->of_rows, s->best, s->n_of_rows, s->next_scores, s->masked,
                   s->tokens};
    for (int i = 0; i < 9; i++) free(all[i]);
    free_workspace(&s->work);
}

static void encode_all(search_state *s) {
    const request *r = s->request;
    source sources[ENCODER_ROWS];
    for (long i = 0, n; i < r->n_sentences && !*r->stop; i += n) {
        long rows = 0;
        for (n = 0; i + n < r->n_sentences && n < ENCODER_ROWS; n++) {
            sources[n] = s->sentences[i + n].source;
            rows += sources[n].n_tokens;
            if (n && rows > ENCODER_ROWS) break;
        }
        encode(s->model, r->sources + (i ? r->source_ends[i - 1] : 0), sources, n, &s->work);
    }
}

EXPORT enum status search(const model *model, const request *r) {
    search_state s;
    enum status status = new_search(&s, model, r) ? NO_MEMORY : DONE;
    if (status == DONE && !r->table) encode_all(&s);
    while (status == DONE && s.n_active) {
        if (*r->stop) status = STOPPED;
        else if ((status = rank_rows(&s)) == DONE) step(&s);
    }
    for (long i = 0; status == DONE && i < r->n_sentences; i++) write_results(r, s.sentences + i);
    free_search(&s);
    return status;
}
