"""By which name gateways know one another in HTTP's Via: stable, short, and telling nothing about a machine.

Knows nothing about requests. What is done about a name that comes back is `gateway/http/loop.py`.
"""

from __future__ import annotations

import os
import re
import socket
from hashlib import blake2b
from pathlib import Path

#: a name as it is written: a pseudonym of RFC 9110, section 7.6.3
NAME = re.compile(r"(?<![\w.-])voxgate-[0-9a-f]{16}(?![\w.-])")
#: another at each boot: machines that were made from one image have one host name, and often one of everything else
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def own_name(data_dir: Path) -> str:
    """The same for all processes of one machine that share a data_dir, also after they were started again.

    Containers of one machine may have one host name too; their file systems are not the same.
    """
    boot = _BOOT.read_text(encoding="ascii") if os.access(_BOOT, os.R_OK) else ""
    facts = (socket.gethostname(), boot, os.stat("/").st_dev, str(data_dir.resolve()))
    return f"voxgate-{blake2b(repr(facts).encode('utf-8', 'surrogateescape'), digest_size=8).hexdigest()}"
