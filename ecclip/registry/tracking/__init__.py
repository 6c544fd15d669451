"""From the spool of a training to its MLflow run: every line once, however often the sender is killed."""

__all__ = ["names", "tracked", "training_runs"]
