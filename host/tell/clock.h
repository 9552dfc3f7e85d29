/* clock.h - the time that calls measure and tell. */
#ifndef TURTLE_HOST_TELL_CLOCK_H
#define TURTLE_HOST_TELL_CLOCK_H

/* Returns the seconds of a clock that never steps back; only differences mean something. */
double now_seconds(void);

#endif
