/* encode_attention_test.c - attention of the CUDA backend beside the plain reference: every width of heads and
 * type, numbers of tokens that are no multiples of a tile, rotation, masks, queries that images share. */
#include "tests/support/narrow.h"

/* A shape: B images, C heads of width d, K tokens. */
static bool causal;
static int64_t rope_first = -1; /* -1: no rotation */
static int64_t gap = 8;         /* elements between the rows of q, k, v and of the outputs */

/* Operands are rounded before the reference sees them. Then, with u of the type: each p is rounded, u; the output
 * is rounded, u; both in the norm, for values have random signs. Scores are sums in float32 of 128 products up to 9: 16e-6.
 * Rotated queries and keys are rounded once more: a score of w products, each of them off by sqrt(2) u / sqrt(3) in the
 * norm, with numbers of variance 3, over sqrt(w): 2.5 u. */
static double limit(void) {
    const double u = unit_of(precision);
    return (precision == PRECISION_FP32 ? 0.0 : rope_first >= 0 ? 4.5 * u : 2.0 * u) + 16e-6;
}

static Rope random_rope(int64_t tokens, int64_t width) {
    if (rope_first < 0) return (Rope){NULL, NULL, 0};
    const int64_t n = (tokens - rope_first) * width / 2;
    float *c = numbers(n + 1, 8), *s = numbers(n + 1, 9);
    for (int64_t i = 0; i < n; i++) {
        const float angle = 3.0f * c[i];
        c[i] = cosf(angle), s[i] = sinf(angle);
    }
    return (Rope){c, s, rope_first};
}

static Status attend(const Ops *ops, Queue *q, Tokens out, Tokens query, Tokens k, Tokens v,
                     Shape s, int64_t queries, const Rope *rope) {
    return ops->encode.attention(q, out, query, k, v, s.B, queries, s.K, s.C, s.d, causal, rope,
                                 NULL);
}

static void run_attention(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    const int64_t T = s.K, d = s.C * s.d, row = 3 * d + gap, n = s.B * T * row;
    float *x = numbers(n, 1);
    for (int64_t i = 0; i < n; i++) x[i] *= 3.0f; /* scores up to about 12 */
    char *qkv = activations(ops, x, n);
    const Precision type = type_on(ops);
    const int64_t step = d * precision_bytes(type);
    void *out = unwritten(ops, s.B * T * (d + gap));
    const Rope rope = random_rope(T, s.d);
    attend(ops, q, (Tokens){out, T * (d + gap), d + gap, type}, (Tokens){qkv, T * row, row, type},
           (Tokens){qkv + step, T * row, row, type}, (Tokens){qkv + 2 * step, T * row, row, type},
           s, T, &rope);
    output_rows(ops, q, o, out, s.B * T, d, d + gap);
}

static void judge(Precision type, const Shape *shapes, size_t count) {
    precision = type;
    for (size_t i = 0; i < count; i++) { /* one by one: off_alignment stays 0 */
        if (too_large(shapes[i]) || (getenv("TURTLE_TEST_SMALL") && shapes[i].K > 70)) continue;
        Outputs expected = run_operation(run_attention, "reference", 0, shapes[i]);
        judge_shape(type == PRECISION_FP16   ? "attention fp16"
                    : type == PRECISION_BF16 ? "attention bf16"
                                             : "attention fp32",
                    run_attention, shapes[i], &expected, limit());
        free_outputs(&expected);
    }
}

Test(encode_attention, in_16_bits, .timeout = 300) {
    const Shape half[] = {
        {1, 1, 64, 257}, {2, 2, 72, 50}, {1, 2, 88, 97}, {2, 1, 128, 65}, {1, 1, 8, 5}};
    const Shape brain[] = {{1, 2, 64, 129}, {1, 1, 80, 64}, {1, 1, 96, 81}, {1, 1, 104, 33}};
    judge(PRECISION_FP16, half, sizeof half / sizeof *half);
    judge(PRECISION_BF16, brain, sizeof brain / sizeof *brain);
}

