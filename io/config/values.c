/* values.c - values of configuration files, as lenient as the libraries that write them. */
#include "io/config/values.h"

#include <math.h>

bool config_next_key(ConfigParser *p) {
    return json_next_key(&p->r, p->key, sizeof p->key);
}

void config_wrong(ConfigParser *p, const char *expected) {
    if (!p->r.bad && !p->expected) p->expected = expected;
    p->r.bad = true;
    p->r.at = p->r.end;
}

bool config_is_null(ConfigParser *p) {
    return json_peek(&p->r) == 'n' && json_skip(&p->r);
}

bool config_is_number(ConfigParser *p) {
    const char c = json_peek(&p->r);
    return c == '-' || (c >= '0' && c <= '9');
}

void config_real(ConfigParser *p, double *value) {
    double x = 0.0;
    if (config_is_null(p)) return;
    if (config_is_number(p) && json_real_value(&p->r, &x) && isfinite(x)) *value = x;
    else config_wrong(p, "a number");
}

void config_integer(ConfigParser *p, int64_t *value) {
    double x = 0.0;
    if (config_is_null(p)) return;
    config_real(p, &x);
    if (p->r.bad) return;
    if (x < 1 || x > INT32_MAX || x != floor(x)) config_wrong(p, "a whole number above 0");
    else *value = (int64_t)x;
}

void config_count(ConfigParser *p, int64_t *value) {
    double x = 0.0;
    if (config_is_null(p)) return;
    config_real(p, &x);
    if (p->r.bad) return;
    if (x < 0 || x > INT32_MAX || x != floor(x)) config_wrong(p, "a whole number from 0 on");
    else *value = (int64_t)x;
}

void config_bool(ConfigParser *p, bool *value) {
    const char c = json_peek(&p->r);
    if (config_is_null(p)) return;
    if ((c != 't' && c != 'f') || !json_bool_value(&p->r, value)) config_wrong(p, "true or false");
}

void config_any(ConfigParser *p, char value[CONFIG_TEXT]) {
    const char c = json_peek(&p->r), *first = p->r.at;
    if (c == '"') {
        if (!json_text_value(&p->r, value, CONFIG_TEXT)) config_wrong(p, "a short text");
        return;
    }
    if (!json_skip(&p->r)) return;
    const int n = (int)(p->r.at - first < CONFIG_TEXT - 1 ? p->r.at - first : CONFIG_TEXT - 1);
    snprintf(value, CONFIG_TEXT, "%.*s", n, c == '[' ? "[...]" : c == '{' ? "{...}" : first);
}

void config_text(ConfigParser *p, char value[CONFIG_TEXT]) {
    if (config_is_null(p)) return;
    if (json_peek(&p->r) != '"') config_wrong(p, "a text");
    else if (!json_text_value(&p->r, value, CONFIG_TEXT)) config_wrong(p, "a short text");
}

int config_numbers(ConfigParser *p, double *value, int most) {
    int n = 0;
    if (config_is_null(p)) return 0;
    if (config_is_number(p)) {
        config_real(p, value);
        return 1;
    }
    if (json_peek(&p->r) != '[') return config_wrong(p, "a number or a list of numbers"), 0;
    json_enter(&p->r, '[');
    while (json_next(&p->r)) {
        if (n == most) return config_wrong(p, "a shorter list of numbers"), 0;
        if (!config_is_number(p)) return config_wrong(p, "a list of numbers"), 0;
        config_real(p, &value[n++]);
    }
    return p->r.bad ? 0 : n;
}

void config_colour(ConfigParser *p, double value[3], bool *said) {
    double x[3] = {0};
    const int n = config_numbers(p, x, 3);
    if (p->r.bad || n == 0) return;
    if (n == 2) return config_wrong(p, "three numbers");
    for (int c = 0; c < 3; c++) value[c] = n == 3 ? x[c] : x[0];
    *said = true;
}

void config_refuse(char refused[CONFIG_REFUSAL], const char *format, ...) {
    if (*refused) return;
    va_list args;
    va_start(args, format);
    vsnprintf(refused, CONFIG_REFUSAL, format, args);
    va_end(args);
}

void config_side(ConfigParser *p, int64_t *side, char refused[CONFIG_REFUSAL]) {
    double x[3] = {0};
    const int n = config_numbers(p, x, 3);
    if (p->r.bad || n == 0) return;
    const double last = x[n - 1], other = n > 1 ? x[n - 2] : last;
    if (!(last >= 1 && last <= CONFIG_MAX_SIDE && last == floor(last)))
        return config_wrong(p, "sides from 1 to 65536");
    if (last != other) config_refuse(refused, "%s %g x %g is not square", p->key, other, last);
    *side = (int64_t)last;
}

bool config_one_value(ConfigParser *p, const OneValue *list, char refused[CONFIG_REFUSAL]) {
    char value[CONFIG_TEXT] = "";
    for (; list->key; list++) {
        if (strcmp(list->key, p->key) != 0) continue;
        config_any(p, value);
        const bool none = !*value || !strcmp(value, "null") || !strcmp(value, "false");
        if (strcmp(value, list->only) != 0 && strcmp(value, "null") != 0 &&
            !(none && (!strcmp(list->only, "null") || !strcmp(list->only, "false"))))
            config_refuse(refused, "%s is %s: expected %s", list->key, value, list->only);
        return true;
    }
    return false;
}
