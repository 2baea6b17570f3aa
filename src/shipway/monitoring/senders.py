"""The ways an alert reaches people: a line on a console, a post to a webhook.

The webhook speaks version 4 of Alertmanager's webhook JSON, so whatever takes Alertmanager's
notices (chat bridges, pagers, its own test receivers) takes these.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import httpx
import msgspec

from shipway.domain.times import iso
from shipway.errors import ConfigError
from shipway.monitoring.alerts import Alert

_NEVER = "0001-01-01T00:00:00Z"  # how Alertmanager writes that something has not ended


class ConsoleSender:
    """Gives each alert's text to *write*, a callable that takes a string."""

    name = "console"

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write

    def send(self, alerts: Sequence[Alert]) -> str:
        """Write each of *alerts*; an empty string, or why the stream did not take it."""
        try:
            for alert in alerts:
                self._write(_printable(alert.text))
        except (OSError, ValueError) as error:
            return f"the console did not take it: {error}"
        return ""


class WebhookSender:
    """Posts alerts to *url*: https, or http on this machine; redirects are not followed.

    *allow_insecure* permits plain http to elsewhere. Raises
    :class:`~shipway.errors.ConfigError` for an address that may not be used.
    """

    name = "webhook"

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 5.0,
        allow_insecure: bool = False,
        external_url: str = "",
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._url = check_address(url, allow_insecure=allow_insecure)
        self._where = urlsplit(url).hostname or ""
        self._timeout_s = timeout_s
        self._external_url = external_url
        self._transport = transport

    def send(self, alerts: Sequence[Alert]) -> str:
        """Post *alerts*, those still open and those resolved apart; "" or what went wrong."""
        for part in (
            [alert for alert in alerts if alert.resolved_at is None],
            [alert for alert in alerts if alert.resolved_at is not None],
        ):
            if part and (error := self._post(part)):
                return error
        return ""

    def _post(self, alerts: Sequence[Alert]) -> str:
        content = msgspec.json.encode(payload(alerts, external_url=self._external_url))
        try:
            with httpx.Client(
                timeout=self._timeout_s,
                follow_redirects=False,
                trust_env=False,
                transport=self._transport,
            ) as client:
                answer = client.post(
                    self._url, content=content, headers={"Content-Type": "application/json"}
                )
        except httpx.HTTPError as error:
            return f"{self._where} was not reached: {type(error).__name__}"
        if answer.is_success:
            return ""
        return f"{self._where} answered {answer.status_code} and did not take it"


def check_address(url: str, *, allow_insecure: bool = False) -> str:
    """*url* unchanged if alerts may be sent there; raises :class:`~shipway.errors.ConfigError`."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError as error:
        raise _refused("it is not an address") from error
    if parts.scheme not in ("https", "http") or not host:
        raise _refused(f"it begins with {parts.scheme or 'nothing'}://, not with https://")
    if parts.scheme == "http" and not (allow_insecure or _is_here(host)):
        raise _refused(f"http to {host} would carry it unencrypted")
    return url


def payload(alerts: Sequence[Alert], *, external_url: str = "") -> dict[str, object]:
    """*alerts*, which are all open or all resolved, as Alertmanager's webhook JSON, version 4."""
    status = "firing" if alerts[0].resolved_at is None else "resolved"
    models = sorted({alert.model for alert in alerts})
    shared = {"model": models[0]} if len(models) == 1 else {}
    return {
        "version": "4",
        "groupKey": f"shipway:{','.join(models)}",
        "truncatedAlerts": 0,
        "status": status,
        "receiver": "shipway",
        "groupLabels": shared,
        "commonLabels": shared,
        "commonAnnotations": {},
        "externalURL": external_url,
        "alerts": [_entry(alert, status, external_url) for alert in alerts],
    }


def _entry(alert: Alert, status: str, external_url: str) -> dict[str, object]:
    return {
        "status": status,
        "labels": {
            "alertname": "ObjectiveBroken",
            "model": alert.model,
            "endpoint": alert.endpoint,
            "version": ",".join(alert.versions),
            "metric": alert.metric,
            "objective": alert.objective,
            "slice": alert.of,
        },
        "annotations": {
            "summary": alert.summary,
            "description": alert.text,
            "explanation": alert.explanation,
            "moved": ", ".join(alert.moved),
            "next_step": alert.next_step,
            "window": alert.window.name,
        },
        "startsAt": iso(alert.opened_at),
        "endsAt": _NEVER if alert.resolved_at is None else iso(alert.resolved_at),
        "generatorURL": external_url,
        "fingerprint": alert.fingerprint,
    }


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _refused(why: str) -> ConfigError:
    return ConfigError(
        f"alerts cannot be sent to the webhook: {why}",
        next_step="give an https:// address, or http:// on this machine, as [alerts] webhook",
    )


def _printable(text: str) -> str:
    """*text* without control characters but line ends: a feature's name may hold any."""
    return "".join(c if c == "\n" or c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
