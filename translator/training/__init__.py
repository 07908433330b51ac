"""Training, in Lightning; the only package that imports it.

`schedule` (how far, how fast), `data` (batches for Lightning), `loss` → `module` (a step, a validation) →
`callbacks` (averaging, checkpoints, what is shown) → `curves`, `folder`, `finish` → `run` (all of it).
"""
