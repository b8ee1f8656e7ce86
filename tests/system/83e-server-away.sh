#!/bin/sh
# Story 50 over WebSocket and TLS.  ROADS: others, such as "tls ws", or "all".
exec "${0%/*}/../tools/over" 50-server-away wss
