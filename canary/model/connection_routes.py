"""How a Canary names routes of connections in a VirtualService, which have no names of their own.

So a route is known by what it matches, as Argo Rollouts has it. A match is compared as a whole and not by whether it
would meet a connection: two routes for one server name, of which the second is for a subnet only, are told apart by
nothing else, and a Canary that could mean both is told so (`routing.istio_choice`).
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsRoute:
    """A tls route of a VirtualService: the one with a match for just these server names (and port)."""

    sni_hosts: tuple[str, ...]
    port: int | None = None

    def __str__(self) -> str:
        return f"for {', '.join(self.sni_hosts)}" + (f" on port {self.port}" if self.port is not None else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpRoute:
    """A tcp route of a VirtualService: the one with a match for this port; the only one that there is without."""

    port: int | None = None

    def __str__(self) -> str:
        return "" if self.port is None else f"on port {self.port}"
