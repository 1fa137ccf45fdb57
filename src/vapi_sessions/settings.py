"""Settings: read once at the start of a command, frozen, unknown names refused."""

from __future__ import annotations

import os
import stat
import zoneinfo
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from vapi_sessions.core import timestamps
from vapi_sessions.core.addresses import is_below, is_usable, with_canonical_host
from vapi_sessions.core.paths import expanded, warehouse_root
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.privacy.policy import MessageText, PersonalData, Policy

if TYPE_CHECKING:
    from vapi_sessions.privacy.sanitizer import Sanitizer

MAX_PAGE_SIZE = 1000
#: A pseudonym key shorter than this can be guessed.
SHORTEST_KEY: Final = 16
#: Bytes read of a key file.
_LARGEST_KEY_FILE: Final = 65_536


def _duration(value: object) -> object:
    return timestamps.parse_duration(value) if isinstance(value, str) else value


def _hours(value: object) -> object:
    """A number is of hours; otherwise a duration."""
    if isinstance(value, str) and value.strip().replace(".", "", 1).isdecimal():
        value = f"{value.strip()}h"
    return _duration(value)


def _moment(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return timestamps.parse(value)
    except ValueError:
        raise ValueError(f"'{value}' is not a date; write 2026-01-31 or 2026-01-31T12:00:00Z") from None


def _listed(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _positive(value: int) -> int:
    if not value:
        raise ValueError("no time is no interval; give one such as 24h")
    return value


def _absolute(value: Path) -> Path:
    return Path.cwd() / value


def _collected(value: Path) -> Path:
    if value.suffix != ".prom":
        raise ValueError(f"'{value}' does not end in .prom, so node_exporter would not read it")
    return value


Duration = Annotated[int, BeforeValidator(_duration), Field(ge=0)]
Hours = Annotated[int, BeforeValidator(_hours), Field(ge=0)]
Moment = Annotated[int, BeforeValidator(_moment)]
Warehouse = Annotated[Path, BeforeValidator(warehouse_root)]
KeyFile = Annotated[Path, BeforeValidator(expanded)]
MetricsFile = Annotated[
    Path, BeforeValidator(expanded), AfterValidator(_absolute), AfterValidator(_collected)
]
#: Separated by commas in the environment.
Listed = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)]


