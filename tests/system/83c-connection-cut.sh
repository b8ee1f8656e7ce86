#!/bin/sh
# Story 22 over WebSocket.  ROADS: others, such as "tls ws", or "all".
# long
exec "${0%/*}/../tools/over" 22-connection-cut ws
