"""Istio's VirtualService as `TrafficRouter`: read where the weights stand, write them fenced by what was read.

The version of the API group is asked for once; it is forgotten when an object is not found, so that a cluster
whose Istio is upgraded under the controller is understood without a restart.
"""

from collections.abc import Mapping

from canary.kube.client import KubeClient
from canary.kube.copies import Reader
from canary.kube.resources import (
    ISTIO_GROUP,
    ISTIO_VERSIONS,
    Resource,
    destination_rules,
    resource_version,
    virtual_services,
)
from canary.model.exposure import Exposure
from canary.model.observation import Problem
from canary.model.spec import IstioTraffic, ObjectKey
from canary.ports import Routing
from canary.routing.authorship import find_author
from canary.routing.istio_exposure import exposure_patch, read_exposures
from canary.routing.istio_patch import locate_weights
from canary.routing.weights import Weights, listed, weight_patch


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

    def read(self, key: ObjectKey, traffic: IstioTraffic) -> Routing | Problem:
        """Read the weights; `key` is the VirtualService.

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
                "or correct spec.traffic.istio.virtualService of the Canary",
                absent=True,
            )
        found = locate_weights(document, traffic, key)
        if isinstance(found, Problem):
            return found
        found = read_exposures(document, found, traffic, key)
        if isinstance(found, Problem):
            return found
        problem = self._check_subsets(destination_rules(version), key, traffic)
        if problem is not None:
            return problem
        return Routing(
            key=key,
            traffic=traffic,
            version=resource_version(document),
            split=found.split,
            paths=found.paths,
            totals=found.totals,
            document=document,
            author=find_author(document, "http"),
        )

    def write(self, routing: Routing, asked: Exposure) -> None:
        """Let exactly what is asked reach the canary, and the rest stable, in every route; change nothing else.

        Raises:
            Conflict: the object was changed since `routing` was read; nothing was written.
            Transient: no answer within the deadline; it may have been written.
            Refused: not allowed, or the VirtualService is gone.
        """
        found = Weights(split=routing.split, paths=routing.paths, totals=routing.totals)
        operations = weight_patch(found.split, found.paths, found.totals, asked.weight)
        if isinstance(routing.traffic, IstioTraffic):
            operations += exposure_patch(routing.document, found, routing.traffic, asked)
        if operations:
            version = self._served_version() or ISTIO_VERSIONS[0]
            self._client.patch_json(virtual_services(version), routing.key, operations, version=routing.version)

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
