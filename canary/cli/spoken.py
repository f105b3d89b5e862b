"""What the verbs that speak to a rollout have in common: whom they mean, why, and how long they wait for an answer.

Each of them is a file that says what the verb means; how it is said and waited for stands in `screen.speaking`, which
only a verb that runs looks into.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps

import click

from canary.cli.cluster import cluster_options, connected, namespace_of
from canary.cli.codes import ExitCode
from canary.model.command import Verb


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """One command as it was typed.

    Attributes:
        name: of the Canary.
        namespace: where it is; None for that of the kubeconfig's context.
        kubeconfig: which cluster; None for the usual one.
        reason: why, for those who read it later.
        wait: how long an answer is waited for, such as 30s.
    """

    name: str
    namespace: str | None
    kubeconfig: str | None
    reason: str
    wait: str

    def say(self, verb: Verb, *, from_step: int | None = None) -> None:
        """Say it, wait for the answer, and end with an exit status that tells it.

        Args:
            verb: what is to be done.
            from_step: of a retry, the step to begin at, from 1; None for the first.
        """
        from canary.cli.screen.speaking import speak  # noqa: PLC0415 (lazy: see the head of the package)
        from canary.model.quantities import parse_duration  # noqa: PLC0415 (as above)
        from canary.model.spec import ObjectKey  # noqa: PLC0415 (as above)

        try:
            limit = parse_duration(self.wait)
        except ValueError as error:
            message = f"{self.wait!r} {error}; write one such as 30s, or 0s"
            raise click.BadParameter(message, param_hint="--wait") from None
        key = ObjectKey(namespace_of(self.namespace, self.kubeconfig), self.name)
        with connected(self.kubeconfig) as client:
            is_obeyed = speak(
                client, key, verb, from_step=from_step, reason=self.reason, kubeconfig=self.kubeconfig, limit=limit
            )
        click.get_current_context().exit(ExitCode.OK if is_obeyed else ExitCode.NO)


def spoken(verb: Callable[..., None]) -> Callable[..., None]:
    """The argument NAME and the options of every verb that speaks; the verb gets them as one `Speech`."""

    @wraps(verb)
    def collected(
        *, name: str, namespace: str | None, kubeconfig: str | None, reason: str, wait: str, **rest: object
    ) -> None:
        verb(Speech(name=name, namespace=namespace, kubeconfig=kubeconfig, reason=reason, wait=wait), **rest)

    options = (
        click.argument("name"),
        click.option("--reason", metavar="TEXT", default="", help="Why, for the status, the Event and the log."),
        click.option(
            "--wait",
            metavar="DURATION",
            default="30s",
            show_default=True,
            help="Wait this long until the controller has obeyed; 0s does not wait.",
        ),
        cluster_options,
    )
    for option in reversed(options):
        collected = option(collected)
    return collected
