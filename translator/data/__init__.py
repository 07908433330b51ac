"""The data pipeline, from files to batches of sentence pairs.

The modules, in the order in which the data passes through them: `readers` turns files into rows; `corpus`
turns every source of data into the same kind of table; `preflight` decides which pairs are fit for training;
`tokenizer` turns text into ids and back; `preparation` runs the steps above and caches their result on disk;
`batching` groups the pairs into batches.
"""
