"""Where a key comes from. Nothing here prints one."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field

from rung.errors import ConfigError, TierUnavailable
from rung.hiding import HIDDEN, variable


@dataclass(frozen=True, slots=True)
class Env:
    """The name of an environment variable that holds a secret. It is read when a call needs it.

    Args:
        name: name of the variable.

    Raises:
        ConfigError: it is not such a name, or looks like a key. It is not repeated, since it may be the key itself, in
            the wrong place.
    """

    name: str

    def __post_init__(self) -> None:
        if variable(self.name) == HIDDEN:
            raise ConfigError(
                "a key's env is not the name of an environment variable", hint='write { env = "OPENAI_API_KEY" }'
            )


@dataclass(frozen=True, slots=True)
class Secret:
    """A setting that nobody may see.

    Args:
        setting: name of the setting, for errors.
        source: the secret itself, or the variable that holds it; `None` if there is none.
    """

    setting: str
    source: str | Env | None = field(repr=False)

    @property
    def hint(self) -> str:
        """What to do if an endpoint doesn't accept it."""
        if isinstance(self.source, Env):
            return f"check the key in the environment variable {self.source.name}"
        return f"check {self.setting}" if self.source else f"set {self.setting}"

    def read(self) -> str | None:
        """The secret, or `None` if none is set.

        Raises:
            TierUnavailable: the variable is not set, or its value can't be in a header.
        """
        if self.source is None:
            return None
        env = self.source.name if isinstance(self.source, Env) else None
        where = f"the environment variable {env}" if env else self.setting
        value = os.environ.get(env, "") if env else self.source
        if not isinstance(value, str) or not value:
            raise TierUnavailable(f"{where} is not set or empty", hint=f"put the {self.setting} there")
        if not re.fullmatch(r"[!-~]+", value):
            raise TierUnavailable(f"{where} holds white space or other characters that no key has", hint=self.hint)
        return value
