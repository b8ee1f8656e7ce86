#!/bin/sh
# Story 21 over WebSocket and TLS.  ROADS: others, such as "tls ws", or "all".
# long
exec "${0%/*}/../tools/over" 21-server-frozen wss
