"""What guards files, and what each guard is without itself."""

from __future__ import annotations

from tests.threats.guard import Guard

READ = (
    Guard(
        "names of models",
        "domain/names.py",
        "if _ALLOWED.fullmatch(name) and stem not in _DEVICES",
        "if stem not in _DEVICES",
    ),
    Guard(
        "numbers of versions",
        "registry/registry.py",
        "match = _NUMBER.fullmatch(which)",
        'match = re.search("()1?", which)',
    ),
    Guard(
        "digests of blobs",
        "registry/oci.py",
        "    match = _DIGEST.fullmatch(digest)",
        '    match = re.search(":?((?s:.*))", digest)',
    ),
)
WRITE = (
    Guard(
        "paths of a version that is published",
        "registry/registry.py",
        "problems = [*path_problems(manifest.files), *content",
        "problems = [*content",
    ),
    Guard(
        "paths of a version that is opened",
        "registry/cache.py",
        "tuple(path_problems(entries))\n",
        "()\n",
    ),
    Guard(
        "parents in a path", "registry/entries.py", 'bool({"", ".", ".."} & set(parts))', "False"
    ),
    Guard(
        "backslashes, colons and controls in a path",
        "registry/entries.py",
        'in \'\\\\:<>"|?*\' or unicodedata.category(sign) in {"Cc", "Cs"}',
        "in '' or False",
    ),
    Guard(
        "parents in an archive of code",
        "runtimes/sources.py",
        'or ".." in member.filename.split("/")',
        "",
    ),
    Guard(
        "paths in a backup",
        "registry/restoring.py",
        "if fault := path_fault(path):",
        'if fault := "":',
    ),
    Guard(
        "paths in an image",
        "packaging/image.py",
        'if path.is_absolute() or ".." in path.parts or not',
        "if not",
    ),
)
LINKS = (
    Guard(
        "links in the cache",
        "registry/cache.py",
        "_FILE = os.O_RDONLY | os.O_NOFOLLOW |",
        "_FILE = os.O_RDONLY |",
    ),
    Guard(
        "links to folders in the cache",
        "registry/cache.py",
        "_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW |",
        "_FOLDER = os.O_RDONLY | os.O_DIRECTORY |",
    ),
    Guard("hard links in the cache", "registry/cache.py", "or status.st_nlink != 1", ""),
    Guard(
        "links in the place of blobs",
        "registry/local_blobs.py",
        "_READ = os.O_RDONLY | os.O_NOFOLLOW |",
        "_READ = os.O_RDONLY |",
    ),
    Guard(
        "devices in the place of blobs",
        "registry/local_blobs.py",
        "if not stat.S_ISREG(os.fstat(descriptor).st_mode):",
        "if False:",
    ),
    Guard("bytes of a blob", "registry/cache.py", "if found == entry.digest:", "if True:"),
    Guard(
        "links in a folder from elsewhere",
        "registry/trees.py",
        "_FILE = os.O_RDONLY | os.O_NOFOLLOW |",
        "_FILE = os.O_RDONLY |",
    ),
    Guard(
        "what is no file in a folder from elsewhere",
        "registry/trees.py",
        "if not allowed or not stat.S_ISREG(status.st_mode):",
        "if not allowed:",
    ),
)
ARCHIVES = (
    Guard(
        "size of an archive of code",
        "runtimes/sources.py",
        "if size > _LARGEST_BYTES or len(members) > _MOST_FILES:",
        "if len(members) > _MOST_FILES:",
    ),
    Guard(
        "files of an archive of code",
        "runtimes/sources.py",
        "if size > _LARGEST_BYTES or len(members) > _MOST_FILES:",
        "if size > _LARGEST_BYTES:",
    ),
    Guard(
        "kinds of what an archive of code holds",
        "runtimes/sources.py",
        "or kind not in (0, stat.S_IFREG)",
        "",
    ),
    Guard("where an archive of code lies", "runtimes/sources.py", "if not within or", "if"),
    Guard(
        "names that an archive has twice",
        "runtimes/sources.py",
        'file.open("xb") as written',
        'file.open("wb") as written',
    ),
    Guard(
        "size of an archive that is searched", "runtimes/pickles.py", "or size > _MOST_BYTES", ""
    ),
    Guard(
        "files of an archive that is searched",
        "runtimes/pickles.py",
        "or len(members) > _MOST_MEMBERS",
        "",
    ),
    Guard(
        "archives that are damaged",
        "runtimes/pickles.py",
        "zlib.error, RuntimeError",
        "RuntimeError",
    ),
    Guard(
        "kinds of what a backup holds",
        "registry/restoring.py",
        "if not member.isreg():",
        "if False:",
    ),
    Guard(
        "what a blob in a backup is",
        "registry/restoring.py",
        'if digest_of(content) != f"sha256:{match[1]}":',
        "if False:",
    ),
)
TEMPORARY = (
    Guard("modes of files", "durable.py", "PRIVATE = 0o600", "PRIVATE = 0o666"),
    Guard(
        "modes of folders",
        "durable.py",
        "path.mkdir(mode=0o700, exist_ok=True)",
        "path.mkdir(exist_ok=True)",
    ),
    Guard(
        "files that are there already",
        "durable.py",
        "    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC\n"
        "    descriptor",
        "    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC\n    descriptor",
    ),
    Guard(
        "names of files in between",
        "durable.py",
        '    staged = path.with_name(f".{path.name}.{new_id()}.tmp")\n    try:\n        write_new',
        '    staged = path.with_name(f".{path.name}.tmp")\n    try:\n        write_new',
    ),
)
