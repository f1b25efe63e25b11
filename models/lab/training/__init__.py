"""Trains face detectors and exports them; only this package needs PyTorch (extra ``train``)."""
