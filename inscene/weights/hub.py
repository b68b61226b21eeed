"""Files on the Hugging Face Hub: what it says of them, and copies that are on this machine."""

from __future__ import annotations

import re
from pathlib import Path

from inscene.errors import MachineError
from inscene.weights.download import Address, offline, refused
from inscene.weights.manifest import File, Weight

_LFS_HASH = re.compile(r"^[0-9a-f]{64}$")


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


def stated_sha256(cached_file: Path) -> str | None:
    """What the hub said of a file in its cache: large files are stored under their hash."""
    return cached_file.name if _LFS_HASH.match(cached_file.name) else None


def ask(weight: Weight, file: File) -> Address:
    """Where the file is, its size, and its hash where the hub states it.

    The user's token is sent for gated repositories only. Raises ``MachineError`` where the hub does
    not answer or refuses.
    """
    import httpx2
    from huggingface_hub import constants, get_hf_file_metadata, get_token, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    assert weight.repo is not None
    token = (get_token() or False) if weight.gated else False
    endpoint = constants.ENDPOINT
    url = hf_hub_url(
        weight.repo, _path_in_repo(weight, file), revision=weight.revision, endpoint=endpoint
    )
    try:
        facts = get_hf_file_metadata(url, token=token, endpoint=endpoint, retry_on_errors=True)
    except HfHubHTTPError as error:
        code = error.response.status_code if error.response is not None else 0
        says = error.response.headers.get("X-Error-Code", "") if error.response is not None else ""
        if code >= 500 or code == 429:
            raise MachineError("the hub does not answer", where=url, why=f"{error}") from error
        raise refused(code, url, says) from error
    except OfflineModeIsEnabled as error:
        raise offline(url) from error
    except (httpx2.HTTPError, OSError) as error:
        raise MachineError(
            "the hub cannot be reached",
            where=endpoint,
            why=f"{type(error).__name__}: {error}.",
            next_step="Set HF_ENDPOINT for a mirror, HTTPS_PROXY for a proxy, or take the files "
            "from a folder: inscene weights pull NAME --from FOLDER",
        ) from error
    sha256 = facts.etag if facts.etag and _LFS_HASH.match(facts.etag) else None
    headers = {
        name: value
        for name, value in build_hf_headers(token=token, library_name="inscene").items()
        if value
    }
    # The commit that the hub named, so that all parts of one file come from the same.
    at = facts.commit_hash or weight.revision
    pinned = hf_hub_url(weight.repo, _path_in_repo(weight, file), revision=at, endpoint=endpoint)
    return Address(pinned, headers, facts.size, sha256, facts.commit_hash)
