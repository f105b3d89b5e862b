"""Where our two weights stand in an HTTPRoute or a GRPCRoute of the Gateway API. Pure.

A route belongs to its team, as a VirtualService does (`istio_patch`): matches, filters and backendRefs that we know
nothing about live in the same `rules`, a list that is atomic to a merge patch and to server-side apply. Other
controllers build it anew and lose filters and rules. So the weights are *found*, and the patch (`weights`) names their
leaves.

What differs from Istio:

* The versions are told apart by Service, for a backendRef knows no subsets. A ref to a Service of another namespace, or
  to anything but a Service, is none of ours.
* Every rule that names both Services is ours unless the Canary names its rules. One rule per match is how these routes
  are written, and rules have names only since v1.4; a rule that sends chosen users to one version names only that.
* Weights go from 0 to 1,000,000, and an absent one is 1: two backendRefs without weights get half each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from canary.model.observation import Problem
from canary.model.quoting import quote
from canary.model.spec import ObjectKey
from canary.model.traffic import Backend, GatewayTraffic
from canary.routing.weights import LONGEST_NAME, Pair, Weights, gather, listed, pointer

_DEFAULT_WEIGHT: Final = 1
_HIGHEST_WEIGHT: Final = 1_000_000


def locate_backends(
    document: Mapping[str, object], traffic: GatewayTraffic, key: ObjectKey, weights: Sequence[int] = ()
) -> Weights | Problem:
    """Find the weights of the two Services in every rule that is ours.

    Args:
        document: the route as the API server holds it; any JSON.
        traffic: of which kind it is, which Services, and in which rules.
        key: the route; backendRefs without a namespace mean its own, and messages name it.
        weights: the canary weights of the steps, in percent, which must be possible to write; 0 and 100 always are.

    Returns:
        The weights, or why they cannot be moved: RuleNotFound, RuleAmbiguous, BackendNotFound, BackendAmbiguous,
        ThirdBackend or MalformedRoute.
    """
    rules = _rules(document, traffic, key)
    if isinstance(rules, Problem):
        return rules
    chosen = _named(rules, traffic, key) if traffic.rules else _all_with_both(rules, traffic, key)
    if isinstance(chosen, Problem):
        return chosen
    found: list[Pair] = []
    for rule in chosen:
        pair = _pair_of(rule, traffic, key)
        if isinstance(pair, Problem):
            return pair
        obstacle = pair.find_obstacle(weights)
        if obstacle is not None:
            return Problem(reason="ThirdBackend", message=f"rule {rule} of {traffic.kind} {key} {obstacle}")
        found.append(pair)
    return gather(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ref:
    """One backendRef. `service` is empty where it is no Service of the route's namespace."""

    service: str
    port: int | None
    weight: int
    path: str

    def __str__(self) -> str:
        name = quote(self.service, LONGEST_NAME) or "(no Service of this namespace)"
        return name if self.port is None else f"{name} port {self.port}"

    def is_meant_by(self, wanted: Backend) -> bool:
        """Whether this is the backend that a Canary means by `wanted`."""
        return wanted.service == self.service and wanted.port in (None, self.port)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """One entry of `spec.rules`, as far as it is ours to read."""

    index: int
    name: str | None
    refs: tuple[_Ref, ...]

    def __str__(self) -> str:
        return quote(self.name, LONGEST_NAME) if self.name is not None else f"rules[{self.index}]"

    def meant_by(self, wanted: Backend) -> list[_Ref]:
        """The backendRefs that a Canary could mean by `wanted`."""
        return [ref for ref in self.refs if ref.is_meant_by(wanted)]


def _malformed(traffic: GatewayTraffic, key: ObjectKey, path: str, value: object, wanted: str) -> Problem:
    shown = quote(repr(value), LONGEST_NAME)
    return Problem(
        reason="MalformedRoute",
        message=f"{traffic.kind} {key}: {path} is {shown} but must be {wanted}; correct the {traffic.kind}",
    )


def _rules(document: Mapping[str, object], traffic: GatewayTraffic, key: ObjectKey) -> tuple[_Rule, ...] | Problem:
    spec = document.get("spec")
    if not isinstance(spec, Mapping):
        return _malformed(traffic, key, "spec", spec, "an object")
    entries = spec.get("rules") or []
    if not isinstance(entries, list):
        return _malformed(traffic, key, "spec.rules", entries, "a list of rules")
    rules: list[_Rule] = []
    for index, entry in enumerate(entries):
        if not isinstance(entry, Mapping):
            return _malformed(traffic, key, f"spec.rules[{index}]", entry, "an object")
        refs = _refs(entry.get("backendRefs") or [], f"spec.rules[{index}].backendRefs", traffic, key)
        if isinstance(refs, Problem):
            return refs
        name = entry.get("name")
        rules.append(_Rule(index=index, name=name if isinstance(name, str) and name else None, refs=refs))
    return tuple(rules)


