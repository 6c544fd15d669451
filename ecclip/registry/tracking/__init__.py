"""From the spool of a training to its MLflow run: every line once, however often the sender is killed."""

__all__ = ["artifacts", "names", "tracked", "training_runs"]
