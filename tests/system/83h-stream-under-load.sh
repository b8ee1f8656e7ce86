#!/bin/sh
# Story 53 over WebSocket and TLS.  ROADS: others, such as "tls ws", or "all".
exec "${0%/*}/../tools/over" 53-stream-under-load wss
