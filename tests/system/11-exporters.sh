#!/bin/sh
# also: asan
. "${0%/*}/../lib.sh"
story "An exporter's page is forwarded whole, and a bad exporter harms nobody"

# A real page, kept, so that what comes out can be compared with what went in.
mkdir "$WORK/pages"
start_exporter
fetch "$EXPORTER_URL" >"$WORK/pages/metrics"
start_pages "$WORK/pages"
cat >"$WORK/nats.conf" <<END
max_payload: 16KB
END
start_nats jetstream config "$WORK/nats.conf"
bus stream-add REPORTS 'agents.*.telemetry.>' --file
bus kv-add twin
listen "$WORK/beats" 'agents.*.heartbeat'
cat >"$WORK/agent.yaml" <<END
code: t1
nats: {urls: ["$NATS_URL"], auth: {type: none}, connect_spread: 0s}
tasks:
  heartbeat: {interval: 10s}
  system_metrics: {enabled: false}
  exporters:
    - {name: page, url: "$PAGES_URL/metrics", interval: 1h}
    - {name: real, url: "$EXPORTER_URL", interval: 1h, labels: {site: north, rack: 'a "1"'}}
END
start_agent "$WORK/agent.yaml"

# dump NAME: the stored parts of an exporter, as JSON, data included.
dump()
{
    bus stream-dump REPORTS --data | jq -c "select(.subject == \"agents.t1.telemetry.metrics.$1\")"
}

# arrived NAME: all parts of it are there.
arrived()
{
    dump "$1" | jq -s -e 'length > 0
        and (.[0].headers["Stone-Age-Part"] | split("/")[1] | tonumber) == length' >/dev/null
}

check "the page arrives" wait_for 20 arrived page
check "the real exporter's too" wait_for 20 arrived real
dump page >"$WORK/parts"
parts=$(wc -l <"$WORK/parts")
compare "it is split below max_payload" "$parts" -gt 3
equal "each part says which it is" "$(seq -f "%g/$parts" "$parts")" \
    "$(jq -r '.headers["Stone-Age-Part"]' "$WORK/parts")"
equal "and what it is" 'text/plain; version=0.0.4; charset=utf-8' \
    "$(jq -r '.headers["Content-Type"]' "$WORK/parts" | sort -u)"
compare "no part is larger than the server takes" "$(jq .size "$WORK/parts" | sort -n | tail -n 1)" -lt 16384

# What the agent adds of its own comes last.
own='^(up|scrape_[a-z_]*)\{|^# TYPE (up|scrape_[a-z_]*) '
jq -r .data "$WORK/parts" | grep . >"$WORK/all"
grep -Ev "$own" "$WORK/all" >"$WORK/out"
instance=${PAGES_URL#http://}
equal "each sample has the labels code, job and instance" "" \
    "$(grep -v '^#' "$WORK/out" | grep -Fv "{code=\"t1\",job=\"page\",instance=\"$instance\"" || true)"
times=$(grep -v '^#' "$WORK/out" | sed 's/.* //' | sort -u)
match "and a time, the same for all" '^[0-9]{13}$' "$times"
in_time "which is that of the scrape" $(($(date +%s%3N) - times)) 20000
# Take away what was added, and it is the page.  A label that the exporter has
# by one of our names is kept as exported_NAME, as Prometheus does it.
match "its own label code is not lost" ',exported_code="200"\}' "$(cat "$WORK/out")"
grep -v '^#' "$WORK/pages/metrics" | sort >"$WORK/samples-in"
grep -v '^#' "$WORK/out" | sed 's/ [0-9]*$//; s/{code="t1",job="page",instance="[^"]*"}//
    s/{code="t1",job="page",instance="[^"]*",/{/; s/exported_code=/code=/' | sort >"$WORK/samples-out"
check "each of the $(wc -l <"$WORK/samples-in") samples is there once, unchanged" \
    diff "$WORK/samples-in" "$WORK/samples-out"
grep '^# TYPE' "$WORK/pages/metrics" | sort >"$WORK/types-in"
grep '^# TYPE' "$WORK/out" | sort >"$WORK/types-out"
check "each family is in one part, with its type" diff "$WORK/types-in" "$WORK/types-out"
equal "no part begins in the middle of a family" "" "$(jq -r '.data | split("\n")[0]' "$WORK/parts" |
    grep -v '^#' || true)"
