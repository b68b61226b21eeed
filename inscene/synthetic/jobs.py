"""Jobs: every image that is to be made, and where all of it comes from.

A plan is a function of its inputs. Neither the order of a listing nor who works on it changes a
job, its id or its seeds.
"""

from __future__ import annotations

import os
import posixpath
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from inscene.errors import UsageError
from inscene.faces.references import ReferenceFolder
from inscene.images.rules import ImageFault
from inscene.seeds import Draws, derive_key
from inscene.synthetic.prompts.authors_csv import CsvRow, Mode, read_authors_csv, repeats
from inscene.synthetic.prompts.gender import NEUTRAL, GenderMap
from inscene.synthetic.prompts.grammar import Grammar, Prompt
from inscene.synthetic.split import IdentitySplit, Split, split_by_csv, split_by_hash


@dataclass(frozen=True)
class Job:
    """One image to make."""

    id: str
    """32 hex digits, of identity, file, prompt and repeat."""
    sample_id: str
    """For people: "00289/11-5f0c1e9a-r0"; the middle is of identity, file and prompt. Unique."""
    identity: str
    file_id: str
    """The reference, below the identity's folder."""
    reference: str
    """The same, below the folder of references."""
    prompt: str
    slots: Mapping[str, str] = field(hash=False)
    """What the grammar drew; empty for prompts of a CSV."""
    shot: str | None
    """"full-body" or "mid-up"; None where a CSV's prompt names neither."""
    repeat: int
    """From 0: the same prompt again, with other noise."""
    split: Split
    pack: str | None = None
    """Scene pack, of prompts of the grammar."""
    grammar: str | None = None
    """Version of the grammar."""


@dataclass(frozen=True)
class Problem:
    """A reference that nothing can be made from."""

    identity: str
    file_id: str
    reason: str
    """A word that does not change: of :class:`inscene.images.rules.ImageFault`, or
    ``name_not_unicode``."""
    detail: str
    """For people."""
    jobs_lost: int
    """0 where other references stand in."""
    line: int | None = None
    """First line of the CSV that asks for it."""


@dataclass(frozen=True)
class Plan:
    jobs: tuple[Job, ...]
    """Sorted by id."""
    problems: tuple[Problem, ...]
    """Sorted by identity and file."""
    split: IdentitySplit


def job_id(identity: str, file_id: str, prompt: str, repeat: int) -> str:
    return derive_key("synthetic job", identity, file_id, prompt, repeat).hex()


def seed_of(root_seed: int, job_id: str, attempt: int) -> int:
    """The 63-bit seed of a job's n-th try, from 0. Nothing else enters."""
    return Draws("synthetic image", root_seed, job_id).seed(f"attempt {attempt}")


def plan_from_grammar(
    references: Path,
    grammar: Grammar,
    *,
    seed: int,
    per_reference: int = 3,
    per_identity: int | None = None,
    repeats: int = 1,
    genders: GenderMap | None = None,
    split: IdentitySplit | None = None,
) -> Plan:
    """Prompts for every identity of a folder: sub-folders of people, or one person's photos.

    ``per_reference`` prompts for each photo [authors: 3 images]; or, where ``per_identity`` is
    given, so many for each person, over as many of their photos as there are, in a keyed order.
    ``repeats`` images of each prompt. Without ``genders`` all are persons; with them, everybody
    must be named. Without ``split``, :func:`split_by_hash` makes it.

    Raises :class:`UsageError` for a folder without images, for people whom ``genders`` or ``split``
    lack, and where the packs are too small.
    """
    for name, number in (("per_reference", per_reference), ("repeats", repeats)):
        if number < 1:
            raise UsageError(f"{name} is {number}", why="It is at least 1.")
    if per_identity is not None and per_identity < 1:
        raise UsageError(f"per_identity is {per_identity}", why="It is at least 1.")
    people = _people(references)
    if genders is not None:
        genders.require(people)
    split = split or split_by_hash(people)
    jobs: list[Job] = []
    problems: list[Problem] = []
    for identity, files in people.items():
        usable, faults = _sorted_out(files, references)
        of_each = per_reference if per_identity is None else (0 if usable else per_identity)
        for file_id, (reason, detail) in faults:
            lost = of_each * repeats
            problems.append(Problem(identity, file_id, reason, detail, lost))
            of_each = per_reference if per_identity is None else 0  # a person's images count once
        wanted = (
            [(file_id, number) for file_id in usable for number in range(per_reference)]
            if per_identity is None
            else _spread(usable, per_identity, Draws("synthetic references", seed, identity))
        )
        subject = NEUTRAL if genders is None else genders.subject_of(identity)
        prompts = grammar.prompts(seed, identity, wanted, subject)
        part = split.split_of(identity)
        for (file_id, _), prompt in prompts.items():
            jobs += [
                _drawn_job(identity, file_id, files[file_id], prompt, repeat, part)
                for repeat in range(repeats)
            ]
    return _plan(jobs, problems, split)


