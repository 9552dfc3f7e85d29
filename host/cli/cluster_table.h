/* cluster_table.h - the clusters of a result as a table that fits a terminal. */
#ifndef TURTLE_HOST_CLI_CLUSTER_TABLE_H
#define TURTLE_HOST_CLI_CLUSTER_TABLE_H

#include "host/turtle.h"

enum { CLUSTER_ROWS = 20 };

/* Returns the table in fresh memory, "" where the result has no clusters; NULL without memory. The
 * largest CLUSTER_ROWS clusters have a row each, a last line sums up the others. No line is wider than
 * `columns`, 48 at least. Texts of the result are shown fit for a terminal (io/text/printable.h). */
char *cluster_table(const TurtleResult *result, int columns, bool color);

/* Prints the table to stdout: as wide as COLUMNS or the terminal says, else 80, and with colours on
 * terminals alone (NO_COLOR, TERM=dumb). */
void cluster_table_print(const TurtleResult *result);

#endif
