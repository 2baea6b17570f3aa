"""The table of threats: what went wrong elsewhere, the test that finds it here, and the guards.

A row's test is called ``test_<id>``. A guard is a place in the source with what it would be were
it not there; ``python -m tests.threats.mutants`` takes each away in turn, and the row's test must
fail. Beside the rows stand the guards of signatures, of encryption and of personal columns, which
tests elsewhere hold.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.threats import (
    guards_of_building,
    guards_of_doors,
    guards_of_encryption,
    guards_of_files,
    guards_of_models,
    guards_of_outputs,
    guards_of_requests,
    guards_of_signatures,
)
from tests.threats.guard import Guard


@dataclass(frozen=True)
class Row:
    """One class of vulnerability: ``seen`` in public records, tested in ``module``.

    ``elsewhere`` are the tests of guards that are not of the table.
    """

    id: str
    seen: tuple[str, ...]
    module: str
    guards: tuple[Guard, ...]
    elsewhere: tuple[str, ...] = ()

    @property
    def tests(self) -> tuple[str, ...]:
        """The tests of which one must fail without a guard."""
        return self.elsewhere or (f"tests/threats/{self.module}.py::test_{self.id}",)


ROWS: tuple[Row, ...] = (
    Row("path_traversal_read", ("CVE-2023-1177", "CVE-2024-1483", "CVE-2026-2614"), "test_files",
        guards_of_files.READ),
    Row("path_traversal_write", ("CVE-2024-1560", "CVE-2026-7302"), "test_files",
        guards_of_files.WRITE),
    Row("links_and_races", ("CVE-2024-27318", "CVE-2026-27489", "CVE-2026-34446"), "test_files",
        guards_of_files.LINKS),
    Row("archives", ("CVE-2026-27905", "GHSA-q56x-g2fj-4rj6"), "test_files",
        guards_of_files.ARCHIVES),
    Row("server_side_request_forgery", ("CVE-2023-43654", "CVE-2026-2393"), "test_building",
        guards_of_building.FETCHING),
    Row("unsafe_deserialization_model", ("CVE-2024-37065", "CVE-2025-1550", "CVE-2025-32434"),
        "test_models", guards_of_models.MODEL),
    Row("unsafe_deserialization_wire", ("CVE-2025-27520", "CVE-2025-62164"), "test_models",
        guards_of_models.WIRE),
    Row("missing_authentication_by_default", ("CVE-2023-48022", "CVE-2026-3960"), "test_doors",
        guards_of_doors.DEFAULTS),
    Row("authentication_bypass_by_alternate_route", ("CVE-2026-0545", "CVE-2026-33186"),
        "test_doors", guards_of_doors.ROUTES),
    Row("broken_object_level_access", ("CVE-2024-4263", "CVE-2026-2651"), "test_doors",
        guards_of_doors.ACCESS),
    Row("csrf_and_dns_rebinding", ("CVE-2025-1473", "CVE-2025-14279"), "test_doors",
        guards_of_doors.SITES),
    Row("cross_site_scripting", ("CVE-2023-6568", "CVE-2024-27132"), "test_outputs",
        guards_of_outputs.PAGES),
    Row("denial_of_service_by_giant_or_odd_tensors", ("CVE-2026-22773", "CVE-2025-33201"),
        "test_requests", guards_of_requests.TENSORS),
    Row("denial_of_service_by_body_shape", ("CVE-2025-23310", "CVE-2024-47874"), "test_requests",
        guards_of_requests.BODIES),
    Row("regular_expression_denial_of_service", ("GHSA-93gm-qmq6-w238",), "test_requests",
        guards_of_requests.EXPRESSIONS),
    Row("default_or_hard_coded_credentials", ("CVE-2023-25823", "CVE-2024-24595"), "test_doors",
        guards_of_doors.CREDENTIALS),
    Row("timing_on_keys", ("CVE-2025-59425", "CVE-2026-23996"), "test_doors",
        guards_of_doors.TIMING),
    Row("log_injection_and_terminal_escapes", ("CVE-2024-0095", "CVE-2018-1000164"),
        "test_outputs", guards_of_outputs.LOGS),
    Row("command_and_template_injection_in_image_build", ("CVE-2026-33744", "CVE-2026-44345"),
        "test_building", guards_of_building.IMAGES),
    Row("insecure_temporary_files", ("CVE-2022-0736", "CVE-2026-4137"), "test_files",
        guards_of_files.TEMPORARY),
    Row("secrets_in_environment_and_errors", ("CVE-2025-23320",), "test_outputs",
        guards_of_outputs.SECRETS),
    Row("query_and_filter_injection", ("CVE-2026-3960",), "test_outputs",
        guards_of_outputs.QUERIES),
    Row("csv_and_formula_injection", ("CVE-2022-24770",), "test_outputs",
        guards_of_outputs.FORMULAS),
    Row("metric_and_label_cardinality", (), "test_requests", guards_of_requests.METRICS),
    Row("dependency_and_ci_supply_chain", ("CVE-2025-43859", "CVE-2026-32597"), "test_building",
        guards_of_building.SUPPLY),
)  # fmt: skip

HELD = (
    Row(
        "signatures",
        (),
        "",
        guards_of_signatures.SIGNATURES,
        elsewhere=(
            "tests/soak/test_signed_versions.py::test_every_change_is_refused_for_a_reason",
            "tests/unit/security/test_statements.py",
            "tests/unit/security/test_trust.py",
        ),
    ),
    Row(
        "encryption",
        (),
        "",
        guards_of_encryption.ENCRYPTION,
        elsewhere=(
            "tests/unit/security/test_sealing.py",
            "tests/conformance/test_sealed_versions.py",
            "tests/integration/monitoring/test_sealed_events.py",
            "tests/acceptance/test_encryption.py",
        ),
    ),
    Row(
        "personal_columns",
        (),
        "",
        guards_of_encryption.PERSONAL,
        elsewhere=(
            "tests/unit/contract/test_marking.py",
            "tests/unit/security/test_personal.py",
            "tests/acceptance/test_personal.py",
        ),
    ),
)
GUARDED: tuple[Row, ...] = (*ROWS, *HELD)
"""The rows of the table, and what tests elsewhere hold."""
