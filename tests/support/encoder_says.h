/* encoder_says.h - the facts of a file of weights as text, and words that must stand in it. */
#ifndef TURTLE_TESTS_SUPPORT_ENCODER_SAYS_H
#define TURTLE_TESTS_SUPPORT_ENCODER_SAYS_H

#include "host/encode/encoder.h"
#include "tests/support/check.h"

enum { FACTS_TEXT = 6000 };

/* Writes the facts of the image tower, each "name value (source)", or the refusal; then the notices. */
static inline void facts_of(const char *weights, const FactOptions *options, char out[FACTS_TEXT]) {
    Weights w;
    Error err;
    EncoderShape shape;
    EncoderFacts facts;
    char text[96];
    ASSERT_OK(weights_open(&w, NULL, NULL, weights, &err), err);
    ASSERT_OK(encoder_shape(&shape, &w), err);
    const Status st = encoder_facts(&facts, &shape, TOWER_IMAGE, &w, options, &err);
    snprintf(out, FACTS_TEXT, "%s%s\n", st == OK ? "" : "refused: ", st == OK ? "" : err.text);
    for (int i = 0; st == OK && i < FACTS; i++) {
        fact_text(text, &facts, (Fact)i);
        snprintf(out + strlen(out), FACTS_TEXT - strlen(out), "%s %s (%s)\n", fact_name((Fact)i),
                 text, facts.source[i]);
    }
    snprintf(out + strlen(out), FACTS_TEXT - strlen(out), "%s", weights_said(&w));
    weights_close(&w);
}

static inline void expect_facts(const char *weights, const FactOptions *options,
                                const char *const *words) {
    char facts[FACTS_TEXT];
    facts_of(weights, options, facts);
    for (; *words; words++)
        cr_expect(strstr(facts, *words), "expected '%s' in:\n%s", *words, facts);
}
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

#endif
