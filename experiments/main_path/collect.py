"""Writes docs/results.md and results.json from the runs of the main path."""

import json
from pathlib import Path
from statistics import mean, stdev

HERE = Path(__file__).parent
RUNS = Path('runs/main_path')
GOALS = {
    'detection/f1': '>= 0.98',
    'detection/auroc': '>= 0.993',
    'detection/f1_above_noise': '',
    'detection/auroc_above_noise': '',
    'detection/false_alarm_rate': '<= 0.02',
    'detection/localization_accuracy': '>= 0.99',
    'detection_unseen/f1': '>= 0.95',
    'detection_unseen/auroc': '',
    'recovery/seen': '>= 0.75',
    'recovery/unseen': '>= 0.65',
    'recovery/oracle': '(ceiling)',
    'clean/degradation': '<= 0.05',
    'corrector/energy_left': '< 0.03 (aim)',
    'corrector/energy_left_unseen': '',
    'corrector/fault_gain': '',
    'corrector/fault_gain_median': '',
    'corrector/clean_gain': '',
    'corrector/selectivity': '',
    'detector/fault_gain': '> 2',
    'detector/clean_gain': '',
    'detector/selectivity': '>= 12',
    'norm/corrector': '',
    'norm/detector': '',
}


def load() -> dict[str, dict[str, dict[str, float]]]:
    """metrics.json of stage 2 by column (cell, and block if it is not ours) and seed."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for stage, suffix in (('finetune', ''), ('paper', ', paper')):
        for path in sorted(RUNS.glob(f'*/{stage}/metrics.json')):
            cell, _, seed = path.parts[-3].rpartition('-')
            found.setdefault(cell + suffix, {})[seed] = json.loads(path.read_text())
    return found


def cell_text(values: list[float]) -> str:
    """Mean, and spread over the seeds where there are several."""
    if len(values) == 1:
        return f'{values[0]:.4g}'
    return f'{mean(values):.4g} ± {stdev(values):.2g}'


def table(results: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    """A row for each figure, a column for each cell."""
    skills = {k for runs in results.values() for m in runs.values() for k in m if 'skill' in k}
    keys = [*GOALS, *sorted(skills, key=lambda k: (k.split('/')[1], k))]
    lines = [
        f'| figure | asked for | {" | ".join(f"{c} ({len(r)})" for c, r in results.items())} |'
    ]
    lines.append('|' + '---|' * (2 + len(results)))
    for key in keys:
        row = []
        for runs in results.values():
            values = [m[key] for m in runs.values() if key in m]
            row.append(cell_text(values) if values else '–')
        lines.append(f'| `{key}` | {GOALS.get(key, "")} | {" | ".join(row)} |')
    return lines


def damage_table(results: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    """Recall against damage, in the units of the sensor noise."""
    lines = ['| cell | faults | ' + ' | '.join(f'{a} to {b}' for a, b in BINS) + ' |']
    lines.append('|' + '---|' * (2 + len(BINS)))
    for cell, runs in results.items():
        for split in ('detection', 'detection_unseen'):
            row = []
            for a, b in BINS:
                values = [m.get(f'{split}/recall_damage_{a}_{b}') for m in runs.values()]
                known = [v for v in values if v is not None]
                row.append(cell_text(known) if known else '–')
            lines.append(
                f'| {cell} | {"seen" if split == "detection" else "held out"} | {" | ".join(row)} |'
            )
    return lines


BINS = (('0', '1'), ('1', '2'), ('2', '4'), ('4', '8'), ('8', '16'), ('16', '64'), ('64', 'inf'))


def main() -> None:
    """Collect and write."""
    results = load()
    (HERE / 'results.json').write_text(json.dumps(results, indent=1, sort_keys=True) + '\n')
    head = (HERE / 'results_head.md').read_text().rstrip()
    recall = (
        '## Recall against damage\n\n'
        'Damage is the RMS change of the touched signal in units of its sensor noise.'
    )
    text = [head, '', *table(results), '', recall, '', *damage_table(results), '']
    Path('docs/results.md').write_text('\n'.join(text))


if __name__ == '__main__':
    main()
