/* cluster_table.c - the clusters of a result as a table that fits a terminal. */
#include "host/cli/cluster_table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "host/tell/lines.h"
#include "io/files/file.h"
#include "io/text/columns.h"
#include "io/text/printable.h"

enum { BAR = 10, GAP = 2, LEAST_COLUMNS = 48, MOST_COLUMNS = 160, CELL = 10, LINE = 1000 };

/* Texts of one row, fit for a terminal; owned. */
typedef struct {
    const TurtleCluster *cluster;
    int64_t number;
    char *name;                    /* NULL: no names were given */
    char *typical[TURTLE_TYPICAL]; /* whole names, or "row 7"; NULL behind the last */
} Row;

typedef struct {
    Row row[CLUSTER_ROWS];
    int rows;
    int64_t largest, others, others_samples;
    /* Columns of: numbers, sizes, bars (0: none), names (0: none), a typical sample; how many of these. */
    int number, samples, bar, name, cell, cells;
    bool whole_names; /* every typical sample's name fits with its folders */
} Table;

/* --- texts -------------------------------------------------------------------------------------- */

/* Returns the part of a name behind its last folder. */
static const char *base_name(const char *name) {
    const char *slash = strrchr(name, '/');
    return slash && slash[1] ? slash + 1 : name;
}

static int larger(const void *a, const void *b) {
    const TurtleCluster *const *x = a, *const *y = b;
    if ((*x)->size != (*y)->size) return (*x)->size < (*y)->size ? 1 : -1;
    return (*x > *y) - (*x < *y); /* they lie in one array, in order of their numbers */
}

static void table_free(Table *t) {
    for (int i = 0; i < CLUSTER_ROWS; i++) {
        free(t->row[i].name);
        for (int k = 0; k < TURTLE_TYPICAL; k++) free(t->row[i].typical[k]);
    }
}

static bool fill_row(Row *row, const TurtleResult *r, const TurtleCluster *c) {
    row->cluster = c;
    row->number = c - r->clusters;
    if (c->name && !(row->name = printable_copy(*c->name ? c->name : "(left out)", false)))
        return false;
    for (int k = 0; k < TURTLE_TYPICAL && c->typical[k] >= 0; k++) {
        row->typical[k] = c->typical_name[k] ? printable_copy(c->typical_name[k], false)
                                             : format_text("row %lld", (long long)c->typical[k]);
        if (!row->typical[k]) return false;
    }
    return true;
}

/* Chooses the rows, the largest cluster first. Returns false without memory. */
static bool fill_rows(Table *t, const TurtleResult *r) {
    const TurtleCluster **order = malloc((size_t)r->classes * sizeof *order);
    if (!order) return false;
    for (int64_t c = 0; c < r->classes; c++) order[c] = &r->clusters[c];
    qsort(order, (size_t)r->classes, sizeof *order, larger);
    bool filled = true;
    t->largest = order[0]->size;
    for (int64_t i = 0; i < r->classes; i++) {
        if (i < CLUSTER_ROWS) filled = filled && fill_row(&t->row[t->rows++], r, order[i]);
        else t->others++, t->others_samples += order[i]->size;
    }
    free(order);
    return filled;
}

/* --- widths ------------------------------------------------------------------------------------- */

static int widest(int least, int64_t columns) {
    return columns > least ? (int)columns : least;
}

static int digits(int64_t number) {
    return snprintf(NULL, 0, "%lld", (long long)number);
}

/* Shares the columns out: numbers take what they need, names a fifth, and typical samples the rest. As
 * many of these are shown as have CELL columns each, or as their names need. */
static void lay_out(Table *t, int columns) {
    int whole = 0, base = 0;
    t->number = (int)strlen("cluster");
    t->samples = widest((int)strlen("samples"), digits(t->largest));
    for (int i = 0; i < t->rows; i++) {
        const Row *row = &t->row[i];
        t->number = widest(t->number, digits(row->number));
        if (row->name)
            t->name = widest(widest((int)strlen("name"), t->name), text_columns(row->name));
        for (int k = 0; k < TURTLE_TYPICAL && row->typical[k]; k++) {
            whole = widest(whole, text_columns(row->typical[k]));
            base = widest(base, text_columns(base_name(row->typical[k])));
        }
    }
    if (t->name > columns / 5) t->name = columns / 5;
    const int fixed = t->number + GAP + t->samples + GAP + (int)strlen("confidence") + GAP +
                      (t->name ? t->name + GAP : 0);
    t->bar = columns - fixed - BAR - GAP >= CELL ? BAR : 0;
    const int room = columns - fixed - (t->bar ? t->bar + GAP : 0);
    for (t->cells = TURTLE_TYPICAL;; t->cells--) {
        t->cell = (room - GAP * (t->cells - 1)) / t->cells;
        if (t->cells == 1 || t->cell >= CELL || t->cell >= base) break;
    }
    if (t->cell < 4) t->cell = 4; /* numbers of more digits than any data set has */
    t->whole_names = whole <= t->cell;
    if (t->cell > (t->whole_names ? whole : base)) t->cell = t->whole_names ? whole : base;
}

/* --- lines -------------------------------------------------------------------------------------- */

