"""Which AnalysisTemplates an analysis of a Rollout names, with the values of their arguments, and how long it lasts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from canary.migration.draft import quoted
from canary.migration.source import Path, Source
from canary.migration.spans import LONGEST, read_span

Templates = Mapping[tuple[str, str], Source]
"""By namespace and name; the namespace of a ClusterAnalysisTemplate is empty."""
MOST_NESTED: Final = 20
"""Templates that one analysis may lead to, the templates of its templates among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """One analysis, with what it needs.

    Attributes:
        path: where it stands in the Rollout.
        templates: all that it leads to.
        arguments: the values that it gives.
        dry: names of metrics that only report.
    """

    path: Path
    templates: tuple[Source, ...]
    arguments: Mapping[str, str]
    dry: frozenset[str]

    def arguments_of(self, template: Source) -> dict[str, str]:
        """The values by name: the template's own, where the analysis gives no other."""
        return _arguments(template, ("spec", "args")) | dict(self.arguments)

    def leaves_out(self, template: Source, name: str) -> bool:
        """Whether a metric only reports."""
        return bool({name, ".*"} & (self.dry | _dry(template, ("spec", "dryRun"))))

    @property
    def length(self) -> timedelta:
        """How long a run of it lasts, as far as it has an end."""
        lengths = [_length(template, metric) for template in self.templates for metric in template.items(*_METRICS)]
        return max(lengths, default=timedelta(0))


_METRICS: Final[Path] = ("spec", "metrics")


def read_analysis(source: Source, path: Path, templates: Templates) -> Analysis:
    """Read an analysis.

    Raises:
        InvalidDocument: it names a template that was not given, or too many.
    """
    home = source.text("metadata", "namespace") or "default"
    found: dict[tuple[str, str], Source] = {}
    waiting = list(_named(source, path, home))
    while waiting:
        reader, where, key = waiting.pop(0)
        if key in found:
            continue
        template = templates.get(key)
        if template is None or len(found) >= MOST_NESTED:
            kind = "AnalysisTemplate" if key[0] else "ClusterAnalysisTemplate"
            message = f"names {kind} {quoted('/'.join(filter(None, key)))}, which is not given"
            remedy = f"give the file that holds it, too: `kubectl get {kind.lower()}s -o yaml`"
            if template is not None:
                message, remedy = f"leads to more than {MOST_NESTED} templates", "name fewer"
            raise reader.refuse(where, message, remedy)
        found[key] = template
        waiting += _named(template, ("spec",), key[0])
    return Analysis(
        path=path,
        templates=tuple(found.values()),
        arguments=_arguments(source, (*path, "args")),
        dry=_dry(source, (*path, "dryRun")),
    )


def _named(source: Source, path: Path, home: str) -> Iterator[tuple[Source, Path, tuple[str, str]]]:
    for item in source.items(*path, "templates"):
        where = (*item, "templateName")
        namespace = "" if source.flag(*item, "clusterScope") else home
        yield source, where, (namespace, source.needed(*where))


def _arguments(source: Source, path: Path) -> dict[str, str]:
    """Those with a value of their own; a hash of a ReplicaSet or a secret has none that could be known here."""
    pairs = ((source.text(*item, "name"), source.at(*item, "value")) for item in source.items(*path))
    return {name: value for name, value in pairs if name is not None and isinstance(value, str)}


def _dry(source: Source, path: Path) -> frozenset[str]:
    return frozenset(source.needed(*item, "metricName") for item in source.items(*path))


def _length(template: Source, metric: Path) -> timedelta:
    """Of one metric: its delay, and what lies between its measurements; one without an end has none."""
    delay = read_span(template.at(*metric, "initialDelay")) or timedelta(0)
    interval = read_span(template.at(*metric, "interval"))
    count = template.at(*metric, "count")
    if isinstance(count, str) and count.isascii() and count.isdigit():
        count = int(count[:9])
    if interval is None or not isinstance(count, int) or not 1 < count < 100_000:
        return delay
    return min(delay + (count - 1) * interval, LONGEST)
