def test_x(tiny_recording):
    from lipfault.data.geometry import Geometry
    from lipfault.data.recording_set import RecordingSet
    from lipfault.data.windows import WindowDataset

    rs = RecordingSet([tiny_recording])
    ds = WindowDataset(rs, [0, 2], Geometry(rs.modalities, 1.0, 0.1, 0.5))
    w = ds.fetch([0, 1, len(ds) - 1])
    print({k: v.shape for k, v in w.blocks.items()}, w.sample_id, w.end_s, len(ds))
