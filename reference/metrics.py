"""The page of the metrics that the API has for Prometheus."""

from collections.abc import Iterator

from prometheus_client.metrics import MetricWrapperBase

from enrichment_pipeline.ingest.api.metrics import Metrics
from reference.markdown import code, page, plain, said, table

INTRODUCTION = """\
`GET /metrics` of the API has these, in Prometheus' text format; it needs the [read token](../how-to/send.md#who-may-send-who-may-read).
What is read from the store or the broker is the same at every API: take the maximum of it, not the sum. Where several
processes of an API speak HTTP, each shows the sum of all, of the others as it was a second ago at most. A histogram has
`_bucket`, `_sum` and `_count` behind its name."""


def metrics_page() -> str:
    """The page, as Markdown."""
    return page("Metrics", INTRODUCTION, table(("metric", "type", "meaning"), _rows()))


def every_metric() -> list[MetricWrapperBase]:
    """The metrics, in the order of their definition."""
    return [one for one in vars(Metrics()).values() if isinstance(one, MetricWrapperBase)]


def _rows() -> Iterator[tuple[str, str, str]]:
    for metric in every_metric():
        [family] = metric.describe()
        name = f"{family.name}_total" if family.type == "counter" else family.name
        # Of the library's API, only the text of samples has the labels of one without samples.
        labels = ",".join(metric._labelnames)
        meaning = said(family.documentation, name, "ingest/api/metrics.py")
        yield code(f"{name}{{{labels}}}" if labels else name), family.type, plain(meaning)
