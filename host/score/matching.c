/* matching.c - the greatest matching of a sparse table: one shortest augmenting path a row.
 *
 * Row i has a profit u_i >= 0 and column j a price p_j >= 0 with u_i + p_j >= w_ij, equal where i
 * and j are matched; unmatched columns have price 0 and unmatched rows profit 0. By complementary
 * slackness such a matching is the greatest. Rows enter one after the other: Dijkstra over the
 * slacks u_i + p_j - w_ij finds the nearest end, which is a column that nobody holds, or a row that
 * gives its column away and stays alone at the cost of its profit. */
#include "host/score/matching.h"

#include <stdbool.h>
#include <stdlib.h>

typedef struct {
    int64_t dist, col;
} Reached;

typedef struct {
    const SparseTable *t;
    int64_t *col_of, *row_of; /* (rows), (cols) the matching; -1: none */
    int64_t *profit, *price;  /* (rows), (cols) */
    int64_t *dist;            /* (cols) from the row that enters; -1: not reached */
    int64_t *from;            /* (cols) the row before the column on that path */
    int64_t *touched;         /* (cols) columns that have a distance, */
    int64_t touches;          /* and how many */
    Reached *heap;            /* (entries) least distance first; some are outdated */
    int64_t heaped;
    int64_t *row, *row_dist;  /* (rows) rows of the search and their distance, */
    int64_t searched;         /* and how many */
    int64_t best;             /* length to the nearest end known, */
    int64_t end_col, end_row; /* which is one of them; the other is -1 */
} Search;

static void heap_push(Search *s, Reached new) {
    int64_t i = s->heaped++;
    for (int64_t up; i > 0 && s->heap[up = (i - 1) / 2].dist > new.dist; i = up)
        s->heap[i] = s->heap[up];
    s->heap[i] = new;
}

static Reached heap_pop(Search *s) {
    const Reached least = s->heap[0], last = s->heap[--s->heaped];
    int64_t i = 0;
    for (int64_t down; (down = 2 * i + 1) < s->heaped; i = down) {
        if (down + 1 < s->heaped && s->heap[down + 1].dist < s->heap[down].dist) down++;
        if (s->heap[down].dist >= last.dist) break;
        s->heap[i] = s->heap[down];
    }
    s->heap[i] = last;
    return least;
}

/* Looks at what lies behind row r, which is reached after `dist`. */
static void expand(Search *s, int64_t r, int64_t dist) {
    s->row[s->searched] = r;
    s->row_dist[s->searched++] = dist;
    if (dist + s->profit[r] < s->best) {
        s->best = dist + s->profit[r];
        s->end_row = r;
        s->end_col = -1;
    }
    for (int64_t e = s->t->begin[r]; e < s->t->begin[r + 1]; e++) {
        const int64_t c = s->t->col[e],
                      length = dist + s->profit[r] + s->price[c] - s->t->weight[e];
        if (length >= s->best || (s->dist[c] >= 0 && s->dist[c] <= length)) continue;
        if (s->dist[c] < 0) s->touched[s->touches++] = c;
        s->dist[c] = length;
        s->from[c] = r;
        if (s->row_of[c] < 0) {
            s->best = length;
            s->end_col = c;
            s->end_row = -1;
        } else {
            heap_push(s, (Reached){length, c});
        }
    }
}

/* Shifts the matching along the path to the end found. */
static void augment(Search *s, int64_t entered) {
    int64_t c = s->end_col;
    if (c < 0) { /* a row gives its column away, or the new one stays alone */
        c = s->col_of[s->end_row];
        s->col_of[s->end_row] = -1;
        if (s->end_row == entered) return;
    }
    for (;;) {
        const int64_t r = s->from[c], before = s->col_of[r];
        s->col_of[r] = c;
        s->row_of[c] = r;
        if (r == entered) return;
        c = before;
    }
}

static void enter(Search *s, int64_t row) {
    int64_t most = 0;
    for (int64_t e = s->t->begin[row]; e < s->t->begin[row + 1]; e++) {
        const int64_t gain = s->t->weight[e] - s->price[s->t->col[e]];
        if (gain > most) most = gain;
    }
    s->profit[row] = most;
    s->best = INT64_MAX;
    s->heaped = s->searched = s->touches = 0;
    expand(s, row, 0);
    while (s->heaped > 0 && s->heap[0].dist < s->best) {
        const Reached next = heap_pop(s);
        if (next.dist == s->dist[next.col]) expand(s, s->row_of[next.col], next.dist);
    }
    for (int64_t i = 0; i < s->searched; i++) s->profit[s->row[i]] -= s->best - s->row_dist[i];
    for (int64_t i = 0; i < s->touches; i++) {
        const int64_t c = s->touched[i];
        if (s->dist[c] < s->best) s->price[c] += s->best - s->dist[c];
        s->dist[c] = -1;
    }
    augment(s, row);
}

static int64_t *numbers(int64_t n, int64_t value) {
    int64_t *x = malloc((size_t)(n > 0 ? n : 1) * sizeof *x);
    for (int64_t i = 0; x && i < n; i++) x[i] = value;
    return x;
}

Status matching_greatest(const SparseTable *t, int64_t *col_of_row, Error *err) {
    Search s = {.t = t,
                .col_of = col_of_row,
                .row_of = numbers(t->cols, -1),
                .profit = numbers(t->rows, 0),
                .price = numbers(t->cols, 0),
                .dist = numbers(t->cols, -1),
                .from = numbers(t->cols, -1),
                .touched = numbers(t->cols, 0),
                .heap = malloc((size_t)(t->begin[t->rows] + 1) * sizeof *s.heap),
                .row = numbers(t->rows, 0),
                .row_dist = numbers(t->rows, 0)};
    const bool whole = s.row_of && s.profit && s.price && s.dist && s.from && s.touched && s.heap &&
                       s.row && s.row_dist;
    for (int64_t r = 0; r < t->rows; r++) col_of_row[r] = -1;
    for (int64_t r = 0; whole && r < t->rows; r++) enter(&s, r);
    free(s.row_of);
    free(s.profit);
    free(s.price);
    free(s.dist);
    free(s.from);
    free(s.touched);
    free(s.heap);
    free(s.row);
    free(s.row_dist);
    return whole ? OK : fail(err, ERR_MEMORY, "matching: out of memory");
}
