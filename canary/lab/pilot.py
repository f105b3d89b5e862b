"""The lab's istiod: VirtualServices, HTTPRoutes, DestinationRules, Services and Pods become Envoy files.

Every change of any of them recompiles everything; with the dozen objects of a lab that takes about a millisecond, and
a compiler without memory cannot disagree with the API. Only files whose content changed are replaced, each by one
rename, and then Envoy is asked which version it serves: the report says when traffic really moved, not when somebody
wished it to.

The order of the files is the order in which traffic may rely on them: a pod's inbound listener before the gateway's
endpoint that points to it, clusters before the routes that name them.
"""

import argparse
import logging
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from canary.lab.atomic_file import write_json
from canary.lab.destinations import Destination, gateway_clusters, gather_destinations, qualify, sidecar_resources
from canary.lab.envoy import Admin, EnvoyAwayError
from canary.lab.envoy_config import discovery_response, route_configuration
from canary.lab.envoy_routes import Destinations, TranslationError, domains_of, plain_route
from canary.lab.http_routes import hosts_of, routes_of_http_route
from canary.lab.kube_api import (
    DEPLOYMENTS,
    DESTINATION_RULES,
    HTTP_ROUTES,
    PODS,
    SERVICES,
    VIRTUAL_SERVICES,
    ApiServer,
    Document,
    Kind,
)
from canary.lab.reflector import Bell, Key, Reflector
from canary.lab.virtual_services import routes_of
from canary.lab.waiting import comes_true, pause

log = logging.getLogger(__name__)

REPORT = "pilot.json"
COALESCE_SECONDS = 0.005
ACKNOWLEDGE_SECONDS = 0.5
POLL_SECONDS = 0.005
LOOK_AGAIN_SECONDS = 1.0


def _hosts_of_virtual_service(service: Document) -> list[str]:
    return [qualify(host, service["metadata"]["namespace"]) for host in service["spec"].get("hosts", [])]


SPEAKERS: tuple[
    tuple[Kind, Callable[[Document, Destinations], list[dict[str, Any]]], Callable[[Document], list[str]]], ...
] = (
    (VIRTUAL_SERVICES, routes_of, _hosts_of_virtual_service),
    (HTTP_ROUTES, routes_of_http_route, hosts_of),
)
"""What speaks for hosts, in the order in which it is tried: the kind, its Envoy routes, and its hosts."""


class DiscoveryFile:
    """One file that Envoy watches, and the version of what stands in it."""

    def __init__(self, path: Path) -> None:
        self.version = ""
        self._path = path
        self._resources: list[dict[str, Any]] | None = None

    def publish(self, version: str, resources: list[dict[str, Any]]) -> bool:
        """Replace the file unless it says the same already; say whether it was replaced."""
        if resources == self._resources:
            return False
        write_json(self._path, discovery_response(version, resources))
        self._resources, self.version = resources, version
        return True


