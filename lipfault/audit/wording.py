"""Findings in words, for the terminal, JSON and the page."""

from typing import Any

from lipfault.audit.findings import MEANINGS, Candidate, Finding
from lipfault.audit.types import Examination, Tracks


def sensor_name(tracks: Tracks, candidate: Candidate) -> str:
    """Return the sensor of a finding, such as `state.elbow`, or `state` for a whole modality.

    Args:
        tracks: The data set.
        candidate: The finding.
    """
    name = _channel_name(tracks, candidate.modality, candidate.channel)
    if 'with' in candidate.detail:
        other = _channel_name(tracks, *candidate.detail['with'])
        return f'{name} <-> {other.rpartition(".")[2]}'
    return name


def describe(tracks: Tracks, candidate: Candidate) -> str:
    """Return one clause that says what was measured.

    Args:
        tracks: The data set.
        candidate: The finding.
    """
    detail, kind = candidate.detail, candidate.kind
    if kind == 'dropped':
        return f'{detail["samples"]} samples missing ({detail["share"]:.1%})'
    if kind == 'frozen':
        return f'{detail["frames"]} equal frames'
    if kind in ('stuck', 'saturated', 'clipped'):
        return f'at {detail["value"]:.5g} for {detail["samples"]} samples'
    if kind in ('delayed', 'desynchronized'):
        return f'{detail["delay_s"]:.2f} s late against {_against(tracks, candidate)}'
    if kind == 'swapped':
        return f'exchange explains {detail["explained"]:.0%} of the residual'
    return f'off by {detail["offset"]:+.3g} against {_against(tracks, candidate)}'


def as_json(examination: Examination) -> dict[str, Any]:
    """Return an audit as plain types.

    Args:
        examination: The audit.

    Returns:
        `rate`, `episodes`, `tests` by kind and `findings`, each with episode, modality, channel,
        kind, also, start_s, stop_s, p, q, score and detail.
    """
    tracks = examination.tracks
    return {
        'rate': examination.rate,
        'episodes': list(tracks.episodes),
        'tests': dict(examination.tests),
        'findings': [_finding(tracks, finding) for finding in examination.findings],
    }


def _finding(tracks: Tracks, finding: Finding) -> dict[str, Any]:
    """Return a finding as plain types, with names in the place of numbers."""
    candidate = finding.candidate
    modality = tracks.modalities[candidate.modality]
    detail = {
        key: _channel_name(tracks, *value) if key in ('with', 'against') else value
        for key, value in candidate.detail.items()
    }
    return {
        'episode': tracks.episodes[candidate.episode],
        'modality': candidate.modality,
        'channel': None if candidate.channel is None else modality.channels[candidate.channel],
        'kind': candidate.kind,
        'also': list(finding.also),
        'meaning': MEANINGS[candidate.kind],
        'start_s': round(candidate.start_s, 4),
        'stop_s': round(candidate.stop_s, 4),
        'p': finding.p,
        'q': finding.q,
        'score': candidate.score,
        'detail': detail,
    }


def _against(tracks: Tracks, candidate: Candidate) -> str:
    """Return the name of the partner."""
    return _channel_name(tracks, *candidate.detail['against'])


def _channel_name(tracks: Tracks, modality: str, channel: int | None) -> str:
    """Return `modality.channel`, or the modality."""
    if channel is None or modality not in tracks.modalities:
        return modality
    return f'{modality}.{tracks.modalities[modality].channels[channel]}'
