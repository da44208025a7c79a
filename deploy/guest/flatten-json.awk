# Prints a JSON document as one line per value: its path, a tab, its text as the document spells it.
#   {"meta": {"a": "x"}, "keys": [1, true]}  ->  meta/a<TAB>x   keys/0<TAB>1   keys/1<TAB>true
# Escapes inside strings (\n, \u00e9) stay as they are: a value never breaks its line.
# Busybox has no JSON tool; this is as much as a config drive needs.

{ text = text $0 " " }

END {
    while (match(text, /"([^"\\]|\\.)*"|[][{}:,]|[^][{}:,"[:space:]]+/)) {
        take(substr(text, RSTART, RLENGTH))
        text = substr(text, RSTART + RLENGTH)
    }
}

function take(token) {
    if (token == "{" || token == "[") open(token)
    else if (token == "}" || token == "]") depth--
    else if (token == ":") at_key[depth] = 0
    else if (token == ",") next_member()
    else if (kind[depth] == "{" && at_key[depth]) name[depth] = unquoted(token)
    else print path() "\t" unquoted(token)
}

function open(bracket) {
    depth++
    kind[depth] = bracket
    at_key[depth] = 1
    name[depth] = 0
}

function next_member() {
    if (kind[depth] == "[") name[depth]++
    else at_key[depth] = 1
}

function path(    level, joined) {
    for (level = 1; level <= depth; level++) joined = joined (level > 1 ? "/" : "") name[level]
    return joined
}

function unquoted(token) {
    return substr(token, 1, 1) == "\"" ? substr(token, 2, length(token) - 2) : token
}
