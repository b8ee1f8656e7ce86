#!/bin/sh
# Each option of tasks.exporters[] once, through the whole agent.
. "${0%/*}/../lib.sh"
story "An exporter's options: login, filters, times, compression"

mkdir "$WORK/pages"
cat >"$WORK/pages/all.prom" <<'END'
# TYPE cpu_seconds_total counter
cpu_seconds_total{cpu="0",mode="idle"} 1
cpu_seconds_total{cpu="0",mode="user"} 2
# TYPE go_threads gauge
go_threads 3
# TYPE load1 gauge
load1 4 1700000000000
END
seq -f 'many{number="%g"} 1' 2000 >"$WORK/pages/many.prom"
start_pages "$WORK/pages"
start_nats jetstream
bus stream-add REPORTS 'agents.*.telemetry.>' --file
printf 's3cret\n' >"$WORK/secret"
printf 'wrong\n' >"$WORK/wrong"
chmod 600 "$WORK/secret" "$WORK/wrong"

spawn "$WORK/packed.headers" sh -c "exec python3 '$TOP/tests/tools/payload.py' '$NATS_URL' \
    agents.t1.telemetry.metrics.packed >'$WORK/packed.gz'"
wait_for 10 has_line "$WORK/packed.headers" listening
cat >"$WORK/agent.yaml" <<END
code: t1
nats: {urls: ["$NATS_URL"], auth: {type: none}, connect_spread: 0s}
tasks:
  system_metrics: {enabled: false}
  exporters:
    - {name: user, url: "$PAGES_URL/-/login", interval: 1h, username: u, password_file: $WORK/secret}
    - {name: bearer, url: "$PAGES_URL/-/login", interval: 1h, bearer_env: THE_SECRET}
    - {name: wrong, url: "$PAGES_URL/-/login", interval: 1h, bearer_file: $WORK/wrong}
    - {name: keep, url: "$PAGES_URL/all.prom", interval: 1h, keep: ["cpu_*", "load?"]}
    - {name: drop, url: "$PAGES_URL/all.prom", interval: 1h, drop: ["go_*"], drop_if: ["mode=idle"]}
    - {name: labels, url: "$PAGES_URL/all.prom", interval: 1h, keep_if: ["mode=user"], drop_labels: [cpu],
       labels: {shop: "my own", site: north}}
    - {name: times, url: "$PAGES_URL/all.prom", interval: 1h, honor_timestamps: false, keep: [load1]}
    - {name: packed, url: "$PAGES_URL/many.prom", interval: 1h, gzip: true}
END
THE_SECRET=s3cret
export THE_SECRET
start_agent "$WORK/agent.yaml"
unset THE_SECRET

dump()
{
    bus stream-dump REPORTS --data | jq -c "select(.subject == \"agents.t1.telemetry.metrics.$1\")"
}

arrived()
{
    dump "$1" | grep -q .
}

# samples NAME: without labels and times.
samples()
{
    dump "$1" | jq -r .data | grep -Ev '^(#|scrape_|$)' | sed 's/{.*}//; s/ [0-9]*$//' | xargs
}

for name in user bearer wrong keep drop labels times packed; do
    check "$name arrives" wait_for 20 arrived "$name"
done
equal "user and password open the door" "secret_sample 1 up 1" "$(samples user)"
equal "so does a token" "secret_sample 1 up 1" "$(samples bearer)"
equal "a wrong one does not" "up 0" "$(samples wrong)"
match "and the log says so" 'exporter=wrong .*401: check the credentials' "$(cat "$AGENT_LOG")"
no_match "no secret is in the log" '(s3cret|dTpzM2NyZXQ|wrong-token)' "$(cat "$AGENT_LOG")"
equal "keep keeps" "cpu_seconds_total 1 cpu_seconds_total 2 load1 4 up 1" "$(samples keep)"
equal "drop and drop_if drop" "cpu_seconds_total 2 load1 4 up 1" "$(samples drop)"
match "what was there and what went is counted" '^scrape_samples_scraped\{[^}]*\} 4 ' "$(dump drop | jq -r .data)"
match "both" '^scrape_samples_post_metric_relabeling\{[^}]*\} 2 ' "$(dump drop | jq -r .data)"
match "labels go and come" \
    '^cpu_seconds_total\{code="t1",job="labels",instance="[^"]*",(shop="my own",site="north"|site="north",shop="my own"),mode="user"\} 2 ' \
    "$(dump labels | jq -r .data)"
match "a page's own time is kept" '^load1\{.*\} 4 1700000000000$' "$(dump keep | jq -r .data)"
no_match "or not, as it is told" ' 1700000000000$' "$(dump times | jq -r .data)"

match "a packed part says so" '^Content-Encoding: gzip' "$(tr -d '\r' <"$WORK/packed.headers")"
check "it is gzip" gzip -t "$WORK/packed.gz"
gzip -dc "$WORK/packed.gz" >"$WORK/packed"
equal "and holds the page" 2000 "$(grep -c '^many{code="t1",job="packed",' "$WORK/packed")"
note "$(wc -c <"$WORK/packed") bytes became $(wc -c <"$WORK/packed.gz")"
compare "smaller than a fifth" "$(($(wc -c <"$WORK/packed.gz") * 5))" -lt "$(wc -c <"$WORK/packed")"

# ---- the agent's own counters, by the same way

check "the agent's own counters arrive" wait_for 20 arrived agent
dump agent | jq -r .data | grep . >"$WORK/agent.prom"
missing=
for name in $(sed -n 's/^SA_STAT(\([a-z_]*\), *\(COUNTER\|GAUGE\|METER\).*/\1/p' "$TOP/include/sa_stats.def"); do
    [ "$name" = started_at ] || grep -Eq "^stone_age_agent_${name%_count}(_total)?\{" "$WORK/agent.prom" ||
        missing="$missing $name"
done
equal "each counter and gauge of sa_stats.def" "" "$missing"
match "what the process costs" '^process_resident_memory_bytes\{code="t1",job="agent"\} [0-9]+ [0-9]{13}$' \
    "$(cat "$WORK/agent.prom")"
match "and since when" '^process_start_time_seconds\{code="t1",job="agent"\} [0-9]{10}\.[0-9]{6} ' \
    "$(cat "$WORK/agent.prom")"
start=$(sed -n 's/^process_start_time_seconds{[^}]*} \([0-9]*\).*/\1/p' "$WORK/agent.prom")
compare "which is now" $(($(date +%s) - start)) -lt $((60 * WAIT_FACTOR))
match "up is there as well" '^up\{code="t1",job="agent"\} 1 ' "$(cat "$WORK/agent.prom")"
stop_agent
