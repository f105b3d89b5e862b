"""How many pods the canary needs: to begin with, and before a step gives it more.

Pods are only ever added on the way up, and only while the step is being taken. Once it stands, whoever scales the
Deployment (an autoscaler, a person) is left alone: their number is as good as ours, and a fight over it would never
end. What a step leaves out changes nothing.

Rejected: to take pods away where a step asks for fewer than there are (it would stop pods that serve users, to make a
number right), and to scale as soon as the step before has passed, ahead of its hold (pods that may never get traffic).
"""

from canary.model.observation import Workload
from canary.model.spec import CanarySpec
from canary.model.state import RolloutState


def needed_replicas(spec: CanarySpec, state: RolloutState, stable: Workload) -> int:
    """The least number of pods with which the canary may be given what the step says; 0 where the step does not say."""
    step = spec.step_at(state.step)
    if step.replicas is not None:
        return step.replicas
    if not step.scaled_by_weight:
        return 0
    return max(1, -(-stable.replicas * max(step.weight, step.mirror) // 100))


def starting_replicas(spec: CanarySpec, state: RolloutState, stable: Workload) -> int:
    """How many pods the canary is given when it has none."""
    return needed_replicas(spec, state, stable) or spec.canary.replicas or max(stable.replicas, 1)
