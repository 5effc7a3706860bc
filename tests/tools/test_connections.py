"""Many connections at once: the commands that a CSV file makes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.connections import main

OPTIONS = ["--group", "my group", "--app", "my-app", "--vault", "my-vault"]


def printed(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """The exit status of the command for a file of that text, and what it printed."""
    file = tmp_path / "connections.csv"
    file.write_text(text, encoding="utf-8")
    status = main([str(file), *OPTIONS])
    told = capsys.readouterr()
    return status, told.out, told.err


def test_a_row_is_a_setting_and_a_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The secret first, so that no tick finds an address alone; empty cells are left out."""
    status, out, _ = printed(
        "name,SentinelOneUrl,SentinelOneAPIToken,SentinelOneStreams\n"
        "emea,https://emea.example.net,EMEA_TOKEN,\n",
        tmp_path,
        capsys,
    )
    assert status == 0
    assert out.splitlines() == [
        "az keyvault secret set --vault-name my-vault -n SentinelOneAPIToken--emea "
        '--value "$EMEA_TOKEN" --output none',
        "az functionapp config appsettings set -g 'my group' -n my-app --output none "
        "--settings SentinelOneUrl__emea=https://emea.example.net",
    ]


def test_a_connection_of_secrets_alone_has_a_reference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its name must stand among the app settings."""
    _, out, _ = printed("name,OneLoginBearerToken\nemea,EMEA_TOKEN\n", tmp_path, capsys)
    assert out.splitlines()[1].endswith(
        "'OneLoginBearerToken__emea=@Microsoft.KeyVault(VaultName=my-vault;"
        "SecretName=OneLoginBearerToken--emea)'"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,SentinelOneUrl\ne_u,https://x.example.net\n", "Line 2: name must be"),
        ("name,SentinelOneUrl\nemea,x\n", "Line 2: SentinelOneUrl__emea must begin with"),
        ("name,Nonsense\nemea,x\n", "Line 2: Nonsense is no setting"),
        ("name,SentinelOneAPIToken\nemea,eyJ.secret\n", "must name an environment variable"),
        ("name,SentinelOneAPIToken\nemea,\n", "Line 2: emea has no setting"),
        (
            "name,SentinelOneUrl\nemea,https://x.example.net\nEMEA,https://y.example.net\n",
            "Line 3: the name emea stands twice",
        ),
    ],
)
def test_a_wrong_file_prints_no_command(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its line is named, and no secret is quoted."""
    status, out, err = printed(text, tmp_path, capsys)
    assert (status, out) == (1, "")
    assert said in err
    assert "eyJ" not in err
