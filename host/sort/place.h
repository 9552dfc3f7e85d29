/* place.h - what the two files of placing share: the mark of a folder that `sort` made. */
#ifndef TURTLE_HOST_SORT_PLACE_H
#define TURTLE_HOST_SORT_PLACE_H

#include "host/sort/sort.h"
#include "host/tell/clock.h"
#include "host/tell/made.h"
#include "host/tell/notify.h"

/* Writes `.turtle_sort.json` into the folder: what it was made with, and whether every file is there. */
Status sort_mark(SortPlace *p, bool finished, Error *err);

#endif
