#!/bin/sh
# Not under ASan: it keeps what was freed, and memory is measured here.
. "${0%/*}/../lib.sh"
story "Hostile exporters cost their own page and nothing else"

mkdir "$WORK/pages"
start_pages "$WORK/pages"
start_quick_exporter        # the good one, a process of its own
start_nats jetstream
bus stream-add REPORTS 'agents.*.telemetry.>' --file
listen "$WORK/beats" 'agents.*.heartbeat'

# Refused whole, with a word of the reason; and such of which the good part goes.
refused='huge:(larger|in.time) slow:in.time drip:in.time redirect:redirect metadata:redirect file:redirect
    bomb:larger length:larger chunk:chunked-encoding continue:(headers|in.time) headers:headers'
partly='line labels value mess eof'

# config [KIND...]: the good exporter, and those kinds of bad ones.
config()
{
    echo "code: t1"
    echo "nats: {urls: [\"$NATS_URL\"], auth: {type: none}, connect_spread: 0s}"
    echo "tasks:"
    echo "  heartbeat: {interval: 10s}"
    echo "  system_metrics: {enabled: false}"
    echo "  inventory: {enabled: false}"
    echo "  exporters:"
    echo "    - {name: good, url: \"$EXPORTER_URL\", interval: 1s, timeout: 1s}"
    for kind in "$@"; do
        [ "$kind" != refused ] || for name in $refused; do
            echo "    - {name: ${name%%:*}, url: \"$PAGES_URL/-/${name%%:*}\", interval: 5s, timeout: 3s, max_size: 8MB}"
        done
        [ "$kind" != partly ] || for name in $partly; do
            echo "    - {name: $name, url: \"$PAGES_URL/-/$name\", interval: 1h, timeout: 60s, max_size: 128MB}"
        done
    done
}

dump()
{
    bus stream-dump REPORTS --data | jq -r "select(.subject == \"agents.t1.telemetry.metrics.$1\") | .data"
}

# what NAME: its samples, without labels and times, and without how many there were.
what()
{
    dump "$1" | grep -Ev '^(#|scrape_|$)' | cut -c1-2000 | sed -E 's/^([a-z0-9_]+)\{.*\}/\1/; s/ [0-9]*$//'
}

memory()
{
    sed -n "s/^$1:[^0-9]*\\([0-9]*\\).*/\\1/p" /proc/"$AGENT_PID"/status
}

# reload KIND...: and forget the highest use of memory so far.
_reloads=0
reload()
{
    config "$@" >"$WORK/agent.yaml"
    echo 5 >/proc/"$AGENT_PID"/clear_refs
    kill -HUP "$AGENT_PID"
    _reloads=$((_reloads + 1))
    wait_for 10 agent_says ' config_reloaded' $_reloads
}

good_pages()
{
    [ "$(what good | grep -c '^node_load1 ')" -ge "$1" ]
}

# A comma for the point, as in many countries: no number may be read or written that way.
localedef -i de_DE -f UTF-8 "$WORK/de_DE.UTF-8" >"$WORK/localedef.txt" 2>&1 || true
export LOCPATH="$WORK"
equal "this locale writes numbers with a comma" 1,5 "$(LC_ALL=de_DE.UTF-8 env printf '%.1f' 1,5 2>&1)"
config >"$WORK/agent.yaml"
LC_ALL=de_DE.UTF-8
export LC_ALL
start_agent "$WORK/agent.yaml"
LC_ALL=C
unset LOCPATH
check "the good exporter is heard" wait_for 10 good_pages 2
before=$(memory VmRSS)

# ---- pages that are refused whole

reload refused
for pair in $refused; do
    name=${pair%%:*}
    check "$name: the log names it" wait_for 20 agent_says "scrape_failed.* exporter=$name( |\$)"
    match "$name: and the reason" "exporter=$name .*${pair#*:}" "$(cat "$AGENT_LOG")"
    equal "$name: only that it is down goes out" "up 0" "$(what "$name" | sort -u)"
done
peak=$(memory VmHWM)
count=$(echo "$refused" | wc -w)
note "resident memory: $before kB before, $peak kB at its highest, for $count pages of at most 8 MB each"
compare "memory was bounded by the pages' limits" $((peak - before)) -lt $((count * 8192 * WAIT_FACTOR))

beats=$(grep -c heartbeat "$WORK/beats")
check "the heartbeat goes on meanwhile, every ten seconds" \
    wait_for 25 has_line "$WORK/beats" heartbeat $((beats + 2))

# ---- pages with good lines between the bad ones

reload partly
for name in $partly; do
    check "$name: the log names the bad lines" wait_for 60 agent_says "scrape_bad_lines.* exporter=$name( |\$)"
done
peak=$(memory VmHWM)
note "resident memory: $before kB before, $peak kB at its highest, with a page of 100 MB"
compare "memory was bounded by the pages' limits" $((peak - before)) -lt $((2 * 131072 * WAIT_FACTOR))
equal "line: what stood around it goes" "a 1 d 2 up 1" "$(what line | xargs)"
equal "labels: the same" "a 1 d 2 up 1" "$(what labels | xargs)"
match "value: 400 KB go, 3 MB do not" '^1 3 1$' \
    "$(dump value | awk '/^fine/ { fine++ } /^b\{/ { b++ } /^(a|d|up)\{/ { rest++ } END { print fine, rest, 1 + b }')"
what mess >"$WORK/mess"
for sample in "nan NaN" "inf +Inf" "denormal 4.9e-324" "digits 0.$(printf '1234567890%.0s' $(seq 40))" \
    "no_inf_bucket 1" "crlf 1" "escapes 1" "late 1" "end 1" "up 1"; do
    check "mess: this goes: $(echo "$sample" | cut -c1-20)" grep -Fqx "$sample" "$WORK/mess"
done
equal "mess: what is there twice goes twice" 2 "$(grep -cx 'double 1' "$WORK/mess")"
match "mess: a name in UTF-8 goes" '^\{"utf-8 näme",code="t1",job="mess"' "$(dump mess)"
match "mess: an escape that there is not is mended" '^escapes\{.*p="\\\\q\\\\ "\} 1 ' "$(dump mess)"
equal "mess: and nothing else" 13 "$(grep -c . "$WORK/mess")"
match "mess: the bad lines are counted, the first is named, its bytes escaped" \
    'exporter=mess lines=20 line=12 column=10 reason="a quote is not closed" text="?b\{c=' "$(cat "$AGENT_LOG")"
equal "eof: what stands behind the end does not go, nor an exemplar" "a 1 e_total 1 up 1" "$(what eof | xargs)"
match "eof: seconds became milliseconds, whatever the locale" '^a\{.*\} 1 1764000000789$' "$(dump eof)"
match "how long a fetch took is written with a point" '^scrape_duration_seconds\{.*\} [0-9]+\.[0-9]{6} ' "$(dump eof)"

# ---- the others, meanwhile

reload
seconds=$(($(date +%s) - _start))
good=$(what good | grep -c '^node_load1 ')
note "$good of the good exporter's pages, one a second, in $seconds s"
compare "the good exporter was heard all the time" "$good" -ge $((seconds * 2 / 3 / TIME_FACTOR))
equal "and never missed" "" "$(what good | grep '^up 0' || true)"
after=$(memory VmRSS)
note "resident memory: $before kB before, $after kB after all of it"
compare "all memory came back" $((after - before)) -lt $((8192 * WAIT_FACTOR * WAIT_FACTOR))
no_match "nothing was redirected" '(169\.254|passwd|GET /redirected)' "$(cat "$PAGES_LOG")"
stop_agent
