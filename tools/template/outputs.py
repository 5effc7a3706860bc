"""The deployment's outputs: addresses, names and ids; nothing secret."""

from __future__ import annotations

from tools import project
from tools.template import app, network, rule
from tools.template.arm import RULES_API, SITES_API, Json, either, value, variable
from tools.template.ingestion import ENDPOINT, rule_id
from tools.template.sections import Section, sections

_HOST = f"reference({app.APP}, '{SITES_API}').defaultHostName"
# The Logs Ingestion API's audience in each of Azure's clouds.
_AUDIENCE = either(
    "equals(environment().name, 'AzureUSGovernment')",
    "'https://monitor.azure.us'",
    either(
        "equals(environment().name, 'AzureChinaCloud')",
        "'https://monitor.azure.cn'",
        "'https://monitor.azure.com'",
    ),
)


def outputs() -> Json:
    """Addresses and names, and what to paste into a product that posts."""
    return {
        "functionAppName": _text(variable("app")),
        "keyVaultName": _text(variable("vault")),
        "storageAccountName": _text(variable("storage")),
        **{
            f"{section.camel}WebhookUrl": _of(
                section, f"concat('https://', {_HOST}, '/api/{_webhook(section)}')"
            )
            for section in sections()
            if section.webhook
        },
        "logsIngestionEndpoint": _text(
            f"reference({ENDPOINT}, '{RULES_API}').logsIngestion.endpoint"
        ),
        "logsIngestionAudience": _text(_AUDIENCE),
        "tenantId": _text("subscription().tenantId"),
        "signInAddress": _text("environment().authentication.loginEndpoint"),
        **{
            f"{section.camel}RuleId": _of(
                section, f"reference({rule_id(section)}, '{RULES_API}').immutableId"
            )
            for section in sections()
            if section.rule_setting is None
        },
        "outgoingAddress": _text(either(network.OWN, network.ADDRESS, "''")),
        # Rules that see less than was sent, and rules that are not there, by a person's choice.
        "rulesThatReadFilteredStreams": _array(rule.behind_filters()),
        "rulesLeftOutByActivityData": _array(rule.left_out()),
    }


def _webhook(section: Section) -> str:
    """The name of the function that the vendor posts to, which is its route too."""
    name = f"{section.key}Webhook"
    if not (project.ROOT / name / "function.json").is_file():
        raise ValueError(f"{section.key} posts events, and there is no function {name}")
    return name


def _of(section: Section, expression: str) -> Json:
    """An output of a section; empty where the section is not deployed."""
    condition = section.condition
    return _text(expression if condition is None else either(condition, expression, "''"))


def _array(expression: str) -> Json:
    return {"type": "array", "value": value(expression)}


def _text(expression: str) -> Json:
    return {"type": "string", "value": value(expression)}
