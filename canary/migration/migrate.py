"""All documents of all files at once: what is a release becomes a Canary, what it uses is told with it.

Everything is converted before anything is answered, and a document that cannot be converted stops all of them with
every such document named: half of a team's releases moved, and the other half refused, is a state that nobody can
undo by reading a message. Every new Canary has been read by the reader that the controller uses.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from canary.migration.account import Converted
from canary.migration.argo import convert_rollout
from canary.migration.argo_fields import ANALYSIS_TEMPLATE, ROLLOUT
from canary.migration.draft import Draft, quoted
from canary.migration.flagger import convert_canary
from canary.migration.flagger_fields import ALERT_PROVIDER, CANARY, METRIC_TEMPLATE
from canary.migration.source import Path, Rule, Source
from canary.model.errors import Fault, InvalidDocument
from canary.model.resource import parse_canary

FLAGGER: Final = "flagger.app"
ARGO: Final = "argoproj.io"

Templates = Mapping[tuple[str, str], Source]
_Convert = Callable[[Source, Templates], Draft]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """A kind of foreign documents; `convert` is None of those that are only used by others."""

    tool: str
    table: Mapping[Path, Rule]
    convert: _Convert | None = None
    in_namespace: bool = True


KINDS: Final[Mapping[tuple[str, str], _Kind]] = {
    (FLAGGER, "Canary"): _Kind(tool="Flagger's", table=CANARY, convert=convert_canary),
    (FLAGGER, "MetricTemplate"): _Kind(tool="Flagger's", table=METRIC_TEMPLATE),
    (FLAGGER, "AlertProvider"): _Kind(tool="Flagger's", table=ALERT_PROVIDER),
    (ARGO, "Rollout"): _Kind(tool="Argo's", table=ROLLOUT, convert=convert_rollout),
    (ARGO, "AnalysisTemplate"): _Kind(tool="Argo's", table=ANALYSIS_TEMPLATE),
    (ARGO, "ClusterAnalysisTemplate"): _Kind(tool="Argo's", table=ANALYSIS_TEMPLATE, in_namespace=False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """The whole answer.

    Attributes:
        converted: every document of Flagger and Argo, in the order of the files.
        passed_over: what else was in them, by kind and name.
    """

    converted: tuple[Converted, ...]
    passed_over: tuple[str, ...]


def migrate(documents: Iterable[tuple[str, Mapping[str, object]]]) -> Migration:
    """Convert documents.

    Args:
        documents: each with the file that it stands in.

    Raises:
        InvalidDocument: some of them cannot be converted, or there is nothing to convert.
    """
    sources: list[tuple[_Kind, Source]] = []
    passed_over = []
    for file, document in documents:
        kind = KINDS.get((_group_of(document), str(document.get("kind"))))
        if kind is None:
            passed_over.append(_name_of(document))
        else:
            sources.append((kind, Source(document, file, kind.tool, kind.table)))
    if not any(kind.convert for kind, _ in sources):
        remedy = "name files with `kind: Canary` of flagger.app or `kind: Rollout` of argoproj.io"
        fault = Fault(
            path="(all files)", value="", message="hold no release of Flagger or Argo Rollouts", remedy=remedy
        )
        raise InvalidDocument("What is to be migrated", [fault])
    drafts = _convert_all(sources)
    return Migration(
        converted=tuple(_answer(source, drafts.get(source)) for _, source in sources), passed_over=tuple(passed_over)
    )


def _convert_all(sources: Iterable[tuple[_Kind, Source]]) -> dict[Source, Draft]:
    """The new Canaries, by what they were."""
    known = list(sources)
    templates: dict[str, dict[tuple[str, str], Source]] = {}
    for kind, source in known:
        if kind.convert is None:
            namespace = (source.text("metadata", "namespace") or "default") if kind.in_namespace else ""
            templates.setdefault(kind.tool, {})[namespace, source.needed("metadata", "name")] = source
    drafts: dict[Source, Draft] = {}
    refusals: list[InvalidDocument] = []
    for kind, source in known:
        if kind.convert is None:
            continue
        try:
            drafts[source] = kind.convert(source, templates.get(kind.tool, {}))
            _prove(source, drafts[source])
        except InvalidDocument as refusal:
            refusals.append(refusal)
    if len(refusals) > 1:
        raise InvalidDocument(f"{len(refusals)} documents", [each for refusal in refusals for each in _named(refusal)])
    if refusals:
        raise refusals[0]
    return drafts


def _named(refusal: InvalidDocument) -> list[Fault]:
    """Its faults with the name of the document in the path."""
    return [replace(fault, path=f"{refusal.subject}: {fault.path}") for fault in refusal.faults]


def _prove(source: Source, draft: Draft) -> None:
    """Read the new Canary as the controller will."""
    draft.complete()
    try:
        parse_canary(draft.document())
    except InvalidDocument as refusal:
        faults = [replace(fault, message=f"would be written and {fault.message}") for fault in refusal.faults]
        raise InvalidDocument(f"{source.file}: {source.subject}", faults) from None


def _answer(source: Source, draft: Draft | None) -> Converted:
    if draft is None:
        if not source.is_used:
            source.leaves_out(("spec",), "nothing among these files uses it")
        return Converted(file=source.file, subject=source.subject, entries=source.entries())
    return Converted(
        file=source.file,
        subject=source.subject,
        entries=source.entries(),
        canary=draft.document(),
        decisions=tuple(draft.decisions),
    )


def _group_of(document: Mapping[str, object]) -> str:
    version = document.get("apiVersion")
    return version.partition("/")[0] if isinstance(version, str) else ""


def _name_of(document: Mapping[str, object]) -> str:
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    return f"{quoted(document.get('kind') or 'document')} {quoted(name or '(no name)')}"
