"""Checkpoints on the Hugging Face Hub, or on what ``HF_ENDPOINT`` names instead of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inscene.errors import InsceneError, MachineError, UsageError
from inscene.face2scene import embedded
from inscene.face2scene.document import TRAINING, is_checkpoint

PATTERNS = ["*.json", "*.safetensors"]
"""Nothing else of a repository is fetched: no code, no pickles."""
_REPO = re.compile(r"^[\w.-]+/[\w.-]+$")


def local_folder(
    folder_or_repo: str | Path, *, revision: str | None = None, token: str | bool | None = None
) -> Path:
    """A folder of this machine as it is; a repository ``OWNER/NAME`` fetched into the user's Hub
    cache, at ``revision`` (a branch, a tag or a commit); or the text ``face2scene-small``, which is
    always the checkpoint that ships.

    A folder is preferred to a repository where both exist. Raises ``UsageError`` where it is none
    of these, or the hub has no such thing, ``MachineError`` where the hub cannot be reached or
    refuses.
    """
    ships = folder_or_repo == embedded.NAME  # which no Path is equal to
    folder = embedded.embedded_folder() if ships else Path(folder_or_repo).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise UsageError("a folder has no revisions", where=str(folder))
        return folder
    name = str(folder_or_repo)
    if not _REPO.match(name):
        raise UsageError(
            "there is no such folder, and it is not OWNER/NAME of a repository either",
            where=name,
            next_step=f"The one that ships with inscene is {embedded.NAME}.",
        )
    from huggingface_hub import snapshot_download

    with _told(name):
        return Path(
            snapshot_download(
                name,
                revision=revision,
                token=token,
                allow_patterns=PATTERNS,
                ignore_patterns=[f"{TRAINING}/*"],
            )
        )


def push(
    folder: Path,
    repo: str,
    *,
    private: bool = True,
    revision: str | None = None,
    message: str = "Face2Scene checkpoint",
    token: str | bool | None = None,
) -> str:
    """Upload a checkpoint in one commit, without ``training/``, and return the commit's address.

    The repository is made where it does not exist, and then only its owner sees it, unless
    ``private`` is False. A ``revision`` is a branch, made where it does not exist.
    """
    if not is_checkpoint(folder):
        raise UsageError("this is no checkpoint", where=str(folder))
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    with _told(repo):
        name = api.create_repo(repo, private=private, exist_ok=True).repo_id
        if revision is not None:
            api.create_branch(name, branch=revision, exist_ok=True)
        commit = api.upload_folder(
            repo_id=name,
            folder_path=folder,
            revision=revision,
            commit_message=message,
            allow_patterns=PATTERNS,
            ignore_patterns=[f"{TRAINING}/*"],
            # Parts that the model no longer has; pictures and texts of the repository stay.
            delete_patterns=PATTERNS,
        )
    return str(commit.commit_url)


@contextmanager
def _told(repo: str) -> Iterator[None]:
    """The hub's errors in this program's words."""
    import httpx2
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    cause: Exception
    failure: InsceneError
    try:
        yield
        return
    except RevisionNotFoundError as error:
        cause, failure = error, UsageError("the repository has no such revision", where=repo)
    except (GatedRepoError, RepositoryNotFoundError) as error:
        cause = error
        failure = MachineError(
            "there is no such repository, or it is not for you",
            where=repo,
            next_step="Check its name; for a private or gated one: hf auth login",
        )
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        cause = error
        failure = MachineError(
            "the checkpoint is not on this machine, and the hub cannot be reached",
            where=repo,
            why=f"{error}",
            next_step="Unset HF_HUB_OFFLINE, set HF_ENDPOINT for a mirror, or give a folder.",
        )
    except (HfHubHTTPError, httpx2.HTTPError, OSError, RuntimeError) as error:
        # A RuntimeError is what a failed upload of one file becomes.
        cause = error
        failure = MachineError(
            "the hub does not answer as it should",
            where=repo,
            why=f"{error.__cause__ or error}",
            next_step="Try again later, or set HF_ENDPOINT for a mirror.",
        )
    raise failure from cause
