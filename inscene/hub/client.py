"""Asking the Hub: again where it is busy, and errors that say what to do and no secret.

The token is read by ``huggingface_hub`` itself, for each request. Nothing here holds it, except to
take it out of what the Hub says: a server may repeat what it was sent.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NoReturn, TypeVar

from inscene.errors import InsceneError, MachineError, UsageError
from inscene.hub.patterns import masked

if TYPE_CHECKING:
    from huggingface_hub import HfApi

T = TypeVar("T")

WAITS_S = (1.0, 3.0, 10.0, 30.0)
"""Before the Hub is asked again, where it is busy or the connection was lost."""
MAX_WAIT_S = 300.0
"""The longest that a Retry-After is followed."""
BUSY = {408, 425, 429, 500, 502, 503, 504}
LOG_IN = "hf auth login"


def connect() -> HfApi:
    """Raises :class:`MachineError` where nobody is logged in."""
    from huggingface_hub import HfApi, constants, get_token

    if constants.is_offline_mode():
        raise MachineError(
            "the Hub is not asked, since HF_HUB_OFFLINE is set", next_step="Unset it."
        )
    if not get_token():
        raise MachineError(
            "nobody is logged in to the Hub here",
            where=constants.ENDPOINT,
            next_step=f"Log in with a token that may write: {LOG_IN}",
        )
    return HfApi(endpoint=constants.ENDPOINT, token=True, library_name="inscene")


@contextlib.contextmanager
def no_bars() -> Iterator[None]:
    """The client's own progress bars are off meanwhile: there is one for all files already."""
    from huggingface_hub.utils import (  # type: ignore[attr-defined]
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    off = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not off:
            enable_progress_bars()


def asked(where: str, ask: Callable[[], T]) -> T:
    """The answer, asked for again where the Hub is busy. Other errors as :func:`explain` has them.

    Only for requests that may be repeated.
    """
    for wait_s in (*WAITS_S, None):
        try:
            return ask()
        except Exception as error:
            if wait_s is None or not is_passing(error):
                explain(error, where)
            time.sleep(pause(error, wait_s))
    raise AssertionError


def is_passing(error: BaseException) -> bool:
    """Whether the same request may go well a moment later."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    for one in _chain(error):
        if isinstance(one, HfHubHTTPError):
            return one.response.status_code in BUSY
        if isinstance(one, (httpx2.TransportError, ConnectionError, TimeoutError)):
            return "CERTIFICATE_VERIFY_FAILED" not in str(one)
    return False


def pause(error: BaseException, otherwise_s: float) -> float:
    """Seconds that the Hub wants to be left alone for."""
    after = ""
    for one in _chain(error):
        response = getattr(one, "response", None)
        if response is not None:
            after = str(response.headers.get("Retry-After", ""))
    return min(float(after), MAX_WAIT_S) if after.isdigit() else otherwise_s


def status_of(error: BaseException) -> int | None:
    """Of the HTTP answer behind an error."""
    for one in _chain(error):
        code = getattr(getattr(one, "response", None), "status_code", None)
        if code is not None:
            return int(code)
    return None


def explain(error: Exception, where: str) -> NoReturn:
    """Raise it as an error of ours, without the client's own: its text may hold a token."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    if isinstance(error, InsceneError):
        raise error
    code = status_of(error)
    behind, said = _reason(error)
    if isinstance(error, GatedRepoError) or code in (401, 403):
        raise MachineError(
            f"the Hub refuses this ({code})", where=where, why=f"It says: {said}.",
            next_step=f"Log in with a token that may write there: {LOG_IN}",
        ) from None  # fmt: skip
    if isinstance(error, RepositoryNotFoundError):
        raise UsageError(
            "there is no such repository, or it is not yours", where=where,
            next_step=f"Is it spelt ORG/NAME? Log in as its owner: {LOG_IN}",
        ) from None  # fmt: skip
    if code is not None and code not in BUSY:
        raise MachineError(
            f"the Hub refuses this ({code})", where=where, why=f"It says: {said}.",
            next_step="Mend what it names, and run the same command again.",
        ) from None  # fmt: skip
    if code is not None or is_passing(error) or isinstance(error, OSError):
        raise MachineError(
            "the Hub cannot be reached" if code is None else f"the Hub is busy ({code})",
            where=where, why=f"{type(behind).__name__}: {said}.",
            next_step="Run the same command again: what is there is not sent again. HF_ENDPOINT "
            "names a mirror, HTTPS_PROXY a proxy.",
        ) from None  # fmt: skip
    if isinstance(error, ValueError):  # the client checks cards and names itself
        raise UsageError(
            "the Hub's client refuses this", where=where, why=f"It says: {said}."
        ) from None
    raise MachineError(
        "the Hub's client failed", where=where, why=f"{type(behind).__name__}: {said}.",
        next_step="Run the same command again: what is there is not sent again.",
    ) from None  # fmt: skip


def _reason(error: Exception) -> tuple[BaseException, str]:
    """What is behind an error ("error while uploading" says nothing), and in which words."""
    from huggingface_hub.errors import HfHubHTTPError

    chain = _chain(error)
    behind = next((one for one in chain if isinstance(one, HfHubHTTPError)), chain[-1])
    text = getattr(behind, "server_message", None) or str(behind)
    return behind, _without_secrets(" ".join(text.split()))[:300] or type(behind).__name__


def _without_secrets(text: str) -> str:
    from huggingface_hub import get_token

    token = get_token()
    return masked(text.replace(token, "[secret]") if token else text)


def _chain(error: BaseException | None) -> list[BaseException]:
    """The error and those behind it: the client wraps what an upload meets."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found
