"""What a client may call its request, in every protocol alike."""

from __future__ import annotations

ID_LENGTH = 128
ID_PATTERN = f"^[ -~]{{0,{ID_LENGTH}}}$"
"""The rule of :func:`is_id` as a regular expression of JSON Schema."""

ID_FAULT = f"the id is longer than {ID_LENGTH} or has characters other than printable ASCII"


def is_id(text: str) -> bool:
    """Whether *text* may be an id: it stands in logs, in headers and before a row's number.

    >>> is_id("booking-4711"), is_id("a\\nb")
    (True, False)
    """
    return len(text) <= ID_LENGTH and text.isascii() and text.isprintable()
