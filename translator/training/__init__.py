"""Training with Lightning; the only package that imports Lightning.

From the inside out: `schedule` (progress and learning rate), `data` (batches for Lightning), `muon` and
`optimizer`, `validation`, `module` (the Lightning module), `callbacks`, `stopping` (averaging, checkpoints,
progress, signals), `checkpoint` (file format), `trainer` (Lightning's trainer), `processes`, `run_dir` and
`lock` (where and by whom a run is trained), `finalize` (the model folder) → `run` (a whole run).
"""

from translator.environment import without
from translator.plotting import import_matplotlib

# At import, Lightning reads this process's rank from these variables, which other programs may have left set,
# and imports matplotlib.
with without("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK"):
    import_matplotlib()
    import lightning.pytorch  # noqa: F401
