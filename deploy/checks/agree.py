"""What the files of a deployment say of one thing in several places must agree.

Schemas cannot know that a grace period has to be longer than the drain that runs in it. Prints each disagreement, and
fails if there is one.
"""

import json
import pathlib
import re
import sys
import tomllib

import yaml

DEPLOY = pathlib.Path(__file__).parents[1]
ROOT = DEPLOY.parent
# Writing the last usage and closing the store: two calls of `store::database` at their longest.
CLOSING = 16
UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}

disagreements = 0


def agree(holds: bool, text: str) -> None:
    global disagreements
    if not holds:
        disagreements += 1
        print(f"disagree: {text}", file=sys.stderr)


def seconds(text: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h|d)", text).groups()
    return int(number) * UNITS[unit]


def read(path: str) -> str:
    return (DEPLOY / path).read_text()


def one(path: str, kind: str = "", name: str = "") -> dict:
    found = [doc for doc in yaml.safe_load_all(read(path)) if not kind or doc["kind"] == kind]
    return next(doc for doc in found if not name or doc["metadata"]["name"] == name)


def drain(server: dict) -> float:
    return seconds(server["drain_delay"]) + seconds(server["drain_deadline"]) + CLOSING


def image() -> tuple[str, list[str]]:
    """The user and the ports of the image."""
    text = (ROOT / "Containerfile").read_text()
    return re.search(r"^USER (\d+):", text, re.M)[1], re.search(r"^EXPOSE (.*)$", text, re.M)[1].split()


def replicas_flag(arguments: list[str]) -> int:
    return int(next(a for a in arguments if a.startswith("--replicas=")).removeprefix("--replicas="))


def kubernetes() -> None:
    base = "kubernetes/base"
    server = tomllib.loads(read(f"{base}/orqen.toml"))["server"]
    deployment = one(f"{base}/deployment.yaml")
    spec = deployment["spec"]["template"]["spec"]
    grace = spec["terminationGracePeriodSeconds"]
    agree(grace >= drain(server), f"terminationGracePeriodSeconds {grace} ends a drain of {drain(server)} s")
    check, serve = spec["initContainers"][0], spec["containers"][0]
    agree(replicas_flag(check["args"]) == deployment["spec"]["replicas"], "the check is of another number of replicas")
    for part in ("env", "workingDir", "volumeMounts", "resources", "securityContext", "image"):
        agree(check[part] == serve[part], f"the check and the server have another {part}")

    user, ports = image()
    agree(str(spec["securityContext"]["runAsUser"]) == user, "the pod's user is not the image's")
    listens = [server["listen"].rpartition(":")[2], server["admin_listen"].rpartition(":")[2]]
    declared = [str(port["containerPort"]) for port in serve["ports"]]
    agree(listens == declared == ports, f"ports: {listens} of orqen.toml, {declared} of the pod, {ports} of the image")
    locked = serve["securityContext"]
    agree(locked["readOnlyRootFilesystem"] and not locked["allowPrivilegeEscalation"], "the container is not locked")

    labels = deployment["spec"]["template"]["metadata"]["labels"]
    budget = one(f"{base}/disruption-budget.yaml")["spec"]["selector"]["matchLabels"]
    policy = one("kubernetes/components/network-policy/network-policy.yaml")["spec"]["podSelector"]["matchLabels"]
    selectors = [budget, policy, deployment["spec"]["selector"]["matchLabels"]]
    for service in yaml.safe_load_all(read(f"{base}/service.yaml")):
        selectors.append(service["spec"]["selector"])
        names = {port["name"] for port in serve["ports"]}
        agree({port["targetPort"] for port in service["spec"]["ports"]} <= names, "a Service leads to no port")
    agree(all(selector.items() <= labels.items() for selector in selectors), "a selector finds no pod")
    monitor = one("kubernetes/components/monitoring/service-monitor.yaml")["spec"]["selector"]["matchLabels"]
    admin = one(f"{base}/service.yaml", "Service", "orqen-admin")["metadata"]["labels"]
    agree(monitor.items() <= admin.items(), "the ServiceMonitor finds no Service")

    entries = one(f"{base}/secrets.example.yaml", "Secret", "orqen")["stringData"].keys()
    wanted = {env["valueFrom"]["secretKeyRef"]["key"] for env in serve["env"]}
    wanted |= {item["key"] for v in spec["volumes"] for item in v.get("secret", {}).get("items", [])}
    agree(wanted == set(entries), f"secrets: {sorted(wanted)} are used, {sorted(entries)} shown")

    autoscaling = "kubernetes/components/autoscaling"
    most = one(f"{autoscaling}/autoscaler.yaml")["spec"]["maxReplicas"]
    patch = yaml.safe_load(one(f"{autoscaling}/kustomization.yaml")["patches"][0]["patch"])
    place = next(step for step in patch if step["op"] == "replace")
    agree(place["value"] == f"--replicas={most}", "the check is of fewer replicas than the autoscaler may make")
    agree(place["path"].endswith(f"/{check['args'].index('--replicas=3')}"), "the autoscaler's patch hits another flag")


def compose() -> None:
    server = tomllib.loads(read("compose/orqen.toml"))["server"]
    text = read("compose/compose.yaml")
    services = yaml.safe_load(text)["services"]
    replicas = [name for name in services if name.startswith("orqen-")]
    for name in replicas:
        grace = seconds(services[name]["stop_grace_period"])
        agree(grace >= drain(server), f"{name}: stop_grace_period {grace} s ends a drain of {drain(server)} s")
    agree(services["nginx"]["environment"]["REPLICAS"].split() == replicas, "nginx knows other replicas")
    agree(replicas_flag(services["check"]["command"]) == len(replicas), "the check is of another number of replicas")
    jobs = yaml.safe_load(read("compose/prometheus/prometheus.yml"))["scrape_configs"]
    targets = next(job for job in jobs if job["job_name"] == "orqen")["static_configs"][0]["targets"]
    port = server["admin_listen"].rpartition(":")[2]
    agree(targets == [f"{name}:{port}" for name in replicas], "Prometheus asks other replicas")
    example = set(re.findall(r"^(\w+)=", read("compose/.env.example"), re.M))
    agree(set(re.findall(r"\$\{(\w+):\?", text)) == example, ".env.example has other variables than compose.yaml wants")

    nginx = read("compose/nginx/nginx.conf")
    idle = max(seconds(s) for s in re.findall(r"keepalive_timeout (60s|\d+s);\n    }", nginx))
    ours = int(re.search(r"HEAD_TIMEOUT: Duration = Duration::from_secs\((\d+)\)", (ROOT / "src/server.rs").read_text())[1])
    agree(idle < ours, f"nginx keeps connections for {idle} s that Orqen closes after {ours} s")
    late = 1 + seconds(re.search(r"keepalive_min_timeout (\w+);", nginx)[1])
    agree(late < seconds(server["drain_delay"]), f"nginx may send for {late} s to a replica that drains for less")


def grafana() -> None:
    provider = yaml.safe_load(read("compose/grafana/provisioning/dashboards/orqen.yaml"))["providers"][0]
    volumes = yaml.safe_load(read("compose/compose.yaml"))["services"]["grafana"]["volumes"]
    agree(f"../grafana:{provider['options']['path']}:ro" in volumes, "Grafana looks for dashboards elsewhere")
    agree(bool(json.loads(read("grafana/orqen.json"))["panels"]), "the dashboard is empty")


kubernetes()
compose()
grafana()
sys.exit(disagreements > 0)
