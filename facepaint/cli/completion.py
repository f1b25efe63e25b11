"""Shell completion of filters and job ids."""

from facepaint.looks.catalogue import CATALOGUE

MAX_JOBS = 50


def filter_names(incomplete: str) -> list[tuple[str, str]]:
    """The filters that begin with a text, and what they do."""
    return [
        (kind.name, kind.summary) for kind in CATALOGUE.values() if kind.name.startswith(incomplete)
    ]


def job_ids(incomplete: str) -> list[tuple[str, str]]:
    """The newest jobs that begin with a text, and their inputs; none if the storage is away."""
    # Imported here: completing anything else must not wait for the storage's client.
    from facepaint.errors import FacepaintError
    from facepaint.jobs.status import list_jobs
    from facepaint.retry import RetryPolicy
    from facepaint.settings import Settings
    from facepaint.store import Store

    try:
        settings = Settings.load().require_services()
        rows = list_jobs(Store(settings, RetryPolicy(attempts=1)), limit=MAX_JOBS)
    except FacepaintError:
        return []
    return [
        (row.id, row.job.source.name if row.job else row.fault)
        for row in rows
        if row.id.startswith(incomplete)
    ]
