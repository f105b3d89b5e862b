"""A Rollout of Argo (`argoproj.io/v1alpha1`, strategy canary, traffic by Istio), as a Canary of ours.

A Rollout *is* the workload: it owns two ReplicaSets and rewrites labels of a DestinationRule, or selectors of two
Services, to tell them apart. A Canary leads two Deployments that exist, so this is no change of words but of objects:
what must be there before stands at the head of the new file. Where the Rollout has a `workloadRef`, its Deployment is
the one that a team edits, and so it is the canary's here.

Refused are strategies without weights of Istio (blue/green, replica counts, other meshes): there would be nothing to
move. VirtualServices and their routes are carried over by `argo_istio`.
"""

from collections.abc import Mapping
from typing import Final

from canary.migration.argo_analyses import Templates, read_analysis
from canary.migration.argo_istio import CANARY, ISTIO, carry_virtual_services, describe_virtual_services
from canary.migration.argo_metrics import carry_analyses
from canary.migration.argo_steps import carry_steps
from canary.migration.draft import Draft, quoted
from canary.migration.release_fields import carry_labels, carry_progress_deadline
from canary.migration.source import Path, Source
from canary.migration.spans import LONGEST

_AT_REST: Final = (None, "Healthy", "Degraded")


def convert_rollout(source: Source, templates: Templates) -> Draft:
    """Write our Canary.

    Args:
        source: Argo's.
        templates: the AnalysisTemplates that were given, by namespace and name; of those of the cluster the
            namespace is empty.

    Raises:
        InvalidDocument: it cannot be converted, or not without what is not given.
    """
    _refuse_other_strategies(source)
    draft = Draft(source.needed("metadata", "name"), source.text("metadata", "namespace"))
    carry_labels(source, draft)
    _carry_workloads(source, draft)
    carry_virtual_services(source, draft)
    _carry_destinations(source, draft)
    if source.flag("spec", "paused"):
        draft.spec["paused"] = True
    source.exactly(("spec", "paused"), "spec.paused")
    aborts = source.flag("spec", "progressDeadlineAbort")
    carry_progress_deadline(
        source, draft, "" if aborts else "the release is rolled back after it, where Argo without abort only says so"
    )
    why = "a release whose pods are not ready in time is always rolled back"
    source.differently(("spec", "progressDeadlineAbort"), "", why)
    _carry_delay(source, draft)
    background = (*CANARY, "analysis")
    analyses = [read_analysis(source, background, templates)] if source.at(*background) is not None else []
    analyses += carry_steps(source, (*CANARY, "steps"), draft, lambda path: read_analysis(source, path, templates))
    carry_analyses(source, background, analyses, draft)
    if source.at("status", "phase") not in _AT_REST:
        draft.decide(f"A release is under way (phase {quoted(source.at('status', 'phase'))}): move when it has ended.")
    return draft


def _refuse_other_strategies(source: Source) -> None:
    if source.at("spec", "strategy", "blueGreen") is not None:
        raise source.refuse(
            ("spec", "strategy", "blueGreen"), "does not exist here", "write a canary strategy, or leave it with Argo"
        )
    for path, what in ((CANARY, "a canary strategy"), (ISTIO, "weights of Istio")):
        if not isinstance(source.at(*path), Mapping):
            message = f"is missing, and only a Rollout with {what} can become a Canary"
            raise source.refuse(path, message, "add it, or leave this Rollout with Argo")


def _carry_workloads(source: Source, draft: Draft) -> None:
    """Two Deployments that must be made, or one beside that of the workloadRef."""
    name, reference = source.needed("metadata", "name"), ("spec", "workloadRef")
    if source.at(*reference) is None:
        stable, canary = f"{name}-stable", f"{name}-canary"
        made = (
            f"Make Deployments {quoted(stable)} (all pods) and {quoted(canary)} (replicas: 0) of the Rollout's template"
        )
    else:
        kind = source.needed(*reference, "kind")
        if kind != "Deployment":
            remedy = "leave this Rollout with Argo"
            raise source.refuse((*reference, "kind"), "is no Deployment, and nothing else can be led", remedy)
        canary = source.needed(*reference, "name")
        stable = f"{canary}-stable"
        source.exactly((*reference, "name"), "spec.canary.deployment")
        source.exactly((*reference, "kind"), "spec.canary.deployment")
        source.exactly((*reference, "apiVersion"), "spec.canary.deployment")
        made = f"Make Deployment {quoted(stable)} (all pods) a copy of {quoted(canary)}, which starts with replicas: 0"
    draft.spec["stable"], draft.spec["canary"] = {"deployment": stable}, {"deployment": canary}
    draft.decide(f"{made}, with pod labels that differ, such as version: stable and version: canary.")
    draft.decide(
        "Give the stable Deployment all of the traffic, when it is ready, before the Rollout is deleted: its pods"
        " go with it."
    )


def _carry_destinations(source: Source, draft: Draft) -> None:
    """Subsets of a DestinationRule, or the hosts of two Services."""
    istio, rule = draft.spec["traffic"]["istio"], (*ISTIO, "destinationRule")
    services: dict[str, Path] = {"stable": (*CANARY, "stableService"), "canary": (*CANARY, "canaryService")}
    if source.at(*rule) is not None:
        istio["destinationRule"] = source.needed(*rule, "name")
        source.exactly((*rule, "name"), "spec.traffic.istio.destinationRule")
        for arm, service in services.items():
            istio[arm] = {"subset": source.needed(*rule, f"{arm}SubsetName")}
            source.exactly((*rule, f"{arm}SubsetName"), f"spec.traffic.istio.{arm}.subset")
            source.leaves_out(service, "the subsets tell the versions apart, and no Service is changed")
        draft.decide(
            f"Give the two subsets of DestinationRule {quoted(istio['destinationRule'])} the labels of the two"
            " Deployments' pods, and take rollouts-pod-template-hash out: nobody writes it any more."
        )
        return
    for arm, path in services.items():
        if source.text(*path) is None:
            message = "is missing, and nothing else tells the versions apart"
            raise source.refuse(path, message, "add it, or a destinationRule with two subsets")
        istio[arm] = {"host": source.needed(*path)}
        source.exactly(path, f"spec.traffic.istio.{arm}.host")
    names = " and ".join(quoted(istio[arm]["host"]) for arm in services)
    draft.decide(
        f"Let the Services {names} select the pods of one Deployment each, and take rollouts-pod-template-hash out of"
        f" their selectors: nobody writes it any more. {describe_virtual_services(istio)} must name both as hosts."
    )


def _carry_delay(source: Source, draft: Draft) -> None:
    """How long the canary keeps its pods once its traffic is gone."""
    path = (*CANARY, "abortScaleDownDelaySeconds")
    seconds = source.whole(*path)
    if seconds is None:
        return
    if not 0 < seconds <= LONGEST.total_seconds():
        source.leaves_out(
            path, "the canary's pods always go, 30s after its traffic unless scaleDownDelay says otherwise"
        )
        return
    draft.spec["canary"]["scaleDownDelay"] = f"{seconds}s"
    source.differently(path, "spec.canary.scaleDownDelay", "holds after a promotion, too, when the canary is done")
