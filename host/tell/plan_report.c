/* plan_report.c - the layout of the inner loop's launch and the predicted times, as text and JSON. */
#include "host/tell/plan_report.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "host/tell/json.h"
#include "host/tell/lines.h"
#include "host/turtle.h"
#include "kernels/ops.h"
#include "kernels/plan/model.h"

Status plan_report_device(PlanDevice *out, const char *name, Error *err) {
    const PlanDevice *known = plan_device(strcmp(name, "auto") == 0 ? "h200" : name);
    CudaDevice devices[CUDA_MAX_DEVICES];
    char versions[128];
    if (!known)
        return fail(err, ERR_USAGE,
                    "plan: device %s: expected h200, h100, a100, rtx4090, tiny or auto", name);
    *out = *known;
    if (strcmp(name, "auto") != 0) return OK;
    const int count = cuda_devices(devices, versions, NULL);
    for (int i = 0; i < count; i++)
        if (!devices[i].why[0] && devices[i].sms > 0) {
            *out = plan_device_like(devices[i].sms, devices[i].shared_per_block,
                                    devices[i].capability);
            break;
        }
    return OK;
}

static Status read_type(ModelRun *run, const char *name, Error *err) {
    run->tf32 = strcmp(name, "tf32") == 0;
    run->type = strcmp(name, "fp16") == 0   ? DTYPE_F16
                : strcmp(name, "bf16") == 0 ? DTYPE_BF16
                                            : DTYPE_F32;
    run->feature_bytes = run->type == DTYPE_F16 ? 2 : 4;
    if (run->type != DTYPE_F32 || run->tf32 || strcmp(name, "fp32") == 0) return OK;
    return fail(err, ERR_USAGE, "plan: precision %s: expected fp32, tf32, fp16 or bf16", name);
}

/* Reads --dims, batch size and classes into the spaces of a plan. */
static Status read_spaces(PlanSpace spaces[PLAN_MAX_SPACES], int *n, const TurtlePlanOptions *o,
                          Error *err) {
    if (o->dims.count > PLAN_MAX_SPACES)
        return fail(err, ERR_USAGE, "plan: %d spaces: at most %d", o->dims.count, PLAN_MAX_SPACES);
    if (o->batch_size < 1 || o->classes < 2 || o->M < 1 || o->batch_size > INT32_MAX ||
        o->classes > INT32_MAX || o->M > INT32_MAX)
        return fail(err, ERR_USAGE,
                    "plan: batch_size %" PRId64 ", classes %" PRId64 ", M %" PRId64
                    ": expected at least 1, 2 and 1",
                    o->batch_size, o->classes, o->M);
    *n = o->dims.count ? o->dims.count : 1;
    for (int k = 0; k < *n; k++) {
        char *end = NULL;
        const char *text = o->dims.count ? o->dims.item[k] : "768";
        const int64_t d = strtol(text, &end, 10);
        if (*end || end == text || d < 1 || d > 1 << 20)
            return fail(err, ERR_USAGE, "plan: dims: %s: expected a dimension from 1 to 1048576",
                        text);
        spaces[k] = (PlanSpace){o->batch_size, o->classes, d};
    }
    return OK;
}

static void add_layout(char **text, Json *j, const Plan *plan, int64_t M) {
    add_line(text, "inner loop    %s: %d CTAs of %d threads", plan_form_name(plan->form),
             plan->blocks, plan->threads);
    if (plan->cluster > 1) add_line(text, ", clusters of %d", plan->cluster);
    if (plan->form == PLAN_WGMMA && plan->cluster > 1)
        add_line(text, " (%d of rows x %d of classes)", plan->cluster / plan->splits, plan->splits);
    add_line(text, ", %.1f KiB of shared memory each%s\n", (double)plan->shared / 1024.0,
             plan->spaces == 1    ? ""
             : plan->side_by_side ? "; spaces side by side"
                                  : "; spaces on the same CTAs");
    json_text(j, "form", plan_form_name(plan->form));
    json_integer(j, "blocks", plan->blocks);
    json_integer(j, "cluster", plan->cluster);
    if (plan->form == PLAN_WGMMA) json_integer(j, "splits", plan->splits);
    json_integer(j, "threads", plan->threads);
    json_integer(j, "shared", plan->shared);
    json_bool(j, "side_by_side", plan->side_by_side);
    json_bool(j, "at_once", plan_at_once(plan, M));
    if (plan_at_once(plan, M))
        add_line(text, "              labels and the outer step in the same launch\n");
    json_open_array(j, "spaces");
    for (int i = 0; i < plan->spaces; i++) {
        const PlanLayout *l = &plan->space[i];
        add_line(text, "  space %d     d %lld: CTAs %d to %d, %lld rows each", i + 1,
                 (long long)l->d, l->first, l->first + l->count - 1, (long long)l->rows);
        if (plan->form == PLAN_SLAB)
            add_line(text, ", of which %lld stay in shared memory", (long long)l->resident);
        add_line(text, "\n");
        json_open(j, NULL);
        json_integer(j, "d", l->d);
        json_integer(j, "first", l->first);
        json_integer(j, "blocks", l->count);
        json_integer(j, "rows", l->rows);
        json_integer(j, "resident", l->resident);
        json_close(j);
    }
    json_close_array(j);
}

