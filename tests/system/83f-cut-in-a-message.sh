#!/bin/sh
# Story 51 over WebSocket.  ROADS: others, such as "tls ws", or "all".
exec "${0%/*}/../tools/over" 51-cut-in-a-message ws