typedef struct {
    char text[LINE];
    int used;
} Line;

PRINTF_LIKE(2, 3) static void put(Line *line, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const int n =
        vsnprintf(line->text + line->used, sizeof line->text - (size_t)line->used, format, args);
    va_end(args);
    if (n > 0 && n < (int)sizeof line->text - line->used) line->used += n;
}

/* Puts a text that fills `columns`, cut at its end, or with `tail` at its beginning. */
static void put_cell(Line *line, const char *text, int columns, bool tail) {
    const int64_t width = text_columns(text);
    if (width <= columns) put(line, "%s%*s", text, columns - (int)width, "");
    else if (columns <= 3) put(line, "%*s", columns, "");
    else if (tail) {
        const char *end = columns_tail(text, columns - 3), *record = strrchr(end, '#');
        if (record) end = record; /* "...#8659" is easier to read than "...3-ubyte.gz#8659" */
        put(line, "...%s%*s", end, columns - 3 - (int)text_columns(end), "");
    } else {
        const int bytes = (int)columns_head(text, columns - 3);
        char *head = strndup(text, (size_t)bytes);
        put(line, "%s...", head ? head : "");
        if (head) put(line, "%*s", columns - 3 - (int)text_columns(head), "");
        free(head);
    }
}

static void end_line(char **text, Line *line) {
    while (line->used > 0 && line->text[line->used - 1] == ' ') line->used--;
    line->text[line->used] = '\0';
    add_line(text, "%s\n", line->text);
}

static void add_head(char **text, const Table *t) {
    Line line = {"", 0};
    put(&line, "%*s  %*s  ", t->number, "cluster", t->samples, "samples");
    if (t->bar) put(&line, "%*s  ", t->bar, "");
    put(&line, "confidence  ");
    if (t->name) put_cell(&line, "name", t->name, false), put(&line, "  ");
    put(&line, "%s",
        t->cell >= (int)strlen("most typical") || t->cells > 1 ? "most typical" : "typical");
    end_line(text, &line);
}

static void add_row(char **text, const Table *t, const Row *row, bool color) {
    const TurtleCluster *c = row->cluster;
    Line line = {"", 0};
    put(&line, "%*lld  %*lld  ", t->number, (long long)row->number, t->samples, (long long)c->size);
    if (t->bar) {
        int length =
            t->largest ? (int)lround((double)t->bar * (double)c->size / (double)t->largest) : 0;
        if (c->size && length == 0) length = 1;
        put(&line, "%s%.*s%s%*s  ", color && length ? "\033[32m" : "", length, "##########",
            color && length ? "\033[0m" : "", t->bar - length, "");
    }
    if (isnan(c->confidence)) put(&line, "%10s  ", "-");
    else put(&line, "%10.4f  ", c->confidence);
    if (t->name) put_cell(&line, row->name, t->name, false), put(&line, "  ");
    for (int k = 0; k < t->cells && row->typical[k]; k++) {
        const char *name = t->whole_names ? row->typical[k] : base_name(row->typical[k]);
        put_cell(&line, name, t->cell, true);
        put(&line, "  ");
    }
    end_line(text, &line);
}

/* Sums the clusters up that have no row, in more words where they fit. */
static void add_others(char **text, const Table *t, int columns) {
    const long long others = t->others, samples = t->others_samples;
    const char *more = others > 1 ? "clusters" : "cluster", *hold = others > 1 ? "hold" : "holds";
    char line[128];
    const int n = snprintf(line, sizeof line, "%lld more %s %s %lld samples; --json has them all",
                           others, more, hold, samples);
    if (n <= columns) add_line(text, "%s\n", line);
    else add_line(text, "%lld more %s, %lld samples: --json\n", others, more, samples);
}

char *cluster_table(const TurtleResult *r, int columns, bool color) {
    Table t = {0};
    char *text = strdup("");
    if (!text || !r->clusters || r->classes < 1) return text;
    if (columns < LEAST_COLUMNS) columns = LEAST_COLUMNS;
    if (columns > MOST_COLUMNS) columns = MOST_COLUMNS;
    if (fill_rows(&t, r)) {
        lay_out(&t, columns);
        add_head(&text, &t);
        for (int i = 0; i < t.rows; i++) add_row(&text, &t, &t.row[i], color);
        if (t.others) add_others(&text, &t, columns);
    } else {
        free(text);
        text = NULL;
    }
    table_free(&t);
    return text;
}

/* --- the terminal ------------------------------------------------------------------------------- */

/* Returns the columns that COLUMNS asks for, or the terminal has; 80 where neither says. */
static int stdout_columns(void) {
    const char *asked = getenv("COLUMNS");
    char *end;
    struct winsize size;
    const long columns = asked ? strtol(asked, &end, 10) : 0;
    if (asked && *asked && !*end && columns > 0 && columns < 10000) return (int)columns;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void cluster_table_print(const TurtleResult *result) {
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    const bool color =
        isatty(STDOUT_FILENO) && !(term && strcmp(term, "dumb") == 0) && !(no_color && *no_color);
    char *text = cluster_table(result, stdout_columns(), color);
    if (text && *text) printf("\n%s", text);
    free(text);
}
