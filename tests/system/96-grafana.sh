#!/bin/sh
# docs/grafana.md, told with a real Prometheus: what the agent forwards arrives there, and each
# panel of the dashboard has something to show.
. "${0%/*}/../lib.sh"
story "The dashboard works on what the agent forwards"

command -v prometheus >/dev/null && command -v promtool >/dev/null ||
    die "no Prometheus; tests/setup fetches it"

start_nats jetstream
bus stream-add TELEMETRY 'agents.*.telemetry.>' >"$WORK/.output"
start_exporter
mkdir "$STATE"
chmod 700 "$STATE"
cat >"$WORK/agent.yaml" <<END
code: t1
location: here
nats: {urls: ["$NATS_URL"], auth: {type: none}, connect_spread: 0s}
tasks:
  exporters:
    - {name: node, url: "$EXPORTER_URL", interval: 1s, timeout: 1s}
END
start_agent "$WORK/agent.yaml" --set tasks.agent_metrics.interval=1s

# ---- Prometheus, which fetches the last page of each kind: the bridge of docs/grafana.md

mkdir "$WORK/bridge"
: >"$WORK/bridge/agent.prom"
: >"$WORK/bridge/node.prom"
start_pages "$WORK/bridge"
port=$(free_port)
cat >"$WORK/prometheus.yml" <<END
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
  - {job_name: agent, metrics_path: /agent.prom, honor_labels: true, honor_timestamps: true, static_configs: [{targets: ["${PAGES_URL#http://}"]}]}
  - {job_name: node, metrics_path: /node.prom, honor_labels: true, honor_timestamps: true, static_configs: [{targets: ["${PAGES_URL#http://}"]}]}
END
spawn "$WORK/prometheus.log" prometheus --config.file="$WORK/prometheus.yml" \
    --storage.tsdb.path="$WORK/tsdb" --web.listen-address=127.0.0.1:"$port" --log.level=warn
PROMETHEUS_URL=http://127.0.0.1:$port
wait_for 30 curl -sf -o "$WORK/.output" "$PROMETHEUS_URL/-/ready" || die "Prometheus does not start"

# The last page of each kind, whole and at once.
bridge()
{
    bus stream-dump TELEMETRY --data >"$WORK/dump"
    for kind in agent node; do
        grep "telemetry.metrics.$kind\"" "$WORK/dump" | tail -n 1 | jq -j .data >"$WORK/page.$kind"
        cp "$WORK/page.$kind" "$WORK/bridge/$kind.new"
        mv "$WORK/bridge/$kind.new" "$WORK/bridge/$kind.prom"
    done
}

ask()
{
    curl -sf --data-urlencode "query=$1" "$PROMETHEUS_URL/api/v1/query"
}

# Four samples of each at least, so that there are rates.
knows_enough()
{
    bridge
    for name in stone_age_agent_build_info node_load1; do
        ask "count_over_time($name[2m])" | jq -e '.data.result[0].value[1] | tonumber >= 4' || return 1
    done
}
check "the pages reach Prometheus" wait_for 60 knows_enough

# ---- each panel

jq -r '.panels[] | .title as $t | .targets[]? | [$t, .expr] | @tsv' \
    "$TOP/docs/grafana-dashboard.json" | sed 's/\\"/"/g' |
    sed 's/\$__rate_interval/1m/g; s/\$code/.*/g; s/\$location/.*/g' >"$WORK/panels"
compare "the dashboard has panels" "$(wc -l <"$WORK/panels")" -ge 20
while IFS="$(printf '\t')" read -r title expression; do
    found=$(ask "$expression" |
        jq '[.data.result[] | select(.value[1] != "NaN")] | length')
    compare "$title: something to show" "${found:-0}" -ge 1
done <"$WORK/panels"
no_match "no panel asks for a metric that nobody sends" 'stone_age_agent_[a-z_]*' \
    "$(grep -o 'stone_age_agent_[a-z_]*' "$WORK/panels" | sort -u | while read -r name; do
        grep -q "^$name[ {]" "$WORK"/page.* || echo "$name"
    done)"
