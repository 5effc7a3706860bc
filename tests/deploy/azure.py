"""An Azure that exists only in memory: it carries out a template as Resource Manager would.

It evaluates everything, in the order that dependsOn gives, and refuses what Azure refuses: a
dependency or a reference that resolves to nothing, a reference to what is not deployed or not
deployed yet, the same resource twice, a parameter that is missing, unknown or out of its bounds.
tests/deploy/refusals.py has what single resource providers refuse. A resource that is refused
stops what depends on it and nothing else; the run then ends with all refusals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.deploy.arm_language import Evaluator, TemplateError
from tests.deploy.refusals import Refused, check

Json = dict[str, Any]
SUBSCRIPTION = "11111111-1111-1111-1111-111111111111"
SUFFIXES = {
    "AzureCloud": "vault.azure.net",
    "AzureUSGovernment": "vault.usgovcloudapi.net",
    "AzureChinaCloud": "vault.azure.cn",
}
STORAGE_SUFFIXES = {
    "AzureCloud": "core.windows.net",
    "AzureUSGovernment": "core.usgovcloudapi.net",
    "AzureChinaCloud": "core.chinacloudapi.cn",
}


def group_id(name: str) -> str:
    """A resource group's id."""
    return f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{name}"


def resource_id(scope: str, resource_type: str, names: list[str]) -> str:
    """``scope/providers/Namespace/type/name/type/name``. Raises TemplateError."""
    namespace, *types = resource_type.split("/")
    if len(types) != len(names):
        raise TemplateError(f"{resource_type} takes {len(types)} names, not {len(names)}")
    pairs = "/".join(f"{kind}/{name}" for kind, name in zip(types, names, strict=True))
    return f"{scope}/providers/{namespace}/{pairs}"


class Azure:
    """One subscription. ``resources`` maps lower-case ids to what was put there."""

    def __init__(self, cloud: str = "AzureCloud") -> None:
        self.cloud = cloud
        self.resources: dict[str, Json] = {}
        self.tags: dict[str, str] = {}
        self.app_settings: dict[str, str] = {}
        self.put: list[str] = []
        # Refuses the resource whose lower-case id it is true of: an outage of its provider.
        self.outage: Callable[[str], bool] = lambda _: False
        # Runs of ``deploy`` so far, and in which of them what was made: Sentinel knows a table,
        # and storage a role, only in a run after the one that made it, where these say so.
        self.runs = 0
        self.made_in: dict[str, int] = {}
        self.tables_known_late = False
        self.roles_known_late = False
        # How often an identity was deleted and made again: its principal is another each time.
        self.generation = 0

    def deploy(
        self, template: Json, parameters: Mapping[str, Any], group: str = "security"
    ) -> dict[str, Any]:
        """Carries out a template; returns its outputs. ``put`` then has what it touched.

        Raises ``Refused`` with every refusal, after all that does not depend on one was made.
        """
        self.put = []
        self.runs += 1
        return self._deploy(template, parameters, group)

    def known(self, identity: str) -> bool:
        """Whether what was made has been there since an earlier run."""
        return self.made_in.get(identity, 0) < self.runs

    def of_type(self, resource_type: str) -> dict[str, Json]:
        """The resources of a type, by id."""
        return {
            identity: body
            for identity, body in self.resources.items()
            if body["type"].lower() == resource_type.lower()
        }

    def _deploy(self, template: Json, given: Mapping[str, Any], group: str) -> dict[str, Any]:
        run = _Run(self, template, given, group)
        run.go()
        outputs = run.evaluator.value(template.get("outputs", {}))
        return {name: output["value"] for name, output in outputs.items()}

    def properties(self, identity: str) -> Json:
        """What ``reference()`` returns: what was put, and what Azure adds."""
        body = self.resources.get(identity.lower())
        if body is None:
            raise TemplateError(f"{identity} does not exist")
        return {**(body.get("properties") or {}), **self._runtime_properties(identity, body)}

    def _runtime_properties(self, identity: str, body: Json) -> Json:
        return _runtime_properties(identity, body, self.generation)


def _runtime_properties(identity: str, body: Json, generation: int) -> Json:
    mark = identity.rsplit("/", 1)[1].lower()
    made: dict[str, Json] = {
        "microsoft.managedidentity/userassignedidentities": {
            "principalId": f"principal-{generation}-of-{mark}",
            "clientId": f"client-of-{mark}",
        },
        "microsoft.storage/storageaccounts": {
            "primaryEndpoints": {
                kind: f"https://{mark}.{kind}.example/" for kind in ("blob", "queue", "table")
            }
        },
        "microsoft.insights/components": {"ConnectionString": f"InstrumentationKey={mark}"},
        "microsoft.insights/datacollectionendpoints": {
            "logsIngestion": {"endpoint": f"https://{mark}.ingest.example"}
        },
        "microsoft.insights/datacollectionrules": {"immutableId": f"dcr-{mark}"},
        "microsoft.network/publicipaddresses": {"ipAddress": "203.0.113.7"},
        "microsoft.web/sites": {"defaultHostName": f"{mark}.azurewebsites.example"},
    }
    return made.get(body["type"].lower(), {})