Test(encode_attention, in_float32, .timeout = 300) {
    const Shape shapes[] = {
        {1, 2, 64, 130}, {2, 1, 72, 50}, {1, 3, 33, 65}, {1, 1, 127, 7}, {3, 1, 1, 1}};
    judge(PRECISION_FP32, shapes, sizeof shapes / sizeof *shapes);
    gap = 3;
    judge(PRECISION_FP32, shapes + 1, 2);
}

/* Widths that are no multiple of 8, and rows that are not aligned, take the readable kernel. */
Test(encode_attention, in_16_bits_of_odd_widths, .timeout = 120) {
    const Shape shapes[] = {{2, 3, 33, 20}, {1, 1, 127, 9}, {1, 2, 1, 6}};
    judge(PRECISION_FP16, shapes, 3);
    gap = 3;
    const Shape aligned = {1, 1, 64, 20};
    judge(PRECISION_BF16, &aligned, 1);
}

Test(encode_attention, of_every_width, .timeout = 600) {
    for (int64_t width = 8; width <= MAX_HEAD_DIM; width += 8) {
        const Shape s = {1, 2, width, 19};
        for (Precision type = PRECISION_FP32; type <= PRECISION_BF16; type++) judge(type, &s, 1);
    }
}

/* A query sees no key behind its own place: rows of tiles on the diagonal, and tiles that only some warps see. */
Test(encode_attention, of_texts, .timeout = 120) {
    causal = true;
    const Shape shapes[] = {{2, 1, 64, 77}, {1, 1, 64, 150}, {1, 1, 96, 70}, {1, 1, 16, 1}};
    judge(PRECISION_FP16, shapes, 4);
    judge(PRECISION_FP32, shapes, 2);
}

Test(encode_attention, rotates_tokens_behind_the_first, .timeout = 120) {
    const Shape shapes[] = {{2, 1, 64, 70}, {1, 2, 72, 67}, {1, 1, 20, 9}};
    for (rope_first = 0; rope_first <= 5; rope_first += 5) {
        judge(PRECISION_FP16, shapes, 3);
        judge(PRECISION_BF16, shapes, 1);
        judge(PRECISION_FP32, shapes, 3);
    }
}

/* All images have the same query, and it looks at keys of its own length (SigLIP's pooling head). */
static void run_shared_query(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    const int64_t T = s.K, d = s.C * s.d;
    const Precision type = type_on(ops);
    char *query = activations(ops, numbers(d, 1), d),
         *kv = activations(ops, numbers(s.B * T * 2 * d, 2), s.B * T * 2 * d);
    void *out = unwritten(ops, s.B * (d + gap));
    attend(ops, q, (Tokens){out, d + gap, d + gap, type}, (Tokens){query, 0, d, type},
           (Tokens){kv, T * 2 * d, 2 * d, type},
           (Tokens){kv + d * precision_bytes(type), T * 2 * d, 2 * d, type}, s, 1, NULL);
    output_rows(ops, q, o, out, s.B, d, d + gap);
}

Test(encode_attention, of_a_shared_query, .timeout = 120) {
    const Shape s = {3, 2, 72, 197};
    for (precision = PRECISION_FP32; precision <= PRECISION_BF16; precision++) {
        if (too_large(s)) continue;
        Outputs expected = run_operation(run_shared_query, "reference", 0, s);
        judge_shape("shared query", run_shared_query, s, &expected, limit());
        free_outputs(&expected);
    }
}

/* --- properties ------------------------------------------------------------------------------- */

