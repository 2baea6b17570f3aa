"""Servers that others would take, as small honest programs, to measure ours against.

Each runs in an environment of its own as ``python PROGRAM MODEL.onnx KIND HTTP GRPC FOLDER``: KIND
is ``numeric`` or ``flights``, HTTP and GRPC are ports of the loopback, FOLDER is its own to write
into. Each has one worker, one thread for the model, and batching where the framework has it; none
asks for a key, keeps a contract or an event log. A number is right if this is how the framework's
own pages would have it done.
"""