class Pilot:
    """Compiles and publishes until stopped."""

    def __init__(self, api: ApiServer, state: Path, *, gateway: Admin, sidecar: Admin) -> None:
        self._report = state / REPORT
        self._gateway = gateway
        self._sidecar = sidecar
        self._listeners = DiscoveryFile(state / "sidecar" / "lds.json")
        self._inbound = DiscoveryFile(state / "sidecar" / "cds.json")
        self._clusters = DiscoveryFile(state / "gateway" / "cds.json")
        self._routes = DiscoveryFile(state / "gateway" / "rds.json")
        self._bell = Bell()
        kinds = (PODS, SERVICES, DEPLOYMENTS, VIRTUAL_SERVICES, DESTINATION_RULES, HTTP_ROUTES)
        self._reflectors = {kind: Reflector(api, kind, self._bell.ring) for kind in kinds}
        self._good_routes: dict[tuple[Kind, Key], list[dict[str, Any]]] = {}
        self._problems: list[str] = []
        self._pushes = 0
        self._published_at = 0.0
        self._served = False
        self._stopping = False

    def stop(self) -> None:
        """End `run` soon."""
        self._stopping = True
        self._bell.ring()

    def run(self) -> None:
        """Follow the API until stopped.

        Raises:
            LabError: the API server did not answer in time at the start.
        """
        for reflector in self._reflectors.values():
            reflector.start()
        for reflector in self._reflectors.values():
            reflector.wait_synced()
        while not self._stopping:
            self._push()
            self._bell.wait(LOOK_AGAIN_SECONDS)
            if not self._stopping:
                pause(COALESCE_SECONDS)  # a rollout changes several objects at once

    def _push(self) -> None:
        """Publish what changed, wait until Envoy serves it, and report."""
        problems: list[str] = []
        destinations = gather_destinations(
            *(self._reflectors[kind].objects().values() for kind in (SERVICES, DESTINATION_RULES, PODS, DEPLOYMENTS))
        )
        if self._publish(destinations, problems):
            self._pushes += 1
            self._published_at = time.time()
        elif self._served and problems == self._problems:
            return
        self._served = comes_true(self._is_served, within_seconds=ACKNOWLEDGE_SECONDS, poll_seconds=POLL_SECONDS)
        if not self._served:
            problems.append(f"Envoy does not serve version {self._pushes}: {self._rejection()}")
        for problem in problems:
            if problem not in self._problems:
                log.warning("%s", problem)
        self._problems = problems
        self._write_report(destinations)

    def _publish(self, destinations: dict[tuple[str, str], Destination], problems: list[str]) -> bool:
        """Replace the files that say something new; say whether any did."""
        version = str(self._pushes + 1)
        listeners, inbound = sidecar_resources(list(destinations.values()))
        hosts = self._virtual_hosts(destinations, problems)
        replaced = [
            self._inbound.publish(version, inbound),
            self._listeners.publish(version, listeners),
            self._clusters.publish(version, gateway_clusters(destinations.values())),
            self._routes.publish(version, [route_configuration(hosts)]),
        ]
        return any(replaced)

    def _is_served(self) -> bool:
        """Say whether both Envoys have what stands in the files; an Envoy that is away has nothing."""
        try:
            return (
                self._gateway.route_version() == self._routes.version
                and self._gateway.version("cluster_manager.cds") == self._clusters.version
                and self._sidecar.version("listener_manager.lds") == self._listeners.version
                and self._sidecar.version("cluster_manager.cds") == self._inbound.version
            )
        except EnvoyAwayError:
            return False

    def _rejection(self) -> str:
        try:
            return self._gateway.route_error() or "see the logs of gateway and sidecar"
        except EnvoyAwayError as error:
            return str(error)

    def _virtual_hosts(self, destinations: Destinations, problems: list[str]) -> list[dict[str, Any]]:
        """Return the hosts of all VirtualServices and HTTPRoutes, and of the Services that none speaks for."""
        routes: dict[str, list[dict[str, Any]]] = {}
        good: dict[tuple[Kind, Key], list[dict[str, Any]]] = {}
        for kind, translate, hosts_in in SPEAKERS:
            for key, speaker in sorted(self._reflectors[kind].objects().items()):
                good[kind, key] = self._good_routes.get((kind, key), [])
                try:
                    good[kind, key] = translate(speaker, destinations)
                except TranslationError as error:
                    problems.append(str(error))
                for host in hosts_in(speaker):
                    routes.setdefault(host, []).extend(good[kind, key])
        self._good_routes = good
        for (host, subset), destination in sorted(destinations.items()):
            if not subset and host not in routes:
                routes[host] = [plain_route(destination)]
        # in Istio a short name means the client's own namespace; the gateway's clients live where the Service does
        return _without_doubles(
            [{"name": host, "domains": domains_of([host], ""), "routes": found} for host, found in routes.items()]
        )

    def _write_report(self, destinations: dict[tuple[str, str], Destination]) -> None:
        """Say what is served since when, and who gets traffic; the kubelet and tests read it."""
        serving = {
            f"{backend.namespace}/{backend.name}"
            for destination in destinations.values()
            for backend in destination.backends
            if backend.serving
        }
        document: Document = {
            "version": str(self._pushes),
            "published_at": self._published_at,
            "served_at": time.time() if self._served else None,
            "endpoints": sorted(serving),
            "weights": self._weights(),
            "problems": self._problems,
        }
        write_json(self._report, document)

    def _weights(self) -> dict[str, dict[str, int]]:
        try:
            routes = self._gateway.served_routes()
        except EnvoyAwayError:
            return {}
        return {f"{route.virtual_host}/{route.name}": dict(route.weights) for route in routes}


def _without_doubles(hosts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Drop short names that two hosts claim: Envoy would refuse them all."""
    claims: dict[str, int] = {}
    for host in hosts:
        for domain in host["domains"]:
            claims[domain] = claims.get(domain, 0) + 1
    return [{**host, "domains": [domain for domain in host["domains"] if claims[domain] == 1]} for host in hosts]


def main() -> None:
    """Run the pilot until SIGTERM."""
    parser = argparse.ArgumentParser(description="Turns Istio resources into configuration of the lab's Envoys.")
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True, help="directory with the Envoys' directories")
    parser.add_argument("--gateway", type=Admin, required=True, help="host:port of the gateway's admin port")
    parser.add_argument("--sidecar", type=Admin, required=True, help="host:port of the sidecar's admin port")
    arguments = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(message)s")
    api = ApiServer(arguments.kubeconfig)
    pilot = Pilot(api, arguments.state, gateway=arguments.gateway, sidecar=arguments.sidecar)

    def stop(_number: int, _frame: FrameType | None) -> None:
        pilot.stop()

    signal.signal(signal.SIGTERM, stop)
    pilot.run()


if __name__ == "__main__":
    main()
