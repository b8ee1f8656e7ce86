#!/bin/sh
# Story 20 over WebSocket.  ROADS: others, such as "tls ws", or "all".
exec "${0%/*}/../tools/over" 20-server-killed ws
