# bash(1) completion of stone-age-agent, made from the tables of the program: do not change it.
# shellcheck disable=SC2034,SC2207
_stone_age_agent_tables()
{
    commands='run check-config config doctor status tail bootstrap keygen exec-list polkit unit version'
    options[run]='--config --set'
    options[check-config]='--config --set --json --service'
    second[config]='show'
    options[config show]='--config --set --json'
    options[doctor]='--config --set --json'
    options[status]='--config --set --json --watch'
    options[tail]='--config --set --json --count'
    options[bootstrap]='--config --set --force --json'
    options[keygen]='--config --set'
    options[exec-list]='--config --set'
    options[polkit]='--config --set --user --write'
    options[unit]='--config --set --write'
    options[version]=' --json'
    all='--config --set --json --watch --count --user --force --write --service --help'
    keys=' code location subject_prefix nats.urls nats.auth.type nats.auth.creds_file nats.auth.nkey_file nats.auth.token_file nats.auth.token_env nats.auth.username nats.auth.password_file nats.auth.password_env nats.tls.enabled nats.tls.ca_file nats.tls.cert_file nats.tls.key_file nats.tls.insecure_skip_verify nats.tls.min_version nats.tls.pin_sha256 nats.tls.handshake_first nats.websocket.headers nats.websocket.headers_file nats.proxy.url nats.proxy.username nats.proxy.password_file nats.proxy.password_env nats.proxy.except nats.proxy.ca_file nats.connect_timeout nats.connect_spread nats.reconnect_wait nats.reconnect_max nats.ping_interval nats.drain_timeout nats.micro platform.url platform.identity platform.password_file platform.password_env platform.session_file platform.sync_interval platform.remote_config platform.allow_insecure_url platform.ca_file platform.tls_pin_sha256 paths.state paths.runtime spool.max_size spool.max_age spool.window spool.ack_timeout spool.duplicate_window spool.drain_rate spool.drain_spread tasks.heartbeat.enabled tasks.heartbeat.interval tasks.heartbeat.twin tasks.system_metrics.enabled tasks.system_metrics.interval tasks.system_metrics.twin tasks.system_metrics.source tasks.system_metrics.exporter_url tasks.agent_metrics.enabled tasks.agent_metrics.interval tasks.service_check.enabled tasks.service_check.interval tasks.service_check.services tasks.service_check.twin tasks.inventory.enabled tasks.inventory.interval tasks.inventory.check_interval tasks.creds_sync.enabled commands.reply_prefixes commands.workers commands.queue commands.scripts_directory commands.allowed_services commands.allowed_log_paths commands.log_links commands.log_mounts commands.timeout commands.max_output commands.audit_file commands.audit_max_size_mb commands.audit_max_backups commands.audit_ahead logging.level logging.format logging.file logging.max_size_mb logging.max_backups nebula.enabled nebula.config_file nebula.sync_interval nebula.mode nebula.folder nebula.binary nebula.service nebula.verify_timeout nebula.allowed_devices nebula.allowed_routes'
}

_stone_age_agent()
{
    local cur prev words cword word command= i commands all keys
    local -A options second
    _init_completion -n = || return
    _stone_age_agent_tables
    case $prev in
    -c|--config) _filedir yaml; return ;;
    -s|--set)
        if [[ $cur != *=* ]]; then
            compopt -o nospace
            COMPREPLY=($(compgen -S = -W "$keys" -- "$cur"))
        fi
        return ;;
    --user) COMPREPLY=($(compgen -u -- "$cur")); return ;;
    --count) return ;;
    esac
    for ((i = 1; i < cword; i++)); do
        word=${words[i]}
        case $word in
        -c|--config|-s|--set|--user|--count) ((i++)) ;;
        -*) ;;
        *) command="${command:+$command }$word" ;;
        esac
    done
    if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "${options[${command:--}]-$all}" -- "$cur"))
    elif [[ -z $command ]]; then
        COMPREPLY=($(compgen -W "$commands" -- "$cur"))
    elif [[ -n ${second[$command]-} ]]; then
        COMPREPLY=($(compgen -W "${second[$command]}" -- "$cur"))
    fi
}
complete -F _stone_age_agent stone-age-agent
