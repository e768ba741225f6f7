"""The HTTP entry: synchronous calls of one service, in the service's own image.

One process listens and reads the heads of requests (`_server`); each call runs in a fork of it
(`_call`), so that a script's processes are those of one call, and what a call leaves in memory is
gone with it. Plain sockets instead of `http.server`, which would take longer to import than all of
the rest.
"""
