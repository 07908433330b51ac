"""Training, in Lightning; the only package that imports it.

`schedule` (how far, how fast), `data` (batches for Lightning), `loss` → `module` (a step, a validation) →
`callbacks` (averaging, checkpoints, what is shown) → `curves`, `processes`, `folder`, `finish` → `run` (all
of it).
"""

from translator.environment import without
from translator.plotting import import_matplotlib

# Lightning imports matplotlib, and takes the number of this process from whatever is left in these.
with without("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK"):
    import_matplotlib()
    import lightning.pytorch  # noqa: F401
