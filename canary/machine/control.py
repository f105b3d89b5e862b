"""The control of the comparison: stable itself, or a baseline that is kept as young and as large as the canary.

A canary is young: cold caches, untrained branch predictors and compilers, connections to be made. Pods of stable that
have run for weeks are no fair control of it for its first minutes, and no statistic can tell youth from a regression.
The baseline can: the same youth, the version of stable. Its pods answer under stable's subset or Service, so the mesh
gives each of them what it gives a pod of stable, and the weights stay two.

What it must be follows from the phase alone, never from what was done to it before: a copy while the canary waits for
its pods and climbs, nothing once its traffic is gone. Youth needs no clock either: the copy carries the revision for
whose release it was made, and another release is another template, so Kubernetes itself replaces every older pod.

- It is copied before it is given pods, and until then the canary gets none either: both are started at once.
- Not fit means hold. A baseline that is missing, different, too small or not ready lets nothing pass and moves nothing;
  it never speaks against the canary, for it is not the canary's doing.
- It goes before stable's traffic returns to stable with the promoted version: its pods run the old one, and would serve
  it under the name of stable.

Rejected: a third destination with a weight of its own (two more numbers of the team's VirtualService to move, and a
share that has to be argued for); scaling stable up by the canary's pods instead (nobody can tell which of its pods are
young); remembering in the state since when the pods run (a crash between the memory and the act makes it untrue).
"""

from canary.machine.scaling import starting_replicas
from canary.machine.world import World
from canary.model.action import Action, CopyStable, ScaleBaseline
from canary.model.observation import Observation, Problem, RouteWeights, Workload
from canary.model.spec import FULL_WEIGHT, CanarySpec
from canary.model.state import Phase, RolloutState

_COMPARING = (Phase.PENDING, Phase.PROGRESSING, Phase.PAUSED)


def find_fault(spec: CanarySpec, state: RolloutState, seen: Observation) -> str | None:
    """Why the canary cannot be compared now, and what to do; None when nothing is amiss, or stable is the control."""
    key, baseline, stable, canary = spec.baseline_key, seen.baseline, seen.stable, seen.canary
    if key is None or baseline is None or state.revision is None or state.phase not in _COMPARING:
        return None
    if isinstance(baseline, Problem):
        return f"there is no baseline to compare with, holding: {baseline.message}"
    size = None if isinstance(stable, Problem) else _size(spec, state, stable, canary)
    if isinstance(stable, Problem) or size is None:
        return None  # these hold everything by themselves, and tell it
    if not _is_copy(state, stable, baseline):
        return (
            f"making the baseline {key} a copy of stable, holding: if this stays, something else changes the pod "
            "template of that Deployment back (GitOps?); let it leave containers, volumes and annotations alone"
        )
    if baseline.replicas != size:
        return (
            f"bringing the baseline {key} to the canary's size ({size}), holding: if this stays, something else scales "
            "that Deployment (an autoscaler?); let it be"
        )
    if not baseline.rolled_out:
        return (
            f"{baseline.available} of {baseline.replicas} pods of the baseline {key} are ready, and no others may be "
            f"left, holding: see kubectl describe deployment {key.name} -n {key.namespace}"
        )
    return None


def _size(spec: CanarySpec, state: RolloutState, stable: Workload, canary: Workload | Problem) -> int | None:
    """As many pods as the canary has, or will be given; None when that is not known."""
    if isinstance(canary, Problem):
        return starting_replicas(spec, state, stable) if canary.absent else None
    return canary.replicas or starting_replicas(spec, state, stable)


def _is_copy(state: RolloutState, stable: Workload, baseline: Workload) -> bool:
    """Whether it runs what stable runs, in pods made for this release."""
    return (baseline.revision, baseline.release) == (stable.revision, state.revision)


def fit_pods(spec: CanarySpec, state: RolloutState, seen: Observation) -> int:
    """The baseline's ready pods; none while it is not fit, so that all of it must warm up once it is."""
    baseline = seen.baseline
    is_fit = isinstance(baseline, Workload) and find_fault(spec, state, seen) is None
    return baseline.available if is_fit and isinstance(baseline, Workload) else 0


def is_copied(state: RolloutState, world: World) -> bool:
    """Whether the canary may be given pods, as far as the baseline is concerned: there is none, or it is a copy."""
    if world.baseline is None:
        return True
    return isinstance(world.baseline, Workload) and _is_copy(state, world.stable, world.baseline)


def prepare_baseline(spec: CanarySpec, state: RolloutState, world: World) -> tuple[Action, ...]:
    """What makes the baseline a copy of stable with as many pods as the canary has; one thing at a time."""
    if not isinstance(world.baseline, Workload) or state.revision is None:
        return ()
    if not is_copied(state, world):
        return (CopyStable(world.stable.revision, state.revision),)
    replicas = world.canary.replicas or starting_replicas(spec, state, world.stable)
    return () if world.baseline.replicas == replicas else (ScaleBaseline(replicas),)


def retire_baseline(spec: CanarySpec, state: RolloutState, world: World) -> tuple[Action, ...]:
    """What takes its pods away, once one of the two sides has had all of the traffic for the canary's delay."""
    if is_baseline_retired(world) or state.settled_at is None:
        return ()
    has_settled = world.seen.now - state.settled_at >= spec.canary.scale_down_delay
    is_one_sided = world.split.stands_at(0) or world.split.stands_at(FULL_WEIGHT)
    return (ScaleBaseline(0),) if has_settled and is_one_sided else ()


def is_baseline_retired(world: World) -> bool:
    """Whether nothing is left to be done about its pods: none are asked for, or the Deployment cannot be used."""
    return not isinstance(world.baseline, Workload) or world.baseline.replicas == 0


def is_baseline_gone(world: World) -> bool:
    """Whether certainly no pod of it answers under stable's name."""
    baseline = world.baseline
    if isinstance(baseline, Problem):
        return baseline.absent
    return baseline is None or (baseline.replicas, baseline.available) == (0, 0)


def awaits_leaving(world: World) -> bool:
    """Whether stable, which runs the promoted version, is kept from its traffic for the baseline's sake.

    Only where the canary has all of it: once it has begun to return, a baseline that comes back turns nothing round. Of
    several routes one is enough, for in the others somebody else may have taken it away.
    """
    return RouteWeights(0, FULL_WEIGHT) in world.split.routes and not is_baseline_gone(world)


def describe_leaving(world: World) -> str:
    """Why stable, which runs the promoted version, does not get its traffic back yet."""
    if isinstance(world.baseline, Problem):
        return f"the traffic stays on the canary, for a baseline may run the old version: {world.baseline.message}"
    return "stable runs the promoted revision: retiring the baseline's pods, which run the old one, before its traffic"
