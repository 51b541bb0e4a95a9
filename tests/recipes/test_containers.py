"""compose.yaml and kubernetes.yaml of config/: the proxy's own file in them is good, and the rest agrees with it.

tests/e2e/test_schemas.py holds their form to the parsers of Compose and Kubernetes.
"""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from oauth_proxy.process.parent import OVERTIME
from oauth_proxy.settings import Settings, parse
from tests.support.command import COMMAND, said_here, started
from tests.support.image import CONFIGURATION
from tests.support.places import CONFIG, ROOT
from tests.support.proxy import RawAnswer, a_secret, free_port
from tests.support.units import PATIENCE

COMPOSE: dict[str, Any] = yaml.safe_load((CONFIG / "compose.yaml").read_text("utf-8"))
CLUSTER: list[dict[str, Any]] = list(yaml.safe_load_all((CONFIG / "kubernetes.yaml").read_text("utf-8")))
ENVIRON = {"REDIS_PASSWORD": "a-password"}


def of(kind: str, name: str) -> Any:
    [found] = [each for each in CLUSTER if each["kind"] == kind and each["metadata"]["name"] == name]
    return found.get("spec", found)


def pod() -> Any:
    return of("Deployment", "review")["template"]["spec"]


def container(name: str) -> Any:
    [found] = [each for each in pod()["containers"] if each["name"] == name]
    return found


def in_compose() -> str:
    text = COMPOSE["configs"]["oauth-proxy"]["content"]
    assert "$" not in text, "Compose would put a variable there"
    return str(text)


def in_cluster() -> str:
    return str(of("ConfigMap", "oauth-proxy")["data"]["config.yaml"])


def mounted(text: str, folder: Path) -> Path:
    """The file beside its secrets, as the pod has them; Compose's are elsewhere."""
    (folder / "secrets").mkdir()
    (folder / "secrets/session").write_text(f"{a_secret()}\n")
    (folder / "secrets/frameio").write_text("a-secret\n")
    file = folder / "config.yaml"
    file.write_text(text.replace("/run/secrets", str(folder / "secrets")))
    return file


def settings(text: str, folder: Path) -> Settings:
    file = mounted(text, folder)
    return parse(file.read_text(), filename=file.name, environ=ENVIRON, folder=folder)


@pytest.mark.parametrize("text", [in_compose(), in_cluster()], ids=["compose", "kubernetes"])
def test_the_proxy_s_file_is_good(text: str, tmp_path: Path) -> None:
    checked = said_here("check", mounted(text, tmp_path), environ=ENVIRON)
    assert checked.returncode == 0, checked.stderr


def test_in_compose_visitors_reach_the_proxy_s_port_of_this_machine_and_nothing_else(tmp_path: Path) -> None:
    proxy, tool = COMPOSE["services"]["oauth-proxy"], COMPOSE["services"]["tool"]
    read = settings(in_compose(), tmp_path)
    [published] = proxy["ports"]
    assert published == f"127.0.0.1:4180:{read.listen.port}"
    assert str(read.admin.listen).startswith("127.0.0.1:"), "of the container"
    assert "ports" not in tool
    assert "ports" not in COMPOSE["services"]["redis"]
    assert read.upstreams["/"].url.authority == "tool:3000"
    assert set(tool["networks"]) < set(proxy["networks"])
    [behind] = COMPOSE["networks"]["outside"]["ipam"]["config"]
    assert [str(each) for each in read.trusted_proxies] == [f"{behind['gateway']}/32"]


