#!/bin/sh
# Prometheus itself is the judge; tests/setup unpacks it.  It prints a value with
# as many digits as tell it from all others: texts that are equal are equal bits.
. "${0%/*}/../lib.sh"
story "Prometheus sees in our messages what it sees at the exporter, bit for bit"

command -v prometheus >/dev/null && command -v promtool >/dev/null ||
    die "there is no Prometheus here: tests/setup test"

# Pages stand still, so that both read the same: real ones, frozen, and ours.
pages=$WORK/pages
mkdir "$pages"
start_exporter
fetch "$EXPORTER_URL" >"$pages/default.prom"
stop "$EXPORTER_PID"
rm "$EXPORTER_LOG"
all=$(prometheus-node-exporter --help 2>&1 | sed -n 's/^ *\(--collector\.[a-z_0-9]*\)  *Enable the .*/\1/p')
# shellcheck disable=SC2086 # words
start_exporter $all
fetch "$EXPORTER_URL" >"$pages/everything.prom"
stop "$EXPORTER_PID"
now=$(date +%s%3N)
for page in truth.prom truth.om windows.prom quoted.prom; do
    sed "s/@MILLISECONDS@/$now/; s/@SECONDS@/$(printf '%d.%03d' $((now / 1000)) $((now % 1000)))/" \
        "$TOP/tests/data/exposition/$page" >"$pages/$page"
done
start_pages "$pages"
address=${PAGES_URL#http://}
names="default everything truth windows quoted open"
file_of()
{
    case $1 in
    open) echo truth.om ;;
    *) echo "$1.prom" ;;
    esac
}

# ---- Prometheus itself

# start_prometheus NAME: with $WORK/NAME.yml; PROMETHEUS_URL.
start_prometheus()
{
    port=$(free_port)
    spawn "$WORK/$1.log" prometheus --config.file="$WORK/$1.yml" --storage.tsdb.path="$WORK/$1" \
        --web.listen-address=127.0.0.1:"$port" --log.level=warn
    PROMETHEUS_PID=$SPAWNED
    PROMETHEUS_URL=http://127.0.0.1:$port
    wait_for 30 fetch "$PROMETHEUS_URL/-/ready" >/dev/null || die "Prometheus does not start"
}

# ask QUERY: the series, JSON.
ask()
{
    python3 -c 'import sys, urllib.parse, urllib.request
print(urllib.request.urlopen(sys.argv[1] + "/api/v1/query?query=" + urllib.parse.quote(sys.argv[2]),
                             timeout=60).read().decode())' "$PROMETHEUS_URL" "$1"
}

# series NAME: each series of a job with its newest value, and its time if it has
# one of its own, sorted.  How long a fetch took is nobody's truth.
series()
{
    ask "{job=\"$1\",__name__!~\"scrape_duration_seconds|scrape_series_added\"}[10m]" |
        jq -r --arg now "$now" '.data.result[] | del(.metric.page) | (.values[-1]) as $last
            | [(.metric | to_entries | sort_by(.key) | map("\(.key)=\(.value | @json)") | join(",")),
               $last[1], (if ($last[0] * 1000 | round | tostring) == $now then "own time" else "" end)]
            | @tsv' | sort
}

# about PAGE JOB: each metric of the page, with its type and help, as Prometheus took
# them from the targets of a job.
about()
{
    fetch "$PROMETHEUS_URL/api/v1/targets/metadata" |
        jq -r --arg page "$1" --arg job "$2" '.data[] | select(.target.job == $job)
            | select(.target.page == null or .target.page == $page)
            | select(.metric | test("^(up$|scrape_)") | not)
            | [.metric, .type, .help, .unit] | @tsv' | sort -u
}

up_is()
{
    ask "up{job=\"$1\"}" | jq -e ".data.result | length == $2 and all(.value[1] == \"1\")" >/dev/null
}

{
    echo "global: {scrape_interval: 1s, scrape_timeout: 1s}"
    echo "scrape_configs:"
    for name in $names; do
        echo "  - {job_name: $name, metrics_path: /$(file_of "$name"), static_configs: [{targets: [\"$address\"], labels: {code: t1}}]}"
    done
} >"$WORK/direct.yml"
start_prometheus direct
for name in $names; do
    check "Prometheus scrapes $name itself" wait_for 20 up_is "$name" 1
