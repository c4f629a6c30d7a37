"""Many orders in one task."""