def _refs(entries: object, at: str, traffic: GatewayTraffic, key: ObjectKey) -> tuple[_Ref, ...] | Problem:
    if not isinstance(entries, list):
        return _malformed(traffic, key, at, entries, "a list of backendRefs")
    refs: list[_Ref] = []
    for index, entry in enumerate(entries):
        ref = _ref(entry, f"{at}[{index}]", traffic, key)
        if isinstance(ref, Problem):
            return ref
        refs.append(ref)
    return tuple(refs)


def _ref(entry: object, at: str, traffic: GatewayTraffic, key: ObjectKey) -> _Ref | Problem:
    if not isinstance(entry, Mapping):
        return _malformed(traffic, key, at, entry, "an object")
    name, port = entry.get("name"), entry.get("port")
    if not isinstance(name, str) or not name:
        return _malformed(traffic, key, f"{at}.name", name, "the name of a Service")
    if port is not None and (not isinstance(port, int) or isinstance(port, bool)):
        return _malformed(traffic, key, f"{at}.port", port, "a number")
    weight = entry.get("weight")
    weight = _DEFAULT_WEIGHT if weight is None else weight
    if not isinstance(weight, int) or isinstance(weight, bool) or not 0 <= weight <= _HIGHEST_WEIGHT:
        return _malformed(traffic, key, f"{at}.weight", weight, f"a whole number from 0 to {_HIGHEST_WEIGHT}")
    is_service = not entry.get("group") and entry.get("kind") in (None, "", "Service")
    is_ours = is_service and entry.get("namespace") in (None, "", key.namespace)
    return _Ref(service=name if is_ours else "", port=port, weight=weight, path=pointer(f"{at}.weight"))


def _named(rules: Sequence[_Rule], traffic: GatewayTraffic, key: ObjectKey) -> tuple[_Rule, ...] | Problem:
    chosen: list[_Rule] = []
    for name in dict.fromkeys(traffic.rules):
        matches, called = [rule for rule in rules if rule.name == name], quote(name, LONGEST_NAME)
        if not matches:
            return Problem(
                reason="RuleNotFound",
                message=f"{traffic.kind} {key} has no rule named {called} (there are: {listed(rules)}); "
                "name the rule there or correct spec.traffic.gatewayAPI.rules of the Canary",
            )
        if len(matches) > 1:
            return Problem(
                reason="RuleAmbiguous",
                message=f"{traffic.kind} {key} has {len(matches)} rules named {called}; give each its own name",
            )
        chosen.append(matches[0])
    return tuple(chosen)


def _all_with_both(rules: Sequence[_Rule], traffic: GatewayTraffic, key: ObjectKey) -> tuple[_Rule, ...] | Problem:
    chosen = tuple(rule for rule in rules if all(map(rule.meant_by, (traffic.stable, traffic.canary))))
    if chosen:
        return chosen
    seen = dict.fromkeys(str(ref) for rule in rules for ref in rule.refs)
    return Problem(
        reason="BackendNotFound",
        message=f"{traffic.kind} {key} has no rule that names both {traffic.stable} and {traffic.canary} "
        f"(backendRefs found: {listed(seen)}); add the missing one with weight 0",
    )


def _pair_of(rule: _Rule, traffic: GatewayTraffic, key: ObjectKey) -> Pair | Problem:
    where, ours = f"rule {rule} of {traffic.kind} {key}", list[_Ref]()
    for wanted in (traffic.stable, traffic.canary):
        matches = rule.meant_by(wanted)
        if not matches:
            return Problem(
                reason="BackendNotFound",
                message=f"{where} does not name {wanted} (found: {listed(rule.refs)}); "
                "add it with weight 0 or correct spec.traffic.gatewayAPI of the Canary",
            )
        if len(matches) > 1 or matches[0] in ours:
            return Problem(
                reason="BackendAmbiguous",
                message=f"in {where} it is not clear which backendRef is {wanted} (found: {listed(rule.refs)}); each "
                "version must stand there exactly once: remove one, or give spec.traffic.gatewayAPI a port for both",
            )
        ours.append(matches[0])
    stable, canary = ours
    third = next((ref for ref in rule.refs if ref not in ours and ref.weight != 0), None)
    return Pair(stable=stable, canary=canary, third=third)
