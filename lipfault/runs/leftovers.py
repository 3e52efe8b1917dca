"""Variables of an earlier launch that are left in the environment."""

import os

_RANKS = ('RANK', 'LOCAL_RANK', 'NODE_RANK', 'GROUP_RANK')
"""Variables by which a launcher numbers processes; each launcher sets WORLD_SIZE, too."""


def drop_leftovers() -> dict[str, str]:
    """Remove the numbers of processes that no launcher has set from the environment.

    A shell may keep `LOCAL_RANK` or `NODE_RANK` of an earlier job. With them a single process would
    not count as the first, which guards and writes the run folder. To be called before Lightning is
    imported, which reads them.

    Returns:
        The removed variables.
    """
    numbered = [name for name in _RANKS if name in os.environ]
    size = os.environ.get('WORLD_SIZE', '')
    if not numbered or (size.isdecimal() and int(size) > 1):
        return {}
    # Nodes that a user starts by hand have an address to meet at, and Lightning counts them.
    if not size and {'MASTER_ADDR', 'MASTER_PORT'} <= os.environ.keys():
        return {}
    # A launcher of one process numbers it 0, which is right without the variables, too.
    if all(os.environ[name] == '0' for name in numbered):
        return {}
    return {name: os.environ.pop(name) for name in numbered}