equal "the agent adds what Prometheus would" \
    "up 1 scrape_samples_scraped $(grep -vc '^#' "$WORK/pages/metrics") scrape_samples_post_metric_relabeling $(
        grep -vc '^#' "$WORK/pages/metrics")" \
    "$(grep -E "$own" "$WORK/all" | grep -Ev '^#|^scrape_duration' | sed 's/{.*}//; s/ [0-9]*$//' | xargs)"
match "with how long it took" '^scrape_duration_seconds\{[^}]*\} 0\.[0-9]{6} [0-9]{13}$' \
    "$(cat "$WORK/all")"
match "an exporter's own labels are added, escaped" \
    '^node_load1\{code="t1",job="real",instance="127[0-9.:]*",(site="north",rack="a \\"1\\""|rack="a \\"1\\"",site="north")\} ' \
    "$(dump real | jq -r .data)"
if command -v promtool >/dev/null; then
    dump real | jq -r .data | grep . >"$WORK/real"
    # 3: it reads all, and finds some names a matter of taste
    check "promtool reads it" sh -c "promtool check metrics <$WORK/real || [ \$? -eq 3 ]"
else
    note "promtool is not installed: it was not asked"
fi
no_match "the log has no line that needs explaining" ' (warn|error) ' "$(cat "$AGENT_LOG")"
stop_agent

# ---- bad ones, beside a good one

closed=$(free_port)
cat >"$WORK/agent.yaml" <<END
code: t1
nats: {urls: ["$NATS_URL"], auth: {type: none}, connect_spread: 0s}
tasks:
  heartbeat: {interval: 10s}
  system_metrics: {enabled: false}
  exporters:
    - {name: down, url: "http://127.0.0.1:$closed/metrics", interval: 1h}
    - {name: slow, url: "$PAGES_URL/-/slow", interval: 1h, timeout: 2s}
    - {name: drip, url: "$PAGES_URL/-/drip", interval: 1h, timeout: 2s}
    - {name: huge, url: "$PAGES_URL/-/huge", interval: 1h, max_size: 1MB}
    - {name: redirect, url: "$PAGES_URL/-/redirect", interval: 1h}
    - {name: html, url: "$PAGES_URL/-/html", interval: 1h}
    - {name: broken, url: "$PAGES_URL/-/500", interval: 1h}
    - {name: good, url: "$PAGES_URL/metrics", interval: 1h}
END
: >"$WORK/beats"
start_agent "$WORK/agent.yaml"
for name in down slow drip huge redirect html broken; do
    check "$name: the log says so" wait_for 15 agent_says "scrape_failed.* exporter=$name( |\$)"
    equal "$name: all that is in the stream is that it is down" "up 0" \
        "$(dump "$name" | jq -r .data | grep -Ev '^(#|scrape_|$)' | sed 's/{.*}//; s/ [0-9]*$//')"
done
log=$(cat "$AGENT_LOG")
match "down: nothing listens" 'exporter=down .*([Rr]efused|connect)' "$log"
match "slow: it took too long" 'exporter=slow .*(time|late)' "$log"
match "huge: it is too large" 'exporter=huge .*(large|limit|size)' "$log"
match "redirect: refused" 'exporter=redirect .*(redirect|30[0-9])' "$log"
match "html: no exporter's page" 'exporter=html .*(exporter|html)' "$log"
match "broken: the status" 'exporter=broken .*500' "$log"
no_match "the redirect was not followed" 'GET /redirected' "$(cat "$PAGES_LOG")"
check "the good one arrives beside them" wait_for 10 arrived good
check "so does the heartbeat" wait_for 20 has_line "$WORK/beats" heartbeat 2
equal "health counts them" 7 "$(health .tasks.scrape_failures)"
compare "memory stays small" "$(sed -n 's/^RssAnon:[^0-9]*\([0-9]*\).*/\1/p' /proc/"$AGENT_PID"/status)" \
    -lt $((16384 * WAIT_FACTOR * WAIT_FACTOR))
stop_agent
