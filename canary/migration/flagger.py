"""A Canary of Flagger (`flagger.app/v1beta1`, provider Istio), as a Canary of ours.

What is kept is the world that Flagger made: the Deployment that a team edits is our canary's, its copy `NAME-primary`
is our stable one, and the two are told apart by the hosts `-primary` and `-canary` of the VirtualService. So nothing
needs to be built before the move, as long as Flagger's objects are orphaned rather than deleted with their owner; the
head of the new file says so. Two Deployments and subsets of our own invention were rejected: they would have to be
built, and traffic moved over, by hand.

Refused is blue/green without a mirror: nothing would reach the canary that could be judged (`flagger_exposure`).
Weighted steps in its place would be what nobody asked for.
"""

from collections.abc import Mapping
from typing import Final

from canary.migration.draft import Draft, quoted
from canary.migration.flagger_hooks import carry_hooks
from canary.migration.flagger_metrics import carry_metrics
from canary.migration.flagger_steps import carry_steps
from canary.migration.release_fields import carry_labels, carry_progress_deadline
from canary.migration.source import Path, Source

ISTIO: Final = "istio"
LINKERD: Final = "linkerd"
_AT_REST: Final = (None, "Initialized", "Succeeded", "Failed")


def convert_canary(source: Source, templates: Mapping[tuple[str, str], Source]) -> Draft:
    """Write our Canary.

    Args:
        source: Flagger's.
        templates: the MetricTemplates that were given, by namespace and name.

    Raises:
        InvalidDocument: it cannot be converted, or not without what is not given.
    """
    _refuse_other_meshes(source)
    analysis = _analysis_of(source)
    draft = Draft(source.needed("metadata", "name"), source.text("metadata", "namespace"))
    carry_labels(source, draft)
    _carry_workloads(source, draft)
    if source.flag("spec", "suspend"):
        draft.spec["paused"] = True
    why = "a release is held where it stands; evidence of harm and an abort are acted upon all the same"
    source.differently(("spec", "suspend"), "spec.paused", why)
    why = "every release is judged: who must ship at once changes the stable Deployment, too"
    if source.flag("spec", "skipAnalysis"):
        draft.decide("skipAnalysis was set, and every release is judged here: it will take as long as its evidence.")
    source.leaves_out(("spec", "skipAnalysis"), why)
    carry_progress_deadline(source, draft)
    carry_steps(source, analysis, draft)
    carry_hooks(source, analysis, draft)
    carry_metrics(source, analysis, draft, templates)
    if source.at("status", "phase") not in _AT_REST:
        draft.decide(f"A release is under way (phase {quoted(source.at('status', 'phase'))}): move when it has ended.")
    return draft


def _refuse_other_meshes(source: Source) -> None:
    provider = source.text("spec", "provider")
    if provider == LINKERD:
        message = "is Linkerd's, where Flagger moves a TrafficSplit, which is not moved here"
        remedy = "split the traffic by an HTTPRoute instead, and write a Canary such as config/canaries/linkerd.yaml"
        raise source.refuse(("spec", "provider"), message, remedy)
    if provider not in (None, ISTIO):
        remedy = "only Istio's weights can be moved; leave this Canary with Flagger"
        raise source.refuse(("spec", "provider"), "is not Istio", remedy)
    source.exactly(("spec", "provider"), "spec.traffic.istio")


def _analysis_of(source: Source) -> Path:
    """Where the analysis stands: Flagger has an old name for it, too."""
    found: Path = ("spec", "analysis") if source.at("spec", "analysis") is not None else ("spec", "canaryAnalysis")
    if not isinstance(source.at(*found), Mapping):
        raise source.refuse(("spec", "analysis"), "is missing or no mapping", "add it: Flagger requires it, too")
    if found[-1] == "analysis" and source.at("spec", "canaryAnalysis") is not None:
        source.leaves_out(("spec", "canaryAnalysis"), "stands beside spec.analysis, and Flagger does not read it")
    return found


def _carry_workloads(source: Source, draft: Draft) -> None:
    """The target, its copy, and the VirtualService that Flagger made."""
    kind = source.needed("spec", "targetRef", "kind")
    if kind != "Deployment":
        message = "is no Deployment, and releases of nothing else can be led"
        raise source.refuse(("spec", "targetRef", "kind"), message, "leave this Canary with Flagger")
    source.exactly(("spec", "targetRef", "kind"), "spec.canary.deployment")
    source.exactly(("spec", "targetRef", "apiVersion"), "spec.canary.deployment")
    namespace = source.text("spec", "targetRef", "namespace")
    if namespace not in (None, source.text("metadata", "namespace") or "default"):
        remedy = "move it there: a Canary and its Deployments share a namespace"
        raise source.refuse(("spec", "targetRef", "namespace"), "is another namespace", remedy)
    source.exactly(("spec", "targetRef", "namespace"), "metadata.namespace")
    target = source.needed("spec", "targetRef", "name")
    service = source.text("spec", "service", "name") or target
    draft.spec["stable"] = {"deployment": f"{target}-primary"}
    draft.spec["canary"] = {"deployment": target}
    source.exactly(("spec", "targetRef", "name"), "spec.canary.deployment")
    draft.spec["traffic"] = {
        "istio": {
            "virtualService": service,
            "stable": {"host": f"{service}-primary"},
            "canary": {"host": f"{service}-canary"},
        }
    }
    why = "names the VirtualService and its two hosts, which Flagger made and which are yours from now on"
    source.differently(("spec", "service", "name"), "spec.traffic.istio.virtualService", why)
    draft.decide(
        f"Deployment {quoted(target)}-primary, the Services, the VirtualService {quoted(service)} and the"
        " DestinationRules belong to Flagger's Canary and would be deleted with it. Stop Flagger, then"
        f" `kubectl delete canaries.flagger.app {draft.name} --cascade=orphan`, then apply this."
    )
    draft.decide(
        f"Deployment {quoted(target)}-primary has Flagger's copies of ConfigMaps and Secrets (-primary). Keep them"
        " until the first release is promoted: from then on stable uses the same ones as the canary."
    )