def _check_bounds(name: str, definition: Json, given: Any) -> None:
    kinds = {
        "string": str,
        "securestring": str,
        "int": int,
        "bool": bool,
        "object": dict,
        "secureobject": dict,
        "array": list,
    }
    if not isinstance(given, kinds[definition["type"].lower()]):
        raise TemplateError(f"parameter {name} is no {definition['type']}: {given!r}")
    allowed = definition.get("allowedValues")
    if allowed and given not in allowed:
        raise TemplateError(f"parameter {name} is none of {allowed}")
    size = len(given) if isinstance(given, (str, list)) else given
    for least, most in (("minValue", "maxValue"), ("minLength", "maxLength")):
        low, high = definition.get(least), definition.get(most)
        if (low is not None and size < low) or (high is not None and size > high):
            raise TemplateError(f"parameter {name} is {given!r}, outside {low} to {high}")


class _Run:
    """One template being carried out in one resource group."""

    def __init__(self, azure: Azure, template: Json, given: Mapping[str, Any], group: str) -> None:
        self.azure, self.template, self.group = azure, template, group
        self.scope = group_id(group)
        self.ours: dict[str, Json] = {}
        self.needs: dict[str, set[str]] = {}
        self.current: str | None = None
        self.evaluator = Evaluator({}, {}, self._runtime())
        self.evaluator = Evaluator(
            self._parameters(given), template.get("variables", {}), self._runtime()
        )

    def _parameters(self, given: Mapping[str, Any]) -> dict[str, Any]:
        declared = self.template.get("parameters", {})
        if unknown := set(given) - set(declared):
            raise TemplateError(f"no such parameter: {sorted(unknown)}")
        values = dict(given)
        for name, definition in declared.items():
            if name not in values:
                if "defaultValue" not in definition:
                    raise TemplateError(f"parameter {name} is given no value")
                evaluator = Evaluator(values, {}, self._runtime())
                values[name] = evaluator.value(definition["defaultValue"])
            _check_bounds(name, definition, values[name])
        return values

    def _runtime(self) -> dict[str, Any]:
        group = {"id": self.scope, "name": self.group, "location": "westeurope"}
        suffix = {
            "keyvaultDns": f".{SUFFIXES[self.azure.cloud]}",
            "storage": STORAGE_SUFFIXES[self.azure.cloud],
        }
        sign_in = {"loginEndpoint": f"https://login.{self.azure.cloud}.example/"}
        return {
            # A group without tags has no such member at all.
            "resourceGroup": lambda: {**group, **({"tags": t} if (t := self.azure.tags) else {})},
            "subscription": lambda: {"subscriptionId": SUBSCRIPTION, "tenantId": "tenant"},
            "environment": lambda: {
                "name": self.azure.cloud,
                "suffixes": suffix,
                "authentication": sign_in,
            },
            "resourceId": self._resource_id,
            "extensionResourceId": lambda scope, kind, *names: resource_id(
                scope, kind, list(names)
            ),
            "subscriptionResourceId": lambda kind, *names: resource_id(
                f"/subscriptions/{SUBSCRIPTION}", kind, list(names)
            ),
            "reference": self._reference,
            "list": self._list,
        }

    def _resource_id(self, *words: str) -> str:
        at = next(i for i, word in enumerate(words) if "/" in word)
        subscription, group = (SUBSCRIPTION, self.group)
        if at == 2:
            subscription, group = words[:2]
        scope = f"/subscriptions/{subscription}/resourceGroups/{group}"
        return resource_id(scope, words[at], list(words[at + 1 :]))

    def _reference(self, identity: str, version: str = "") -> Json:
        if self.current and identity.lower() in self.ours.keys() - self._before(self.current):
            raise TemplateError(f"{self.current} refers to {identity} without depending on it")
        return self.azure.properties(identity)

    def _list(self, identity: str, version: str) -> Json:
        if not identity.endswith("/config/appsettings"):
            raise TemplateError(f"list() of {identity}")
        self.azure.properties(identity.rsplit("/config/", 1)[0])
        return {"properties": dict(self.azure.app_settings)}

    # ---- carrying out

    def go(self) -> None:
        for raw in self.template["resources"]:
            identity = self._identity(raw)
            if identity in self.ours:
                raise TemplateError(f"{identity} stands in the template twice")
            self.ours[identity] = raw
        refused: dict[str, Refused] = {}
        for identity in self._in_order():
            raw = self.ours[identity]
            self.current = identity
            if refused.keys() & self._before(identity):
                continue
            if self.evaluator.value(raw.get("condition", True)):
                try:
                    self._put(identity, raw)
                except Refused as refusal:
                    refused[identity] = refusal
        self.current = None
        if refused:
            raise Refused("; ".join(str(refusal) for refusal in refused.values()))

    def _before(self, identity: str) -> set[str]:
        """All that a resource depends on, at any distance."""
        found: set[str] = set()
        left = [identity]
        while left:
            new = self.needs[left.pop()] - found
            found |= new
            left.extend(new)
        return found

    def _identity(self, raw: Json) -> str:
        name = self.evaluator.value(raw["name"])
        scope = self.evaluator.value(raw.get("scope", self._scope_of(raw)))
        return resource_id(scope, raw["type"], name.split("/")).lower()

    def _scope_of(self, raw: Json) -> str:
        elsewhere = self.evaluator.value(raw.get("resourceGroup", self.group))
        return group_id(elsewhere)

    def _in_order(self) -> Iterator[str]:
        """Ids so that each comes after what it depends on."""
        seen: set[str] = set()
        above: list[str] = []

        def visit(identity: str) -> Iterator[str]:
            if identity in above:
                raise TemplateError(f"a circle of dependsOn through {identity}")
            if identity in seen:
                return
            above.append(identity)
            depends = self.evaluator.value(self.ours[identity].get("dependsOn", []))
            self.needs[identity] = {needed.lower() for needed in depends}
            for needed in sorted(self.needs[identity]):
                if needed not in self.ours:
                    raise TemplateError(f"{identity} depends on {needed}, which is not here")
                yield from visit(needed)
            above.pop()
            seen.add(identity)
            yield identity

        for identity in self.ours:
            yield from visit(identity)

    def _put(self, identity: str, raw: Json) -> None:
        self._check_parent(identity, raw)
        if raw["type"] == "Microsoft.Resources/deployments":
            self._put_deployment(identity, raw)
            return
        body = self.evaluator.value({k: v for k, v in raw.items() if k != "dependsOn"})
        if self.azure.outage(identity):
            raise Refused(f"{identity}: 500 InternalServerError")
        check(self.azure, identity, body)
        self.azure.made_in.setdefault(identity, self.azure.runs)
        self.azure.put.append(identity)
        if raw["type"] == "Microsoft.Resources/tags":
            self.azure.tags = dict(body["properties"]["tags"])
        elif raw["type"] == "Microsoft.Web/sites/config":
            self.azure.app_settings = dict(body["properties"])
        elif raw["type"] == "Microsoft.OperationalInsights/workspaces/tables":
            self._put_table(identity, body)
        else:
            self.azure.resources[identity] = body

    def _put_table(self, identity: str, body: Json) -> None:
        """A table keeps its standard columns; none is given twice, no column changes its type."""
        there = self.azure.resources.get(identity, {}).get("properties", {}).get("schema", {})
        schema = body["properties"]["schema"]
        standard = there.get("standardColumns", [])
        fixed = {column["name"] for column in standard} - {"TimeGenerated"}
        types = {column["name"]: column["type"] for column in there.get("columns", [])}
        for column in schema["columns"]:
            name, kind = column["name"], column["type"]
            if name in fixed:
                raise TemplateError(f"{identity}: {name} is a standard column of this table")
            if types.get(name, kind) != kind:
                raise TemplateError(f"{identity}: {name} is {types[name]}, not {kind}")
        if standard:
            schema["standardColumns"] = standard
        self.azure.resources[identity] = body

    def _put_deployment(self, identity: str, raw: Json) -> None:
        properties = raw["properties"]
        assert properties["expressionEvaluationOptions"] == {"scope": "inner"}
        given = {
            name: self.evaluator.value(item["value"])
            for name, item in properties["parameters"].items()
        }
        group = self.evaluator.value(raw.get("resourceGroup", self.group))
        outputs = self.azure._deploy(properties["template"], given, group)
        self.azure.resources[identity] = {
            "type": raw["type"],
            "properties": {"outputs": {name: {"value": item} for name, item in outputs.items()}},
        }

    def _check_parent(self, identity: str, raw: Json) -> None:
        """What a resource is part of, or stands on, must be there before it."""
        if len(raw["type"].split("/")) > 2:
            parent = identity.rsplit("/", 2)[0]
            implicit = parent.endswith("/default")  # a storage account's services
            if not implicit and parent not in self.azure.resources:
                raise TemplateError(f"{identity} is made before {parent}")
        if "scope" in raw:
            scope = self.evaluator.value(raw["scope"]).lower()
            if scope not in self.azure.resources:
                raise TemplateError(f"{identity} stands on {scope}, which is not there")
