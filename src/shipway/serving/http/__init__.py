"""HTTP/1.1 on a socket: one connection, its limits and deadlines, and the bytes of an answer."""
