#!/bin/sh
# Story 52 over WebSocket.  ROADS: others, such as "tls ws", or "all".
# long
exec "${0%/*}/../tools/over" 52-doubtful ws
