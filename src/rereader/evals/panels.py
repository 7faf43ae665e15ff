"""Pictures of measurements: panels of lines or points, on white and for dark pages; each file says what it shows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rereader.schema.errors import MissingExtra, StoreError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

_STYLE = "panels/2"
"""Goes up whenever the same panels would look different, so that pictures are drawn anew."""
_KEY = "Rereader-Rows"
_MARKERS = "osD^v<>Ph*Xd"
_LIGHT = {"paper": "#ffffff", "ink": "#1f2328", "faint": "#d0d7de"}
_DARK = {"paper": "#0d1117", "ink": "#e6edf3", "faint": "#30363d"}
# Okabe and Ito's colours, told apart by colour-blind eyes, with black and yellow changed for the ground they lie on.
_ON_WHITE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9", "#5b3a8c", "#555555", "#b03060")
_ON_DARK = ("#58a6ff", "#ff8c42", "#3fd69b", "#f0a3d1", "#f2cc60", "#9ad8ff", "#b392f0", "#b0b8c0", "#ff7b9c")
_STEPS = (1, 2, 5)
"""Where a logarithmic axis has ticks between powers of ten."""
_TOP = 1.02
"""End of an axis of shares: a mark at 1 is drawn whole."""
_WIDE = 200
"""From this ratio of its ends on an axis has ticks at powers of ten only."""


@dataclass(frozen=True)
class Series:
    """A line, or points, of a panel.

    Args:
        name: Its name in the legend.
        points: ``(x, y)``.
        bars: The interval of each ``y`` as ``(low, high)``; none if empty.
    """

    name: str
    points: tuple[tuple[float, float], ...]
    bars: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Panel:
    """Axes with series.

    Args:
        title: What stands above.
        x: Name of the x axis.
        y: Name of the y axis.
        series: What is drawn; the same name has the same colour in all panels.
        log_x: Whether x is drawn as a logarithm.
        log_y: Whether y is.
        joined: Whether a series' points are joined by a line.
        front: ``(x, y)`` of the points that no other one beats, joined by a step.
        share: Whether y is a share, whose axis ends at 1.
    """

    title: str
    x: str
    y: str
    series: tuple[Series, ...]
    log_x: bool = False
    log_y: bool = False
    joined: bool = True
    front: tuple[tuple[float, float], ...] = ()
    share: bool = False


def fingerprint(panels: Sequence[Panel], title: str = "") -> str:
    """A short hash of everything that a picture shows."""
    shown = json.dumps([_STYLE, title, [asdict(panel) for panel in panels]], sort_keys=True)
    return hashlib.sha256(shown.encode()).hexdigest()[:16]


def drawn_from(path: Path) -> str | None:
    """The fingerprint that a picture of :func:`draw` carries; ``None`` if there is no such picture.

    Raises:
        MissingExtra: Without Pillow, which comes with matplotlib.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtra("Looking at a picture", "bench") from error
    if not path.is_file():
        return None
    try:
        with Image.open(path) as picture:
            found = picture.info.get(_KEY)
    except OSError:
        return None
    return found if isinstance(found, str) else None


def draw(panels: Sequence[Panel], path: Path, *, title: str = "", dark: bool = False) -> None:
    """Draw panels side by side into a PNG file.

    Raises:
        MissingExtra: Without matplotlib.
        StoreError: If the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("Drawing a picture", "bench") from error
    look = _DARK if dark else _LIGHT
    figure = Figure(figsize=(4.2 * len(panels) + 1.8, 4.0), layout="constrained", facecolor=look["paper"])
    names = list(dict.fromkeys(one.name for panel in panels for one in panel.series))
    colours = dict(zip(names, cycle(_ON_DARK if dark else _ON_WHITE), strict=False))
    marks = dict(zip(names, cycle(_MARKERS), strict=False))
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for one in panel.series:
            _draw_series(axes, panel, one, colours[one.name], marks[one.name])
        _finish(axes, panel, look)
    _legend(figure, names, look)
    if title:
        figure.suptitle(title, color=look["ink"], fontsize=12)
    try:
        # Without the version of the program a picture of the same rows stays the same file.
        figure.savefig(path, dpi=120, metadata={_KEY: fingerprint(panels, title), "Software": None})
    except OSError as error:
        raise StoreError(f"Cannot write {path}: {error.strerror}.", "Check its folder.") from error


def _draw_series(axes: Axes, panel: Panel, one: Series, colour: str, mark: str) -> None:
    xs, ys = [x for x, _ in one.points], [y for _, y in one.points]
    style: dict[str, Any] = {"color": colour, "marker": mark, "markersize": 6, "label": one.name}
    line = "-" if panel.joined else "none"
    if one.bars:
        below = [max(0.0, y - low) for y, (low, _) in zip(ys, one.bars, strict=True)]
        above = [max(0.0, high - y) for y, (_, high) in zip(ys, one.bars, strict=True)]
        axes.errorbar(xs, ys, yerr=[below, above], linestyle=line, linewidth=1.4, elinewidth=1, capsize=2, **style)
    else:
        axes.plot(xs, ys, linestyle=line, linewidth=1.4, **style)


def _finish(axes: Axes, panel: Panel, look: dict[str, str]) -> None:
    """The front, the scales and names of the axes, and the colours of all of it; linear axes begin at nothing."""
    if panel.front:
        xs, ys = zip(*panel.front, strict=True)
        axes.step(xs, ys, where="post", color=look["ink"], alpha=0.5, linewidth=1, linestyle="--", zorder=0)
    axes.set_xscale("log" if panel.log_x else "linear")
    axes.set_yscale("log" if panel.log_y else "linear")
    for axis, logarithmic, bound in (
        (axes.xaxis, panel.log_x, axes.set_xlim),
        (axes.yaxis, panel.log_y, axes.set_ylim),
    ):
        low, _ = axis.get_view_interval()
        if logarithmic:
            _plain_ticks(axis)
        else:
            bound(min(low, 0.0))
    if panel.share:
        axes.set_ylim(0.0, _TOP)
    axes.set_title(panel.title, color=look["ink"], fontsize=11)
    axes.set_xlabel(panel.x, color=look["ink"])
    axes.set_ylabel(panel.y, color=look["ink"])
    axes.set_facecolor(look["paper"])
    axes.tick_params(which="both", colors=look["ink"])
    axes.grid(color=look["faint"], linewidth=0.7)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_color(look["faint"])


def _plain_ticks(axis: Axis) -> None:
    """Plain numbers at few places of a logarithmic axis."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=_STEPS if high < _WIDE * low else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    axis.set_minor_formatter(NullFormatter())


def short(value: float) -> str:
    """A number for an axis: 0.5, 20, 4k, 1M."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _legend(figure: Figure, names: Sequence[str], look: dict[str, str]) -> None:
    handles: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(name, handle)
    shown = figure.legend(
        [handles[name] for name in names], names, loc="outside right upper", fontsize=9, frameon=False
    )
    for text in shown.get_texts():
        text.set_color(look["ink"])