def plan_from_csv(
    csv: Path,
    references: Path,
    *,
    mode: Mode = "image",
    split: IdentitySplit | None = None,
) -> Plan:
    """The images that the authors' CSV asks for.

    Without ``split``, everybody in it is for validation, as in the authors' own file.

    Raises :class:`UsageError` for a CSV that does not fit, with its lines, for a folder that is not
    there, and for identities that ``split`` lacks.
    """
    rows = read_authors_csv(csv)
    if not references.is_dir():
        raise UsageError("there is no folder of references", where=str(references))
    split = split or split_by_csv((), rows)
    faults: dict[tuple[str, str], tuple[str, str] | None] = {}
    lost: dict[tuple[str, str], tuple[int, int]] = {}  # number of jobs, first line
    jobs: list[Job] = []
    for row, repeat in repeats(rows, mode):
        key = (row.identity, row.file_id)
        if key not in faults:
            faults[key] = _fault_in_csv(references, row)
        if faults[key] is not None:
            count, line = lost.get(key, (0, row.line))
            lost[key] = (count + 1, line)
            continue
        jobs.append(_csv_job(row, repeat, split.split_of(row.identity)))
    problems = [
        Problem(*key, *fault, *lost[key]) for key, fault in faults.items() if fault is not None
    ]
    if not jobs:
        _refuse_folder_around(references, {row.identity for row in rows})
    return _plan(jobs, problems, split)


def _plan(jobs: Iterable[Job], problems: Iterable[Problem], split: IdentitySplit) -> Plan:
    done = tuple(sorted(jobs, key=lambda job: job.id))
    names: set[str] = set()
    for job in done:
        if job.sample_id in names:  # 32 bits: less than once in 100,000 plans of this size
            raise UsageError(
                f"two prompts are given the name {job.sample_id!r}",
                why="Their hashes agree by chance.",
                next_step="Plan with another seed.",
            )
        names.add(job.sample_id)
    by_place = sorted(problems, key=lambda problem: (problem.identity, problem.file_id))
    return Plan(done, tuple(by_place), split)


def _drawn_job(
    identity: str, file_id: str, reference: str, prompt: Prompt, repeat: int, split: Split
) -> Job:
    return Job(
        id=job_id(identity, file_id, prompt.text, repeat),
        sample_id=_sample_id(identity, file_id, prompt.text, repeat),
        identity=identity,
        file_id=file_id,
        reference=reference,
        prompt=prompt.text,
        slots=prompt.slots,
        shot=prompt.shot,
        repeat=repeat,
        split=split,
        pack=prompt.pack,
        grammar=prompt.grammar,
    )


def _csv_job(row: CsvRow, repeat: int, split: Split) -> Job:
    shot = re.search(r"\b(full-body|mid-up)\b", row.prompt)
    return Job(
        id=job_id(row.identity, row.file_id, row.prompt, repeat),
        sample_id=_sample_id(row.identity, row.file_id, row.prompt, repeat),
        identity=row.identity,
        file_id=row.file_id,
        reference=f"{row.identity}/{row.file_id}",
        prompt=row.prompt,
        slots={},
        shot=shot[1] if shot else None,
        repeat=repeat,
        split=split,
    )


