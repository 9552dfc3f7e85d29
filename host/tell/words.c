/* words.c - the word that a misspelt one was to be. */
#include "host/tell/words.h"

#include <limits.h>
#include <string.h>

enum { MAX_WORD = 48 };

char word_plain(char c) {
    return c == '-' ? '_' : c;
}

/* Returns the Levenshtein distance, computed one row at a time. */
static int edit_distance(const char *a, const char *b) {
    int row[MAX_WORD + 1];
    const int n = (int)strlen(b);
    if (n > MAX_WORD) return INT_MAX;
    for (int j = 0; j <= n; j++) row[j] = j;
    for (int i = 1; *a; a++, i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            const int change = diagonal + (word_plain(*a) != word_plain(b[j - 1]));
            diagonal = row[j];
            row[j] = change < row[j] + 1 ? change : row[j] + 1;
            if (row[j - 1] + 1 < row[j]) row[j] = row[j - 1] + 1;
        }
    }
    return row[n];
}

const char *nearest_word(const char *word, const char *const *candidates, int count) {
    const char *nearest = NULL;
    int least = (int)strlen(word) / 2 + 1; /* further away it is another word, not a slip */
    for (int i = 0; i < count; i++) {
        const int distance = edit_distance(word, candidates[i]);
        if (distance < least) {
            least = distance;
            nearest = candidates[i];
        }
    }
    return nearest;
}
