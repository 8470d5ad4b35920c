"""ZeroMQ: the server's sockets, control requests, keys and the subscriber."""
