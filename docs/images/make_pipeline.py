"""Draw the diagram of the pipeline as an SVG, from the boxes and arrows below.

python docs/images/make_pipeline.py
"""

from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

OUT = Path(__file__).with_name('pipeline.svg')
WIDTH, HEIGHT = 1122, 255
BOX_HEIGHT = 62


@dataclass(frozen=True)
class Box:
    """A labelled box.

    Args:
        x: Left edge in pixels.
        y: Middle in pixels.
        width: Width in pixels.
        title: First line, bold.
        text: Second line.
        role: `data`, `frozen` or `trained`, which decides the colour.
    """

    x: int
    y: int
    width: int
    title: str
    text: str
    role: str


BOXES = {
    'signals': Box(20, 125, 160, 'windows', 'images and time series', 'data'),
    'stage1': Box(220, 125, 190, 'autoencoder, relations', 'stage 1, on clean signals', 'frozen'),
    'map': Box(490, 125, 176, 'fault map', 'per channel × time, pixel', 'trained'),
    'detector': Box(716, 55, 170, 'detector', 'expansive along faults', 'trained'),
    'corrector': Box(716, 195, 170, 'corrector', 'contractive along faults', 'trained'),
    'alarm': Box(926, 55, 176, 'score, alarm', 'and faulty modality', 'data'),
    'corrected': Box(926, 195, 176, 'corrected signals', 'observed outside the map,', 'data'),
}
ARROWS = (
    ('signals', 'stage1'),
    ('stage1', 'map'),
    ('map', 'detector'),
    ('map', 'corrector'),
    ('detector', 'alarm'),
    ('corrector', 'corrected'),
)
LABELS = {('stage1', 'map'): 'residuals'}
STYLE = """
  text { font: 13px system-ui, 'DejaVu Sans', sans-serif; fill: #1f2933; text-anchor: middle; }
  .title { font-weight: 600; }
  .note { fill: #52606d; font-size: 12px; }
  .data { fill: #ffffff; stroke: #8b97a3; }
  .frozen { fill: #e4e8ec; stroke: #8b97a3; }
  .trained { fill: #d6e8f5; stroke: #0072b2; }
  path { fill: none; stroke: #52606d; stroke-width: 1.4; marker-end: url(#tip); }
"""


def box_svg(box: Box) -> str:
    """Return a box as SVG."""
    middle, top = box.x + box.width / 2, box.y - BOX_HEIGHT / 2
    return (
        f'<rect class="{box.role}" x="{box.x}" y="{top:g}" width="{box.width}" '
        f'height="{BOX_HEIGHT}" rx="8"/>'
        f'<text class="title" x="{middle:g}" y="{box.y - 5}">{escape(box.title)}</text>'
        f'<text class="note" x="{middle:g}" y="{box.y + 15}">{escape(box.text)}</text>'
    )


def arrow_svg(start: Box, end: Box, label: str) -> str:
    """Return an arrow from the right edge of a box to the left edge of another."""
    x, target = start.x + start.width, end.x - 3
    bend = (x + target) / 2
    path = f'<path d="M{x} {start.y} C{bend:g} {start.y} {bend:g} {end.y} {target} {end.y}"/>'
    note = f'<text class="note" x="{bend:g}" y="{start.y - 8}">{escape(label)}</text>'
    return path + (note if label else '')


def note_svg(x: int, y: int, text: str) -> str:
    """Return a line of small text."""
    return f'<text class="note" x="{x}" y="{y}">{escape(text)}</text>'


def main() -> None:
    """Write the diagram."""
    tip = (
        '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
        'orient="auto"><path d="M0 0 L8 4 L0 8 z" style="fill:#52606d;stroke:none"/></marker>'
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        '<title>From windows to corrected signals, score and faulty modality</title>',
        f'<style>{STYLE}</style><defs>{tip}</defs>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="12" fill="#f8f9fb"/>',
        *(arrow_svg(BOXES[a], BOXES[b], LABELS.get((a, b), '')) for a, b in ARROWS),
        *(box_svg(box) for box in BOXES.values()),
        note_svg(100, 82, 'faults injected by'),
        note_svg(100, 178, '(seed, epoch, sample id)'),
        note_svg(1014, 244, 'inpainted inside'),
        '</svg>',
    ]
    OUT.write_text('\n'.join(parts) + '\n')


if __name__ == '__main__':
    main()
