"""The training loop: batches, losses, steps, a running average, checkpoints and a log."""

import json
import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from facepaint.errors import InputError, UsageError
from facepaint.files import atomic_write
from models.lab.training.data import Batch, Images, batches, make_batch
from models.lab.training.losses import detection_losses
from models.lab.training.network import FaceNetwork, cell_grid, flatten_heads
from models.lab.training.settings import TrainingSettings

CHECKPOINT, LOG = "checkpoint.pt", "log.jsonl"

LOG_EVERY = 50
VALIDATION_BATCHES = 8


class Training:
    """A run in a folder, from the start or from its checkpoint.

    Args:
        images: to train on; None if the run is only exported.
        validation: its losses are logged, those of the averaged weights on fixed batches.
        start: the network to begin with.
        report: called with each entry of the log.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        images: Images | None,
        validation: Images | None,
        folder: Path,
        start: FaceNetwork,
        device: torch.device,
        report: Callable[[dict[str, Any]], None],
    ) -> None:
        self.settings, self.folder, self.device, self._report = settings, folder, device, report
        self._images, self._validation = images, validation
        size = settings.augmentation.size
        self._grid = cell_grid(size, size, device)
        # Channels last: several times as fast on CPUs, and the layout of tensor cores.
        self.network = start.to(device, memory_format=torch.channels_last)
        decay = settings.ema
        self.average = torch.optim.swa_utils.AveragedModel(
            self.network,
            multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(decay),
            use_buffers=True,
        )
        self._optimiser = torch.optim.AdamW(
            _groups(self.network, settings), lr=settings.learning_rate
        )
        self.step = 0
        folder.mkdir(parents=True, exist_ok=True)

    def run(self, threads: int = 2) -> FaceNetwork:
        """Train to the end and return the averaged network; ``threads`` prepare batches."""
        assert self._images is not None
        settings = self.settings
        steps = range(self.step, settings.batches)
        self.network.train()
        recent = _Recent(settings.batch)
        ahead = batches(self._batch, steps, threads)
        for batch in ahead:
            recent.add(self._learn(batch))
            self.step += 1
            if self._is_time(LOG_EVERY):
                self._log(recent.take())
            if self._validation is not None and self._is_time(settings.evaluate_every):
                self._log({"validation": self._validate()})
            if self._is_time(settings.checkpoint_every):
                self.save()
        return self.averaged()

    def _batch(self, step: int) -> Batch:
        assert self._images is not None
        settings = self.settings
        return make_batch(
            self._images, settings.batch, settings.augmentation_at(step), settings.seed, step
        )

    def averaged(self) -> FaceNetwork:
        """The network with averaged weights, the result of a run."""
        network = self.average.module
        assert isinstance(network, FaceNetwork)
        return network.eval()

    def _is_time(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.settings.batches

    def _learn(self, batch: Batch) -> dict[str, float]:
        rate = self.settings.rate(self.step)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        losses = self._losses(self.network, batch)
        total = torch.stack(list(losses.values())).sum()
        # Before the step: NaN weights would be saved over the last good checkpoint.
        if not total.isfinite():
            raise UsageError(
                f"step {self.step + 1}: the loss diverged; start again with a lower --learning-rate"
            )
        self._optimiser.zero_grad(set_to_none=True)
        total.backward()
        # Assignments change from step to step early on, and gradients jump with them.
        nn.utils.clip_grad_norm_(self.network.parameters(), 20.0)
        self._optimiser.step()
        self.average.update_parameters(self.network)
        return {name: float(value.detach()) for name, value in losses.items()}

    def _losses(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        images = batch.images.to(self.device, torch.float32, memory_format=torch.channels_last)
        with self._autocast():
            heads = network(images)
        raw = flatten_heads(heads).float()
        return detection_losses(
            raw, self._grid, batch.targets.to(self.device), self.settings.weights
        )

    def _autocast(self) -> Any:
        wanted = self.settings.precision
        if wanted == "float32" or (wanted == "auto" and not _has_fast_bfloat16(self.device)):
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def _validate(self) -> dict[str, float]:
        assert self._validation is not None
        sums: dict[str, float] = {}
        network = self.average.module.eval()
        with torch.no_grad():
            for batch in self._validation_batches():
                for name, value in self._losses(network, batch).items():
                    sums[name] = sums.get(name, 0.0) + float(value) / VALIDATION_BATCHES
        return sums

    def _validation_batches(self) -> Iterator[Batch]:
        assert self._validation is not None
        settings = self.settings
        for step in range(VALIDATION_BATCHES):
            yield make_batch(
                self._validation, settings.batch, settings.augmentation, settings.seed + 1, step
            )

    def save(self) -> None:
        """Write the checkpoint whole, or leave the one before."""
        state = {
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
        }
        path = self.folder / CHECKPOINT
        with atomic_write(path) as draft:
            torch.save(state, draft)

    def resume(self) -> None:
        """Continue from the folder's checkpoint.

        Raises:
            InputError: there is none, it is damaged, or of another architecture.
        """
        path = self.folder / CHECKPOINT
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self._optimiser.load_state_dict(state["optimiser"])
            self.step = int(state["step"])
        except FileNotFoundError:
            raise InputError(
                f"{path}: there is no checkpoint to continue from; train without --resume"
            ) from None
        except (RuntimeError, KeyError, ValueError, EOFError, pickle.UnpicklingError) as exc:
            reason = next(iter(str(exc).splitlines()), "it ends early")
            raise InputError(f"{path}: not a checkpoint of this architecture ({reason})") from exc

    def _log(self, entry: dict[str, Any]) -> None:
        entry = {"step": self.step, "learning_rate": self.settings.rate(self.step - 1), **entry}
        with open(self.folder / LOG, "a", encoding="utf-8") as log:
            log.write(json.dumps(entry) + "\n")
        self._report(entry)


class _Recent:
    """The losses since the last log entry."""

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self._sums: dict[str, float] = {}
        self._steps, self._since = 0, time.monotonic()

    def add(self, losses: dict[str, float]) -> None:
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._steps += 1

    def take(self) -> dict[str, float]:
        """Their means and the images per second; starts anew."""
        means = {name: round(value / self._steps, 5) for name, value in self._sums.items()}
        speed = round(self._steps * self._batch / (time.monotonic() - self._since), 1)
        self._sums, self._steps, self._since = {}, 0, time.monotonic()
        return {**means, "pictures_per_s": speed}


def _groups(network: FaceNetwork, settings: TrainingSettings) -> list[dict[str, Any]]:
    """Weight decay applies to weights, not to norms and biases."""
    decayed = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    return [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


def _has_fast_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32: on GPUs, and on CPUs with AMX."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and torch.cpu._is_amx_tile_supported()
