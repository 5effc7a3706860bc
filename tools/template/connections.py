"""Named connections: further consoles, sites or accounts of a connector, by ``connections``.

Each item is ``{"connector": …, "name": …, "settings": {…}}``. A setting becomes an app setting
with ``__name`` behind; each required secret becomes a reference to Key Vault, where a person puts
the secret itself. docs/connections.md is the contract.
"""

from __future__ import annotations

from tools.template.arm import Json, create_object, parameter, quoted, variable
from tools.template.sections import Section, sections

_ALL = parameter("connections")
_CONNECTION = "lambdaVariables('connection')"


def variables() -> Json:
    """Each connector's required secrets, and the names that may not stand in ``settings``.

    The latter in lower case: a name that is spelt otherwise is a secret's all the same.
    """
    return {
        "connectorSecrets": {
            section.key: [each.name for each in section.secrets if each.required]
            for section in _connectors()
        },
        "secretNames": [each.name.lower() for section in _connectors() for each in section.secrets],
    }


def named(section: Section) -> str:
    """Whether a connector has a named connection, as an expression."""
    connectors = f"map({_ALL}, lambda('connection', {_CONNECTION}.connector))"
    return f"contains({connectors}, {quoted(section.key)})"


def settings() -> str:
    """The app settings of all named connections, as an expression of one object."""
    name = f"concat({{}}, '__', {_CONNECTION}.name)"
    each = "lambdaVariables('setting')"
    plain = (
        f"toObject(items({_given()}), lambda('setting', {name.format(each + '.key')}), "
        f"lambda('setting', {each}.value))"
    )
    secret = "lambdaVariables('secret')"  # noqa: S105 - a lambda's variable
    uri = (
        f"concat('@Microsoft.KeyVault(SecretUri=', {variable('vaultUri')}, 'secrets/', {secret}, "
        f"'--', {_CONNECTION}.name, ')')"
    )
    referred = (
        f"toObject({variable('connectorSecrets')}[{_CONNECTION}.connector], "
        f"lambda('secret', {name.format(secret)}), lambda('secret', {uri}))"
    )
    united = f"union(lambdaVariables('united'), {plain}, {referred})"
    return f"reduce({_ALL}, createObject(), lambda('united', 'connection', {united}))"


def of_unknown_connectors() -> str:
    """How many connections are of a connector that the template does not know."""
    known = create_object({section.key: "''" for section in _connectors()})
    unknown = f"lambda('connection', not(contains({known}, {_CONNECTION}.connector)))"
    return f"length(filter({_ALL}, {unknown}))"


def with_secrets() -> str:
    """How many connections hold a secret, which would show in the deployment's history."""
    secret = f"contains({variable('secretNames')}, toLower(lambdaVariables('setting').key))"
    held = f"filter(items({_given()}), lambda('setting', {secret}))"
    return f"length(filter({_ALL}, lambda('connection', not(empty({held})))))"


def plain_secrets() -> str:
    """How many of ``appSettings`` are a secret's own text; a reference to Key Vault is none."""
    each = "lambdaVariables('setting')"
    name = f"toLower(split({each}.key, '__')[0])"
    reference = f"startsWith(string({each}.value), '@Microsoft.KeyVault(')"
    plain = f"and(contains({variable('secretNames')}, {name}), not({reference}))"
    return f"length(filter(items({parameter('appSettings')}), lambda('setting', {plain})))"


def _given() -> str:
    return f"coalesce(tryGet({_CONNECTION}, 'settings'), createObject())"


def _connectors() -> list[Section]:
    return [section for section in sections() if section.has_connections]