static void add_phases(char **text, Json *j, const Model *m) {
    add_line(
        text,
        "\npredicted                 times       us  HBM MB   L2 MB  shared MB   GFLOP  issue us  "
        "warp us  barriers  launches  bound by\n");
    json_open_array(j, "phases");
    for (int i = 0; i < m->count; i++) {
        const ModelPhase *p = &m->phase[i];
        const double warp = p->warp_s + p->wait_s;
        add_line(text,
                 "%-25s %5lld %8.2f %7.1f %7.1f %10.1f %7.2f %9.2f %8.2f %9.0f %9.0f  %s: %s\n",
                 p->name, (long long)p->times, 1e6 * p->seconds, 1e-6 * p->hbm, 1e-6 * p->l2,
                 1e-6 * p->shared, 1e-9 * p->flops, 1e6 * p->issue_s, 1e6 * warp, p->barriers,
                 p->nodes, p->kind, p->bound);
        json_open(j, NULL);
        json_text(j, "phase", p->name);
        json_integer(j, "times", p->times);
        json_real(j, "microseconds", 1e6 * p->seconds);
        json_real(j, "hbm_bytes", p->hbm);
        json_real(j, "l2_bytes", p->l2);
        json_real(j, "shared_bytes", p->shared);
        json_real(j, "flops", p->flops);
        json_real(j, "issue_us", 1e6 * p->issue_s);
        json_real(j, "warp_us", 1e6 * warp);
        json_real(j, "ends_us", 1e6 * p->latency_s);
        json_real(j, "barriers", p->barriers);
        json_real(j, "launches", p->nodes);
        json_text(j, "bound", p->bound);
        json_text(j, "kind", p->kind);
        json_close(j);
    }
    json_close_array(j);
    add_line(text,
             "an iteration %.4f ms, of which the inner loop %.4f; 6000 of them %.2f s; %.0f "
             "launches; flops alone %.4f ms\n",
             1e3 * m->seconds, 1e3 * m->inner_s, 6e3 * m->seconds, m->launches,
             1e3 * m->flops_floor_s);
    json_real(j, "predicted_ms", 1e3 * m->seconds);
    json_real(j, "predicted_inner_ms", 1e3 * m->inner_s);
    json_real(j, "flops_floor_ms", 1e3 * m->flops_floor_s);
}

static void add_range(char **text, Json *j, const ModelRange *range) {
    add_line(text,
             "between %.4f and %.4f ms, as far as the device's figures are known; most uncertain: "
             "%s, %.4f to %.4f ms\n",
             1e3 * range->low_s, 1e3 * range->high_s, range->largest->name, 1e3 * range->least_s,
             1e3 * range->most_s);
    json_real(j, "least_ms", 1e3 * range->low_s);
    json_real(j, "most_ms", 1e3 * range->high_s);
    json_text(j, "most_uncertain", range->largest->name);
    json_real(j, "most_uncertain_least_ms", 1e3 * range->least_s);
    json_real(j, "most_uncertain_most_ms", 1e3 * range->most_s);
}

Status plan_report(const TurtlePlanOptions *o, char **text, char **json, Error *err) {
    PlanSpace spaces[PLAN_MAX_SPACES];
    PlanDevice device;
    Plan plan;
    Model model;
    ModelRange range;
    ModelRun run = {.M = o->M};
    int n = 0;
    *text = *json = NULL;
    Status st = plan_report_device(&device, o->device, err);
    if (st == OK) st = read_type(&run, o->precision, err);
    if (st == OK) st = read_spaces(spaces, &n, o, err);
    if (st == OK) st = plan_inner(&plan, &device, spaces, n, run.type, run.tf32, err);
    if (st != OK) return st;
    model_iteration(&model, &device, &plan, &run);
    model_range(&range, &device, &plan, &run);

    Json j = {0};
    add_line(text, "device        %s: %d SMs, %.0f KiB of shared memory a block\n", device.name,
             device.sms, (double)device.shared_per_block / 1024.0);
    json_open(&j, NULL);
    json_text(&j, "command", "info");
    json_text(&j, "version", turtle_version());
    json_text(&j, "device", device.name);
    json_text(&j, "precision", o->precision);
    json_integer(&j, "batch_size", o->batch_size);
    json_integer(&j, "classes", o->classes);
    json_integer(&j, "M", o->M);
    add_layout(text, &j, &plan, o->M);
    add_phases(text, &j, &model);
    add_range(text, &j, &range);
    json_close(&j);
    *json = json_take(&j);
    if (*text && *json) return OK;
    free(*text);
    free(*json);
    *text = *json = NULL;
    return fail(err, ERR_MEMORY, "plan: out of memory");
}
