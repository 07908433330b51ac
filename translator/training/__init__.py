"""Training with Lightning. No other package imports Lightning.

The most important modules, from the innermost to the outermost:

    schedule            progress and learning rate
    data                batches for Lightning
    muon, optimizer     the optimiser
    checkpoint          the format of checkpoint files
    validation          validation loss and BLEU
    module              the Lightning module
    callbacks           weight averaging, saving and progress display
    stopping            handling of stop signals
    trainer             Lightning's trainer
    processes           distributed training
    run_dir, lock       the run folder and its lock
    finalize            writing the model folder
    run                 a whole run
"""

from translator.environment import hiding, without

# When Lightning is imported, it reads this process's rank from these variables, which other programs may have
# left set. Lightning also imports torchmetrics, which imports these packages where they are installed, for
# metrics that are not used here. This takes seconds, and importing matplotlib fails if $MPLBACKEND names an
# unknown backend.
with (
    without("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK"),
    hiding("transformers", "scipy", "matplotlib"),
):
    import lightning.pytorch  # noqa: F401
