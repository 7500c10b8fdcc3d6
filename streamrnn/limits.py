"""What anyone may ask of a daemon, in one place; docs/security.md is its page. No imports here."""

from __future__ import annotations

# Samples that clients bring.
LARGEST_CHUNK = 1 << 16  # samples of one data message
LARGEST_MESSAGE = 1 << 20  # bytes of one part
MOST_CHANNELS = 256

# Subscriptions. libzmq keeps about 50 bytes of memory for each byte of a topic.
LONGEST_TOPIC = 256  # bytes; the longest topic there is has 150
MOST_SUBSCRIPTIONS = 1024  # of one connection
SUBSCRIBED_BYTES = 1 << 16  # of topics of one connection
ALL_SUBSCRIBED_BYTES = 1 << 20  # of topics of all connections
UNREAD_SUBSCRIPTIONS = 100  # of one connection; what is beyond waits in the network

# Connections of one socket.
MOST_CONNECTIONS = 256
HANDSHAKE_MS = 5000  # after which one that has not said who it is must go
GONE_S = 5  # after which a peer that the network no longer reaches is taken for gone
BACKLOG = 128  # that wait to be taken
HANDSHAKE_BYTES = 1024  # a part may have at least so many: a CURVE handshake does not fit into 256
CURVE_BYTES = 64  # that CURVE adds to a part, at most

# The list of keys that are let in.
ALLOWED_BYTES = 1 << 20
