/* The training step of GPT-2 in C, its backward pass derived by hand.

Read beside functions.py and gpt.py, which this follows name by name. There a function is written once, forwards, and
Value.backward finds the rest. Here each function has a second one, which somebody had to derive: from d_y, how fast the
loss grows with each output, to d_x, how fast it grows with each input, and to what it adds to the gradients of the
parameters. What the second one needs of the first must be kept in memory, so the whole is also a plan of what lives
where. A change of a formula is made twice, and a mistake is no error: it may only be a model that learns worse.

It is plain C for one thread. c.py compiles it, and bench.py measures it beside the others, which learn the same:
    cc -O3 -march=native -ffast-math -fPIC -c by_hand.c && cc -shared by_hand.o -o by_hand.so -lm
N is the number of positions in all sequences together, n is n_embd. Matrices are stored row by row. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct { float *weight, *bias; } Map;  // of a linear map [n, m] and [m]; of a layer norm [n] and [n]
typedef struct { Map ln_1, c_attn, attn_proj, ln_2, c_fc, mlp_proj; } Layer;
typedef struct { float *wte, *wpe; Layer *h; Map ln_f; } Parameters;  // of the gradients too

typedef struct { float *normal, *scale, *y; } Norm;  // what a layer norm found: (x - mean) scale, scale, its output
typedef struct {
    Norm ln_1, ln_2;                     // [N, n], [N], [N, n]
    float *qkv;                          // [N, 3 n]: queries, keys and values
    float *chances;                      // [sequence, head, t, t]: how much each position reads from each
    float *heads;                        // [N, n]: what they read
    float *hidden, *slope;               // [N, 4 n]: after gelu, and its derivative
} Kept;                                  // what the backward pass needs of a layer

typedef struct {
    int vocab_size, n_positions, n_embd, n_layer, n_head, batch, positions;
    int step, padded;                    // padded: the vocabulary, rounded up to whole vectors
    size_t size;                         // how many parameters there are
    float *flat, *d_flat, *m, *v;        // [size]: parameters, their gradients, Adam's two moments
    Parameters p, d;                     // views of the first two
    Kept *kept;                          // [n_layer]
    Norm ln_f;
    float *x, *d_x, *d_n, *d_wide;       // [N, n] the residual stream, [N, n], [N, n], [N, 4 n]: gradients
    float *logits;                       // [N, padded], and then their gradients
    float *turned, *d_chances;           // a matrix transposed; [t, t]
} GPT;

enum { LINE = 64, CHUNK = 128 };         // bytes of a cache line; rows that a product takes at a time

// Memory, which nobody frees: it lives as long as the process.

static void *zeros(size_t count, size_t bytes) {
    void *memory = calloc(count, bytes);
    if (!memory) abort();
    return memory;
}

static float *array(size_t size) {  // begins where a cache line does
    char *memory = zeros(1, size * sizeof(float) + LINE);
    return (float *)(memory + LINE - (uintptr_t)memory % LINE);
}

static float *take(float **at, size_t size) {
    *at += size;
    return *at - size;
}

static Map take_map(float **at, int inputs, int outputs) {
    float *weight = take(at, (size_t)inputs * outputs);
    return (Map){weight, take(at, outputs)};
}

// Where each tensor lies in the flat vector: the order of parameters.py. Returns where it ends.
static float *views(const GPT *g, float *at, Parameters *p) {
    int n = g->n_embd;
    p->wte = take(&at, (size_t)g->vocab_size * n);
    p->wpe = take(&at, (size_t)g->n_positions * n);
    p->h = zeros(g->n_layer, sizeof(Layer));
    for (Layer *h = p->h; h < p->h + g->n_layer; h++) {
        h->ln_1 = take_map(&at, 1, n);
        h->c_attn = take_map(&at, n, 3 * n);
        h->attn_proj = take_map(&at, n, n);
        h->ln_2 = take_map(&at, 1, n);
        h->c_fc = take_map(&at, n, 4 * n);
        h->mlp_proj = take_map(&at, 4 * n, n);
    }
    p->ln_f = take_map(&at, 1, n);
    return at;
}

static Norm new_norm(size_t N, int n) {
    return (Norm){array(N * n), array(N), array(N * n)};
}

// Products of matrices. All the linear maps and attention, forwards and backwards, come down to this.

// c += a b for four rows of c and `width` columns. Their sums stay in registers, and each number loaded from b is used
// four times. The width is a constant where this is called, so that the compiler makes whole vectors of these loops.
static inline void tile(int width, int inner, const float *restrict a, size_t a_row, size_t a_column,
                        const float *restrict b, size_t b_row, float *restrict c, size_t c_row) {
    float sum_0[16] = {0}, sum_1[16] = {0}, sum_2[16] = {0}, sum_3[16] = {0};
    for (int i = 0; i < inner; i++) {
        size_t at = i * a_column;
        float a_0 = a[at], a_1 = a[at + a_row], a_2 = a[at + 2 * a_row], a_3 = a[at + 3 * a_row];
        for (int j = 0; j < width; j++) {
            sum_0[j] += a_0 * b[i * b_row + j];
            sum_1[j] += a_1 * b[i * b_row + j];
            sum_2[j] += a_2 * b[i * b_row + j];
            sum_3[j] += a_3 * b[i * b_row + j];
        }
    }
    for (int j = 0; j < width; j++) {
        c[j] += sum_0[j];
        c[c_row + j] += sum_1[j];
        c[2 * c_row + j] += sum_2[j];
        c[3 * c_row + j] += sum_3[j];
    }
}

static void add(size_t size, float *restrict x, float factor, const float *restrict y) {  // x += factor y
    for (size_t i = 0; i < size; i++) x[i] += factor * y[i];
}

// c[r, j] += sum over i of a[r, i] b[i, j]. Steps from row to row are given; a can be read transposed. It takes as many
// rows of b at a time as stay in the nearest cache while all rows of a meet them.
static void multiply(int rows, int all, int columns, const float *a, size_t a_row, size_t a_column, const float *b,
                     size_t b_row, float *c, size_t c_row) {
    int r, j, left, inner;
    for (int start = 0; start < all; start += inner, a += inner * a_column, b += inner * b_row) {
        inner = all - start > CHUNK ? CHUNK : all - start;
        for (j = 0; (left = columns - j) > 0; j += left >= 16 ? 16 : left >= 8 ? 8 : left >= 4 ? 4 : 1)
            for (r = 0; r + 4 <= rows; r += 4) {
                const float *a_r = a + r * a_row, *b_j = b + j;
                float *c_r = c + r * c_row + j;
                if (left >= 16) tile(16, inner, a_r, a_row, a_column, b_j, b_row, c_r, c_row);
                else if (left >= 8) tile(8, inner, a_r, a_row, a_column, b_j, b_row, c_r, c_row);
                else if (left >= 4) tile(4, inner, a_r, a_row, a_column, b_j, b_row, c_r, c_row);
                else tile(1, inner, a_r, a_row, a_column, b_j, b_row, c_r, c_row);
            }
        for (r = rows / 4 * 4; r < rows; r++)  // those that make no group of four
            for (int i = 0; i < inner; i++) add(columns, c + r * c_row, a[r * a_row + i * a_column], b + i * b_row);
    }
}

static const float *transpose(int rows, int columns, const float *x, int x_row, float *y, int y_row) {
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < columns; j++) y[(size_t)j * y_row + r] = x[(size_t)r * x_row + j];
    return y;
}

// The functions of functions.py, each with the one that leads back.

static void linear(int N, int n, int m, const float *x, Map p, float *y) {
    for (int t = 0; t < N; t++) memcpy(y + (size_t)t * m, p.bias, m * sizeof(float));
    multiply(N, n, m, x, n, 1, p.weight, m, y, m);
}

// y = x W + b, so d_x = d_y W^T, d_W = x^T d_y and d_b = the sum of d_y over the positions.
static void linear_back(int N, int n, int m, const float *x, Map p, const float *restrict d_y, float *d_x, Map d,
                        float *turned) {
    memset(d_x, 0, (size_t)N * n * sizeof(float));
    multiply(N, m, n, d_y, m, 1, transpose(n, m, p.weight, m, turned, n), n, d_x, n);
    multiply(n, N, m, x, 1, n, d_y, m, d.weight, m);
    for (int t = 0; t < N; t++) add(m, d.bias, 1, d_y + (size_t)t * m);
}

static void layer_norm(int N, int n, const float *x, Map p, Norm kept) {
    const float *restrict gain = p.weight, *restrict bias = p.bias;
    for (int t = 0; t < N; t++, x += n) {
        float *restrict normal = kept.normal + (size_t)t * n, *restrict y = kept.y + (size_t)t * n;
        float mean = 0, variance = 0;
        for (int i = 0; i < n; i++) mean += x[i];
        mean /= n;
        for (int i = 0; i < n; i++) variance += (x[i] - mean) * (x[i] - mean);
        float scale = 1 / sqrtf(variance / n + 1e-5f);
        for (int i = 0; i < n; i++) {
            normal[i] = (x[i] - mean) * scale;
            y[i] = normal[i] * gain[i] + bias[i];
        }
        kept.scale[t] = scale;
    }
}

// With d_normal = d_y gain, d_x = scale (d_normal - mean(d_normal) - normal mean(d_normal normal)), because the mean
// and the variance move with each x. It is added to d_x: the residual stream also goes around the layer norm.
static void layer_norm_back(int N, int n, Norm kept, Map p, const float *d_y, float *d_x, Map d) {
    const float *restrict gain = p.weight;
    float *restrict d_gain = d.weight, *restrict d_bias = d.bias;
    for (int t = 0; t < N; t++, d_y += n, d_x += n) {
        const float *restrict normal = kept.normal + (size_t)t * n;
        float mean = 0, along = 0;
        for (int i = 0; i < n; i++) {
            float d_normal = d_y[i] * gain[i];
            mean += d_normal;
            along += d_normal * normal[i];
        }
        mean /= n;
        along /= n;
        for (int i = 0; i < n; i++) {
            d_x[i] += kept.scale[t] * (d_y[i] * gain[i] - mean - normal[i] * along);
            d_gain[i] += d_y[i] * normal[i];
            d_bias[i] += d_y[i];
        }
    }
}

// y = x (1 + tanh(u)) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3). Its slope, by the product and the chain rule, is
// (1 + tanh(u)) / 2 + x (1 - tanh(u)^2) u' / 2. It takes the same tanh, so it is found here and kept.
static void gelu(size_t size, float *restrict x, float *restrict slope) {
    const float c = 0.7978845608f;
    for (size_t i = 0; i < size; i++) {
        float tanh_u = tanhf(c * (x[i] + 0.044715f * x[i] * x[i] * x[i]));
        float d_u = c * (1 + 3 * 0.044715f * x[i] * x[i]);
        slope[i] = 0.5f * (1 + tanh_u) + 0.5f * x[i] * (1 - tanh_u * tanh_u) * d_u;
        x[i] *= 0.5f * (1 + tanh_u);
    }
}

// The first `size` numbers of x become probabilities: returns the log of the sum of their exps.
static float softmax(int size, float *restrict x, float scale) {
    float largest = x[0], sum = 0;
    for (int i = 1; i < size; i++) largest = x[i] > largest ? x[i] : largest;
    for (int i = 0; i < size; i++) {
        x[i] = expf((x[i] - largest) * scale);
        sum += x[i];
    }
    for (int i = 0; i < size; i++) x[i] /= sum;
    return largest * scale + logf(sum);
}

// One head in one sequence. Its queries, keys and values are d of the 3 n numbers of each position.
static void attention(const GPT *g, const float *query, float *chances, float *heads) {
    int T = g->positions, n = g->n_embd, d = n / g->n_head;
    const float *keys = query + n, *values = query + 2 * n;
    memset(chances, 0, (size_t)T * T * sizeof(float));
    multiply(T, d, T, query, 3 * n, 1, transpose(T, d, keys, 3 * n, g->turned, T), T, chances, T);
    for (int t = 0; t < T; t++) {
        softmax(t + 1, chances + t * T, 1 / sqrtf(d));
        memset(chances + t * T + t + 1, 0, (T - t - 1) * sizeof(float));  // nobody looks ahead
        memset(heads + (size_t)t * n, 0, d * sizeof(float));
    }
    multiply(T, T, d, chances, T, 1, values, 3 * n, heads, n);
}

// heads = chances values, chances = softmax(scores), scores = scale query keys^T. The derivative of softmax:
// d_scores = chances (d_chances - sum(chances d_chances)); where a chance is 0, because it lies ahead, so is this.
static void attention_back(const GPT *g, const float *query, const float *chances, const float *d_heads,
                           float *d_query) {
    int T = g->positions, n = g->n_embd, d = n / g->n_head;
    const float *keys = query + n, *values = query + 2 * n;
    float *d_keys = d_query + n, *d_values = d_query + 2 * n, *d_chances = g->d_chances;
    memset(d_chances, 0, (size_t)T * T * sizeof(float));
    multiply(T, d, T, d_heads, n, 1, transpose(T, d, values, 3 * n, g->turned, T), T, d_chances, T);
    multiply(T, T, d, chances, 1, T, d_heads, n, d_values, 3 * n);
    for (int t = 0; t < T; t++) {
        const float *restrict p = chances + t * T;
        float *restrict d_p = d_chances + t * T, sum = 0, scale = 1 / sqrtf(d);
        for (int i = 0; i < T; i++) sum += p[i] * d_p[i];
        for (int i = 0; i < T; i++) d_p[i] = p[i] * (d_p[i] - sum) * scale;
    }
    multiply(T, T, d, d_chances, T, 1, keys, 3 * n, d_query, 3 * n);
    multiply(T, T, d, d_chances, 1, T, query, 3 * n, d_keys, 3 * n);
}

// The model, forwards: x is the residual stream, to which every part adds.

static void block(const GPT *g, const Layer *p, Kept *kept) {
    int T = g->positions, N = g->batch * T, n = g->n_embd, d = n / g->n_head;
    layer_norm(N, n, g->x, p->ln_1, kept->ln_1);
    linear(N, n, 3 * n, kept->ln_1.y, p->c_attn, kept->qkv);
    for (int s = 0; s < g->batch; s++)
        for (int h = 0; h < g->n_head; h++)
            attention(g, kept->qkv + (size_t)s * T * 3 * n + h * d, kept->chances + (size_t)(s * g->n_head + h) * T * T,
                      kept->heads + (size_t)s * T * n + h * d);
    linear(N, n, n, kept->heads, p->attn_proj, g->d_n);
    add((size_t)N * n, g->x, 1, g->d_n);
    layer_norm(N, n, g->x, p->ln_2, kept->ln_2);
    linear(N, n, 4 * n, kept->ln_2.y, p->c_fc, kept->hidden);
    gelu((size_t)N * 4 * n, kept->hidden, kept->slope);
    linear(N, 4 * n, n, kept->hidden, p->mlp_proj, g->d_n);
    add((size_t)N * n, g->x, 1, g->d_n);
}

// The same from its end to its beginning. d_x is the gradient of the stream: what left the stream adds to it.
static void block_back(const GPT *g, const Layer *p, const Kept *kept, const Layer *d_p) {
    int T = g->positions, N = g->batch * T, n = g->n_embd, d = n / g->n_head;
    linear_back(N, 4 * n, n, kept->hidden, p->mlp_proj, g->d_x, g->d_wide, d_p->mlp_proj, g->turned);
    for (size_t i = 0; i < (size_t)N * 4 * n; i++) g->d_wide[i] *= kept->slope[i];
    linear_back(N, n, 4 * n, kept->ln_2.y, p->c_fc, g->d_wide, g->d_n, d_p->c_fc, g->turned);
    layer_norm_back(N, n, kept->ln_2, p->ln_2, g->d_n, g->d_x, d_p->ln_2);
    linear_back(N, n, n, kept->heads, p->attn_proj, g->d_x, g->d_n, d_p->attn_proj, g->turned);
    memset(g->d_wide, 0, (size_t)N * 3 * n * sizeof(float));
    for (int s = 0; s < g->batch; s++)
        for (int h = 0; h < g->n_head; h++)
            attention_back(g, kept->qkv + (size_t)s * T * 3 * n + h * d,
                           kept->chances + (size_t)(s * g->n_head + h) * T * T, g->d_n + (size_t)s * T * n + h * d,
                           g->d_wide + (size_t)s * T * 3 * n + h * d);
    linear_back(N, n, 3 * n, kept->ln_1.y, p->c_attn, g->d_wide, g->d_n, d_p->c_attn, g->turned);
    layer_norm_back(N, n, kept->ln_1, p->ln_1, g->d_n, g->d_x, d_p->ln_1);
}

// Logits, and the mean over the batch of the weighted cross-entropies. By its own logits a cross-entropy grows like
// softmax(logits) - 1 at the target; these gradients take the place of the logits.
static float head(const GPT *g, const int64_t *tokens, const float *weights) {
    int T = g->positions, N = g->batch * T, n = g->n_embd, padded = g->padded;
    memset(g->turned, 0, (size_t)n * padded * sizeof(float));
    memset(g->logits, 0, (size_t)N * padded * sizeof(float));
    multiply(N, n, padded, g->ln_f.y, n, 1, transpose(g->vocab_size, n, g->p.wte, n, g->turned, padded), padded,
             g->logits, padded);
    double loss = 0;
    for (int t = 0; t < N; t++) {
        float *restrict logits = g->logits + (size_t)t * padded, weight = weights[t] / g->batch;
        int64_t target = tokens[t / T * (T + 1) + t % T + 1];
        float chosen = logits[target];
        loss += weight * (softmax(g->vocab_size, logits, 1) - chosen);
        logits[target] -= 1;
        for (int i = 0; i < g->vocab_size; i++) logits[i] *= weight;
    }
    return (float)loss;
}

// The head is tied to the embedding: wte receives gradients from both ends.
static void backward(const GPT *g, const int64_t *tokens) {
    int T = g->positions, N = g->batch * T, n = g->n_embd;
    memset(g->d_flat, 0, g->size * sizeof(float));
    memset(g->d_n, 0, (size_t)N * n * sizeof(float));
    memset(g->d_x, 0, (size_t)N * n * sizeof(float));
    multiply(N, g->vocab_size, n, g->logits, g->padded, 1, g->p.wte, n, g->d_n, n);
    multiply(g->vocab_size, N, n, g->logits, 1, g->padded, g->ln_f.y, n, g->d.wte, n);
    layer_norm_back(N, n, g->ln_f, g->p.ln_f, g->d_n, g->d_x, g->d.ln_f);
    for (int layer = g->n_layer - 1; layer >= 0; layer--)
        block_back(g, g->p.h + layer, g->kept + layer, g->d.h + layer);
    for (int t = 0; t < N; t++) {
        add(n, g->d.wte + tokens[t / T * (T + 1) + t % T] * n, 1, g->d_x + (size_t)t * n);
        add(n, g->d.wpe + (size_t)(t % T) * n, 1, g->d_x + (size_t)t * n);
    }
}

static void adam(GPT *g, float learning_rate) {
    float *restrict p = g->flat, *restrict m = g->m, *restrict v = g->v;
    const float *restrict gradient = g->d_flat;
    g->step++;
    float m_share = (float)(1 / (1 - pow(0.9, g->step))), v_share = (float)(1 / (1 - pow(0.999, g->step)));
    for (size_t i = 0; i < g->size; i++) {
        m[i] = 0.9f * m[i] + 0.1f * gradient[i];
        v[i] = 0.999f * v[i] + 0.001f * gradient[i] * gradient[i];
        p[i] -= learning_rate * m[i] * m_share / (sqrtf(v[i] * v_share) + 1e-8f);
    }
}

// What others call

GPT *gpt_new(float *parameters, int vocab_size, int n_positions, int n_embd, int n_layer, int n_head, int batch,
             int positions) {
    GPT *g = zeros(1, sizeof(GPT));
    g->vocab_size = vocab_size, g->n_positions = n_positions, g->n_embd = n_embd;
    g->n_layer = n_layer, g->n_head = n_head, g->batch = batch, g->positions = positions;
    size_t N = (size_t)batch * positions, n = n_embd;
    g->padded = (vocab_size + 15) / 16 * 16;
    g->flat = parameters;
    g->size = views(g, g->flat, &g->p) - g->flat;
    g->d_flat = array(g->size), g->m = array(g->size), g->v = array(g->size);
    views(g, g->d_flat, &g->d);
    g->kept = zeros(n_layer, sizeof(Kept));
    for (Kept *k = g->kept; k < g->kept + n_layer; k++) {
        k->ln_1 = new_norm(N, n), k->ln_2 = new_norm(N, n);
        k->qkv = array(N * 3 * n), k->chances = array(N * n_head * positions), k->heads = array(N * n);
        k->hidden = array(N * 4 * n), k->slope = array(N * 4 * n);
    }
    g->ln_f = new_norm(N, n);
    g->x = array(N * n), g->d_x = array(N * n), g->d_n = array(N * n), g->d_wide = array(N * 4 * n);
    g->logits = array(N * g->padded), g->d_chances = array((size_t)positions * positions);
    g->turned = array(n * (4 * n + g->padded + positions));  // the largest matrix to transpose fits
    return g;
}

// tokens [batch, positions + 1], weights [batch, positions]: returns the loss before the step.
float gpt_step(GPT *g, const int64_t *tokens, const float *weights, float learning_rate) {
    int T = g->positions, N = g->batch * T, n = g->n_embd;
    for (int t = 0; t < N; t++)
        for (int i = 0; i < n; i++)
            g->x[(size_t)t * n + i] =
                g->p.wte[tokens[t / T * (T + 1) + t % T] * n + i] + g->p.wpe[(size_t)(t % T) * n + i];
    for (int layer = 0; layer < g->n_layer; layer++) block(g, g->p.h + layer, g->kept + layer);
    layer_norm(N, n, g->x, g->p.ln_f, g->ln_f);
    float loss = head(g, tokens, weights);
    backward(g, tokens);
    adam(g, learning_rate);
    return loss;
}
