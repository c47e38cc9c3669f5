# SPDX-License-Identifier: GPL-2.0-or-later
"""`report` as one self-contained page: nothing is loaded, and only its own script and style may run.

The template draws the pictures: positions across in percent, so that any width is sharp, others in pixels.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from itertools import groupby
from typing import TYPE_CHECKING, Final

from pfestubs import __version__
from pfestubs.formats import findings
from pfestubs.formats.address_map import MapScale, part_label
from pfestubs.formats.check import causes, summary
from pfestubs.formats.markdown import sentence
from pfestubs.formats.plan import plan_summary, reserve_words, working_words
from pfestubs.formats.templates import page_part, render_template
from pfestubs.formats.text import bytes_text, machine_words
from pfestubs.layouts import RESERVE_CONFIG
from pfestubs.model import ppc
from pfestubs.rules.analyses.conditions import GROWTH_MAX
from pfestubs.rules.analyses.relink import GrowthShape
from pfestubs.rules.analyses.report import CALLS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pfestubs.formats import RenderOptions
    from pfestubs.model import KernelIdentity
    from pfestubs.rules.analyses.plan import GrowthCurve, PlanResult
    from pfestubs.rules.analyses.report import ReportResult

_FLAT: Final = 0.9
"""The share of the most growth that all reserves leave where the curve looks flat."""
_HEAD: Final = 34
"""Pixels above a plot, for labels."""
_PLOT: Final = 200
"""Pixels of a plot."""
_SHOWN: Final = 40 << 20
"""The distance, in bytes, at the edge of the profile; farther ones are drawn there."""
_TICKS: Final = 8
"""Intervals that a scale has at most."""
_ID_DIGITS: Final = 12
"""Digits of a build ID that tell two builds apart."""


def render(result: ReportResult, options: RenderOptions) -> Iterator[str]:
    """Yield the page; with `show_all` with every finding."""
    style, script = page_part("report.css"), page_part("report.js")
    check, plan, curve = result.check, result.plan, result.curve
    damage = plan.damage if plan else None
    boot = check.boot
    stop = None if boot.stops_at is None else boot.locations[boot.stops_at]
    # Where the boot stops, else the first.
    errors = [*([] if stop is None else [e for e in check.errors if e.location == stop]), *check.errors]
    first = errors[0] if errors else None
    values: dict[str, object] = {
        "style": style,
        "script": script,
        "style_hash": _hash(style),
        "script_hash": _hash(script),
        "version": __version__,
        "result": result,
        "check": check,
        "boot": boot,
        "identity": boot.kernel.identity,
        "machine": ", ".join(machine_words(boot.kernel.identity)[:-1]),
        "kernel": result.kernel,
        "older": result.older,
        "plan": None if damage else plan,
        "growth": GrowthScale(plan, curve) if plan and curve else None,
        "outcome": outcome(result).partition(": ")[2],
        "first": first and f"{first.rule}: {findings.finding_sentence(first)}",
        "remedy": next((error.remedy for error in errors if error.remedy), None),
        "lacking": "call" if CALLS in result.kernel.series else "stub",
        "damage": damage and findings.finding_sentence(damage),
        "causes": sorted(causes(check.findings, options), key=lambda cause: cause.shown[0].severity),
        "setting": RESERVE_CONFIG,
    }
    yield render_template("report.html.j2", values | _HELPERS)


def outcome(result: ReportResult) -> str:
    """Return the outcome in one sentence without the file: that of the check, or too little growth."""
    if result.plan is not None and result.check.ok and not result.ok:
        return plan_summary(result.plan)
    return summary(result.check)


def _hash(part: str) -> str:
    """Return the source expression by which a content security policy permits `part`."""
    return f"sha256-{b64encode(sha256(part.encode()).digest()).decode()}"


def kernel_name(own: KernelIdentity, others: KernelIdentity) -> str:
    """Return a name that tells a kernel from the other: two of one release by build ID, else by file."""
    if own.release is None or own.release != others.release:
        return own.release or own.file
    if own.build_id is None or own.build_id == others.build_id:
        return f"{own.release}, {own.file}"
    return f"{own.release}, build {own.build_id[:_ID_DIGITS]}"


# -- positions in pictures, and the figures from which the script moves them ---------------------------------


def level(distance: int) -> float:
    """Return the position of a distance in the profile, pixels from the top, as the script has it."""
    return _HEAD + _PLOT / 2 * (1 - max(-1.0, min(1.0, distance / _SHOWN)))


def address_ticks(scale: MapScale) -> Iterator[tuple[int, float]]:
    """Yield distances from the start of the first text, in steps of a power of two, and their positions."""
    if not scale.spans:
        return
    start, stop = scale.spans[0].start, scale.spans[-1].stop
    cut = any(gap.cut for gap in scale.gaps)
    total = sum(map(ppc.span_size, scale.spans)) + sum(gap.bytes for gap in scale.gaps if not gap.cut)
    step = 1 << max(2, (max(1, total // _TICKS) - 1).bit_length())
    for offset in range(step, min(stop - start, step * 4 * _TICKS), step):
        inside = any(span.start <= start + offset < span.stop for span in scale.spans)
        x = scale.percent(start + offset)
        if (inside or not cut) and x < 92:
            yield offset, x


class GrowthScale:
    """Positions in the picture of growth: reserves across, growth in bytes up.

    Attributes:
        required: bytes of growth, None if none were asked for.
        runs: the points, neighbours that all work or all fail together.
        is_flat: whether all reserves leave much the same growth.
    """

    def __init__(self, plan: PlanResult, curve: GrowthCurve) -> None:
        self.required = plan.required[0] if plan.required else None
        self.runs = [list(run) for _, run in groupby(curve.points, key=lambda point: bool(point.growth))]
        self._right = max(1, curve.points[-1].reserve)
        working = [point.growth.values() for point in curve.points if point.growth]
        # The least of the three is what counts: the others are cut where they are much larger.
        least, most = (max(map(end, working), default=0) for end in (min, max))
        self.is_flat = least > 0 and min(filter(None, map(min, working))) >= _FLAT * least
        self._top = max(1 << 20, self.required or 0, min(2 * least, most))

    def across(self, reserve: int) -> float:
        """Return the position of a reserve, in percent."""
        return 100 * reserve / self._right

    def level(self, growth: int) -> float:
        """Return the position of a growth, pixels from the top."""
        return _HEAD + _PLOT - _PLOT * min(1.0, growth / self._top)

    def size_ticks(self) -> range:
        """Return growths in steps of a power of two."""
        step = 1 << max(18, (self._top // 4 - 1).bit_length())
        return range(step, self._top + 1, step)

    def reserve_ticks(self) -> range:
        """Return reserves in steps of 1, 2 or 5 times a power of ten."""
        step = 10 ** max(0, len(str(self._right // 4)) - 1)
        step *= next(factor for factor in (1, 2, 5, 10) if self._right / (step * factor) <= _TICKS)
        return range(0, int(self._right * 0.95) + 1, step)


_HELPERS: Final[dict[str, object]] = {
    "HEAD": _HEAD,
    "PLOT": _PLOT,
    "SHOWN": _SHOWN,
    "CALLS": CALLS,
    "GROWTH_MAX": GROWTH_MAX,
    "shapes": tuple(GrowthShape),
    "findings": findings,
    "ppc": ppc,
    "map_scale": MapScale,
    "reserve_words": reserve_words,
    "working_words": working_words,
} | {
    helper.__name__: helper
    for helper in (address_ticks, bytes_text, kernel_name, level, part_label, sentence)
}
"""What the template calls."""
