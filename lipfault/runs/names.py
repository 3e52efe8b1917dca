"""Names of files made from names that a file from elsewhere holds."""

import re
import zlib


def file_name(name: str) -> str:
    """Return a name that is safe as a part of the name of a file.

    Args:
        name: Any text, such as the name of a modality in a file from elsewhere.

    Returns:
        The name itself if it has letters, digits, `_`, `-` and single dots only; else these of it,
        and a checksum by which different names stay different.

    Example:
        >>> file_name('camera.left'), file_name('../../x')
        ('camera.left', 'x-422533a8')
    """
    safe = re.sub(r'[^\w.-]+', '-', name).strip('.-')[:60]
    if safe == name:
        return name
    return f'{safe}-{zlib.crc32(name.encode(errors="surrogatepass")):08x}'
