"""`vqa k8s render`, `apply`, `status`: the fleet on Kubernetes, by KubeRay."""

import sys
from pathlib import Path

import click
import msgspec
from rich.text import Text

from vqa_ray.cli import show
from vqa_ray.cli.main import OK, PROBLEMS
from vqa_ray.cluster.kube import api as kube
from vqa_ray.cluster.kube import deploy, kustomize, overview
from vqa_ray.cluster.kube.deploy import Change, Progress
from vqa_ray.cluster.kube.overview import Overview

_context = click.option("--context", help="Of the kubeconfig.  [default: its current one]")
_folder = click.argument("folder", type=click.Path(file_okay=False, path_type=Path))


@click.group()
def k8s() -> None:
    """Run on Kubernetes, by KubeRay. The manifests are folders of kustomize, as in k8s/overlays."""


@k8s.command()
@_folder
def render(folder: Path) -> None:
    """Print what a kustomize folder describes, as one YAML text. No cluster and no kustomize is needed."""
    manifests = kustomize.build(folder)
    deploy.check(manifests)
    click.echo(kustomize.to_yaml(deploy.in_order(manifests)), nl=False)


@k8s.command()
@_folder
@_context
@click.option("--wait/--no-wait", default=True, show_default=True, help="Until cluster and jobs are ready.")
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(min=1), default=600, show_default=True, metavar="S",
    help="Wait at most S seconds.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Also where someone else has changed the same fields.")
@click.option("--again", is_flag=True, help="Run jobs anew that ended well; those that failed are run anew anyway.")
def apply(folder: Path, context: str | None, wait: bool, timeout_s: float, force: bool, again: bool) -> None:
    """Bring a kustomize folder to a cluster, by server-side apply, and wait until it is ready.

    Its fleet, and the Secrets and claims that it needs, are checked first. What is there already is changed where it
    differs.
    """
    manifests = kustomize.build(folder)
    deploy.check(manifests)
    api = kube.connect(context)
    namespace = deploy.namespace_of(manifests, kube.default_namespace(context))
    deploy.check_needs(api, manifests, namespace)
    out = show.console()
    for name, change in deploy.apply(api, manifests, namespace, force=force, again=again):
        out.print(Text.assemble(f"{name} ", (change.value, "dim" if change is Change.SAME else "green")))
    if wait:
        deploy.wait(api, manifests, namespace, timeout_s, lambda progress: out.print(_progress_line(progress)))
    out.print(f"`vqa k8s status --namespace {namespace}` shows pods and streams", style="dim")


@k8s.command()
@_context
@click.option("--namespace", "-n", help="[default: that of the context, or vqa if it has none]")
@click.option("--cluster", default="vqa", show_default=True, help="The RayCluster whose streams are shown.")
@click.option("--json", "as_json", is_flag=True, help="All of it as one JSON object.")
def status(context: str | None, namespace: str | None, cluster: str, as_json: bool) -> None:
    """Show clusters, jobs, pods and streams. Exit code 1 if any of them is in trouble."""
    where = namespace or kube.default_namespace(context)
    if namespace is None and where == "default":
        where = "vqa"
    seen = overview.look(kube.connect(context), where, cluster=cluster)
    if as_json:
        click.echo(msgspec.json.encode(seen))
    else:
        _show(seen)
    sys.exit(OK if _fine(seen) else PROBLEMS)


def _progress_line(progress: Progress) -> Text:
    words = "ready" if progress.ready else progress.why
    return Text.assemble(f"{progress.name} ", (words, "green" if progress.ready else "yellow"))


def _show(seen: Overview) -> None:
    out = show.console()
    if not seen.clusters:
        out.print(f"no RayCluster in namespace {seen.namespace}; `vqa k8s apply` makes one", style="yellow")
    for cluster in seen.clusters:
        of = f"{cluster.workers} of {cluster.wanted} workers ({cluster.minimum} to {cluster.maximum})"
        out.print(Text.assemble(("cluster ", "bold"), f"{cluster.name}: {cluster.state}, {of}", _why(cluster.why)))
    for job in seen.jobs:
        state = " ".join(filter(None, (job.state, job.job)))
        out.print(Text.assemble(("job ", "bold"), f"{job.name}: {state}", _why(job.why)))
    for event in seen.events[:1]:
        style = "red" if event.refused else ""
        out.print(Text.assemble(("fleet ", "bold"), (f"{event.at}: {event.message}", style)))
    pods = show.Columns("pod", "role", "state", "ready", "restarts", "node", right=("restarts",), gives_way=("node",))
    for pod in seen.pods:
        style = "" if pod.ready or pod.state == "Succeeded" else "yellow"
        pods.add_row(
            pod.name, pod.role, Text(pod.state, style=style), "yes" if pod.ready else "no",
            str(pod.restarts or ""), pod.node,
        )  # fmt: skip
    out.print(pods)
    if seen.fleet is not None:
        out.print()
        out.print(show.status_line(seen.fleet))
        out.print(show.stream_table(seen.fleet.streams))
    else:
        out.print(seen.why, style="yellow")


def _why(text: str) -> tuple[str, str]:
    return (f"  {text}" if text else "", "yellow")


def _fine(seen: Overview) -> bool:
    """Whether everything runs, and the last edit of the fleet was taken."""
    fleet = seen.fleet
    return (
        fleet is not None
        and fleet.open_incidents == 0
        and all(stream.state in show.FINE for stream in fleet.streams)
        and all(cluster.state == "ready" for cluster in seen.clusters)
        and all(pod.ready or pod.state == "Succeeded" for pod in seen.pods)
        and not any(event.refused for event in seen.events[:1])
    )