done
for name in $names; do
    series "$name" >"$WORK/direct-$name"
    about "$name" "$name" >"$WORK/direct-$name.about"
done
stop "$PROMETHEUS_PID" 20

# ---- the agent

cat >"$WORK/nats.conf" <<END
max_payload: 16KB
END
start_nats jetstream config "$WORK/nats.conf"
bus stream-add REPORTS 'agents.*.telemetry.>' --file
{
    echo "code: t1"
    echo "nats: {urls: [\"$NATS_URL\"], auth: {type: none}, connect_spread: 0s}"
    echo "tasks:"
    echo "  system_metrics: {enabled: false}"
    echo "  exporters:"
    for name in $names; do
        echo "    - {name: $name, url: \"$PAGES_URL/$(file_of "$name")\", interval: 1h}"
    done
} >"$WORK/agent.yaml"
start_agent "$WORK/agent.yaml"

# dump NAME: the stored parts of an exporter.
dump()
{
    bus stream-dump REPORTS --data | jq -c "select(.subject == \"agents.t1.telemetry.metrics.$1\")"
}

arrived()
{
    dump "$1" | jq -s -e 'length > 0
        and (.[0].headers["Stone-Age-Part"] | split("/")[1] | tonumber) == length' >/dev/null
}

accepts()
{
    promtool check metrics <"$1" >"$WORK/promtool" 2>&1 || [ $? -eq 3 ]     # 3: matters of taste
}

mkdir "$pages/parts"
for name in $names agent; do
    check "the page $name arrives" wait_for 60 arrived "$name"
    dump "$name" | jq -r '.headers["Stone-Age-Part"] | split("/")[0]' >"$WORK/numbers"
    refused=
    type=$(dump "$name" | jq -r '.headers["Content-Type"]' | sort -u)
    if [ "$name" = quoted ]; then       # promtool reads 0.0.4, which has no such names
        equal "its type says that names are quoted" \
            "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8" "$type"
    else
        equal "its type is the text format" "text/plain; version=0.0.4; charset=utf-8" "$type"
    fi
    while read -r number; do
        dump "$name" | jq -j "select(.headers[\"Stone-Age-Part\"] | startswith(\"$number/\")) | .data" \
            >"$pages/parts/$name-$number"
        [ "$name" = quoted ] || accepts "$pages/parts/$name-$number" ||
            refused="$refused $(cat "$WORK/promtool")"
    done <"$WORK/numbers"
    [ "$name" = quoted ] ||
        equal "promtool reads each of its $(wc -l <"$WORK/numbers") parts by itself" "" "$refused"
done
no_match "no line of them was bad" scrape_bad_lines "$(cat "$AGENT_LOG")"
stop_agent

# ---- Prometheus again, from our messages, each a target

{
    echo "global: {scrape_interval: 1s, scrape_timeout: 1s}"
    echo "scrape_configs:"
    echo "  - job_name: replay"
    echo "    honor_labels: true"
    echo "    static_configs:"
    for part in "$pages"/parts/*; do
        part=${part##*/}
        echo "      - {targets: [\"$address\"], labels: {__metrics_path__: /parts/$part, page: ${part%-*}}}"
    done
} >"$WORK/replay.yml"
start_prometheus replay
check "Prometheus scrapes our messages" wait_for 30 up_is replay "$(echo "$names" agent | wc -w)"
for name in $names; do
    # the last part may come a second later
    _same()
    {
        series "$name" >"$WORK/replay-$name"
        cmp -s "$WORK/direct-$name" "$WORK/replay-$name"
    }
    wait_for 10 _same >/dev/null || true
    check "$name: the same $(wc -l <"$WORK/direct-$name") series, values bit for bit" \
        diff "$WORK/direct-$name" "$WORK/replay-$name"
    compare "and they are many" "$(wc -l <"$WORK/direct-$name")" -gt 20
    [ "$name" != open ] || continue     # the text format has other words for some types
    about "$name" replay >"$WORK/replay-$name.about"
    check "$(wc -l <"$WORK/direct-$name.about") types and helps are the same" \
        diff "$WORK/direct-$name.about" "$WORK/replay-$name.about"
done
compare "times of their own are kept" "$(grep -c 'own time' "$WORK/direct-truth")" -eq 2
compare "those of OpenMetrics too" "$(grep -c 'own time' "$WORK/direct-open")" -eq 3
stop "$PROMETHEUS_PID" 20
