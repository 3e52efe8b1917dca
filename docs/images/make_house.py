"""Draw the rooms of the package as an SVG, from the floors and arrows below.

python docs/images/make_house.py
"""

from pathlib import Path

OUT = Path(__file__).with_name('house.svg')
FLOORS = (
    (('cli', 'the command line'),),
    (('cells', 'simulated robots'), ('importers', 'other formats'), ('callbacks', 'observers'),
     ('sweeps', 'offline sweeps')),
    (('tasks', 'two stages, trained models'), ('report', 'figures, HTML'),
     ('audit', 'broken sensors')),
    (('models', 'networks, compute blocks'), ('data', 'recordings, windows'),
     ('metrics', 'detection, recovery'), ('tracking', 'W&amp;B')),
    (('lipschitz', 'norms, bounds, gains'), ('faults', 'catalogue, engine')),
    (('modality', 'vocabulary: modality, errors'), ('runs', 'run folders, checkpoints')),
)  # fmt: skip
ARROWS = (
    ('cli', 'callbacks'), ('cli', 'sweeps'), ('cli', 'cells'), ('cli', 'importers'),
    ('audit', 'data'), ('importers', 'data'), ('callbacks', 'tasks'),
    ('callbacks', 'report'), ('sweeps', 'report'), ('cells', 'data'), ('tasks', 'models'),
    ('tasks', 'data'), ('tasks', 'metrics'), ('report', 'tracking'), ('tasks', 'lipschitz'),
    ('data', 'faults'), ('data', 'runs'), ('faults', 'modality'),
    ('models', 'modality'),
)  # fmt: skip
"""The main imports between rooms; the table of docs/architecture.md has all."""

WIDTH, BOX, ROW = 900, (200, 48), 92  # pixels


def draw() -> str:
    """Return the SVG."""
    middle = {
        name: (round((i + 0.5) * WIDTH / len(floor)), 40 + row * ROW)
        for row, floor in enumerate(FLOORS)
        for i, (name, _) in enumerate(floor)
    }
    half = BOX[1] // 2
    lines = [
        f'<line x1="{middle[a][0]}" y1="{middle[a][1] + half}" x2="{middle[b][0]}" '
        f'y2="{middle[b][1] - half - 3}" marker-end="url(#tip)"/>'
        for a, b in ARROWS
    ]
    boxes = [
        f'<rect x="{middle[n][0] - BOX[0] // 2}" y="{middle[n][1] - half}" width="{BOX[0]}" '
        f'height="{BOX[1]}" rx="6"/><text x="{middle[n][0]}" y="{middle[n][1] - 3}" '
        f'class="name">{n}</text><text x="{middle[n][0]}" y="{middle[n][1] + 15}">{text}</text>'
        for floor in FLOORS
        for n, text in floor
    ]
    style = (
        'text{font:12px system-ui,"DejaVu Sans",sans-serif;fill:#52606d;text-anchor:middle}'
        '.name{font-weight:600;font-size:14px;fill:#1f2933}rect{fill:#fff;stroke:#0072b2}'
        'line{stroke:#8b97a3;stroke-width:1.5}'
    )
    tip = (
        '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0 8 4 0 8z" fill="#8b97a3"/></marker>'
    )
    height = 40 + (len(FLOORS) - 1) * ROW + 40
    body = '\n'.join([*lines, *boxes])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}">\n'
        f'<style>{style}</style><defs>{tip}</defs>\n'
        f'<rect width="{WIDTH}" height="{height}" style="fill:#fff;stroke:none"/>\n{body}\n</svg>\n'
    )


if __name__ == '__main__':
    OUT.write_text(draw())
