"""Files as they are sent: what is packed in a gzip or zip file, and what no program of rows has written."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from tempfile import TemporaryFile
from typing import IO, BinaryIO, Final

from streamdialer.errors import CannotBeDone

ZIP: Final = b"PK\x03\x04"
_GZIP: Final = b"\x1f\x8b"
_MAX_LAYERS: Final = 3
_MAX_BYTES: Final = 4 * 2**30
_CHUNK: Final = 2**20
_OTHER_FORMATS: Final = {
    b"\xd0\xcf\x11\xe0": "an old Excel file (XLS): save it as XLSX or CSV",
    b"%PDF": "a PDF: ask for a CSV or XLSX file",
    b"Rar!": "a RAR archive: unpack it",
    b"7z\xbc\xaf": "a 7z archive: unpack it",
    b"BZh": "packed with bzip2: unpack it",
    b"\xfd7zX": "packed with xz: unpack it",
}


@contextmanager
def unpacked(source: BinaryIO) -> Iterator[BinaryIO]:
    """The file itself, or the one file that is packed in it; it can be read from any position.

    Raises CannotBeDone for an archive that is broken, encrypted or has several files, and for a format without rows.
    """
    with ExitStack() as stack:
        if not source.seekable():
            source = _copy(stack, source)
        for _ in range(_MAX_LAYERS):
            head = source.read(4)
            source.seek(0)
            try:
                if head.startswith(_GZIP):
                    source = _copy(stack, stack.enter_context(closing(gzip.GzipFile(fileobj=source))))
                    continue
                if head == ZIP:
                    archive = stack.enter_context(zipfile.ZipFile(source))
                    if "[Content_Types].xml" not in archive.namelist():
                        source = _copy(stack, stack.enter_context(archive.open(_only_file(archive))))
                        continue
            except (
                OSError,
                EOFError,
                RuntimeError,
                NotImplementedError,
                zipfile.BadZipFile,
                zlib.error,
            ) as error:
                raise CannotBeDone(f"the file cannot be unpacked: {error}") from error
            for magic, what in _OTHER_FORMATS.items():
                if head.startswith(magic):
                    raise CannotBeDone(f"the file is {what}")
            source.seek(0)
            yield source
            return
        raise CannotBeDone(f"the file is packed more than {_MAX_LAYERS - 1} times: unpack it")


def _only_file(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    files = [
        each
        for each in archive.infolist()
        if not each.is_dir()
        and not any(part.startswith((".", "__MACOSX")) for part in each.filename.split("/"))
    ]
    if len(files) != 1:
        names = ", ".join(each.filename for each in files)[:200]
        raise CannotBeDone(f"the archive has {len(files)} files, takes one: {names}")
    return files[0]


def _copy(stack: ExitStack, packed: IO[bytes] | gzip.GzipFile) -> BinaryIO:
    file = stack.enter_context(TemporaryFile())  # noqa: SIM115 - the stack closes it
    size = 0
    while chunk := packed.read(_CHUNK):
        size += len(chunk)
        if size > _MAX_BYTES:
            raise CannotBeDone(f"the file has more than {_MAX_BYTES // 2**30} GiB unpacked: split it")
        file.write(chunk)
    file.seek(0)
    return file