def _sample_id(identity: str, file_id: str, prompt: str, repeat: int) -> str:
    stem, _ = posixpath.splitext(file_id)
    digest = derive_key("synthetic sample", identity, file_id, prompt).hex()[:8]
    return f"{identity}/{stem}-{digest}-r{repeat}"


def _spread(files: Sequence[str], count: int, draws: Draws) -> list[tuple[str, int]]:
    """So many (file, number) pairs: every file once before one comes again."""
    order = sorted(files, key=lambda file_id: (draws.seed(file_id), file_id))
    return [(order[at % len(order)], at // len(order)) for at in range(count)] if order else []


def _people(references: Path) -> dict[str, dict[str, str]]:
    """identity -> file id -> path below the folder, all sorted. One person's folder gives its own
    name."""
    folder = ReferenceFolder(references)
    people: dict[str, dict[str, str]] = {}
    labels: list[str | None] = [*sorted(folder.labels)]
    for label in labels or [None]:
        root = len((references / label if label else references).parts)
        identity = _readable(label or Path(os.path.abspath(references)).name)
        photos = {
            "/".join(path.parts[root:]): "/".join(path.parts[len(references.parts) :])
            for path in folder.photos(label)
        }
        if len(folder.labels) == 1 and all("/" in file_id for file_id in photos):
            _refuse_folder_around(references, {file_id.split("/")[0] for file_id in photos})
        people[identity] = photos
    return people


def _refuse_folder_around(references: Path, identities: set[str]) -> None:
    """A downloaded collection often lies one folder deeper than was meant."""
    for child in sorted(references.iterdir()):
        if child.is_dir() and any((child / identity).is_dir() for identity in identities):
            raise UsageError(
                "holds no folders of people",
                where=str(references),
                next_step=f"Is {child} the one that is meant?",
            )


Faults = list[tuple[str, tuple[str, str]]]


def _sorted_out(files: Mapping[str, str], references: Path) -> tuple[list[str], Faults]:
    """The file ids that can be used, and those that cannot, each with reason and detail."""
    usable: list[str] = []
    faults: Faults = []
    for file_id, reference in files.items():
        fault = _fault_of(references, reference)
        if fault is None:
            usable.append(file_id)
        else:
            faults.append((_readable(file_id), fault))
    return usable, faults


def _readable(name: str) -> str:
    """A file name as valid Unicode: bytes that are none are written as escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _is_unicode(name: str) -> bool:
    return _readable(name) == name


def _fault_of(references: Path, name: str) -> tuple[str, str] | None:
    """Why this cannot be a reference, as far as can be told without reading it. ``name`` is the
    path below the folder of references."""
    if not _is_unicode(name):
        return "name_not_unicode", "the name of the file or of its folder is not UTF-8: rename it"
    path = os.path.join(references, name)
    try:
        status = os.stat(path)
    except OSError as error:
        if os.path.islink(path):
            fault = ImageFault.BROKEN_SYMLINK
        elif isinstance(error, FileNotFoundError | NotADirectoryError):
            fault = ImageFault.FILE_MISSING
        elif isinstance(error, PermissionError):
            fault = ImageFault.PERMISSION_DENIED
        else:
            fault = ImageFault.FILE_UNREADABLE
        return fault.value, fault.meaning
    if stat.S_ISREG(status.st_mode):
        if status.st_size:
            return None
        return ImageFault.EMPTY_FILE.value, ImageFault.EMPTY_FILE.meaning
    folder = stat.S_ISDIR(status.st_mode)
    fault = ImageFault.IS_A_DIRECTORY if folder else ImageFault.SPECIAL_FILE
    return fault.value, fault.meaning


def _fault_in_csv(references: Path, row: CsvRow) -> tuple[str, str] | None:
    fault = _fault_of(references, f"{row.identity}/{row.file_id}")
    if fault is None or (references / row.identity).is_dir():
        return fault
    reason, _ = fault
    padded = row.identity.zfill(5)  # CelebRef-HQ's folders
    if (references / padded).is_dir():
        return reason, f"no folder {row.identity!r}, but {padded!r}: a spreadsheet drops zeros"
    return reason, f"there is no folder {row.identity!r}"
