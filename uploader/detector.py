"""Store a detector that workers do not have, under its sha256, after checking it."""

from facepaint.detectors.registry import find_detector
from facepaint.records import keys
from facepaint.records.job import DetectorSpec
from facepaint.settings import Settings
from facepaint.store import Store


def store_detector(settings: Settings, store: Store) -> DetectorSpec:
    """The chosen detector; its weights are stored unless every worker has them.

    Raises:
        UsageError: there is no such detector, or it has not been fetched yet.
        InputError: the file is not a usable network.
    """
    found = find_detector(settings.detector)
    if found is None:
        return DetectorSpec(settings.detector, settings.min_face)
    key = keys.detector(found.card.sha256)
    # Written only if it differs: other jobs may be reading it. A damaged object is replaced.
    if store.find(key) != found.data:
        store.put(key, found.data)
    return DetectorSpec(found.card.name, settings.min_face, card=found.card)
