/* plan_report.h - the plan of an iteration as text and JSON. host/encode/plan_file.c calls it for turtle_plan. */
#ifndef TURTLE_HOST_TELL_PLAN_REPORT_H
#define TURTLE_HOST_TELL_PLAN_REPORT_H

#include "host/turtle.h"
#include "kernels/plan/devices.h"

/* Chooses the device of a plan: one of the table, or for "auto" the first usable GPU here. */
TurtleStatus plan_report_device(PlanDevice *out, const char *name, TurtleError *err);
/* Tells how an iteration lies on a device, and its predicted time. *text and *json as turtle_info. */
TurtleStatus plan_report(const TurtlePlanOptions *options, char **text, char **json,
                         TurtleError *err);

#endif
