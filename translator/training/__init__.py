"""Training with Lightning; the only package that imports Lightning.

The modules, from the innermost to the outermost: `schedule` (progress and learning rate), `data` (batches for
Lightning), `muon` and `optimizer`, `validation`, `checkpoint` (file format), `module` (the Lightning module),
`callbacks` (weight averaging, saving, progress display), `stopping` (signals), `trainer` (Lightning's
trainer), `processes`, `run_dir` and `lock` (which processes train a run, and in which folder), `finalize`
(the model folder), and `run` (a whole run).
"""

from translator.environment import without
from translator.plotting import import_matplotlib

# When Lightning is imported, it reads this process's rank from these variables, which other programs may have
# left set. Lightning also imports matplotlib, which fails if $MPLBACKEND names an unknown backend.
# `import_matplotlib` imports matplotlib first, without this failure.
with without("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK"):
    import_matplotlib()
    import lightning.pytorch  # noqa: F401
