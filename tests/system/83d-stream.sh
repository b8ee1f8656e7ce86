#!/bin/sh
# Story 23 over WebSocket and TLS.  ROADS: others, such as "tls ws", or "all".
exec "${0%/*}/../tools/over" 23-stream wss
