"""How a bucket is reached: from the variables and files that the providers' own tools read, and from nowhere else.

What obstore takes from the environment by itself (keys, tokens, web identities, metadata services) is left to it; here
is what their tools know beyond that.
"""

from __future__ import annotations

import os
from configparser import ConfigParser
from configparser import Error as ConfigError
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from analyzer.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: What to look at where access is denied.
VARIABLES = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; AWS_REGION; AWS_ENDPOINT_URL",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN",
}

#: Where a profile says how to get keys that only AWS's own tools can.
_OTHER_KEYS = ("sso_session", "sso_start_url", "role_arn", "credential_process", "login_session")

#: Any of these says where keys are to be had, or that none are needed.
_KEYS_ELSEWHERE = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
)

#: The account of the storage emulator, which Microsoft publishes (learn.microsoft.com/azure/storage/common/
#: storage-use-azurite, "Well-known storage account and key").
_EMULATOR = {
    "account_name": "devstoreaccount1",
    "account_key": "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
    "endpoint": "http://127.0.0.1:10000/devstoreaccount1",
}


class BucketConfig(NamedTuple):
    """What obstore is told: options of the provider and of the HTTP client, and how often a request is tried again."""

    options: dict[str, str]
    client: dict[str, str | bool]
    retries: int


#: Tries after the first, unless AWS_MAX_ATTEMPTS says otherwise: with the pauses between them about half a minute.
RETRIES = 7


def bucket_config(scheme: str, environment: Mapping[str, str] = os.environ) -> BucketConfig:
    """Read how to reach the buckets of a provider.

    Raises
    ------
    SourceError
        Where what the user set cannot be used.
    """
    readers: dict[str, Callable[[Mapping[str, str]], BucketConfig]] = {"s3": _s3, "gs": _gs, "az": _az}
    config = readers[scheme](environment)
    address = config.options.get("endpoint") or config.options.get("base_url") or ""
    if address.startswith("http://"):
        config.client["allow_http"] = True
    return config


def _s3(environment: Mapping[str, str]) -> BucketConfig:
    options: dict[str, str] = {}
    client: dict[str, str | bool] = {}
    retries = RETRIES
    if endpoint := environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL"):
        options["endpoint"] = endpoint
    profile = _profile(environment)
    if region := environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or profile.get("region"):
        options["region"] = region
    if not environment.get("AWS_ACCESS_KEY_ID"):
        keys = {"access_key_id", "secret_access_key", "session_token"}
        options |= {key: profile[f"aws_{key}"] for key in keys if f"aws_{key}" in profile}
    if environment.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true" and not (
        "access_key_id" in options or any(environment.get(name) for name in _KEYS_ELSEWHERE)
    ):
        raise SourceError("expected credentials, found none", hint=f"set {VARIABLES['s3']}")
    if bundle := environment.get("AWS_CA_BUNDLE"):
        client["root_certificate"] = _read("AWS_CA_BUNDLE", bundle)
    if attempts := environment.get("AWS_MAX_ATTEMPTS"):
        if not attempts.isdecimal() or not 1 <= int(attempts) <= 100:
            raise SourceError(f"AWS_MAX_ATTEMPTS: expected a number from 1 to 100, got {attempts!r}")
        retries = int(attempts) - 1
    return BucketConfig(options, client, retries)


def _profile(environment: Mapping[str, str]) -> dict[str, str]:
    """The profile of AWS's tools: the one that AWS_PROFILE names, or the default one where no key is set."""
    if environment.get("AWS_ACCESS_KEY_ID") and not environment.get("AWS_PROFILE"):
        return {}
    name = environment.get("AWS_PROFILE") or "default"
    home = environment.get("HOME") or os.path.expanduser("~")
    config = environment.get("AWS_CONFIG_FILE") or os.path.join(home, ".aws", "config")
    keys = environment.get("AWS_SHARED_CREDENTIALS_FILE") or os.path.join(home, ".aws", "credentials")
    found: dict[str, str] = {}
    for path, section in ((config, name if name == "default" else f"profile {name}"), (keys, name)):
        parser = ConfigParser(interpolation=None, default_section="")
        with suppress(OSError):
            try:
                parser.read(path, encoding="utf-8")
            except (ConfigError, UnicodeError):
                raise SourceError(f"{path}: expected profiles as AWS's tools write them") from None
        if parser.has_section(section):
            found |= dict(parser.items(section))
    if not found and environment.get("AWS_PROFILE"):
        raise SourceError(f"AWS_PROFILE: expected a profile of {config} or {keys}, got {name!r}")
    if "aws_access_key_id" not in found and any(key in found for key in _OTHER_KEYS):
        raise SourceError(
            f"expected keys in AWS's profile {name!r}, got one that only AWS's tools can sign in with",
            hint=f'eval "$(aws configure export-credentials --profile {name} --format env)"',
        )
    return found


def _gs(environment: Mapping[str, str]) -> BucketConfig:
    options: dict[str, str] = {}
    if emulator := environment.get("STORAGE_EMULATOR_HOST"):
        address = emulator if "://" in emulator else f"http://{emulator}"
        options |= {"base_url": address.rstrip("/"), "skip_signature": "true"}
    return BucketConfig(options, {}, RETRIES)


def _az(environment: Mapping[str, str]) -> BucketConfig:
    options: dict[str, str] = {}
    text = environment.get("AZURE_STORAGE_CONNECTION_STRING", "")
    said = dict(part.partition("=")[::2] for part in text.split(";") if part)
    if said.get("UseDevelopmentStorage", "").lower() == "true":
        return BucketConfig(dict(_EMULATOR), {}, RETRIES)
    if account := said.get("AccountName") or environment.get("AZURE_STORAGE_ACCOUNT"):
        options["account_name"] = account
    if key := said.get("AccountKey") or environment.get("AZURE_STORAGE_KEY"):
        options["account_key"] = key
    if token := said.get("SharedAccessSignature") or environment.get("AZURE_STORAGE_SAS_TOKEN"):
        options["sas_key"] = token.removeprefix("?")
    if endpoint := said.get("BlobEndpoint") or environment.get("AZURE_STORAGE_SERVICE_ENDPOINT"):
        options["endpoint"] = endpoint.rstrip("/")
    elif account and (suffix := said.get("EndpointSuffix")):
        options["endpoint"] = f"{said.get('DefaultEndpointsProtocol') or 'https'}://{account}.blob.{suffix}"
    if environment.get("AZURE_STORAGE_AUTH_MODE") == "login":
        options["use_azure_cli"] = "true"
    return BucketConfig(options, {}, RETRIES)


def _read(variable: str, path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SourceError(f"{variable}: {path}: cannot be read: {reason}") from None
