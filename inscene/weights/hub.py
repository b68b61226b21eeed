"""Files on the Hugging Face Hub: what it says of them, and copies that are on this machine."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from inscene.errors import MachineError
from inscene.weights.download import (
    TRY_AGAIN,
    Address,
    is_untrusted,
    offline,
    refused,
    untrusted,
)
from inscene.weights.manifest import File, Weight

if TYPE_CHECKING:
    from huggingface_hub import HfFileMetadata

WAITS_S = (1.0, 3.0, 10.0)
"""Before the hub is asked again, where it is busy."""
_LFS_HASH = re.compile(r"^[0-9a-f]{64}$")
_GIT_HASH = re.compile(r"^[0-9a-f]{40}$")


def _path_in_repo(weight: Weight, file: File) -> str:
    return f"{weight.subfolder}/{file.path}" if weight.subfolder else file.path


def cached(weight: Weight, file: File) -> Path | None:
    """The file in the user's Hub cache, where another program has put it."""
    from huggingface_hub import try_to_load_from_cache

    assert weight.repo is not None
    found = try_to_load_from_cache(
        weight.repo, _path_in_repo(weight, file), revision=weight.revision
    )
    return Path(found).resolve() if isinstance(found, str) else None


def stated_by(etag: str | None) -> str | None:
    """What the hub says of a file's content, by its ETag; its cache names files by it too."""
    if etag and _LFS_HASH.match(etag):
        return f"sha256:{etag}"
    return f"git:{etag}" if etag and _GIT_HASH.match(etag) else None


def ask(weight: Weight, file: File) -> Address:
    """Where the file is, its size, and its hash where the hub states it.

    The user's token is sent for gated repositories only. Raises ``MachineError`` where the hub does
    not answer or refuses.
    """
    from huggingface_hub import constants, get_token, hf_hub_url
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    assert weight.repo is not None
    token = (get_token() or False) if weight.gated else False
    path, endpoint = _path_in_repo(weight, file), constants.ENDPOINT
    url = hf_hub_url(weight.repo, path, revision=weight.revision, endpoint=endpoint)
    facts = _head(url, token, endpoint, weight.gated)
    # The commit that the hub named, so that all parts of one file come from the same.
    at = facts.commit_hash or weight.revision
    pinned = hf_hub_url(weight.repo, path, revision=at, endpoint=endpoint)
    headers = build_hf_headers(token=token, library_name="inscene")
    stated = stated_by(facts.etag)
    return Address(pinned, headers, facts.size, stated, facts.commit_hash, weight.gated)


def _head(url: str, token: str | bool, endpoint: str, gated: bool) -> HfFileMetadata:
    import httpx2
    from huggingface_hub import get_hf_file_metadata
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    for wait_s in (*WAITS_S, None):
        why = ""
        try:
            return get_hf_file_metadata(url, token=token, endpoint=endpoint)
        except HfHubHTTPError as error:
            code = error.response.status_code
            if code not in TRY_AGAIN:
                raise refused(code, url, gated) from error
            why = f"It answers {code}"
        except OfflineModeIsEnabled as error:
            raise offline(url) from error
        except (httpx2.TimeoutException, httpx2.RemoteProtocolError) as error:
            why = f"{type(error).__name__}: {error}"
        except (httpx2.HTTPError, OSError) as error:
            if is_untrusted(error):
                raise untrusted(url, error) from error
            raise _unreachable(endpoint, f"{type(error).__name__}: {error}") from error
        if wait_s is not None:
            time.sleep(wait_s)
    raise _unreachable(endpoint, f"{why}, {len(WAITS_S) + 1} times in a row")


def _unreachable(endpoint: str, why: str) -> MachineError:
    return MachineError(
        "the hub cannot be reached",
        where=endpoint,
        why=f"{why}.",
        next_step="Set HF_ENDPOINT for a mirror, HTTPS_PROXY for a proxy, or take the files "
        "from a folder: inscene weights pull NAME --from FOLDER",
    )
