"""What ``logscan plan`` says, as data, as JSON (``logscan.plan/1``) and for a person.

The field names are the keys. Keys may be added, never renamed or dropped within ``/1``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from analyzer.report.json import to_json
from analyzer.report.page import Page
from analyzer.report.text import percentage, printable, size

if TYPE_CHECKING:
    from analyzer.readings.plan import Advice, ControllerPlan, NodePlan

SCHEMA = "logscan.plan/1"
_NAME = 48


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What Local would do to each controller of the cluster file `cluster`."""

    schema: str = field(default=SCHEMA, init=False)
    version: str
    cluster: str
    platform: str | None
    controllers: list[ControllerPlan]


def render(plan: Plan, format_name: str, stream: TextIO | None = None) -> str:
    """Write a plan as ``table`` or ``json``, with a newline at the end; `stream` is where it will go."""
    if format_name == "json":
        return to_json(plan)
    page = Page.to_fit(stream)
    for controller in plan.controllers:
        _controller(page, controller)
        page.blank()
    if not plan.controllers:
        page.line("no ingress controller in it: name it with --controller NAMESPACE/NAME", label=f"{plan.cluster}   ")
    return page.write()


def _controller(page: Page, known: ControllerPlan) -> None:
    page.line(f"   {known.kind}", label=printable(known.controller))
    page.words("Service", _service(known))
    page.words("Local", known.reason)
    if not known.applies:
        return
    serving = [node for node in known.nodes if node.serves]
    pods = size(known.pods, "pod") + (f", {known.pending} waiting for a node" if known.pending else "")
    how = "as the log shows" if known.basis == "traffic" else "if the load balancer spreads evenly over nodes"
    page.words("Shares", f"{pods} on {size(len(serving), 'node')}; {how}")
    for node in serving:
        page.section("", _node(node), gap=" ")
    if known.stopping:
        page.words("Stop serving", ", ".join(printable(name, limit=_NAME) for name in known.stopping))
    if known.worst_over_mean is not None and serving:
        spare = "any lost pod makes a node dark" if not known.spare_pods else f"{known.spare_pods} may go on every node"
        page.words("Worst", f"the busiest pod gets {known.worst_over_mean:.2f} times the mean; {spare}")
    for number, advice in enumerate(known.advice, 1):
        _advice(page, number, advice)


def _service(known: ControllerPlan) -> str:
    if known.service is None:
        return "none"
    return f"{known.service} ({known.service_type}), externalTrafficPolicy {known.policy or 'not set'}"


def _node(node: NodePlan) -> list[str]:
    zone = f" in {printable(node.zone, limit=_NAME)}" if node.zone else ""
    each = f", {percentage(node.pod_share_pct)} % each" if node.pods > 1 else ""
    share = f"{percentage(node.share_pct)} %, {size(node.pods, 'pod')}{each}"
    return [f"{printable(node.name, limit=_NAME)}{zone}:", share]


def _advice(page: Page, number: int, advice: Advice) -> None:
    page.words(f"{number}.", advice.text)
    for line in (advice.patch or "").splitlines():
        page.whole(line, label="")
    page.whole(advice.source, style="dim")
