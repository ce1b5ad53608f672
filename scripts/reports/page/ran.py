"""What ran: seeds, commit, device, data and command of every result."""

from experiments.scales import scale_title
from scripts.reports.page.sources import Source, Sources
from scripts.reports.page.tables import reproduce
from scripts.reports.page.views import Part, Section, anchor, plain
from scripts.reports.provenance import distinct, training_commits, trainings
from scripts.reports.same_evaluation import measured_on

TEXT = (
    "Every number of this page is from one of these files. “+changes” after a commit says that "
    "the code differed from it. A hash behind a test set says that two results were measured "
    "on the same images and labels."
)


def ran_section(sources: Sources) -> Section:
    """One part a file of results."""
    files = [*sources.tables.values(), *sources.swaps.values(), *sources.operations.values()]
    parts = [ran_part(source) for source in sorted(files, key=lambda one: one.name)]
    return Section(anchor="ran", title="What ran", text=plain(TEXT), parts=parts)


def ran_part(source: Source) -> Part:
    """What is known about one file."""
    seeds = source.seeds
    tests = measured_on(seeds)
    hashes = ", ".join(f"{name} {digest}" for name, digest in sorted(tests.items()))
    rows_facts = [(title, "; ".join(texts)) for title, texts in trainings(seeds) if texts]
    count = 1 + max((seed["seed"] for seed in seeds if "seed" in seed), default=0)  # 0 .. SEEDS-1
    facts = [
        ("table", f"{source.table}, {scale_title(source.scale)}"),
        ("seeds", ", ".join(str(seed.get("seed", "not recorded")) for seed in seeds)),
        ("commit of the training", training_commits(seeds) or "not recorded"),
        ("commit of the evaluation", distinct(seeds, "commit")),
        ("device", distinct(seeds, "device")),
        ("date", distinct(seeds, "date")),
        ("test data", hashes or "hash not recorded"),
        *rows_facts,
        ("command", f"`{reproduce(source.table, source.scale, count)}`"),
    ]
    return Part(anchor=anchor("ran", source.name), title=source.name, facts=facts)