class Settings(BaseSettings):
    """Everything a run depends on. Moments and durations are microseconds; `warehouse` is an absolute path.

    Each field has an environment variable: `VAPI_API_KEY`, `VAPI_SETTLE=2m`. Arguments win over the environment.
    """

    model_config = SettingsConfigDict(env_prefix="VAPI_", frozen=True, extra="forbid", env_ignore_empty=True)

    warehouse: Warehouse = Path("warehouse")
    base_url: str = "https://api.vapi.ai"
    api_key: SecretStr | None = None
    api_key_file: KeyFile | None = None

    since: Moment | None = None
    until: Moment | None = None
    full: bool = False
    #: Whether a sync may continue a warehouse that was filled from another address.
    accept_source: bool = False
    settle: Duration = timestamps.MINUTE
    lookback: Duration = 15 * timestamps.MINUTE
    concurrency: Annotated[int, Field(ge=1, le=64)] = 6
    page_size: Annotated[int, Field(ge=1, le=MAX_PAGE_SIZE)] = MAX_PAGE_SIZE

    keep_snapshots: Annotated[int, Field(ge=1)] = 3
    keep_hours: Hours = 24 * timestamps.HOUR

    personal_data: PersonalData = PersonalData.KEEP
    message_text: MessageText = MessageText.KEEP
    phone_region: str | None = None
    pseudonym_key: SecretStr | None = None
    pseudonym_key_file: KeyFile | None = None
    redact_names: Listed = ()
    redact_paths: Listed = ()

    #: Of messages of the command line on stderr.
    log_format: Literal["text", "json"] = "text"
    #: Time after which `sync` also reconciles; None: never.
    reconcile_every: Annotated[Duration, AfterValidator(_positive)] | None = None
    #: For node_exporter's textfile collector, which reads only names that end in `.prom`; None: no file.
    metrics_file: MetricsFile | None = None

    #: Of days and hours in the views; None keeps the warehouse's, which is UTC at first.
    time_zone: str | None = None

    @field_validator("time_zone")
    @classmethod
    def _check_time_zone(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            return zoneinfo.ZoneInfo(value.strip()).key
        except (
            zoneinfo.ZoneInfoNotFoundError,
            ValueError,
            OSError,
        ):  # a directory, or a name that is no file's
            raise ValueError(
                f"{value!r} is not a time zone that this machine knows, such as Europe/Berlin"
            ) from None

    @field_validator("phone_region")
    @classmethod
    def _check_phone_region(cls, value: str | None) -> str | None:
        if value is None:
            return None
        import phonenumbers  # slow to import, and rarely needed

        region = value.strip().upper()
        if region not in phonenumbers.SUPPORTED_REGIONS:
            raise ValueError(f"{value!r} is not a country of two letters, such as US or DE")
        return region

    @field_validator("redact_paths")
    @classmethod
    def _check_redact_paths(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value:
            from vapi_sessions.privacy.redaction import Extra  # imports pyarrow, which `status` does not need

            Extra.of((), value)
        return value

    @field_validator("base_url")
    @classmethod
    def _check_base_url(cls, value: str) -> str:
        try:
            parts = with_canonical_host(value)
            secret = bool(parts.username or parts.password or parts.query or parts.fragment)
            usable = parts.scheme in ("http", "https") and is_usable(parts.hostname or "") and parts.port != 0
        except ValueError:  # an invalid port
            secret, usable = "@" in value, False
        if secret:  # the message must not repeat it
            raise ValueError(
                "the base URL contains a user, a password, a query or a fragment; give the plain address"
            )
        if not value.isprintable() or " " in value:  # `urlsplit` ignores line breaks, httpx does not
            raise ValueError(
                f"{value!r} contains a space, a line break or another character not allowed in an address"
            )
        if not usable:
            raise ValueError(f"'{value}' is not an address such as https://api.vapi.ai")
        if parts.scheme == "http" and is_below(parts.hostname or "", "vapi.ai"):
            raise ValueError(f"'{value}' would send the key unencrypted; write https")
        return parts.geturl().rstrip("/")

    def key(self) -> SecretStr:
        """The API key, from the environment or from the key file. Raises ConfigurationError if there is none."""
        if self.api_key is not None and self.api_key.get_secret_value().strip():
            key = self.api_key.get_secret_value().strip()
        elif self.api_key_file is not None:
            key = _private_file(self.api_key_file, "key file", "VAPI_API_KEY")
        else:
            key = ""
        if not key:
            raise ConfigurationError(
                "No API key.",
                "Set VAPI_API_KEY (or VAPI_API_KEY_FILE) to a private key. To try without an account: vapi-sessions demo",
            )
        if not key.isascii() or not key.isprintable() or any(c.isspace() for c in key):
            raise ConfigurationError(
                "The API key contains a space, a line break or a non-ASCII character.",
                "Copy it again.",
            )
        return SecretStr(key)

    def sanitizer(self) -> Sanitizer:
        """The sanitizer for sessions before they are stored. Raises ConfigurationError if pseudonyms need a key and have none."""
        from vapi_sessions.privacy.redaction import Extra
        from vapi_sessions.privacy.sanitizer import Sanitizer

        key = self._pseudonym_key() if self.personal_data is PersonalData.PSEUDONYMISE else None
        return Sanitizer(
            Extra.of(self.redact_names, self.redact_paths),
            Policy(self.personal_data, self.message_text, key, self.phone_region),
        )

    def pseudonyms(self) -> Policy | None:
        """The policy that makes the pseudonyms of the given key, whatever `personal_data` is; None without a key."""
        if self.pseudonym_key is None and self.pseudonym_key_file is None:
            return None
        return Policy(PersonalData.PSEUDONYMISE, key=self._pseudonym_key(), region=self.phone_region)

    def _pseudonym_key(self) -> bytes:
        if self.pseudonym_key is not None and self.pseudonym_key.get_secret_value().strip():
            key = self.pseudonym_key.get_secret_value().strip()
        elif self.pseudonym_key_file is not None:
            key = _private_file(self.pseudonym_key_file, "pseudonym key file", "VAPI_PSEUDONYM_KEY")
        else:
            raise ConfigurationError(
                "Pseudonyms need a key, and none is given.",
                "Set VAPI_PSEUDONYM_KEY, or VAPI_PSEUDONYM_KEY_FILE to a file with mode 0600: openssl rand -hex 32",
            )
        if len(key) < SHORTEST_KEY:
            raise ConfigurationError(
                f"The pseudonym key has {len(key)} characters; at least {SHORTEST_KEY} are needed.",
                "Make one with: openssl rand -hex 32",
            )
        return key.encode()


def _private_file(path: Path, what: str, variable: str) -> str:
    """The text of a file that only its owner can read. `variable` is the variable that can hold the key itself."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & (0o037 if _is_credential(path) else 0o077):
                raise ConfigurationError(
                    f"The {what} {path} can be read by others (mode {mode:04o}).",
                    f"Run chmod 600 {path}. If that is impossible (a mounted secret), set {variable} to its content.",
                )
            return file.read(_LARGEST_KEY_FILE).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise ConfigurationError(
            f"The {what} {path} cannot be read: {reason}.",
            f"Set {variable}_FILE to a file that contains only the key.",
        ) from None


def _is_credential(path: Path) -> bool:
    """Whether systemd gives the file to this service alone (`LoadCredential`). Its mode is 0440: that the user may read it is in an
    ACL, whose mask shows where the group's bits are.
    """
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    return bool(directory) and path.parent == Path(str(directory))


def _named(field: str, given: Mapping[str, object]) -> str:
    """The option that gave a value, or the environment variable."""
    variable = f"VAPI_{field.upper()}"
    if given.get(field) is None and os.environ.get(variable):
        return variable
    return "--" + field.replace("_", "-")


def load_settings(
    uses: Collection[str] | None = None, ignores: Collection[str] = (), **given: object
) -> Settings:
    """Settings from the environment and `given` (None means not given). Raises ConfigurationError naming the field.

    `uses`: the fields that the command needs, None for all; `ignores`: those that it does not need. The others have their defaults,
    whatever the environment says.
    """
    unused = {*ignores, *(Settings.model_fields.keys() - uses if uses is not None else ())}
    values = {name: Settings.model_fields[name].default for name in unused}
    try:
        settings = Settings(**values | {name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        field = _named(str(first["loc"][0]), given) if first["loc"] else "settings"
        message = str(first["msg"]).removeprefix("Value error, ")
        secret = any(word in field.lower() for word in ("key", "url"))
        value = "" if secret or "'" in message else f" (given: {first['input']})"
        remedy = f"See vapi-sessions COMMAND --help for {field}."
        if field.startswith("VAPI_"):
            remedy = f"Correct {field}, or unset it."
        raise ConfigurationError(f"{field}: {message}{value}.", remedy) from None
    if settings.since is not None and settings.until is not None and settings.since >= settings.until:
        raise ConfigurationError(
            f"--since {timestamps.show(settings.since)} is not before --until {timestamps.show(settings.until)}.",
            "Swap or change them.",
        )
    return settings
