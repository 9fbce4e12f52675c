"""How fast one process is, each beside a plain loop that does the same input and output and nothing else."""
