"""The part of kustomize that is supported, that the rest is refused, and that the program itself gives the same."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from vqa_ray.cluster.kube.kustomize import build, name_of, to_yaml
from vqa_ray.errors import ConfigError

K8S = Path(__file__).parents[2] / "k8s"
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {a: "1"}}
spec:
  replicas: 1
  template: {spec: {initContainers: [{name: i, image: other}], containers: [{name: c, image: "shop/web:1"}]}}
"""
ACCOUNTS = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: ours}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: b}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: r}
subjects: [{kind: ServiceAccount, name: ours}, {kind: ServiceAccount, name: theirs, namespace: x}]
---
apiVersion: v1
kind: Namespace
metadata: {name: old}
"""
RAYJOB = """
apiVersion: ray.io/v1
kind: RayJob
metadata: {name: j}
spec: {entrypoint: x, submitterPodTemplate: {spec: {containers: [{name: a, image: shop/web}, {name: b, image: y}]}}}
"""


@pytest.fixture
def made(tmp_path):
    """Builds a folder of these files and this kustomization."""

    def make(kustomization, **files):
        (tmp_path / "kustomization.yaml").write_text(kustomization)
        for name, text in {"web": DEPLOYMENT, **files}.items():
            path = tmp_path / (name if "." in name else f"{name}.yaml")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return build(tmp_path)

    return make


def test_a_strategic_merge_changes_adds_and_takes_away(made):
    (web,) = made(
        "resources: [web.yaml]\npatches: [{path: p.yaml}]",
        p="apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, labels: {a: null, b: '2'}}\n"
        "spec: {replicas: 3}",
    )
    assert web["metadata"] == {"name": "web", "labels": {"b": "2"}}
    assert web["spec"]["replicas"] == 3 and "template" in web["spec"]


def test_lists_of_custom_resources_are_replaced_as_kustomize_does(made):
    (job,) = made(
        "resources: [job.yaml]\npatches: [{path: p.yaml, target: {kind: RayJob}}]",
        job=RAYJOB,
        p="apiVersion: ray.io/v1\nkind: RayJob\nmetadata: {name: j}\n"
        "spec: {submitterPodTemplate: {spec: {containers: [{name: z, image: z}]}}}",
    )
    assert [one["name"] for one in job["spec"]["submitterPodTemplate"]["spec"]["containers"]] == ["z"]


def test_operations_change_by_path(made):
    (web,) = made(
        """
        resources: [web.yaml]
        patches:
          - target: {kind: Deployment, name: web}
            patch: |
              - {op: test, path: /spec/replicas, value: 1}
              - {op: replace, path: /spec/replicas, value: 5}
              - {op: add, path: /metadata/labels/x.io~1y, value: z}
              - {op: add, path: /spec/template/spec/containers/-, value: {name: d, image: e}}
              - {op: remove, path: /spec/template/spec/initContainers}
        """
    )
    assert web["spec"]["replicas"] == 5
    assert web["metadata"]["labels"] == {"a": "1", "x.io/y": "z"}
    assert [one["name"] for one in web["spec"]["template"]["spec"]["containers"]] == ["c", "d"]
    assert "initContainers" not in web["spec"]["template"]["spec"]


def test_images_are_replaced_wherever_containers_are(made):
    web, job = made(
        "resources: [web.yaml, job.yaml]\nimages: [{name: shop/web, newName: r.io:5000/web, newTag: '2'}]", job=RAYJOB
    )
    assert web["spec"]["template"]["spec"]["containers"][0]["image"] == "r.io:5000/web:2"
    assert web["spec"]["template"]["spec"]["initContainers"][0]["image"] == "other"
    assert job["spec"]["submitterPodTemplate"]["spec"]["containers"][0]["image"] == "r.io:5000/web:2"


def test_a_digest_goes_before_a_tag(made):
    (web,) = made("resources: [web.yaml]\nimages: [{name: shop/web, digest: 'sha256:ab'}]")
    assert web["spec"]["template"]["spec"]["containers"][0]["image"] == "shop/web@sha256:ab"


def test_a_namespace_is_given_to_all_and_to_our_accounts(made):
    web, account, binding, namespace = made("namespace: new\nresources: [web.yaml, acc.yaml]", acc=ACCOUNTS)
    assert [one["metadata"]["namespace"] for one in (web, account, binding)] == ["new"] * 3
    assert namespace["metadata"] == {"name": "new"}
    assert [one.get("namespace") for one in binding["subjects"]] == ["new", "x"]


def test_configmaps_are_made_replaced_and_merged(made):
    generator = "configMapGenerator:\n  - {name: c, options: {disableNameSuffixHash: true}, "
    files = {"base/f.txt": "one\n", "base/kustomization.yaml": generator + "files: [f.txt, k=f.txt]}"}
    for behavior, expected in [
        ("replace", {"f.txt": "two\n"}),
        ("merge", {"f.txt": "two\n", "k": "one\n", "l": "a=b"}),
    ]:
        literals = ", literals: [l=a=b]" if behavior == "merge" else ""
        (configmap,) = made(
            f"resources: [base]\n{generator}behavior: {behavior}, files: [f.txt]{literals}}}",
            **{"f.txt": "two\n", **files},
        )
        assert configmap["data"] == expected


WEB = "resources: [web.yaml]\n"
TO_WEB = "apiVersion: apps/v1, kind: Deployment, metadata: {name: web}"


def operation(text):
    return f"{WEB}patches: [{{target: {{kind: Deployment}}, patch: '[{text}]'}}]"


REFUSED = {
    "unknown field": (f"namePrefix: x-\n{WEB}", "unknown field `namePrefix`"),
    "components": ("components: [x]", "unknown field `components`"),
    "remote": ("resources: ['https://example.com/x.yaml']", "nothing remote"),
    "missing": ("resources: [nothing.yaml]", "there is no such file"),
    "outside": ("resources: [../outside.yaml]", "lies outside"),
    "itself": ("resources: [.]", "a resource of itself"),
    "hash": ("configMapGenerator: [{name: c, literals: [a=b]}]", "disableNameSuffixHash"),
    "nothing to replace": (
        "configMapGenerator: [{name: c, behavior: replace, literals: [a=b], options: {disableNameSuffixHash: true}}]",
        "there is none to replace",
    ),
    "no fit": (f"{WEB}patches: [{{target: {{kind: Job}}, patch: '[]'}}]", "no object fits"),
    "no path": (operation("{op: replace, path: /spec/x, value: 1}"), "Deployment web: /spec/x: there is no 'x'"),
    "test": (operation("{op: test, path: /spec/replicas, value: 9}"), "is 1, expected 9"),
    "operation": (operation("{op: move, path: /a, value: /b}"), "operation 'move' is not supported"),
    "list by key": (
        f"{WEB}patches: [{{patch: '{{{TO_WEB}, spec: {{template: {{spec: {{containers: [{{name: c}}]}}}}}}}}'}}]",
        "spec.template.spec.containers: merging a list of objects is not supported",
    ),
    "directive": (f"{WEB}patches: [{{patch: '{{{TO_WEB}, $patch: delete}}'}}]", "$patch is not supported"),
    "twice": ("resources: [web.yaml, web2.yaml]", "Deployment web is there twice"),
    "twice a key": (WEB * 2, "'resources' stands there twice"),
    "no YAML": ("resources: [", "is no YAML"),
    "no object": ("resources: [n.yaml]", "needs apiVersion, kind and metadata.name"),
}


@pytest.mark.parametrize(("kustomization", "why"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_supported_or_wrong_is_refused_with_its_place(made, tmp_path, kustomization, why):
    with pytest.raises(ConfigError) as refused:
        made(kustomization, web2=DEPLOYMENT, n="kind: X")
    assert why in str(refused.value)
    assert str(tmp_path) in str(refused.value)


def test_a_folder_without_kustomization_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"holds no kustomization\.yaml"):
        build(tmp_path)


if shutil.which("kubectl"):

    @pytest.mark.parametrize("folder", ["overlays/local", "overlays/production", "batch"])
    def test_kubectl_kustomize_gives_the_same(folder):
        run = subprocess.run(["kubectl", "kustomize", K8S / folder], capture_output=True, text=True, check=True)
        theirs = sorted(yaml.safe_load_all(run.stdout), key=name_of)
        assert sorted(yaml.safe_load_all(to_yaml(build(K8S / folder))), key=name_of) == theirs