/* Image 2 of 3, and the same image alone, have the same bits. */
Test(encode_attention, is_the_same_bits_in_any_batch, .timeout = 120) {
    enum { T = 83, HEADS = 2, WIDTH = 64, D = HEADS * WIDTH, IMAGE = T * 3 * D };
    for (precision = PRECISION_FP32; precision <= PRECISION_BF16; precision++) {
        Ops ops;
        Queue *q;
        open_backend(&ops, &q, "cuda", 0);
        const int64_t bytes = precision_bytes(precision);
        char *qkv = activations(&ops, numbers(3 * IMAGE, 1), 3 * IMAGE);
        char *all = unwritten(&ops, 3 * T * D), *one = unwritten(&ops, T * D);
        for (int alone = 0; alone < 2; alone++) {
            char *from = qkv + (alone ? 2 * IMAGE * bytes : 0);
            const Shape s = {alone ? 1 : 3, HEADS, WIDTH, T};
            attend(&ops, q, (Tokens){alone ? one : all, T * D, D, precision},
                   (Tokens){from, IMAGE, 3 * D, precision},
                   (Tokens){from + D * bytes, IMAGE, 3 * D, precision},
                   (Tokens){from + 2 * D * bytes, IMAGE, 3 * D, precision}, s, T, NULL);
        }
        finish(&ops, q);
        cr_expect(!memcmp(all + 2 * T * D * bytes, one, (size_t)(T * D * bytes)), "%d",
                  (int)precision);
        close_backend(&ops, q);
        free_arrays();
    }
}

Test(encode_attention, refuses_what_it_cannot_serve) {
    static const Shape refused[] = {{0, 1, 64, 5}, {1, 0, 64, 5}, {1, 1, 129, 5}, {1, 1, 64, 0}};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        Ops ops;
        Queue *q;
        open_backend(&ops, &q, "cuda", 0);
        const Tokens x = {numbers(1 << 10, 1), 0, 129, PRECISION_FP32};
        cr_expect(attend(&ops, q, x, x, x, x, refused[i], 1, NULL) == ERR_ARG, "%d", (int)i);
        close_backend(&ops, q);
        free_arrays();
    }
}

/* --- lengths of encoders: make test-full ------------------------------------------------------- */

/* Judges one head by one schedule: emulated, 4096 tokens take a minute. */
static void judge_length(Precision type, int64_t tokens, int64_t width) {
    const Shape s = {1, 1, width, tokens};
    precision = type;
    Outputs expected = run_operation(run_attention, "reference", 0, s),
            found = run_operation(run_attention, "cuda", 0, s);
    EXPECT_CLOSE(relative_error(found.data[0], expected.data[0], expected.count[0]), limit(),
                 "attention of %d tokens, width %d, precision %d, causal %d, rotated from %d",
                 (int)tokens, (int)width, (int)type, (int)causal, (int)rope_first);
    free_outputs(&found);
    free_outputs(&expected);
}

/* Judges the multiples of a width up to 128 in every type, over all tokens, over earlier ones, and rotated. */
static void judge_lengths(int64_t tokens, int64_t step) {
    if (!getenv("TURTLE_TEST_FULL") || getenv("TURTLE_TEST_SMALL")) return;
    for (int64_t width = step; width <= MAX_HEAD_DIM; width += step)
        for (Precision type = PRECISION_FP32; type <= PRECISION_BF16; type++)
            for (int form = 0; form < 3; form++) {
                causal = form == 1;
                rope_first = form == 2 ? 1 : -1;
                judge_length(type, tokens, width);
            }
}

Test(encode_attention, of_short_lengths, .timeout = 3600) {
    static const int64_t lengths[] = {5, 50, 197, 257};
    for (int i = 0; i < 4; i++) judge_lengths(lengths[i], 8);
}

Test(encode_attention, of_577_tokens, .timeout = 3600) {
    judge_lengths(577, 8);
}

/* With 1374 tokens, every number of columns that kernels have: 64, 80, 96 and 128. */
Test(encode_attention, of_1370_tokens, .timeout = 3600) {
    judge_lengths(1370, 32);
}

Test(encode_attention, of_1374_tokens, .timeout = 3600) {
    judge_lengths(1374, 40);
}

Test(encode_attention, of_4096_tokens, .timeout = 3600) {
    judge_lengths(4096, 64);
}
