"""Pictures for the verbs that draw: the options that say where to, and the one door to plotly.

A figure is a mapping in plotly's own form (`data` and `layout`), so that drawing needs no plotly and is tested without
it. Only writing needs it, and asks for it then: a controller's image carries no library for pictures. The page carries
its own script and needs no network.
"""

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import click

Figure = Mapping[str, Any]
_Command = TypeVar("_Command", bound=Callable[..., object])
_PATH: Final = click.Path(dir_okay=False, writable=True, path_type=Path)
_PNG_SIZE: Final = {"width": 1200, "height": 800}


def picture_options(command: _Command) -> _Command:
    """The options `--html` and `--png`; the verb gets `html` and `png`."""
    html = click.option("--html", type=_PATH, help="Draw a page to this file; needs plotly.")
    png = click.option("--png", type=_PATH, help="Draw a picture to this file; needs plotly, kaleido and Chrome.")
    return html(png(command))


def save(draw: Callable[[], Figure], html: Path | None, png: Path | None) -> None:
    """Draw and write what was asked for.

    Raises:
        ClickException: what is needed is not installed, or the file cannot be written.
    """
    if html is None and png is None:
        return
    plotly = _load("plotly.io", "plotly")
    if png is not None:
        _load("kaleido", "plotly kaleido")
    figure = dict(draw())
    try:
        if html is not None:
            plotly.write_html(figure, html, include_plotlyjs=True)
        if png is not None:
            plotly.write_image(figure, png, format="png", **_PNG_SIZE)
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise click.ClickException(f"the picture was not written: {reason}") from error


def _load(module: str, packages: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as missing:
        raise click.ClickException(f"there is no picture without {missing.name}: pip install {packages}") from missing
