"""Train face detectors and export them: the only place that needs PyTorch (extra ``train``)."""
