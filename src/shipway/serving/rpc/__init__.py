"""The Open Inference Protocol over gRPC: the same predictions behind the same door."""
