"""The shared words of the product: names, digests, times, tasks, metrics, objectives, events.

Nothing here reads a disk, a clock or a network, and nothing imports a heavy library.
"""
