"""The pauses and limits of the list-then-watch loop."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """The pauses and limits, in seconds unless said otherwise; the defaults are client-go's where it has them."""

    page_size: int = 500  # objects
    backoff_first: float = 0.8
    backoff_cap: float = 30.0
    backoff_reset: float = 120.0
    retry_after_cap: float = 300.0
    watch_min: float = 300.0  # the server is asked to end a watch after a random time between these two
    watch_max: float = 600.0
    watch_silence: float = 150.0  # bookmarks come about every minute: two missing ones mean a dead connection
    watch_short: float = 1.0  # a watch without an event that ends sooner is a failure
    answer_silence: float = 60.0  # before and within any other answer
    absent_retry: float = 30.0  # longest pause before looking again for a resource that is not served
    forbidden_retry: float = 60.0  # shortest pause before trying again what is forbidden
    relist_min: float = 600.0  # a list beside the watch shows what the watch has missed, every so often
    relist_max: float = 1800.0
    initial_silence: float = 10.0  # within a streamed list; its end goes unsaid where the server knows no such thing
    initial_limit: float = 120.0  # of a streamed list as a whole
