/* split_words.h - the words that name a split, in folders and in lists. */
#ifndef TURTLE_IO_TEXT_SPLIT_WORDS_H
#define TURTLE_IO_TEXT_SPLIT_WORDS_H

#include <stdbool.h>

typedef enum { SPLIT_NONE, SPLIT_TRAIN, SPLIT_VAL, SPLIT_TEST } SplitWord;

/* train; val, valid, validation, dev; test: *exact is true. Words that surely mean a split but are
 * not taken (Train, training, Val, eval, Testing, test_images, ...): *exact is false. */
SplitWord split_word(const char *word, bool *exact);

#endif
