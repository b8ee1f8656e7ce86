#!/usr/bin/env python3
"""TLS before a server that speaks none: what comes in goes on to a port of the loopback.

usage: tls_front.py CERTIFICATE KEY PORT

Prints "Listening on PORT", and a line for each handshake that failed.
"""
import asyncio
import socket
import ssl
import sys


async def carry(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except (OSError, ssl.SSLError):
        pass    # it has ended
    finally:
        writer.close()


async def serve(certificate, key, port):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def take(reader, writer):
        try:
            behind = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(carry(reader, behind[1]), carry(behind[0], writer))

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, what: print(what.get("exception") or what["message"],
                                                     flush=True))
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    server = await asyncio.start_server(take, sock=listener, ssl=context)
    print(f"Listening on {listener.getsockname()[1]}", flush=True)
    await server.serve_forever()


asyncio.run(serve(sys.argv[1], sys.argv[2], int(sys.argv[3])))
