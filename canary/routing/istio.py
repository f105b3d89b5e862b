"""Istio's VirtualService as `ObjectRouter`: read where the weights stand, write them fenced by what was read.

The version of the API group is asked for once; it is forgotten when an object is not found, so that a cluster
whose Istio is upgraded under the controller is understood without a restart.
"""

from collections.abc import Mapping, Sequence

from canary.kube.client import KubeClient
from canary.kube.copies import Reader
from canary.kube.resources import (
    ISTIO_GROUP,
    ISTIO_VERSIONS,
    Resource,
    destination_rules,
    virtual_services,
)
from canary.model.exposure import Exposure
from canary.model.observation import Problem
from canary.model.spec import ObjectKey
from canary.model.traffic import IstioTraffic
from canary.ports import Routing
from canary.routing.istio_exposure import exposure_patch, find_obstacle, read_exposures
from canary.routing.istio_patch import locate_weights
from canary.routing.weighted_object import routing_of, write_weights
from canary.routing.weights import listed


class IstioRouter:
    """The weights in Istio's VirtualServices. Safe to share between threads.

    Args:
        client: the API server.
        reader: is asked instead for objects; it may leave out who wrote them.
    """

    def __init__(self, client: KubeClient, reader: Reader | None = None) -> None:
        self._client = client
        self._reader = reader or client
        self._version: str | None = None

    def read(self, key: ObjectKey, traffic: IstioTraffic, weights: Sequence[int]) -> Routing | Problem:
        """Read the weights; see `ports.ObjectRouter`.

        Raises:
            Transient: no answer within the deadline.
            Refused: not allowed.
        """
        version = self._served_version()
        if version is None:
            return Problem(
                reason="IstioNotServed",
                message=f"the API server at {self._client.server} serves none of {ISTIO_GROUP}/"
                f"{' or '.join(ISTIO_VERSIONS)}; install Istio or its CustomResourceDefinitions",
            )
        document = self._reader.get(virtual_services(version), key)
        if document is None:
            self._version = None
            return Problem(
                reason="VirtualServiceNotFound",
                message=f"VirtualService {key} does not exist; create it, "
                "or correct its name in spec.traffic.istio of the Canary",
                absent=True,
            )
        found = locate_weights(document, traffic, key, weights)
        if isinstance(found, Problem):
            return found
        problem = find_obstacle(document, found, traffic, key) if weights else None
        problem = problem or self._check_subsets(destination_rules(version), key, traffic)
        if problem is not None:
            return problem
        return routing_of(document, traffic, read_exposures(document, found, traffic))

    def write(self, routing: Routing, asked: Exposure) -> None:
        """Let what is asked reach the canary; see `weighted_object.write_weights`."""
        resource = virtual_services(self._served_version() or ISTIO_VERSIONS[0])
        write_weights(self._client, resource, routing, asked.weight, exposure_patch(routing, asked))

    def _served_version(self) -> str | None:
        version = self._version
        if version is None:
            served = self._client.served_versions(ISTIO_GROUP)
            version = next((known for known in ISTIO_VERSIONS if known in served), None)
            self._version = version
        return version

    def _check_subsets(self, rules: Resource, key: ObjectKey, traffic: IstioTraffic) -> Problem | None:
        """Say what is wrong with the DestinationRule that the Canary names: an undefined subset answers 503."""
        if traffic.destination_rule is None:
            return None
        rule_key = ObjectKey(key.namespace, traffic.destination_rule)
        document = self._reader.get(rules, rule_key)
        if document is None:
            return Problem(
                reason="DestinationRuleNotFound",
                message=f"DestinationRule {rule_key} does not exist; create it, "
                "or correct spec.traffic.istio.destinationRule of the Canary",
                absent=True,
            )
        defined = _subset_names(document)
        wanted = (traffic.stable.subset, traffic.canary.subset)
        missing = [subset for subset in wanted if subset is not None and subset not in defined]
        if not missing:
            return None
        return Problem(
            reason="SubsetNotFound",
            message=f"DestinationRule {rule_key} does not define the subset {' and '.join(missing)} "
            f"(it defines: {listed(defined)}); add it, or correct spec.traffic.istio of the Canary",
        )


def _subset_names(document: Mapping[str, object]) -> list[str]:
    spec = document.get("spec")
    subsets = spec.get("subsets") if isinstance(spec, Mapping) else None
    entries = [entry for entry in subsets if isinstance(entry, Mapping)] if isinstance(subsets, list) else []
    return [name for entry in entries if isinstance(name := entry.get("name"), str)]
