"""How a verb gets to the cluster: the options that say which, and the client.

The same places are looked at as by kubectl: `--kubeconfig`, KUBECONFIG, `~/.kube/config`, and in a pod its service
account. The namespace is the one of the kubeconfig's current context unless it is given.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

if TYPE_CHECKING:
    from canary.kube.client import KubeClient

REQUEST_TIMEOUT: Final = timedelta(seconds=10)
_HOME: Final = Path("~/.kube/config")
_POD_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

_Command = TypeVar("_Command", bound=Callable[..., object])


def cluster_options(command: _Command) -> _Command:
    """The options `--kubeconfig` and `--namespace`; the verb gets `kubeconfig` and `namespace`."""
    kubeconfig = click.option(
        "--kubeconfig",
        envvar="KUBECONFIG",
        show_envvar=True,
        help="The kubeconfig to use.  [default: ~/.kube/config, or the pod's own service account]",
    )
    namespace = click.option("-n", "--namespace", help="The namespace.  [default: that of the kubeconfig's context]")
    return kubeconfig(namespace(command))


@contextmanager
def connected(kubeconfig: str | None) -> Iterator["KubeClient"]:
    """A client for the length of a `with` block.

    Raises:
        Refused: there is no usable configuration.
    """
    import stamina.instrumentation  # noqa: PLC0415 (lazy: see the head of the package)

    from canary.kube.client import KubeClient  # noqa: PLC0415 (as above)

    stamina.instrumentation.set_on_retry_hooks(())  # a person is told of the failure, not of each attempt
    client = KubeClient.connect(_file(kubeconfig), REQUEST_TIMEOUT)
    try:
        yield client
    finally:
        client.close()


def namespace_of(namespace: str | None, kubeconfig: str | None) -> str:
    """The namespace that is meant: the given one, the current context's, the pod's, or `default`."""
    if namespace:
        return namespace
    file = _file(kubeconfig)
    return (_context_word(file, "namespace") if file else _pod_namespace()) or "default"


def context_user(kubeconfig: str | None) -> str | None:
    """What the kubeconfig calls the user of its current context; None where there is no kubeconfig, or no such name."""
    file = _file(kubeconfig)
    return _context_word(file, "user") if file else None


def _file(kubeconfig: str | None) -> Path | None:
    if kubeconfig:
        return Path(kubeconfig)
    try:
        home = _HOME.expanduser()
    except RuntimeError:  # an account without a home, as in a pod
        return None
    return home if home.exists() else None


def _context_word(file: Path, word: str) -> str | None:
    """A word of the current context; a file that cannot be read is reported where the client is made."""
    import yaml  # noqa: PLC0415 (lazy: see the head of the package)

    try:
        config: Any = yaml.safe_load(file.expanduser().read_bytes())
        named = {entry["name"]: entry["context"] for entry in config["contexts"]}
        found = named[config["current-context"]].get(word)
    except (OSError, yaml.YAMLError, LookupError, TypeError, AttributeError):
        return None
    return str(found) if found else None


def _pod_namespace() -> str | None:
    return _POD_NAMESPACE.read_text(encoding="utf-8").strip() if _POD_NAMESPACE.exists() else None
