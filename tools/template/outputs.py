"""What a person needs to know after a deployment; nothing secret."""

from __future__ import annotations

from tools.template import app
from tools.template.arm import RULES_API, SITES_API, Json, either, parameter, value, variable
from tools.template.ingestion import ENDPOINT, rule_id
from tools.template.sections import section

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
    """Addresses and names, and what to paste into TrapEye."""
    rule = f"reference({rule_id(section('TrapEye'))}, '{RULES_API}').immutableId"
    return {
        "functionAppName": _text(variable("app")),
        "keyVaultName": _text(variable("vault")),
        "storageAccountName": _text(variable("storage")),
        "oneLoginWebhookUrl": _text(
            either(
                parameter("useOneLogin"),
                f"concat('https://', {_HOST}, '/api/OneLoginWebhook')",
                "''",
            )
        ),
        "logsIngestionEndpoint": _text(
            f"reference({ENDPOINT}, '{RULES_API}').logsIngestion.endpoint"
        ),
        "logsIngestionAudience": _text(_AUDIENCE),
        "tenantId": _text("subscription().tenantId"),
        "signInAddress": _text("environment().authentication.loginEndpoint"),
        "trapEyeRuleId": _text(either(variable("useTrapEye"), rule, "''")),
    }


def _text(expression: str) -> Json:
    return {"type": "string", "value": value(expression)}
