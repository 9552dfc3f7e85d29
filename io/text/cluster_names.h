/* cluster_names.h - names that people give to clusters: lines of a number, a tab and a name.
 *
 * Equal names merge clusters into one group. An empty name leaves a cluster out. A cluster without a
 * line has its number as its name, so that the line `3<TAB>7` merges cluster 3 into cluster 7 when 7
 * has no line. Names are hostile: they may hold anything but control characters.
 */
#ifndef TURTLE_IO_TEXT_CLUSTER_NAMES_H
#define TURTLE_IO_TEXT_CLUSTER_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "io/status.h"

typedef struct {
    int64_t classes;
    char **name;  /* (classes) names without blanks around them, "" for a cluster left out; owned */
    bool *listed; /* (classes) whether the file has a line of the cluster; owned */
    int64_t *group; /* (classes) index of the cluster's group, -1 for a cluster left out; owned */
    int64_t groups; /* different names; groups are counted in the order of their first clusters */
    int64_t *first; /* (groups) least cluster of each group: name[first[g]] is the group's; owned */
    int64_t left_out; /* clusters with an empty name */
} ClusterNames;

/* Reads the names of clusters 0 .. classes - 1 from a text file (io/text/text_lines.h), which may be a
 * pipe or `-`. Blank lines are passed over. ERR_FORMAT: a line without a tab, or with two; a number
 * that is no cluster; a cluster that has two lines; bytes that are no UTF-8; control characters. On
 * failure *out is zeroed. */
Status cluster_names_read(const char *path, int64_t classes, ClusterNames *out, Error *err);
/* Names every cluster by its number, for callers without a file. On failure *out is zeroed. */
Status cluster_names_numbers(int64_t classes, ClusterNames *out, Error *err);
void cluster_names_free(ClusterNames *names); /* NULL and twice are fine */

#endif
