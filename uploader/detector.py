"""A detector that the workers do not bring along: checked before anything is stored, stored under
its sha256."""

from facepaint.detectors.registry import find_detector
from facepaint.records import keys
from facepaint.records.job import DetectorSpec
from facepaint.settings import Settings
from facepaint.store import Store


def store_detector(settings: Settings, store: Store) -> DetectorSpec:
    """The detector that was chosen, its weights stored unless every worker has them.

    Raises:
        UsageError: there is no such detector, or it was not fetched yet.
        InputError: the file is no network that can be used.
    """
    found = find_detector(settings.detector)
    if found is None:
        return DetectorSpec(settings.detector, settings.min_face)
    key = keys.detector(found.card.sha256)
    # Only where it differs: others may be reading it, and what was damaged is mended by uploading
    # again.
    if store.find(key) != found.data:
        store.put(key, found.data)
    return DetectorSpec(found.card.name, settings.min_face, card=found.card)
