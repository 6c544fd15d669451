"""Group: listings of one product, by exact and near duplicates, with ids that stay from night to night."""

__all__ = ["description", "evidence", "stage", "term_statistics"]
