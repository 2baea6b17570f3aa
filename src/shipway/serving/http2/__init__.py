"""HTTP/2 for the gRPC port: frames, heads and flow control, every size and every flood bounded."""
