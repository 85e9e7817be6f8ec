"""Verifies the audit by the settings, and says what was found."""

from __future__ import annotations

import time
from collections.abc import Callable

from events.signatures import Opener
from events.signing_keys import key_file
from oracle.replay import readable
from oracle.verify import AUDIT_LOG, FOR_EVER_MS, Range, Report, verify
from settings import Settings, variable

DAY_MS = 86_400_000


def run(
    settings: Settings,
    days: float | None = None,
    begin_ms: int | None = None,
    end_ms: int | None = None,
    progress: Callable[[int], object] = lambda rows: None,
) -> Report:
    """Verify the last days, or from one time until before another; else all of the audit.

    ``progress`` is called with the rows that were read so far. Raises ``SettingsError`` or
    ``psycopg.Error``.
    """
    now_ms = round(time.time() * 1000)
    from_ms = begin_ms or 0
    if days is not None:
        from_ms = max(from_ms, now_ms - round(days * DAY_MS))
    kept_days = settings.audit_retention_days
    kept_from_ms = (now_ms // DAY_MS - kept_days) * DAY_MS if kept_days else 0
    opener = Opener(
        key_file(settings, "workers"), settings.prefixed(AUDIT_LOG), settings.unsigned_until_ms
    )
    within = Range(from_ms, FOR_EVER_MS if end_ms is None else end_ms, kept_from_ms)
    return verify(settings.require_database(), opener, within, progress)


def describe(report: Report) -> str:
    """What was found, for people."""
    lines = [
        f"{report.batches:,} batches with {report.rows:,} rows from {readable(report.first_ms)} to "
        f"{readable(report.last_ms)} were read.",
        f"By the policy that was in force: {report.blocks:,} blocks, {report.unblocks:,} "
        f"unblockings, {report.expiries:,} blocks that ended. {report.judged:,} decisions follow "
        f"from those before them; {report.unjudged:,} cannot be told (moved, late or without a "
        "name, or what came before is not known).",
    ]
    if report.unsealed:
        lines.append(
            f"{report.unsealed:,} rows are from before there were seals, or due to be deleted: "
            "nothing is known of them."
        )
    if report.batches and not report.signed:
        lines.append(
            "Not every seal's signature could be checked: some have none, or "
            f"{variable('signing_keys')} is not set here. Who can write to Postgres could have "
            "made them anew."
        )
    if report.differences:
        lines.append("The audit is NOT as it was written. The first difference:")
        lines += map(str, report.differences)
    elif report.batches:
        lines.append("The audit is as it was written.")
    else:
        lines.append("No batch in this range has a seal, so nothing is known of it.")
    return "\n".join(lines)
