# published.awk - writes data/manifests/phis.tsv as the C table of host/inputs/published.h. A line that is not understood stops the compiler.
BEGIN { FS = "\t"; print "#include \"host/inputs/published.h\"\nconst PublishedModel published_models[] = {" }
/^#/ { next }
NF != 15 || /["\\]/ { wrong("expected 15 columns"); next }
{
    if (split($10, shape, ",") != 6) wrong("expected six numbers as its shape")
    printf "{.phi = %s, .model = %s, .file = %s, .url = %s, ", text($1), text($2), text($3), text($4)
    printf ".bytes = %s, .sha256 = %s, .licence = %s, ", number($5), text($6), text($7)
    printf ".gated = %d, .pixels = %s, .width = %s, ", $8 == "yes", number($9), number(shape[1])
    printf ".depth = %s, .patch = %s, .registers = %s, ", number(shape[2]), number(shape[3]), number(shape[4])
    printf ".features = %s, .swiglu = %s, ", number(shape[5]), number(shape[6])
    printf ".parameters = %s, .bytes_each = %s, ", number($11), number($12)
    printf ".facts = {%s}, .hub = %s, .home = %s},\n", facts($13), text($14), text($15)
}
END { print "};\nconst int published_count = sizeof published_models / sizeof *published_models;" }

function wrong(what) { printf "\n#error data/manifests/phis.tsv, line %d: %s\n", NR, what }
function text(s) { return s == "-" ? "NULL" : "\"" s "\"" }
function number(s) {
    if (s != "-" && s !~ /^[0-9]+$/) wrong("expected a number: " s)
    return s == "-" ? "-1" : s
}
function facts(s, word, pair, out, i, n) {
    n = s == "-" ? 0 : split(s, word, " ")
    for (i = 1; i <= n; i++) {
        if (split(word[i], pair, "=") != 2 || pair[1] !~ /^(heads|activation|mean|std|resize|interpolation)$/)
            wrong("expected flag=value: " word[i])
        out = out "." pair[1] " = " (pair[1] == "heads" ? number(pair[2]) : text(pair[2])) ", "
    }
    return out
}