def test_in_compose_nothing_can_be_written_and_the_end_is_waited_for(tmp_path: Path) -> None:
    proxy = COMPOSE["services"]["oauth-proxy"]
    assert proxy["read_only"]
    assert proxy["cap_drop"] == ["ALL"]
    assert proxy["security_opt"] == ["no-new-privileges:true"]
    drain = settings(in_compose(), tmp_path).drain_at_stop
    assert int(proxy["stop_grace_period"].removesuffix("s")) > drain + OVERTIME
    [check] = re.findall(r"^HEALTHCHECK .* CMD (\[.*\])$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    assert proxy["healthcheck"]["test"] == ["CMD", *json.loads(check)]
    assert proxy["configs"] == [{"source": "oauth-proxy", "target": CONFIGURATION}]
    assert set(proxy["secrets"]) == set(COMPOSE["secrets"])


def test_the_store_that_compose_offers_is_the_one_of_its_profile() -> None:
    [store] = re.findall(r"#store: (\S+)", in_compose())
    assert store == "redis://redis:6379/0"
    assert COMPOSE["services"]["redis"]["profiles"] == ["redis"]
    assert "noeviction" in COMPOSE["services"]["redis"]["command"]


def test_in_the_pod_the_ports_are_those_of_the_file(tmp_path: Path) -> None:
    read, proxy = settings(in_cluster(), tmp_path), container("oauth-proxy")
    ports = {each["name"]: each["containerPort"] for each in proxy["ports"]}
    assert ports == {"http": read.listen.port, "admin": read.admin.listen.port}
    assert str(read.listen) == f"0.0.0.0:{ports['http']}"
    assert str(read.admin.listen) == f"0.0.0.0:{ports['admin']}", "the kubelet asks from outside the pod"
    assert read.upstreams["/"].url.authority.startswith("127.0.0.1:"), "within the pod only"
    [service] = of("Service", "review")["ports"]
    assert service["targetPort"] == "http", "the admin port is in no Service"
    assert proxy["startupProbe"]["httpGet"] == proxy["readinessProbe"]["httpGet"] == get("/readyz")
    assert proxy["livenessProbe"]["httpGet"] == get("/healthz")


def get(path: str) -> dict[str, str]:
    return {"path": path, "port": "admin"}


async def test_the_kubelet_and_the_load_balancer_get_their_answers_and_a_stop_is_told_before_it_comes(
    tmp_path: Path,
) -> None:
    port, admin = free_port(), free_port()
    text = in_cluster().replace(":4180", f":{port}").replace(":4181", f":{admin}")
    file = mounted(text.replace("oauth-proxy-redis:6379", f"127.0.0.1:{free_port()}"), tmp_path)
    command = ["env", *(f"{name}={value}" for name, value in ENVIRON.items()), *COMMAND]
    async with started("run", file, sign=b"serving", command=command) as process:
        for path in ("/readyz", "/healthz"):
            for head in PROBES:
                assert await status(admin, head.format(path=path)) == 200, head
        process.terminate()
        async with asyncio.timeout(PATIENCE):
            while await status(admin, PROBES[0].format(path="/readyz")) != 503:  # noqa: ASYNC110 another process
                await asyncio.sleep(0.02)
        page = "GET /oauth2/sign_in HTTP/1.1\r\nHost: review.example.com\r\nConnection: close\r\n\r\n"
        assert await status(port, page) == 200, "visitors are served for as long as drain_delay"


PROBES = (
    "GET {path} HTTP/1.1\r\nHost: 10.1.2.3:4181\r\nUser-Agent: kube-probe/1.30\r\nConnection: close\r\n\r\n",
    "GET {path} HTTP/1.0\r\n\r\n",
)
"""How the kubelet asks, by the address of the pod, and HAProxy, by none."""


async def status(port: int, head: str) -> int:
    """The status of an answer, asked for at another address than 127.0.0.1."""
    reader, writer = await asyncio.open_connection("127.0.0.2", port)
    writer.write(head.encode())
    async with asyncio.timeout(PATIENCE):
        answer = await reader.read()
    writer.close()
    return RawAnswer.read(answer).status


def test_in_the_cluster_each_port_is_open_to_one_namespace_and_the_tool_s_to_none(tmp_path: Path) -> None:
    read, policy = settings(in_cluster(), tmp_path), of("NetworkPolicy", "review")
    assert policy["policyTypes"] == ["Ingress"]
    opened = {
        port["port"]: rule["from"][0]["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
        for rule in policy["ingress"]
        for port in rule["ports"]
    }
    assert opened == {read.listen.port: "ingress", read.admin.listen.port: "monitoring"}
    assert all(len(rule["from"]) == 1 for rule in policy["ingress"])
    labels = of("Deployment", "review")["template"]["metadata"]["labels"]
    for selector in (
        policy["podSelector"]["matchLabels"],
        of("Service", "review")["selector"],
        of("PodDisruptionBudget", "review")["selector"]["matchLabels"],
        of("Deployment", "review")["selector"]["matchLabels"],
        of("NetworkPolicy", "oauth-proxy-redis")["ingress"][0]["from"][0]["podSelector"]["matchLabels"],
    ):
        assert selector == labels


def test_the_tool_outlives_the_proxy_and_the_kubelet_waits_for_both(tmp_path: Path) -> None:
    read = settings(in_cluster(), tmp_path)
    stop = read.drain_delay + read.drain_at_stop
    sleep = container("tool")["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert read.drain_delay > 0, "it takes until every node has heard that the pod goes away"
    assert sleep > stop
    assert pod()["terminationGracePeriodSeconds"] > max(stop + OVERTIME, sleep + 10)


def test_in_the_pod_nobody_is_root_or_may_write_and_secrets_are_read_by_one_group() -> None:
    whole = pod()["securityContext"]
    assert whole["runAsNonRoot"]
    assert whole["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not pod()["automountServiceAccountToken"]
    for each in [*pod()["containers"], *of("Deployment", "oauth-proxy-redis")["template"]["spec"]["containers"]]:
        assert each["securityContext"]["runAsUser"] > 0
        assert each["securityContext"]["readOnlyRootFilesystem"]
        assert not each["securityContext"]["allowPrivilegeEscalation"]
        assert each["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    [user] = re.findall(r"^USER (\d+):\1$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    assert container("oauth-proxy")["securityContext"]["runAsUser"] == whole["fsGroup"] == int(user)
    [volume] = [each for each in pod()["volumes"] if each["name"] == "config"]
    assert volume["projected"]["defaultMode"] == 0o440
    [mount] = container("oauth-proxy")["volumeMounts"]
    assert mount == {"name": "config", "mountPath": str(Path(CONFIGURATION).parent), "readOnly": True}
    assert "volumeMounts" not in container("tool"), "the secrets are the proxy's"


def test_the_two_pods_share_the_redis_of_the_file(tmp_path: Path) -> None:
    store = settings(in_cluster(), tmp_path).session.store
    assert "oauth-proxy-redis:6379" in str(store)
    assert of("Deployment", "review")["replicas"] == 2
    assert of("PodDisruptionBudget", "review")["minAvailable"] == 1
    [port] = of("Service", "oauth-proxy-redis")["ports"]
    assert port["port"] == 6379
    keys = set(next(each for each in CLUSTER if each["kind"] == "Secret")["stringData"])
    assert keys == {"session", "frameio", "redis"}
    text = (CONFIG / "kubernetes.yaml").read_text("utf-8")
    assert {*re.findall(r"key: (\w+)", text)} == keys
