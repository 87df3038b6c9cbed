"""How a job runs: the workflow model, expressions, steps, and the runner host process."""
