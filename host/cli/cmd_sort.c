/* cmd_sort.c - the command `sort`. */
#include "host/cli/command.h"

#include <stdlib.h>

#include "io/text/printable.h"

/* Three switches say how; the options have one word for it. */
typedef struct {
    bool link, symlink, copy;
} How;

static const Flag how_flags[] = {
    {"link", FLAG_SWITCH, offsetof(How, link), NULL, "hard links, the default: no room, no copy"},
    {"symlink", FLAG_SWITCH, offsetof(How, symlink), NULL, "links that name the pictures' paths"},
    {"copy", FLAG_SWITCH, offsetof(How, copy), NULL, "copies, which may be edited and moved"},
    {0}};

#define FIELD(name) offsetof(TurtleSortOptions, name)
static const Flag sort_flags[] = {
    {"run", FLAG_TEXT, FIELD(run), "DIR", "directory of a finished run"},
    {"into", FLAG_TEXT, FIELD(into), "DIR", "a new folder, or that of the call to be continued"},
    {"cluster_names", FLAG_TEXT, FIELD(cluster_names), "FILE",
     "lines cluster<TAB>name: equal names merge, empty ones leave out"},
    {"min_confidence", FLAG_REAL, FIELD(min_confidence), "X",
     "less confident pictures go into doubtful/"},
    {0}};

static void print(const TurtleSortResult *r) {
    char *into = printable_copy(r->into, false);
    printf("%lld samples = %lld placed", (long long)r->samples, (long long)r->placed);
    if (r->there) printf(" + %lld there before", (long long)r->there);
    if (r->left_out) printf(" + %lld left out", (long long)r->left_out);
    printf(", as the predictions say; %lld folders", (long long)r->folders);
    if (r->doubtful) printf(", %lld doubtful", (long long)r->doubtful);
    if (r->clashes) printf(", %lld numbered", (long long)r->clashes);
    printf(", %.1f s\n%s\n", r->seconds, into ? into : "");
    free(into);
}

static Status run_sort(int argc, char **argv, CommandFlags *flags, Error *err) {
    TurtleSortOptions options;
    TurtleSortResult r;
    How how = {0};
    turtle_sort_defaults(&options);
    const FlagTable tables[] = {{"Sort", sort_flags, &options},
                                {"How pictures are placed", how_flags, &how},
                                {"Common", common_flags, &options.common},
                                {"Output", command_flags, flags}};
    Status st = command_parse(&command_sort, tables, 4, argc, argv, flags, NULL, err);
    if (st == OK && !flags->help && how.link + how.symlink + how.copy > 1)
        st = fail(err, ERR_USAGE, "sort: expected one of --link, --symlink and --copy");
    if (st == OK && !flags->help) {
        options.how = how.copy ? "copy" : how.symlink ? "symlink" : "link";
        command_hooks(&options.common, flags);
        st = turtle_sort(&options, &r, err);
        command_hooks_end();
        if (st == OK && flags->json) puts(r.json);
        else if (st == OK) print(&r);
        if (st == OK) turtle_sort_result_free(&r);
    }
    flags_free(tables, 4);
    return st;
}

const Command command_sort = {
    "sort", "puts the pictures of a run into folders by cluster, for people and their tools",
    "--run DIR --into DIR [--link | --symlink | --copy] [flags]", run_sort,
    "root_dir device precision seed threads"};
