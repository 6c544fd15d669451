"""What goes to a DVC remote and comes from there: whole nights, and what a stage elsewhere reads and writes."""

__all__: list[str] = []
