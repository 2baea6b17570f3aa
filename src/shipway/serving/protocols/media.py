"""``Content-Type`` as it stands in a request: the type, and its parameters."""

from __future__ import annotations

from dataclasses import dataclass, field

from shipway.errors import UnsupportedMedia

JSON = "application/json"
CSV = "text/csv"


@dataclass(frozen=True, slots=True)
class MediaType:
    """A media type in lower case with the parameters that it came with."""

    name: str
    parameters: dict[str, str] = field(default_factory=dict)


def media_type(header: bytes, *, known: frozenset[str]) -> MediaType:
    """*header* read; none is JSON. *known* are the parameters that are understood.

    Raises UnsupportedMedia for another charset than UTF-8 and for a parameter that would be
    passed over.
    """
    first, *rest = header.decode("latin-1").split(";")
    parameters: dict[str, str] = {}
    for part in rest:
        name, _, value = part.strip().partition("=")
        if name:
            parameters[name.strip().lower()] = value.strip().strip('"')
    strange = sorted(parameters.keys() - known - {"charset"})
    if strange:
        raise UnsupportedMedia(
            f"Unrecognized content type parameters: {', '.join(map(repr, strange))[:100]}",
            next_step="send the media type alone, or with charset=utf-8",
        )
    if parameters.get("charset", "utf-8").lower() not in {"utf-8", "utf8"}:
        raise UnsupportedMedia(
            "the server only reads UTF-8", next_step="encode the body in UTF-8 and say so"
        )
    return MediaType(first.strip().lower() or JSON, parameters)
