"""How many requests one process works on at once: each holds a connection, which is a file, and some memory.

Engines bound who waits for them; this bounds all the others: bodies that arrive slowly, listeners who read slowly or
follow one another's speech. Beyond it there are files left for `/livez` and whoever looks after the process.
"""

import resource

#: requests at once, however many files there may be: some 50 kB each
MOST_AT_ONCE = 4096
#: part of the files that a process may open which requests may take; and how many files are enough
PART_OF_FILES, ENOUGH_FILES = 0.75, 16_384


def most_at_once() -> int:
    """Requests that this process may work on at once."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_AT_ONCE if files == resource.RLIM_INFINITY else min(MOST_AT_ONCE, int(files * PART_OF_FILES))


def take_files() -> None:
    """Let this process, and those that it starts, open as many files as they may: shells commonly allow 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH_FILES if hard == resource.RLIM_INFINITY else min(hard, ENOUGH_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
